//! Members in pods. Of a StatefulSet that is made smaller each leaves the cluster before it ends, and only then; and when all their data are lost, no
//! cluster is formed in the place of the one that was there.

mod daemons;

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daemons::{Daemons, ready, status, until, voters_and_learners};
use graftd::app::Daemon;
use graftd::tls::authority::{Authority, Subject};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// Keys of members that are in a hurry, as far as tests are.
const QUICK: &str = "promote_after = \"200ms\"\njoin = \"open\"";
/// Of a member that only joins.
const JOINS: &str = "bootstrap = \"manual\"";

/// An API server that knows one StatefulSet, `graft` in the namespace `lab`, and one ConfigMap there, `graft-cluster`.
struct Kubernetes {
    address: SocketAddr,
    account: TempDir,
    replicas: Arc<AtomicU64>,
    /// With which code it answers who asks for the StatefulSet.
    code: Arc<AtomicU16>,
    /// What stands in the ConfigMap.
    noted: Arc<Mutex<Value>>,
    _serving: AbortOnDropHandle<()>,
}

impl Kubernetes {
    async fn start(replicas: u64) -> Self {
        let (authority, root) = Authority::create("kubernetes").unwrap();
        let hosts = vec!["127.0.0.1".to_owned()];
        let issued = authority.issue(&Subject::Member { cluster: "kubernetes".into(), member: "api".into(), hosts }, 1).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(chain, PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap()).unwrap();
        let (acceptor, listener) = (TlsAcceptor::from(Arc::new(server)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let account = tempfile::tempdir().unwrap();
        for (file, text) in [("token", "secret"), ("namespace", "lab"), ("ca.crt", root.cert.as_str())] {
            fs::write(account.path().join(file), text).unwrap();
        }
        let (replicas, code) = (Arc::new(AtomicU64::new(replicas)), Arc::new(AtomicU16::new(200)));
        let noted = Arc::new(Mutex::new(json!({})));
        let (address, says, notes) = (listener.local_addr().unwrap(), (replicas.clone(), code.clone()), noted.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (code, replicas) = (says.1.load(Ordering::SeqCst), says.0.load(Ordering::SeqCst));
                let _ = answer(&acceptor, stream, code, replicas, &notes).await;
            }
        });
        Self { address, account, replicas, code, noted, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Starts member `i` as a pod, and waits for it to be ready.
    async fn pod(&self, daemons: &Daemons, i: usize, cluster: &str) -> Daemon {
        let daemon = self.starting_pod(daemons, i, cluster).await;
        ready(&daemon).await;
        daemon
    }

    /// Starts member `i` as a pod.
    async fn starting_pod(&self, daemons: &Daemons, i: usize, cluster: &str) -> Daemon {
        let mut config = daemons.config(i, cluster);
        config.discovery.kubernetes_stateful_set = Some("graft".into());
        config.discovery.kubernetes_sentinel = Some("graft-cluster".into());
        config.discovery.kubernetes_api = Some(self.address.to_string().parse().unwrap());
        config.discovery.kubernetes_account = self.account.path().to_owned();
        Daemon::start(config).await.unwrap_or_else(|e| panic!("graft-{i} starts: {e}"))
    }

    /// The cluster that is noted in the ConfigMap.
    fn noted(&self) -> Option<String> {
        self.noted.lock().unwrap()["cluster_id"].as_str().map(str::to_owned)
    }

    /// Waits until a cluster is noted.
    async fn has_noted(&self) -> String {
        let noted = async {
            loop {
                if let Some(id) = self.noted() {
                    return id;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), noted).await.expect("the cluster is noted")
    }
}

async fn answer(acceptor: &TlsAcceptor, stream: TcpStream, code: u16, replicas: u64, noted: &Mutex<Value>) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut sent = vec![0; length];
    stream.read_exact(&mut sent).await?;
    let of_config_map = head.contains(" /api/v1/namespaces/lab/configmaps/graft-cluster");
    if of_config_map && head.starts_with("PATCH ") {
        *noted.lock().unwrap() = serde_json::from_slice::<Value>(&sent)?["data"].take();
    }
    let asked = head.starts_with("GET /apis/apps/v1/namespaces/lab/statefulsets/graft ") && head.contains("Bearer secret");
    let body = match (asked, code) {
        _ if of_config_map => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "graft-cluster"}, "data": *noted.lock().unwrap()})
        }
        (true, 200) => {
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "graft"}, "spec": {"replicas": replicas}})
        }
        _ => json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "not allowed", "code": code}),
    };
    let (body, code) = match of_config_map {
        true => (body.to_string(), 200),
        false => (body.to_string(), if asked { code } else { 400 }),
    };
    let length = body.len();
    let text =
        format!("HTTP/1.1 {code} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_stopped_for_good_leaves_first_and_its_data_begin_anew() {
    let kubernetes = Kubernetes::start(3).await;
    let mut daemons = Daemons::new(3);
    daemons.cluster = QUICK.into();
    let first = kubernetes.pod(&daemons, 0, "expect = 1").await;
    let second = kubernetes.pod(&daemons, 1, JOINS).await;
    let third = kubernetes.pod(&daemons, 2, JOINS).await;
    let grown = until(&first, "all vote", |now| voters_and_learners(now).0.len() == 3).await;
    let id_of = |status: &graft_proto::v1::ClusterStatusResponse, name: &str| {
        status.members.iter().find(|member| member.name == name).map(|member| member.raft_id)
    };
    let old = id_of(&grown, "graft-2");

    // A pod that is to come back stays a member, and so does one that may not ask.
    third.shutdown().await;
    assert_eq!(status(&first).await.members.len(), 3);
    let third = kubernetes.pod(&daemons, 2, JOINS).await;
    kubernetes.code.store(403, Ordering::SeqCst);
    kubernetes.replicas.store(1, Ordering::SeqCst);
    third.shutdown().await;
    assert_eq!(id_of(&status(&first).await, "graft-2"), old);
    let third = kubernetes.pod(&daemons, 2, JOINS).await;

    // Two of three go at the same time: one after the other is taken out, each with the consent of those that are left.
    kubernetes.code.store(200, Ordering::SeqCst);
    tokio::join!(second.shutdown(), third.shutdown());
    let alone = status(&first).await;
    assert_eq!(voters_and_learners(&alone), (vec!["graft-0"], vec![]), "{alone:#?}");
    assert!(daemons.data(2).join("left.json").exists());

    // A later pod of the name finds the data of the one that has left, and is another member.
    kubernetes.replicas.store(3, Ordering::SeqCst);
    let third = kubernetes.pod(&daemons, 2, JOINS).await;
    let back = until(&first, "it is back", |now| now.members.len() == 2).await;
    assert!(id_of(&back, "graft-2").is_some_and(|new| Some(new) != old), "{back:#?}");
    assert!(!daemons.data(2).join("left.json").exists());

    // All pods of a StatefulSet that is to have none rest, and are members still.
    kubernetes.replicas.store(0, Ordering::SeqCst);
    third.shutdown().await;
    assert_eq!(status(&first).await.members.len(), 2);
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_formed_anew_when_all_data_are_lost() {
    let kubernetes = Kubernetes::start(1).await;
    let mut daemons = Daemons::new(1);
    daemons.cluster = QUICK.into();
    let pod = kubernetes.pod(&daemons, 0, "expect = 1").await;
    let noted = kubernetes.has_noted().await;
    assert_eq!(noted, status(&pod).await.cluster_id);
    pod.shutdown().await;

    // With its data it goes on.
    let pod = kubernetes.pod(&daemons, 0, "expect = 1").await;
    pod.shutdown().await;

    // Without them it waits for help, and says why.
    fs::remove_dir_all(daemons.data(0)).unwrap();
    let pod = kubernetes.starting_pod(&daemons, 0, "expect = 1").await;
    let waits = until(&pod, "it waits", |now| now.not_ready_reason.contains("formed here before")).await;
    assert!(waits.not_ready_reason.contains(&noted) && waits.cluster_id.is_empty(), "{waits:#?}");

    // Somebody says that there is nothing to wait for.
    *kubernetes.noted.lock().unwrap() = json!({});
    ready(&pod).await;
    assert_eq!(kubernetes.has_noted().await, status(&pod).await.cluster_id);
    assert_ne!(kubernetes.noted(), Some(noted));
    pod.shutdown().await;
}
