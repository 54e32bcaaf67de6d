//! One member alone.

use std::time::Duration;

use graft_machine::command::{Command, Envelope};
use graft_machine::effect::Effect;
use graft_machine::reply::Reply;
use graft_machine::state::StateRead;
use graft_machine::tables::{NameKey, Names, Prefix, RequestExpiry};
use graftd::clock::Clock;
use graftd::consensus::{Consensus, ConsensusOptions, ProposeError};
use graftd::scheduler::{Scheduler, SchedulerOptions};
use tempfile::TempDir;

use crate::member::{Member, info, open, open_with, options, start};

async fn first(dir: &TempDir) -> Member {
    first_with(dir, |options| options).await
}

async fn first_with(dir: &TempDir, adapt: impl Fn(ConsensusOptions) -> ConsensusOptions) -> Member {
    let address = "127.0.0.1:1".parse().expect("an address");
    let member = open(dir.path(), adapt(options(info(7, address)))).await;
    if !member.consensus.is_initialized().await.expect("consensus runs") {
        member.consensus.initialize(vec![info(7, address)]).await.expect("a first member");
    }
    member
}

fn knows(consensus: &Consensus, id: &str) -> bool {
    consensus.latest().get::<Names>(&NameKey { namespace: "default".into(), id: id.into() }).is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_command_is_answered_once_it_is_applied_and_shows_in_the_feed() {
    let dir = TempDir::new().expect("a directory");
    let member = first(&dir).await;
    let consensus = &member.consensus;
    let term = member.leads().await;
    let mut feed = consensus.take_feed(term).expect("it leads");
    assert!(consensus.take_feed(term + 1).is_none());

    let named = consensus.init_cluster("6b0e".into(), "test".into(), 1).await.expect("proposed");
    assert!(matches!(named, Ok(Reply::Done(_))), "{named:?}");
    let started = consensus.propose(start("order-1")).await.expect("proposed");
    assert!(matches!(&started, Ok(Reply::Started(started)) if started.created), "{started:?}");
    assert!(knows(consensus, "order-1"));
    let again = consensus.propose(start("order-1")).await.expect("proposed");
    assert!(again.is_err(), "the id is taken: {again:?}");

    let first = feed.effects.recv().await.expect("a batch");
    assert_eq!(first.index, feed.view.mark().index + 1);
    let second = feed.effects.recv().await.expect("a batch");
    assert!(second.effects.iter().any(|effect| matches!(effect, Effect::Offer(_))), "{second:?}");

    let covered = consensus.read_barrier().await.expect("it leads");
    assert!(covered >= second.index);
    let status = consensus.status();
    assert_eq!((status.member, status.leader, status.cluster_id.as_str(), status.epoch), (7, 7, "6b0e", 1));
    assert_eq!(status.applied_index, status.last_index);
    assert_eq!(status.members.len(), 1);
    assert!(consensus.leader_lease_until().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_after_a_stop_without_a_flush() {
    let dir = TempDir::new().expect("a directory");
    let member = first(&dir).await;
    for n in 0..20 {
        member.consensus.propose(start(&format!("order-{n}"))).await.expect("proposed").expect("accepted");
    }
    let old_term = member.leads().await;
    assert_eq!(member.consensus.status().flushed_index, 0, "the test is about what was not flushed");
    member.crash().await;

    let member = first(&dir).await;
    assert!(member.consensus.is_initialized().await.expect("consensus runs"));
    assert!(member.leads().await > old_term, "a restarted leader wins a new term");
    assert!(member.consensus.recovered().await);
    for n in 0..20 {
        assert!(knows(&member.consensus, &format!("order-{n}")), "order-{n} was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_that_come_together_share_entries() {
    let dir = TempDir::new().expect("a directory");
    let member = first(&dir).await;
    member.leads().await;
    let before = member.metrics.raft.entries.get();
    const MANY: usize = 2_000;
    let proposals = (0..MANY).map(|n| {
        let consensus = member.consensus.clone();
        tokio::spawn(async move { consensus.propose(start(&format!("order-{n}"))).await })
    });
    for proposal in proposals.collect::<Vec<_>>() {
        proposal.await.expect("no panic").expect("proposed").expect("accepted");
    }
    let entries = member.metrics.raft.entries.get() - before;
    assert!(entries < MANY as u64 / 2, "{MANY} commands took {entries} entries");
    assert_eq!(member.metrics.raft.proposals_pending.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_scheduler_s_commands_keep_their_order_and_are_refused_in_another_term() {
    let dir = TempDir::new().expect("a directory");
    let member = first(&dir).await;
    let term = member.leads().await;
    let commands = (0..3_000).map(|n| start(&format!("order-{n}"))).collect();
    let answers = member.consensus.propose_local(term, commands).await.expect("it leads");
    let runs: Vec<u64> = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(Reply::Started(started)) => started.run,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(runs.len(), 3_000);
    assert!(runs.is_sorted(), "runs are counted in the order of the commands");
    let refused = member.consensus.propose_local(term + 1, vec![start("late")]).await;
    assert_eq!(refused, Err(ProposeError::NotLeader));
    assert!(!knows(&member.consensus, "late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_feed_taken_under_load_has_no_gap() {
    let dir = TempDir::new().expect("a directory");
    let member = first(&dir).await;
    let term = member.leads().await;
    let consensus = member.consensus.clone();
    let load = tokio::spawn(async move {
        for n in 0..300 {
            consensus.propose(start(&format!("order-{n}"))).await.expect("proposed").expect("accepted");
        }
    });
    for _ in 0..20 {
        let mut feed = member.consensus.take_feed(term).expect("it leads");
        let mut expected = feed.view.mark().index;
        for _ in 0..5 {
            let Some(batch) = feed.effects.recv().await else { break };
            expected += 1;
            assert_eq!(batch.index, expected, "the entry after the view, then the next");
        }
        if load.is_finished() {
            break;
        }
    }
    load.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subscription_wakes_when_its_run_has_news() {
    let dir = TempDir::new().expect("a directory");
    let member = first(&dir).await;
    let mut news = member.consensus.subscribe(1);
    let started = member.consensus.propose(start("order-1")).await.expect("proposed").expect("accepted");
    assert!(matches!(started, Reply::Started(started) if started.run == 1));
    news.changed().await;
}

/// A start whose state has so many bytes.
fn large_start(id: &str, bytes: usize) -> Envelope {
    let mut envelope = start(id);
    if let Some(Command::Start(start)) = &mut envelope.command {
        start.state = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)).into();
    }
    envelope
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_is_bounded_in_bytes_while_large_entries_flow_and_nothing_acknowledged_is_lost() {
    const ROUNDS: usize = 20;
    const STARTS: usize = 25;
    let small = |options| ConsensusOptions {
        batch_bytes: 256 << 10,
        entries_in_flight: 1,
        snapshot_every_bytes: 2 << 20,
        log_keep_bytes: 1 << 20,
        ..options
    };
    let dir = TempDir::new().expect("a directory");
    let member = first_with(&dir, small).await;
    let term = member.leads().await;
    for round in 0..ROUNDS {
        let commands = (0..STARTS).map(|n| large_start(&format!("order-{round}-{n}"), 100_000)).collect();
        let answers = member.consensus.propose_local(term, commands).await.expect("it leads");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        // 16 entries stay, and what is less than a snapshot's worth: about a dozen.
        loop {
            let status = member.consensus.status();
            if status.applied_index < 40 || status.purged_index + 40 > status.applied_index {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let file = dir.path().join("log.redb").metadata().expect("the log").len();
        assert!(file < 32 << 20, "after round {round} the log has {file} bytes");
    }
    let status = member.consensus.status();
    assert!(status.purged_index <= status.flushed_index, "{status:?}");
    member.crash().await;

    let member = first_with(&dir, small).await;
    assert!(member.consensus.recovered().await);
    for round in 0..ROUNDS {
        for n in 0..STARTS {
            assert!(knows(&member.consensus, &format!("order-{round}-{n}")), "order-{round}-{n} was acknowledged");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shutdown_flushes_and_refuses_what_comes_later() {
    let dir = TempDir::new().expect("a directory");
    let member = first(&dir).await;
    member.consensus.propose(start("order-1")).await.expect("proposed").expect("accepted");
    member.consensus.shutdown().await;
    let status = member.consensus.status();
    assert_eq!(status.flushed_index, status.applied_index);
    assert!(matches!(member.consensus.propose(start("order-2")).await, Err(ProposeError::Unavailable { .. })));
    assert!(matches!(member.consensus.read_barrier().await, Err(ProposeError::Unavailable { .. })));
}

/// Each answer that is kept for a repeat is forgotten when its window is over, however many there are: the state must not grow with the
/// number of requests that were ever made.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_answers_to_requests_are_forgotten_as_fast_as_they_come_due() {
    const REQUESTS: usize = 5_000;
    let dir = TempDir::new().expect("a directory");
    let clock = Clock::manual(1_700_000_000_000);
    let member = open_with(dir.path(), options(info(7, "127.0.0.1:1".parse().expect("an address"))), clock.clone()).await;
    member.consensus.initialize(vec![info(7, "127.0.0.1:1".parse().expect("an address"))]).await.expect("initialized");
    let term = member.leads().await;
    let (scheduler, running) =
        Scheduler::start(member.consensus.clone(), SchedulerOptions::default(), clock.clone(), member.metrics.clone());
    let request =
        |n: usize| Envelope { request_id: format!("request-{n}"), not_after: clock.wall_ms() + 1_000, ..start(&format!("order-{n}")) };
    member.consensus.propose_local(term, (0..REQUESTS).map(request).collect()).await.expect("it leads");
    let kept = || member.consensus.view().scan::<RequestExpiry>(Prefix::new().as_bytes(), None, 2 * REQUESTS).len();
    assert_eq!(kept(), REQUESTS);
    clock.advance(5_000);
    // One command after the other, and no pause of a second in between.
    let begun = std::time::Instant::now();
    while kept() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        assert!(begun.elapsed().as_secs() < 30, "{} answers are still kept", kept());
    }
    let commands = member.metrics.raft.commands.other.get();
    assert!(commands as usize >= REQUESTS / 1_024, "{commands} commands, each with a bound");
    println!("{REQUESTS} answers were forgotten in {} ms", begun.elapsed().as_millis());
    drop((scheduler, running));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_fits_an_entry_and_what_may_wait_is_bounded_as_the_options_say() {
    let entries_for = |commands: usize, bytes: usize| async move {
        let dir = TempDir::new().expect("a directory");
        let adapt = |options| ConsensusOptions { batch_commands: commands, batch_bytes: bytes, pending_commands_max: 300, ..options };
        let member = first_with(&dir, adapt).await;
        let term = member.leads().await;
        let before = member.metrics.raft.entries.get();
        let answers = member.consensus.propose_local(term, (0..200).map(|n| start(&format!("order-{n}"))).collect()).await;
        assert_eq!(answers.expect("it leads").len(), 200);
        let entries = member.metrics.raft.entries.get() - before;
        let asked = (0..3_000).map(|n| member.consensus.propose(start(&format!("late-{n}"))));
        let answers = futures::future::join_all(asked).await;
        let refused = answers.iter().filter(|answer| matches!(answer, Err(ProposeError::Overloaded { .. }))).count();
        assert!(
            refused > 0 && answers.iter().all(|answer| !matches!(answer, Err(ProposeError::Unknown { .. }))),
            "no more than 300 may wait"
        );
        // The leader's own, which are results of workers, wait for room: each makes some.
        let own = member.consensus.propose_local(term, (0..301).map(|n| start(&format!("own-{n}"))).collect()).await;
        assert_eq!(own.expect("it leads").len(), 301);
        entries
    };
    assert_eq!(entries_for(100, 1 << 20).await, 2);
    assert_eq!(entries_for(10, 1 << 20).await, 20);
    // A command has some tens of bytes, so that all together have several kibibytes.
    assert!(entries_for(200, 1 << 10).await > 3);
}
