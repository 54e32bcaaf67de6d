//! What goes into the core and what comes out of it.

use graft_machine::command::{Envelope, TimerRef};
use graft_machine::effect::Effect;
use graft_machine::ids::{AttemptRef, Run};
use graft_machine::reply::Answer;

use super::queues::{Place, Waiting};
use super::reads::{Loaded, Scope, Standing};
use super::recovery::Recovered;
use super::{FromWorker, SessionHello, ToWorker};
use crate::consensus::ProposeError;

/// Names a worker's stream to this member. Given out by the shell, never twice.
pub type StreamId = u64;

/// Names a batch of proposed commands; given out by the core.
pub type Token = u64;

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// What the new term starts from. The first input.
    Recovered(Recovered),
    /// A worker's stream is there (it has been sent a `Welcome` with `leading`).
    Connected(StreamId, SessionHello),
    /// A worker says something.
    Worker(StreamId, FromWorker),
    /// A worker's stream is gone.
    Broken(StreamId),
    /// The effects of one applied entry, and the machine's time after it.
    Effects {
        /// The machine's time after the entry.
        time: u64,
        /// What the leader should do.
        effects: Vec<Effect>,
    },
    /// What became of [`Output::Propose`]: one answer for each command.
    Answered(Token, Result<Vec<Answer>, ProposeError>),
    /// What [`Output::Read`] found.
    Found(Found),
    /// The leader lease holds until then, in the core's milliseconds; `None`: it does not hold.
    LeaderLease(Option<u64>),
    /// Nothing new is assigned from now on.
    StopDispatch,
    /// Time has passed.
    Tick,
}

/// Something is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send this on that stream.
    Send(StreamId, ToWorker),
    /// Say why and close the stream. The core has forgotten it.
    CloseStream(StreamId, String),
    /// Propose these commands, in order; the answers come back as [`Input::Answered`].
    Propose(Token, Vec<Envelope>),
    /// Read this from the newest state, before any other input is handled; the answer comes back as [`Input::Found`].
    Read(Read),
}

/// A short read of the newest state.
#[derive(Debug)]
pub enum Read {
    /// What workers need to execute these attempts.
    Tasks(Vec<AttemptRef>),
    /// Whether these attempts, which workers report to hold, are still wanted.
    Standings(Vec<AttemptRef>),
    /// What these attempts, which workers name, are of.
    Scopes(Vec<AttemptRef>),
    /// What these runs are called, if they are being cancelled.
    Cancelling(Vec<Run>),
    /// The next ready tasks of a node after a place in its order.
    ReadyPage {
        /// Namespace.
        namespace: String,
        /// Node.
        node: String,
        /// The last place that is known.
        after: Place,
    },
    /// The next timers after one.
    TimerPage(TimerRef),
    /// Which of these timers still stand.
    Timers(Vec<TimerRef>),
}

/// What a read found.
#[derive(Debug)]
pub enum Found {
    /// See [`Read::Tasks`]; `None`: the attempt is not to be run (any more).
    Tasks(Vec<(AttemptRef, Option<Loaded>)>),
    /// See [`Read::Standings`].
    Standings(Vec<(AttemptRef, Standing)>),
    /// See [`Read::Scopes`], in its order; `None`: of nothing that is there.
    Scopes(Vec<Option<Scope>>),
    /// See [`Read::Cancelling`]: namespace and id; `None`: it is not being cancelled.
    Cancelling(Vec<(Run, Option<(String, String)>)>),
    /// See [`Read::ReadyPage`].
    ReadyPage {
        /// Namespace.
        namespace: String,
        /// Node.
        node: String,
        /// The tasks.
        rows: Vec<(Place, Waiting)>,
        /// Whether nothing comes after them.
        complete: bool,
    },
    /// See [`Read::TimerPage`].
    TimerPage {
        /// The timers.
        rows: Vec<TimerRef>,
        /// Whether nothing comes after them.
        complete: bool,
    },
    /// See [`Read::Timers`].
    Timers(Vec<TimerRef>),
}
