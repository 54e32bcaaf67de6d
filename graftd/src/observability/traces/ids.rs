//! The ids of spans, derived and never drawn: whoever knows the workflow's record knows them.

use graft_machine::ids::{AttemptRef, Run, TaskId};
use graft_machine::trace::TraceParent;
use graft_machine::workflow::Workflow;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// A million parts of a million: everything.
pub const ALL_PPM: u32 = 1_000_000;

/// A workflow's trace. Made of its record, in a few hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id: that of the caller's trace, or one of its own.
    pub id: u128,
    /// The caller's span, if it told one.
    pub caller: Option<TraceParent>,
    run: Run,
    /// How often the workflow was reopened: each life has a span.
    life: u32,
}

impl Trace {
    /// That of a workflow. Without a caller it is made of what tells this run from any other, in whatever cluster: a copy that was restored from a
    /// backup goes on with the same ones, for what had been started before.
    pub fn of(workflow: &Workflow) -> Self {
        let Workflow { run, created, id, traceparent: caller, reopened: life, .. } = workflow;
        let made = || {
            let life = u128::from(*run) << 64 | u128::from(*created);
            xxh3_128_with_seed(id.as_bytes(), xxh3_64(&life.to_be_bytes())).max(1)
        };
        Self { id: caller.map_or_else(made, |caller| caller.trace()), caller: *caller, run: *run, life: *life }
    }

    /// The span of the workflow, in its present life.
    pub fn workflow_span(&self) -> u64 {
        self.span(0, self.life)
    }

    /// The span of the life before; `None`: it is the first.
    pub fn earlier_life(&self) -> Option<u64> {
        Some(self.span(0, self.life.checked_sub(1)?))
    }

    /// The span of an attempt.
    pub fn attempt_span(&self, task: TaskId, attempt: u32) -> u64 {
        self.span(task, attempt)
    }

    /// Tasks are numbered from 1, so that 0 is the workflow.
    fn span(&self, task: TaskId, number: u32) -> u64 {
        let numbers = (u128::from(self.run) << 64) | (u128::from(task) << 32) | u128::from(number);
        let mut named = [0; 32];
        named[..16].copy_from_slice(&self.id.to_be_bytes());
        named[16..].copy_from_slice(&numbers.to_be_bytes());
        xxh3_64(&named).max(1)
    }
}

/// Which workflows' spans are exported, and what nodes are handed. The same on all members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Of a million traces that have no caller, so many; `None`: no spans are exported at all.
    pub sampled_ppm: Option<u32>,
}

impl Policy {
    /// Whether the spans of a workflow are exported: as its caller says, or else by the trace's id, so that all who ask answer alike.
    pub fn records(&self, trace: &Trace) -> bool {
        match (self.sampled_ppm, trace.caller) {
            (None, _) => false,
            (Some(_), Some(caller)) => caller.is_sampled(),
            (Some(ppm), None) => (trace.id % u128::from(ALL_PPM)) < u128::from(ppm),
        }
    }

    /// What the node of an attempt goes on from. Its attempt's span, if that is exported; else the caller's, as it was told, since no span may have a
    /// parent that nobody ever sees. Without either, where others are exported, one that says that this trace is not.
    pub fn handed(&self, trace: &Trace, at: AttemptRef) -> Option<TraceParent> {
        let of_attempt = |sampled| TraceParent::of(trace.id, trace.attempt_span(at.task, at.attempt), sampled);
        if self.records(trace) {
            return Some(of_attempt(true));
        }
        trace.caller.or_else(|| self.sampled_ppm.map(|_| of_attempt(false)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const AT: AttemptRef = AttemptRef { run: 7, task: 2, attempt: 3 };
    const EVERYTHING: Policy = Policy { sampled_ppm: Some(ALL_PPM) };
    const NOTHING: Policy = Policy { sampled_ppm: Some(0) };
    const OFF: Policy = Policy { sampled_ppm: None };

    fn workflow(run: Run, caller: Option<&str>) -> Workflow {
        let traceparent = caller.and_then(TraceParent::parse);
        Workflow { run, id: "order-1".into(), created: 1_000, traceparent, ..Workflow::default() }
    }

    #[test]
    fn ids_stay_what_they_are() {
        // Spans that were exported by one build are linked to by the next.
        let trace = Trace::of(&workflow(7, None));
        let told = format!("{:032x} {:016x} {:016x}", trace.id, trace.workflow_span(), trace.attempt_span(2, 3));
        assert_eq!(told, "1a3013355e6ec00ecdae70256a6785c9 94e6322de8b6b74e ca18a920da34e63b");
    }

    #[test]
    fn no_two_spans_have_the_same_id() {
        let mut ids = BTreeSet::new();
        for run in [1, 2] {
            for life in [0, 1] {
                ids.insert(Trace::of(&Workflow { reopened: life, ..workflow(run, Some(CALLER)) }).workflow_span());
            }
            let trace = Trace::of(&workflow(run, Some(CALLER)));
            ids.extend((1..4).flat_map(|task| (1..4).map(move |attempt| trace.attempt_span(task, attempt))));
        }
        assert_eq!(ids.len(), 2 * (2 + 9));
        let reopened = Trace::of(&Workflow { reopened: 1, ..workflow(1, None) });
        assert_eq!(reopened.earlier_life(), Some(Trace::of(&workflow(1, None)).workflow_span()));
        assert_eq!(Trace::of(&workflow(1, None)).earlier_life(), None);
    }

    #[test]
    fn a_caller_decides_and_else_the_trace_does() {
        let (called, unsampled) = (Trace::of(&workflow(7, Some(CALLER))), Trace::of(&workflow(7, Some(&CALLER.replace("-01", "-00")))));
        assert!(NOTHING.records(&called) && !EVERYTHING.records(&unsampled) && !OFF.records(&called));
        let half = Policy { sampled_ppm: Some(ALL_PPM / 2) };
        let recorded = (0..1_000).filter(|run| half.records(&Trace::of(&workflow(*run, None)))).count();
        assert!((400..600).contains(&recorded), "{recorded} of 1000");
        let own = Trace::of(&workflow(7, None));
        assert!(EVERYTHING.records(&own) && !NOTHING.records(&own) && !OFF.records(&own));
    }

    #[test]
    fn a_node_goes_on_from_a_span_that_somebody_sees() {
        let (called, own) = (Trace::of(&workflow(7, Some(CALLER))), Trace::of(&workflow(7, None)));
        let handed = EVERYTHING.handed(&called, AT).expect("a span");
        assert_eq!((handed.trace(), handed.span, handed.is_sampled()), (called.id, called.attempt_span(2, 3), true));
        assert_eq!(OFF.handed(&called, AT), called.caller, "nobody would see the attempt's");
        assert_eq!(OFF.handed(&own, AT), None);
        assert_eq!(NOTHING.handed(&own, AT).map(|handed| (handed.trace(), handed.is_sampled())), Some((own.id, false)));
    }
}
