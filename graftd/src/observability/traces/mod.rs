//! Spans: what a workflow did, in the traces of whoever started it.
//!
//! A workflow can take days, move from leader to leader and be joined from a thousand branches; a span is something that one process opens, keeps in
//! memory and closes. So nothing is opened here. A span is made when it is over, of the event that says so, with an id that was never drawn: it is the
//! hash of what names the thing ([`ids`]). Everybody who knows the workflow's record knows the ids of its spans: the leader that exports an attempt, the
//! one before it that exported an earlier one, and the worker that was handed the attempt's `traceparent` to go on from. So a retry can be linked to
//! an attempt that another leader saw, and nothing of this is stored. What is stored with the workflow is what it was told at its start: the caller's
//! trace, span and sampling flag ([`graft_machine::trace`]).
//!
//! ```text
//! caller's span                                    from `traceparent`, if there was one
//! └─ workflow ID           start … end             one for each life: a workflow that is redriven has another, linked to the first
//!    ├─ charge   #1        failed                  one for each attempt
//!    ├─ charge   #2        completed               linked to #1 (retry)
//!    ├─ pick, pick, pick                           linked to what created them (follows)
//!    └─ ship                                       linked to each that was joined (join)
//! ```
//!
//! All attempts are children of their workflow, since a graph that grows for a week is no tree; what followed what, what was tried again and what was
//! joined, links say, with an attribute `graft.link`.
//!
//! **Who exports.** The member that proposed an entry, where it applies it: the leader, and each event once (as the metrics, see
//! [`crate::observability::metrics`]). A span leaves a second after it ended, at most, so what a leader takes with it when it dies is what it had
//! proposed and not yet applied, and what waited here: those spans are missing, and none is doubled. Their children and links name ids that nobody
//! exported, and everything else is right: no state is lost with them. A collector whose answer is lost may be sent a batch twice; the ids tell.
//!
//! **Links need memory** of what came before ([`trail`]). It is made of the same facts, bounded, and read again from the history where this
//! leader has missed something of a run, if that is not too long.
//!
//! **Never in the way.** Apply hands over small facts ([`facts`]) and waits for nothing: what does not fit the queue is counted and gone
//! (`graft_trace_spans_dropped_total`), and so is what the collector does not take ([`collector`]).
//!
//! **Time.** The end of a span is when it was noted, by the machine's time. An attempt begins as long before as its worker says that the node ran; one
//! that was lost, as long as the leader had it handed out; where neither is known the span has no length. So it can lie some milliseconds later than
//! the worker's own spans below it.
//!
//! **The log** has the same, for whoever wants it (`history=debug`), with the ids of trace and span where there are any.
//!
//! **Which.** A caller that told a span decides for its workflow, by its flag. Others are sampled by their trace's id. `tracestate` is not kept.

pub mod collector;
pub mod export;
pub mod facts;
pub mod ids;
mod lines;
mod spans;
pub mod trail;

use std::sync::Arc;

use graft_machine::event::Event;
use graft_machine::state::StateRead;
use graft_machine::tables::{RunKey, Workflows};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::IntCounter;
use tokio::sync::mpsc;

use super::metrics::TraceMetrics;
use crate::built;
use collector::{Address, Collector};
use export::Exporter;
use facts::{Fact, Subject, What};
use ids::{Policy, Trace};

/// Facts that wait to be exported; more are dropped.
const FACTS_QUEUED: usize = 16_384;

/// Who exports.
#[derive(Clone, Debug)]
pub struct Exporting {
    /// Name of the member.
    pub member: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Of a million traces without a caller, so many are exported.
    pub sampled_ppm: u32,
}

/// What is told of the history, on its way to the exporter. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    policy: Policy,
    facts: Option<mpsc::Sender<Fact>>,
    dropped: Option<IntCounter>,
}

impl Traces {
    /// Nothing is exported.
    pub fn none() -> Self {
        Self::default()
    }

    /// What is told goes to the collector at the other end of the channel, as soon as the exporter runs.
    pub fn exported(exporting: Exporting, address: Address, metrics: &TraceMetrics) -> (Self, Exporter) {
        let Exporting { member, cluster, sampled_ppm } = exporting;
        let attributes = vec![
            spans::text("service.name", "graftd"),
            spans::text("service.namespace", &cluster),
            spans::text("service.instance.id", &member),
            spans::text("service.version", built::VERSION),
        ];
        let collector = Collector { address, resource: Resource { attributes, ..Resource::default() } };
        let (facts, receiver) = mpsc::channel(FACTS_QUEUED);
        let policy = Policy { sampled_ppm: Some(sampled_ppm) };
        let traces = Self { policy, facts: Some(facts), dropped: Some(metrics.queue_full.clone()) };
        (traces, Exporter::new(receiver, collector, metrics.clone()))
    }

    /// Which are exported, and what nodes are handed.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Takes in what became true; `state` is what it led to. Waits for nothing.
    pub fn saw(&self, state: &impl StateRead, events: &[Arc<Event>]) {
        let logged = lines::are_wanted();
        if self.facts.is_none() && !logged {
            return;
        }
        for event in events {
            let Some(what) = What::of(event) else { continue };
            // One that was replaced within the same command is gone.
            let Some(workflow) = state.get::<Workflows>(&RunKey { run: event.run }) else { continue };
            let trace = Trace::of(&workflow);
            let recorded = self.policy.records(&trace);
            let fact = Fact { of: Subject::of(&workflow, trace), number: event.number, at: event.at, what };
            if logged {
                lines::tell(&fact, recorded);
            }
            if recorded {
                self.export(fact);
            }
        }
    }

    fn export(&self, fact: Fact) {
        if let Some(facts) = &self.facts
            && let Err(full) = facts.try_send(fact)
            && full.into_inner().what.has_a_span()
            && let Some(dropped) = &self.dropped
        {
            dropped.inc();
        }
    }
}
