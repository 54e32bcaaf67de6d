//! What can change while the daemon runs: which keys, and what a configuration that was read again changes.

use serde_json::Value;

use super::keys::in_order;
use super::print::toml_value;
use super::{Config, Loaded, Origin};

/// The keys that a running daemon takes over when it reads its configuration again. Whoever reads one of them reads it each time that it decides
/// something; all the others are read once, at the start. A test of `tests/keys` has a row for each.
const LIVE: [&str; 13] = [
    "cluster.join",
    "cluster.expected_members",
    "cluster.max_voters",
    "cluster.promote_after",
    "cluster.replace_after",
    "auth.required",
    "auth.root_token_file",
    "auth.rules",
    "auth.redacted_fields",
    "storage.disk_reserve",
    "workflow.retention",
    "log.level",
    "shutdown.grace",
];

/// The keys whose change takes effect in a running daemon.
pub fn live_keys() -> &'static [&'static str] {
    &LIVE
}

/// Whether it is one of them.
pub(super) fn is_live(key: &str) -> bool {
    LIVE.contains(&key)
}

/// A key that says something else than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its value so far, as a file has it. No secret: those are named by files.
    pub was: String,
    /// Its value now.
    pub now: String,
    /// Who says so.
    pub said_in: Origin,
    /// Whether it takes effect without a restart.
    pub live: bool,
}

impl Loaded {
    /// Takes over what a running daemon can take over of a configuration that was read later, and says what is different in it. What needs a
    /// restart stays as it is, and is said again the next time.
    pub fn take_over(&mut self, later: &Loaded) -> Vec<Change> {
        let (now, then) = (in_order(&self.config), in_order(&later.config));
        let pairs = now.into_iter().zip(then).flat_map(|((section, keys), (_, later))| {
            keys.into_iter().zip(later).map(move |((key, was), (_, now))| (section.clone(), key, was, now))
        });
        let mut changes = Vec::new();
        let mut config = serde_json::to_value(&self.config).expect("a configuration is plain data");
        for (section, name, was, now) in pairs.filter(|(.., was, now)| was != now) {
            let key = format!("{section}.{name}");
            let live = is_live(&key);
            let said_in = later.origin(&[&section, &name]);
            changes.push(Change { key, was: shown(&was), now: shown(&now), said_in: said_in.clone(), live });
            if live {
                config[&section][&name] = now;
                self.say(vec![section, name], said_in);
            }
        }
        self.config = serde_json::from_value::<Config>(config).expect("both were configurations");
        changes
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::Object(entries) if entries.is_empty() => "none".to_owned(),
        value => toml_value(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Sources, Span, all_keys, load};

    fn said(environment: &[(&str, &str)]) -> Loaded {
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        load(&Flags::default(), &Sources { environment, ..Sources::none() }).unwrap()
    }

    #[test]
    fn what_is_live_is_taken_over_and_the_rest_is_said_again_until_a_restart() {
        let mut now = said(&[("GRAFT__RAFT__HEARTBEAT", "40ms")]);
        let later = said(&[("GRAFT__RAFT__HEARTBEAT", "45ms"), ("GRAFT__LOG__LEVEL", "debug"), ("GRAFT__NODE__NAME", "m1")]);
        let change = |key: &str, was: &str, now: &str, variable: &str, live| Change {
            key: key.into(),
            was: was.into(),
            now: now.into(),
            said_in: Origin::Variable(variable.into()),
            live,
        };
        let restart = [
            change("node.name", "not set", "\"m1\"", "GRAFT__NODE__NAME", false),
            change("raft.heartbeat", "\"40ms\"", "\"45ms\"", "GRAFT__RAFT__HEARTBEAT", false),
        ];
        let level = change("log.level", "\"info\"", "\"debug\"", "GRAFT__LOG__LEVEL", true);
        assert_eq!(now.take_over(&later), [&restart[..], &[level]].concat());
        assert_eq!(
            (now.config.log.level.as_str(), now.config.raft.heartbeat, &now.config.node.name),
            ("debug", Span::from_millis(40), &None)
        );
        assert_eq!(now.origin(&["log", "level"]), Origin::Variable("GRAFT__LOG__LEVEL".into()));
        assert_eq!(now.origin(&["node", "name"]), Origin::Default);
        assert_eq!(now.take_over(&later), restart);
        // What is not said any more is a default again.
        let back = now.take_over(&said(&[("GRAFT__RAFT__HEARTBEAT", "40ms")]));
        assert_eq!(back, [Change { said_in: Origin::Default, ..change("log.level", "\"debug\"", "\"info\"", "", true) }]);
        assert_eq!(now.config, said(&[("GRAFT__RAFT__HEARTBEAT", "40ms")]).config);
        assert_eq!(now.origin(&["log", "level"]), Origin::Default);
    }

    #[test]
    fn limits_of_nodes_are_one_key_and_a_list_another() {
        let mut now = said(&[]);
        let changes =
            now.take_over(&said(&[("GRAFT__SCHEDULER__NODE_LIMITS", "ocr=4"), ("GRAFT__CLUSTER__EXPECTED_MEMBERS", "graft-*,other")]));
        let told: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.was.as_str(), change.now.as_str())).collect();
        let expected = [("cluster.expected_members", "[]", "[\"graft-*\", \"other\"]"), ("scheduler.node_limits", "none", "{ ocr = 4 }")];
        assert_eq!(told, expected);
        assert_eq!(now.config.cluster.expected_members, ["graft-*", "other"]);
    }

    #[test]
    fn every_live_key_is_a_key() {
        let all = all_keys();
        assert_eq!(LIVE.iter().filter(|key| !all.iter().any(|known| known == *key)).count(), 0);
        let in_order: Vec<_> = all.iter().filter(|key| LIVE.contains(&key.as_str())).collect();
        assert_eq!(in_order, LIVE.iter().collect::<Vec<_>>(), "in the order of their declaration");
    }
}
