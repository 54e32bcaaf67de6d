//! Three members over loopback TCP.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use graft_machine::command::{Command, Envelope, SetLimit};
use graft_machine::reply::Reply;
use graft_machine::session::Limit;
use graft_machine::state::StateRead;
use graft_machine::tables::{NameKey, Names};
use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use graft_proto::peer::v1::{PeerHeader, ProposeRefusal, ProposeRequest, ProtocolRange, ReadIndexRequest};
use graftd::clock::Clock;
use graftd::consensus::{ConsensusOptions, Leadership, MemberInfo, ProposeError};
use prost::Message;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::Server;

use crate::member::{Member, info, open_with, options, start};

/// A member with its listener; one that is down keeps its directory and address.
struct Seat {
    dir: TempDir,
    info: MemberInfo,
    address: SocketAddr,
    up: Option<(Member, Listening)>,
}

/// The peer listener has a runtime of its own: dropping it cuts all connections at once, as the death of a process would.
type Listening = Runtime;

struct Cluster {
    seats: Vec<Seat>,
    adjust: fn(ConsensusOptions) -> ConsensusOptions,
}

impl Seat {
    async fn start(&mut self, listener: TcpListener, options: ConsensusOptions, clock: Clock) {
        let member = open_with(self.dir.path(), options, clock).await;
        let service = member.consensus.peer_service_without_formation();
        let listening = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        listener.set_nonblocking(true).expect("a listener for tokio");
        listening.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener for tokio");
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
        });
        self.up = Some((member, listening));
    }

    fn member(&self) -> &Member {
        &self.up.as_ref().expect("it is up").0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((_, listening)) = self.up.take() {
            listening.shutdown_background();
        }
    }
}

impl Cluster {
    async fn form(adjust: fn(ConsensusOptions) -> ConsensusOptions) -> Self {
        let mut listeners = Vec::new();
        let mut seats = Vec::new();
        for raft_id in [11, 12, 13] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            listeners.push(listener);
            seats.push(Seat { dir: TempDir::new().expect("a directory"), info: info(raft_id, address), address, up: None });
        }
        for (seat, listener) in seats.iter_mut().zip(listeners) {
            let options = adjust(options(seat.info.clone()));
            seat.start(listener, options, Clock::system()).await;
        }
        let cluster = Self { seats, adjust };
        let members = cluster.seats.iter().map(|seat| seat.info.clone()).collect();
        cluster.seats[0].member().consensus.initialize(members).await.expect("initialized");
        cluster.leader().await;
        cluster
    }

    /// The seat that leads, once one does among those that are up.
    async fn leader(&self) -> usize {
        let waits = self.seats.iter().enumerate().filter(|(_, seat)| seat.up.is_some()).map(|(at, seat)| {
            Box::pin(async move {
                seat.member().leads().await;
                at
            })
        });
        futures::future::select_all(waits).await.0
    }

    async fn crash(&mut self, at: usize) {
        let (member, listening) = self.seats[at].up.take().expect("it is up");
        listening.shutdown_background();
        member.crash().await;
    }

    async fn restart(&mut self, at: usize) {
        self.restart_at(at, Clock::system()).await;
    }

    /// The same, by another clock.
    async fn restart_at(&mut self, at: usize, clock: Clock) {
        let mut listener = TcpListener::bind(self.seats[at].address);
        while listener.is_err() {
            tokio::task::yield_now().await;
            listener = TcpListener::bind(self.seats[at].address);
        }
        let options = (self.adjust)(options(self.seats[at].info.clone()));
        self.seats[at].start(listener.expect("bound"), options, clock).await;
    }

    fn member(&self, at: usize) -> &Member {
        self.seats[at].member()
    }

    /// Whether the member at a seat has the workflow, after a read barrier of its own.
    async fn knows(&self, at: usize, id: &str) -> bool {
        let consensus = &self.member(at).consensus;
        while consensus.read_barrier().await.is_err() {}
        consensus.latest().get::<Names>(&NameKey { namespace: "default".into(), id: id.into() }).is_some()
    }

    /// Proposes at a seat until it is known to be there.
    async fn ensure(&self, at: usize, id: &str) {
        loop {
            match self.member(at).consensus.propose(start(id)).await {
                Ok(Ok(Reply::Started(_))) => return,
                // An earlier try, whose outcome was unknown, had worked.
                Ok(Err(_)) => return,
                Ok(other) => panic!("{other:?}"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_s_command_goes_to_the_leader_and_every_member_reads_it() {
    let cluster = Cluster::form(|options| options).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let mut told = cluster.member(follower).consensus.leadership();
    told.wait_for(|told| matches!(told, Leadership::Follower { leader: Some(_), .. })).await.expect("it runs");
    for n in 0..10 {
        let id = format!("order-{n}");
        let answer = cluster.member(follower).consensus.propose(start(&id)).await.expect("forwarded");
        assert!(matches!(answer, Ok(Reply::Started(_))), "{answer:?}");
        for at in 0..3 {
            assert!(cluster.knows(at, &id).await, "{id} was acknowledged before the barrier");
        }
    }
    assert_eq!(cluster.member(follower).consensus.members().len(), 3);
    assert!(cluster.member(leader).consensus.leader_lease_until().is_some());
    assert!(cluster.member(follower).consensus.leader_lease_until().is_none());
}

/// Commands of many callers go to the leader together, and each is refused by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_that_there_is_no_room_for_holds_up_nothing_that_a_follower_sends_with_it() {
    let cluster = Cluster::form(|options| ConsensusOptions { entries_in_flight: 1, ..options }).await;
    let leader = cluster.leader().await;
    let (leads, follows) = (&cluster.member(leader).consensus, &cluster.member((leader + 1) % 3).consensus);
    let mut told = follows.leadership();
    told.wait_for(|told| matches!(told, Leadership::Follower { leader: Some(_), .. })).await.expect("it runs");
    leads.refuse_starts(Some("the disk is nearly full".into()));
    let limit = |n: u32| {
        let set = SetLimit {
            namespace: "default".into(),
            node: format!("n{n}"),
            limit: Some(Limit { max: n + 1, ..Limit::default() }),
            ..SetLimit::default()
        };
        Envelope::internal("client:test", Command::SetLimit(set))
    };
    let all = (0..200).map(|n| follows.propose(if n % 2 == 0 { start(&format!("order-{n}")) } else { limit(n) }));
    let batches = &cluster.member((leader + 1) % 3).metrics.raft.forwarded;
    for (n, outcome) in futures::future::join_all(all).await.into_iter().enumerate() {
        match n % 2 {
            0 => assert_eq!(outcome, Err(ProposeError::NoRoom { reason: "the disk is nearly full".into() }), "start {n}"),
            _ => assert!(matches!(outcome, Ok(Ok(_))), "limit {n}: {outcome:?}"),
        }
    }
    assert_eq!(batches.get(), 200, "all went to the leader");
    leads.refuse_starts(None);
    cluster.ensure((leader + 1) % 3, "after").await;
}

/// A leader that cannot write yet gets to a follower's commands late: it proposes those that somebody still waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_follower_s_caller_waits_for_no_longer_is_not_proposed() {
    let mut cluster = Cluster::form(|options| ConsensusOptions { entries_in_flight: 1, ..options }).await;
    let leader = cluster.leader().await;
    cluster.ensure(leader, "before").await;
    let followers: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for follower in &followers {
        cluster.crash(*follower).await;
    }
    let Member { consensus, metrics } = cluster.member(leader);
    let (consensus, metrics) = (consensus.clone(), metrics.clone());
    let under_way = consensus.status().last_index + 1;
    let first = tokio::spawn({
        let consensus = consensus.clone();
        async move { consensus.propose(start("first")).await }
    });
    let header = PeerHeader {
        from: cluster.seats[followers[0]].info.raft_id,
        to: cluster.seats[leader].info.raft_id,
        protocol: Some(ProtocolRange { min: 1, max: 1 }),
        ..PeerHeader::default()
    };
    let commands = ["hasty", "patient"].map(|id| start(id).encode_to_vec().into()).to_vec();
    let request = ProposeRequest { header: Some(header), commands, apart: true, waits_ms: vec![1, 0] };
    let mut client = PeerServiceClient::connect(format!("http://{}", cluster.seats[leader].address)).await.expect("connected");
    let settle = async |pending: i64, last_index: u64| {
        while metrics.raft.proposals_pending.get() != pending || consensus.status().last_index < last_index {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    settle(0, under_way).await;
    let forwarded = tokio::spawn(async move { client.propose(request).await });
    settle(2, under_way).await;
    // The leader's log is ahead of this one's, so it goes on leading.
    cluster.restart(followers[0]).await;
    let answer = forwarded.await.expect("no panic").expect("answered").into_inner();
    assert_eq!((answer.refused.as_str(), answer.unknown.as_str(), answer.answers.len()), ("", "", 1));
    assert_eq!(answer.refusals, [ProposeRefusal { at: 0, refused: "overdue".into() }]);
    first.await.expect("no panic").expect("acknowledged").expect("started");
    assert!(cluster.knows(leader, "patient").await);
    assert!(!cluster.knows(leader, "hasty").await);
}

/// Where nothing is written for long, no entry tells a member what time it is: the others do, before it answers anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_wrong_clock_never_becomes_the_time_of_the_cluster() {
    const YEAR_MS: u64 = 365 * 24 * 3_600_000;
    let mut cluster = Cluster::form(|options| options).await;
    let leader = cluster.leader().await;
    cluster.ensure(leader, "before").await;
    let wrong = (leader + 1) % 3;
    while !cluster.knows(wrong, "before").await {}
    cluster.crash(wrong).await;
    cluster.restart_at(wrong, Clock::manual(Clock::system().wall_ms() + YEAR_MS)).await;
    let member = &cluster.member(wrong).consensus;
    while member.read_barrier().await.is_err() {}
    let ahead = member.machine_time().saturating_sub(cluster.member(leader).consensus.machine_time());
    assert!(ahead < 60_000, "{ahead} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_the_leader_dies_another_leads_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::form(|options| options).await;
    let old = cluster.leader().await;
    for n in 0..20 {
        cluster.ensure(old, &format!("before-{n}")).await;
    }
    cluster.crash(old).await;
    let new = cluster.leader().await;
    assert_ne!(old, new);
    let other = (0..3).find(|at| *at != old && *at != new).expect("a third");
    cluster.ensure(other, "after").await;
    for n in 0..20 {
        assert!(cluster.knows(other, &format!("before-{n}")).await);
    }
    cluster.restart(old).await;
    assert!(cluster.knows(old, "after").await);
    assert!(cluster.knows(old, "before-19").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_was_away_too_long_catches_up_by_snapshot() {
    let few = |options| ConsensusOptions { snapshot_every_entries: 40, log_keep_entries: 64, ..options };
    let mut cluster = Cluster::form(few).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.crash(away).await;
    let mut n = 0;
    // Until the log no longer reaches back to where the follower stands.
    while cluster.member(cluster.leader().await).consensus.status().purged_index < 50 {
        cluster.ensure(leader, &format!("order-{n}")).await;
        n += 1;
    }
    cluster.restart(away).await;
    for n in [0, n - 1] {
        assert!(cluster.knows(away, &format!("order-{n}")).await);
    }
    assert_eq!(cluster.member(away).metrics.raft.snapshots.with_label_values(&["install"]).get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leadership_goes_to_another_member_when_it_is_handed_over() {
    let cluster = Cluster::form(|options| options).await;
    let old = cluster.leader().await;
    let term = cluster.member(old).leads().await;
    let mut feed = cluster.member(old).consensus.take_feed(term).expect("it leads");
    cluster.ensure(old, "before").await;
    cluster.member(old).consensus.resign().await;
    while feed.effects.recv().await.is_some() {}
    let new = cluster.leader().await;
    assert_ne!(old, new, "the feed of the old term has ended, so another member leads");
    assert!(cluster.knows(new, "before").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_for_another_member_or_from_another_cluster_is_refused() {
    let cluster = Cluster::form(|options| options).await;
    let leader = cluster.leader().await;
    let seat = &cluster.seats[leader];
    seat.member().consensus.set_lineage("ours".into(), 2);
    let mut client = PeerServiceClient::connect(format!("http://{}", seat.address)).await.expect("connected");
    let protocol = Some(ProtocolRange { min: 1, max: 1 });
    let from = cluster.seats[(leader + 1) % 3].info.raft_id;
    let header = |cluster_id: &str, to| Some(PeerHeader { cluster_id: cluster_id.into(), from, to, epoch: 2, protocol });
    let older = header("ours", seat.info.raft_id).map(|header| PeerHeader { epoch: 1, ..header });
    let later = Some(ProtocolRange { min: 2, max: 7 });
    let foreign = header("ours", seat.info.raft_id).map(|header| PeerHeader { protocol: later, ..header });
    for (header, expected) in [
        (header("ours", seat.info.raft_id), None),
        (header("", seat.info.raft_id), Some("belongs to cluster none")),
        (header("ours", 99), Some("99 was meant")),
        (header("theirs", seat.info.raft_id), Some("belongs to cluster theirs")),
        (older, Some("belongs to epoch 1 of cluster ours, this member to epoch 2")),
        (foreign, Some("it speaks versions 2 to 7 of the protocol between members, and this one 1 to 1")),
    ] {
        match (client.read_index(ReadIndexRequest { header }).await, expected) {
            (Ok(_), None) => {}
            (Err(status), Some(words)) => {
                assert_eq!(status.code(), Code::FailedPrecondition);
                assert!(status.message().contains(words), "{status}");
            }
            (answer, expected) => panic!("{answer:?}, expected {expected:?}"),
        }
    }
    let nobody = header("ours", seat.info.raft_id).map(|header| PeerHeader { from: 77, ..header });
    let refused = client.read_index(ReadIndexRequest { header: nobody }).await.expect_err("nobody has that raft id");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

/// With both followers gone nothing is applied any more, so that what was proposed is what may be under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn so_many_entries_are_under_way_as_the_options_say() {
    async fn proposed(adjust: fn(ConsensusOptions) -> ConsensusOptions, entries: u64) {
        let mut cluster = Cluster::form(adjust).await;
        let leader = cluster.leader().await;
        cluster.ensure(leader, "before").await;
        for follower in (0..3).filter(|at| *at != leader) {
            cluster.crash(follower).await;
        }
        let consensus = cluster.member(leader).consensus.clone();
        let applied = consensus.status().applied_index;
        let waiting: Vec<_> = (0..8)
            .map(|n| {
                let consensus = consensus.clone();
                tokio::spawn(async move { consensus.propose(start(&format!("after-{n}"))).await })
            })
            .collect();
        // All have arrived: those that are not under way wait for an entry.
        let settled = async {
            let pending = &cluster.member(leader).metrics.raft.proposals_pending;
            while pending.get() != 8 - entries as i64 || consensus.status().last_index < applied + entries {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), settled).await.expect("as many as may be are under way");
        assert_eq!(consensus.status().last_index, applied + entries);
        waiting.iter().for_each(|waits| waits.abort());
    }
    proposed(|options| ConsensusOptions { batch_commands: 1, entries_in_flight: 1, ..options }, 1).await;
    proposed(|options| ConsensusOptions { batch_commands: 1, entries_in_flight: 3, ..options }, 3).await;
}

/// Each acknowledgement of a heartbeat renews the leader's lease: two followers, so at most two renewals a heartbeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_idle_leader_shows_that_it_lives_as_often_as_the_options_say() {
    async fn renewed(adjust: fn(ConsensusOptions) -> ConsensusOptions) -> Duration {
        let cluster = Cluster::form(adjust).await;
        let leader = cluster.leader().await;
        let consensus = &cluster.member(leader).consensus;
        cluster.ensure(leader, "before").await;
        let (begun, mut renewals, mut until) = (Instant::now(), 0, None);
        while renewals < 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = consensus.leader_lease_until();
            // The same renewal may be read a millisecond apart.
            if now.zip(until).is_none_or(|(now, until): (u64, u64)| now > until + 5) {
                renewals += 1;
                until = now;
            }
        }
        begun.elapsed()
    }
    let slow = renewed(|options| ConsensusOptions { heartbeat_ms: 400, election_min_ms: 4_000, election_max_ms: 8_000, ..options });
    assert!(slow.await >= Duration::from_millis(1_400), "renewed more often than every 400 ms");
}

/// How long nobody leads after the leader has died.
async fn without_leader(adjust: fn(ConsensusOptions) -> ConsensusOptions) -> Duration {
    let mut cluster = Cluster::form(adjust).await;
    let old = cluster.leader().await;
    cluster.ensure(old, "before").await;
    let begun = Instant::now();
    cluster.crash(old).await;
    cluster.leader().await;
    begun.elapsed()
}

/// Only that it does not come too early: how late it comes is up to the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_wait_for_a_silent_leader_as_long_as_the_options_say() {
    let heartbeat = 50;
    let by_lease = without_leader(|options| ConsensusOptions { election_min_ms: 200, election_max_ms: 2_000, ..options });
    let by_both = without_leader(|options| ConsensusOptions { election_min_ms: 1_400, election_max_ms: 1_500, ..options });
    let (by_lease, by_both) = tokio::join!(by_lease, by_both);
    let least = |millis: u64| Duration::from_millis(millis - 2 * heartbeat);
    assert!(by_lease >= least(2_000), "the lease of the leader is election_max: {by_lease:?}");
    assert!(by_both >= least(1_500 + 1_400), "after the lease at least election_min passes: {by_both:?}");
}
