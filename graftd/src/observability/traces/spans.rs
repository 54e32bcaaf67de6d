//! Facts as spans of OTLP.

use graft_machine::time::Millis;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use super::facts::{Attempt, End, Fact, Outcome, Subject, What};
use super::trail::{At, Links, Relation, Trail};

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_MICRO: u64 = 1_000;
/// What every exported span says of itself: it is recorded.
const SAMPLED: u32 = 1;

/// The span of a fact, if it has one. `trail` is what came before it.
pub(super) fn of(fact: &Fact, trail: &Trail) -> Option<Span> {
    match &fact.what {
        What::Ended(attempt) => Some(of_attempt(&fact.of, fact.at, attempt, trail)),
        What::WorkflowEnded(end) => Some(of_workflow(&fact.of, fact.at, end, trail)),
        What::Started(_) | What::GivenUp { .. } | What::Joined { .. } | What::Redriven { .. } | What::Discarded(_) | What::Aside => None,
    }
}

/// From when the worker began, as far as that is known: it told how long its node ran, and that has ended at the latest when it was noted.
fn of_attempt(of: &Subject, at: Millis, attempt: &Attempt, trail: &Trail) -> Span {
    let Attempt { task, number, node, worker, took_us, outcome, message, .. } = attempt;
    let end = nanos(at);
    let begin = end.saturating_sub(took_us.saturating_mul(NANOS_PER_MICRO)).max(nanos(of.created)).min(end);
    let (relation, Links { to, more }) = trail.links(*task);
    let link = |At { task, attempt }: At| link(of, of.trace.attempt_span(task, attempt), relation.word());
    let code = match outcome {
        Outcome::Completed => StatusCode::Ok,
        Outcome::Failed(_) => StatusCode::Error,
        Outcome::Blocked | Outcome::HandedBack | Outcome::Ignored => StatusCode::Unset,
    };
    let mut attributes = subject(of);
    attributes.extend([
        text("graft.node", node),
        number_of("graft.task", u64::from(*task)),
        number_of("graft.attempt", u64::from(*number)),
        text("graft.outcome", outcome.word()),
    ]);
    attributes.extend(outcome.failure().map(|kind| text("error.type", kind)));
    attributes.extend((!worker.is_empty()).then(|| text("graft.worker", worker)));
    // Only the description of an error belongs to a status.
    attributes.extend((code != StatusCode::Error && !message.is_empty()).then(|| text("graft.reason", message)));
    Span {
        trace_id: of.trace.id.to_be_bytes().to_vec(),
        span_id: of.trace.attempt_span(*task, *number).to_be_bytes().to_vec(),
        parent_span_id: of.trace.workflow_span().to_be_bytes().to_vec(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32,
        name: node.clone(),
        kind: SpanKind::Consumer.into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: end,
        attributes,
        links: to.into_iter().map(link).collect(),
        dropped_links_count: more,
        status: Some(status(code, message)),
        ..Span::default()
    }
}

/// From its acceptance, or its reopening, to its end.
fn of_workflow(of: &Subject, at: Millis, End { outcome, is_error, reason }: &End, trail: &Trail) -> Span {
    let remote = if of.trace.caller.is_some() { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let code = if *is_error { StatusCode::Error } else { StatusCode::Ok };
    let mut attributes = subject(of);
    attributes.push(text("graft.outcome", outcome));
    attributes.extend((!is_error && !reason.is_empty()).then(|| text("graft.reason", reason)));
    Span {
        trace_id: of.trace.id.to_be_bytes().to_vec(),
        span_id: of.trace.workflow_span().to_be_bytes().to_vec(),
        parent_span_id: of.trace.caller.map(|caller| caller.span.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
        name: format!("workflow {}", of.id),
        kind: SpanKind::Consumer.into(),
        start_time_unix_nano: nanos(trail.reopened().unwrap_or(of.created)),
        end_time_unix_nano: nanos(at),
        attributes,
        links: of.trace.earlier_life().map(|earlier| link(of, earlier, "reopened")).into_iter().collect(),
        status: Some(status(code, reason)),
        ..Span::default()
    }
}

impl Relation {
    fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Follows => "follows",
            Self::Join => "join",
        }
    }
}

fn nanos(at: Millis) -> u64 {
    at.saturating_mul(NANOS_PER_MILLI)
}

fn subject(of: &Subject) -> Vec<KeyValue> {
    vec![text("graft.namespace", &of.namespace), text("graft.workflow.id", &of.id), number_of("graft.run", of.run)]
}

fn link(of: &Subject, span: u64, why: &str) -> Link {
    Link {
        trace_id: of.trace.id.to_be_bytes().to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        attributes: vec![text("graft.link", why)],
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32,
        ..Link::default()
    }
}

fn status(code: StatusCode, message: &str) -> Status {
    let message = if code == StatusCode::Error { message.to_owned() } else { String::new() };
    Status { code: code.into(), message }
}

/// An attribute.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number_of(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use graft_machine::command::FailureKind;
    use graft_machine::trace::TraceParent;
    use graft_machine::workflow::Workflow;

    use super::*;
    use crate::observability::traces::facts::Born;
    use crate::observability::traces::ids::Trace;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn subject(reopened: u32) -> Subject {
        let traceparent = TraceParent::parse(CALLER);
        let workflow =
            Workflow { namespace: "ns".into(), id: "w".into(), run: 7, created: 1_000, reopened, traceparent, ..Workflow::default() };
        Subject::of(&workflow, Trace::of(&workflow))
    }

    fn fact(at: Millis, what: What) -> Fact {
        Fact { of: subject(0), number: 3, at, what }
    }

    fn told(span: &Span, key: &str) -> Option<Value> {
        span.attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| attribute.value.clone()?.value)
    }

    #[test]
    fn an_attempt_begins_as_long_before_its_end_as_it_took_and_not_before_its_workflow() {
        let spent = |at, took_us| {
            let attempt = Attempt { task: 2, number: 1, node: "n".into(), took_us, ..Attempt::default() };
            let span = of(&fact(at, What::Ended(attempt)), &Trail::default()).expect("a span");
            (span.start_time_unix_nano, span.end_time_unix_nano)
        };
        assert_eq!(spent(1_500, 20_003), (1_479_997_000, 1_500_000_000));
        assert_eq!(spent(1_500, 0), (1_500_000_000, 1_500_000_000), "nobody knows how long");
        assert_eq!(spent(1_500, 600_000), (1_000_000_000, 1_500_000_000), "a worker's clock may be fast");
        assert_eq!(spent(1_500, u64::MAX), (1_000_000_000, 1_500_000_000));
        assert_eq!(spent(900, 5), (900_000_000, 900_000_000), "never backwards");
    }

    #[test]
    fn a_failure_is_an_error_in_its_own_words_and_what_is_none_gives_a_reason() {
        let attempt = |outcome| {
            let what = What::Ended(Attempt { task: 2, number: 1, outcome, message: "why".into(), ..Attempt::default() });
            of(&fact(1_500, what), &Trail::default()).expect("a span")
        };
        let lost = attempt(Outcome::Failed(FailureKind::Lost));
        assert_eq!(lost.status, Some(Status { code: StatusCode::Error.into(), message: "why".into() }));
        assert_eq!((told(&lost, "error.type"), told(&lost, "graft.reason")), (Some(Value::StringValue("lost".into())), None));
        let back = attempt(Outcome::HandedBack);
        assert_eq!(back.status, Some(Status { code: StatusCode::Unset.into(), message: String::new() }));
        assert_eq!((told(&back, "error.type"), told(&back, "graft.reason")), (None, Some(Value::StringValue("why".into()))));
    }

    #[test]
    fn each_life_of_a_workflow_has_a_span_from_its_beginning() {
        let end = || What::WorkflowEnded(End { outcome: "completed", is_error: false, reason: String::new() });
        let first = of(&fact(2_000, end()), &Trail::default()).expect("a span");
        assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano, first.links.len()), (1_000_000_000, 2_000_000_000, 0));
        let mut trail = Trail::default();
        trail.saw(9, 3_000, &What::Redriven { again: Born { task: 1, scope: 0 }, reopened: true });
        let second = of(&Fact { of: subject(1), ..fact(4_000, end()) }, &trail).expect("a span");
        assert_eq!((second.start_time_unix_nano, &second.links[0].span_id), (3_000_000_000, &first.span_id));
        assert_ne!(first.span_id, second.span_id);
    }
}
