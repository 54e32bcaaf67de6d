//! The tree of a run: [`Progress`] in, lines out, nothing else.
//!
//! A task and its only successor stand one below the other in a *column*; where tasks go on in parallel, each branch is a column of its own,
//! indented, and the continuation of a join goes on in the column of the task that fanned out:
//!
//! ```text
//! ✓ plan #1  2ms
//! ├─ ✓ pick ×997
//! ├─ ● pick #14  1.2s
//! └─ ↻ pick #19  attempt 1 failed, again in 2.0s: no stock
//! ⋈ ship  waits for 2 of 999
//! ```
//!
//! However large the run, the tree stays small if its steps repeat: equal columns beyond [`FOLD_FROM`] are folded into one line, at most
//! [`BRANCHES_MAX`] branches of a task are shown, and at most [`DEPTH_MAX`] levels. A long chain of steps that differ is a long column; the
//! [`screen`](super::screen) bounds what is drawn of it.
mod fold;

use crate::output::progress::{Progress, Task, TaskState};
use crate::output::style::{Line, Tone};
use crate::output::table::{short, tone};
use crate::output::time::{duration_ms, duration_us};

use fold::{fold_branches, fold_runs};
use graft_client::{is_final, status_name};

/// More equal columns than this are shown as one.
const FOLD_FROM: usize = 4;
/// Most branches of a task that are shown, folded ones counting once.
const BRANCHES_MAX: usize = 40;
/// Most levels that are shown.
const DEPTH_MAX: usize = 24;

/// Cells, one below the other.
type Column = Vec<Cell>;

/// A line of the tree, and what branches off below it.
#[derive(Debug)]
struct Cell {
    what: What,
    branches: Vec<Column>,
}

/// What a line of the tree stands for.
#[derive(Debug)]
enum What {
    /// A task.
    Task(u32),
    /// Equal columns or a run of equal tasks: the nodes with their marks, how often, and one task as an example.
    Folded(Vec<(Mark, String)>, usize, u32),
    /// A fan-out beside other successors of its task.
    FanOut,
    /// A join that has not fired.
    Join(u32),
    /// Branches that are not shown.
    More(usize),
    /// Levels that are not shown.
    Deeper,
}

/// What a task is doing, as one sees it at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Done,
    Ready,
    Delayed,
    Blocked,
    Failed,
    GivenUp,
    /// The workflow ended without it.
    Left,
}

impl Mark {
    fn sign(self) -> (&'static str, Tone) {
        match self {
            Self::Done => ("✓", Tone::Good),
            Self::Ready => ("●", Tone::Busy),
            Self::Delayed => ("◷", Tone::Waiting),
            Self::Blocked => ("‖", Tone::Waiting),
            Self::Failed => ("↻", Tone::Waiting),
            Self::GivenUp => ("✗", Tone::Bad),
            Self::Left => ("–", Tone::Dim),
        }
    }
}

/// Draws the run, as it is at `now_ms`.
pub(crate) fn lines(id: &str, progress: &Progress, now_ms: u64) -> Vec<Line> {
    let tree = Tree { progress, now_ms };
    let mut out = vec![tree.header(id)];
    match progress.first.as_slice() {
        [first] => draw(&tree, &fold_runs(&tree, tree.column(*first, 0)), "", "", &mut out),
        several => {
            let branches = several.iter().map(|first| tree.column(*first, 1)).collect();
            draw_branches(&tree, &fold_branches(&tree, branches), "", &mut out);
        }
    }
    out
}

/// A run at one moment.
struct Tree<'a> {
    progress: &'a Progress,
    now_ms: u64,
}

impl Tree<'_> {
    /// The task and what follows it in its column, without a branch deeper than allowed.
    fn column(&self, first: u32, depth: usize) -> Column {
        let mut column = Column::new();
        let mut next = Some(first);
        while let Some(number) = next.take() {
            let Some(task) = self.progress.tasks.get(&number) else { break };
            let mut branches = Vec::new();
            match (task.next.as_slice(), task.opened.as_slice()) {
                ([], []) => {}
                ([only], []) => next = Some(*only),
                _ if depth >= DEPTH_MAX => branches.push(vec![Cell { what: What::Deeper, branches: Vec::new() }]),
                ([], [scope]) => {
                    branches = self.scope(*scope, depth);
                    let (continued, join) = self.continuation(*scope);
                    column.push(Cell { what: What::Task(number), branches });
                    column.extend(join);
                    next = continued;
                    continue;
                }
                (several, scopes) => {
                    branches.extend(several.iter().map(|task| self.column(*task, depth + 1)));
                    for scope in scopes {
                        let mut beside = vec![Cell { what: What::FanOut, branches: self.scope(*scope, depth + 1) }];
                        let (continued, join) = self.continuation(*scope);
                        beside.extend(join);
                        beside.extend(continued.map(|task| self.column(task, depth + 1)).unwrap_or_default());
                        branches.push(beside);
                    }
                    branches = fold_branches(self, branches);
                }
            }
            column.push(Cell { what: What::Task(number), branches });
        }
        column
    }

    fn scope(&self, scope: u32, depth: usize) -> Vec<Column> {
        let first = self.progress.scopes.get(&scope).map(|scope| scope.first.as_slice()).unwrap_or_default();
        fold_branches(self, first.iter().map(|task| self.column(*task, depth + 1)).collect())
    }

    /// The task that continues a scope, or the join that still waits.
    fn continuation(&self, number: u32) -> (Option<u32>, Option<Cell>) {
        let Some(scope) = self.progress.scopes.get(&number) else { return (None, None) };
        let waits = !scope.closed && !scope.continuation.is_empty();
        (scope.continued, waits.then(|| Cell { what: What::Join(number), branches: Vec::new() }))
    }

    fn mark(&self, task: &Task) -> Mark {
        match task.state {
            TaskState::Done { .. } => Mark::Done,
            TaskState::GivenUp => Mark::GivenUp,
            _ if is_final(self.progress.status) => Mark::Left,
            TaskState::Ready => Mark::Ready,
            TaskState::Delayed { until_ms } if until_ms <= self.now_ms => Mark::Ready,
            TaskState::Delayed { .. } => Mark::Delayed,
            TaskState::Blocked => Mark::Blocked,
            TaskState::Failed { .. } => Mark::Failed,
        }
    }

    fn header(&self, id: &str) -> Line {
        let Progress { status, reason, started_ms, ended_ms, tasks, skipped, .. } = self.progress;
        let end = if *ended_ms > 0 { *ended_ms } else { self.now_ms };
        let done = tasks.values().filter(|task| matches!(task.state, TaskState::Done { .. })).count();
        let skipped = if *skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        let reason = if reason.is_empty() { String::new() } else { format!("  {}", short(reason)) };
        Line::of(Tone::Strong, id)
            .add(tone(*status), format!("  {}", status_name(*status)))
            .add(Tone::Plain, format!("  {}", duration_ms(end.saturating_sub(*started_ms))))
            .add(Tone::Dim, format!("  {done} of {} tasks done{skipped}", tasks.len()))
            .add(Tone::Plain, reason)
    }

    fn line(&self, what: &What) -> Line {
        match what {
            What::Task(number) => match self.progress.tasks.get(number) {
                Some(task) => self.task(*number, task),
                None => Line::default(),
            },
            What::Folded(nodes, count, example) => {
                let mut line = Line::default();
                for (at, (mark, node)) in nodes.iter().enumerate() {
                    let (sign, tone) = mark.sign();
                    let arrow = if at > 0 { " → " } else { "" };
                    line = line.add(Tone::Dim, arrow).add(tone, sign).add(Tone::Plain, format!(" {node}"));
                }
                let error = self.progress.tasks.get(example).map(|task| task.error.as_str()).unwrap_or_default();
                let error = match nodes.as_slice() {
                    [(Mark::Failed | Mark::GivenUp, _)] if !error.is_empty() => format!("  such as #{example}: {}", short(error)),
                    _ => String::new(),
                };
                line.add(Tone::Strong, format!(" ×{count}")).add(Tone::Dim, error)
            }
            What::FanOut => Line::of(Tone::Dim, "fan-out"),
            What::Join(number) => match self.progress.scopes.get(number) {
                Some(scope) => Line::of(Tone::Waiting, "⋈")
                    .add(Tone::Plain, format!(" {}", scope.continuation))
                    .add(Tone::Dim, format!("  waits for {} of {}", scope.total.saturating_sub(scope.resolved), scope.total)),
                None => Line::default(),
            },
            What::More(count) => Line::of(Tone::Dim, format!("… and {count} more branches")),
            What::Deeper => Line::of(Tone::Dim, "… and deeper"),
        }
    }

    fn task(&self, number: u32, task: &Task) -> Line {
        let mark = self.mark(task);
        let (sign, tone) = mark.sign();
        let line = Line::of(tone, sign).add(Tone::Plain, format!(" {}", task.node)).add(Tone::Dim, format!(" #{number}"));
        let left = |until_ms: u64| duration_ms(until_ms.saturating_sub(self.now_ms));
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
            _ if mark == Mark::Left => line.add(Tone::Dim, "  left"),
            TaskState::Delayed { until_ms } if until_ms > self.now_ms => line.add(Tone::Waiting, format!("  in {}", left(until_ms))),
            TaskState::Ready | TaskState::Delayed { .. } => {
                line.add(Tone::Dim, format!("  {}", duration_ms(self.now_ms.saturating_sub(task.created_ms))))
            }
            TaskState::Blocked => line.add(Tone::Waiting, "  waits for a change of the state"),
            TaskState::Failed { retry_at_ms } if retry_at_ms > self.now_ms => {
                line.add(Tone::Waiting, format!("  attempt {} failed, again in {}{because}", task.attempts, left(retry_at_ms)))
            }
            TaskState::Failed { .. } => line.add(Tone::Waiting, format!("  attempt {} after{because}", task.attempts + 1)),
        }
    }
}

fn draw(tree: &Tree<'_>, column: &[Cell], first: &str, rest: &str, out: &mut Vec<Line>) {
    for (at, cell) in column.iter().enumerate() {
        out.push(Line::of(Tone::Dim, if at == 0 { first } else { rest }).join(tree.line(&cell.what)));
        draw_branches(tree, &cell.branches, rest, out);
    }
}

fn draw_branches(tree: &Tree<'_>, branches: &[Column], prefix: &str, out: &mut Vec<Line>) {
    for (at, branch) in branches.iter().enumerate() {
        let (first, rest) = if at + 1 == branches.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(tree, branch, &format!("{prefix}{first}"), &format!("{prefix}{rest}"), out);
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
