//! Puts the sources together: defaults, file, environment, flags.

use std::collections::HashMap;
use std::path::Path;

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat};

use super::keys::Keys;
use super::{Config, ConfigError, Flags, Problem};

/// Prefix of the environment variables that are configuration.
const PREFIX: &str = "GRAFT";

/// The configuration of this process: what the flags, the environment and the file say, checked.
pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let prefix = format!("{PREFIX}__");
    let environment: HashMap<String, String> = environment.into_iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
    let keys = Keys::of_defaults();
    let mut problems = Vec::new();
    let mut builder: ConfigBuilder<DefaultState> = config::Config::builder();
    let mut file = None;
    if let Some(path) = &flags.config {
        let text = read(path)?;
        let shown = path.display().to_string();
        let table: toml::Table = toml::from_str(&text)
            .map_err(|e| Problem::of(shown.as_str(), format!("this is no TOML: {e}"), "correct the file at that line"))?;
        problems.extend(keys.unknown_in_file(&shown, &table));
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        file = Some(shown);
    }
    problems.extend(keys.unknown_in_environment(environment.keys()));
    if !problems.is_empty() {
        problems.sort_by(|a, b| a.what.cmp(&b.what));
        return Err(ConfigError { problems });
    }
    if let Some(file) = file {
        // Alone first, so that an error in a value can say where the value stands.
        read_out(&builder, &file)?;
    }
    builder = builder.add_source(from_environment(environment));
    for (key, value) in flags.overrides() {
        builder = builder.set_override(key, value).map_err(|e| refused(&e, "a flag"))?;
    }
    let config = read_out(&builder, "the environment or a flag")?;
    config.check()?;
    Ok(config)
}

fn read_out(builder: &ConfigBuilder<DefaultState>, place: &str) -> Result<Config, ConfigError> {
    builder.build_cloned().and_then(config::Config::try_deserialize).map_err(|e| refused(&e, place))
}

fn from_environment(variables: HashMap<String, String>) -> Environment {
    // Not parsed: a name that looks like a number stays as it was written, and each key knows how it is read from text.
    Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(variables))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|e| {
        Problem::of(
            path.display().to_string(),
            format!("cannot be read: {e}"),
            "name a file that this user may read, or leave out --config",
        )
        .said_in("--config")
        .into()
    })
}

fn refused(error: &config::ConfigError, place: &str) -> ConfigError {
    let (what, why) = match error {
        config::ConfigError::At { error, key: Some(key), .. } => (key.clone(), error.to_string()),
        config::ConfigError::Type { key: Some(key), .. } => (key.clone(), error.to_string()),
        other => ("configuration".to_owned(), other.to_string()),
    };
    Problem::of(what, why, "deploy/graftd.toml.example shows how each key is written").said_in(place).into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::{HostPort, LogFormat, Span};

    fn with_file(text: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let flags = Flags { config: Some(file.path().to_owned()), ..flags };
        load(&flags, environment.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    fn refusal(text: &str, environment: &[(&str, &str)]) -> String {
        with_file(text, environment, Flags::default()).unwrap_err().to_string()
    }

    #[test]
    fn without_any_source_the_defaults_stand() {
        assert_eq!(load(&Flags::default(), []).unwrap(), Config::default());
    }

    #[test]
    fn flags_stand_above_the_environment_and_the_environment_above_the_file() {
        let file = "[client]\nlisten = \"127.0.0.1:1\"\n[raft]\nheartbeat = \"20ms\"\n[log]\nlevel = \"warn\"";
        let environment = [("GRAFT__CLIENT__LISTEN", "127.0.0.1:2"), ("GRAFT__RAFT__HEARTBEAT", "30ms"), ("OTHER", "x")];
        let flags = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };
        let config = with_file(file, &environment, flags).unwrap();
        assert_eq!(config.client.listen, HostPort::loopback(3));
        assert_eq!(config.raft.heartbeat, Span::from_millis(30));
        assert_eq!(config.log.level, "warn");
    }

    #[test]
    fn text_from_the_environment_stays_as_it_was_written() {
        for name in ["007", "1e3", "true"] {
            let config = load(&Flags::default(), [("GRAFT__NODE__NAME".to_owned(), name.to_owned())]).unwrap();
            assert_eq!(config.node.name.as_deref(), Some(name));
        }
    }

    #[test]
    fn every_flag_reaches_its_key() {
        let flags = Flags {
            config: None,
            data_dir: Some("elsewhere".into()),
            listen: Some("0.0.0.0:0".into()),
            name: Some("m1".into()),
            log_format: Some(LogFormat::Json),
            log_level: Some("debug".into()),
            insecure: true,
        };
        let environment = [("GRAFT__CLIENT__ADVERTISE".to_owned(), "10.0.0.1:1".to_owned())];
        let config = load(&flags, environment).unwrap();
        assert_eq!(config.node.data_dir, Path::new("elsewhere"));
        assert_eq!(config.node.name.as_deref(), Some("m1"));
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(config.log.level, "debug");
        assert!(config.security.insecure && config.client.listen.is_unspecified());
    }

    #[test]
    fn a_list_and_limits_can_be_set_in_a_file_and_peers_in_the_environment() {
        let file = "[scheduler]\ntotal_limit = 9\n[scheduler.node_limits]\nOCR = 4\n\"team.a/ocr\" = 2\n[cluster]\nexpect = 3\n[node]\nname = \"a\"";
        let environment = [("GRAFT__CLUSTER__PEERS", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3")];
        let config = with_file(file, &environment, Flags::default()).unwrap();
        assert_eq!(config.scheduler.node_limits.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), [("OCR", 4), ("team.a/ocr", 2)]);
        assert_eq!(config.cluster.peers, [1, 2, 3].map(HostPort::loopback));
    }

    #[test]
    fn an_unknown_key_is_refused_with_a_suggestion_wherever_it_stands() {
        let said = refusal("[raft]\nhearbeat = \"50ms\"", &[]);
        assert!(said.contains("raft.hearbeat (in ") && said.contains("did you mean `raft.heartbeat`?"), "{said}");
        let said = refusal("[node]\nlisten = \"127.0.0.1:1\"", &[]);
        assert!(said.contains("did you mean `client.listen`?"), "{said}");
        let said = refusal("", &[("GRAFT__RAFT__ELECTION_MIM", "1s")]);
        assert!(said.contains("GRAFT__RAFT__ELECTION_MIM (in the environment)"), "{said}");
        assert!(said.contains("did you mean `GRAFT__RAFT__ELECTION_MIN`?"), "{said}");
        let said = refusal("[zebra]\nx = 1\n[raft]\nhearbeat = \"1s\"", &[]);
        assert!(said.contains("zebra") && said.contains("raft.hearbeat"), "all problems at once: {said}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_says_which_key_and_which_file() {
        for (text, key) in [
            ("[raft]\nheartbeat = 50", "heartbeat"),
            ("[raft]\nheartbeat = \"50\"", "heartbeat"),
            ("[storage]\ncache = \"lots\"", "cache"),
            ("[log]\nformat = \"xml\"", "format"),
        ] {
            let said = refusal(text, &[]);
            assert!(said.contains(key) && said.contains("(in /"), "{said}");
        }
        assert!(refusal("[raft", &[]).contains("this is no TOML"));
        let missing = Flags { config: Some("does-not-exist.toml".into()), ..Flags::default() };
        assert!(load(&missing, []).unwrap_err().to_string().contains("does-not-exist.toml (in --config): cannot be read"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_a_remedy() {
        let cases = [
            ("[raft]\nheartbeat = \"100ms\"", "raft.election_min: 200ms is not more than 3 heartbeats of 100ms"),
            ("[raft]\nelection_max = \"200ms\"", "raft.election_max: 200ms is not above raft.election_min"),
            ("[cluster]\nexpect = 2\npeers = [\"127.0.0.1:1\"]\n[node]\nname = \"a\"", "cluster.expect: 2 members: it must be odd"),
            ("[cluster]\npeers = [\"127.0.0.1:1\"]\n[node]\nname = \"a\"", "cluster.expect: peers are named, but not how many"),
            ("[cluster]\nexpect = 3", "cluster.peers: 3 members are expected, but no peers are named"),
            ("[cluster]\nexpect = 3\npeers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]", "node.name: members of a cluster are told apart by name"),
            ("[client]\nlisten = \"10.0.0.1:7420\"", "client.listen: 10.0.0.1:7420 can be reached from other machines"),
            ("[cluster]\npeer_listen = \"10.0.0.1:7421\"", "cluster.peer_listen: 10.0.0.1:7421 can be reached"),
            (
                "[cluster]\nexpect = 1\npeers = [\"10.0.0.1:7421\"]\n[node]\nname = \"a\"",
                "cluster.peers: 10.0.0.1:7421 is on another machine",
            ),
            ("[client]\nlisten = \"0.0.0.0:7420\"\n[security]\ninsecure = true", "client.advertise: 0.0.0.0:7420 stands for all"),
            ("[cluster]\npeer_listen = \"127.0.0.1:7420\"", "cluster.peer_listen: clients and members cannot share one port"),
            ("[scheduler]\nlease = \"500ms\"", "scheduler.lease: 500ms would end before"),
            ("[node]\nname = \"a b\"", "node.name: `a b` is no name"),
            ("[raft]\nlog_keep = 1", "raft.log_keep: 1 is too small"),
            ("[raft]\nbatch_bytes = \"32MiB\"", "raft.batch_bytes: 32MiB is too much: the other members take no larger entries"),
            ("[raft]\nentries_in_flight = 1000000000000000000", "raft.entries_in_flight: 1000000000000000000 is too much"),
            ("[raft]\npending_commands = 1000000000000000000", "raft.pending_commands: 1000000000000000000 is too much"),
            ("[scheduler.node_limits]\n\"team/a b\" = 1", "scheduler.node_limits.team/a b: this names no node: it holds ' ' at byte 1"),
        ];
        for (text, expected) in cases {
            let said = refusal(text, &[]);
            assert!(said.contains(expected) && said.contains("→"), "{expected}\n{said}");
        }
    }

    #[test]
    fn insecure_lets_the_daemon_serve_clients_anywhere_but_never_members() {
        let insecure = || Flags { insecure: true, ..Flags::default() };
        let file = "[client]\nlisten = \"10.0.0.1:7420\"";
        assert!(with_file(file, &[], insecure()).is_ok());
        // Without TLS, whoever reaches the peer port could write the log: no flag opens it.
        for file in
            ["[cluster]\npeer_listen = \"10.0.0.1:7421\"", "[cluster]\nexpect = 1\npeers = [\"10.0.0.1:7421\"]\n[node]\nname = \"a\""]
        {
            assert!(with_file(file, &[], insecure()).is_err(), "{file}");
        }
    }

    #[test]
    fn the_example_file_shows_every_key_with_its_default() {
        let text = include_str!("../../../deploy/graftd.toml.example");
        let uncommented: String = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
        let shown: serde_json::Value = serde_json::to_value(toml::from_str::<toml::Table>(&uncommented).unwrap()).unwrap();
        let defaults = serde_json::to_value(Config::default()).unwrap();
        for (section, keys) in defaults.as_object().unwrap() {
            for (key, default) in keys.as_object().unwrap() {
                let example = &shown[section][key];
                let optional = default.is_null() || default.as_array().is_some_and(Vec::is_empty) || default.is_object();
                assert!(!example.is_null(), "{section}.{key} is missing");
                assert!(optional || example == default, "{section}.{key}: the example says {example}, the default is {default}");
            }
        }
        assert!(with_file(text, &[], Flags::default()).is_ok(), "as it stands, the example is valid");
    }
}
