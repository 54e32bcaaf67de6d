//! Which keys there are, taken from the defaults themselves, so that no list can go stale; and what somebody may have meant.

use serde_json::Value;

use super::{Config, Problem};

/// How alike two keys must be for one to be suggested for the other (0 to 1).
const ALIKE_MIN: f64 = 0.7;

/// The keys of the configuration.
pub(super) struct Keys {
    /// Dotted, as in `raft.heartbeat`.
    known: Vec<String>,
    /// Tables whose keys are free, as `scheduler.node_limits`.
    open: Vec<String>,
}

impl Keys {
    /// Read from the defaults: an empty table is one whose keys are free.
    pub(super) fn of_defaults() -> Self {
        let mut keys = Self { known: Vec::new(), open: Vec::new() };
        let defaults = serde_json::to_value(Config::default()).expect("the defaults are plain data");
        keys.collect(String::new(), &defaults);
        keys
    }

    fn collect(&mut self, path: String, value: &Value) {
        match value {
            Value::Object(table) if table.is_empty() => self.open.push(path),
            Value::Object(table) => {
                for (key, value) in table {
                    self.collect(join(&path, key), value);
                }
            }
            _ => self.known.push(path),
        }
    }

    /// What is wrong with the keys of a file.
    pub(super) fn unknown_in_file(&self, file: &str, table: &toml::Table) -> Vec<Problem> {
        let mut found = Vec::new();
        self.walk(String::new(), table, &mut found);
        found.into_iter().map(|key| self.unknown(&key, &key, |known| known.to_owned()).said_in(file)).collect()
    }

    fn walk(&self, path: String, table: &toml::Table, found: &mut Vec<String>) {
        for (key, value) in table {
            let path = join(&path, key);
            match value {
                _ if self.open.contains(&path) || self.known.contains(&path) => {}
                toml::Value::Table(inner) if self.is_section(&path) => self.walk(path, inner, found),
                _ => found.push(path),
            }
        }
    }

    /// What is wrong with the variables of the environment that begin with `GRAFT__`.
    pub(super) fn unknown_in_environment<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<Problem> {
        let variable = |key: &str| format!("GRAFT__{}", key.replace('.', "__").to_uppercase());
        let mut problems = Vec::new();
        for name in names {
            let key = name.trim_start_matches("GRAFT__").replace("__", ".").to_lowercase();
            let free = self.open.iter().any(|open| key.strip_prefix(open.as_str()).is_some_and(|rest| rest.starts_with('.')));
            if !free && !self.known.contains(&key) {
                problems.push(self.unknown(&key, name, variable).said_in("the environment"));
            }
        }
        problems
    }

    fn is_section(&self, path: &str) -> bool {
        let inside = |key: &String| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.known.iter().any(inside) || self.open.iter().any(inside)
    }

    fn unknown(&self, key: &str, shown: &str, show: impl Fn(&str) -> String) -> Problem {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let likeness = |candidate: &&String| {
            // The right word in the wrong section is a likely mistake as well.
            let whole = strsim::normalized_damerau_levenshtein(key, candidate);
            let word = strsim::normalized_damerau_levenshtein(&last(key), &last(candidate)) * 0.95;
            whole.max(word)
        };
        let best = self.known.iter().chain(&self.open).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let remedy = match best.filter(|best| likeness(best) >= ALIKE_MIN) {
            Some(best) => format!("did you mean `{}`?", show(best)),
            None => "remove it; deploy/graftd.toml.example lists every key".to_owned(),
        };
        Problem::of(shown, "there is no such key", remedy)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
