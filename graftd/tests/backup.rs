//! Snapshot files: whole or refused, and a member is made of one only where there is none.

use std::fs;
use std::path::Path;

use futures::StreamExt;
use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::{BackupError, Daemon, inspect, restore};
use graftd::config::Config;

const WORKFLOWS: usize = 300;

async fn saved(data: &Path, file: &Path) -> Vec<u8> {
    let daemon = Daemon::start(Config::in_process(data)).await.unwrap();
    daemon.ready().await.unwrap();
    let url = format!("http://{}", daemon.client_address());
    let mut workflows = WorkflowServiceClient::connect(url.clone()).await.unwrap();
    for n in 0..WORKFLOWS {
        let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
        workflows.start(v1::StartRequest { nodes, workflow_id: format!("w{n}"), ..Default::default() }).await.unwrap();
    }
    let mut cluster = ClusterServiceClient::connect(url).await.unwrap();
    let mut pieces = cluster.snapshot(v1::SnapshotRequest {}).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.unwrap().piece);
    }
    daemon.shutdown().await;
    fs::write(file, &bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_whole_or_refused_and_is_restored_into_an_empty_directory_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("graft.snapshot");
    let bytes = saved(&dir.path().join("data"), &file).await;
    let found = inspect(&file).unwrap();
    assert_eq!((found.records["Workflows"], found.bytes), (WORKFLOWS as u64, bytes.len() as u64));
    let old = found.meta.lineage.last().unwrap().clone();

    // Whatever is damaged or missing in it is found out.
    let broken = dir.path().join("broken.snapshot");
    let (target, step) = (dir.path().join("never"), bytes.len() / 97);
    for at in (0..bytes.len()).step_by(step.max(1)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        for text in [&damaged[..], &bytes[..at]] {
            fs::write(&broken, text).unwrap();
            assert!(matches!(inspect(&broken), Err(BackupError::Snapshot { .. })), "at {at}");
            assert!(restore(&broken, &target, "m1", None).is_err() && !target.exists(), "at {at}");
        }
    }
    fs::write(&broken, [&bytes[..], b"more"].concat()).unwrap();
    assert!(inspect(&broken).unwrap_err().to_string().contains("something follows its end"));

    let restored = restore(&file, &dir.path().join("m1"), "m1", Some("copy")).unwrap();
    assert_ne!(restored.cluster_id, old.cluster_id);
    let again = restore(&file, &dir.path().join("m1"), "m1", Some("copy")).unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty { .. }), "{again}");
    assert!(matches!(restore(&file, &target, "a b", None), Err(BackupError::Name { what: "member", .. })));

    let mut config = Config::in_process(dir.path().join("m1"));
    config.cluster.name = "copy".into();
    config.node.name = Some("m1".into());
    let daemon = Daemon::start(config).await.unwrap();
    daemon.ready().await.unwrap();
    assert_eq!(daemon.cluster_id().await, restored.cluster_id);
    let url = format!("http://{}", daemon.client_address());
    let mut workflows = WorkflowServiceClient::connect(url.clone()).await.unwrap();
    for n in [0, WORKFLOWS - 1] {
        workflows.get(v1::GetRequest { workflow_id: format!("w{n}"), ..Default::default() }).await.unwrap();
    }
    let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
    workflows.start(v1::StartRequest { nodes, workflow_id: "new".into(), ..Default::default() }).await.unwrap();
    // Its address is known to itself, too, once it leads.
    let mut cluster = ClusterServiceClient::connect(url).await.unwrap();
    let status = cluster.status(v1::ClusterStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(
        (status.cluster_id, status.epoch),
        (restored.cluster_id.clone(), 2),
        "positions in the events of the old one are none of the new one's"
    );
    daemon.shutdown().await;
    // A copy of the copy knows all of them.
    let found = {
        let file = dir.path().join("second.snapshot");
        let mut config = Config::in_process(dir.path().join("m1"));
        config.cluster.name = "copy".into();
        let daemon = Daemon::start(config).await.unwrap();
        daemon.ready().await.unwrap();
        let mut cluster = ClusterServiceClient::connect(format!("http://{}", daemon.client_address())).await.unwrap();
        let mut pieces = cluster.snapshot(v1::SnapshotRequest {}).await.unwrap().into_inner();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.unwrap().piece);
        }
        fs::write(&file, &bytes).unwrap();
        daemon.shutdown().await;
        inspect(&file).unwrap()
    };
    let lineage: Vec<&str> = found.meta.lineage.iter().map(|one| one.cluster_id.as_str()).collect();
    assert_eq!(lineage, [old.cluster_id.as_str(), restored.cluster_id.as_str()], "which cluster ruled from when");
}
