//! `graftd config`, as an operator meets it; and what is made from the code: the schema, the reference page, the example file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boon::{Compiler, Schemas};
use graftd::config::{Config, Flags, Sources, all_keys, live_keys, load, reference_page, schema, variable};
use serde_json::Value;

/// A directory to run in, where nothing of this machine's environment is heard.
struct Place(tempfile::TempDir);

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn graftd(&self, environment: &[(&str, &str)], args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graftd"));
        command.args(args).current_dir(self.0.path()).env_clear().envs(environment.iter().copied());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy").join(name)
}

#[test]
fn check_says_everything_that_is_wrong_with_its_place_and_ends_with_78() {
    let place = Place::new();
    place.write("graftd.toml", "[raft]\nhearbeat = \"50ms\"\nelection_min = \"120ms\"\n\n[storage]\ncache = \"lots\"\n");
    place.write("conf.d/10-site.toml", "[raft]\nheartbeat = \"100ms\"\n");
    let environment = [("GRAFT__SCHEDULER__LEESE", "5s")];
    let said = place.graftd(&environment, &["config", "check", "--config", "graftd.toml", "--listen", "nowhere"]);
    let expected = "\
graftd: the configuration is refused
raft.hearbeat (graftd.toml:2): there is no such key
  → did you mean `raft.heartbeat`?
GRAFT__SCHEDULER__LEESE (environment): there is no such key
  → did you mean `GRAFT__SCHEDULER__LEASE`?
storage.cache (graftd.toml:6): `lots` is no size; write it like 512B, 64KiB, 64MiB or 2GiB
  → `graftd config print --defaults` shows how each key is written
client.listen (--listen): `nowhere` is no address; write it as HOST:PORT, like 127.0.0.1:7420 or [::1]:7420
  → `graftd config print --defaults` shows how each key is written
raft.election_min (graftd.toml:3, raft.heartbeat: conf.d/10-site.toml:2): 120ms is less than 3 heartbeats of 100ms: one lost heartbeat would unseat a healthy leader
  → raise it, or lower raft.heartbeat
";
    assert_eq!((said.code, said.err.as_str(), said.out.as_str()), (78, expected, ""));
    // The daemon says the same.
    let daemon = place.graftd(&environment, &["--config", "graftd.toml", "--listen", "nowhere"]);
    assert_eq!((daemon.code, daemon.err.as_str()), (78, expected));
}

#[test]
fn check_says_what_it_read_and_makes_nothing() {
    let place = Place::new();
    place.write("graftd.toml", "[raft]\nheartbeat = \"40ms\"\n");
    place.write("conf.d/a.toml", "[node]\nname = \"a\"\ndata_dir = \"data\"\n");
    let said = place.graftd(&[("GRAFT__LOG__LEVEL", "warn"), ("OTHER", "x")], &["--config", "graftd.toml", "config", "check", "--strict"]);
    let expected = "the configuration is good: 4 of its keys are set (graftd.toml, conf.d/a.toml, the environment and the flags)\n";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, expected, ""));
    assert!(!place.0.path().join("data").exists());
}

#[test]
fn what_is_unwise_is_a_warning_and_with_strict_it_is_refused() {
    let place = Place::new();
    place.write("graftd.toml", "[raft]\nheartbeat = \"5ms\"\n[node]\ndata_dir = \"graftd.toml/data\"\n");
    let said = place.graftd(&[], &["config", "check", "-c", "graftd.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("warning: raft.heartbeat (graftd.toml:2): 5ms is so short"), "{}", said.err);
    assert!(said.err.contains("warning: node.data_dir (graftd.toml:4): ") && said.err.contains("is in the way"), "{}", said.err);
    let strict = place.graftd(&[], &["config", "check", "-c", "graftd.toml", "--strict"]);
    assert!(strict.code == 78 && strict.out.is_empty(), "{}", strict.out);
    assert!(strict.err.contains("raft.heartbeat (graftd.toml:2): 5ms is so short"), "{}", strict.err);
}

#[test]
fn with_files_it_says_of_all_that_are_named_what_the_daemon_would_refuse() {
    let place = Place::new();
    let text = "[client]\ncert = \"m1.pem\"\nkey = \"m1.key\"\n[auth]\nrequired = true\nroot_token_file = \"root.token\"\n\
                [tracing]\nendpoint = \"http://127.0.0.1:4318\"\nheaders_file = \"headers\"\n[node]\ndata_dir = \"data\"\n";
    place.write("graftd.toml", text);
    place.write("headers", "authorization Bearer-of-mine\n");
    place.write("root.token", "short");
    assert_eq!(place.graftd(&[], &["config", "check", "--config", "graftd.toml", "--strict"]).code, 0, "they may be on another machine");
    let said = place.graftd(&[], &["config", "check", "--config", "graftd.toml", "--files"]);
    assert_eq!((said.code, said.out.as_str()), (78, ""), "{}", said.err);
    for told in ["m1.pem", "client.cert, client.key", "auth.root_token_file: root.token", "umask 077", "tracing.headers_file", "line 1"] {
        assert!(said.err.contains(told), "{told}: {}", said.err);
    }
    assert!(!said.err.contains("of-mine") && said.err.matches("  → ").count() == 3, "{}", said.err);
}

#[test]
fn print_shows_each_value_with_who_said_it() {
    let place = Place::new();
    place.write("graftd.toml", "[client]\nlisten = \"127.0.0.1:9000\"\n[scheduler.node_limits]\nocr = 4\n");
    place.write("conf.d/10-site.toml", "[scheduler.node_limits]\n\"team-a/ocr\" = 2\n");
    let args = ["config", "print", "--show-origin", "--config", "graftd.toml", "--name", "m1"];
    let environment = [("GRAFT__RAFT__HEARTBEAT", "45ms")];
    let said = place.graftd(&environment, &args);
    assert_eq!(said.code, 0, "{}", said.err);
    for line in [
        "name = \"m1\"                # --name",
        "data_dir = \"./graft-data\"  # default",
        "listen = \"127.0.0.1:9000\"  # graftd.toml:2",
        "# advertise is not set",
        "max_voters = 5         # default",
        "[scheduler.node_limits]",
        "ocr = 4           # graftd.toml:4",
        "\"team-a/ocr\" = 2  # conf.d/10-site.toml:2",
    ] {
        assert!(said.out.lines().any(|shown| shown == line), "{line}\n{}", said.out);
    }
    assert!(said.out.contains("heartbeat = \"45ms\"") && said.out.contains("# GRAFT__RAFT__HEARTBEAT\n"), "{}", said.out);

    let said = place.graftd(&environment, &[&args[..], &["--format", "json"]].concat());
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        shown["raft"]["heartbeat"],
        serde_json::json!({ "value": "45ms", "layer": "environment", "origin": "GRAFT__RAFT__HEARTBEAT" })
    );
    assert_eq!(shown["scheduler"]["node_limits"]["team-a/ocr"]["layer"], "conf.d");
    assert_eq!(shown["node"]["name"]["origin"], "--name");
    assert_eq!(shown["client"]["listen"]["layer"], "file");
    assert_eq!(shown["client"]["advertise"], serde_json::json!({ "value": null, "layer": "default", "origin": "default" }));
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let place = Place::new();
    place.write(
        "graftd.toml",
        "[node]\nname = \"m1\"\ndata_dir = \"a \\\"b\\\" \\\\ \\u007f ü\"\n[cluster]\nname = \"c\"\nexpect = 3\n\
         peers = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\"]\n[security]\ninsecure = true\n[scheduler.node_limits]\n\"x/y.z\" = 3\n",
    );
    for extra in [&[][..], &["--show-origin"]] {
        let printed = place.graftd(&[], &[&["config", "print", "-c", "graftd.toml"], extra].concat());
        assert_eq!(printed.code, 0, "{}", printed.err);
        let again = place.write("again/graftd.toml", &printed.out);
        let read = |file: PathBuf| load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none()).unwrap().accepted().unwrap();
        assert_eq!(read(again), read(place.0.path().join("graftd.toml")));
    }
    let defaults = place.graftd(&[("GRAFT__LOG__LEVEL", "warn")], &["config", "print", "--defaults"]);
    assert_eq!(toml::from_str::<Config>(&defaults.out).unwrap(), Config::default());
    let json = place.graftd(&[], &["config", "print", "--defaults", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Config>(&json.out).unwrap(), Config::default());
}

#[test]
fn what_will_be_refused_can_be_looked_at() {
    let place = Place::new();
    let said = place.graftd(&[("GRAFT__RAFT__HEARTBEAT", "100ms")], &["config", "print", "--show-origin"]);
    assert_eq!(said.code, 78);
    assert!(said.out.contains("heartbeat = \"100ms\""), "{}", said.out);
    assert!(said.err.contains("raft.election_min (raft.heartbeat: GRAFT__RAFT__HEARTBEAT): 150ms is less than 3"), "{}", said.err);
}

#[test]
fn the_help_names_the_commands_and_every_command_has_examples() {
    let place = Place::new();
    for args in [&["--help"][..], &["help"], &["help", "config", "check"], &["config", "print", "--help"], &["config", "schema", "--help"]]
    {
        let said = place.graftd(&[], args);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.contains("Examples:\n  g") || said.out.contains("Examples:\n  G"), "{args:?}\n{}", said.out);
    }
    let said = place.graftd(&[], &["help"]);
    for word in ["Usage: graftd [OPTIONS] [COMMAND]", "config", "--data-dir", "/etc/graft/graftd.toml"] {
        assert!(said.out.contains(word), "{word}\n{}", said.out);
    }
    // Its own examples work.
    fs::write(place.0.path().join("graftd.toml"), place.graftd(&[], &["config", "print", "--defaults"]).out).unwrap();
    assert_eq!(place.graftd(&[], &["config", "check", "--config", "graftd.toml", "--strict"]).code, 0);
    let misspelt = place.graftd(&[], &["config", "chek"]);
    assert!(misspelt.code == 2 && misspelt.err.contains("check"), "{}", misspelt.err);
}

/// What the schema says of a document: `None` if it is taken.
fn refused_by_schema(document: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("graftd.json", schema()).unwrap();
    let compiled = compiler.compile("graftd.json", &mut schemas).unwrap_or_else(|e| panic!("this is no schema: {e:#}"));
    schemas.validate(document, compiled).err().map(|error| error.to_string())
}

fn toml_as_json(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

#[test]
fn the_schema_takes_what_the_daemon_takes() {
    let place = Place::new();
    let printed: Value = serde_json::from_str(&place.graftd(&[], &["config", "schema"]).out).unwrap();
    assert_eq!(printed, schema());
    assert_eq!(printed["$schema"], "https://json-schema.org/draft/2020-12/schema");
    // For each file: whether the daemon takes it, by itself; the schema must say the same.
    for (text, taken) in [
        ("", true),
        ("raft.heartbeat = \"10ms\"\nstorage.cache = \"1 GiB\"\nscheduler.node_limits = { \"a/b\" = 3 }", true),
        (
            "cluster.peers = [\"127.0.0.1:1\", \"[::1]:2\"]\nsecurity.insecure = true\ncluster.expect = 3\nnode.name = \"a\"\nlog.format = \"json\"",
            true,
        ),
        ("raft.hearbeat = \"10ms\"", false),
        ("zebra.x = 1", false),
        ("raft = 1", false),
        ("raft.heartbeat = 10", false),
        ("raft.heartbeat = \"10\"", false),
        ("raft.heartbeat = \"10MiB\"", false),
        ("storage.cache = \"10s\"", false),
        ("raft.batch_commands = \"10\"", false),
        ("raft.batch_commands = 0", false),
        ("raft.entries_in_flight = 257", false),
        ("scheduler.node_limits = { a = 0 }", false),
        ("scheduler.node_limits = { a = \"many\" }", false),
        ("cluster.peers = \"127.0.0.1:1\"", false),
        ("cluster.peers = [\"nowhere\"]", false),
        ("client.listen = \"nowhere\"", false),
        ("security.insecure = \"yes\"", false),
        ("log.format = \"xml\"", false),
        ("node.name = 5", false),
    ] {
        let refused = refused_by_schema(&toml_as_json(text));
        assert_eq!(refused.is_none(), taken, "{text}: {refused:?}");
        let file = place.write("graftd.toml", text);
        let loaded = load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none()).and_then(|loaded| loaded.accepted());
        assert_eq!(loaded.is_ok(), taken, "{text}: {loaded:?}");
    }
    let example = fs::read_to_string(deploy("graftd.toml.example")).unwrap();
    assert_eq!(refused_by_schema(&toml_as_json(&example)), None);
    assert_eq!(refused_by_schema(&serde_json::to_value(Config::default()).unwrap()), None);
}

#[test]
fn the_schema_explains_every_key_and_holds_every_default() {
    let (schema, defaults) = (schema(), serde_json::to_value(Config::default()).unwrap());
    for key in all_keys() {
        let (section, name) = key.split_once('.').unwrap();
        let property = &schema["properties"][section]["properties"][name];
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 20 && !text.contains('\n')), "{key}: {property}");
        assert_eq!(property["default"], defaults[section][name], "{key}");
        assert_eq!(property["x-graft-environment"], variable(&key).as_str(), "{key}");
        assert_eq!(property["x-graft-live"], live_keys().contains(&key.as_str()), "{key}");
        assert_eq!(schema["properties"][section]["additionalProperties"], false, "{section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn the_reference_page_is_what_the_code_says() {
    let (path, page) = (deploy("configuration.md"), reference_page());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let first = written.lines().zip(page.lines()).position(|(written, page)| written != page).unwrap_or_else(|| written.lines().count());
    assert!(
        written == page,
        "deploy/configuration.md differs from the code at line {}: run `UPDATE=1 cargo test -p graftd --test config reference_page`, and look at the difference",
        first + 1
    );
    let live = page.matches("- a change takes effect: when the daemon gets SIGHUP\n").count();
    let rest = page.matches("- a change takes effect: at the next start\n").count();
    assert_eq!((live, live + rest), (live_keys().len(), all_keys().len()));
    for key in all_keys() {
        assert!(page.contains(&format!("### `{key}`\n\n")) && page.contains(&format!("- environment: `{}`\n", variable(&key))), "{key}");
    }
}

#[test]
fn the_example_file_has_every_key_with_its_default_and_nothing_else() {
    let text = fs::read_to_string(deploy("graftd.toml.example")).unwrap();
    let uncommented: String = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
    let (shown, defaults) = (toml_as_json(&uncommented), serde_json::to_value(Config::default()).unwrap());
    let keys = all_keys();
    for key in &keys {
        let (section, name) = key.split_once('.').unwrap();
        let (example, default) = (&shown[section][name], &defaults[section][name]);
        // What has no default is shown by an example.
        let free = default.is_null() || default.as_array().is_some_and(Vec::is_empty) || default.is_object();
        assert!(!example.is_null(), "{key} is missing");
        assert!(free || example == default, "{key}: the example says {example}, the default is {default}");
    }
    for (section, inner) in shown.as_object().unwrap() {
        for name in inner.as_object().unwrap().keys() {
            assert!(keys.contains(&format!("{section}.{name}")), "{section}.{name} is no key");
        }
    }
    // As it stands it is accepted, and with all that is commented out as well.
    let place = Place::new();
    for text in [&text, &uncommented] {
        place.write("graftd.toml", text);
        let said = place.graftd(&[], &["config", "check", "--config", "graftd.toml"]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
}

#[test]
fn the_unit_of_systemd_starts_the_daemon_with_flags_that_it_has_and_a_file_that_is_the_usual_one() {
    let unit = fs::read_to_string(deploy("graftd.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let args: Vec<&str> = line.split(' ').skip(1).collect();
    assert!(args.windows(2).any(|pair| pair == ["--config", graftd::config::USUAL_FILE]), "{line}");
    assert!(unit.lines().any(|line| line == "ExecReload=kill -HUP $MAINPID"), "a reload is SIGHUP");
    // The same flags, with files that are here.
    let place = Place::new();
    fs::copy(deploy("graftd.toml.example"), place.0.path().join("graftd.toml")).unwrap();
    let args: Vec<&str> = args.iter().map(|arg| arg.rsplit('/').next().unwrap()).collect();
    let said = place.graftd(&[], &[&["config", "print", "--format", "json"], &args[..]].concat());
    let shown: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.err));
    assert_eq!(shown["node"]["data_dir"], "data");
}
