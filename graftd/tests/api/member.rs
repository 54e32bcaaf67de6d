//! One member in this process, and the messages that most tests send.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::worker_service_client::WorkerServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::api::{self, Api, Server, ServerInfo};
use graftd::auth::Auth;
use graftd::auth::redacted::Fields;
use graftd::clock::Clock;
use graftd::consensus::{Consensus, ConsensusOptions, Leadership, MemberInfo};
use graftd::discovery::data_dir::DataDir;
use graftd::discovery::formation::Formation;
use graftd::discovery::formation_rules::{Bootstrap, Me};
use graftd::discovery::records::Candidate;
use graftd::observability::metrics::Metrics;
use graftd::observability::readiness::Readiness;
use graftd::scheduler::{Scheduler, SchedulerOptions};
use graftd::storage::{LogOptions, LogStore, StateOptions, StateStore};
use prost::Message;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// A test that waits longer than this for something has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The cluster's id.
pub const CLUSTER: &str = "0c6c1f34-7d9e-4a52-9a53-0f4bb51d8e11";

/// One member.
pub struct Member {
    pub address: SocketAddr,
    pub readiness: watch::Sender<Readiness>,
    pub auth: Arc<Auth>,
    pub redacted: watch::Sender<Arc<Fields>>,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
    consensus: Consensus,
    _dir: TempDir,
}

impl Member {
    /// Starts it as a cluster of its own, and waits until it leads.
    pub async fn start() -> Self {
        Self::open(true, api::TAKE_MAX, Auth::default()).await
    }

    /// The same, but it lets clients go that read nothing for so long.
    pub async fn start_impatient(take_max: Duration) -> Self {
        Self::open(true, take_max, Auth::default()).await
    }

    /// The same, and callers have to be known to this.
    pub async fn start_with_auth(auth: Auth) -> Self {
        Self::open(true, api::TAKE_MAX, auth).await
    }

    /// Starts it as a part of no cluster: it has no leader and will have none.
    pub async fn start_without_leader() -> Self {
        Self::open(false, api::TAKE_MAX, Auth::default()).await
    }

    async fn open(leads: bool, take_max: Duration, auth: Auth) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let metrics = Arc::new(Metrics::new());
        let clock = Clock::system();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = StateOptions { cache_bytes: 8 << 20, overlay_bytes: 8 << 20, flush_interval_ms: 1_000 };
        let state = StateStore::open(&dir.path().join("state.redb"), state, None).expect("a state store");
        let log = LogOptions { cache_bytes: 8 << 20, tail_bytes: 8 << 20 };
        let (log, recovered) = LogStore::open(&dir.path().join("log.redb"), log, None).expect("a log store");
        let member = MemberInfo { raft_id: 1, name: "m1".into(), peer_address: String::new(), client_address: address.to_string() };
        let options = ConsensusOptions { member: member.clone(), ..ConsensusOptions::default() };
        let consensus = Consensus::open(options, state, log, recovered, clock.clone(), metrics.clone()).await.expect("consensus opens");
        if leads {
            consensus.initialize(vec![member]).await.expect("a new cluster");
            let mut leadership = consensus.leadership();
            leadership.wait_for(|now| matches!(now, Leadership::Leader { .. })).await.expect("consensus runs");
            consensus.init_cluster(CLUSTER.into(), "test".into(), 1).await.expect("proposed").expect("named");
        }
        let (scheduler, _) = Scheduler::start(consensus.clone(), SchedulerOptions::default(), clock, metrics.clone());
        let (redacted, fields) = watch::channel(Arc::default());
        let auth = Arc::new(auth);
        let (readiness, ready) = watch::channel(Readiness { ready: true, reason: "ready".into() });
        let info = ServerInfo {
            version: "1.2.3".into(),
            member_name: "m1".into(),
            client_address: address.to_string(),
            is_secure: false,
            retention_default_ms: watch::channel(60_000).1,
            redacted: fields,
            take_max,
            readiness: ready,
            configuration: watch::channel("[node]\nname = \"m1\"\n".into()).1,
            log: None,
        };
        let stop = CancellationToken::new();
        let formation = formation(&dir.path().join("identity"), address, metrics.clone());
        let api = Api { consensus: consensus.clone(), scheduler, formation: Arc::downgrade(&formation), auth: auth.clone(), metrics, info };
        let served = tokio::spawn(Server::new(listener, None, api, stop.clone()).expect("it is bound").serve());
        Self { address, readiness, auth, redacted, stop, served, consensus, _dir: dir }
    }

    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).expect("an address").connect().await.expect("it answers")
    }

    pub async fn workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel().await).max_encoding_message_size(64 << 20)
    }

    pub async fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel().await)
    }

    pub async fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel().await)
    }

    /// Tells the server to stop; what is under way ends.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops all of it, within its bounds.
    pub async fn stop(self) {
        self.stop.cancel();
        within(self.served).await.expect("it does not panic").expect("it stops cleanly");
        self.consensus.shutdown().await;
    }

    /// Sends bytes, and reads until the other side closes.
    pub async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it accepts");
        stream.write_all(bytes).await.expect("it reads");
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.expect("an answer, and the end");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends bytes on a new connection, and waits until the member has closed it, with or without a word.
    pub async fn closes(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.address).await.expect("it accepts");
        stream.write_all(bytes).await.expect("it reads");
        let _ = within(stream.read_to_end(&mut Vec::new())).await;
    }

    /// An HTTP/1.1 request: the status line's code, and the rest.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.send(format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no HTTP: {answer}"));
        (code, answer)
    }
}

/// The future's output, or a failed test.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// JSON as a payload.
pub fn json(text: &str) -> Option<v1::Payload> {
    Some(v1::Payload { encoding: v1::Encoding::Json as i32, data: text.as_bytes().to_vec().into() })
}

/// A task of a node.
pub fn task(node: &str) -> v1::NewTask {
    v1::NewTask { node: node.into(), ..v1::NewTask::default() }
}

/// A start of one node.
pub fn start(id: &str, node: &str) -> v1::StartRequest {
    v1::StartRequest { workflow_id: id.into(), nodes: vec![task(node)], state: json("{\"n\":1}"), ..v1::StartRequest::default() }
}

/// The read of a workflow.
pub fn get(id: &str) -> v1::GetRequest {
    v1::GetRequest { workflow_id: id.into(), ..v1::GetRequest::default() }
}

/// The detail of a refusal.
pub fn detail(status: &Status) -> v1::ErrorDetail {
    let value = status.metadata().get_bin(graft_proto::ERROR_DETAIL_METADATA).unwrap_or_else(|| panic!("no detail: {status:?}"));
    v1::ErrorDetail::decode(value.to_bytes().expect("binary")).expect("an ErrorDetail")
}

/// The code of a refusal, and its message.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (String, String) {
    let status = answer.expect_err("refused");
    (detail(&status).code, status.message().to_owned())
}

/// A request under a request id.
pub fn with_id(request_id: &str) -> Option<v1::RequestMeta> {
    Some(v1::RequestMeta { request_id: request_id.into(), not_after_ms: 0 })
}

/// A request from a client that gives its name.
pub fn named<T>(message: T, client: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("graft-client", tonic::metadata::MetadataValue::from_static(client));
    request
}

/// That of a member which forms its cluster by other means.
fn formation(path: &Path, address: SocketAddr, metrics: Arc<Metrics>) -> Arc<Formation> {
    let (data_dir, contents) = DataDir::open(path, Some("m1"), "m1", "test").expect("a fresh directory");
    let (name, client_address) = ("m1".to_owned(), address.to_string());
    let candidate = Candidate { name, raft_id: contents.identity.raft_id, peer_address: String::new(), client_address };
    let me = Me { candidate, cluster_name: "test".into(), bootstrap: Bootstrap::Expect(1) };
    Arc::new(Formation::new(me, Arc::new(data_dir), None, None, metrics))
}
