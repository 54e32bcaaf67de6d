//! The protocol, written down as conversations.

use graft_proto::v1::{Acks, CancelNotice, Completed, HeartbeatAck, Members, Tasks};

use super::*;

const LEASE_MS: u64 = 9_000;

fn engine() -> Engine {
    engine_with(&["http://a:1", "http://b:1"])
}

fn engine_with(addresses: &[&str]) -> Engine {
    let nodes = vec![
        NodeCapacity { node: "pack".into(), capacity: 4, cluster_limit: 0 },
        NodeCapacity { node: "ship".into(), capacity: 1, cluster_limit: 0 },
    ];
    let settings = Settings {
        namespace: "default".into(),
        worker: "w".into(),
        incarnation: "i".into(),
        build: String::new(),
        nodes,
        drain_grace_ms: 1_000,
    };
    let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
    Engine::new(settings, &addresses, 7)
}

/// Everything that is to be done now, one line for each.
fn outputs(engine: &mut Engine) -> Vec<String> {
    engine.flush();
    std::iter::from_fn(|| engine.poll_output()).map(describe).collect()
}

fn describe(output: Output) -> String {
    match output {
        Output::Connect { link, address, hello } => {
            format!("connect {link} {address} cluster={:?}{}", hello.cluster_id, if hello.relay { " relay" } else { "" })
        }
        Output::Send { link, message } => format!("{link} <- {}", describe_message(message.message.unwrap())),
        Output::Close { link } => format!("close {link}"),
        Output::Start { lease, .. } => format!("start {}/{}", lease.term, lease.sequence),
        Output::Cancel { lease, reason } => format!("cancel {}/{} {reason:?}", lease.term, lease.sequence),
        Output::Drop { lease, reason } => format!("drop {}/{} {reason:?}", lease.term, lease.sequence),
        Output::Refused(error) => format!("refused {}", error.message()),
        Output::Left => "left".to_owned(),
    }
}

fn describe_message(message: from_worker::Message) -> String {
    let lease = |lease: Option<Lease>| lease.map_or_else(|| "-".to_owned(), |lease| format!("{}/{}", lease.term, lease.sequence));
    match message {
        from_worker::Message::Hello(_) => "hello".to_owned(),
        from_worker::Message::Inventory(inventory) => {
            let held: Vec<String> = inventory.held.iter().map(|held| format!("{}{}", lease(held.lease), held.progress)).collect();
            format!("inventory term={} held={held:?}", inventory.term)
        }
        from_worker::Message::Credit(credit) => format!("credit {} window={} #{}", credit.node, credit.window, credit.sequence),
        from_worker::Message::Heartbeat(heartbeat) => {
            let progress: Vec<&str> = heartbeat.progress.iter().map(|held| held.progress.as_str()).collect();
            format!("heartbeat {} {progress:?}", heartbeat.sent_ms)
        }
        from_worker::Message::Results(results) => {
            let results = results.results.iter().map(|result| {
                let what = match result.outcome.as_ref().unwrap() {
                    Outcome::Completed(_) => "completed",
                    Outcome::Failed(_) => "failed",
                    Outcome::Blocked(_) => "blocked",
                    Outcome::HandedBack(_) => "handed-back",
                };
                format!("{} {what}", lease(result.lease))
            });
            format!("results {:?}", results.collect::<Vec<_>>())
        }
        from_worker::Message::Goodbye(_) => "goodbye".to_owned(),
    }
}

fn to_worker(message: to_worker::Message) -> ToWorker {
    ToWorker { message: Some(message) }
}

fn welcome(term: u64, member: u64, leading: bool) -> ToWorker {
    let cluster_id = "c".to_owned();
    to_worker(to_worker::Message::Welcome(Welcome {
        protocol: 1,
        cluster_id,
        term,
        lease_ms: LEASE_MS,
        leading,
        member,
        ..Welcome::default()
    }))
}

fn key(term: u64, sequence: u64) -> LeaseKey {
    LeaseKey { term, sequence }
}

fn tasks(node: &str, term: u64, sequences: impl IntoIterator<Item = u64>, heartbeat_echo: u64) -> ToWorker {
    let task = |sequence| Task {
        at: Some(AttemptRef { run: 1, task: u32::try_from(sequence).unwrap(), attempt: 1 }),
        lease: Some(Lease { term, sequence }),
        node: node.into(),
        heartbeat_echo,
        ..Task::default()
    };
    to_worker(to_worker::Message::Tasks(Tasks { tasks: sequences.into_iter().map(task).collect() }))
}

fn ack(term: u64, sequence: u64) -> ToWorker {
    let lease = Some(Lease { term, sequence });
    to_worker(to_worker::Message::Acks(Acks { acks: vec![Ack { at: None, lease, resolution: Resolution::Applied.into() }] }))
}

fn heartbeat_ack(term: u64, echo: u64) -> ToWorker {
    to_worker(to_worker::Message::HeartbeatAck(HeartbeatAck { term, echo, leading: true }))
}

fn completed() -> Option<Outcome> {
    Some(Outcome::Completed(Completed::default()))
}

/// Two links, 3 and 4; member 1 leads on link 3 in term 5.
fn led() -> Engine {
    let mut engine = engine();
    engine.tick(10);
    engine.received(3, welcome(5, 1, true), 10);
    engine.received(4, welcome(5, 2, false), 10);
    outputs(&mut engine);
    engine
}

#[test]
fn a_worker_opens_a_stream_to_every_address_and_answers_only_the_leader() {
    let mut engine = engine();
    engine.tick(10);
    assert_eq!(outputs(&mut engine), ["connect 3 http://a:1 cluster=\"\"", "connect 4 http://b:1 cluster=\"\""]);
    engine.received(3, welcome(5, 1, false), 11);
    assert!(outputs(&mut engine).is_empty());
    engine.received(4, welcome(5, 2, true), 12);
    assert_eq!(
        outputs(&mut engine),
        ["4 <- inventory term=5 held=[]", "4 <- heartbeat 12 []", "4 <- credit pack window=4 #1", "4 <- credit ship window=1 #2"]
    );
}

#[test]
fn credit_grows_as_attempts_end_and_results_go_in_one_message() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, 1..=4, 10), 20);
    assert_eq!(outputs(&mut engine), ["start 5/1", "start 5/2", "start 5/3", "start 5/4"]);
    engine.finished(key(5, 1), completed(), 9);
    engine.finished(key(5, 2), completed(), 9);
    assert_eq!(outputs(&mut engine), ["3 <- results [\"5/1 completed\", \"5/2 completed\"]", "3 <- credit pack window=6 #3"]);
}

#[test]
fn results_without_an_acknowledgement_hold_credit_back() {
    let mut engine = led();
    for round in 0..2 {
        engine.received(3, tasks("pack", 5, round * 4 + 1..=round * 4 + 4, 10), 20);
        for sequence in round * 4 + 1..=round * 4 + 4 {
            engine.finished(key(5, sequence), completed(), 9);
        }
        outputs(&mut engine);
    }
    // Eight results are out: as many as may be, so the window stands at what was assigned until one is acknowledged.
    assert_eq!(engine.slots[0].free(), 0);
    for sequence in 1..=3 {
        engine.received(3, ack(5, sequence), 30);
    }
    assert_eq!(outputs(&mut engine), ["3 <- credit pack window=11 #4"]);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_a_reconnect() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, 1..=3, 10), 20);
    engine.finished(key(5, 1), completed(), 9);
    engine.finished(key(5, 2), completed(), 9);
    outputs(&mut engine);
    engine.received(3, ack(5, 1), 21);
    engine.closed(3, Gone::Lost("reset".into()), 22);
    engine.tick(5_000);
    assert_eq!(outputs(&mut engine), ["connect 5 http://a:1 cluster=\"c\""]);
    engine.received(5, welcome(5, 1, true), 5_001);
    assert_eq!(
        outputs(&mut engine),
        [
            "5 <- inventory term=5 held=[\"5/2\", \"5/3\"]",
            "5 <- heartbeat 5001 []",
            "5 <- credit pack window=3 #1",
            "5 <- credit ship window=1 #2",
            "5 <- results [\"5/2 completed\"]",
        ]
    );
}

#[test]
fn a_new_leader_is_told_what_is_held_and_gets_the_results() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, 1..=2, 10), 20);
    engine.progress(key(5, 2), " half".into());
    engine.finished(key(5, 1), completed(), 9);
    outputs(&mut engine);
    engine.received(4, welcome(6, 2, true), 30);
    assert_eq!(
        outputs(&mut engine),
        [
            "4 <- inventory term=6 held=[\"5/1\", \"5/2 half\"]",
            "4 <- heartbeat 30 [\" half\"]",
            "4 <- credit pack window=3 #1",
            "4 <- credit ship window=1 #2",
            "4 <- results [\"5/1 completed\"]",
        ]
    );
}

#[test]
fn what_an_older_term_sends_is_ignored() {
    let mut engine = led();
    engine.received(4, welcome(6, 2, true), 30);
    outputs(&mut engine);
    engine.received(3, tasks("pack", 5, [9], 10), 31);
    engine.received(3, welcome(5, 1, true), 32);
    engine.received(3, heartbeat_ack(5, 31), 33);
    assert!(outputs(&mut engine).is_empty());
    assert_eq!(engine.renewed_at, 0);
}

#[test]
fn a_leader_that_steps_down_assigns_no_more() {
    let mut engine = led();
    engine.received(3, welcome(6, 1, false), 20);
    engine.received(3, tasks("pack", 6, [1], 10), 21);
    assert!(outputs(&mut engine).is_empty());
}

#[test]
fn a_repeated_assignment_starts_nothing() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    engine.received(3, tasks("pack", 5, [1], 10), 21);
    assert_eq!(outputs(&mut engine).iter().filter(|line| line.starts_with("start")).count(), 1);
}

#[test]
fn attempts_are_dropped_at_nine_tenths_of_the_lease_without_an_echo() {
    let mut engine = led();
    engine.received(3, heartbeat_ack(5, 10), 12);
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    outputs(&mut engine);
    let stop = 10 + LEASE_MS / 10 * 9;
    engine.tick(stop - 1);
    assert!(outputs(&mut engine).iter().all(|line| line.contains("heartbeat")), "only signs of life before");
    engine.tick(stop);
    assert_eq!(outputs(&mut engine)[0], "drop 5/1 LeaseLost");
    // What its code still comes to is of no interest any more: whoever leads next hears that it was given up.
    engine.finished(key(5, 1), completed(), 9);
    assert!(!outputs(&mut engine).iter().any(|line| line.contains("results")));
    engine.received(4, welcome(6, 2, true), stop + 1);
    let said = outputs(&mut engine);
    assert_eq!(said[0], "4 <- inventory term=6 held=[\"5/1\"]");
    assert!(said.contains(&"4 <- results [\"5/1 handed-back\"]".to_owned()), "{said:?}");
}

#[test]
fn a_leader_that_was_told_of_an_attempt_hears_when_it_is_dropped_before_the_first_echo() {
    let mut engine = led();
    engine.received(3, heartbeat_ack(5, 10), 12);
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    outputs(&mut engine);
    let stop = 10 + LEASE_MS / 10 * 9;
    // The new leader counts the attempt as held from its inventory on, and hears heartbeats: it would wait for ever.
    engine.received(4, welcome(6, 2, true), stop - 1);
    assert_eq!(outputs(&mut engine)[0], "4 <- inventory term=6 held=[\"5/1\"]");
    engine.tick(stop);
    assert_eq!(outputs(&mut engine), ["drop 5/1 LeaseLost", "4 <- results [\"5/1 handed-back\"]"]);
}

#[test]
fn an_echo_moves_the_stop() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    outputs(&mut engine);
    engine.tick(3_010);
    assert_eq!(outputs(&mut engine), ["3 <- heartbeat 3010 []"]);
    engine.received(3, heartbeat_ack(5, 3_010), 3_500);
    engine.tick(10 + LEASE_MS);
    assert!(!outputs(&mut engine).iter().any(|line| line.starts_with("drop")));
}

#[test]
fn an_attempt_that_was_dropped_keeps_its_slot_until_its_code_has_ended() {
    let mut engine = led();
    engine.received(3, tasks("ship", 5, [1], 10), 20);
    let notice = CancelNotice { at: None, lease: Some(Lease { term: 5, sequence: 1 }), reason: WireReason::WorkflowEnded.into() };
    engine.received(3, to_worker(to_worker::Message::Cancel(notice)), 21);
    assert_eq!(outputs(&mut engine), ["start 5/1", "drop 5/1 WorkflowEnded"]);
    engine.finished(key(5, 1), None, 9);
    let said = outputs(&mut engine);
    assert_eq!(said, ["3 <- results [\"5/1 handed-back\"]", "3 <- credit ship window=2 #3"], "the leader counts it until it knows");
}

#[test]
fn a_cancelled_workflow_lets_the_attempt_finish_and_report() {
    let mut engine = led();
    engine.received(3, tasks("ship", 5, [1], 10), 20);
    let notice = CancelNotice { at: None, lease: Some(Lease { term: 5, sequence: 1 }), reason: WireReason::WorkflowCancelled.into() };
    engine.received(3, to_worker(to_worker::Message::Cancel(notice)), 21);
    assert_eq!(outputs(&mut engine), ["start 5/1", "cancel 5/1 WorkflowCancelled"]);
    engine.finished(key(5, 1), completed(), 9);
    assert_eq!(outputs(&mut engine)[0], "3 <- results [\"5/1 completed\"]");
}

#[test]
fn an_unknown_node_is_handed_back() {
    let mut engine = led();
    engine.received(3, tasks("paint", 5, [1], 10), 20);
    assert_eq!(outputs(&mut engine), ["3 <- results [\"5/1 handed-back\"]"]);
}

#[test]
fn an_outcome_too_large_for_a_message_fails_for_good() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    let data = vec![b' '; MESSAGE_BYTES_MAX].into();
    let patch = Some(graft_proto::v1::Payload { encoding: 1, data });
    engine.finished(key(5, 1), Some(Outcome::Completed(Completed { patch, ..Completed::default() })), 9);
    engine.flush();
    let failed = std::iter::from_fn(|| engine.poll_output()).find_map(|output| match output {
        Output::Send { message: FromWorker { message: Some(from_worker::Message::Results(mut sent)) }, .. } => {
            sent.results.remove(0).outcome
        }
        _ => None,
    });
    let Some(Outcome::Failed(failed)) = failed else { panic!("not failed: {failed:?}") };
    assert_eq!(failed.kind(), FailureKind::Permanent);
    assert!(failed.message.contains("bytes in all") && failed.message.ends_with(crate::limits::REMEDY), "{}", failed.message);
}

#[test]
fn many_large_results_are_spread_over_messages() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, 1..=4, 10), 20);
    for sequence in 1..=4 {
        let data = vec![b' '; RESULTS_BYTES_MAX / 2 - 1_000].into();
        let patch = Some(graft_proto::v1::Payload { encoding: 1, data });
        engine.finished(key(5, sequence), Some(Outcome::Completed(Completed { patch, ..Completed::default() })), 9);
    }
    assert_eq!(outputs(&mut engine).iter().filter(|line| line.contains("results")).count(), 2);
}

#[test]
fn a_drain_takes_no_work_hands_back_what_does_not_end_and_says_goodbye_when_all_is_acknowledged() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, 1..=2, 10), 20);
    outputs(&mut engine);
    engine.drain(100);
    assert_eq!(outputs(&mut engine), ["3 <- credit pack window=2 #3", "3 <- credit ship window=0 #4"]);
    // What was on its way goes back.
    engine.received(3, tasks("ship", 5, [3], 10), 101);
    engine.finished(key(5, 1), completed(), 9);
    assert_eq!(outputs(&mut engine)[0], "3 <- results [\"5/3 handed-back\", \"5/1 completed\"]");
    engine.advance(102);
    assert!(outputs(&mut engine).is_empty(), "one attempt still runs");
    // The grace is over.
    engine.tick(1_100);
    engine.advance(1_100);
    assert_eq!(outputs(&mut engine), ["drop 5/2 Draining", "3 <- results [\"5/2 handed-back\"]"]);
    for sequence in [1, 2] {
        engine.received(3, ack(5, sequence), 1_101);
        engine.advance(1_101);
    }
    assert!(outputs(&mut engine).is_empty(), "one acknowledgement is missing");
    engine.received(3, ack(5, 3), 1_102);
    engine.advance(1_102);
    assert_eq!(outputs(&mut engine), ["3 <- goodbye", "4 <- goodbye", "close 3", "close 4"]);
    engine.closed(3, Gone::Lost("done".into()), 1_103);
    engine.closed(4, Gone::Lost("done".into()), 1_103);
    assert_eq!(outputs(&mut engine), ["left"]);
}

#[test]
fn a_drain_without_a_leader_ends_all_the_same() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    engine.finished(key(5, 1), completed(), 9);
    engine.closed(3, Gone::Lost("reset".into()), 21);
    engine.drain(22);
    engine.advance(22);
    engine.tick(22 + ACK_WAIT_MS);
    engine.tick(22 + ACK_WAIT_MS + LEAVE_WAIT_MS);
    assert!(outputs(&mut engine).contains(&"left".to_owned()));
}

#[test]
fn two_addresses_of_one_member_make_one_stream() {
    let mut engine = engine();
    engine.tick(10);
    engine.received(3, welcome(5, 1, true), 11);
    outputs(&mut engine);
    engine.received(4, welcome(5, 1, true), 12);
    assert_eq!(outputs(&mut engine), ["close 4"]);
    engine.tick(1_000);
    assert!(outputs(&mut engine).is_empty(), "the other address rests");
}

#[test]
fn members_that_a_welcome_names_get_streams_too() {
    let mut engine = engine_with(&["http://a:1"]);
    engine.tick(10);
    outputs(&mut engine);
    let mut message = welcome(5, 1, false);
    if let Some(to_worker::Message::Welcome(welcome)) = &mut message.message {
        welcome.member_addresses = vec!["http://a:1".into(), "http://b:1".into()];
    }
    engine.received(2, message, 11);
    engine.tick(11);
    assert_eq!(outputs(&mut engine), ["connect 4 http://b:1 cluster=\"c\""]);
}

#[test]
fn members_that_come_later_get_streams_too() {
    let mut engine = engine_with(&["http://a:1"]);
    engine.tick(10);
    outputs(&mut engine);
    engine.received(2, welcome(5, 1, false), 11);
    engine.tick(11);
    assert!(outputs(&mut engine).is_empty());
    let told = |term, addresses: &[&str]| ToWorker {
        message: Some(to_worker::Message::Members(Members { term, addresses: addresses.iter().map(|&address| address.into()).collect() })),
    };
    engine.received(2, told(4, &["http://old:1"]), 12);
    engine.tick(12);
    assert!(outputs(&mut engine).is_empty(), "who was left behind is not heard");
    engine.received(2, told(5, &["http://a:1", "http://b:1"]), 13);
    engine.tick(13);
    assert_eq!(outputs(&mut engine), ["connect 4 http://b:1 cluster=\"c\""]);
}

/// Does not lead; knows who does, or not.
fn follower(term: u64, member: u64, leader: &str) -> ToWorker {
    let mut message = welcome(term, member, false);
    if let Some(to_worker::Message::Welcome(welcome)) = &mut message.message {
        welcome.leader_address = leader.to_owned();
        welcome.member_addresses = vec!["http://a:1".into(), "http://b:1".into()];
    }
    message
}

/// A worker that reaches member 1 at `a` only, and is led through it by member 2.
fn led_by_a_detour() -> Engine {
    let mut engine = engine_with(&["http://a:1"]);
    engine.tick(10);
    engine.received(2, follower(5, 1, "http://b:1"), 10);
    engine.tick(10);
    outputs(&mut engine);
    engine.closed(4, Gone::Lost("no route".into()), 20);
    engine.tick(2_010);
    let said = outputs(&mut engine);
    assert_eq!(said.first().map(String::as_str), Some("close 2"), "{said:?}");
    engine.tick(2_200);
    let said = outputs(&mut engine);
    assert!(said.contains(&"connect 6 http://a:1 cluster=\"c\" relay".to_owned()), "{said:?}");
    engine.received(6, welcome(5, 2, true), 2_210);
    assert!(outputs(&mut engine).contains(&"6 <- inventory term=5 held=[]".to_owned()));
    engine
}

#[test]
fn a_leader_that_cannot_be_reached_is_reached_through_a_member_that_can() {
    let mut engine = led_by_a_detour();
    // The leader goes. Its member has nobody to carry the stream to, then hears of the next one, and carries it there at once.
    engine.closed(6, Gone::Lost("leads no more".into()), 3_000);
    engine.tick(3_200);
    let said = outputs(&mut engine);
    let again = said.iter().find_map(|line| line.strip_suffix(" http://a:1 cluster=\"c\" relay")).expect("the way that was needed before");
    let link: LinkId = again.strip_prefix("connect ").and_then(|link| link.parse().ok()).expect("a link");
    engine.received(link, follower(6, 1, ""), 3_210);
    engine.tick(3_220);
    assert!(!outputs(&mut engine).contains(&format!("close {link}")), "nobody leads");
    engine.received(link, follower(7, 1, "http://b:1"), 3_300);
    assert!(outputs(&mut engine).contains(&format!("close {link}")));
    engine.tick(3_600);
    assert!(outputs(&mut engine).iter().any(|line| line.ends_with("http://a:1 cluster=\"c\" relay")));
}

#[test]
fn a_leader_that_can_be_reached_again_ends_the_detour() {
    let mut engine = led_by_a_detour();
    engine.received(6, heartbeat_ack(5, 2_210), 2_220);
    engine.tick(2_300);
    let direct = outputs(&mut engine);
    let direct = direct.iter().find_map(|line| line.strip_prefix("connect ")?.strip_suffix(" http://b:1 cluster=\"c\""));
    // It was asked for already, beside the detour.
    let link: LinkId = direct.map_or(5, |link| link.parse().expect("a link"));
    engine.received(link, welcome(5, 2, true), 2_310);
    let said = outputs(&mut engine);
    assert!(said.contains(&"close 6".to_owned()) && said.contains(&format!("{link} <- inventory term=5 held=[]")), "{said:?}");
    engine.tick(2_600);
    assert!(!outputs(&mut engine).iter().any(|line| line.ends_with("relay")), "the member is a plain one again");
}

#[test]
fn a_member_of_another_cluster_is_left_alone() {
    let mut engine = led();
    let mut message = welcome(9, 7, true);
    if let Some(to_worker::Message::Welcome(welcome)) = &mut message.message {
        welcome.cluster_id = "foreign".into();
    }
    engine.received(4, message, 20);
    assert_eq!(outputs(&mut engine), ["close 4"]);
    assert_eq!(engine.term, 5);
}

#[test]
fn a_worker_that_every_member_refuses_ends_with_the_reason() {
    let mut engine = engine();
    engine.tick(10);
    outputs(&mut engine);
    let error = || ClientError::new(ErrorCode::Invalid, "connect a worker", "", "speaks another protocol");
    engine.closed(3, Gone::Refused(error()), 11);
    assert_eq!(outputs(&mut engine), [""; 0], "the other one may answer");
    engine.closed(4, Gone::Refused(error()), 11);
    assert_eq!(outputs(&mut engine), ["refused speaks another protocol"]);
}

#[test]
fn a_worker_that_is_refused_later_tries_at_once_and_then_every_some_seconds_until_it_is_let_in() {
    let mut engine = engine_with(&["http://a:1"]);
    engine.tick(10);
    outputs(&mut engine);
    engine.received(2, welcome(5, 1, true), 11);
    let unknown = || Gone::Refused(ClientError::new(ErrorCode::Unauthenticated, "connect a worker", "the token", "was revoked"));
    let opens = |engine: &mut Engine, from: u64| {
        let mut opened = (from..from + 60_000).filter(|now| {
            engine.tick(*now);
            outputs(engine).iter().any(|line| line.starts_with("connect"))
        });
        opened.next().expect("within a minute") - from
    };
    let (mut now, mut waits) = (20, Vec::new());
    for link in 2..=6 {
        engine.closed(link, unknown(), now);
        assert!(!outputs(&mut engine).iter().any(|line| line.starts_with("refused")), "it does not end");
        waits.push(opens(&mut engine, now));
        now += waits[waits.len() - 1];
    }
    assert!(waits[0] <= 50 && waits[1..].iter().all(|wait| (2_500..=15_000).contains(wait)), "{waits:?}");
    engine.received(7, welcome(5, 1, true), now);
    assert!(outputs(&mut engine)[0].starts_with("7 <- inventory"));
    // What is only lost is asked for again as ever.
    engine.closed(7, Gone::Lost("reset".into()), now);
    assert!(opens(&mut engine, now) <= 50);
}

#[test]
fn an_address_where_the_token_may_not_be_shown_rests() {
    let mut engine = led();
    engine.closed(4, Gone::Lost("reset".into()), 20);
    engine.tick(100);
    outputs(&mut engine);
    engine.closed(5, Gone::Refused(ClientError::new(ErrorCode::BadCredentials, "connect", "", "is in the clear")), 110);
    engine.tick(16_000);
    assert!(!outputs(&mut engine).iter().any(|line| line.starts_with("connect")));
}

#[test]
fn a_lost_stream_is_opened_again_after_a_wait_and_a_welcome_that_never_comes_counts_as_lost() {
    let mut engine = led();
    engine.closed(4, Gone::Lost("reset".into()), 20);
    engine.tick(20);
    assert!(outputs(&mut engine).is_empty(), "not at once");
    engine.tick(100);
    assert_eq!(outputs(&mut engine), ["connect 5 http://b:1 cluster=\"c\""]);
    engine.received(3, heartbeat_ack(5, 10_000), 10_001);
    engine.tick(10_100);
    assert!(outputs(&mut engine).contains(&"close 5".to_owned()));
}

#[test]
fn a_notice_to_stop_from_a_leader_that_was_deposed_is_ignored() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    engine.received(4, welcome(6, 2, true), 21);
    outputs(&mut engine);
    // It was stopped, woke up, and has not heard of the new term.
    let notice = CancelNotice { at: None, lease: Some(Lease { term: 5, sequence: 1 }), reason: WireReason::LeaseLost.into() };
    engine.received(3, to_worker(to_worker::Message::Cancel(notice)), 22);
    assert_eq!(outputs(&mut engine), [""; 0]);
    engine.finished(key(5, 1), completed(), 9);
    assert!(outputs(&mut engine).contains(&"4 <- results [\"5/1 completed\"]".to_owned()));
}

#[test]
fn only_the_leader_says_how_long_a_lease_is() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    let follower = Welcome { lease_ms: 10 * LEASE_MS, term: 5, member: 2, ..Welcome::default() };
    engine.received(4, to_worker(to_worker::Message::Welcome(follower)), 21);
    outputs(&mut engine);
    engine.tick(10 + LEASE_MS / 10 * 9);
    assert_eq!(outputs(&mut engine)[0], "drop 5/1 LeaseLost");
}

#[test]
fn a_task_that_comes_when_its_lease_is_over_is_not_begun() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 10 + LEASE_MS);
    let said = outputs(&mut engine);
    assert!(said.contains(&"3 <- results [\"5/1 handed-back\"]".to_owned()), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("start")), "{said:?}");
}

#[test]
fn an_attempt_that_ends_without_an_outcome_has_failed() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 10), 20);
    outputs(&mut engine);
    engine.finished(key(5, 1), None, 9);
    assert!(outputs(&mut engine).contains(&"3 <- results [\"5/1 failed\"]".to_owned()));
}

#[test]
fn what_is_held_is_told_in_parts_that_fit_messages() {
    let mut engine = led();
    engine.slots[0].capacity.capacity = 5_000;
    engine.received(3, tasks("pack", 5, 1..=2_000, 10), 20);
    for sequence in 1..=2_000 {
        engine.progress(key(5, sequence), "p".repeat(4 << 10));
    }
    engine.flush();
    while engine.poll_output().is_some() {}
    engine.tick(3_010);
    engine.received(4, welcome(6, 2, true), 3_020);
    engine.flush();
    let mut parts = Vec::new();
    while let Some(output) = engine.poll_output() {
        let Output::Send { message, .. } = output else { continue };
        assert!(message.encoded_len() < MESSAGE_BYTES_MAX);
        if let Some(from_worker::Message::Inventory(part)) = message.message {
            parts.push((part.held.len(), part.more));
        }
    }
    assert_eq!(parts.iter().map(|(held, _)| held).sum::<usize>(), 2_000);
    assert!(parts.len() > 1 && parts.iter().rev().skip(1).all(|(_, more)| *more) && !parts[parts.len() - 1].1, "{parts:?}");
}

#[test]
fn an_unknown_node_that_is_handed_back_keeps_its_name() {
    let mut engine = led();
    engine.received(3, tasks("paint", 5, [1], 10), 20);
    outputs(&mut engine);
    engine.received(4, welcome(6, 2, true), 21);
    engine.flush();
    let held = std::iter::from_fn(|| engine.poll_output()).find_map(|output| match output {
        Output::Send { message: FromWorker { message: Some(from_worker::Message::Inventory(inventory)) }, .. } => Some(inventory.held),
        _ => None,
    });
    assert_eq!(held.expect("an inventory")[0].node, "paint");
}

#[test]
fn another_name_of_a_member_rests_as_long_as_the_first_one_stands() {
    let mut engine = led();
    // A welcome named the member once more; its answer there is the second from the same member.
    engine.received(4, welcome(5, 1, true), 11);
    assert!(outputs(&mut engine).contains(&"close 4".to_owned()));
    engine.received(3, heartbeat_ack(5, 61_000), 61_050);
    engine.tick(61_100);
    assert!(!outputs(&mut engine).iter().any(|line| line.starts_with("connect")), "its rest is over, and the first one stands");
    // The first one goes: then either may be opened, but never both.
    engine.closed(3, Gone::Lost("gone".into()), 61_200);
    engine.tick(63_000);
    let said = outputs(&mut engine);
    assert_eq!(said.iter().filter(|line| line.starts_with("connect")).count(), 1, "one stream to one member: {said:?}");
}

#[test]
fn a_member_that_answers_in_another_version_of_the_protocol_is_refused() {
    let mut engine = engine_with(&["http://a:1"]);
    engine.tick(10);
    outputs(&mut engine);
    let other = Welcome { protocol: 2, cluster_id: "c".to_owned(), term: 5, leading: true, member: 1, ..Welcome::default() };
    engine.received(2, to_worker(to_worker::Message::Welcome(other)), 11);
    let said = outputs(&mut engine);
    assert_eq!(said[0], "close 2");
    assert_eq!(said[1..], ["refused answered in version 2 of the worker protocol, this worker speaks version 1"]);
}

#[test]
fn one_address_that_refuses_ends_nothing_while_another_may_answer() {
    let mut engine = engine();
    engine.tick(10);
    outputs(&mut engine);
    engine.closed(3, Gone::Refused(ClientError::new(ErrorCode::ProtocolVersion, "connect a worker", "", "speaks another protocol")), 11);
    assert!(!outputs(&mut engine).iter().any(|line| line.starts_with("refused")));
    engine.received(4, welcome(5, 2, true), 12);
    assert!(outputs(&mut engine)[0].starts_with("4 <- inventory"));
}

#[test]
fn a_result_that_came_too_late_is_counted_and_one_that_was_handed_back_is_no_loss() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, 1..=2, 10), 20);
    engine.received(3, tasks("paint", 5, [3], 10), 20);
    engine.finished(key(5, 1), completed(), 9);
    engine.finished(key(5, 2), completed(), 9);
    let stale = |sequence| {
        let lease = Some(Lease { term: 5, sequence });
        to_worker(to_worker::Message::Acks(Acks { acks: vec![Ack { at: None, lease, resolution: Resolution::Stale.into() }] }))
    };
    engine.received(3, ack(5, 1), 21);
    engine.received(3, stale(2), 22);
    engine.received(3, stale(3), 23);
    // Of nothing that is waited for.
    engine.received(3, stale(2), 24);
    assert_eq!((engine.stale, engine.unacknowledged.len()), (1, 0));
}

#[test]
fn what_still_comes_on_a_stream_that_was_given_up_is_not_heard() {
    let mut engine = led();
    let stop = 10 + LEASE_MS / 10 * 9;
    // The leader is silent for too long: its stream is closed. A welcome of it was under way.
    engine.tick(stop);
    assert!(outputs(&mut engine).contains(&"close 3".to_owned()));
    engine.received(3, welcome(5, 1, true), stop + 1);
    engine.received(3, tasks("pack", 5, [1], 0), stop + 1);
    assert_eq!(outputs(&mut engine), [""; 0], "nobody would get what is said there");
    engine.tick(stop + 100);
    assert_eq!(outputs(&mut engine), ["connect 5 http://a:1 cluster=\"c\""]);
}

#[test]
fn an_echo_that_was_never_sent_makes_no_lease_longer() {
    let mut engine = led();
    engine.received(3, tasks("pack", 5, [1], 1_000_000), 20);
    outputs(&mut engine);
    engine.tick(20 + LEASE_MS / 10 * 9);
    assert_eq!(outputs(&mut engine)[0], "drop 5/1 LeaseLost");
}
