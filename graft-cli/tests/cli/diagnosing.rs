//! What is asked first when something is wrong: how much members log, and all that they say of themselves.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::dev::Dev;
use crate::here::{Here, graft};
use crate::schemas::hold;

async fn document(addr: &str, words: &[&str]) -> Value {
    let ran = graft(&[&["--addr", addr, "-o", "json"], words].concat()).await;
    assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
    let document = serde_json::from_str(&ran.stdout).unwrap();
    hold(&document);
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_of_the_log_is_shown_changed_and_put_back() {
    let dev = Dev::start(&[]);
    let level = async |words: &[&str]| {
        let shown = document(&dev.addr, &[&["cluster", "log-level"], words].concat()).await;
        let row = shown["members"][0].clone();
        [&row["level"], &row["configured"], &row["before"]].map(|level| level.as_str().unwrap().to_owned())
    };
    let member = document(&dev.addr, &["cluster", "status"]).await["members"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(level(&[]).await, ["warn", "warn", "warn"]);
    assert_eq!(level(&["info,graftd::app=debug", "--member", &member]).await, ["info,graftd::app=debug", "warn", "warn"]);
    assert_eq!(level(&[]).await, ["info,graftd::app=debug", "warn", "info,graftd::app=debug"]);
    assert_eq!(level(&["--reset"]).await, ["warn", "warn", "info,graftd::app=debug"]);

    let refused = async |words: &[&str]| graft(&[&["--addr", &dev.addr, "cluster", "log-level"], words].concat()).await;
    let loud = refused(&["loud"]).await;
    assert!(loud.code == 2 && loud.stderr.contains("`loud` is no level"), "{}", loud.stderr);
    let nobody = refused(&["debug", "--member", "nobody"]).await;
    assert!(nobody.code == 3 && nobody.stderr.contains("there is no member nobody"), "{}", nobody.stderr);
    assert_eq!(level(&[]).await[0], "warn");
    let ended = dev.stop().await;
    assert!(ended.stderr.contains("the level of the log is changed"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_inside_another_program_has_no_level_of_its_own() {
    let here = Here::start().await;
    let shown = document(&here.addr, &["cluster", "log-level"]).await;
    assert_eq!((&shown["members"][0]["level"], &shown["members"][0]["error"]), (&json!(null), &json!(null)));
    let ran = here.graft(&["cluster", "log-level", "debug"]).await;
    assert!(ran.code != 0 && ran.stdout.contains("the log is that of the program"), "{}{}", ran.stdout, ran.stderr);
    here.stop().await;
}

/// All files below a directory, by their paths in it.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            found.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debug_bundle_has_what_members_say_of_themselves_and_nothing_of_what_is_secret() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep/bundle");
    let data = home.path().join("data");
    let dev = Dev::start(&["--data-dir", data.to_str().unwrap()]);
    document(&dev.addr, &["cluster", "log-level", "info"]).await;
    // What must not be in it: what a workflow holds, what its nodes are given, and the secret of a token.
    let start =
        ["workflow", "start", "order-1", "--node", "nobody", "--state", r#"{"card":"canary-state"}"#, "--config", r#""canary-config""#];
    document(&dev.addr, &start).await;
    let token = document(&dev.addr, &["cluster", "join-token", "create"]).await["token"].as_str().unwrap().to_owned();
    let secret = token.rsplit('.').next().unwrap().to_owned();

    let words = ["debug-bundle", dir.to_str().unwrap()];
    let bundle = document(&dev.addr, &words).await;
    let member = &bundle["members"][0];
    assert_eq!((&member["error"], bundle["members"].as_array().unwrap().len()), (&json!(null), 1));
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let found = files(&dir);
    let folder = member["folder"].as_str().unwrap();
    let of = |name: &str| found.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", found.keys()));
    let own = |name: &str| of(&format!("{folder}/{name}"));
    for name in ["bundle.json", "cluster.json", "findings.json", "workers.json", "limits.json", &format!("{folder}/status.json")] {
        hold(&serde_json::from_str(of(name)).unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    let told = format!("data_dir = {:?}", data.to_str().unwrap());
    assert!(own("configuration.toml").contains(&told) && own("configuration.toml").contains("# default"), "{}", own("configuration.toml"));
    assert!(own("metrics.txt").contains("graft_commands_total{kind=\"start\"} 1"), "{}", own("metrics.txt"));
    assert!(own("readiness.txt").contains("[+]ready"), "{}", own("readiness.txt"));
    assert_eq!(own("log-level.txt"), "info\n");
    let lines: Vec<Value> = own("log.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["msg"] == "the level of the log is changed" && line["level"] == "warn"), "{lines:?}");
    for (name, text) in &found {
        for canary in ["canary-state", "canary-config", &token, &secret] {
            assert!(!text.contains(canary), "{name} has {canary}");
        }
    }

    let again = graft(&[&["--addr", &dev.addr], &words[..]].concat()).await;
    assert!(again.code == 4 && again.stderr.contains("has something in it already"), "{}", again.stderr);
    assert_eq!(files(&dir), found);
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debug_bundle_says_of_a_member_that_does_not_answer_why() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    // Whoever is told where it answers is told wrong.
    let mut config = graftd::config::Config::in_process(&data);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.client.advertise = Some(graftd::config::HostPort::loopback(closed.port()));
    let daemon = graftd::app::Daemon::start(config).await.unwrap();
    daemon.ready().await.unwrap();
    let dir = home.path().join("bundle");
    let ran = graft(&["--addr", &daemon.client_url(), "debug-bundle", dir.to_str().unwrap(), "-o", "json"]).await;
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    let bundle: Value = serde_json::from_str(&ran.stdout).unwrap();
    let member = &bundle["members"][0];
    let why = std::fs::read_to_string(dir.join(member["folder"].as_str().unwrap()).join("error.txt")).unwrap();
    assert_eq!(member["error"].as_str().unwrap(), why.trim_end());
    let findings = std::fs::read_to_string(dir.join("findings.json")).unwrap();
    assert!(findings.contains("it gives no status at"), "{findings}");
    daemon.shutdown().await;
}
