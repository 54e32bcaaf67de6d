//! The graph for programs.

use schemars::JsonSchema;
use serde::Serialize;

use super::fold::Head;
use super::{Edge, Graph, Mark};
use crate::output::json::some;

/// Groups and what leads from one to another.
#[derive(Serialize, JsonSchema)]
pub(crate) struct GraphJson {
    groups: Vec<GroupJson>,
    joins: Vec<JoinJson>,
    arrows: Vec<ArrowJson>,
}

#[derive(Serialize, JsonSchema)]
struct GroupJson {
    id: String,
    node: String,
    tasks: usize,
    first_task: u32,
    done: usize,
    ready: usize,
    retrying: usize,
    delayed: usize,
    blocked: usize,
    given_up: usize,
    left: usize,
    execution_us: u64,
    example_task: Option<u32>,
    example_error: Option<String>,
}

/// A join that has not fired.
#[derive(Serialize, JsonSchema)]
struct JoinJson {
    id: String,
    node: String,
    scopes: usize,
    open: usize,
    total: usize,
}

#[derive(Serialize, JsonSchema)]
struct ArrowJson {
    from: String,
    to: String,
    /// `next`, `fan_out`, `join` or `again`.
    kind: &'static str,
    /// How often another round began, where `kind` is `again`.
    times: Option<usize>,
}

impl GraphJson {
    /// Of this graph.
    pub(crate) fn of(graph: &Graph<'_>) -> Self {
        let group = |(at, group): (usize, &super::Group<'_>)| GroupJson {
            id: format!("g{at}"),
            node: group.node.to_owned(),
            tasks: group.tasks,
            first_task: group.first,
            done: group.count(Mark::Done),
            ready: group.count(Mark::Ready),
            retrying: group.count(Mark::Failed),
            delayed: group.count(Mark::Delayed),
            blocked: group.count(Mark::Blocked),
            given_up: group.count(Mark::GivenUp),
            left: group.count(Mark::Left),
            execution_us: group.execution_us,
            example_task: group.example.map(|(task, _)| task),
            example_error: group.example.and_then(|(_, error)| some(error)),
        };
        let joins = graph.groups.iter().enumerate().flat_map(|(at, group)| {
            group.joins.iter().enumerate().map(move |(number, join)| JoinJson {
                id: format!("j{at}_{number}"),
                node: join.node.to_owned(),
                scopes: join.scopes,
                open: join.open,
                total: join.total,
            })
        });
        let arrow = |arrow: super::Arrow| ArrowJson {
            from: format!("g{}", arrow.from),
            to: match arrow.to {
                Head::Group(to) => format!("g{to}"),
                Head::Join(group, join) => format!("j{group}_{join}"),
            },
            kind: match (arrow.edge, arrow.again) {
                (_, 1..) => "again",
                (Edge::Next, 0) => "next",
                (Edge::FanOut, 0) => "fan_out",
                (Edge::Join, 0) => "join",
            },
            times: (arrow.again > 0).then_some(arrow.again),
        };
        Self {
            groups: graph.groups.iter().enumerate().map(group).collect(),
            joins: joins.collect(),
            arrows: graph.arrows().into_iter().map(arrow).collect(),
        }
    }
}
