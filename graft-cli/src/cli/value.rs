//! How values on the command line are read: durations, points in time, labels, names of tasks.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use graft_proto::documents::Time;

/// A wait without an end, as it is written.
pub(crate) const FOREVER: &str = "forever";
/// Everything, where nodes are named.
const ALL: &str = "all";

/// How long a command waits for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as it takes.
    Forever,
    /// At most for so long.
    AtMost(Duration),
}

/// A point in time as it is written: how long ago, or exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// So long before now.
    Ago(Duration),
    /// Milliseconds since the Unix epoch.
    At(u64),
}

impl When {
    /// The time that is meant, if it is `now`; never one before 1970.
    pub(crate) fn at(self, now: SystemTime) -> SystemTime {
        match self {
            Self::Ago(time) => now.checked_sub(time).map_or(UNIX_EPOCH, |at| at.max(UNIX_EPOCH)),
            Self::At(ms) => UNIX_EPOCH + Duration::from_millis(ms),
        }
    }
}

/// A task of a workflow, as `WORKFLOW/TASK`, or `WORKFLOW/TASK@RUN`. What stands before the last slash is the workflow's id, which may have
/// slashes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskRef {
    /// Id of the workflow.
    pub(crate) workflow: String,
    /// Number of the run; 0 is the current one.
    pub(crate) run: u64,
    /// Number of the task.
    pub(crate) task: u32,
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, run, task } = self;
        write!(f, "{workflow}/{task}")?;
        if *run > 0 { write!(f, "@{run}") } else { Ok(()) }
    }
}

/// What a graph shows task by task instead of folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfold {
    /// Every node.
    All,
    /// This node.
    Node(String),
}

/// Reads a name or an id, which is more than nothing.
pub(crate) fn named(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty: is a variable of the shell that it came from?".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE, such as team=sales".to_owned()),
    }
}

/// Reads `250ms`, `10s`, `5m`, `1h` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let refused = || "a duration is a whole number with a unit: 250ms, 10s, 5m, 1h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
    number.checked_mul(*ms).map(Duration::from_millis).ok_or_else(refused)
}

/// Reads a duration that is not zero.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(time) })
}

/// Reads how long is waited.
pub(crate) fn wait(text: &str) -> Result<Wait, String> {
    if text == FOREVER { Ok(Wait::Forever) } else { some_time(text).map(Wait::AtMost) }
}

/// Reads a point in time: `2h` (ago), or RFC 3339.
pub(crate) fn when(text: &str) -> Result<When, String> {
    if let Ok(ago) = duration(text) {
        return Ok(When::Ago(ago));
    }
    let exact = text.parse().map(|Time(ms)| When::At(ms));
    exact.map_err(|_| "a time is how long ago it was (2h, 7d), or exact: 2026-11-24T04:05:06Z".to_owned())
}

/// Reads `WORKFLOW/TASK`, or `WORKFLOW/TASK@RUN`.
pub(crate) fn task_ref(text: &str) -> Result<TaskRef, String> {
    let refused = || "a task is WORKFLOW/TASK: the workflow's id, a slash, the number of the task, such as order-1042/7".to_owned();
    let (workflow, task) = text.rsplit_once('/').ok_or_else(refused)?;
    let (task, run) = match task.split_once('@') {
        Some((task, run)) => (task, run.parse().ok().filter(|run| *run > 0).ok_or_else(refused)?),
        None => (task, 0),
    };
    match task.parse() {
        Ok(task) if task > 0 && !workflow.is_empty() => Ok(TaskRef { workflow: workflow.to_owned(), run, task }),
        _ => Err(refused()),
    }
}

/// Reads a node's name, or `all`.
pub(crate) fn unfold(text: &str) -> Result<Unfold, String> {
    match text {
        "" => Err("name a node, or all".to_owned()),
        ALL => Ok(Unfold::All),
        node => Ok(Unfold::Node(node.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "1.5s", "5 s", "-1s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(bad).unwrap_err().contains("10s"), "{bad}");
        }
    }

    #[test]
    fn a_wait_of_nothing_is_none() {
        assert_eq!(wait("5s"), Ok(Wait::AtMost(Duration::from_secs(5))));
        assert_eq!(wait(FOREVER), Ok(Wait::Forever));
        assert!(wait("0s").unwrap_err().contains("longer than nothing"));
    }

    #[test]
    fn a_time_is_how_long_ago_or_exact() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(when("2h").unwrap().at(at(10_000_000)), at(2_800_000));
        assert_eq!(when("2h").unwrap().at(at(5)), UNIX_EPOCH);
        assert_eq!(when("1970-01-01T00:00:01.500Z").unwrap().at(at(10_000_000)), at(1_500));
        for bad in ["yesterday", "2026-13-01T00:00:00Z", "", "2h ago"] {
            assert!(when(bad).unwrap_err().contains("2h"), "{bad}");
        }
    }

    #[test]
    fn a_task_is_named_by_its_workflow_and_its_number() {
        assert_eq!(task_ref("a/b/7"), Ok(TaskRef { workflow: "a/b".into(), run: 0, task: 7 }));
        assert_eq!(task_ref("a@1/7@12"), Ok(TaskRef { workflow: "a@1".into(), run: 12, task: 7 }));
        for text in ["a/b/7", "a@1/7@12"] {
            assert_eq!(task_ref(text).unwrap().to_string(), text);
        }
        for bad in ["a", "a/", "/7", "a/0", "a/x", "a/-1", "a/7@", "a/7@0", "a/7@x", "a/@1"] {
            assert!(task_ref(bad).unwrap_err().contains("order-1042/7"), "{bad}");
        }
    }

    /// What anybody types, and what a cat does: each text is read, or refused with words.
    #[test]
    fn every_text_is_read_or_refused_with_words() {
        const PIECES: [&str; 24] = [
            "",
            "7",
            "18446744073709551616",
            "ms",
            "s",
            "d",
            "-",
            "+",
            ".",
            "/",
            "@",
            "=",
            "order",
            "all",
            " ",
            "\0",
            "é",
            "🦀",
            "\u{202e}",
            "2026-11-24",
            "T",
            "04:05:06",
            "Z",
            "9999-12-31T23:59:60Z",
        ];
        let mut number = 1_u64;
        let mut below = |end: usize| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) as usize % end
        };
        for _ in 0..50_000 {
            let text: String = (0..below(6)).map(|_| PIECES[below(PIECES.len())]).collect();
            let refused = [
                named(&text).err(),
                label(&text).err(),
                duration(&text).err(),
                some_time(&text).err(),
                wait(&text).err(),
                when(&text).err(),
                task_ref(&text).err(),
                unfold(&text).err(),
            ];
            assert!(refused.iter().flatten().all(|why| why.len() > 10), "{text:?}: {refused:?}");
            if let Ok(task) = task_ref(&text) {
                assert_eq!(task_ref(&task.to_string()).as_ref(), Ok(&task), "{text:?}");
            }
            if let Ok(when) = when(&text) {
                let _ = when.at(UNIX_EPOCH);
            }
        }
    }
}
