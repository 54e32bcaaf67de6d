//! The pure state machine of Graft: commands in; events, effects and replies out.
//!
//! # The contract
//!
//! [`apply()`] takes the state ([`state::StateTx`]), a stamp ([`time::Stamp`]) and one command ([`command::Envelope`]), and returns what came
//! of it ([`Applied`]): a *reply* for whoever asked, *events* that became true (durable, in the tables) and *effects* for the leader
//! (volatile). It is total: every command has an answer, and a rejection is a normal one. A rejected command has written nothing but the
//! machine's time.
//!
//! A step is one command. Resolving an attempt, merging its patch, creating its successors, closing the joins that this empties, ending the
//! workflow and writing the history happen in one call; there is no moment at which half a step exists. Long work (thousands of tasks to be
//! paused, deleted, woken) is one flag and then bounded steps, each a command of its own, driven by timers that the leader reports as due.
//!
//! # Determinism
//!
//! The same log makes the same bytes on every member, whatever its build, its disk or its clock:
//!
//! - Time is [`time::Stamp::time`], or the last time seen where that is later. Nothing here can read a clock or the environment.
//! - Chance is a hash of ids: the jitter of a backoff is computed, not drawn.
//! - Maps are ordered. JSON is stored with sorted keys and without spaces; floats are parsed and written exactly.
//! - Words that enter the state are our own: never the text of a library's error, which another build may phrase differently.
//! - What an unknown version wrote stops the member: an unknown command, enum value or stored variant panics. It cannot come from a client:
//!   a newer leader writes new kinds only after `machine_version` was raised, which needs every member. What a client *can* send (documents,
//!   names, pointers, lists, policies) is bounded and checked here again, and never panics.
//!
//! # What is deliberately absent
//!
//! - **Leases and workers.** Who runs an attempt is the leader's volatile knowledge. The machine fences by attempt number: a result counts
//!   if its attempt is the task's current one, and the event names the lease that was accepted.
//! - **Dispatch, fairness, limits.** The ready order and the limits are records here; counting and matching are the scheduler's.
//! - **Raft, IO, threads, async.** They stand on the floors above.
//! - **A list of the tasks of a scope.** A scope is a counter; tasks name it.
//!
//! # Reading order
//!
//! The words ([`ids`], [`time`], [`names`], [`limits`], [`trace`]); what is asked and answered ([`command`], [`result`], [`reply`], [`event`], [`effect`]); what is
//! stored ([`workflow`], [`task`], [`session`], [`tables`], [`state`], [`memory`]); then [`mod@apply`], one file per command in `commands/`,
//! and what they share in `step/`. [`derived`] are the lists and counts that could be made again; [`view`] is for reading; [`invariants`] says what is true of every state.

pub mod access;
pub mod ids;
pub mod limits;
pub mod names;
pub mod time;
pub mod trace;

pub mod command;
pub mod effect;
pub mod event;
pub mod reply;
pub mod result;

pub mod memory;
pub mod session;
pub mod state;
pub mod tables;
pub mod task;
pub mod workflow;

pub mod apply;
mod commands;
mod content;
pub mod derived;
pub mod patch;
pub mod retry;
mod step;

pub mod invariants;
pub mod view;

pub use apply::{Applied, apply, apply_entry};
