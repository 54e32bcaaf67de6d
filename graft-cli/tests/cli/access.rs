//! Who may do what, where that is asked: tokens are made, shown, listed and taken away, and what administrators did is told.

use std::path::PathBuf;

use graftd::app::Daemon;
use graftd::config::Config;
use tempfile::TempDir;

use crate::here::{PATIENCE, Ran, graft_with, within};

/// A daemon that asks everybody who he is, and the files of tokens.
pub(crate) struct Guarded {
    pub(crate) addr: String,
    daemon: Daemon,
    files: TempDir,
}

impl Guarded {
    /// Starts it; the root token is in the file `root`.
    pub(crate) async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("root"), "root-".repeat(8)).unwrap();
        let mut config = Config::in_process(files.path().join("data"));
        config.auth.required = true;
        config.auth.root_token_file = Some(files.path().join("root"));
        let daemon = within("the daemon's start", Daemon::start(config)).await.unwrap();
        within("the daemon to be ready", daemon.ready()).await.unwrap();
        Self { addr: format!("http://{}", daemon.client_address()), daemon, files }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Runs `graft` with the token in this file, by the environment; with an empty name, without one.
    pub(crate) async fn graft(&self, token: &str, words: &[&str]) -> Ran {
        let file = if token.is_empty() { String::new() } else { self.file(token).display().to_string() };
        graft_with(&[&["--addr", &self.addr], words].concat(), &[("GRAFT_TOKEN_FILE", Some(&file))]).await
    }

    pub(crate) async fn done(&self, token: &str, words: &[&str]) -> String {
        let ran = self.graft(token, words).await;
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
        ran.stdout
    }

    async fn refused(&self, token: &str, words: &[&str], code: &str) -> String {
        let ran = self.graft(token, words).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(code) && ran.stderr.contains(&format!("graft explain {code}")), "{words:?}: {}", ran.stderr);
        ran.stderr
    }

    /// Makes a token with what stdout says, as a shell would.
    pub(crate) async fn make(&self, file: &str, words: &[&str]) {
        let secret = self.done("root", &[&["token", "create", file], words].concat()).await;
        std::fs::write(self.file(file), secret).unwrap();
    }

    pub(crate) async fn stop(self) {
        within("the daemon's end", self.daemon.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_allows_what_it_grants_until_it_is_revoked() {
    let here = Guarded::start().await;
    here.refused("", &["workflow", "list"], "GR0030").await;
    here.make("sales", &["--grant", "operator@sales", "--ttl", "1h"]).await;
    here.done("sales", &["workflow", "start", "a", "--node", "nobody", "-n", "sales"]).await;
    let elsewhere = here.refused("sales", &["workflow", "start", "a", "--node", "nobody"], "GR0031").await;
    assert!(elsewhere.contains("\"default\"") && elsewhere.contains("`graft whoami`"), "{elsewhere}");
    here.refused("sales", &["token", "create", "more", "--grant", "cluster-admin"], "GR0031").await;
    here.refused("sales", &["audit"], "GR0031").await;
    assert_eq!(here.done("sales", &["token", "list", "-o", "name"]).await, "", "it may make none");

    // A flag wins over the environment.
    let root = here.file("root").display().to_string();
    assert_eq!(here.done("sales", &["whoami", "-o", "name"]).await, "sales\n");
    assert_eq!(here.done("sales", &["whoami", "-o", "name", "--token-file", &root]).await, "root\n");

    let id = here.done("root", &["token", "list", "-o", "name"]).await;
    let revoked = here.graft("root", &["token", "revoke", id.trim(), "-o", "name"]).await;
    assert!(revoked.code == 0 && revoked.stdout.is_empty() && revoked.stderr.contains("is revoked"), "{}", revoked.stderr);
    // A member believes what it has looked up for a second.
    let out = async { while here.graft("sales", &["whoami"]).await.code == 0 {} };
    tokio::time::timeout(PATIENCE, out).await.expect("nobody is let in with a token that was revoked");
    here.refused("sales", &["whoami"], "GR0030").await;
    here.stop().await;
}

/// Whoever may start workflows and execute none cannot try the cluster; and nothing is left that would wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_try_that_is_refused_midway_leaves_nothing_running() {
    let here = Guarded::start().await;
    here.make("ann", &["--grant", "operator"]).await;
    let said = here.refused("ann", &["cluster", "try"], "GR0031").await;
    assert!(said.contains("worker"), "{said}");
    let tried = here.done("ann", &["workflow", "list", "--prefix", "try-", "-o", "jsonl"]).await;
    let tried: serde_json::Value = serde_json::from_str(tried.trim()).expect("one workflow");
    assert_eq!(tried["status"], "terminated");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_administrators_did_is_told_the_latest_first() {
    let here = Guarded::start().await;
    here.done("root", &["limit", "set", "pick", "--max", "7"]).await;
    here.make("viewer", &["--grant", "viewer"]).await;
    here.refused("viewer", &["limit", "set", "pick", "--max", "8"], "GR0031").await;
    let lines = |text: &str| text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>();
    let acts = lines(&here.done("root", &["audit", "-o", "jsonl"]).await);
    let told: Vec<_> = acts.iter().map(|act| (&act["principal"], &act["method"], &act["outcome"])).collect();
    let by_root = |method: &str, outcome: String| ("client:root".into(), method.into(), outcome.into());
    let made = format!("ok: API token {}", here.done("root", &["token", "list", "-o", "name"]).await.trim());
    let expected: [(serde_json::Value, serde_json::Value, serde_json::Value); 2] =
        [by_root("AccessService.create_token", made), by_root("LimitService.set", "ok".to_owned())];
    assert_eq!(told, expected.iter().map(|(who, what, how)| (who, what, how)).collect::<Vec<_>>());
    assert!(acts.iter().all(|act| act["from"] == "127.0.0.1" && act["begun_at"].is_string() && act["ended_at"].is_string()), "{acts:?}");

    let page = here.graft("root", &["audit", "--limit", "1"]).await;
    assert!(page.stdout.contains("create_token") && page.stdout.lines().count() == 2, "{}", page.stdout);
    let before = acts[0]["number"].to_string();
    assert!(page.stderr.contains(&format!("graft audit --before {before}")), "{}", page.stderr);
    let earlier = lines(&here.done("root", &["audit", "--before", &before, "-o", "jsonl"]).await);
    assert_eq!(earlier, acts[1..]);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_context_knows_the_file_of_its_token() {
    let (here, home) = (Guarded::start().await, tempfile::tempdir().unwrap());
    let graft = async |words: &[&str]| graft_with(words, &[("XDG_CONFIG_HOME", home.path().to_str())]).await;
    let root = here.file("root").display().to_string();
    let missing = here.file("none").display().to_string();
    let add = |name| ["context", "add", name, "--addr", &here.addr, "--token-file"];
    let refused = graft(&[&add("gone")[..], &[&missing]].concat()).await;
    assert!(refused.code == 2 && refused.stderr.contains("GR9014") && refused.stderr.contains(&missing), "{}", refused.stderr);
    let added = graft(&[&add("here")[..], &[&root, "--use"]].concat()).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(graft(&["whoami", "-o", "name"]).await.stdout, "root\n");
    assert_eq!(graft(&["whoami", "--addr", &here.addr]).await.code, 5, "whoever names an address names no context");
    let tested = graft(&["context", "test"]).await;
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
    here.stop().await;
}

#[tokio::test]
async fn a_token_goes_to_no_other_machine_in_the_clear() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret-token").unwrap();
    for words in [&["workflow", "list"][..], &["context", "add", "prod"], &["bench"]] {
        // An address that answers nobody: nothing is sent.
        let ran =
            crate::here::graft(&[&["--addr", "http://192.0.2.1:7420", "--token-file", file.path().to_str().unwrap()], words].concat())
                .await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("in the clear") && !ran.stderr.contains("secret-token"), "{words:?}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_benchmark_shows_no_token_to_the_server_of_its_own() {
    let (disk, token) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(token.path(), "of-another-cluster").unwrap();
    let words = ["bench", "--duration", "200ms", "--warmup", "50ms", "--concurrency", "2", "--fsync-dir", disk.path().to_str().unwrap()];
    let ran = graft_with(&words, &[("GRAFT_TOKEN_FILE", token.path().to_str())]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
