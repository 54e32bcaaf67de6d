//! The graph as a tree of lines, for people.
//!
//! What follows alone stands below, in the same *column*; where things go on in parallel, each branch is a column of its own, indented, and the
//! continuation of a join goes on in the column of what fanned out:
//!
//! ```text
//! order-1042  running  3.0s  9,813 of 10,001 tasks done
//! ✓ plan #1  2ms
//! └─ ● pick ×10,000  9,812 done  3 ready  185 delayed  2ms each
//! ⋈ ship  waits for 188 of 10,000
//! ```
//!
//! At most [`BRANCHES_MAX`] branches are shown, unless something was asked for in full, and at most [`DEPTH_MAX`] levels. A long chain of steps
//! that differ is a long column; the [`screen`](crate::output::screen) bounds what is drawn of it.

use graft_client::status_name;

use super::{Graph, Group, Join, Mark, grouped};
use crate::output::progress::{Progress, Task, TaskState};
use crate::output::style::{Line, Tone};
use crate::output::table::{short, tone};
use crate::output::time::{duration_ms, duration_us};

/// Most branches that are shown of one place.
const BRANCHES_MAX: usize = 40;
/// Most levels that are shown.
const DEPTH_MAX: usize = 24;

/// A line, and what branches off below it.
struct Cell {
    line: Line,
    branches: Vec<Column>,
}

/// Cells, one below the other.
type Column = Vec<Cell>;

/// Draws the graph.
pub(crate) fn lines(id: &str, graph: &Graph<'_>) -> Vec<Line> {
    let mut out = vec![header(id, graph)];
    match graph.first.as_slice() {
        [first] => draw(&column(graph, *first, 0), "", "", &mut out),
        several => draw_branches(&columns(graph, several, 1), "", &mut out),
    }
    out
}

fn header(id: &str, graph: &Graph<'_>) -> Line {
    let Progress { status, reason, started_ms, ended_ms, tasks, skipped, .. } = graph.progress();
    let end = if *ended_ms > 0 { *ended_ms } else { graph.now_ms };
    let done: usize = graph.groups.iter().map(|group| group.count(Mark::Done)).sum();
    let skipped = if *skipped > 0 { format!(", {} skipped", grouped(*skipped)) } else { String::new() };
    let reason = if reason.is_empty() { String::new() } else { format!("  {}", short(reason)) };
    Line::of(Tone::Strong, id)
        .add(tone(*status), format!("  {}", status_name(*status)))
        .add(Tone::Plain, format!("  {}", duration_ms(end.saturating_sub(*started_ms))))
        .add(Tone::Dim, format!("  {} of {} tasks done{skipped}", grouped(done), grouped(tasks.len())))
        .add(Tone::Plain, reason)
}

/// The columns of several groups side by side.
fn columns(graph: &Graph<'_>, groups: &[usize], depth: usize) -> Vec<Column> {
    let most = if graph.is_unfolded || groups.len() <= BRANCHES_MAX { groups.len() } else { BRANCHES_MAX - 1 };
    let mut columns: Vec<Column> = groups[..most].iter().map(|group| column(graph, *group, depth)).collect();
    if most < groups.len() {
        columns.push(vec![leaf(Line::of(Tone::Dim, format!("… and {} more branches", grouped(groups.len() - most))))]);
    }
    columns
}

/// A group and what follows it in its column, without a branch deeper than allowed.
fn column(graph: &Graph<'_>, first: usize, depth: usize) -> Column {
    let mut column = Column::new();
    let mut next = Some(first);
    while let Some(at) = next.take() {
        let group = &graph.groups[at];
        let mut cell = leaf(line(graph, at, group));
        // A round that begins anew with the group itself is said in its line.
        let again: Vec<Column> =
            group.again.iter().filter(|(to, _)| **to != at).map(|(to, times)| vec![again(graph, *to, *times)]).collect();
        let beside = again.len() + group.next.len();
        match (group.next.as_slice(), group.fan.as_slice(), beside) {
            ([], [], 0) => {}
            ([only], [], 1) => next = Some(*only),
            ([], [], 1) => {
                column.push(cell);
                column.extend(again.into_iter().flatten());
                return column;
            }
            _ if depth >= DEPTH_MAX => cell.branches.push(vec![leaf(Line::of(Tone::Dim, "… and deeper"))]),
            ([], fan, 0) => {
                cell.branches = columns(graph, fan, depth + 1);
                column.push(cell);
                next = after(graph, group, depth, &mut column);
                continue;
            }
            (several, fan, _) => {
                cell.branches = columns(graph, several, depth + 1);
                if !fan.is_empty() {
                    let mut beside = vec![Cell { line: Line::of(Tone::Dim, "fan-out"), branches: columns(graph, fan, depth + 2) }];
                    if let Some(continued) = after(graph, group, depth + 1, &mut beside) {
                        beside.extend(self::column(graph, continued, depth + 1));
                    }
                    cell.branches.push(beside);
                }
                cell.branches.extend(again);
            }
        }
        column.push(cell);
    }
    column
}

/// What follows the fan-outs of a group: joins that wait, and what has followed; if that is one group, it goes on in the same column.
fn after(graph: &Graph<'_>, group: &Group<'_>, depth: usize, column: &mut Column) -> Option<usize> {
    column.extend(group.joins.iter().map(|join| leaf(waits(join))));
    match group.then.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => {
            column.push(Cell { line: Line::of(Tone::Dim, "then"), branches: columns(graph, several, depth + 1) });
            None
        }
    }
}

fn leaf(line: Line) -> Cell {
    Cell { line, branches: Vec::new() }
}

fn again(graph: &Graph<'_>, to: usize, times: usize) -> Cell {
    leaf(
        Line::of(Tone::Busy, "↺")
            .add(Tone::Plain, format!(" {}", graph.groups[to].node))
            .add(Tone::Dim, format!("  again ×{}", grouped(times))),
    )
}

fn waits(join: &Join<'_>) -> Line {
    let count = if join.scopes > 1 { format!(" ×{}", grouped(join.scopes)) } else { String::new() };
    Line::of(Tone::Waiting, "⋈")
        .add(Tone::Plain, format!(" {}", join.node))
        .add(Tone::Strong, count)
        .add(Tone::Dim, format!("  waits for {} of {}", grouped(join.open), grouped(join.total)))
}

fn line(graph: &Graph<'_>, at: usize, group: &Group<'_>) -> Line {
    match graph.single(group) {
        Some(task) => single(graph, group, task),
        None => several(at, group),
    }
}

/// `● pick ×10,000  9,812 done  3 ready  185 delayed`.
fn several(at: usize, group: &Group<'_>) -> Line {
    let (sign, tone) = group.mark().sign();
    let mut line =
        Line::of(tone, sign).add(Tone::Plain, format!(" {}", group.node)).add(Tone::Strong, format!(" ×{}", grouped(group.tasks)));
    if let Some(times) = group.again.get(&at) {
        line = line.add(Tone::Busy, "  ↺").add(Tone::Dim, format!(" ×{}", grouped(*times)));
    }
    if group.mark() != Mark::Done {
        for mark in Mark::ALL.into_iter().filter(|mark| group.count(*mark) > 0) {
            let (_, tone) = mark.sign();
            line = line.add(tone, format!("  {} {}", grouped(group.count(mark)), mark.word()));
        }
    }
    if let Some(each) = u64::try_from(group.count(Mark::Done)).ok().and_then(|done| group.execution_us.checked_div(done)) {
        line = line.add(Tone::Dim, format!("  {} each", duration_us(each)));
    }
    match group.example {
        Some((task, error)) if !error.is_empty() => line.add(Tone::Dim, format!("  such as #{task}: {}", short(error))),
        _ => line,
    }
}

fn single(graph: &Graph<'_>, group: &Group<'_>, task: &Task) -> Line {
    let mark = group.mark();
    let (sign, tone) = mark.sign();
    let now_ms = graph.now_ms;
    let line = Line::of(tone, sign).add(Tone::Plain, format!(" {}", task.node)).add(Tone::Dim, format!(" #{}", group.first));
    let left = |until_ms: u64| duration_ms(until_ms.saturating_sub(now_ms));
    let because = if task.error.is_empty() { String::new() } else { format!(": {}", short(&task.error)) };
    match task.state {
        TaskState::Done { execution_us } => {
            let tries = if task.attempts > 1 { format!("  attempt {}", task.attempts) } else { String::new() };
            line.add(Tone::Waiting, tries).add(Tone::Dim, format!("  {}", duration_us(execution_us)))
        }
        TaskState::GivenUp => {
            let tries = if task.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", task.attempts) };
            line.add(Tone::Bad, format!("  given up after {tries}{because}"))
        }
        TaskState::Discarded => line.add(Tone::Dim, "  discarded"),
        _ if mark == Mark::Left => line.add(Tone::Dim, "  left"),
        TaskState::Delayed { until_ms } if until_ms > now_ms => line.add(Tone::Waiting, format!("  in {}", left(until_ms))),
        TaskState::Ready | TaskState::Delayed { .. } => {
            line.add(Tone::Dim, format!("  {}", duration_ms(now_ms.saturating_sub(task.created_ms))))
        }
        TaskState::Blocked => line.add(Tone::Waiting, "  waits for a change of the state"),
        TaskState::Failed { retry_at_ms } if retry_at_ms > now_ms => {
            line.add(Tone::Waiting, format!("  attempt {} failed, again in {}{because}", task.attempts, left(retry_at_ms)))
        }
        TaskState::Failed { .. } => line.add(Tone::Waiting, format!("  attempt {} after{because}", task.attempts + 1)),
    }
}

fn draw(column: &[Cell], first: &str, rest: &str, out: &mut Vec<Line>) {
    for (at, cell) in column.iter().enumerate() {
        out.push(Line::of(Tone::Dim, if at == 0 { first } else { rest }).join(cell.line.clone()));
        draw_branches(&cell.branches, rest, out);
    }
}

fn draw_branches(branches: &[Column], prefix: &str, out: &mut Vec<Line>) {
    for (at, branch) in branches.iter().enumerate() {
        let (first, rest) = if at + 1 == branches.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(branch, &format!("{prefix}{first}"), &format!("{prefix}{rest}"), out);
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
