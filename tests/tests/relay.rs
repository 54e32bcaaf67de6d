//! A worker that reaches one member only, as behind a proxy: the member carries its stream to the leader, and to the next one.
//!
//! The worker runs in a network namespace of its own, whose only way out is a port that is carried to one member. What the members say of
//! their addresses is true where they are, and of no use to it.

use std::fs;
use std::net::SocketAddr;

use graft_client::Client;
use graft_tests::bridge::{Bridge, Machine};
use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::workers::WorkerProcess;
use graft_tests::{figure, left_out, wait};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Lets the machine reach this address, and answers whoever calls there.
fn proxy(machine: &Machine, address: &str) -> JoinHandle<()> {
    let address: SocketAddr = address.parse().expect("an address");
    // A socket belongs to the network in which it was made.
    let listener = machine.on(|| std::net::TcpListener::bind(address)).expect("nothing else listens there");
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    tokio::spawn(async move {
        loop {
            let (mut inner, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut outer = TcpStream::connect(address).await?;
                copy_bidirectional(&mut inner, &mut outer).await
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reaches_one_member_only_works_for_every_leader() {
    if left_out(Bridge::possible()) {
        return;
    }
    let bridge = Bridge::with(1);
    let machine = &bridge.machines()[0];
    let mut cluster = Cluster::start(3, "").await;
    let first = cluster.leader().await;
    let (reached, next) = ((first + 1) % 3, (first + 2) % 3);
    let proxy = proxy(machine, &cluster.members[reached].client_address);
    let _worker = WorkerProcess::start_on(machine, &cluster.members[reached].url(), "far");

    let carried = |cluster: &Cluster, leader: usize| {
        let log = fs::read_to_string(cluster.members[reached].log_path()).expect("its log");
        let name = format!("\"leader\":{:?}", cluster.members[leader].name);
        let says = |line: &&str| line.contains("carried to the leader") && line.contains(&name);
        log.lines().filter(says).count()
    };
    let load = Load::new(cluster.clients(), "first", 300, 3, 5);
    load.start_all().await;
    load.check_all().await;
    assert!(carried(&cluster, first) > 0, "its stream was carried to {}", cluster.members[first].name);

    // It follows leadership to a member that it does not reach, to the one that it reaches, and back.
    let operator = Client::connect(cluster.urls().as_str()).expect("addresses");
    for (leader, prefix) in [(next, "second"), (reached, "third"), (first, "fourth")] {
        operator.transfer_leader(Some(cluster.members[leader].name.clone())).await.expect("leadership goes over");
        wait::until("it to lead", std::time::Duration::from_secs(10), || async {
            let leads = cluster.members[leader].metric("graft_raft_is_leader");
            if leads == 1.0 { Ok(()) } else { Err(leads) }
        })
        .await;
        let load = Load::new(cluster.clients(), prefix, 300, 3, 5);
        load.start_all().await;
        load.check_all().await;
    }
    assert!(carried(&cluster, next) > 0 && carried(&cluster, reached) == 0);

    // The only member that it reaches dies, and what is started meanwhile waits for it.
    cluster.members[reached].kill();
    let load = Load::new(vec![Client::connect(cluster.members[first].url().as_str()).expect("an address")], "meanwhile", 100, 3, 5);
    load.start_all().await;
    cluster.members[reached].start();
    load.check_all().await;
    let workers = operator.workers().await.expect("the leader knows");
    let seen: Vec<(&str, bool)> = workers.workers.iter().map(|worker| (worker.worker_id.as_str(), worker.connected)).collect();
    assert_eq!(seen, [("far", true)]);
    figure(format_args!("its stream was carried to a leader {} times", carried(&cluster, first) + carried(&cluster, next)));
    proxy.abort();
}
