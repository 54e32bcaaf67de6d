//! Workflows in tests, without a server process: an engine in the test, with a clock of its own.
//!
//! A [`TestEngine`] holds the state machine that `graftd` runs, in memory, and executes nodes as a worker does: with the same registration,
//! the same reading of states and configs, the same layers and timeouts. What nodes answer passes the same checks on its way to the machine
//! (sizes, names, patches) as it does in a cluster. Only consensus, storage and network are missing.
//!
//! ```
//! use std::time::Duration;
//! use graft_client::testing::{TestEngine, completed, failed};
//! use graft_client::{Failure, Next, Outcome, Retry, StartWorkflow, WorkerBuilder};
//!
//! // The same function registers the nodes of the program: `register(Worker::builder(client)).run_until(..)`.
//! fn register(worker: WorkerBuilder) -> WorkerBuilder {
//!     worker
//!         .node_fn("charge", |_, _: (), _: ()| async { Ok(Outcome::done().next(Next::named("ship", ()).delay(Duration::from_secs(86_400)))) })
//!         .node_fn("ship", |_, _: (), _: ()| async { Ok(Outcome::done().increment("/parcels", 1)) })
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! async fn an_order_is_shipped_a_day_after_the_bank_has_answered() {
//!     let mut engine = TestEngine::new(register);
//!     engine.fail("charge", 1..=2, Failure::retryable("no answer from the bank"));
//!
//!     let retry = Retry::fixed(Duration::from_secs(3_600));
//!     engine.start(StartWorkflow::new("order-1").node(Next::named("charge", ()).retry(retry))).unwrap();
//!     engine.run_until_idle().await; // 26 hours on the engine's clock
//!
//!     let order = engine.workflow("order-1");
//!     order.assert_completed().assert_state(&serde_json::json!({ "parcels": 1 }));
//!     order.assert_seen([failed("charge").saying("no answer"), failed("charge"), completed("charge"), completed("ship")]);
//!     assert_eq!(engine.elapsed(), Duration::from_secs(26 * 3_600));
//! }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
//! #     .block_on(an_order_is_shipped_a_day_after_the_bank_has_answered());
//! ```
//!
//! # Time
//!
//! The engine stops the clock of the test's tokio runtime, which has to be a current-thread one, as `#[tokio::test]` makes it. Time passes only
//! when everything waits: then the clock jumps to whatever is due next, in nodes (`tokio::time::sleep` for a day takes no time) as in
//! workflows (delays, backoffs, re-checks, timeouts, deadlines, the grace of a cancellation). [`TestEngine::now`] begins at [`START`], whatever
//! the date. [`TestEngine::advance`] lets an exact time pass; [`TestEngine::run_until_idle`] as much as is needed; [`TestEngine::settle`]
//! as good as none.
//!
//! A stopped clock does not wait for sockets. What a node needs of the outside is best a fake in such a test; what really has to block goes
//! through `tokio::task::spawn_blocking`, during which the clock stands. [`NodeContext::client`](crate::NodeContext::client) answers every
//! call with an error that says so: there is no server. For tests that need one, start a `graftd` in the test.
//!
//! # Order
//!
//! Attempts run side by side, as many of a node at once as its options allow, and everything happens in the same order each time: by
//! priority, age and number. [`TestEngineBuilder::seed`] has ready tasks begin in another order, the same one for the same seed;
//! [`TestEngineBuilder::any_seed`] in a new one for each test run. Failed assertions name the seed, and print the history.
//!
//! # What goes wrong on purpose
//!
//! [`TestEngine::fail`] has attempts fail without executing their node, [`TestEngine::lose`] has a worker die after the work and before its
//! answer, so that the node is executed again; [`TestEngine::stub`] puts a closure in a node's place, or in that of a node of another program.
//!
//! A workflow that goes round in circles ends the test after [`STEPS_MAX`] steps with the names of the nodes that were executed most; one
//! whose nodes wait for something that never comes, with their names.

mod assertions;
mod clock;
mod driving;
mod engine;
mod events;
mod machine;
mod scripts;
mod steering;

pub use assertions::TestWorkflow;
pub use clock::START;
pub use driving::{STEPS_MAX, STUCK_AFTER};
pub use engine::{SEED_VARIABLE, TestEngine, TestEngineBuilder};
pub use events::{
    Seen, blocked, cancelling, completed, dead_lettered, discarded, ended, failed, handed_back, joined, late_result_ignored, paused,
    redriven, resumed, retried, started,
};
pub use scripts::Which;
