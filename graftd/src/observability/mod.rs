//! What can be seen from outside: metrics, readiness, the log.
//!
//! A leaf: floors write into what is made here, and nothing here looks up at them. Metrics are made once per daemon and passed down
//! ([`metrics`]); the process adds what the system says of it at each scrape ([`process`]). Readiness is one value with a reason, drawn from
//! a few conditions that `app` reports ([`readiness`]). The log goes to standard error ([`logging`]); its lines are counted (`logged`), and the
//! newest are kept in memory ([`recent`]). What came of reading the configuration again is counted ([`reloads`]). Spans of workflows and attempts go
//! to a collector, if one is configured ([`traces`]).
//! Where processor time goes can be sampled ([`profile`]).

mod logged;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod profile;
pub mod readiness;
pub mod recent;
pub mod reloads;
pub mod traces;
