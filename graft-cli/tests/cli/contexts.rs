//! Contexts: clusters by name.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::here::{Here, Ran, graft_with};

/// Somebody with a place for contexts.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn graft(&self, words: &[&str]) -> Ran {
        self.graft_with(words, &[]).await
    }

    async fn graft_with(&self, words: &[&str], variables: &[(&str, Option<&str>)]) -> Ran {
        graft_with(words, &[&[("XDG_CONFIG_HOME", self.0.path().to_str())], variables].concat()).await
    }

    async fn done(&self, words: &[&str]) -> Ran {
        let ran = self.graft(words).await;
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
        ran
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_context_is_noted_used_and_forgotten() {
    let (here, home) = (Here::start().await, Home::new());
    here.json(&["workflow", "start", "a", "--node", "nobody", "-n", "sales"]).await;

    assert!(home.done(&["context", "list"]).await.stderr.contains("There is no context"));
    let noted = home.done(&["context", "add", "here", "--addr", &here.addr, "-n", "sales"]).await;
    assert!(noted.stderr.contains("graft context use here"), "{}", noted.stderr);
    let file = home.0.path().join("graft/config.toml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // It is not the current one yet.
    assert_eq!(home.graft(&["workflow", "get", "a", "--timeout", "50ms", "--addr", "http://127.0.0.1:1"]).await.code, 6);
    home.done(&["workflow", "get", "a", "--context", "here"]).await;
    let by_environment = home.graft_with(&["workflow", "get", "a"], &[("GRAFT_CONTEXT", Some("here"))]).await;
    assert_eq!(by_environment.code, 0, "{}", by_environment.stderr);
    home.done(&["context", "use", "here"]).await;
    home.done(&["workflow", "get", "a"]).await;
    // A flag wins over it, and so does a variable.
    assert_eq!(home.graft(&["workflow", "get", "a", "-n", "other"]).await.code, 3);
    let elsewhere = [("GRAFT_ADDR", Some("http://127.0.0.1:1"))];
    assert_eq!(home.graft_with(&["workflow", "get", "a", "--timeout", "50ms"], &elsewhere).await.code, 6);

    let again = home.graft(&["context", "add", "here", "--addr", &here.addr]).await;
    assert_eq!(again.code, 4, "{}", again.stderr);
    assert!(again.stderr.contains("--replace"), "{}", again.stderr);
    home.done(&["context", "add", "here", "--addr", &here.addr, "--replace", "--use"]).await;
    let listed: Value = serde_json::from_str(&home.done(&["context", "list", "-o", "json"]).await.stdout).unwrap();
    let expected = serde_json::json!({"name": "here", "addr": here.addr, "namespace": "default", "current": true});
    assert_eq!((&listed["kind"], &listed["contexts"][0]), (&"ContextList".into(), &expected));

    let wrong = home.graft(&["workflow", "list", "-c", "hree"]).await;
    assert_eq!(wrong.code, 3);
    assert!(wrong.stderr.contains("Is \"here\" meant?"), "{}", wrong.stderr);
    home.done(&["context", "remove", "here"]).await;
    assert_eq!(home.graft(&["context", "use", "here"]).await.code, 3);
    assert_eq!(home.graft(&["context", "add", "x"]).await.code, 2, "an address must be said");
    assert_eq!(home.graft(&["context", "add", "x", "--addr", "no url at all"]).await.code, 2);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_test_of_a_context_says_who_answers_at_each_address() {
    let (here, home) = (Here::start().await, Home::new());
    home.done(&["context", "add", "here", "--addr", &here.addr]).await;
    let tested: Value = serde_json::from_str(&home.done(&["context", "test", "here", "-o", "json"]).await.stdout).unwrap();
    let address = &tested["addresses"][0];
    assert_eq!((&tested["context"], &address["answers"], &address["ready"]), (&"here".into(), &true.into(), &true.into()));
    assert_eq!(address["member"], address["leader"]);
    assert!(address["latency_us"].as_u64().unwrap() > 0 && address["version"].is_string(), "{tested}");

    let both = format!("{},http://127.0.0.1:1", here.addr);
    let ran = home.graft(&["context", "test", "--addr", &both]).await;
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(ran.stdout.contains("no answer: ") && ran.stdout.contains("ready"), "{}", ran.stdout);
    assert!(ran.stderr.contains("1 of 2 addresses do not answer"), "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test]
async fn a_file_that_graft_did_not_write_is_an_error_that_names_it() {
    let home = Home::new();
    std::fs::create_dir(home.0.path().join("graft")).unwrap();
    std::fs::write(home.0.path().join("graft/config.toml"), "contexts = 7\n").unwrap();
    let ran = home.graft(&["workflow", "list"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("graft/config.toml"), "{}", ran.stderr);
    let named = home.graft(&["workflow", "list", "--addr", "http://127.0.0.1:1", "--timeout", "50ms"]).await;
    assert_eq!(named.code, 6, "whoever names an address does not need it: {}", named.stderr);
}
