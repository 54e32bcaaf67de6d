//! A workflow that has ended, whole, as one JSON document: itself, its last state, its dead letters, its history.
//!
//! The document is written a part at a time, as its reader takes it, and each part is read from a view of its own: neither the history nor
//! an old view is held for a slow reader. What has ended can still change: a redrive reopens it, a discard takes a dead letter and adds to the
//! history, and when its retention is over it is deleted, a step at a time. Then the export ends with an error, so that no document mixes
//! two states, or tells half of one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use graft_convert::{events, names, tasks, workflows};
use graft_machine::ids::TaskId;
use graft_machine::state::StateRead;
use graft_machine::tables::RunEventKey;
use graft_machine::view;
use graft_machine::workflow::Workflow;
use graft_proto::documents::{API_VERSION, Document, Event, RawJson, TaskSummary, WorkflowExport, WorkflowSummary};
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1;
use serde::Serialize;
use tonic::Status;

use super::redacted::Hidden;
use super::requests::Target;
use super::{Shared, history};

/// Largest piece that is sent at once, in bytes.
pub const PIECE_BYTES_MAX: usize = 256 << 10;
/// Events that are read at once.
const EVENTS_STEP: usize = 256;
/// Tasks that are read at once.
const TASKS_STEP: usize = 16;
/// State of a task that was given up, in the words of the protocol.
const GIVEN_UP: &str = "dead-lettered";

/// What `Export` answers with.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<v1::ExportResponse, Status>> + Send>>;

/// The document of the workflow that the target names now, in pieces. The state here has to be fresh.
pub(super) fn export(shared: Arc<Shared>, mut target: Target, hidden: Hidden) -> Result<Pieces, Fault> {
    let workflow = {
        let state = shared.latest();
        let workflow = target.find(&state)?;
        target.run = workflow.run;
        kept(&state, &target, &workflow)?;
        workflow
    };
    if !workflow.kind().is_final() {
        let status: v1::WorkflowStatus = workflows::status(workflow.kind());
        let detail = format!("has not ended: it is {}", word(status));
        return Err(Fault::new(ErrorCode::NotEnded, names::workflow_object(&target.namespace, &target.id, target.run), detail));
    }
    let writing = Writing { shared, target, hidden, workflow, next: Part::Head, pieces: VecDeque::new() };
    Ok(Box::pin(stream::try_unfold(writing, Writing::piece)))
}

fn word(status: v1::WorkflowStatus) -> String {
    serde_json::to_value(graft_proto::documents::workflow::WorkflowStatus::from(status))
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// What is written next.
#[derive(Clone, Debug)]
enum Part {
    Head,
    /// Dead letters behind this task; whether one has been written.
    DeadLetters(TaskId, bool),
    /// Events behind this one.
    Events(Option<RunEventKey>),
    Nothing,
}

/// A document that is being written.
struct Writing {
    shared: Arc<Shared>,
    target: Target,
    /// From whoever asked.
    hidden: Hidden,
    /// As it was when the export began.
    workflow: Arc<Workflow>,
    next: Part,
    /// Written, not sent.
    pieces: VecDeque<Bytes>,
}

impl Writing {
    async fn piece(mut self) -> Result<Option<(v1::ExportResponse, Self)>, Status> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some((v1::ExportResponse { piece }, self)));
            }
            if matches!(self.next, Part::Nothing) {
                return Ok(None);
            }
            if self.shared.shutdown.is_cancelled() {
                return Err(Fault::shutting_down().into());
            }
            let (target, workflow, part, hidden) = (self.target.clone(), self.workflow.clone(), self.next.clone(), self.hidden.clone());
            let read = move |view: &crate::consensus::View| {
                unchanged(view, &target, &workflow)?;
                write(view, &workflow, part, &hidden)
            };
            let (text, next) = self.shared.read_view(read).await??;
            self.next = next;
            self.pieces = cut(text.into());
        }
    }
}

/// Refuses a run whose retention is over: it may be half deleted. The machine deletes nothing before its own time has come so far.
fn kept(state: &impl StateRead, target: &Target, workflow: &Workflow) -> Result<(), Fault> {
    match view::retention_over(workflow) {
        Some(over) if over <= view::meta(state).time => {
            let object = names::workflow_object(&target.namespace, &target.id, target.run);
            Err(Fault::new(ErrorCode::WorkflowNotFound, object, "is being deleted: its retention is over"))
        }
        _ => Ok(()),
    }
}

/// Refuses to go on if the workflow is not what it was.
fn unchanged(state: &impl StateRead, target: &Target, before: &Workflow) -> Result<(), Fault> {
    let now = target.find(state)?;
    kept(state, target, &now)?;
    // Whatever happens to it is an event; a dead letter may also go without one, in the sweep after a termination.
    let stand = |workflow: &Workflow| (workflow.ended_at(), workflow.revision, workflow.events, workflow.dead_letters);
    if now.kind().is_final() && stand(&now) == stand(before) {
        return Ok(());
    }
    let object = names::workflow_object(&target.namespace, &target.id, target.run);
    Err(Fault::new(ErrorCode::NotEnded, object, "has changed while it was exported").remedy("export it again once it has ended"))
}

/// A part as text, and what follows it.
fn write(state: &impl StateRead, workflow: &Workflow, part: Part, hidden: &Hidden) -> Result<(Vec<u8>, Part), Fault> {
    let mut text = Vec::new();
    let next = match part {
        Part::Head => {
            let summary = WorkflowSummary::from(&workflows::summary(workflow));
            text.extend_from_slice(
                format!("{{\"apiVersion\":\"{API_VERSION}\",\"kind\":\"{}\",\"workflow\":", WorkflowExport::KIND).as_bytes(),
            );
            put(&mut text, &summary)?;
            text.extend_from_slice(b",\"state\":");
            put(&mut text, &RawJson::from_payload(workflows::state(workflow).map(|state| hidden.show(state))))?;
            text.extend_from_slice(b",\"dead_letters\":[");
            Part::DeadLetters(0, false)
        }
        Part::DeadLetters(after, mut begun) => {
            let page = view::tasks(state, workflow.run, after, TASKS_STEP);
            for (number, task) in &page {
                let summary = tasks::summary(*number, task);
                if summary.state == GIVEN_UP {
                    text.extend_from_slice(if begun { b"," } else { b"" });
                    put(&mut text, &TaskSummary::from(&hidden.show(summary)))?;
                    begun = true;
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == TASKS_STEP => Part::DeadLetters(*last, begun),
                _ => {
                    text.extend_from_slice(b"],\"events\":[");
                    Part::Events(None)
                }
            }
        }
        Part::Events(after) => {
            let page = history::page(state, workflow.run, after.as_ref(), EVENTS_STEP);
            let epoch = history::epoch(state);
            for (at, (key, event)) in page.events.iter().enumerate() {
                text.extend_from_slice(if at > 0 || after.is_some() { b"," } else { b"" });
                put(&mut text, &Event::from(hidden.show(events::event(epoch, key, event))))?;
            }
            match page.events.last() {
                Some((key, _)) if page.more => Part::Events(Some(key.clone())),
                _ => {
                    text.extend_from_slice(b"]}\n");
                    Part::Nothing
                }
            }
        }
        Part::Nothing => Part::Nothing,
    };
    Ok((text, next))
}

fn put(text: &mut Vec<u8>, part: &impl Serialize) -> Result<(), Fault> {
    serde_json::to_writer(text, part)
        .map_err(|error| Fault::new(ErrorCode::Internal, "a part of the export", format!("cannot be written: {error}")))
}

/// Pieces of at most [`PIECE_BYTES_MAX`].
fn cut(mut text: Bytes) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    while !text.is_empty() {
        pieces.push_back(text.split_to(text.len().min(PIECE_BYTES_MAX)));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_machine::event::{Event as Told, Happened, WorkflowStarted};
    use graft_machine::memory::Memory;
    use graft_machine::state::StateTx;
    use graft_machine::tables::{
        EventKey, Events, Meta, MetaKey, MetaRecord, NameKey, NameRecord, Names, RunEvents, RunKey, TaskKey, Tasks, Workflows,
    };
    use graft_machine::task::{DeadLettered, Ready, Task, TaskState};
    use graft_machine::workflow::{Ended, Status as Doing};

    const RUN: u64 = 7;

    fn workflow() -> Workflow {
        Workflow {
            namespace: "default".into(),
            id: "a".into(),
            run: RUN,
            state: Bytes::from_static(b"{\"f\": 1.50}"),
            retention: 1_000,
            status: Some(Doing::Completed(Ended { at: 9, ..Ended::default() })),
            ..Workflow::default()
        }
    }

    /// `events` events, and `tasks` tasks of which every third was given up.
    fn state(events: u64, tasks: u32) -> Memory {
        let mut state = Memory::new();
        for number in 1..=events {
            let happened = Happened::Started(WorkflowStarted { principal: format!("p{number}"), ..WorkflowStarted::default() });
            let event = Told { run: RUN, number, at: number, happened: Some(happened) };
            state.put::<RunEvents>(RunEventKey { run: RUN, index: number, ordinal: 0 }, ());
            state.put::<Events>(EventKey { index: number, ordinal: 0 }, event);
        }
        for task in 1..=tasks {
            let given_up = TaskState::DeadLettered(DeadLettered::default());
            let now = if task % 3 == 0 { given_up } else { TaskState::Ready(Ready::default()) };
            let record = Task { node: "n".into(), state: Some(now), ..Task::default() };
            state.put::<Tasks>(TaskKey { run: RUN, task }, record);
        }
        state.put::<Names>(NameKey { namespace: "default".into(), id: "a".into() }, NameRecord { run: RUN });
        state.put::<Workflows>(RunKey { run: RUN }, workflow());
        state
    }

    /// The document, and how many parts it was written in.
    fn written(state: &Memory) -> (String, usize) {
        let (mut text, mut part, mut parts) = (Vec::new(), Part::Head, 0);
        while !matches!(part, Part::Nothing) {
            let (more, next) = write(state, &workflow(), part, &Hidden::nothing()).expect("written");
            text.extend(more);
            (part, parts) = (next, parts + 1);
        }
        (String::from_utf8(text).expect("text"), parts)
    }

    #[test]
    fn the_document_is_whole_whatever_the_size_of_its_parts() {
        for (events, tasks) in [(0, 0), (1, 3), (EVENTS_STEP as u64, 16), (EVENTS_STEP as u64 + 1, 17), (1_000, 100)] {
            let (text, parts) = written(&state(events, tasks));
            let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let numbers: Vec<_> = document["events"].as_array().expect("a list").iter().map(|event| event["number"].as_u64()).collect();
            assert_eq!(numbers, (1..=events).map(Some).collect::<Vec<_>>());
            let letters: Vec<_> = document["dead_letters"].as_array().expect("a list").iter().map(|task| task["task"].as_u64()).collect();
            assert_eq!(letters, (1..=u64::from(tasks) / 3).map(|n| Some(n * 3)).collect::<Vec<_>>());
            assert!(text.contains("\"state\":{\"f\": 1.50}") && text.ends_with("]}\n"), "the state is as it was written");
            assert!(parts as u64 > events / EVENTS_STEP as u64, "a long history is written in several parts");
        }
    }

    #[test]
    fn a_workflow_that_has_gone_on_is_not_exported_any_further() {
        let target = Target::new(String::new(), "a".into(), RUN).expect("good names");
        let mut state = state(1, 0);
        unchanged(&state, &target, &workflow()).expect("as it was");
        state.put::<Workflows>(RunKey { run: RUN }, Workflow { revision: 1, ..workflow() });
        assert_eq!(unchanged(&state, &target, &workflow()).expect_err("changed").code, ErrorCode::NotEnded);
        // A discard in what has failed leaves its end and its state as they were.
        for other in [Workflow { events: 1, ..workflow() }, Workflow { dead_letters: 1, ..workflow() }] {
            state.put::<Workflows>(RunKey { run: RUN }, other);
            assert_eq!(unchanged(&state, &target, &workflow()).expect_err("changed").code, ErrorCode::NotEnded);
        }
        state.delete::<Workflows>(&RunKey { run: RUN });
        assert_eq!(unchanged(&state, &target, &workflow()).expect_err("gone").code, ErrorCode::WorkflowNotFound);
    }

    #[test]
    fn a_workflow_whose_retention_is_over_is_not_exported_though_it_may_still_be_there() {
        let target = Target::new(String::new(), "a".into(), RUN).expect("good names");
        let mut state = state(1, 0);
        let workflow = Workflow { retention: 5, ..workflow() };
        state.put::<Workflows>(RunKey { run: RUN }, workflow.clone());
        for (time, is_kept) in [(13, true), (14, false), (15, false)] {
            state.put::<Meta>(MetaKey {}, MetaRecord { time, ..MetaRecord::default() });
            let told = (unchanged(&state, &target, &workflow), kept(&state, &target, &workflow));
            match told {
                (Ok(()), Ok(())) => assert!(is_kept, "at {time}"),
                (Err(one), Err(other)) => {
                    assert_eq!((is_kept, one.code, other.code), (false, ErrorCode::WorkflowNotFound, ErrorCode::WorkflowNotFound));
                    assert!(one.detail.contains("retention is over"), "{one}");
                }
                other => panic!("the beginning and what follows differ: {other:?}"),
            }
        }
    }

    #[test]
    fn pieces_are_bounded_and_lose_nothing() {
        for size in [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 3 * PIECE_BYTES_MAX] {
            let pieces = cut(vec![b'x'; size].into());
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE_BYTES_MAX));
            assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), size);
        }
    }
}
