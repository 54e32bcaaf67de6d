//! Client and worker SDK for Graft.
//!
//! Graft runs durable workflows. A workflow is a graph that grows while it runs: each step is a plain function from the workflow's state to a
//! change of it and the steps that come next. `graftd` stores the state and hands out the steps; your process executes them. It is never
//! replayed, so its code may do anything, and may be redeployed at any moment, with work in flight.
//!
//! # A first workflow
//!
//! A *node* is a kind of step. The shortest one is a closure; it gets a [`NodeContext`], the state, and the config that whoever scheduled it
//! gave it. A [`Worker`] executes nodes until it is asked to stop; a [`Client`] starts workflows and waits for them.
//!
//! ```
//! # use std::error::Error;
//! use graft_client::{Client, Next, NodeContext, Outcome, Worker};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greeting { name: String, text: Option<String> }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let daemon = graftd::app::Daemon::start(graftd::config::Config::in_process(directory.path())).await?;
//! # daemon.ready().await?;
//! # let address = format!("http://{}", daemon.client_address());
//! // `address` is where graftd answers: http://127.0.0.1:7420 unless it was told otherwise.
//! let client = Client::connect(address)?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//!
//! let worker = Worker::builder(client.clone())
//!     .node_fn("greet", |_cx: NodeContext, greeting: Greeting, politely: bool| async move {
//!         let text = if politely { format!("Good day, {}.", greeting.name) } else { format!("Hi {}!", greeting.name) };
//!         Ok(Outcome::state(Greeting { text: Some(text), ..greeting }).next(Next::named("wave", ())))
//!     })
//!     .node_fn("wave", |_cx, _state: (), _config: ()| async move { Ok(Outcome::done().increment("/waves", 1)) });
//! // In a program of its own: worker.run_until(graft_client::shutdown_signal())
//! let worker = tokio::spawn(worker.run_until(async move { stopped.await.unwrap_or_default() }));
//!
//! let state = Greeting { name: "Ada".to_owned(), text: None };
//! client.start("hello-1").state(&state)?.node_named("greet", true).await?;
//!
//! let result: serde_json::Value = client.workflow("hello-1").result().await?;
//! assert_eq!(result, serde_json::json!({ "name": "Ada", "text": "Good day, Ada.", "waves": 1 }));
//!
//! let _ = stop.send(()); // the worker finishes what it has, and leaves
//! worker.await??;
//! # daemon.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Three things to see. The second node knows nothing of the state's type, and changes it all the same: [`Outcome::increment`] is applied where
//! the state is, so parallel steps do not lose each other's changes. The first one returned a whole state, but only the field that it changed was
//! sent; fields that a type does not know are never touched. And the workflow is complete when none of its tasks is open.
//!
//! # Typed nodes, parallel work, joins
//!
//! A type that implements [`Node`] has a name that outlives it, a type for the part of the state that it reads, and a type for its config:
//! `Pack::with(config)` makes a task, and a config of another type does not compile. [`Outcome::fan_out`] runs tasks side by side, and its join
//! starts, once, when all of them have resolved, with everything that they started in turn.
//!
//! ```
//! # use std::error::Error;
//! use std::time::Duration;
//! use graft_client::{CanStart, Client, Failure, Node, NodeContext, NodeOptions, NodeResult, Outcome, Retry, Worker};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order { items: Vec<String>, #[serde(default)] packed: Vec<String>, #[serde(default)] parcel: Option<String> }
//!
//! struct Charge;
//! impl Node for Charge {
//!     const NAME: &'static str = "charge";
//!     type State = Order;
//!     type Config = ();
//!
//!     async fn execute(&self, cx: NodeContext, order: Order, (): ()) -> NodeResult<Order> {
//!         if order.items.is_empty() {
//!             return Err(Failure::permanent("there is nothing to charge for")); // no further attempt
//!         }
//!         pay(cx.idempotency_key()).await?; // any standard error: tried again, as the retry policy says
//!         let packs = order.items.iter().map(|item| Pack::with(PackConfig { item: item.clone() }));
//!         Ok(Outcome::done().fan_out(packs).join(Ship::with(()).priority(5).timeout(Duration::from_secs(30))))
//!     }
//! }
//!
//! struct Pack;
//! #[derive(Serialize, Deserialize)]
//! struct PackConfig { item: String }
//! impl Node for Pack {
//!     const NAME: &'static str = "pack";
//!     type State = ();
//!     type Config = PackConfig;
//!
//!     async fn execute(&self, _cx: NodeContext, (): (), config: PackConfig) -> NodeResult<()> {
//!         Ok(Outcome::done().append("/packed", &config.item))
//!     }
//! }
//!
//! struct Ship;
//! impl Node for Ship {
//!     const NAME: &'static str = "ship";
//!     type State = Order;
//!     type Config = ();
//!
//!     async fn execute(&self, _cx: NodeContext, order: Order, (): ()) -> NodeResult<Order> {
//!         Ok(Outcome::state(Order { parcel: Some(format!("{} items", order.packed.len())), ..order }))
//!     }
//!
//!     // Asked before every attempt. A no costs nothing until the state changes there.
//!     fn can_start(&self, _cx: &NodeContext, order: &Order, (): &()) -> CanStart {
//!         if order.packed.len() == order.items.len() { CanStart::Yes } else { CanStart::No.wake_on(["/packed"]) }
//!     }
//! }
//!
//! # async fn pay(_idempotency_key: &str) -> std::io::Result<()> { Ok(()) }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let daemon = graftd::app::Daemon::start(graftd::config::Config::in_process(directory.path())).await?;
//! # daemon.ready().await?;
//! # let client = Client::connect(format!("http://{}", daemon.client_address()))?;
//! # let stop = tokio_util::sync::CancellationToken::new();
//! let worker = Worker::builder(client.clone())
//!     .node(Charge)
//!     .node_with(Pack, NodeOptions::new().concurrency(32).retry(Retry::exponential().attempts(8)))
//!     .node(Ship);
//! # let worker = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));
//!
//! let order = Order { items: vec!["lamp".into(), "desk".into()], packed: vec![], parcel: None };
//! client.start("order-1042").state(&order)?.node(Charge::with(())).label("customer", "ada").await?;
//! let order: Order = client.workflow("order-1042").result().await?;
//! assert_eq!(order.parcel.as_deref(), Some("2 items"));
//! # stop.cancel();
//! # worker.await??;
//! # daemon.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What may happen more than once
//!
//! A task's effect on its workflow happens at most once. Its *code* may run more than once: a worker can die after the work and before the
//! answer is stored. So code that touches the outside hands on [`NodeContext::idempotency_key`], which every attempt of a task shares. An attempt
//! is told through [`NodeContext::cancellation`] when its workflow is being cancelled, and may then finish and report; it is dropped at its next
//! `await` when its lease is lost, its timeout is over, or its workflow has ended. Code that never awaits cannot be dropped: hand it to
//! `tokio::task::spawn_blocking`.
//!
//! A panic in a node is a failure of the attempt, not of the worker, as long as the program is built with unwinding panics (the default).
//!
//! # When something fails
//!
//! Every error is a [`ClientError`]: what was tried, on which object, why, and what to do next, and whether the request can have taken effect.
//! Requests carry an id, so the client repeats what failed on the way by itself, at another member if it was given several addresses.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), graft_client::ClientError> {
//! use std::time::Duration;
//! use graft_client::{Client, Endpoints};
//! let nobody = Client::builder(Endpoints::from("http://127.0.0.1:1,http://127.0.0.1:2")).request_timeout(Duration::from_millis(200)).build()?;
//! let error = nobody.workflow("order-1042").get().await.unwrap_err();
//! assert!(error.is_retryable() && error.has_no_side_effects());
//! println!("{error}");
//! # Ok(())
//! # }
//! ```
//!
//! # More
//!
//! [`WorkflowHandle`] watches, waits, pauses, resumes, cancels, terminates and exports; [`Client::list`] finds workflows, and
//! [`Client::start_many`] starts many at once. [`Client::tasks`] and [`TaskHandle`] look at tasks and help those that are stuck;
//! [`Client::dead_letters`], [`Client::redrive_all`] and [`Client::discard_all`] are for those that were given up. [`Client::events`] is
//! everything that becomes true, as one stream that goes on where it stopped. The folder `examples` holds, each
//! with its tests, a retry, a fan-out, a dead letter and its redrive, a blocked start, a cancellation and long work with progress; and a document
//! pipeline of thirteen nodes, a repair round trip, and the worker of the README.
//!
//! Where members ask who somebody is, [`ClientBuilder::token_file`] shows a token, and [`ClientBuilder::tls`] a certificate; [`Client::create_token`],
//! [`Client::tokens`], [`Client::revoke_token`], [`Client::who_am_i`] and [`Client::acts`] are for those who give access to others.
//!
//! A [`PayloadCodec`] encodes what members shall not read, before it leaves the process: with one that encrypts, they see neither configs nor the values of
//! states, and merge them all the same.
//!
//! [`middleware`] runs around nodes, for traces, metrics and permissions. With the feature `testing`, `testing::TestEngine` executes workflows in
//! a test: without a server, on a clock of its own, with failures by script.

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]

mod access;
mod backoff;
mod channel;
mod client;
pub mod codec;
mod context;
mod credentials;
mod dead_letters;
// Reachable for the tests that feed it any documents.
#[doc(hidden)]
pub mod diff;
mod endpoints;
mod error;
mod events;
mod export;
mod failure;
mod handle;
mod limits;
mod limits_of_nodes;
mod list;
mod many;
mod membership;
pub mod middleware;
mod next;
mod node;
mod outcome;
mod snapshot;
mod start;
mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod type_name;
mod worker;

pub use access::{ActPage, NewToken, TokenPage};
pub use client::{Client, ClientBuilder, NAMESPACE_DEFAULT, Workers};
pub use codec::{CodecError, EncodedPayload, PayloadCodec, PayloadPart, PayloadPlace};
pub use context::{CancelReason, NodeContext, PROGRESS_BYTES_MAX};
pub use dead_letters::{DeadLetterFilter, DeadLetterName, DeadLetterOutcome, DeadLetterPage, Discard, Redrive, Resolved};
pub use endpoints::Endpoints;
pub use error::ClientError;
pub use events::{EventBatch, EventFilter};
pub use failure::Failure;
pub use graft_proto::errors::ErrorCode;
pub use graft_proto::json::RawJson;
/// The messages of the public protocol, where they are good enough as they are.
pub use graft_proto::v1 as proto;
pub use handle::{HistoryPage, Workflow, WorkflowHandle, is_final, status_name};
pub use limits_of_nodes::{LimitChange, LimitOf, LimitsOfNodes};
pub use list::{ListFilter, ListPage};
pub use many::STARTS_PER_CALL_MAX;
pub use membership::NewJoinToken;
pub use middleware::Middleware;
pub use next::{Next, OnExhausted, Retry};
pub use node::{CanStart, Node, NodeFn, NodeResult, WakeUp, node_fn};
pub use outcome::{FanOut, Outcome};
pub use start::{OnConflict, StartWorkflow, Started};
pub use tasks::{TaskDetails, TaskFilter, TaskHandle, TaskPage};
pub use tls::Tls;
pub use worker::{CONCURRENCY_DEFAULT, DRAIN_GRACE_DEFAULT, NodeOptions, Worker, WorkerBuilder, shutdown_signal};

/// The README's code is compiled and run with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
