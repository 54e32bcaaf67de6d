//! Spans out of the door: gathered, sent in batches, and given up where the collector does not take them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use graft_machine::event::Event;
use graft_machine::ids::Run;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::collector::Collector;
use super::facts::{Fact, What};
use super::spans;
use super::trail::{Trail, Trails};
use crate::built;
use crate::observability::metrics::TraceMetrics;

/// Most spans of one message to the collector.
const BATCH_SPANS: usize = 512;
/// Longest time that a span waits for others, before they are sent.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// How often a batch is sent that the collector does not take for now.
const TRIES: u32 = 3;
/// A history of more events is not read again for the sake of links.
const HISTORY_MAX: u64 = 1_000;

/// Reads the history of a run up to an event, that one left out.
pub type History = Box<dyn Fn(Run, u64) -> BoxFuture<'static, Vec<Arc<Event>>> + Send + Sync>;

/// Makes spans of what became true, and brings them to the collector. See the folder.
pub struct Exporter {
    facts: mpsc::Receiver<Fact>,
    collector: Collector,
    trails: Trails,
    metrics: TraceMetrics,
    /// The last batch was given up: that is told once.
    failing: bool,
}

impl Exporter {
    pub(super) fn new(facts: mpsc::Receiver<Fact>, collector: Collector, metrics: TraceMetrics) -> Self {
        Self { facts, collector, trails: Trails::default(), metrics, failing: false }
    }

    /// Exports until it is told to stop, and then what is left.
    pub async fn run(mut self, history: History, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_SPANS);
        loop {
            let fact = tokio::select! {
                biased;
                fact = self.facts.recv() => fact,
                () = stop.cancelled() => None,
            };
            let Some(fact) = fact else { break };
            self.take(fact, &history, &mut batch).await;
            let until = Instant::now() + BATCH_WAIT;
            while batch.len() < BATCH_SPANS {
                let next = stop.run_until_cancelled(timeout_at(until, self.facts.recv())).await;
                let Some(Ok(Some(fact))) = next else { break };
                self.take(fact, &history, &mut batch).await;
            }
            self.send(std::mem::take(&mut batch), TRIES).await;
        }
        // Whoever waits for the end does not wait for a collector that is away.
        self.facts.close();
        while let Some(fact) = self.facts.recv().await {
            self.take(fact, &history, &mut batch).await;
            if batch.len() == BATCH_SPANS {
                self.send(std::mem::take(&mut batch), 1).await;
            }
        }
        self.send(batch, 1).await;
    }

    async fn take(&mut self, fact: Fact, history: &History, batch: &mut Vec<Span>) {
        let Fact { of, number, at, what } = &fact;
        let mut trail = self.trails.take(of.run);
        // Forgotten, dropped on the way here, or seen by another leader: what came before stands in the history.
        if !trail.leads_to(*number) {
            trail = Trail::default();
            let before = if *number <= HISTORY_MAX { history(of.run, *number).await } else { Vec::new() };
            for event in before {
                if let Some(what) = What::of(&event) {
                    trail.saw(event.number, event.at, &what);
                }
            }
        }
        batch.extend(spans::of(&fact, &trail));
        trail.saw(*number, *at, what);
        if !matches!(what, What::WorkflowEnded(_)) {
            self.trails.put(of.run, trail);
        }
    }

    async fn send(&mut self, spans: Vec<Span>, tries: u32) {
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        let scope = InstrumentationScope { name: "graftd".into(), version: built::VERSION.into(), ..Default::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
        let resource_spans = vec![ResourceSpans { resource: Some(self.collector.resource.clone()), scope_spans, ..Default::default() }];
        let request = ExportTraceServiceRequest { resource_spans };
        match self.collector.export(request, tries).await {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                self.metrics.exported.inc_by(count - rejected);
                self.metrics.rejected.inc_by(rejected);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(endpoint = self.collector.address.endpoint, "the collector takes spans again");
                }
            }
            Err(why) => {
                self.metrics.not_taken.inc_by(count);
                if !std::mem::replace(&mut self.failing, true) {
                    let endpoint = &self.collector.address.endpoint;
                    tracing::warn!(endpoint, spans = count, "the collector takes no spans, and they are given up until it does: {why}");
                }
            }
        }
    }
}
