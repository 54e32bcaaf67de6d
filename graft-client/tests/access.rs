//! Clients and workers that show tokens, against daemons that ask everybody who he is.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use graft_client::{Client, ClientBuilder, ClientError, ErrorCode, EventFilter, NewToken, Outcome, Tls, Worker};
use graftd::app::Daemon;
use graftd::config::Config;
use graftd::tls::authority::{Authority, Subject};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A test that waits longer than this for something has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon, and the files of tokens.
struct Here {
    daemon: Daemon,
    tls: Tls,
    files: TempDir,
}

impl Here {
    /// On loopback, in the clear.
    async fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), None).await
    }

    /// Over TLS, with the certificate and the key in these files.
    async fn with(files: TempDir, secured: Option<(PathBuf, PathBuf)>) -> Self {
        std::fs::write(files.path().join("root"), "root-".repeat(8)).unwrap();
        let mut config = Config::in_process(files.path().join("data"));
        config.auth.required = true;
        config.auth.root_token_file = Some(files.path().join("root"));
        let tls = if secured.is_some() { Tls::new().ca(files.path().join("ca.pem")) } else { Tls::new() };
        (config.client.cert, config.client.key) = secured.unzip();
        let daemon = Daemon::start(config).await.unwrap();
        daemon.ready().await.unwrap();
        Self { daemon, tls, files }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder(self.daemon.client_url()).tls(self.tls.clone()).request_timeout(PATIENCE)
    }

    fn client(&self, file: &str) -> Client {
        self.builder().token_file(self.file(file)).build().unwrap()
    }

    /// Makes a token, writes it into the file, and answers with its id.
    async fn make(&self, file: &str, grants: &[&str]) -> String {
        let grants = grants.iter().map(|&grant| grant.to_owned()).collect();
        let made = self.client("root").create_token(NewToken { name: file.to_owned(), grants, ttl: None }).await.unwrap();
        std::fs::write(self.file(file), made.secret).unwrap();
        made.token.unwrap().id
    }

    async fn revoke(&self, id: &str) {
        self.client("root").revoke_token(id).await.unwrap();
    }

    /// A worker for this node, with a client of its own.
    fn worker(&self, file: &str, node: &str) -> Running {
        let worker = Worker::builder(self.client(file)).name(file).node_fn(node, |_, (): (), (): ()| async { Ok(Outcome::done()) });
        let stop = CancellationToken::new();
        Running { ended: tokio::spawn(worker.run_until(stop.clone().cancelled_owned())), stop }
    }
}

struct Running {
    ended: JoinHandle<Result<(), ClientError>>,
    stop: CancellationToken,
}

impl Running {
    /// That it is refused, and ends by itself with these words.
    async fn into_refusal(self, code: ErrorCode, words: &str) {
        let ended = tokio::time::timeout(PATIENCE, self.ended).await.expect("it ends by itself");
        let error = ended.unwrap().unwrap_err();
        assert!(error.code() == code.name() && error.to_string().contains(words), "{error}");
    }

    async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

async fn executed(client: &Client, id: &str, node: &str) {
    client.start(id).node_named(node, ()).await.unwrap();
    let result = client.workflow(id);
    tokio::time::timeout(PATIENCE, result.result::<serde_json::Value>()).await.expect("a worker executes it").unwrap();
}

/// Asks until it is answered so.
async fn until(what: &str, client: &Client, is_so: impl Fn(Result<String, ClientError>) -> bool) {
    let asked = async {
        while !is_so(client.who_am_i().await.map(|me| me.name)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_executes_the_nodes_that_its_token_is_for_and_no_others() {
    let here = Here::start().await;
    here.make("worker", &["worker@default=pick,pack-*"]).await;
    let operator = here.make("operator", &["operator@default"]).await;
    let client = here.client("operator");
    let picker = here.worker("worker", "pick");
    executed(&client, "a", "pick").await;
    picker.stop().await;
    here.worker("worker", "charge").into_refusal(ErrorCode::NotAllowed, "node \"charge\"").await;
    here.worker("operator", "pick").into_refusal(ErrorCode::NotAllowed, "may not execute").await;
    // Who executes may not start, and the other way round.
    let refused = here.client("worker").start("b").node_named("pick", ()).await.unwrap_err();
    assert!(refused.code() == "GR0031" && refused.has_no_side_effects() && refused.remedy().contains("graft whoami"), "{refused}");

    // What was revoked lets nobody in any more, neither calls nor a new worker.
    let page = here.client("root").tokens(1, "").await.unwrap();
    let rest = here.client("root").tokens(0, page.next_cursor.as_deref().expect("two were made")).await.unwrap();
    let ids: Vec<_> = page.tokens.iter().chain(&rest.tokens).map(|token| token.id.clone()).collect();
    for id in &ids {
        here.revoke(id).await;
    }
    assert!(ids.contains(&operator) && ids.len() == 2);
    until("a token that was revoked is refused", &client, |me| me.is_err_and(|error| error.code() == "GR0030")).await;
    until("and so is the other", &here.client("worker"), |me| me.is_err()).await;
    here.worker("worker", "pick").into_refusal(ErrorCode::Unauthenticated, "revoked").await;
    let missing = here.client("root").revoke_token(&operator).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::TokenNotFound.name());
    let acts = here.client("root").acts(0, 0).await.unwrap();
    let failed = acts.acts.iter().find(|act| act.outcome != "ok").expect("the failed one is noted");
    assert!(failed.method == "AccessService.revoke_token" && failed.principal == "client:root" && !acts.more, "{failed:?}");
    here.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_put_in_the_place_of_another_is_in_use_without_a_restart() {
    let here = Here::start().await;
    here.make("first", &["operator@default"]).await;
    let kept = here.make("second", &["operator@default"]).await;
    std::fs::copy(here.file("first"), here.file("token")).unwrap();
    let client = here.client("token");
    assert_eq!(client.who_am_i().await.unwrap().name, "first");
    std::fs::copy(here.file("second"), here.file("token")).unwrap();
    until("the new token is shown", &client, |me| me.is_ok_and(|name| name == "second")).await;
    // One that was refused is looked for again at once: whoever had only the old one notices nothing.
    here.revoke(&kept).await;
    until("the old one is refused", &client, |me| me.is_err()).await;
    std::fs::copy(here.file("first"), here.file("token")).unwrap();
    assert_eq!(client.who_am_i().await.unwrap().name, "first");
    here.daemon.shutdown().await;
}

/// Members end the streams that a token began soon after it was revoked, in the order in which they were opened.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_a_revoked_token_began_go_on_with_the_one_that_has_taken_its_place() {
    let here = Here::start().await;
    let old = here.make("old", &["worker@default", "operator@default"]).await;
    here.make("new", &["worker@default", "operator@default"]).await;
    std::fs::copy(here.file("old"), here.file("token")).unwrap();
    let client = here.client("token");
    let picker = here.worker("token", "pick");
    executed(&client, "a", "pick").await;
    let mut events = client.events(EventFilter::new().event_type("started"));
    events.next().await.unwrap().unwrap();
    let told = tokio::spawn(async move {
        loop {
            let batch = events.next().await.expect("no end")?;
            if batch.events.iter().any(|event| event.workflow_id == "b") {
                return Ok::<_, ClientError>(());
            }
        }
    });
    let fixed = here.builder().token(std::fs::read_to_string(here.file("old")).unwrap()).build().unwrap();
    let mut last = fixed.events(EventFilter::new());
    last.next().await.unwrap().unwrap();

    std::fs::copy(here.file("new"), here.file("token")).unwrap();
    here.revoke(&old).await;
    let ended = async {
        loop {
            if let Err(error) = last.next().await.expect("no end without a reason") {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, ended).await.expect("the member ends it");
    assert_eq!(error.code(), ErrorCode::Unauthenticated.name(), "there is no other token for this one: {error}");
    executed(&client, "b", "pick").await;
    tokio::time::timeout(PATIENCE, told).await.expect("it is told").unwrap().unwrap();
    picker.stop().await;
    here.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_over_tls_to_whom_this_client_believes() {
    let files = tempfile::tempdir().unwrap();
    let (authority, issued) = Authority::create("graft").unwrap();
    std::fs::write(files.path().join("ca.pem"), issued.cert).unwrap();
    let subject = Subject::Member { cluster: "graft".into(), member: "m1".into(), hosts: vec!["127.0.0.1".into()] };
    let issued = authority.issue(&subject, 1).unwrap();
    let (cert, key) = (files.path().join("m1.pem"), files.path().join("m1.key"));
    std::fs::write(&cert, issued.cert).unwrap();
    std::fs::write(&key, issued.key).unwrap();
    let here = Here::with(files, Some((cert, key))).await;
    here.make("worker", &["worker", "operator"]).await;
    let client = here.client("worker");
    let picker = here.worker("worker", "pick");
    executed(&client, "a", "pick").await;
    let history = client.workflow("a").history(10, "").await.unwrap();
    assert!(format!("{:?}", history.events).contains("client:worker"), "its holder's name stands in the history: {history:?}");
    let text = std::fs::read_to_string(here.file("worker")).unwrap();
    let by_text = here.builder().token(&text).build().unwrap();
    assert_eq!(by_text.at(here.daemon.client_url()).unwrap().who_am_i().await.unwrap().name, "worker");
    assert!(!format!("{by_text:?} {:?}", here.builder().token(&text)).contains(text.trim()), "nobody reads it off a log");
    picker.stop().await;
    here.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_nothing_is_told_what_to_show() {
    let here = Here::start().await;
    let nobody = here.builder().build().unwrap();
    let began = std::time::Instant::now();
    let error = nobody.cluster_status().await.unwrap_err();
    assert!(error.code() == "GR0030" && !error.is_retryable() && began.elapsed() < PATIENCE / 2, "{error}");
    assert!(error.remedy().contains("token"), "{error}");
    here.daemon.shutdown().await;
}
