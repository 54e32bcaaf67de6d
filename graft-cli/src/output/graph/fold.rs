//! Folding tasks into groups.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::{FOLD_FROM, Mark};
use crate::cli::value::Unfold;
use crate::output::progress::{Progress, Task, TaskState};

/// How far up it is looked for an earlier round of a loop, in groups.
const ROUND_GROUPS_MAX: usize = 1_000;

/// Which nodes are shown task by task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folding {
    all: bool,
    nodes: BTreeSet<String>,
}

impl Folding {
    /// As it was asked for; nothing at all: fold what is much.
    pub(crate) fn new(unfold: &[Unfold]) -> Self {
        let mut folding = Self::default();
        for unfold in unfold {
            match unfold {
                Unfold::All => folding.all = true,
                Unfold::Node(node) => drop(folding.nodes.insert(node.clone())),
            }
        }
        folding
    }

    /// Whether something is shown in full, however long it is.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.all || !self.nodes.is_empty()
    }
}

/// How a task came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Edge {
    /// As a plain successor, or in place of one that was given up.
    Next,
    /// In a fan-out.
    FanOut,
    /// After the join of a fan-out.
    Join,
}

/// Tasks of a node that came from the same place in the same way; or one task.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    /// Their node.
    pub(crate) node: &'a str,
    /// How many they are.
    pub(crate) tasks: usize,
    /// The first of them.
    pub(crate) first: u32,
    /// How many of them do what.
    pub(crate) marks: BTreeMap<Mark, usize>,
    /// Microseconds that those which are done took together.
    pub(crate) execution_us: u64,
    /// One that went wrong, and what it said.
    pub(crate) example: Option<(u32, &'a str)>,
    /// Groups of plain successors.
    pub(crate) next: Vec<usize>,
    /// Groups of tasks in fan-outs.
    pub(crate) fan: Vec<usize>,
    /// Groups of what follows those fan-outs' joins.
    pub(crate) then: Vec<usize>,
    /// Joins of those fan-outs that have not fired.
    pub(crate) joins: Vec<Join<'a>>,
    /// Groups further up (or this one) of which another round begins here, and how often.
    pub(crate) again: BTreeMap<usize, usize>,
    /// Tasks that nothing followed from.
    ends: usize,
    parent: Option<usize>,
}

/// Joins of fan-outs with the same continuation that have not fired.
#[derive(Debug)]
pub(crate) struct Join<'a> {
    /// Node of the continuation.
    pub(crate) node: &'a str,
    /// How many joins.
    pub(crate) scopes: usize,
    /// Tasks that are waited for.
    pub(crate) open: usize,
    /// Of how many.
    pub(crate) total: usize,
}

/// From a group to a group (or to a join that waits), as a drawing has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    /// Group where it begins.
    pub(crate) from: usize,
    /// Where it ends.
    pub(crate) to: Head,
    /// What it says.
    pub(crate) edge: Edge,
    /// How often it was gone, if it leads back to another round; 0 = it does not.
    pub(crate) again: usize,
}

/// Where an arrow ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Head {
    /// At a group.
    Group(usize),
    /// At a join that waits: which of which group.
    Join(usize, usize),
}

/// A run at one moment, folded.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    progress: &'a Progress,
    /// When it is looked at.
    pub(crate) now_ms: u64,
    /// Groups; what comes from a group stands behind it.
    pub(crate) groups: Vec<Group<'a>>,
    /// Groups of the first tasks.
    pub(crate) first: Vec<usize>,
    /// Whether something is shown in full on request.
    pub(crate) is_unfolded: bool,
}

impl<'a> Graph<'a> {
    /// Folds a run.
    pub(crate) fn of(progress: &'a Progress, folding: &Folding, now_ms: u64) -> Self {
        let mut much: HashMap<&str, usize> = HashMap::new();
        for task in progress.tasks.values() {
            *much.entry(task.node.as_str()).or_default() += 1;
        }
        much.retain(|node, tasks| *tasks > FOLD_FROM && !folding.all && !folding.nodes.contains(*node));
        let graph = Self { progress, now_ms, groups: Vec::new(), first: Vec::new(), is_unfolded: folding.is_asked_for() };
        let mut builder = Builder { graph, much, children: HashMap::new() };
        let mut waiting: VecDeque<(u32, Origin)> = progress.first.iter().map(|task| (*task, None)).collect();
        while let Some((number, from)) = waiting.pop_front() {
            let Some(task) = progress.tasks.get(&number) else { continue };
            let at = builder.place(task, number, from);
            waiting.extend(task.next.iter().map(|next| (*next, Some((at, Edge::Next)))));
            for scope in &task.opened {
                let Some(opened) = progress.scopes.get(scope) else { continue };
                waiting.extend(opened.first.iter().map(|first| (*first, Some((at, Edge::FanOut)))));
                match opened.continued {
                    Some(continued) => waiting.push_back((continued, Some((at, Edge::Join)))),
                    None if !opened.closed && !opened.continuation.is_empty() => {
                        builder.graph.groups[at].wait_for(&opened.continuation, opened.total.saturating_sub(opened.resolved), opened.total);
                    }
                    None => {}
                }
            }
        }
        builder.graph
    }

    /// What was folded.
    pub(crate) fn progress(&self) -> &'a Progress {
        self.progress
    }

    /// The only task of a group that has no other.
    pub(crate) fn single(&self, group: &Group<'_>) -> Option<&'a Task> {
        if group.tasks == 1 { self.progress.tasks.get(&group.first) } else { None }
    }

    /// Names of the nodes, each once.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let nodes: BTreeSet<&str> = self.groups.iter().map(|group| group.node).collect();
        nodes.into_iter().map(str::to_owned).collect()
    }

    /// What a drawing needs: what follows a join is drawn from where the tasks of its fan-out end.
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (from, group) in self.groups.iter().enumerate() {
            let plain = |edge| move |to: &usize| Arrow { from, to: Head::Group(*to), edge, again: 0 };
            arrows.extend(group.next.iter().map(plain(Edge::Next)));
            arrows.extend(group.fan.iter().map(plain(Edge::FanOut)));
            arrows.extend(group.again.iter().map(|(to, times)| Arrow { from, to: Head::Group(*to), edge: Edge::Next, again: *times }));
            let then = group.then.iter().map(|then| Head::Group(*then));
            let heads: Vec<Head> = then.chain((0..group.joins.len()).map(|join| Head::Join(from, join))).collect();
            if heads.is_empty() {
                continue;
            }
            let ends = self.ends(&group.fan);
            let ends = if ends.is_empty() { vec![from] } else { ends };
            for to in heads {
                arrows.extend(ends.iter().map(|from| Arrow { from: *from, to, edge: Edge::Join, again: 0 }));
            }
        }
        arrows
    }

    /// Groups where what begins at these ends, on the same level: the inside of a joined fan-out below is its own affair.
    fn ends(&self, first: &[usize]) -> Vec<usize> {
        let (mut ends, mut waiting) = (Vec::new(), first.to_vec());
        while let Some(at) = waiting.pop() {
            let group = &self.groups[at];
            if group.ends > 0 {
                ends.push(at);
            }
            waiting.extend(&group.next);
            waiting.extend(if group.then.is_empty() && group.joins.is_empty() { &group.fan } else { &group.then });
        }
        ends.sort_unstable();
        ends
    }
}

impl<'a> Group<'a> {
    fn new(node: &'a str, first: u32, parent: Option<usize>) -> Self {
        Self {
            node,
            tasks: 0,
            first,
            marks: BTreeMap::new(),
            execution_us: 0,
            example: None,
            next: Vec::new(),
            fan: Vec::new(),
            then: Vec::new(),
            joins: Vec::new(),
            again: BTreeMap::new(),
            ends: 0,
            parent,
        }
    }

    /// How many of its tasks do this.
    pub(crate) fn count(&self, mark: Mark) -> usize {
        self.marks.get(&mark).copied().unwrap_or_default()
    }

    /// What it is doing as a whole: done when all are; else what still moves or waits before what has gone wrong.
    pub(crate) fn mark(&self) -> Mark {
        let order = [Mark::Ready, Mark::Failed, Mark::Delayed, Mark::Blocked, Mark::GivenUp, Mark::Left];
        order.into_iter().find(|mark| self.count(*mark) > 0).unwrap_or(Mark::Done)
    }

    fn wait_for(&mut self, node: &'a str, open: usize, total: usize) {
        match self.joins.iter_mut().find(|join| join.node == node) {
            Some(join) => (join.scopes, join.open, join.total) = (join.scopes + 1, join.open + open, join.total + total),
            None => self.joins.push(Join { node, scopes: 1, open, total }),
        }
    }
}

/// Where a task came from, and how; none: it was there at the start.
type Origin = Option<(usize, Edge)>;

/// A graph that is being made.
struct Builder<'a> {
    graph: Graph<'a>,
    /// Nodes that are folded, with how many tasks they have.
    much: HashMap<&'a str, usize>,
    /// Groups of folded nodes by where and how they came.
    children: HashMap<(Origin, &'a str), usize>,
}

impl<'a> Builder<'a> {
    /// Puts a task into its group; the group.
    fn place(&mut self, task: &'a Task, number: u32, from: Origin) -> usize {
        let node = task.node.as_str();
        let folds = self.much.contains_key(node);
        let known = if folds { self.children.get(&(from, node)).copied() } else { None };
        let round = || from.filter(|_| folds).and_then(|(parent, _)| Some((parent, self.earlier_round(parent, node)?)));
        let at = match known {
            Some(at) => at,
            None => match round() {
                Some((parent, at)) => {
                    *self.graph.groups[parent].again.entry(at).or_default() += 1;
                    at
                }
                None => self.add(node, number, from, folds),
            },
        };
        let mark = Mark::of(task, self.graph.progress, self.graph.now_ms);
        let group = &mut self.graph.groups[at];
        group.tasks += 1;
        *group.marks.entry(mark).or_default() += 1;
        if let TaskState::Done { execution_us } = task.state {
            group.execution_us = group.execution_us.saturating_add(execution_us);
        }
        if matches!(mark, Mark::Failed | Mark::GivenUp) && group.example.is_none() {
            group.example = Some((number, &task.error));
        }
        group.ends += usize::from(task.next.is_empty() && task.opened.is_empty());
        at
    }

    fn add(&mut self, node: &'a str, first: u32, from: Origin, folds: bool) -> usize {
        let at = self.graph.groups.len();
        self.graph.groups.push(Group::new(node, first, from.map(|(parent, _)| parent)));
        match from {
            None => self.graph.first.push(at),
            Some((parent, Edge::Next)) => self.graph.groups[parent].next.push(at),
            Some((parent, Edge::FanOut)) => self.graph.groups[parent].fan.push(at),
            Some((parent, Edge::Join)) => self.graph.groups[parent].then.push(at),
        }
        if folds {
            self.children.insert((from, node), at);
        }
        at
    }

    /// The group of this node at `from` or further up.
    fn earlier_round(&self, from: usize, node: &str) -> Option<usize> {
        let mut at = Some(from);
        for _ in 0..ROUND_GROUPS_MAX {
            let group = &self.graph.groups[at?];
            if group.node == node {
                return at;
            }
            at = group.parent;
        }
        None
    }
}
