//! Which keys there are, taken from the defaults themselves, so that no list can go stale; and what somebody may have meant.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::{Config, Problem};

/// Prefix of the environment variables that are configuration.
pub(super) const PREFIX: &str = "GRAFT__";
/// How alike two keys must be for one to be suggested for the other (0 to 1).
const ALIKE_MIN: f64 = 0.7;
/// Where every key is explained.
const PAGE: &str = "`graftd config print --defaults` lists every key";

/// A key: its steps, as `["raft", "heartbeat"]`.
pub(super) type Path = Vec<String>;

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A section, as `raft`.
    Section,
    /// A value, as `raft.heartbeat`.
    Value,
    /// A table whose keys are free, as `scheduler.node_limits`.
    Open,
}

/// The keys of the configuration.
pub(super) struct Keys {
    /// Dotted, in the order of the declaration; with each whether its own keys are free.
    known: Vec<(String, bool)>,
}

impl Keys {
    /// Read from the defaults: an empty table is one whose keys are free.
    pub(super) fn of_defaults() -> Self {
        let sections = in_order(&Config::default());
        let keys = sections
            .into_iter()
            .flat_map(|(section, keys)| keys.into_iter().map(move |(key, value)| (format!("{section}.{key}"), value.is_object())));
        Self { known: keys.collect() }
    }

    /// What this is; `None`: nothing.
    pub(super) fn kind(&self, path: &[String]) -> Option<Kind> {
        let path = path.join(".");
        if let Some((_, open)) = self.known.iter().find(|(known, _)| *known == path) {
            return Some(if *open { Kind::Open } else { Kind::Value });
        }
        let inside = |known: &str| known.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.'));
        self.known.iter().any(|(known, _)| inside(known)).then_some(Kind::Section)
    }

    /// The key that a variable stands for, and what it is.
    pub(super) fn of_variable(&self, name: &str) -> Option<(Path, Kind)> {
        let (key, open) = self.known.iter().find(|(key, _)| variable(key) == name)?;
        let path = key.split('.').map(str::to_owned).collect();
        Some((path, if *open { Kind::Open } else { Kind::Value }))
    }

    /// A key in a file that is none.
    pub(super) fn unknown(&self, key: &str) -> Problem {
        self.refuse(key, key, str::to_owned)
    }

    /// A variable that stands for no key.
    pub(super) fn unknown_variable(&self, name: &str) -> Problem {
        if let Some((open, _)) = self.known.iter().find(|(key, open)| *open && name.starts_with(&format!("{}__", variable(key)))) {
            let remedy = format!("write all in one variable: {}=\"ocr=4, team-a/ocr=2\"", variable(open));
            return Problem::of(
                name,
                format!("the names in {open} are as they are written, which the name of a variable cannot be"),
                remedy,
            );
        }
        let key = name.trim_start_matches(PREFIX).replace("__", ".").to_lowercase();
        self.refuse(&key, name, variable)
    }

    fn refuse(&self, key: &str, shown: &str, show: impl Fn(&str) -> String) -> Problem {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let likeness = |candidate: &str| {
            // The right word in the wrong section is a likely mistake as well.
            let whole = strsim::normalized_damerau_levenshtein(key, candidate);
            let word = strsim::normalized_damerau_levenshtein(&last(key), &last(candidate)) * 0.95;
            whole.max(word)
        };
        let sections = self.known.iter().filter_map(|(key, _)| key.split('.').next());
        // A section can only be meant by what stands where sections stand.
        let candidates: Vec<&str> = match key.contains('.') {
            true => self.known.iter().map(|(key, _)| key.as_str()).collect(),
            false => self.known.iter().map(|(key, _)| key.as_str()).chain(sections).collect(),
        };
        let best = candidates.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let remedy = match best.filter(|best| likeness(best) >= ALIKE_MIN) {
            Some(best) => format!("did you mean `{}`?", show(best)),
            None => format!("remove it; {PAGE}"),
        };
        Problem::of(shown, "there is no such key", remedy)
    }
}

/// Every key, dotted, in the order of the declaration.
pub fn all_keys() -> Vec<String> {
    Keys::of_defaults().known.into_iter().map(|(key, _)| key).collect()
}

/// The environment variable of a key.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// A key as it is written in a file: what is no bare word is quoted.
pub(super) fn dotted(path: &[String]) -> String {
    path.iter().map(|step| bare_or_quoted(step)).collect::<Vec<_>>().join(".")
}

/// One step of a key as TOML has it.
pub(super) fn bare_or_quoted(step: &str) -> String {
    let bare = !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { step.to_owned() } else { toml_text(step) }
}

/// Text as TOML has it: what JSON writes is TOML, but for one character.
pub(super) fn toml_text(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The sections and their keys, in the order of the declaration.
pub(super) fn in_order(config: &Config) -> Vec<(String, Vec<(String, Value)>)> {
    let text = serde_json::to_string(config).expect("a configuration is plain data");
    let sections: InOrder<InOrder<Value>> = serde_json::from_str(&text).expect("it was just written");
    sections.0.into_iter().map(|(section, keys)| (section, keys.0)).collect()
}

/// A JSON object whose members keep their order.
struct InOrder<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = InOrder<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<InOrder<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(InOrder(all))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_come_in_the_order_of_their_declaration() {
        let keys = all_keys();
        assert_eq!(keys[..3], ["node.name", "node.data_dir", "client.listen"]);
        assert_eq!(keys.last().unwrap(), "shutdown.grace");
    }

    /// What is shown by `config print` and stands in the environment must be no secret.
    #[test]
    fn a_secret_is_only_ever_named_by_a_file() {
        for key in all_keys() {
            let word = key.rsplit('.').next().unwrap();
            let secret = ["token", "password", "passphrase", "secret", "private"].iter().any(|secret| word.contains(secret));
            assert!(!secret || word.ends_with("_file"), "{key} would show a secret");
        }
    }

    #[test]
    fn what_is_no_bare_key_is_quoted() {
        assert_eq!(
            dotted(&["scheduler".into(), "node_limits".into(), "team.a/\"x\"".into()]),
            "scheduler.node_limits.\"team.a/\\\"x\\\"\""
        );
    }
}
