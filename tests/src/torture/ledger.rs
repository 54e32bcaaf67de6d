//! The execution ledger: what workers have done, written outside of Graft while they did it.
//!
//! One file that all worker processes append to. One execution is one line, written with one `write` to a file opened for appending: the system
//! puts each at the end, whole, whoever else writes, and a process that is killed has written its line or not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a line begins with that tells when an execution ended.
const END: &str = "end";

/// The clock of the machine, in milliseconds: all processes of a run have the same one. (The clocks that jump are worn by members alone.)
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// One execution of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Run of the workflow.
    pub run: u64,
    /// Number of the task.
    pub task: u32,
    /// Number of the attempt.
    pub attempt: u32,
    /// The lease: term and number.
    pub lease: (u64, u64),
    /// Step of the program.
    pub step: u32,
    /// Number of the execution; the mark in the state has the same one.
    pub execution: u64,
    /// What the worker was given as the task's idempotency key, hashed.
    pub key: u64,
    /// When it began; see [`read`].
    pub began_ms: u64,
    /// When it had ended, before its result was sent: of the node that few may execute at once, and of none else.
    pub ended_ms: Option<u64>,
}

/// The file, for those who write it.
#[derive(Debug)]
pub struct Ledger(File);

impl Ledger {
    /// Opens it for appending.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(File::options().create(true).append(true).open(path)?))
    }

    /// Writes one execution.
    ///
    /// # Errors
    /// The line is not there, or only a part of it.
    pub fn write(&self, row: &Row) -> io::Result<()> {
        let Row { run, task, attempt, lease: (term, sequence), step, execution, key, began_ms, ended_ms: _ } = row;
        self.line(&format!("{run} {task} {attempt} {term} {sequence} {step} {execution} {key} {began_ms}\n"))
    }

    /// Writes that an execution has ended, now.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn ended(&self, execution: u64) -> io::Result<()> {
        self.line(&format!("{END} {execution} {}\n", now_ms()))
    }

    fn line(&self, line: &str) -> io::Result<()> {
        // `write` and not `write_all`: a line in two pieces would be none.
        match (&self.0).write(line.as_bytes())? {
            written if written == line.len() => Ok(()),
            written => Err(io::Error::other(format!("{written} of {} bytes were written", line.len()))),
        }
    }
}

/// Reads all rows. Their times count from `since`, of the clock of [`now_ms`].
///
/// # Errors
/// The file cannot be read, or holds what is no row.
pub fn read(path: &Path, since: u64) -> io::Result<Vec<Row>> {
    let text = fs::read_to_string(path)?;
    let (mut rows, mut ends) = (Vec::new(), BTreeMap::new());
    for (at, line) in text.lines().enumerate() {
        let end = line.strip_prefix(END).map(str::trim_start);
        let numbers: Result<Vec<u64>, _> = end.unwrap_or(line).split(' ').map(str::parse).collect();
        match (end.is_some(), numbers.as_deref()) {
            (true, Ok(&[execution, ended])) => drop(ends.insert(execution, ended.saturating_sub(since))),
            (false, Ok(&[run, task, attempt, term, sequence, step, execution, key, began])) => rows.push(Row {
                run,
                task: task as u32,
                attempt: attempt as u32,
                lease: (term, sequence),
                step: step as u32,
                execution,
                key,
                began_ms: began.saturating_sub(since),
                ended_ms: None,
            }),
            _ => return Err(io::Error::other(format!("line {} of {} is no execution: {line:?}", at + 1, path.display()))),
        }
    }
    rows.iter_mut().for_each(|row: &mut Row| row.ended_ms = ends.get(&row.execution).copied());
    Ok(rows)
}

/// The ledger as it is judged.
#[derive(Debug, Default)]
pub struct Executions {
    by_execution: BTreeMap<u64, Row>,
    /// What the ledger alone shows to be wrong.
    pub wrong: Vec<String>,
}

impl Executions {
    /// Sorts the rows, and finds those that must not be.
    pub fn of(rows: &[Row]) -> Self {
        let mut all = Self::default();
        let mut rights: BTreeMap<(u64, u32, u32, (u64, u64)), u64> = BTreeMap::new();
        let mut keys: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
        let mut attempts: BTreeMap<(u64, u64), (u64, u32, u32)> = BTreeMap::new();
        for row in rows {
            let Row { run, task, attempt, lease, execution, key, .. } = *row;
            if let Some(before) = rights.insert((run, task, attempt, lease), execution) {
                all.wrong.push(format!(
                    "run {run}, task {task}, attempt {attempt} was executed twice under lease {lease:?}: {before}, {execution}"
                ));
            }
            let of = *attempts.entry(lease).or_insert((run, task, attempt));
            if of != (run, task, attempt) {
                all.wrong.push(format!("lease {lease:?} was given for {of:?} and for {:?}", (run, task, attempt)));
            }
            let of = *keys.entry(key).or_insert((run, task));
            if of != (run, task) {
                all.wrong.push(format!("idempotency key {key} was given to {of:?} and to {:?}", (run, task)));
            }
            if all.by_execution.insert(execution, *row).is_some() {
                all.wrong.push(format!("execution {execution} stands there twice"));
            }
        }
        // A task has one key for all its attempts.
        let mut tasks: BTreeMap<(u64, u32), u64> = BTreeMap::new();
        for row in rows {
            if *tasks.entry((row.run, row.task)).or_insert(row.key) != row.key {
                all.wrong.push(format!("run {}, task {} was given two idempotency keys", row.run, row.task));
            }
        }
        all
    }

    /// The execution with this number.
    pub fn get(&self, execution: u64) -> Option<&Row> {
        self.by_execution.get(&execution)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.by_execution.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(task: u32, attempt: u32, sequence: u64) -> Row {
        let execution = u64::from(task) << 32 | u64::from(attempt) << 16 | sequence;
        Row { run: 1, task, attempt, lease: (1, sequence), step: task, execution, key: u64::from(task), began_ms: 0, ended_ms: None }
    }

    #[test]
    fn what_is_written_by_several_is_read_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let path = &path;
                scope.spawn(move || {
                    let ledger = Ledger::open(path).unwrap();
                    for n in 0..250 {
                        ledger.write(&row(thread * 250 + n, 1, u64::from(thread * 250 + n))).unwrap();
                    }
                });
            }
        });
        let rows = read(&path, 0).unwrap();
        assert_eq!((rows.len(), Executions::of(&rows).wrong.len()), (1_000, 0));
        fs::write(&path, "1 2 3\n").unwrap();
        assert!(read(&path, 0).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn the_end_of_an_execution_goes_to_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ledger = Ledger::open(&path).unwrap();
        let begun = Row { began_ms: now_ms(), ..row(1, 1, 1) };
        ledger.write(&begun).unwrap();
        ledger.write(&row(2, 1, 2)).unwrap();
        ledger.ended(begun.execution).unwrap();
        let rows = read(&path, begun.began_ms - 5).unwrap();
        assert_eq!((rows[0].began_ms, rows[1].ended_ms), (5, None));
        assert!(rows[0].ended_ms.is_some_and(|ended| ended >= 5), "{rows:?}");
    }

    #[test]
    fn an_attempt_may_be_executed_again_but_not_under_the_same_lease() {
        assert!(Executions::of(&[row(1, 1, 1), row(1, 1, 2), row(1, 2, 3)]).wrong.is_empty());
        let twice = Row { execution: 99, ..row(1, 1, 1) };
        let wrong = Executions::of(&[row(1, 1, 1), twice]).wrong;
        assert!(wrong.len() == 1 && wrong[0].contains("twice under lease"), "{wrong:?}");
    }

    #[test]
    fn a_key_or_a_lease_of_two_tasks_is_wrong_and_so_is_a_task_with_two_keys() {
        let wrong = Executions::of(&[row(1, 1, 1), Row { key: 1, ..row(2, 1, 2) }]).wrong;
        assert!(wrong.len() == 1 && wrong[0].contains("idempotency key"), "{wrong:?}");
        let wrong = Executions::of(&[row(1, 1, 1), Row { key: 7, ..row(1, 2, 2) }]).wrong;
        assert!(wrong.len() == 1 && wrong[0].contains("two idempotency keys"), "{wrong:?}");
        let wrong = Executions::of(&[row(1, 1, 1), row(2, 1, 1)]).wrong;
        assert!(wrong.len() == 1 && wrong[0].contains("lease (1, 1)"), "{wrong:?}");
    }
}
