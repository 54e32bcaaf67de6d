//! What each number may be by itself. The check, the schema and the reference page read the same table.

use serde_json::Value;

use super::keys::in_order;
use super::{Config, Problem, Size, Span};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things.
    Count,
    /// Milliseconds, written as a duration.
    Time,
    /// Bytes, written as a size.
    Bytes,
}

/// The least and the most that a key may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The key.
    pub(super) key: &'static str,
    pub(super) unit: Unit,
    pub(super) least: u64,
    pub(super) most: u64,
    /// What is beyond the most breaks something that no error would explain: this.
    because: &'static str,
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const MILLION: u64 = 1_000_000;
const BILLION: u64 = 1_000 * MILLION;

const LONG_DEAD: &str = "a dead leader would go unnoticed for longer than anybody waits";
const NO_MEMORY: &str = "no machine has so much";
const NO_DISK: &str = "no disk has so much";
const NEVER: &str = "it would as good as never come";

/// Every key that is a number, a duration or a size. A test holds that none is missing.
const BOUNDS: &[Bounds] = &[
    of("cluster.expect", Unit::Count, 1, 9, "more members only cost time"),
    of("cluster.max_voters", Unit::Count, 1, 9, "each entry would wait for more members than any loss is worth"),
    of("cluster.promote_after", Unit::Time, 100, HOUR, "the cluster would go on with fewer voters as long"),
    of("cluster.replace_after", Unit::Time, SECOND, DAY, "a lost disk would leave the cluster with a voter less as long"),
    of("discovery.dns_every", Unit::Time, SECOND, HOUR, "a member that comes back under another address would not be found for as long"),
    of("raft.heartbeat", Unit::Time, 1, 60 * SECOND, LONG_DEAD),
    of("raft.election_min", Unit::Time, 4, 5 * 60 * SECOND, LONG_DEAD),
    of("raft.election_max", Unit::Time, 5, 10 * 60 * SECOND, LONG_DEAD),
    of("raft.batch_commands", Unit::Count, 1, MILLION, "so many commands are never there at once"),
    // With one more command it must fit the largest message that members take (16 MiB).
    of("raft.batch_bytes", Unit::Bytes, KIB, 8 * MIB, "the other members take no larger entries, and the log could never go on"),
    // openraft's queue to the state machine holds 1,024.
    of("raft.entries_in_flight", Unit::Count, 1, 256, "heartbeats would wait behind them"),
    of("raft.pending_commands", Unit::Count, 1, MILLION, "they would not fit in memory"),
    of("raft.snapshot_every", Unit::Count, 16, BILLION, NEVER),
    of("raft.snapshot_every_bytes", Unit::Bytes, MIB, TIB, NEVER),
    of("raft.log_keep", Unit::Count, 16, BILLION, NO_DISK),
    of("raft.log_keep_bytes", Unit::Bytes, MIB, TIB, NO_DISK),
    of("storage.cache", Unit::Bytes, MIB, TIB, NO_MEMORY),
    of("storage.log_cache", Unit::Bytes, MIB, TIB, NO_MEMORY),
    of("storage.overlay", Unit::Bytes, MIB, TIB, NO_MEMORY),
    of("storage.flush_interval", Unit::Time, 10, HOUR, "a restart would replay all that came since"),
    of("storage.log_tail", Unit::Bytes, MIB, TIB, NO_MEMORY),
    of("storage.disk_reserve", Unit::Bytes, 0, 64 * TIB, NO_DISK),
    of("scheduler.lease", Unit::Time, SECOND / 2, DAY, "the work of a dead worker would wait as long"),
    of("scheduler.total_limit", Unit::Count, 0, MILLION, "0 is no limit"),
    of("scheduler.node_limits", Unit::Count, 1, MILLION, "a node without an entry has no limit"),
    of("workflow.retention", Unit::Time, SECOND, 36_500 * DAY, "that is a hundred years"),
    of("shutdown.grace", Unit::Time, 0, HOUR, "whoever stops the daemon would not wait so long"),
];

const fn of(key: &'static str, unit: Unit, least: u64, most: u64, because: &'static str) -> Bounds {
    Bounds { key, unit, least, most, because }
}

/// The bounds of a key; `None`: it is no number.
pub(super) fn of_key(key: &str) -> Option<&'static Bounds> {
    BOUNDS.iter().find(|bounds| bounds.key == key)
}

impl Bounds {
    /// A number of this key as it is written.
    pub(super) fn shown(&self, number: u64) -> String {
        match self.unit {
            Unit::Count => number.to_string(),
            Unit::Time => Span::from_millis(number).to_string(),
            Unit::Bytes => Size::from_bytes(number).to_string(),
        }
    }

    fn read(&self, value: &Value) -> Option<u64> {
        match (self.unit, value) {
            (Unit::Count, value) => value.as_u64(),
            (Unit::Time, Value::String(text)) => text.parse().ok().map(Span::millis),
            (Unit::Bytes, Value::String(text)) => text.parse().ok().map(|size: Size| size.bytes() as u64),
            _ => None,
        }
    }

    fn problem(&self, key: String, number: u64) -> Option<Problem> {
        let shown = self.shown(number);
        if number < self.least {
            Some(Problem::of(key, format!("{shown} is too small"), format!("use at least {}", self.shown(self.least))))
        } else if number > self.most {
            Some(Problem::of(key, format!("{shown} is too much: {}", self.because), format!("use at most {}", self.shown(self.most))))
        } else {
            None
        }
    }
}

/// Every number that is out of its bounds.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (section, keys) in in_order(config) {
        for (key, value) in keys {
            let key = format!("{section}.{key}");
            let Some(bounds) = of_key(&key) else { continue };
            match &value {
                Value::Object(entries) => {
                    problems.extend(entries.iter().filter_map(|(name, value)| bounds.problem(format!("{key}.{name}"), bounds.read(value)?)))
                }
                value => problems.extend(bounds.read(value).and_then(|number| bounds.problem(key, number))),
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_bounds_that_hold_its_default() {
        for (section, keys) in in_order(&Config::default()) {
            for (key, value) in keys {
                let key = format!("{section}.{key}");
                let text = value.as_str().unwrap_or_default();
                let number = value.is_number() || text.parse::<Span>().is_ok() || text.parse::<Size>().is_ok();
                assert!(!number || of_key(&key).is_some(), "{key} has no bounds");
            }
        }
        assert_eq!(check(&Config::default()), []);
        let keys = super::super::all_keys();
        for bounds in BOUNDS {
            assert!(keys.iter().any(|key| key == bounds.key), "there is no {}", bounds.key);
            assert!(bounds.least < bounds.most, "{}", bounds.key);
        }
    }

    /// Each end of each key: the end itself is taken, what is beyond it is refused.
    #[test]
    fn every_bound_is_held_at_both_ends() {
        for bounds in BOUNDS {
            let with = |number: u64| {
                let (section, key) = bounds.key.split_once('.').unwrap();
                let value = if bounds.unit == Unit::Count { Value::from(number) } else { Value::from(bounds.shown(number)) };
                let value = if key == "node_limits" { serde_json::json!({ "ocr": value }) } else { value };
                let config: Config = serde_json::from_value(serde_json::json!({ section: { key: value } })).unwrap();
                check(&config).iter().filter(|problem| problem.what.starts_with(bounds.key)).count()
            };
            assert_eq!((with(bounds.least), with(bounds.most)), (0, 0), "{}", bounds.key);
            assert_eq!(with(bounds.most + 1), 1, "{}", bounds.key);
            if let Some(below) = bounds.least.checked_sub(1) {
                assert_eq!(with(below), 1, "{}", bounds.key);
            }
        }
    }
}
