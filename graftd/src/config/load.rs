//! Lays the layers over each other, and looks at everything that was said in them.

use std::path::PathBuf;

use serde_json::Value;

use super::keys::{self, Keys};
use super::layers::{self, Layer, Said};
use super::unwise;
use super::{Config, ConfigError, Flags, Origin, Problem};

/// The configuration file that is read if no other is named.
pub const USUAL_FILE: &str = "/etc/graft/graftd.toml";
/// Where it is said how values are written.
const HOW: &str = "`graftd config print --defaults` shows how each key is written";

/// What there is to read, besides the flags.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file that is read, if it exists, when no other is named.
    pub usual_file: PathBuf,
    /// The variables of the environment; those that do not begin with `GRAFT__` are ignored.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// Those of this process.
    pub fn of_process() -> Self {
        // Bytes that are no text are kept as a mark, which is refused where it stands in one of ours.
        let text = |bytes: std::ffi::OsString| bytes.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { usual_file: USUAL_FILE.into(), environment }
    }

    /// No file, no environment: flags alone.
    pub fn none() -> Self {
        Self { usual_file: PathBuf::new(), environment: Vec::new() }
    }
}

/// A configuration, and where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The effective values.
    pub config: Config,
    /// The files that were read, in order.
    pub files: Vec<String>,
    /// What does not fit together. Empty: the daemon starts with it.
    pub problems: Vec<Problem>,
    /// What is allowed, but unwise.
    pub warnings: Vec<Problem>,
    /// For what was said: the key, and where it was said last.
    origins: Vec<(Vec<String>, Origin)>,
}

/// Said by a program: nowhere in particular.
impl From<Config> for Loaded {
    fn from(config: Config) -> Self {
        Self { config, ..Self::default() }
    }
}

impl Loaded {
    /// Where the value of a key was said.
    pub fn origin(&self, path: &[&str]) -> Origin {
        let said = self.origins.iter().find(|(said, _)| said.iter().map(String::as_str).eq(path.iter().copied()));
        said.map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// How many keys were said.
    pub fn said(&self) -> usize {
        self.origins.len()
    }

    /// The configuration, if nothing is wrong with it.
    pub fn accepted(self) -> Result<Config, ConfigError> {
        self.good().map(|loaded| loaded.config)
    }

    /// The same, with where it comes from.
    pub fn good(self) -> Result<Self, ConfigError> {
        if self.problems.is_empty() { Ok(self) } else { Err(ConfigError { problems: self.problems }) }
    }

    /// From now on the value of this key is said there.
    pub(super) fn say(&mut self, path: Vec<String>, origin: Origin) {
        self.origins.retain(|(earlier, _)| *earlier != path);
        if origin != Origin::Default {
            self.origins.push((path, origin));
        }
    }

    /// Says where the keys of a problem were said.
    fn placed(&self, problem: Problem) -> Problem {
        let origin = |key: &str| self.origin(&key.splitn(3, '.').collect::<Vec<_>>());
        let mut places = match origin(&problem.what) {
            Origin::Default => Vec::new(),
            said => vec![said.to_string()],
        };
        for key in problem.beside.iter().filter(|key| origin(key) != Origin::Default) {
            places.push(format!("{key}: {}", origin(key)));
        }
        problem.said_in(places.join(", "))
    }
}

/// What the flags, the environment and the files say. Fails with all problems if something in them cannot be understood; what is understood
/// but does not fit together stands in [`Loaded::problems`].
pub fn load(flags: &Flags, sources: &Sources) -> Result<Loaded, ConfigError> {
    let keys = Keys::of_defaults();
    let mut problems = Vec::new();
    let mut loaded = Loaded::default();
    let mut layers = Vec::new();
    let named = flags.config.as_deref();
    let file = named.unwrap_or(&sources.usual_file);
    // The usual one may be missing, one that is named may not.
    if named.is_some() || file.try_exists().unwrap_or(true) {
        loaded.files.push(file.display().to_string());
        layers.push(layers::file(file, &keys, |file, line| Origin::File { file, line }, &mut problems));
    }
    if let Some(dir) = file.parent() {
        for file in layers::conf_d(dir, &mut problems) {
            loaded.files.push(file.display().to_string());
            layers.push(layers::file(&file, &keys, |file, line| Origin::ConfD { file, line }, &mut problems));
        }
    }
    layers.push(layers::environment(&sources.environment, &keys, &mut problems));
    layers.push(layers::flags(flags, &mut problems));

    for layer in &mut layers {
        layer.0.retain(|said| match understood(said) {
            Ok(()) => true,
            Err(why) => {
                problems.push(Problem::of(keys::dotted(&said.path), why, HOW).said_in(said.origin.to_string()));
                false
            }
        });
    }
    loaded.config = lay(&layers).map_err(|error| Problem::of("configuration", error.to_string(), HOW))?;
    for Said { path, origin, .. } in layers.into_iter().flat_map(|layer| layer.0) {
        loaded.say(path, origin);
    }
    let together: Vec<Problem> = match loaded.config.check() {
        Ok(()) => Vec::new(),
        Err(error) => error.problems.into_iter().map(|problem| loaded.placed(problem)).collect(),
    };
    if problems.is_empty() {
        loaded.problems = together;
        loaded.warnings = unwise::warnings(&loaded.config).into_iter().map(|warning| loaded.placed(warning)).collect();
        return Ok(loaded);
    }
    // What hangs on a value that was not understood would only confuse.
    let broken: Vec<String> = problems.iter().map(|problem| problem.what.clone()).collect();
    let sound = |problem: &Problem| !broken.iter().any(|key| *key == problem.what || problem.beside.contains(&key.as_str()));
    problems.extend(together.into_iter().filter(sound));
    Err(ConfigError { problems })
}

fn lay(layers: &[Layer]) -> Result<Config, config::ConfigError> {
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer.clone());
    }
    builder.build()?.try_deserialize()
}

/// Whether this one thing can be read, whatever the others say.
fn understood(said: &Said) -> Result<(), String> {
    let nested =
        said.path.iter().rev().fold(said.value.clone(), |inner, step| Value::Object([(step.clone(), inner)].into_iter().collect()));
    let read = serde_json::from_value::<Config>(nested).map(|_| ()).map_err(|error| error.to_string());
    if said.origin.is_text_only() {
        // Everything is text there: the `config` crate makes numbers of it. What words there are, only the other one tells.
        let unknown = read.err().filter(|error| error.starts_with("unknown variant"));
        return lay(&[Layer(vec![said.clone()])]).map(|_| ()).map_err(|error| unknown.unwrap_or_else(|| because(&error)));
    }
    read
}

/// What the `config` crate says, without the place that is said beside it.
fn because(error: &config::ConfigError) -> String {
    match error {
        config::ConfigError::At { error, .. } => because(error),
        config::ConfigError::Type { unexpected, expected, .. } => format!("invalid type: {unexpected}, expected {expected}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::{HostPort, LogFormat, Span};

    fn loaded(text: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Loaded, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let flags = Flags { config: Some(file.path().to_owned()), ..flags };
        load(&flags, &Sources { environment: variables(environment), ..Sources::none() })
    }

    fn variables(environment: &[(&str, &str)]) -> Vec<(String, String)> {
        environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn with_file(text: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
        loaded(text, environment, flags)?.accepted()
    }

    fn without_file(environment: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigError> {
        load(flags, &Sources { environment: variables(environment), ..Sources::none() })?.accepted()
    }

    fn refusal(text: &str, environment: &[(&str, &str)]) -> String {
        with_file(text, environment, Flags::default()).unwrap_err().to_string()
    }

    #[test]
    fn without_any_source_the_defaults_stand() {
        assert_eq!(without_file(&[], &Flags::default()).unwrap(), Config::default());
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
            let config = without_file(&[("GRAFT__NODE__NAME", name)], &Flags::default()).unwrap();
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
        let config = without_file(&[("GRAFT__CLIENT__ADVERTISE", "10.0.0.1:1")], &flags).unwrap();
        assert_eq!(config.node.data_dir, std::path::Path::new("elsewhere"));
        assert_eq!(config.node.name.as_deref(), Some("m1"));
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(config.log.level, "debug");
        assert!(config.security.insecure && config.client.listen.is_unspecified());
    }

    #[test]
    fn a_list_and_limits_can_be_set_in_a_file_and_peers_in_the_environment() {
        let file = "[scheduler]\ntotal_limit = 9\n[scheduler.node_limits]\nOCR = 4\n\"team.a/ocr\" = 2\n[cluster]\nexpect = 3\n[node]\nname = \"a\"\n[security]\ninsecure = true";
        let environment = [("GRAFT__CLUSTER__PEERS", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3")];
        let config = with_file(file, &environment, Flags::default()).unwrap();
        assert_eq!(config.scheduler.node_limits.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), [("OCR", 4), ("team.a/ocr", 2)]);
        assert_eq!(config.cluster.peers, [1, 2, 3].map(HostPort::loopback));
    }

    #[test]
    fn limits_in_the_environment_are_a_list_of_names_and_numbers_beside_those_of_the_file() {
        let file = "[scheduler.node_limits]\nocr = 4\nscan = 1";
        let config = with_file(file, &[("GRAFT__SCHEDULER__NODE_LIMITS", "ocr=5, Team.A/OCR=2")], Flags::default()).unwrap();
        let limits: Vec<_> = config.scheduler.node_limits.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(limits, [("Team.A/OCR", 2), ("ocr", 5), ("scan", 1)]);
        let said = refusal("", &[("GRAFT__SCHEDULER__NODE_LIMITS__OCR", "4")]);
        assert!(said.contains("write all in one variable: GRAFT__SCHEDULER__NODE_LIMITS="), "{said}");
        let said = refusal("", &[("GRAFT__SCHEDULER__NODE_LIMITS", "ocr=many,scan")]);
        assert!(said.contains("scheduler.node_limits.ocr (GRAFT__SCHEDULER__NODE_LIMITS): invalid"), "{said}");
        assert!(said.contains("`scan` is no NAME=NUMBER"), "{said}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_a_suggestion_wherever_it_stands() {
        let said = refusal("[raft]\n\nhearbeat = \"50ms\"", &[]);
        assert!(said.contains("raft.hearbeat (/") && said.contains(":3): there is no such key"), "{said}");
        assert!(said.contains("did you mean `raft.heartbeat`?"), "{said}");
        let said = refusal("[node]\nlisten = \"127.0.0.1:1\"", &[]);
        assert!(said.contains("did you mean `client.listen`?"), "{said}");
        let said = refusal("[rafft]\nheartbeat = \"1s\"", &[]);
        assert!(said.contains("rafft (/") && said.contains("did you mean `raft`?"), "{said}");
        let said = refusal("raft = 3", &[]);
        assert!(said.contains("this is a section, not a key") && said.contains("[raft]"), "{said}");
        let said = refusal("", &[("GRAFT__RAFT__ELECTION_MIM", "1s")]);
        assert!(said.contains("GRAFT__RAFT__ELECTION_MIM (environment)"), "{said}");
        assert!(said.contains("did you mean `GRAFT__RAFT__ELECTION_MIN`?"), "{said}");
        let said = refusal("", &[("GRAFT__raft__heartbeat", "1s")]);
        assert!(said.contains("did you mean `GRAFT__RAFT__HEARTBEAT`?"), "{said}");
        let said = refusal("[zebra]\nx = 1", &[]);
        assert!(said.contains("`graftd config print --defaults` lists every key"), "{said}");
    }

    #[test]
    fn a_word_that_is_none_is_answered_with_those_that_are_wherever_it_stands() {
        for said in [refusal("[log]\nformat = \"xml\"", &[]), refusal("", &[("GRAFT__LOG__FORMAT", "xml")])] {
            assert!(said.contains("unknown variant `xml`, expected one of `auto`, `text`, `json`"), "{said}");
        }
        assert_eq!(with_file("", &[("GRAFT__LOG__FORMAT", "json")], Flags::default()).unwrap().log.format, LogFormat::Json);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once_and_where() {
        let text = "[zebra]\nx = 1\n[raft]\nhearbeat = \"1s\"\nelection_min = \"soon\"\n[cluster]\nexpect = 2\n[storage]\ncache = \"1KiB\"";
        let environment = [("GRAFT__LOG__FORMAT", "xml"), ("GRAFT__NOD__NAME", "a"), ("GRAFT__CLUSTER__NAME", "a b")];
        let flags = Flags { listen: Some("nowhere".into()), ..Flags::default() };
        let problems = loaded(text, &environment, flags).unwrap_err().problems;
        let said: Vec<String> =
            problems.iter().map(|problem| format!("{} ({})", problem.what, problem.said_in.rsplit('/').next().unwrap())).collect();
        let file = said[0].split(['(', ':']).nth(1).unwrap().to_owned();
        let at = |what: &str, line: usize| format!("{what} ({file}:{line})");
        let expected = [
            at("raft.hearbeat", 4),
            at("zebra", 1),
            "GRAFT__NOD__NAME (environment)".to_owned(),
            at("raft.election_min", 5),
            "log.format (GRAFT__LOG__FORMAT)".to_owned(),
            "client.listen (--listen)".to_owned(),
            "cluster.name (GRAFT__CLUSTER__NAME)".to_owned(),
            at("cluster.expect", 7),
            format!("cluster.peers (cluster.expect: {})", problems.iter().find(|p| p.what == "cluster.expect").unwrap().said_in),
            at("storage.cache", 9),
        ];
        let expected: Vec<String> = expected
            .into_iter()
            .map(|said| match said.starts_with("cluster.peers") {
                true => format!("cluster.peers ({file}:7)"),
                false => said,
            })
            .collect();
        assert_eq!(said, expected);
        assert!(problems.iter().all(|problem| !problem.why.is_empty() && !problem.remedy.is_empty()), "{problems:?}");
    }

    #[test]
    fn what_does_not_fit_to_another_key_says_where_both_were_said() {
        let refused = |environment: &[(&str, &str)]| {
            with_file("[raft]\nelection_min = \"150ms\"", environment, Flags::default()).unwrap_err().problems
        };
        let problems = refused(&[("GRAFT__RAFT__HEARTBEAT", "90ms")]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].what, "raft.election_min");
        assert!(problems[0].said_in.ends_with(":2, raft.heartbeat: GRAFT__RAFT__HEARTBEAT"), "{problems:?}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_says_which_key_and_which_line() {
        for (text, key) in [
            ("[raft]\nheartbeat = 50", "raft.heartbeat"),
            ("[raft]\nheartbeat = \"50\"", "raft.heartbeat"),
            ("[raft]\nheartbeat = { ms = 50 }", "raft.heartbeat"),
            ("[raft]\nheartbeat = 2020-01-01", "raft.heartbeat"),
            ("[raft]\nbatch_commands = \"many\"", "raft.batch_commands"),
            // In a file a number is a number, as the schema says.
            ("[raft]\nbatch_commands = \"5\"", "raft.batch_commands"),
            ("[raft]\nbatch_commands = -1", "raft.batch_commands"),
            ("[node]\nname = 5", "node.name"),
            ("[storage]\ncache = \"lots\"", "storage.cache"),
            ("[log]\nformat = \"xml\"", "log.format"),
            ("[scheduler]\nnode_limits = 3", "scheduler.node_limits"),
            ("[security]\ninsecure = \"yes\"", "security.insecure"),
        ] {
            let said = refusal(text, &[]);
            assert!(said.starts_with(&format!("{key} (/")) && said.contains(":2): "), "{said}");
        }
        let said = refusal("[node]\n[raft", &[]);
        assert!(said.contains(":2: this is no TOML: "), "{said}");
        let missing = Flags { config: Some("does-not-exist.toml".into()), ..Flags::default() };
        assert!(without_file(&[], &missing).unwrap_err().to_string().contains("does-not-exist.toml: cannot be read"));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_in_what_is_ours() {
        let said = refusal("", &[("GRAFT__NODE__DATA_DIR", "a\u{fffd}"), ("OTHER", "\u{fffd}")]);
        assert!(said.starts_with("node.data_dir (GRAFT__NODE__DATA_DIR): it holds bytes that are no text"), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    /// A directory with a main file and files of `conf.d`.
    fn directory(main: Option<&str>, conf_d: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = main {
            std::fs::write(dir.path().join("graftd.toml"), text).unwrap();
        }
        std::fs::create_dir(dir.path().join("conf.d")).unwrap();
        for (name, text) in conf_d {
            std::fs::write(dir.path().join("conf.d").join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn the_files_of_conf_d_stand_above_the_file_in_the_order_of_their_names() {
        let main = "[raft]\nheartbeat = \"10ms\"\nlog_keep = 1000\nbatch_commands = 7\n[scheduler.node_limits]\na = 1\nb = 1";
        let conf_d = [
            ("20-later.toml", "[raft]\nheartbeat = \"30ms\""),
            ("10-earlier.toml", "[raft]\nheartbeat = \"20ms\"\nlog_keep = 2000\n[scheduler.node_limits]\nb = 2"),
            (".hidden.toml", "no toml"),
            ("README", "no toml"),
        ];
        let dir = directory(Some(main), &conf_d);
        let usual_file = dir.path().join("graftd.toml");
        // The same whether it is the usual file, or one that was named.
        let named = Flags { config: Some(usual_file.clone()), ..Flags::default() };
        for (flags, usual_file) in [(Flags::default(), usual_file.clone()), (named, PathBuf::new())] {
            let environment = variables(&[("GRAFT__RAFT__BATCH_COMMANDS", "8")]);
            let loaded = load(&flags, &Sources { usual_file, environment }).unwrap();
            let raft = &loaded.config.raft;
            assert_eq!((raft.heartbeat, raft.log_keep, raft.batch_commands), (Span::from_millis(30), 2000, 8));
            assert_eq!(loaded.config.scheduler.node_limits, [("a".to_owned(), 1), ("b".to_owned(), 2)].into());
            let origin =
                |path: &[&str]| (loaded.origin(path).layer(), loaded.origin(path).to_string().rsplit('/').next().unwrap().to_owned());
            assert_eq!(origin(&["raft", "heartbeat"]), ("conf.d", "20-later.toml:2".into()));
            assert_eq!(origin(&["raft", "log_keep"]), ("conf.d", "10-earlier.toml:3".into()));
            assert_eq!(origin(&["raft", "batch_commands"]), ("environment", "GRAFT__RAFT__BATCH_COMMANDS".into()));
            assert_eq!(origin(&["scheduler", "node_limits", "a"]), ("file", "graftd.toml:6".into()));
            assert_eq!(origin(&["scheduler", "node_limits", "b"]), ("conf.d", "10-earlier.toml:5".into()));
            assert_eq!(origin(&["raft", "election_min"]), ("default", "default".into()));
            assert_eq!(loaded.files.len(), 3);
        }
    }

    #[test]
    fn the_usual_file_may_be_missing_and_conf_d_is_read_all_the_same() {
        let dir = directory(None, &[("a.toml", "[log]\nlevel = \"warn\""), ("b.toml", "[log]\nlevl = \"warn\"")]);
        let sources = Sources { usual_file: dir.path().join("graftd.toml"), ..Sources::none() };
        let said = load(&Flags::default(), &sources).unwrap_err().to_string();
        assert!(said.contains("conf.d/b.toml:2): there is no such key"), "{said}");
        std::fs::remove_file(dir.path().join("conf.d/b.toml")).unwrap();
        assert_eq!(load(&Flags::default(), &sources).unwrap().config.log.level, "warn");
        assert_eq!(Sources::of_process().usual_file, std::path::Path::new("/etc/graft/graftd.toml"));
    }

    #[test]
    fn what_is_too_much_to_read_is_refused() {
        let many: Vec<(String, String)> = (0..129).map(|n| (format!("{n}.toml"), String::new())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let dir = directory(Some(""), &many);
        let flags = Flags { config: Some(dir.path().join("graftd.toml")), ..Flags::default() };
        assert!(without_file(&[], &flags).unwrap_err().to_string().contains("129 files are too many"));
        let said = refusal(&"#".repeat(1 + (1 << 20)), &[]);
        assert!(said.contains("has 1048577 bytes: at most 1048576 are read"), "{said}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_a_remedy() {
        let cases = [
            ("[raft]\nheartbeat = \"100ms\"", "raft.election_min: 150ms is less than 3 heartbeats of 100ms"),
            ("[raft]\nelection_max = \"150ms\"", "raft.election_max: 150ms is not above raft.election_min"),
            ("[cluster]\nexpect = 2\npeers = [\"127.0.0.1:1\"]\n[node]\nname = \"a\"", "cluster.expect: 2 members: it must be odd"),
            (
                "[cluster]\npeers = [\"127.0.0.1:1\"]\n[node]\nname = \"a\"",
                "cluster.expect: other members are looked for, but not how many",
            ),
            ("[cluster]\nexpect = 3", "cluster.peers: 3 members are expected, but no peers are named"),
            ("discovery.mdns = true\nnode.name = \"a\"", "cluster.expect: other members are looked for, but not how many"),
            ("discovery.dns = [\"localhost:1\"]\ncluster.expect = 3", "node.name: members of a cluster are told apart by name"),
            (
                "discovery.dns = [\"graft-headless:1\"]\ncluster.expect = 3\nnode.name = \"a\"",
                "discovery.dns: graft-headless:1 is not on this machine alone",
            ),
            (
                "discovery.kubernetes_service = \"graft\"\ncluster.expect = 3\nnode.name = \"a\"",
                "discovery.kubernetes_service: what `graft` finds is not on this machine alone",
            ),
            (
                "discovery.kubernetes_service = \"Graft\"\ncluster.expect = 3\nnode.name = \"a\"",
                "discovery.kubernetes_service: `Graft` is no name in",
            ),
            ("discovery.kubernetes_namespace = \"graft-\"", "discovery.kubernetes_namespace: `graft-` is no name in"),
            ("discovery.kubernetes_port = \"70000\"", "discovery.kubernetes_port: `70000` is neither"),
            (
                "discovery.kubernetes_stateful_set = \"graft\"\nnode.name = \"graftd-1\"",
                "discovery.kubernetes_stateful_set: no pod of `graft` is called as this member is: graftd-1",
            ),
            ("discovery.kubernetes_stateful_set = \"a_b\"", "discovery.kubernetes_stateful_set: `a_b` is no name in"),
            ("discovery.kubernetes_port = \"7422\"", "discovery.kubernetes_port: it says where endpoints answer"),
            ("discovery.kubernetes_api = \"10.0.0.1:443\"", "discovery.kubernetes_api: it says how to ask Kubernetes"),
            ("discovery.dns_every = \"10ms\"", "discovery.dns_every: 10ms is too small"),
            ("[cluster]\nexpect = 3\npeers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]", "node.name: members of a cluster are told apart by name"),
            ("[client]\nlisten = \"10.0.0.1:7420\"", "client.listen: 10.0.0.1:7420 can be reached from other machines"),
            (
                "[client]\nlisten = \"10.0.0.1:7420\"\ncert = \"a\"\nkey = \"b\"",
                "client.listen: 10.0.0.1:7420 can be reached from other machines, and there is TLS, but nobody has to show who it is",
            ),
            ("[client]\ncert = \"a\"", "client.key: a certificate and its key belong together"),
            ("[client]\ncallers_ca = \"a\"", "client.callers_ca: clients can show certificates only where"),
            ("[client]\ncallers = \"optional\"", "client.callers: it says how certificates of callers are asked for"),
            ("[client]\nhealth_listen = \"127.0.0.1:7420\"", "client.health_listen: 127.0.0.1:7420 is taken by client.listen"),
            ("[cluster]\npeer_listen = \"127.0.0.1:7421\"", "cluster.peer_ca: members would speak without TLS"),
            (
                "[cluster]\npeer_listen = \"127.0.0.1:7421\"\npeer_ca = \"a\"\npeer_key = \"b\"",
                "cluster.peer_cert: TLS between members needs three files, and this one is not named",
            ),
            (
                "[cluster]\npeer_ca = \"a\"\npeer_cert = \"c\"\npeer_key = \"b\"",
                "cluster.peer_ca: there are certificates for members, and no other members",
            ),
            (
                "[cluster]\npeer_listen = \"10.0.0.1:7421\"",
                "cluster.peer_listen: 10.0.0.1:7421 is not on this machine alone, and members would speak without TLS",
            ),
            (
                "[cluster]\nexpect = 1\npeers = [\"10.0.0.1:7421\"]\n[node]\nname = \"a\"",
                "cluster.peers: 10.0.0.1:7421 is not on this machine alone",
            ),
            ("[client]\nlisten = \"0.0.0.0:7420\"\n[security]\ninsecure = true", "client.advertise: 0.0.0.0:7420 stands for all"),
            ("[cluster]\npeer_listen = \"127.0.0.1:7420\"", "cluster.peer_listen: clients and members cannot share one port"),
            ("[scheduler]\nlease = \"500ms\"", "scheduler.lease: 500ms would end before"),
            ("[node]\nname = \"a b\"", "node.name: `a b` is no name"),
            ("[raft]\nlog_keep = 1", "raft.log_keep: 1 is too small"),
            ("[raft]\nlog_keep = 17", "raft.log_keep: 17 is too small: what is in flight must never be purged"),
            ("[raft]\npending_commands = 5", "raft.pending_commands: 5 is less than one entry holds"),
            ("[cluster]\nexpect = 11\npeers = [\"127.0.0.1:1\"]\n[node]\nname = \"a\"", "cluster.expect: 11 is too much"),
            ("[log]\nlevel = \"lo=ud=er\"", "log.level: `lo=ud=er` is neither a level nor directives"),
            (
                "[log]\nlevel = \"inf0\"",
                "log.level: `inf0` is neither a level nor directives: `inf0` is no level (those are off, error, warn",
            ),
            (
                "[log]\nlevel = \"graftd=debug,wran\"",
                "log.level: `graftd=debug,wran` is neither a level nor directives: `wran` is no level (those are off, error, warn, info, debug, trace); did you mean warn?",
            ),
            ("[node]\ndata_dir = \"\"", "node.data_dir: it is empty"),
            ("[raft]\nbatch_bytes = \"32MiB\"", "raft.batch_bytes: 32MiB is too much: the other members take no larger entries"),
            ("[raft]\nentries_in_flight = 1000000000000000000", "raft.entries_in_flight: 1000000000000000000 is too much"),
            ("[raft]\npending_commands = 1000000000000000000", "raft.pending_commands: 1000000000000000000 is too much"),
            ("[scheduler.node_limits]\n\"team/a b\" = 1", "scheduler.node_limits.team/a b: this names no node: it holds ' ' at byte 1"),
        ];
        for (text, expected) in cases {
            let problems = with_file(text, &[], Flags::default()).unwrap_err().problems;
            let said: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.what, problem.why)).collect();
            assert!(said.iter().any(|said| said.starts_with(expected)), "{expected}\n{said:?}");
            assert!(problems.iter().all(|problem| !problem.remedy.is_empty()), "{problems:?}");
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
}
