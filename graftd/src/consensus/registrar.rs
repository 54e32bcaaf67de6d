//! Who is a member: admits, promotes, removes, moves, and hands leadership over, on the member that leads.
//!
//! What may be done is decided in `roster` and by the join policy; here it is carried out, one change at a time. Every change is one of
//! openraft's (joint consensus where voters change); a change whose answer does not come is *unknown*, and the next look at the membership
//! tells what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as PlainMutex, OnceLock, RwLock, Weak};
use std::time::Duration;

use graft_machine::command::{Command, Envelope, MACHINE_VERSION, RaiseMachineVersion, UseJoinGrant};
use graft_proto::peer::v1::{PeerHello, ReportResponse, ReportVerdict};
use graft_proto::peer_identity::is_name;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _, ServerState};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, timeout};

use super::apply::Shared;
use super::barrier::read_index;
use super::error::{ChangeError, ProposeError};
use super::groups::{Asked, Target};
use super::leadership::{Compass, Route};
use super::links::Links;
use super::member::MemberInfo;
use super::options::MembershipRules;
use super::proposer::Proposer;
use super::roster::{Roster, Seat};
use super::types::{Raft, position_or_zero};
use super::upgrade::{Follower, followed_by_all, raised, told_version};
use crate::auth::token::{Kind, Token};
use crate::discovery::formation::Formation;
use crate::discovery::join_policy::{Admission, Grant, Joiner};
use crate::discovery::protocol::speaks_with;

/// Longest wait for a change of the membership to be committed.
const CHANGE_WAIT: Duration = Duration::from_secs(10);
/// How long a transfer of leadership may take.
const TRANSFER_WAIT: Duration = Duration::from_secs(5);
/// How long a member may take to answer where it says that it is.
const GREETING_WAIT: Duration = Duration::from_secs(2);
/// How long a new leader may not know yet what the others have.
const PROGRESS_WAIT: Duration = Duration::from_secs(3);
/// How often it looks meanwhile.
const PROGRESS_LOOK: Duration = Duration::from_millis(50);
/// A leader has heard the reports of all that are there so long after it has come to lead: they report within half a second of that.
const ALL_REPORTED: Duration = Duration::from_secs(2);
/// Who was heard within so many leader leases counts as there.
const LIVE_LEASES: u32 = 3;
/// Most members, learners included.
const MEMBERS_MAX: usize = 32;

/// Why a change was not made, with room for "ask whoever leads".
#[derive(Debug)]
pub(super) enum Undone {
    /// This member does not lead.
    NotLeader,
    /// Anything else.
    Because(ChangeError),
}

impl Undone {
    fn refused(why: impl Into<String>) -> Self {
        Self::Because(ChangeError::refused(why))
    }
}

impl std::fmt::Display for Undone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotLeader => f.write_str("this member does not lead any more"),
            Self::Because(error) => error.fmt(f),
        }
    }
}

/// What a member says of itself when it reports.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// Which machine version it can follow at most.
    version: u32,
    /// Whether an operator has drained it.
    drained: bool,
}

/// Keeps the register of the members. One per member; it acts while that one leads.
pub(super) struct Registrar {
    raft: Raft,
    me: u64,
    compass: Compass,
    links: Arc<Links>,
    proposer: Proposer,
    rules: RwLock<Arc<MembershipRules>>,
    lease: Duration,
    /// Held during a change.
    changing: Mutex<()>,
    /// The term in which this member leads, and since when.
    led: PlainMutex<(u64, Instant)>,
    /// The term in which leadership is being handed over: the others do not wait for the end of this member's lease any more.
    handing_over: AtomicU64,
    drained: watch::Sender<bool>,
    pub(super) shared: Arc<Shared>,
    /// As whom this member greets others. Not owned: it holds the data directory.
    formation: OnceLock<Weak<Formation>>,
    /// What each member has said in the term in which this member leads.
    said: PlainMutex<(u64, BTreeMap<u64, Said>)>,
    /// Somebody has said something.
    reported: Notify,
}

impl Registrar {
    #[expect(clippy::too_many_arguments, reason = "it is made in one place")]
    pub(super) fn new(
        raft: Raft,
        me: u64,
        compass: Compass,
        links: Arc<Links>,
        proposer: Proposer,
        shared: Arc<Shared>,
        rules: MembershipRules,
        lease: Duration,
    ) -> Self {
        Self {
            raft,
            me,
            compass,
            links,
            proposer,
            rules: RwLock::new(Arc::new(rules)),
            lease,
            changing: Mutex::new(()),
            led: PlainMutex::new((0, Instant::now())),
            handing_over: AtomicU64::new(0),
            drained: watch::Sender::new(false),
            shared,
            formation: OnceLock::new(),
            said: PlainMutex::default(),
            reported: Notify::new(),
        }
    }

    /// From now on this member can ask the others who they are.
    pub(super) fn greets_as(&self, formation: &Arc<Formation>) {
        let _ = self.formation.set(Arc::downgrade(formation));
    }

    /// Which machine version a member can follow at most; `None`: it has not said so since this member leads, or this member does not lead.
    pub(super) fn follows(&self, raft_id: u64) -> Option<u32> {
        if raft_id == self.me {
            return Some(MACHINE_VERSION);
        }
        let now = self.compass.metrics();
        let leads = now.state == ServerState::Leader;
        self.said_in(now.vote.leader_id.term, raft_id).filter(|_| leads).map(|said| said.version)
    }

    fn said_in(&self, term: u64, raft_id: u64) -> Option<Said> {
        let said = self.said.lock().expect("nobody panics while it is held");
        said.1.get(&raft_id).copied().filter(|_| said.0 == term)
    }

    fn has_said(&self, from: &PeerHello, drained: bool) {
        let term = self.compass.metrics().vote.leader_id.term;
        let mut said = self.said.lock().expect("nobody panics while it is held");
        if said.0 != term {
            *said = (term, BTreeMap::new());
        }
        said.1.insert(from.raft_id, Said { version: told_version(from), drained });
        drop(said);
        self.reported.notify_waiters();
    }

    /// Asks every other member which machine version it can follow.
    async fn ask_all(&self, members: Vec<MemberInfo>) -> Vec<Follower> {
        let hello = self.formation.get().and_then(Weak::upgrade).map(|formation| formation.hello());
        let asked = members.into_iter().map(|member| {
            let hello = hello.clone();
            async move {
                let follows = match hello {
                    _ if member.raft_id == self.me => Ok(MACHINE_VERSION),
                    Some(hello) => self.ask(&member, hello).await,
                    None => Err("this member cannot ask others".to_owned()),
                };
                Follower { name: member.name, follows }
            }
        });
        futures::future::join_all(asked).await
    }

    async fn ask(&self, member: &MemberInfo, hello: PeerHello) -> Result<u32, String> {
        let mut client = self.links.asking(member).map_err(|error| error.to_string())?;
        match timeout(GREETING_WAIT, client.greet(hello)).await {
            Ok(Ok(answer)) if answer.get_ref().raft_id == member.raft_id => Ok(told_version(answer.get_ref())),
            Ok(Ok(answer)) => Err(format!("member `{}` answers at {}", answer.get_ref().member_name, member.peer_address)),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("no answer within {GREETING_WAIT:?}")),
        }
    }

    /// The machine version that a new cluster of these members begins with.
    pub(super) async fn begins_with(&self) -> u32 {
        let members: Vec<MemberInfo> = self.compass.metrics().membership_config.nodes().map(|(_, member)| member.clone()).collect();
        followed_by_all(&self.ask_all(members).await)
    }

    /// Puts a later machine version into force, if every member that there is says that it can follow: the one that is wanted, or the highest that
    /// any of them can. Only looks whether that may be done, with `dry_run`. The version in force then.
    pub(super) async fn raise(&self, wanted: Option<u32>, dry_run: bool) -> Result<u64, Undone> {
        // Nobody joins meanwhile.
        let _turn = self.changing.lock().await;
        let members = self.roster_here()?.seats.into_iter().map(|seat| seat.info).collect();
        let followers = self.ask_all(members).await;
        if let Err(reason) = read_index(&self.raft).await {
            tracing::debug!(reason, "this member does not lead any more");
            return Err(Undone::NotLeader);
        }
        let now = self.shared.version.in_force();
        let to = raised(now, wanted, &followers).map_err(Undone::refused)?;
        if to == now || dry_run {
            return Ok(u64::from(to));
        }
        let command = Envelope::internal("operator", Command::RaiseMachineVersion(RaiseMachineVersion { to }));
        let ticket = self.proposer.enqueue_version(vec![Asked::by_us(&command)], Target::Here, to).map_err(undone)?;
        match ticket.answer().await.map_err(undone)? {
            Ok(_) => {
                tracing::info!(from = now, to, "a later machine version is in force: an earlier graftd cannot take part any more");
                Ok(u64::from(to))
            }
            Err(rejection) => Err(Undone::refused(rejection.to_string())),
        }
    }

    /// What it keeps to now.
    pub(super) fn rules(&self) -> Arc<MembershipRules> {
        self.rules.read().expect("nobody panics while it is held").clone()
    }

    /// From its next decision on it keeps to these.
    pub(super) fn keep_to(&self, rules: MembershipRules) {
        *self.rules.write().expect("nobody panics while it is held") = Arc::new(rules);
    }

    /// The members, if this one leads.
    pub(super) fn roster(&self) -> Option<Roster> {
        let now = self.raft.metrics().borrow_watched().clone();
        if now.state != ServerState::Leader {
            return None;
        }
        let led_for = {
            let mut led = self.led.lock().expect("nobody panics while it is held");
            if led.0 != now.current_term {
                *led = (now.current_term, Instant::now());
            }
            led.1.elapsed()
        };
        let membership = now.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let last = now.last_log_index.map_or(0, |last| last + 1);
        let heard = now.heartbeat.unwrap_or_default();
        let replication = now.replication.unwrap_or_default();
        let seat = |(raft_id, info): (&u64, &MemberInfo)| {
            let mine = *raft_id == now.id;
            let at = heard.get(raft_id).cloned().flatten().map(|at| at.into_inner().elapsed());
            let has = position_or_zero(replication.get(raft_id).and_then(Option::as_ref));
            Seat {
                info: info.clone(),
                voter: voters.contains(raft_id),
                lag: if mine { 0 } else { last.saturating_sub(has) },
                silent: if mine { Duration::ZERO } else { at.unwrap_or(led_for) },
                drained: if mine { self.is_drained() } else { self.said_in(now.current_term, *raft_id).is_some_and(|said| said.drained) },
            }
        };
        let mut seats: Vec<Seat> = membership.nodes().map(seat).collect();
        seats.sort_by(|a, b| (&a.info.name, a.info.raft_id).cmp(&(&b.info.name, b.info.raft_id)));
        let joint = membership.get_joint_config().len() > 1;
        Some(Roster { seats, leader: now.id, led_for, joint, live_within: self.lease * LIVE_LEASES })
    }

    fn roster_here(&self) -> Result<Roster, Undone> {
        self.roster().ok_or(Undone::NotLeader)
    }

    /// Makes a change, unless another one is under way.
    pub(super) async fn try_change(&self, op: &'static str, change: ChangeMembers<u64, MemberInfo>) -> Option<Result<(), Undone>> {
        let _turn = self.changing.try_lock().ok()?;
        Some(self.change(op, change).await)
    }

    /// Whoever calls holds the turn. Voters that are taken out are taken out altogether. `op` is what it is, for the metrics.
    async fn change(&self, op: &'static str, change: ChangeMembers<u64, MemberInfo>) -> Result<(), Undone> {
        let outcome = self.change_membership(change).await;
        let result = if outcome.is_ok() { "ok" } else { "failed" };
        self.shared.metrics.cluster.membership_changes.with_label_values(&[op, result]).inc();
        outcome
    }

    async fn change_membership(&self, change: ChangeMembers<u64, MemberInfo>) -> Result<(), Undone> {
        let unknown = |reason: String| Undone::Because(ChangeError::Unknown { reason });
        match timeout(CHANGE_WAIT, self.raft.change_membership(change, false)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(Undone::NotLeader),
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))))) => {
                Err(Undone::refused("another change of the membership is under way; try again"))
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => Err(Undone::refused(error.to_string())),
            Ok(Err(error)) => Err(unknown(error.to_string())),
            Err(_) => Err(unknown(format!("it was not committed within {CHANGE_WAIT:?}: a majority may be missing"))),
        }
    }

    /// Takes a fresh member in, as a learner.
    pub(super) async fn admit(&self, formation: &Formation, from: &PeerHello, token: &str, certified: bool) -> Result<(), Undone> {
        let info = candidate(from)?;
        let token = match token {
            "" => None,
            text => Some(Token::parse(Kind::Join, text).map_err(Undone::refused)?),
        };
        let _turn = self.changing.lock().await;
        let roster = self.roster_here()?;
        if roster.seat(info.raft_id).is_some() {
            return Ok(());
        }
        let (follows, now) = (told_version(from), self.shared.version.in_force());
        if follows < now {
            let why = format!(
                "`{}` can follow machine version {follows} at most, and {now} is in force here: install the graftd version that the members run",
                info.name
            );
            return Err(Undone::refused(why));
        }
        let namesake = roster.seats.iter().find(|seat| seat.info.name == info.name);
        if let Some(old) = namesake {
            roster.may_replace(old.info.raft_id, self.rules().replace_after).map_err(Undone::refused)?;
        }
        if let Some(other) = roster.seats.iter().find(|seat| seat.info.peer_address == info.peer_address && seat.info.name != info.name) {
            let why = format!("member `{}` answers at {} already; correct cluster.peer_advertise", other.info.name, info.peer_address);
            return Err(Undone::refused(why));
        }
        if roster.seats.len() >= MEMBERS_MAX {
            return Err(Undone::refused(format!("there are {MEMBERS_MAX} members, and there may be no more; remove others first")));
        }
        let joiner = Joiner { name: &info.name, certified, is_member_by_name: namesake.is_some(), token: token.as_ref() };
        let admission = self.rules().join.judge(joiner).map_err(Undone::refused)?;
        self.find(formation, &info, "").await?;
        if let Admission::By(grant) = admission {
            self.use_grant(grant, &info).await?;
        }
        let add = ChangeMembers::AddNodes(BTreeMap::from([(info.raft_id, info.clone())]));
        let change = match namesake {
            // A learner that is gone makes room at once; a voter's place is taken when the new one has caught up.
            Some(old) if !old.voter => ChangeMembers::Batch(vec![ChangeMembers::RemoveNodes(BTreeSet::from([old.info.raft_id])), add]),
            _ => add,
        };
        self.change("join", change).await?;
        tracing::info!(member = %info.name, raft_id = info.raft_id, peer_address = %info.peer_address, "a member has joined, as a learner");
        Ok(())
    }

    async fn use_grant(&self, Grant { id, secret_hash }: Grant, info: &MemberInfo) -> Result<(), Undone> {
        let used = UseJoinGrant { id, secret_hash: secret_hash.into(), member: info.name.clone(), raft_id: info.raft_id };
        let command = Envelope::internal("operator", Command::UseJoinGrant(used));
        let ticket = self.proposer.enqueue(vec![Asked::by_us(&command)], Target::Here).map_err(unavailable)?;
        match ticket.answer().await.map_err(unavailable)? {
            Ok(_) => Ok(()),
            Err(rejection) => Err(Undone::refused(rejection.to_string())),
        }
    }

    /// Asks whoever answers at the member's address who it is. Nobody is told to the others whom they could not reach, or who is somebody else.
    async fn find(&self, formation: &Formation, info: &MemberInfo, cluster_id: &str) -> Result<(), Undone> {
        let at = &info.peer_address;
        let refused =
            |why: String| Undone::refused(format!("`{}` is not found at {at}, where it says that it answers members: {why}", info.name));
        let mut client = self.links.connect(info).map_err(|error| refused(error.to_string()))?;
        let answer = match timeout(GREETING_WAIT, client.greet(formation.hello())).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(refused(status.message().to_owned())),
            Err(_) => return Err(refused(format!("no answer within {GREETING_WAIT:?}"))),
        };
        if answer.raft_id != info.raft_id || answer.cluster_id != cluster_id {
            return Err(refused(format!("member `{}` (raft id {}) answers there", answer.member_name, answer.raft_id)));
        }
        Ok(())
    }

    /// A member tells where it is: moves it, if that is somewhere else than the others believe, and says whether it is one at all.
    pub(super) async fn report(&self, formation: &Formation, from: &PeerHello, drained: bool) -> ReportResponse {
        let told = |verdict: ReportVerdict, reason: String, machine_time| ReportResponse { verdict: verdict as i32, reason, machine_time };
        let untold = |reason| told(ReportVerdict::Unspecified, reason, 0);
        if self.roster().is_none() {
            return untold("this member does not lead".into());
        }
        if let Err(reason) = read_index(&self.raft).await {
            return untold(reason);
        }
        let membership = self.raft.metrics().borrow_watched().committed_membership_config.clone();
        let Some(known) = membership.get_node(&from.raft_id).cloned() else {
            let reason = format!(
                "member `{}` (raft id {}) is part of cluster `{}` no more: it was removed, replaced, or left behind by a recovery",
                from.member_name, from.raft_id, from.cluster_name
            );
            // One that is being added is known from its own log only when it is committed.
            let adding = self.roster().is_some_and(|roster| roster.seat(from.raft_id).is_some());
            return match adding {
                true => untold("the change of the membership is not committed yet".into()),
                false => told(ReportVerdict::Removed, reason, 0),
            };
        };
        self.has_said(from, drained);
        match self.relocate(formation, &known, from).await {
            Ok(()) => told(ReportVerdict::Member, String::new(), self.shared.stamps.estimate()),
            Err(error) => untold(error.to_string()),
        }
    }

    async fn relocate(&self, formation: &Formation, known: &MemberInfo, from: &PeerHello) -> Result<(), Undone> {
        let info = MemberInfo { peer_address: from.peer_address.clone(), client_address: from.client_address.clone(), ..known.clone() };
        if info == *known {
            return Ok(());
        }
        if from.member_name != known.name {
            return Err(Undone::refused(format!("raft id {} belongs to member `{}`", known.raft_id, known.name)));
        }
        let _turn = self.changing.lock().await;
        let roster = self.roster_here()?;
        if let Some(other) =
            roster.seats.iter().find(|seat| seat.info.raft_id != info.raft_id && seat.info.peer_address == info.peer_address)
        {
            return Err(Undone::refused(format!("member `{}` answers at {}", other.info.name, info.peer_address)));
        }
        // openraft warns of this change: whoever is called at the new address must be the same member, and is asked first.
        if info.raft_id != self.me {
            self.find(formation, &info, &from.cluster_id).await?;
        }
        self.change("move", ChangeMembers::SetNodes(BTreeMap::from([(info.raft_id, info.clone())]))).await?;
        tracing::info!(member = %info.name, peer_address = %info.peer_address, client_address = %info.client_address, "a member has moved");
        Ok(())
    }

    /// This member's own addresses, if they are others than the members know, and it leads.
    pub(super) async fn relocate_self(&self, formation: &Formation) -> Result<(), Undone> {
        let known = self.raft.metrics().borrow_watched().membership_config.get_node(&self.me).cloned();
        match known {
            Some(known) => self.relocate(formation, &known, &formation.hello()).await,
            None => Ok(()),
        }
    }

    /// Makes a learner a voter on an operator's word, whether or not the number becomes even.
    pub(super) async fn promote(&self, raft_id: u64) -> Result<u64, Undone> {
        let _turn = self.changing.lock().await;
        self.roster_here()?.may_promote(raft_id, self.rules().voters_max).map_err(Undone::refused)?;
        self.change("promote", ChangeMembers::AddVoterIds(BTreeSet::from([raft_id]))).await?;
        Ok(raft_id)
    }

    /// Whether a member may be taken out now.
    pub(super) async fn would_remove(&self, raft_id: u64) -> Result<u64, Undone> {
        self.removable(raft_id).await.map(|_| raft_id)
    }

    /// The members, if that one may be taken out of them. A new leader has not heard yet what the others have, and looks again for a moment.
    async fn removable(&self, raft_id: u64) -> Result<Roster, Undone> {
        loop {
            let roster = self.roster_here()?;
            match roster.may_remove(raft_id) {
                Ok(()) => return Ok(roster),
                Err(why) if roster.led_for >= PROGRESS_WAIT => return Err(Undone::refused(why)),
                Err(_) => tokio::time::sleep(PROGRESS_LOOK).await,
            }
        }
    }

    /// Takes a member out. A leader hands over first, and whoever leads then takes it out.
    pub(super) async fn remove(&self, raft_id: u64) -> Result<u64, Undone> {
        let turn = self.changing.lock().await;
        let roster = self.removable(raft_id).await?;
        if raft_id == self.me {
            drop(turn);
            self.hand_over(None).await?;
            return Err(Undone::NotLeader);
        }
        let one = BTreeSet::from([raft_id]);
        let change = match roster.seat(raft_id) {
            Some(seat) if seat.voter => ChangeMembers::RemoveVoters(one),
            _ => ChangeMembers::RemoveNodes(one),
        };
        self.change("remove", change).await?;
        Ok(raft_id)
    }

    /// Hands leadership to that voter, or to the one that is furthest, and waits until somebody else leads. From the beginning of it this
    /// member mints and renews no lease in this term.
    pub(super) async fn hand_over(&self, to: Option<u64>) -> Result<u64, Undone> {
        let outcome = self.hand_over_once(to).await;
        let result = match outcome {
            Ok(_) => "ok",
            Err(Undone::Because(_)) => "failed",
            // There was nothing to hand over, or another one than was meant has it.
            Err(Undone::NotLeader) => return outcome,
        };
        self.shared.metrics.cluster.leadership_transfers.with_label_values(&[result]).inc();
        outcome
    }

    async fn hand_over_once(&self, to: Option<u64>) -> Result<u64, Undone> {
        if let Some(heir) = to {
            self.hear(heir).await?;
        }
        let _turn = self.changing.lock().await;
        let heir = self.roster_here()?.heir(to).map_err(Undone::refused)?;
        let term = self.compass.metrics().vote.leader_id.term;
        self.handing_over.store(term, Ordering::SeqCst);
        let stopped = |error: &dyn std::fmt::Display| Undone::Because(ChangeError::Unavailable { reason: error.to_string() });
        self.raft.trigger().transfer_leader(heir).await.map_err(|error| stopped(&error))?;
        let mut compass = self.compass.clone();
        let taken = async {
            loop {
                if let Route::There(leader) = compass.route() {
                    return leader.raft_id;
                }
                compass.changed().await;
            }
        };
        match timeout(TRANSFER_WAIT, taken).await {
            Ok(leader) if to.is_none_or(|to| to == leader) => Ok(leader),
            // Another one was faster to stand for election: who leads now is asked next.
            Ok(_) => Err(Undone::NotLeader),
            Err(_) => Err(Undone::Because(ChangeError::Unknown { reason: format!("nobody has taken over within {TRANSFER_WAIT:?}") })),
        }
    }

    /// Waits until this member has said to who leads now whether it is drained; no longer than it may take to report.
    async fn hear(&self, raft_id: u64) -> Result<(), Undone> {
        loop {
            let reported = self.reported.notified();
            let roster = self.roster_here()?;
            let left = ALL_REPORTED.saturating_sub(roster.led_for);
            let others = raft_id != roster.leader && roster.seat(raft_id).is_some();
            let term = self.compass.metrics().vote.leader_id.term;
            if left.is_zero() || !others || self.said_in(term, raft_id).is_some() {
                return Ok(());
            }
            drop(timeout(left, reported).await);
        }
    }

    /// Whether leadership of this term is being handed over.
    pub(super) fn is_handing_over(&self, term: u64) -> bool {
        self.handing_over.load(Ordering::SeqCst) == term
    }

    /// From now on this member does not lead and does not stand for election; or takes part again.
    pub(super) async fn drain(&self, undo: bool) {
        self.raft.runtime_config().elect(undo);
        self.drained.send_replace(!undo);
        if let (false, Some(roster)) = (undo, self.roster()) {
            self.hand_over_if_drained(&roster).await;
        }
    }

    /// Whether an operator has drained this member.
    pub(super) fn is_drained(&self) -> bool {
        *self.drained.borrow()
    }

    pub(super) fn drained(&self) -> watch::Receiver<bool> {
        self.drained.subscribe()
    }

    /// Hands over if this member is drained and another is not. Who has just come to lead waits until it has heard which of the others are: two of
    /// them would hand over to each other without end.
    pub(super) async fn hand_over_if_drained(&self, roster: &Roster) {
        if self.is_drained()
            && roster.led_for >= ALL_REPORTED
            && roster.has_heir()
            && let Err(error) = self.hand_over(None).await
        {
            tracing::warn!(%error, "this member was drained, and leads on");
        }
    }
}

/// Of a proposal that has no answer.
fn undone(error: ProposeError) -> Undone {
    match error {
        ProposeError::NotLeader => Undone::NotLeader,
        ProposeError::Unknown { reason } => Undone::Because(ChangeError::Unknown { reason }),
        other => unavailable(other),
    }
}

fn unavailable(error: impl std::fmt::Display) -> Undone {
    Undone::Because(ChangeError::Unavailable { reason: error.to_string() })
}

/// What a fresh member says of itself, if it can become one.
fn candidate(from: &PeerHello) -> Result<MemberInfo, Undone> {
    speaks_with(from.protocol).map_err(Undone::refused)?;
    if !is_name(&from.member_name) || from.raft_id == 0 {
        return Err(Undone::refused(format!("`{}` (raft id {}) names no member", from.member_name, from.raft_id)));
    }
    if from.peer_address.is_empty() {
        return Err(Undone::refused(format!("`{}` says no address for members; set cluster.peer_listen", from.member_name)));
    }
    Ok(MemberInfo {
        raft_id: from.raft_id,
        name: from.member_name.clone(),
        peer_address: from.peer_address.clone(),
        client_address: from.client_address.clone(),
    })
}
