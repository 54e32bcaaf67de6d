//! Every crash case of formation, and a few thousand random ones.

use super::*;

fn me(name: &str, raft_id: u64) -> Me {
    let candidate = Candidate { name: name.into(), raft_id, peer_address: format!("{name}:1"), client_address: format!("{name}:2") };
    Me { candidate, cluster_name: "graft".into(), bootstrap: Bootstrap::Expect(3) }
}

fn hello(me: &Me, cluster_id: &str) -> PeerHello {
    PeerHello {
        cluster_name: me.cluster_name.clone(),
        cluster_id: cluster_id.into(),
        epoch: u64::from(!cluster_id.is_empty()),
        member_name: me.candidate.name.clone(),
        raft_id: me.candidate.raft_id,
        fresh: cluster_id.is_empty(),
        expect: me.bootstrap.told().1,
        bootstrap: me.bootstrap.told().0.to_owned(),
        protocol: None,
        version: String::new(),
        peer_address: me.candidate.peer_address.clone(),
        client_address: me.candidate.client_address.clone(),
        machine_version: 1,
    }
}

fn seen(hellos: &[PeerHello]) -> BTreeMap<String, PeerHello> {
    hellos.iter().map(|hello| (format!("{}:{}", hello.peer_address, hello.raft_id), hello.clone())).collect()
}

fn fresh(others: &[&Me]) -> BTreeMap<String, PeerHello> {
    seen(&others.iter().map(|me| hello(me, "")).collect::<Vec<_>>())
}

fn request(initiator: &Me, proposal: &Proposal) -> PromiseRequest {
    PromiseRequest {
        from: Some(hello(initiator, "")),
        cluster_id: proposal.cluster_id.clone(),
        members: proposal.proposed(),
        hash: proposal.hash(),
    }
}

fn proposal(members: &[&Me]) -> Proposal {
    Proposal::mint("graft", members.iter().map(|me| me.candidate.clone()).collect())
}

fn promised(proposal: &Proposal) -> Standing {
    Standing::Fresh { promise: Some(proposal.clone()) }
}

const NEW: Standing = Standing::Fresh { promise: None };

fn why(decision: Decision) -> String {
    match decision {
        Decision::Wait { why, .. } => why,
        other => panic!("expected to wait, got {other:?}"),
    }
}

fn none() -> Facts {
    Facts::default()
}

fn initialized(proposal: &Proposal, leads: bool) -> Facts {
    Facts { initialized: true, members: proposal.raft_ids(), leads, ..Facts::default() }
}

#[test]
fn fewer_than_expected_wait_however_often_they_ask() {
    let (a, b) = (me("a", 1), me("b", 2));
    for _ in 0..100 {
        assert_eq!(why(decide(&a, &NEW, &none(), &fresh(&[&b]))), "waiting for members: 2 of 3 are there (a, b)");
    }
}

#[test]
fn the_lowest_name_proposes_when_all_are_there_and_the_others_wait_for_it() {
    let (a, b, c) = (me("a", 9), me("b", 2), me("c", 1));
    let expected = vec![a.candidate.clone(), b.candidate.clone(), c.candidate.clone()];
    assert_eq!(decide(&a, &NEW, &none(), &fresh(&[&c, &b])), Decision::Propose(expected));
    assert!(why(decide(&b, &NEW, &none(), &fresh(&[&a, &c]))).contains("`a` proposes"));
}

#[test]
fn its_own_address_among_the_candidates_counts_once() {
    let (a, b) = (me("a", 1), me("b", 2));
    assert!(why(decide(&a, &NEW, &none(), &fresh(&[&a, &b]))).contains("2 of 3"));
}

#[test]
fn where_something_outside_forbids_it_nothing_is_formed_and_who_finds_a_cluster_still_joins() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let facts = || Facts { forbidden: Some("one was there before".into()), ..none() };
    assert_eq!(why(decide(&a, &NEW, &facts(), &fresh(&[&b, &c]))), "one was there before");
    let proposed = promised(&proposal(&[&a, &b, &c]));
    assert_eq!(why(decide(&a, &proposed, &facts(), &fresh(&[&b, &c]))), "one was there before");
    let formed = seen(&[hello(&b, "x"), hello(&c, "")]);
    assert!(matches!(decide(&a, &NEW, &facts(), &formed), Decision::Join(_)));
}

#[test]
fn a_single_member_needs_nobody() {
    let alone = Me { bootstrap: Bootstrap::Expect(1), ..me("a", 1) };
    assert_eq!(decide(&alone, &NEW, &none(), &BTreeMap::new()), Decision::Propose(vec![alone.candidate.clone()]));
}

#[test]
fn a_promise_is_given_to_one_proposal_and_repeated_for_it() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let first = proposal(&[&a, &b, &c]);
    assert_eq!(consider(&b, &NEW, &none(), &fresh(&[&a, &c]), &request(&a, &first)), Ok(first.clone()));
    assert_eq!(consider(&b, &promised(&first), &none(), &BTreeMap::new(), &request(&a, &first)), Ok(first));
}

#[test]
fn a_proposal_that_is_not_what_this_member_sees_is_refused() {
    let (a, b, c, d) = (me("a", 1), me("b", 2), me("c", 3), me("d", 4));
    let refused = |seen: &BTreeMap<String, PeerHello>, request: &PromiseRequest| consider(&b, &NEW, &none(), seen, request).unwrap_err();
    let good = proposal(&[&a, &b, &c]);
    assert!(refused(&fresh(&[&a]), &request(&a, &good)).contains("sees other members: a, b"));
    assert!(refused(&fresh(&[&a, &c, &d]), &request(&a, &good)).contains("sees other members"));
    assert!(refused(&fresh(&[&a, &me("c", 33)]), &request(&a, &good)).contains("sees other members"));
    assert!(refused(&fresh(&[&a, &c]), &request(&a, &proposal(&[&a, &c, &d]))).contains("sees other members"), "b is not in it");
    assert!(refused(&fresh(&[&a, &c]), &request(&c, &good)).contains("lowest name"));
    let forged = PromiseRequest { hash: "0".into(), ..request(&a, &good) };
    assert!(refused(&fresh(&[&a, &c]), &forged).contains("hash"));
    let stranger = Me { cluster_name: "other".into(), ..a.clone() };
    let theirs = Proposal::mint("other", good.members.clone());
    assert!(refused(&fresh(&[&a, &c]), &request(&stranger, &theirs)).contains("this is cluster `graft`"));
    assert!(refused(&fresh(&[&a, &c]), &PromiseRequest::default()).contains("names nobody"));
}

#[test]
fn an_initiator_that_restarts_with_its_disk_asks_for_the_same_proposal() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let own = proposal(&[&a, &b, &c]);
    assert_eq!(decide(&a, &promised(&own), &none(), &fresh(&[&b, &c])), Decision::Ask(own));
}

#[test]
fn an_initiator_that_lost_its_disk_releases_the_promises_to_it_when_it_comes_back() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let reborn = me("a", 11);
    let lost = proposal(&[&a, &b, &c]);
    let next = proposal(&[&reborn, &b, &c]);
    assert!(matches!(decide(&reborn, &NEW, &none(), &fresh(&[&b, &c])), Decision::Propose(_)));
    assert_eq!(consider(&b, &promised(&lost), &none(), &fresh(&[&reborn, &c]), &request(&reborn, &next)), Ok(next));
}

#[test]
fn an_initiator_that_lost_its_disk_after_somebody_took_part_is_refused_by_that_one() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let reborn = me("a", 11);
    let lost = proposal(&[&a, &b, &c]);
    let next = proposal(&[&reborn, &b, &c]);
    let facts = initialized(&lost, false);
    let answer = consider(&b, &promised(&lost), &facts, &fresh(&[&reborn, &c]), &request(&reborn, &next));
    assert!(answer.unwrap_err().contains("no longer empty"));
    // And the survivors finish without it.
    assert_eq!(decide(&b, &promised(&lost), &initialized(&lost, true), &fresh(&[&reborn, &c])), Decision::Finish(lost));
}

#[test]
fn a_promised_member_that_lost_its_disk_makes_the_initiator_replace_its_proposal() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let reborn = me("b", 22);
    let first = proposal(&[&a, &b, &c]);
    let second = proposal(&[&a, &reborn, &c]);
    let decision = decide(&a, &promised(&first), &none(), &fresh(&[&reborn, &c]));
    assert_eq!(decision, Decision::Propose(second.members.clone()));
    assert_eq!(consider(&c, &promised(&first), &none(), &fresh(&[&a, &reborn]), &request(&a, &second)), Ok(second));
}

#[test]
fn a_promise_to_somebody_who_never_comes_back_waits_for_an_operator() {
    let (a, b, c, d) = (me("a", 1), me("b", 2), me("c", 3), me("d", 4));
    let gone = proposal(&[&a, &b, &c]);
    let decision = decide(&b, &promised(&gone), &none(), &fresh(&[&c, &d]));
    assert!(matches!(&decision, Decision::Wait { needs_help: true, .. }), "{decision:?}");
    let other = proposal(&[&b, &c, &d]);
    assert!(consider(&c, &promised(&gone), &none(), &fresh(&[&b, &d]), &request(&b, &other)).unwrap_err().contains("proposal of `a`"));
}

#[test]
fn a_crash_between_initialising_and_the_clusters_id_is_finished_by_whoever_leads() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let own = proposal(&[&a, &b, &c]);
    assert_eq!(decide(&a, &promised(&own), &initialized(&own, true), &fresh(&[&b, &c])), Decision::Finish(own.clone()));
    assert!(why(decide(&a, &promised(&own), &initialized(&own, false), &fresh(&[&b, &c]))).contains("forming"));
    // A leader whose promise is to another set than the membership does not know the id, and names none.
    let other = proposal(&[&me("a", 11), &b, &c]);
    assert!(why(decide(&c, &promised(&other), &initialized(&own, true), &fresh(&[&b]))).contains("forming"));
}

#[test]
fn a_set_that_changed_under_its_proposal_asks_for_help_on_every_side() {
    let (a, b, c) = (me("b", 1), me("c", 2), me("d", 3));
    let set = proposal(&[&a, &b, &c]);
    // `d` has lost its disk and came back under a name below the initiator's.
    let newcomer = me("a", 4);
    let stuck = |me: &Me, others: &[&Me]| match decide(me, &promised(&set), &none(), &fresh(others)) {
        Decision::Wait { why, needs_help: true } => why,
        other => panic!("{other:?}"),
    };
    assert!(stuck(&a, &[&b, &newcomer]).contains("this member has proposed another set than is there now (a, b, c)"));
    assert!(stuck(&b, &[&a, &newcomer]).contains("proposal of `b` (raft id 1), which proposed another set"));
}

#[test]
fn a_member_that_missed_the_news_learns_it_from_a_greeting_or_from_its_log() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let set = proposal(&[&a, &b, &c]);
    let settled = Decision::Settle { cluster_id: set.cluster_id.clone(), epoch: 1 };
    let news = seen(&[hello(&a, &set.cluster_id), hello(&c, "")]);
    assert_eq!(decide(&b, &promised(&set), &initialized(&set, false), &news), settled);
    // A marker over an empty log would say at the next start that data was lost.
    assert!(why(decide(&b, &promised(&set), &none(), &news)).contains("its log has still to arrive"));
    let facts = Facts { lineage: Some((set.cluster_id.clone(), 1)), ..initialized(&set, false) };
    assert_eq!(decide(&b, &promised(&set), &facts, &BTreeMap::new()), settled);
}

#[test]
fn the_news_settles_only_who_promised_that_set() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let set = proposal(&[&a, &b, &c]);
    let news = FormedRequest { cluster_id: set.cluster_id.clone(), hash: set.hash() };
    let facts = initialized(&set, false);
    assert_eq!(on_formed(&b, &promised(&set), &facts, &news), Some((set.cluster_id.clone(), 1)));
    assert_eq!(on_formed(&b, &promised(&set), &none(), &news), None, "its log is still empty");
    assert_eq!(on_formed(&b, &NEW, &facts, &news), None);
    assert_eq!(on_formed(&b, &promised(&set), &facts, &FormedRequest { hash: "0".into(), ..news }), None);
}

#[test]
fn a_newcomer_asks_the_members_of_a_formed_cluster_to_take_it_in() {
    let (a, b, d) = (me("a", 1), me("b", 2), me("d", 4));
    let both = seen(&[hello(&a, "x"), hello(&b, "x"), hello(&me("e", 5), "")]);
    let asks = |addresses: &[&str]| Decision::Join(addresses.iter().map(|address| (*address).to_owned()).collect());
    assert_eq!(decide(&d, &NEW, &none(), &both), asks(&["a:1:1", "b:1:2"]));
    // Also one that comes back under its old name, with an empty disk; and one that has promised itself to a set that was never formed.
    assert_eq!(decide(&me("b", 22), &NEW, &none(), &seen(&[hello(&a, "x")])), asks(&["a:1:1"]));
    assert_eq!(decide(&d, &promised(&proposal(&[&d, &me("e", 5), &me("f", 6)])), &none(), &both), asks(&["a:1:1", "b:1:2"]));
}

#[test]
fn a_newcomer_asks_those_that_went_on_after_a_recovery() {
    let (a, b) = (me("a", 1), me("b", 2));
    let recovered = PeerHello { epoch: 2, ..hello(&b, "x") };
    assert_eq!(decide(&me("d", 4), &NEW, &none(), &seen(&[hello(&a, "x"), recovered])), Decision::Join(vec!["b:1:2".into()]));
}

#[test]
fn a_later_epoch_is_believed_before_it_has_arrived_in_the_log() {
    let (b, d) = (me("b", 2), me("d", 4));
    let facts = Facts { initialized: true, lineage: Some(("x".into(), 1)), ..Facts::default() };
    let recovered = PeerHello { epoch: 2, ..hello(&b, "x") };
    assert_eq!(decide(&d, &NEW, &facts, &seen(&[recovered])), Decision::Settle { cluster_id: "x".into(), epoch: 2 });
}

fn manual(name: &str, raft_id: u64) -> Me {
    Me { bootstrap: Bootstrap::Manual, ..me(name, raft_id) }
}

fn nominated(names: &[&str]) -> Facts {
    Facts { nominated: names.iter().map(|name| (*name).to_owned()).collect(), ..Facts::default() }
}

#[test]
fn with_a_manual_bootstrap_nothing_is_formed_before_an_operator_names_the_members() {
    let (a, b, c, d) = (manual("a", 1), manual("b", 2), manual("c", 3), manual("d", 4));
    for others in [vec![], vec![&b], vec![&b, &c], vec![&b, &c, &d]] {
        let waits = why(decide(&a, &NEW, &none(), &fresh(&others)));
        assert!(waits.contains("waiting for an operator") && waits.contains("--members a"), "{waits}");
    }
    let three = vec![a.candidate.clone(), b.candidate.clone(), c.candidate.clone()];
    let all = fresh(&[&b, &c, &d]);
    assert_eq!(decide(&a, &NEW, &nominated(&["a", "b", "c"]), &all), Decision::Propose(three.clone()), "the fourth is left out");
    assert!(why(decide(&a, &NEW, &nominated(&["a", "b", "e"]), &all)).contains("e is not there"));
    // The others promise themselves to it; one that is not named does not, and neither does one that does not see them all.
    let set = proposal(&[&a, &b, &c]);
    assert_eq!(consider(&c, &NEW, &none(), &fresh(&[&a, &b, &d]), &request(&a, &set)), Ok(set.clone()));
    assert!(consider(&d, &NEW, &none(), &fresh(&[&a, &b, &c]), &request(&a, &set)).is_err());
    assert!(consider(&c, &NEW, &none(), &fresh(&[&a]), &request(&a, &set)).is_err());
    // After a restart the initiator goes on with what was said.
    assert_eq!(decide(&a, &promised(&set), &none(), &all), Decision::Ask(set));
}

#[test]
fn an_operator_can_only_name_what_may_become_a_cluster() {
    let (a, b, c) = (manual("a", 1), manual("b", 2), manual("c", 3));
    let names = |names: &[&str]| nominated(names).nominated;
    let ask = |me: &Me, said: &[&str], seen: &BTreeMap<String, PeerHello>| nominate(me, &NEW, &none(), seen, &names(said));
    let no = |answer: Result<Vec<Candidate>, Unsuitable>| match answer {
        Err(Unsuitable::No(why)) => why,
        other => panic!("expected a refusal, got {other:?}"),
    };
    let all = fresh(&[&b, &c]);
    let three = vec![a.candidate.clone(), b.candidate.clone(), c.candidate.clone()];
    assert_eq!(ask(&a, &["c", "b", "a"], &all), Ok(three));
    assert_eq!(ask(&a, &["a"], &all), Ok(vec![a.candidate.clone()]));
    assert_eq!(ask(&b, &["a", "b", "c"], &fresh(&[&a, &c])), Err(Unsuitable::AskInstead(a.candidate.clone())));
    assert!(no(ask(&a, &["a", "b"], &all)).contains("odd number"));
    assert!(no(ask(&a, &["b", "c", "d"], &all)).contains("not among"));
    assert!(no(ask(&a, &["a", "b", "d"], &all)).contains("no fresh member `d` is there; there are a, b, c"));
    assert!(no(ask(&a, &["a", "b", "c"], &fresh(&[&b, &manual("b", 22), &c]))).contains("two members are called `b`"));
    assert!(no(ask(&a, &["a", "b", "c"], &seen(&[hello(&b, "x"), hello(&c, "")]))).contains("`b` is a member of cluster x already"));
    assert!(no(ask(&me("a", 1), &["a"], &all)).contains("cluster.expect = 3"));
    let member = Standing::Member(Marker {
        format: 1,
        cluster_id: "x".into(),
        cluster_name: "graft".into(),
        epoch: 1,
        member: "a".into(),
        raft_id: 1,
    });
    assert!(no(nominate(&a, &member, &none(), &all, &names(&["a"]))).contains("is a member of cluster x already"));
    assert!(no(nominate(&a, &NEW, &initialized(&proposal(&[&a, &b, &c]), false), &all, &names(&["a"]))).contains("forming already"));
}

#[test]
fn members_that_are_told_otherwise_how_to_begin_form_nothing() {
    let decision = decide(&me("a", 1), &NEW, &none(), &fresh(&[&manual("b", 2), &me("c", 3)]));
    assert!(
        matches!(&decision, Decision::Wait { needs_help: true, why } if why.contains("cluster.bootstrap differs: `b` at b:1:2 says manual"))
    );
}

#[test]
fn another_number_of_members_is_a_mistake_to_be_corrected() {
    let (a, b) = (me("a", 1), Me { bootstrap: Bootstrap::Expect(5), ..me("b", 2) });
    let decision = decide(&a, &NEW, &none(), &fresh(&[&b, &me("c", 3)]));
    assert!(matches!(&decision, Decision::Wait { needs_help: true, why } if why.contains("`b` at b:1:2 expects 5 members, this one 3")));
}

#[test]
fn other_cluster_names_are_as_if_they_were_not_there() {
    let (a, b) = (me("a", 1), me("b", 2));
    let stranger = Me { cluster_name: "other".into(), bootstrap: Bootstrap::Expect(7), ..me("c", 3) };
    assert!(why(decide(&a, &NEW, &none(), &seen(&[hello(&b, ""), hello(&stranger, "y")]))).contains("2 of 3"));
}

#[test]
fn two_clusters_among_the_candidates_stop_the_member() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    assert!(matches!(decide(&a, &NEW, &none(), &seen(&[hello(&b, "x"), hello(&c, "y")])), Decision::Stop { .. }));
    let facts = Facts { lineage: Some(("x".into(), 1)), ..Facts::default() };
    assert!(matches!(decide(&a, &NEW, &facts, &seen(&[hello(&b, "y")])), Decision::Stop { .. }));
}

#[test]
fn too_many_members_or_two_of_one_name_wait_for_an_operator() {
    let (a, b, c, d) = (me("a", 1), me("b", 2), me("c", 3), me("d", 4));
    assert!(why(decide(&a, &NEW, &none(), &fresh(&[&b, &c, &d]))).contains("4 members are there"));
    assert!(why(decide(&a, &NEW, &none(), &fresh(&[&b, &me("b", 5)]))).contains("the same name"));
}

#[test]
fn a_marker_ends_all_forming() {
    let (a, b, c) = (me("a", 1), me("b", 2), me("c", 3));
    let marker = Marker {
        format: 1,
        cluster_id: "x".into(),
        cluster_name: "graft".into(),
        epoch: 2,
        member: "a".into(),
        raft_id: a.candidate.raft_id,
    };
    let member = Standing::Member(marker);
    assert_eq!(decide(&a, &member, &none(), &fresh(&[&b, &c])), Decision::Settle { cluster_id: "x".into(), epoch: 2 });
    let set = proposal(&[&a, &b, &c]);
    assert!(
        consider(&a, &member, &none(), &fresh(&[&b, &c]), &request(&a, &set)).unwrap_err().contains("is a member of cluster x already")
    );
}

/// Three members on an unreliable network, restarting at will, and one disk lost at a random moment.
mod random {
    use super::*;

    struct Sim {
        random: u64,
        members: Vec<Simulated>,
        next_raft_id: u64,
        /// Raft ids of each proposal that some consensus was initialised with.
        committed: BTreeSet<String>,
    }

    struct Simulated {
        me: Me,
        standing: Standing,
        seen: BTreeMap<String, PeerHello>,
        facts: Facts,
        /// What its raft store was initialised with.
        store: Option<Proposal>,
    }

    impl Sim {
        fn new(seed: u64) -> Self {
            let members = ["a", "b", "c"].into_iter().zip(1..).map(|(name, raft_id)| Simulated::new(me(name, raft_id))).collect();
            Self { random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, members, next_raft_id: 10, committed: BTreeSet::new() }
        }

        fn below(&mut self, bound: usize) -> usize {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            (self.random % bound as u64) as usize
        }

        fn lost(&mut self) -> bool {
            self.below(8) == 0
        }

        /// One member greets, decides and, if it proposes, asks; any message may be lost.
        fn round(&mut self, i: usize) {
            let mut answers = Vec::new();
            for j in 0..self.members.len() {
                if j != i && !self.lost() {
                    answers.push(self.members[j].hello());
                }
            }
            let leads = self.members[i].leads(&self.members);
            let member = &mut self.members[i];
            member.seen = seen(&answers);
            member.facts.leads = leads;
            match decide(&member.me, &member.standing, &member.facts, &member.seen) {
                Decision::Propose(members) => member.standing = promised(&Proposal::mint("graft", members)),
                Decision::Ask(proposal) => self.ask(i, &proposal),
                Decision::Finish(proposal) => self.members[i].facts.lineage = Some((proposal.cluster_id, 1)),
                Decision::Settle { cluster_id, epoch } => self.settle(i, cluster_id, epoch),
                Decision::Wait { .. } | Decision::Join(_) => {}
                Decision::Stop { why } => panic!("two clusters: {why}"),
            }
        }

        fn ask(&mut self, i: usize, proposal: &Proposal) {
            let request = request(&self.members[i].me.clone(), proposal);
            for j in 0..self.members.len() {
                if j == i {
                    continue;
                }
                if self.lost() {
                    return;
                }
                let other = &mut self.members[j];
                match consider(&other.me, &other.standing, &other.facts, &other.seen, &request) {
                    Ok(given) => other.standing = promised(&given),
                    Err(_) => return,
                }
                if self.lost() {
                    return;
                }
            }
            self.members[i].initialize(proposal);
        }

        /// A member whose store is not empty replicates to another one that its set names.
        fn replicate(&mut self, i: usize, j: usize) {
            let Some(set) = self.members[i].store.clone() else { return };
            let lineage = self.members[i].facts.lineage.clone();
            let other = &mut self.members[j];
            if !set.names(other.me.candidate.raft_id) || other.store.as_ref().is_some_and(|store| *store != set) {
                return;
            }
            other.initialize(&set);
            if lineage.is_some() {
                other.facts.lineage = lineage;
            }
            let holders = self.members.iter().filter(|member| member.store.as_ref() == Some(&set)).count();
            if holders * 2 > set.members.len() {
                self.committed.insert(set.cluster_id);
            }
        }

        fn settle(&mut self, i: usize, cluster_id: String, epoch: u64) {
            let member = &mut self.members[i];
            let (name, raft_id) = (member.me.candidate.name.clone(), member.me.candidate.raft_id);
            member.standing =
                Standing::Member(Marker { format: 1, cluster_id, cluster_name: "graft".into(), epoch, member: name, raft_id });
        }

        fn lose_disk(&mut self, i: usize) {
            self.next_raft_id += 1;
            let name = self.members[i].me.candidate.name.clone();
            self.members[i] = Simulated::new(me(&name, self.next_raft_id));
        }

        fn run(&mut self, steps: usize) {
            let disk_lost_at = self.below(steps);
            for step in 0..steps {
                let (i, j) = (self.below(3), self.below(3));
                if step == disk_lost_at {
                    self.lose_disk(i);
                }
                match self.below(4) {
                    0 | 1 => self.round(i),
                    2 => self.replicate(i, j),
                    _ => self.members[i].restart(),
                }
                assert!(self.committed.len() <= 1, "two sets can commit: {:?}", self.committed);
                let markers: BTreeSet<&str> = self.members.iter().filter_map(Simulated::cluster_id).collect();
                assert!(markers.len() <= 1, "two clusters: {markers:?}");
            }
        }
    }

    impl Simulated {
        fn new(me: Me) -> Self {
            Self { me, standing: NEW, seen: BTreeMap::new(), facts: Facts::default(), store: None }
        }
        /// What is in memory only is gone.
        fn restart(&mut self) {
            self.seen.clear();
        }
        fn initialize(&mut self, set: &Proposal) {
            self.store = Some(set.clone());
            self.facts.initialized = true;
            self.facts.members = set.raft_ids();
        }
        fn leads(&self, all: &[Simulated]) -> bool {
            let Some(set) = &self.store else { return false };
            let voters = all.iter().filter(|other| set.names(other.me.candidate.raft_id) && other.store.as_ref() == Some(set)).count();
            voters * 2 > set.members.len()
        }
        fn cluster_id(&self) -> Option<&str> {
            match &self.standing {
                Standing::Member(marker) => Some(&marker.cluster_id),
                Standing::Fresh { .. } => None,
            }
        }
        fn hello(&self) -> PeerHello {
            hello(&self.me, self.cluster_id().unwrap_or_default())
        }
    }

    #[test]
    fn never_do_two_clusters_come_of_one_set_of_members() {
        let only = std::env::var("GRAFT_SEED").ok().map(|seed| seed.parse::<u64>().expect("GRAFT_SEED is a number"));
        let seeds = only.map_or(1..=1000, |seed| seed..=seed);
        let mut formed = 0;
        for seed in seeds {
            let mut sim = Sim::new(seed);
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sim.run(150)));
            if let Err(panic) = run {
                eprintln!("seed {seed}; repeat with: GRAFT_SEED={seed} cargo test -p graftd --lib never_do_two_clusters");
                std::panic::resume_unwind(panic);
            }
            formed += u32::from(sim.members.iter().any(|member| member.cluster_id().is_some()));
        }
        assert!(only.is_some() || formed > 600, "the test must reach what it is about; only {formed} clusters were formed");
    }
}
