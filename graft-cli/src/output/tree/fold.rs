//! Folding: what is equal and much is shown once, with a count.

use std::collections::BTreeMap;

use super::{BRANCHES_MAX, Cell, Column, FOLD_FROM, Mark, Tree, What};

/// Longest column that is compared with its siblings, in cells.
const SIGNATURE_MAX: usize = 6;

/// A column as what one would see of it: marks and nodes, in order.
type Signature = Vec<(Mark, String)>;

/// In a column: more than [`FOLD_FROM`] equal tasks in a row, none of them with branches, become one cell.
pub(super) fn fold_runs(tree: &Tree<'_>, column: Column) -> Column {
    let mut folded = Column::new();
    let mut run: Vec<Cell> = Vec::new();
    let mut seen: Option<(Mark, String)> = None;
    for cell in column {
        let look = leaf(tree, &cell);
        if look.is_none() || look != seen {
            close_run(&mut run, seen.take(), &mut folded);
        }
        match look {
            Some(look) => {
                seen = Some(look);
                run.push(cell);
            }
            None => folded.push(cell),
        }
    }
    close_run(&mut run, seen, &mut folded);
    folded
}

fn close_run(run: &mut Vec<Cell>, look: Option<(Mark, String)>, folded: &mut Column) {
    let cells = std::mem::take(run);
    match (look, cells.first().map(|cell| &cell.what)) {
        (Some(look), Some(What::Task(example))) if cells.len() > FOLD_FROM => {
            folded.push(Cell { what: What::Folded(vec![look], cells.len(), *example), branches: Vec::new() });
        }
        _ => folded.extend(cells),
    }
}

/// Of a task's branches: more than [`FOLD_FROM`] that look the same become one, where the first of them stood; then at most [`BRANCHES_MAX`].
pub(super) fn fold_branches(tree: &Tree<'_>, branches: Vec<Column>) -> Vec<Column> {
    let branches: Vec<Column> = branches.into_iter().map(|branch| fold_runs(tree, branch)).collect();
    let signatures: Vec<Option<Signature>> = branches.iter().map(|branch| signature(tree, branch)).collect();
    let mut counts: BTreeMap<Signature, usize> = BTreeMap::new();
    for signature in signatures.iter().flatten() {
        match counts.get_mut(signature) {
            Some(count) => *count += 1,
            None => {
                counts.insert(signature.clone(), 1);
            }
        }
    }
    let mut folded = Vec::new();
    for (branch, signature) in branches.into_iter().zip(signatures) {
        let count = signature.as_ref().and_then(|signature| counts.get_mut(signature));
        match (signature, count, branch.first().map(|cell| &cell.what)) {
            // Already shown by the first of them.
            (_, Some(0), _) => {}
            (Some(signature), Some(count), Some(What::Task(example))) if *count > FOLD_FROM => {
                folded.push(vec![Cell { what: What::Folded(signature, *count, *example), branches: Vec::new() }]);
                *count = 0;
            }
            _ => folded.push(branch),
        }
    }
    if folded.len() > BRANCHES_MAX {
        let more = folded.split_off(BRANCHES_MAX - 1).len();
        folded.push(vec![Cell { what: What::More(more), branches: Vec::new() }]);
    }
    folded
}

/// What one sees of a column, if it is short and plain enough to be compared.
fn signature(tree: &Tree<'_>, column: &Column) -> Option<Signature> {
    if column.len() > SIGNATURE_MAX {
        return None;
    }
    column.iter().map(|cell| leaf(tree, cell)).collect()
}

/// What one sees of a task without branches.
fn leaf(tree: &Tree<'_>, cell: &Cell) -> Option<(Mark, String)> {
    match cell.what {
        What::Task(number) if cell.branches.is_empty() => tree.progress.tasks.get(&number).map(|task| (tree.mark(task), task.node.clone())),
        _ => None,
    }
}
