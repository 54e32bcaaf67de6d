//! A leader that is not dead but stopped: its connections stand and nothing comes back. What was sent to it must not hold up what goes to the
//! next one, what it thinks of its leases must not matter when it wakes, and nothing is lost or done twice.

use std::time::{Duration, Instant};

use futures::future::join_all;
use graft_client::{Client, Next};
use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::workers::{ChainConfig, WorkerProcess};
use graft_tests::{alone, figure, wait};

/// Longest time from the election of the next leader to the first answers through each of the others.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// Attempt lease of the test. The leader is stopped for longer, so that every session has expired for it when it wakes.
const LEASE: Duration = Duration::from_secs(3);
/// Requests that are under way towards the leader when it is stopped: more than entries may be in flight.
const UNDER_WAY: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_holds_nobody_up_and_stops_nobody_when_it_wakes() {
    let _alone = alone().await;
    let cluster = Cluster::start(3, &format!("\n[scheduler]\nlease = \"{}s\"\n", LEASE.as_secs())).await;
    let _worker = WorkerProcess::start(&cluster.urls(), "w1");
    let load = Load::new(vec![cluster.client()], "stopped", 500, 3, 10);
    load.start_all().await;
    let stopped = cluster.leader().await;
    let others = [(stopped + 1) % 3, (stopped + 2) % 3];
    let clients = others.map(|at| Client::connect(cluster.members[at].url().as_str()).expect("a valid address"));

    cluster.members[stopped].stop();
    let begun = Instant::now();
    let chain = || Next::named("chain", ChainConfig { left: 2 });
    let under_way: Vec<_> = (0..UNDER_WAY)
        .map(|n| {
            let start = clients[n % 2].start(format!("under-way-{n}")).node(chain()).request_id(format!("under-way-{n}"));
            tokio::spawn(start.into_future())
        })
        .collect();
    wait::until("another leader", Duration::from_secs(30), || async {
        let leads = others.map(|at| cluster.members[at].metric("graft_raft_is_leader"));
        if leads.contains(&1.0) { Ok(()) } else { Err(leads) }
    })
    .await;
    let (elected, since) = (begun.elapsed(), Instant::now());
    for (n, client) in clients.iter().enumerate() {
        client.start(format!("after-{n}")).node(chain()).await.expect("a start through a member that follows the new leader");
        client.workflow(format!("after-{n}")).get().await.expect("a linearizable read");
    }
    let answered = since.elapsed();
    figure(format!("another leader after {} ms, starts and reads through both {} ms later", elected.as_millis(), answered.as_millis()));
    assert!(answered < ANSWERED_WITHIN, "held up for {answered:?} by a leader that is stopped");
    for answer in join_all(under_way).await {
        answer.expect("no panic").expect("the client repeats what was unknown, under the same id");
    }

    // Until its sessions have long expired, as far as it knows.
    tokio::time::sleep((begun + 2 * LEASE).saturating_duration_since(Instant::now())).await;
    cluster.members[stopped].go_on();
    load.check_all().await;
    for id in (0..UNDER_WAY).map(|n| format!("under-way-{n}")).chain((0..2).map(|n| format!("after-{n}"))) {
        let state: serde_json::Value = cluster.client().workflow(&id).result().await.expect("it completes");
        assert_eq!(state["count"], 3, "{id}");
    }
    cluster.members[stopped].ready().await;
}
