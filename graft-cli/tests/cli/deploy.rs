//! What is in `deploy/docker`, as far as it can be held without a container engine: that nothing is copied that is not there, and that the programs take
//! what compose says to them. `tests/package/run` runs the image's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use graftd::config::{Flags, Loaded, Sources, load};
use serde::Deserialize;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the command line stands below the root").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<String> {
    let text = read("deploy/docker/Dockerfile").replace("\\\n", " ");
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn everything_that_is_copied_into_the_image_is_there_and_is_let_through() {
    let ignore = read("deploy/docker/Dockerfile.dockerignore");
    let mut copied = Vec::new();
    for instruction in instructions() {
        let Some(words) = instruction.strip_prefix("COPY ").filter(|words| !words.starts_with("--from=")) else { continue };
        let words: Vec<&str> = words.split_whitespace().collect();
        copied.extend(words[..words.len() - 1].iter().map(|word| (*word).to_owned()));
    }
    for source in &copied {
        assert!(root().join(source).exists(), "{source} is copied, and is not there");
        assert!(ignore.lines().any(|line| line == format!("!{source}")), "{source} is copied, and .dockerignore keeps it out");
    }
    // All of the workspace, or cargo refuses to look at any of it.
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("members = [")).expect("members, on one line");
    for member in line.trim_end_matches(']').split(',').map(|member| member.trim().trim_matches('"')) {
        assert!(copied.iter().any(|source| member == source || member.starts_with(&format!("{source}/"))), "{member} is not copied");
    }
}

/// A service of compose, as far as it is looked at. What merge keys bring is there.
#[derive(Debug, Deserialize)]
struct Service {
    image: String,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, BTreeMap<String, String>>,
    build: Build,
    healthcheck: Option<Check>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    cap_drop: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Build {
    context: PathBuf,
    dockerfile: PathBuf,
    target: String,
}

#[derive(Debug, Deserialize)]
struct Check {
    test: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<String>>,
}

fn compose() -> Compose {
    serde_saphyr::from_str(&read("deploy/docker/compose.yaml")).unwrap_or_else(|error| panic!("compose.yaml: {error}"))
}

#[test]
fn every_service_is_restricted_and_names_what_there_is() {
    let Compose { services, volumes } = compose();
    let stages: Vec<String> =
        instructions().iter().filter_map(|line| Some(line.strip_prefix("FROM ")?.split(" AS ").nth(1)?.to_owned())).collect();
    for (name, service) in &services {
        assert!(service.read_only && service.cap_drop == ["ALL"], "{name} may do more than it has to");
        let context = root().join("deploy/docker").join(&service.build.context);
        assert!(context.join(&service.build.dockerfile).exists(), "{name}: {:?}", service.build);
        assert!(stages.contains(&service.build.target), "{name}: the Dockerfile has no stage {}", service.build.target);
        for other in service.depends_on.keys() {
            assert!(services.contains_key(other), "{name} waits for {other}, which is no service");
        }
        for volume in &service.volumes {
            assert!(volumes.contains_key(volume.split(':').next().expect("a name")), "{name}: {volume} is not declared");
        }
    }
    assert_eq!(services.values().filter(|service| service.entrypoint.is_empty() && service.image == "graft").count(), 3, "members");
}

#[test]
fn the_daemon_takes_the_configuration_of_every_member_of_compose() {
    let image: Vec<String> = instructions();
    let image = image.iter().rev().find_map(|line| line.strip_prefix("ENV ")).expect("the image has variables");
    let image: BTreeMap<&str, &str> = image.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
    let members = compose().services.into_iter().filter(|(_, service)| service.environment.contains_key("GRAFT__NODE__NAME"));
    let (mut peers, mut seen) = (Vec::new(), Vec::new());
    for (name, service) in members {
        assert!(service.command.is_empty(), "{name}: flags are not looked at here");
        let of_image = image.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = of_image.chain(service.environment).collect();
        let loaded = load(&Flags::default(), &Sources { environment, ..Sources::none() }).and_then(Loaded::good);
        let config = loaded.unwrap_or_else(|error| panic!("{name}: {error}")).config;
        assert_eq!(config.node.name.as_deref(), Some(name.as_str()));
        assert_eq!(config.client.advertise.map(|address| address.to_string()), Some(format!("{name}:7420")));
        assert!(config.node.data_dir.starts_with("/var/lib/graft"), "{}", config.node.data_dir.display());
        assert_eq!(config.cluster.expect, Some(3));
        peers = config.cluster.peers;
        seen.extend(config.cluster.peer_advertise);
    }
    assert_eq!(seen, peers, "each is where the others look for it");
}

/// Every line of `graft` in compose parses: what is wrong with it is only that nobody answers here, or that it was done.
#[test]
fn the_command_line_takes_what_compose_says_to_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut lines = 0;
    for (name, service) in compose().services {
        let check = service.healthcheck.map(|check| check.test).unwrap_or_default();
        let of_check = check.strip_prefix(&["CMD".to_owned(), "/usr/local/bin/graft".to_owned()][..]).unwrap_or_default();
        let of_graft = if service.entrypoint == ["/usr/local/bin/graft"] { &service.command[..] } else { &[] };
        for words in [of_check, of_graft].into_iter().filter(|words| !words.is_empty()) {
            lines += 1;
            let words = words.iter().map(|word| match word.as_str() {
                "/var/lib/graft" => dir.path().to_str().expect("a path").to_owned(),
                // The port of nobody.
                "http://127.0.0.1:7420" => "http://127.0.0.1:9".to_owned(),
                other => other.to_owned(),
            });
            let output = Command::new(env!("CARGO_BIN_EXE_graft")).env_remove("GRAFT_ADDR").args(words).output().expect("graft runs");
            let expected = if of_check.is_empty() { 0 } else { 6 };
            assert_eq!(output.status.code(), Some(expected), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert_eq!(lines, 7, "an authority, three certificates, three checks");
}
