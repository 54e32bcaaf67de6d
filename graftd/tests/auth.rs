//! Whole daemons that have to know who asks: the keys of `[auth]`, as an operator writes them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::routing::get;
use axum::{Json, Router};
use daemons::Daemons;
use graft_proto::v1;
use graft_proto::v1::access_service_client::AccessServiceClient;
use graft_proto::v1::event_service_client::EventServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::{Daemon, Prepared};
use graftd::tls::authority::{Authority, CERTIFICATE_DAYS, Subject};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use one_daemon::{said, started};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use signing::provider_key;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

mod daemons;
#[path = "fixtures/one_daemon.rs"]
mod one_daemon;
#[path = "fixtures/signing.rs"]
mod signing;

const ROOT: &str = "0123456789abcdef0123456789abcdef";

async fn access(daemon: &Daemon) -> AccessServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", daemon.client_address())).expect("an address");
    AccessServiceClient::new(endpoint.connect().await.expect("it answers"))
}

async fn who(access: &mut AccessServiceClient<Channel>, token: Option<&str>) -> Result<v1::WhoAmIResponse, Status> {
    let mut request = Request::new(v1::WhoAmIRequest {});
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ascii"));
    }
    access.who_am_i(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_token_of_a_file_does_everything_where_callers_have_to_show_who_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("root");
    std::fs::write(&file, format!("{ROOT}\n")).expect("a file");
    let text = format!("[auth]\nrequired = true\nroot_token_file = {:?}\n", file.display().to_string());
    let daemon = started(dir.path(), &text).await;
    let mut access = access(&daemon).await;
    let root = who(&mut access, Some(ROOT)).await.expect("it is the root token");
    assert_eq!((root.name.as_str(), root.shown_by.as_str(), &root.grants[..]), ("root", "root-token", &["cluster-admin".to_owned()][..]));
    assert!(root.required);
    assert_eq!(who(&mut access, None).await.expect_err("it shows nothing").code(), Code::Unauthenticated);
    daemon.shutdown().await;

    // Where nobody has to, whoever comes may do everything.
    let daemon = started(dir.path(), "").await;
    let anybody = who(&mut self::access(&daemon).await, None).await.expect("nobody has to");
    assert_eq!((anybody.name.as_str(), anybody.required, &anybody.grants[..]), ("", false, &["cluster-admin".to_owned()][..]));
    daemon.shutdown().await;

    // A token that could be guessed is none.
    std::fs::write(&file, "short").expect("a file");
    let refused = Prepared::new(said(dir.path(), &text).expect("well written")).await.expect_err("it is too short").to_string();
    assert!(
        refused.contains("auth.root_token_file") && refused.contains("at least 32 characters") && !refused.contains("short"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_is_known_to_every_member_as_soon_as_it_was_made_at_one() {
    let daemons = Daemons::new(3);
    let mut all = vec![daemons.start(0, "expect = 3").await];
    let stranger = format!("graft-api.nobody.{}", "0".repeat(64));
    // Who is alone cannot tell whether it is good, and a worker that shows it comes again.
    let refused = who(&mut access(&all[0]).await, Some(&stranger)).await.expect_err("it is no member yet");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    all.extend(futures::future::join_all((1..3).map(|i| daemons.start(i, "expect = 3"))).await);
    let mut asked = Vec::new();
    for daemon in &all {
        daemons::ready(daemon).await;
        asked.push(access(daemon).await);
    }
    // As often as it takes for a member that has not heard of one yet to be asked.
    for turn in 0..30 {
        let new = v1::CreateTokenRequest { name: "new".to_owned(), grants: vec!["viewer".to_owned()], ttl_ms: 0 };
        let secret = asked[turn % 3].create_token(new).await.expect("anybody may").into_inner().secret;
        for next in 1..3 {
            let known = who(&mut asked[(turn + next) % 3], Some(&secret)).await;
            assert_eq!(known.unwrap_or_else(|refused| panic!("turn {turn}: {refused:?}")).name, "new");
        }
    }
    let refused = who(&mut asked[0], Some(&stranger)).await.expect_err("nobody has made it");
    assert_eq!(refused.code(), Code::Unauthenticated);
    futures::future::join_all(all.into_iter().map(Daemon::shutdown)).await;
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    for (text, words) in [
        ("required = true", "nobody could be granted anything"),
        ("rules = [\"certificate ops\"]", "three words"),
        ("rules = [\"certificate ops admin\"]", "no role"),
        ("redacted_fields = [\"\"]", "write names like password"),
        ("oidc_issuer = \"https://id.example.com\"", "auth.oidc_audience"),
        ("oidc_issuer = \"http://id.example.com\"\noidc_audience = \"graft\"", "no URL that begins with https://"),
        ("oidc_audience = \"graft\"", "none is named"),
        ("oidc_jwks_file = \"/keys\"", "none is named"),
    ] {
        let error = said(dir.path(), &format!("[auth]\n{text}\n")).expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_say_what_certificates_allow() {
    use tokio_rustls::rustls;
    let dir = tempfile::tempdir().expect("a directory");
    let (authority, issued) = Authority::create("graft").expect("an authority");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let ca = write("ca.pem", &issued.cert);
    let of = |subject: &Subject| authority.issue(subject, CERTIFICATE_DAYS).expect("a certificate");
    let member = of(&Subject::Member { cluster: "graft".into(), member: "m1".into(), hosts: vec!["localhost".into(), "127.0.0.1".into()] });
    let (cert, key) = (write("m1.pem", &member.cert), write("m1.key", &member.key));
    let text = format!(
        "[client]\ncert = {cert:?}\nkey = {key:?}\ncallers_ca = {ca:?}\n[auth]\nrequired = true\nrules = [\"certificate ops-* operator@a\"]\n"
    );
    let daemon = started(dir.path(), &text).await;
    for (name, grants) in [("ops-ann", vec!["operator@a"]), ("eve", vec![])] {
        let own = of(&Subject::Client { cluster: "graft".into(), name: name.into() });
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("a certificate")).expect("an authority");
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).expect("a certificate")],
                PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key"),
            )
            .expect("they fit");
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let address = daemon.client_address();
        let connector = tower::service_fn(move |_| {
            let tls = tokio_rustls::TlsConnector::from(Arc::new(tls.clone()));
            async move {
                let stream = tokio::net::TcpStream::connect(address).await?;
                Ok::<_, std::io::Error>(TokioIo::new(tls.connect("localhost".try_into().expect("a name"), stream).await?))
            }
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await.expect("it answers");
        let told = who(&mut AccessServiceClient::new(channel), None).await.expect("it is known");
        assert_eq!((told.name.as_str(), told.shown_by.as_str()), (name, "certificate"));
        assert_eq!(told.grants, grants, "{name}");
    }
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_are_asked_changes_when_the_configuration_is_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("root");
    std::fs::write(&file, ROOT).expect("a file");
    let daemon = started(dir.path(), "").await;
    let mut access = access(&daemon).await;
    who(&mut access, None).await.expect("nobody has to show anything");
    let reload = |text: &str| {
        let changes = daemon.reload(Ok(said(dir.path(), text).expect("well written").into())).map_err(|error| error.to_string())?;
        Ok::<_, String>(changes.into_iter().map(|change| (change.key, change.live)).collect::<Vec<_>>())
    };
    let guarded = format!("[auth]\nrequired = true\nroot_token_file = {:?}\n", file.display().to_string());
    let of = |key: &str| (key.to_owned(), true);
    let mut events = EventServiceClient::connect(format!("http://{}", daemon.client_address())).await.expect("it answers");
    let mut told = events.subscribe(v1::SubscribeRequest::default()).await.expect("anybody may").into_inner();
    assert_eq!(reload(""), Ok(vec![]));
    let still = tokio::time::timeout(std::time::Duration::from_secs(3), told.message()).await;
    assert!(!matches!(still, Ok(Err(_) | Ok(None))), "the same is asked as before: {still:?}");
    assert_eq!(reload(&guarded), Ok(vec![of("auth.required"), of("auth.root_token_file")]));
    let ended = async {
        loop {
            if let Err(status) = told.message().await {
                return status;
            }
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.expect("what was begun by nobody ends");
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    assert_eq!(who(&mut access, None).await.expect_err("it has to").code(), Code::Unauthenticated);
    who(&mut access, Some(ROOT)).await.expect("it is the root token");
    // The file alone has another one.
    let other = ROOT.replace('0', "z");
    std::fs::write(&file, &other).expect("a file");
    assert_eq!(reload(&guarded), Ok(vec![]));
    assert_eq!(who(&mut access, Some(ROOT)).await.expect_err("it was the root token").code(), Code::Unauthenticated);
    who(&mut access, Some(&other)).await.expect("it is the root token now");
    // One that could be guessed changes nothing.
    std::fs::write(&file, "short").expect("a file");
    let refused = reload(&guarded).expect_err("it could be guessed");
    assert!(refused.contains("auth.root_token_file"), "{refused}");
    who(&mut access, Some(&other)).await.expect("it is still the root token");
    let with_rule = format!("{guarded}rules = [\"certificate ops cluster-admin\"]\n");
    std::fs::write(&file, &other).expect("a file");
    assert_eq!(reload(&with_rule), Ok(vec![of("auth.rules")]));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hidden_changes_when_the_configuration_is_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = started(dir.path(), "[auth]\nredacted_fields = [\"password\"]\n").await;
    let endpoint = Endpoint::from_shared(format!("http://{}", daemon.client_address())).expect("an address");
    let mut workflows = WorkflowServiceClient::new(endpoint.connect().await.expect("it answers"));
    let state = json!({ "password": "p", "pin": 7 }).to_string().into_bytes().into();
    let start = v1::StartRequest {
        workflow_id: "a".into(),
        state: Some(v1::Payload { encoding: v1::Encoding::Json.into(), data: state }),
        nodes: vec![v1::NewTask { node: "n".into(), ..Default::default() }],
        ..Default::default()
    };
    workflows.start(start).await.expect("started");
    let mut seen = async || {
        let get = v1::GetRequest { workflow_id: "a".into(), ..Default::default() };
        let state = workflows.get(get).await.expect("there").into_inner().state.expect("a state");
        serde_json::from_slice::<Value>(&state.data).expect("JSON")
    };
    assert_eq!(seen().await, json!({ "password": "[redacted]", "pin": 7 }));
    let later = said(dir.path(), "[auth]\nredacted_fields = [\"/pin\"]\n").expect("well written");
    let changes = daemon.reload(Ok(later.into())).expect("it can be taken over");
    assert_eq!(changes.iter().map(|change| (change.key.as_str(), change.live)).collect::<Vec<_>>(), [("auth.redacted_fields", true)]);
    assert_eq!(seen().await, json!({ "password": "p", "pin": "[redacted]" }));
    daemon.shutdown().await;
}

/// An identity provider on loopback.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Value>>,
}

impl Issuer {
    /// In the clear, or with a certificate for `localhost`.
    async fn start(first: Value, certificate: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{port}");
        let keys = Arc::new(Mutex::new(json!({ "keys": [first] })));
        let told = json!({ "issuer": url, "jwks_uri": format!("{url}/keys"), "other": 1 });
        let published = keys.clone();
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(told) }))
            .route("/keys", get(move || async move { Json(published.lock().expect("not poisoned").clone()) }));
        tokio::spawn(serve(listener, router, certificate));
        Self { url, keys }
    }

    fn token(&self, key: &EncodingKey, id: &str, groups: &[&str]) -> String {
        let until = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 300;
        let claims = json!({ "iss": self.url, "aud": "graft", "exp": until, "email": "ann", "groups": groups });
        encode(&Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::EdDSA) }, &claims, key).expect("signed")
    }
}

async fn serve(listener: TcpListener, router: Router, certificate: Option<(String, String)>) {
    let tls = certificate.map(|(cert, key)| {
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate")],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key"),
            )
            .expect("they fit");
        TlsAcceptor::from(Arc::new(config))
    });
    while let Ok((stream, _)) = listener.accept().await {
        let (service, tls) = (TowerToHyperService::new(router.clone()), tls.clone());
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            match tls {
                None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                }
            }
        });
    }
}

fn provider(issuer: &Issuer, more: &str) -> String {
    format!(
        "[auth]\nrequired = true\nrules = [\"claim groups=admins cluster-admin\"]\noidc_issuer = {:?}\noidc_audience = \"graft\"\noidc_name_claim = \"email\"\n{more}",
        issuer.url
    )
}

/// Waits until the token is taken: keys are read in the background.
async fn taken(access: &mut AccessServiceClient<Channel>, token: &str) -> v1::WhoAmIResponse {
    let waited = async {
        loop {
            match who(access, Some(token)).await {
                Ok(told) => return told,
                Err(status) => assert!(matches!(status.code(), Code::Unauthenticated | Code::ResourceExhausted), "{status:?}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waited).await.expect("its key is found")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_provider_is_asked_for_its_keys_and_again_when_it_has_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let (key, public) = provider_key("k1");
    let issuer = Issuer::start(public, None).await;
    let daemon = started(dir.path(), &provider(&issuer, "")).await;
    let mut access = access(&daemon).await;
    let told = taken(&mut access, &issuer.token(&key, "k1", &["admins"])).await;
    assert_eq!((told.name.as_str(), told.shown_by.as_str(), &told.grants[..]), ("ann", "jwt", &["cluster-admin".to_owned()][..]));
    assert!(taken(&mut access, &issuer.token(&key, "k1", &["users"])).await.grants.is_empty());
    // It changes its keys: a token with the new one makes us look.
    let (next, public) = provider_key("k2");
    *issuer.keys.lock().expect("not poisoned") = json!({ "keys": [public] });
    taken(&mut access, &issuer.token(&next, "k2", &[])).await;
    let old = who(&mut access, Some(&issuer.token(&key, "k1", &["more"]))).await.expect_err("its key is gone");
    assert_eq!(old.code(), Code::Unauthenticated);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_provider_is_believed_over_tls_of_the_authority_that_was_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (authority, issued) = Authority::create("id").expect("an authority");
    let ca = dir.path().join("id-ca.pem");
    std::fs::write(&ca, &issued.cert).expect("a file");
    let subject = Subject::Member { cluster: "id".into(), member: "id".into(), hosts: vec!["localhost".into()] };
    let shown = authority.issue(&subject, CERTIFICATE_DAYS).expect("a certificate");
    let (key, public) = provider_key("k1");
    let issuer = Issuer::start(public, Some((shown.cert, shown.key))).await;
    let daemon = started(dir.path(), &provider(&issuer, &format!("oidc_ca = {ca:?}\n"))).await;
    taken(&mut access(&daemon).await, &issuer.token(&key, "k1", &[])).await;
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_an_identity_provider_can_come_from_a_file() {
    let dir: TempDir = tempfile::tempdir().expect("a directory");
    let (key, public) = provider_key("k1");
    let file = dir.path().join("jwks.json");
    std::fs::write(&file, json!({ "keys": [public] }).to_string()).expect("a file");
    // Nobody answers there.
    let nowhere: SocketAddr = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let issuer = Issuer { url: format!("https://{nowhere}"), keys: Arc::default() };
    let text = provider(&issuer, &format!("oidc_jwks_file = {file:?}\n"));
    let daemon = started(dir.path(), &text).await;
    who(&mut access(&daemon).await, Some(&issuer.token(&key, "k1", &[]))).await.expect("its key is there from the first");
    daemon.shutdown().await;
    std::fs::remove_file(&file).expect("it was there");
    let refused = Prepared::new(said(dir.path(), &text).expect("well written")).await.expect_err("there are no keys").to_string();
    assert!(refused.contains("auth.oidc_jwks_file") && refused.contains("jwks.json"), "{refused}");
}
