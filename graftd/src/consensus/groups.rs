//! Commands that wait in the queue of the [`proposer`](super::proposer), in groups: of one caller, into one entry, in order. A group knows whether it
//! may have happened; its caller holds a [`Ticket`], and may give it up as long as nothing was done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use graft_machine::command::Envelope;
use graft_machine::reply::Answer;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::error::ProposeError;
use super::lanes::Waits;
use super::patience::Patience;

/// How long a command waits for a leader, or for room in the log, before it fails as not proposed.
pub const LEADER_WAIT: Duration = Duration::from_secs(5);
/// How long a proposed command waits for its answer before its outcome counts as unknown.
pub const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// Where a group may be proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Wherever the leader is.
    Anywhere,
    /// Only here, in whatever term.
    Here,
    /// Only here, in this term.
    Term(u64),
}

/// The answers, in order; `None`: it was not proposed, since whoever asks waits no longer.
pub(super) type Outcome = Result<Vec<Option<Answer>>, ProposeError>;

const QUEUED: u8 = 0;
const SUBMITTED: u8 = 1;
const ABANDONED: u8 = 2;

/// Room in the queue: for commands, and for their bytes.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// An encoded envelope, and how long whoever asks for it waits.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) command: Bytes,
    pub(super) patience: Patience,
}

impl Asked {
    /// By nobody who would give up.
    pub(super) fn by_us(envelope: &Envelope) -> Self {
        Self { command: envelope.encode_to_vec().into(), patience: Patience::ENDLESS }
    }

    /// By whoever this task works for.
    pub(super) fn by_caller(envelope: &Envelope) -> Self {
        Self { patience: Patience::of_caller(), ..Self::by_us(envelope) }
    }
}

/// What these take in the queue.
pub(super) fn bytes_of(commands: &[Asked]) -> usize {
    commands.iter().map(|asked| asked.command.len()).sum()
}

/// See the module.
pub(super) struct Group {
    /// What is to be proposed, and its place among what the group began with.
    commands: Vec<(usize, Asked)>,
    began_with: usize,
    bytes: usize,
    pub(super) target: Target,
    /// The machine version that it brings about; 0: none.
    pub(super) version: u32,
    pub(super) since: Instant,
    stage: Arc<AtomicU8>,
    reply: oneshot::Sender<Outcome>,
    _room: Room,
}

/// A caller's claim to the outcome of a group.
pub(super) struct Ticket {
    stage: Arc<AtomicU8>,
    reply: oneshot::Receiver<Outcome>,
    target: Target,
}

impl Waits for Group {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.bytes)
    }

    fn is_own(&self) -> bool {
        matches!(self.target, Target::Term(_))
    }
}

impl Group {
    pub(super) fn new(commands: Vec<Asked>, target: Target, version: u32, room: Room) -> (Self, Ticket) {
        let (sender, reply) = oneshot::channel();
        let stage = Arc::new(AtomicU8::new(QUEUED));
        let ticket = Ticket { stage: stage.clone(), reply, target };
        let (bytes, began_with) = (bytes_of(&commands), commands.len());
        let commands = commands.into_iter().enumerate().collect();
        (Self { commands, began_with, bytes, target, version, since: Instant::now(), stage, reply: sender, _room: room }, ticket)
    }

    /// Commands.
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.commands.iter().map(|(_, asked)| asked)
    }

    pub(super) fn abandoned(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == ABANDONED || self.reply.is_closed()
    }

    /// What is left to propose of it: from here on its outcome may be unknown. `None`: nobody waits for any of it, and nothing may happen.
    pub(super) fn claim(mut self, now: Instant) -> Option<Self> {
        if self.reply.is_closed() {
            return None; // the connection of whoever asked is gone
        }
        self.commands.retain(|(_, asked)| !asked.patience.is_over(now));
        if self.commands.is_empty() && self.began_with > 0 {
            let nothing = vec![None; self.began_with];
            self.answer(Ok(nothing));
            return None;
        }
        self.stage.compare_exchange(QUEUED, SUBMITTED, Ordering::SeqCst, Ordering::SeqCst).is_ok().then_some(self)
    }

    /// Nothing has happened to it: its caller may give it up again.
    pub(super) fn queue_again(&self) {
        self.stage.store(QUEUED, Ordering::SeqCst);
    }

    /// Puts the answers to what was proposed at the places of what it began with. `None`: they are too few.
    pub(super) fn place(&self, answers: &mut impl Iterator<Item = Answer>) -> Option<Vec<Option<Answer>>> {
        let mut placed = vec![None; self.began_with];
        for (at, _) in &self.commands {
            placed[*at] = Some(answers.next()?);
        }
        Some(placed)
    }

    pub(super) fn answer(self, outcome: Outcome) {
        drop(self.reply.send(outcome));
    }
}

impl Ticket {
    /// Waits for the outcome, for at most [`LEADER_WAIT`] while it is queued, and [`ANSWER_WAIT`] more once it was proposed.
    pub(super) async fn outcome(mut self) -> Outcome {
        if let Ok(outcome) = tokio::time::timeout(LEADER_WAIT, &mut self.reply).await {
            return outcome.unwrap_or_else(|_| Err(self.dropped()));
        }
        if self.stage.compare_exchange(QUEUED, ABANDONED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return Err(match self.target {
                Target::Term(_) | Target::Here => ProposeError::NotLeader,
                Target::Anywhere => ProposeError::Unavailable { reason: format!("it waited for {LEADER_WAIT:?}") },
            });
        }
        match tokio::time::timeout(ANSWER_WAIT, &mut self.reply).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(self.dropped())),
            Err(_) => Err(ProposeError::Unknown { reason: format!("it was proposed, and not answered for {ANSWER_WAIT:?}") }),
        }
    }

    /// The same of a group of one command.
    pub(super) async fn answer(self) -> Result<Answer, ProposeError> {
        match self.outcome().await?.pop() {
            Some(answer) => answer.ok_or(ProposeError::Overdue),
            None => Err(ProposeError::Unknown { reason: "the answer is missing".into() }),
        }
    }

    /// The group was dropped with this member's tasks.
    fn dropped(&self) -> ProposeError {
        let reason = "this member is shutting down".to_owned();
        match self.stage.load(Ordering::SeqCst) {
            SUBMITTED => ProposeError::Unknown { reason },
            _ => ProposeError::Unavailable { reason },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use graft_machine::reply::{Done, Reply};
    use tokio::sync::Semaphore;

    use super::*;

    pub(in super::super) fn group(commands: Vec<Asked>, version: u32) -> (Group, Ticket) {
        let room = || Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        Group::new(commands, Target::Here, version, (room(), room()))
    }

    fn asked(command: &'static [u8], wait_ms: u64) -> Asked {
        Asked { command: Bytes::from_static(command), patience: Patience::of(Duration::from_millis(wait_ms)) }
    }

    fn answer(run: u64) -> Answer {
        Ok(Reply::Done(Done { run, ..Done::default() }))
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_not_proposed_and_the_rest_is_answered_at_its_place() {
        let endless = Asked { patience: Patience::ENDLESS, ..asked(b"d", 0) };
        let (group, ticket) = group(vec![asked(b"a", 10), asked(b"b", 30), asked(b"c", 10), endless], 0);
        tokio::time::advance(Duration::from_millis(20)).await;
        let group = group.claim(Instant::now()).expect("somebody waits");
        assert_eq!(group.asked().map(|asked| &*asked.command).collect::<Vec<_>>(), [b"b", b"d"]);
        assert_eq!(group.place(&mut [answer(1)].into_iter()), None, "one is missing");
        let placed = group.place(&mut [answer(1), answer(2)].into_iter());
        group.answer(Ok(placed.expect("all are there")));
        assert_eq!(ticket.outcome().await, Ok(vec![None, Some(answer(1)), None, Some(answer(2))]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_nobody_waits_for_ends_at_once() {
        let (group, ticket) = group(vec![asked(b"a", 10)], 0);
        tokio::time::advance(Duration::from_millis(10)).await;
        assert!(group.claim(Instant::now()).is_none());
        assert_eq!(ticket.answer().await, Err(ProposeError::Overdue));
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_caller_has_given_up_is_not_proposed() {
        let (group, ticket) = group(vec![Asked { patience: Patience::ENDLESS, ..asked(b"a", 0) }], 0);
        assert_eq!(ticket.outcome().await, Err(ProposeError::NotLeader), "it waited for {LEADER_WAIT:?}");
        assert!(group.abandoned() && group.claim(Instant::now()).is_none());
        let (group, ticket) = super::tests::group(vec![asked(b"b", 30)], 0);
        drop(ticket);
        assert!(group.abandoned() && group.claim(Instant::now()).is_none());
    }
}
