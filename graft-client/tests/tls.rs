//! Client and worker over TLS, against a daemon in this process with certificates that are made here.

use std::path::PathBuf;
use std::time::Duration;

use graft_client::{Client, ClientBuilder, ErrorCode, Outcome, StartWorkflow, Tls, Worker};
use graftd::app::Daemon;
use graftd::config::{Callers, Config};
use graftd::tls::authority::{Authority, Subject};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const DAYS: u32 = 1;
/// Longest wait for an answer: a refusal must not be repeated until then.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long certificates are good that are replaced, and how often they are.
const VALID: Duration = Duration::from_secs(3);
const ROTATIONS: u32 = 9;
/// Handshakes that are begun: fewer than one address may have at a time.
const HALF_MADE: usize = 40;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    n: u32,
}

/// An authority and the files that it has made.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, issued) = Authority::create("graft").unwrap();
        std::fs::write(folder.path().join("ca.pem"), issued.cert).unwrap();
        Self { folder, authority }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str, subject: &Subject) -> (PathBuf, PathBuf) {
        let issued = self.authority.issue(subject, DAYS).unwrap();
        let (cert, key) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        std::fs::write(&key, issued.key).unwrap();
        std::fs::write(&cert, issued.cert).unwrap();
        (cert, key)
    }

    fn of_member(&self, host: &str) -> (PathBuf, PathBuf) {
        self.issue("m1", &Subject::Member { cluster: "graft".into(), member: "m1".into(), hosts: vec![host.to_owned()] })
    }

    fn of_client(&self, name: &str) -> (PathBuf, PathBuf) {
        self.issue(name, &Subject::Client { cluster: "graft".into(), name: name.into() })
    }

    fn tls(&self) -> Tls {
        Tls::new().ca(self.file("ca.pem"))
    }

    /// A daemon that shows its certificate, made for this host.
    async fn daemon(&self, host: &str, callers: Option<Callers>) -> (Daemon, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::in_process(directory.path());
        let (cert, key) = self.of_member(host);
        (config.client.cert, config.client.key) = (Some(cert), Some(key));
        if let Some(callers) = callers {
            (config.client.callers_ca, config.client.callers) = (Some(self.file("ca.pem")), callers);
        }
        let daemon = Daemon::start(config).await.unwrap();
        daemon.ready().await.unwrap();
        assert!(daemon.client_url().starts_with("https://"));
        (daemon, directory)
    }
}

fn patient(builder: ClientBuilder) -> Client {
    builder.request_timeout(PATIENCE).build().unwrap()
}

async fn refused(client: &Client) -> String {
    let began = std::time::Instant::now();
    let error = client.cluster_status().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Tls.name(), "{error}");
    assert!(!error.is_retryable() && error.has_no_side_effects() && began.elapsed() < PATIENCE / 2, "{error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_started_and_executed_over_tls_by_callers_that_show_who_they_are() {
    let files = Files::new();
    let (daemon, _directory) = files.daemon("127.0.0.1", Some(Callers::Required)).await;
    let (cert, key) = files.of_client("ann");
    let client = patient(Client::builder(daemon.client_url()).identity("somebody").tls(files.tls().identity(cert, key)));
    let worker = Worker::builder(client.clone())
        .node_fn("count", |_, state: State, _: ()| async move { Ok(Outcome::state(State { n: state.n + 1 })) });
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));
    client.start("over-tls").state(&State { n: 1 }).unwrap().node_named("count", ()).await.unwrap();
    let state: State = client.workflow("over-tls").result().await.unwrap();
    assert_eq!(state.n, 2);
    let history = client.workflow("over-tls").history(10, "").await.unwrap();
    assert!(format!("{:?}", history.events).contains("client:ann"), "who it is stands in the history, and not what it says: {history:?}");
    stop.cancel();
    running.await.unwrap().unwrap();
    // Nobody gets in without a certificate, and the refusal says what is missing.
    let said = refused(&patient(Client::builder(daemon.client_url()).tls(files.tls()))).await;
    assert!(said.contains("asks for a certificate of this client"), "{said}");
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_with_a_certificate_that_is_not_good_does_not_stand_in_for_all() {
    let files = Files::new();
    let (bad, _directory) = files.daemon("elsewhere.example", None).await;
    let (good, _directory) = files.daemon("127.0.0.1", None).await;
    let client = patient(Client::builder([bad.client_url(), good.client_url()]).tls(files.tls()));
    client.cluster_status().await.unwrap();
    client.start("once").node_named("nobody", ()).await.unwrap();
    let fresh = patient(Client::builder([bad.client_url(), good.client_url()]).tls(files.tls()));
    let many = fresh.start_many(["one", "two"].map(|id| StartWorkflow::new(id).node_named("nobody", ()))).await.unwrap();
    assert!(many.len() == 2 && many.iter().all(Result::is_ok), "{many:?}");
    // Alone it is told, with what to do; and so is a scheme that is not the one of the port.
    let said = refused(&patient(Client::builder(bad.client_url()).tls(files.tls()))).await;
    assert!(said.contains("not valid for name") && said.contains("graft tls issue --host"), "{said}");
    let said = refused(&patient(Client::builder(good.client_url().replace("https://", "http://")))).await;
    assert!(said.contains("it speaks TLS there") && said.contains("Use https:// in place of http://."), "{said}");
    let mixed = [good.client_url().replace("https://", "http://"), good.client_url()];
    patient(Client::builder(mixed).tls(files.tls())).cluster_status().await.unwrap();
    // The good one may be away for a moment: then the bad one is asked again meanwhile, and nothing comes of that.
    let url = good.client_url();
    good.shutdown().await;
    let client = Client::builder([bad.client_url(), url]).tls(files.tls()).request_timeout(Duration::from_secs(1)).build().unwrap();
    let began = std::time::Instant::now();
    client.cluster_status().await.unwrap_err();
    assert!(began.elapsed() > Duration::from_millis(500), "given up after {:?}", began.elapsed());
    bad.shutdown().await;
}

/// What rotates certificates replaces a folder at once: Kubernetes does it with the files of a secret.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_end_are_replaced_under_load_and_no_request_fails() {
    let files = Files::new();
    let (daemon, _directory) = files.daemon("127.0.0.1", Some(Callers::Required)).await;
    let subject = Subject::Client { cluster: "graft".into(), name: "ann".into() };
    let current = files.file("current");
    let rotate = |number: u32| {
        let (folder, link) = (files.file(&format!("ann-{number}")), files.file("next"));
        let issued = files.authority.issue_for(&subject, VALID).unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), issued.cert).unwrap();
        std::fs::write(folder.join("tls.key"), issued.key).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        std::fs::rename(&link, &current).unwrap();
        folder
    };
    let first = rotate(0);
    let tls = files.tls().identity(current.join("tls.crt"), current.join("tls.key"));
    let client = patient(Client::builder(daemon.client_url()).tls(tls));
    let worker = Worker::builder(client.clone())
        .node_fn("count", |_, state: State, _: ()| async move { Ok(Outcome::state(State { n: state.n + 1 })) });
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));
    let enough = CancellationToken::new();
    let load = tokio::spawn({
        let (client, enough) = (client.clone(), enough.clone());
        async move {
            let mut number = 0;
            while !enough.is_cancelled() {
                let id = format!("w{number}");
                client.start(id.as_str()).state(&State { n: number }).unwrap().node_named("count", ()).await.unwrap();
                let state: State = client.workflow(&id).result().await.unwrap();
                assert_eq!(state.n, number + 1);
                number += 1;
            }
            number
        }
    });
    // Three times as long as one is good for: connections have ended with theirs, and others have come.
    for number in 1..=ROTATIONS {
        tokio::time::sleep(VALID * 3 / ROTATIONS).await;
        rotate(number);
        files.of_member("127.0.0.1");
    }
    enough.cancel();
    let done = load.await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    assert!(done > ROTATIONS, "{done} workflows while {ROTATIONS} certificates were replaced");
    let tls = files.tls().identity(first.join("tls.crt"), first.join("tls.key"));
    let said = refused(&patient(Client::builder(daemon.client_url()).tls(tls))).await;
    assert!(said.contains("CertificateExpired"), "{said}");
    daemon.shutdown().await;
}

/// The certificate is there and its key is not, when a connection is made.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_just_being_replaced_are_read_again() {
    let files = Files::new();
    let (daemon, _directory) = files.daemon("127.0.0.1", Some(Callers::Required)).await;
    let (cert, key) = files.of_client("ann");
    let client = patient(Client::builder(daemon.client_url()).tls(files.tls().identity(&cert, &key)));
    let subject = Subject::Client { cluster: "graft".into(), name: "ann".into() };
    let issued = files.authority.issue(&subject, DAYS).unwrap();
    std::fs::write(&cert, issued.cert).unwrap();
    let replaced = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        std::fs::write(&key, issued.key).unwrap();
    };
    let (status, ()) = tokio::join!(client.cluster_status(), replaced);
    status.unwrap();
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_begun_and_not_finished_is_ended_and_keeps_nobody_out() {
    let files = Files::new();
    let (daemon, _directory) = files.daemon("127.0.0.1", None).await;
    let mut begun = Vec::new();
    for _ in 0..HALF_MADE {
        let mut stream = TcpStream::connect(daemon.client_address()).await.unwrap();
        // The first bytes of a record of a handshake.
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        begun.push(stream);
    }
    patient(Client::builder(daemon.client_url()).tls(files.tls())).cluster_status().await.unwrap();
    for mut stream in begun {
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        drop(ended.expect("it is ended by the other side"));
    }
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_believe_the_other_side_says_so_at_once() {
    let (files, elsewhere) = (Files::new(), Files::new());
    let (daemon, _directory) = files.daemon("graft.example", None).await;
    let said = refused(&patient(Client::builder(daemon.client_url()).tls(elsewhere.tls().host("graft.example")))).await;
    assert!(said.contains("an authority that this client does not believe") && said.contains("Name the authority"), "{said}");
    let said = refused(&patient(Client::builder(daemon.client_url()).tls(files.tls()))).await;
    assert!(said.contains("graft.example"), "the name that it holds: {said}");
    let client = patient(Client::builder(daemon.client_url()).tls(files.tls().host("graft.example")));
    client.cluster_status().await.unwrap();
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_not_answered_where_tls_is_spoken_and_the_other_way_round() {
    let files = Files::new();
    let (daemon, _directory) = files.daemon("127.0.0.1", None).await;
    let plain = Client::builder(format!("http://{}", daemon.client_address())).request_timeout(Duration::from_secs(1)).build().unwrap();
    let said = plain.cluster_status().await.unwrap_err().to_string();
    assert!(said.contains("https://"), "{said}");
    daemon.shutdown().await;
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(Config::in_process(directory.path())).await.unwrap();
    daemon.ready().await.unwrap();
    let said = refused(&patient(Client::builder(format!("https://{}", daemon.client_address())).tls(files.tls()))).await;
    assert!(said.contains("does not speak TLS there"), "{said}");
    daemon.shutdown().await;
}
