//! Which messages hold payload, and where in them.

use std::borrow::Cow;

use graft_proto::errors::ErrorCode;
use graft_proto::v1::event::Happened;
use graft_proto::v1::operation::Change;
use graft_proto::v1::{Completed, Event, NewTask, Operation, Payload, RedriveRequest, StartRequest, TaskSummary};
use serde_json::Value;

use super::document::{Coder, Stuck};
use super::{PayloadCodec, PayloadPart};
use crate::RawJson;
use crate::error::ClientError;
use crate::failure::Failure;

/// What could not be encoded or decoded, for whoever has to be told.
#[derive(Debug)]
pub(crate) struct Broken {
    workflow_id: String,
    namespace: String,
    /// `its state at /a cannot be decoded: no such key (key "b")`.
    what: String,
    /// Trying again is vain.
    vain: bool,
}

impl Broken {
    pub(crate) fn into_error(self, operation: &str) -> ClientError {
        let object = match self.workflow_id.as_str() {
            "" => format!("payload in namespace \"{}\"", self.namespace),
            id => format!("workflow \"{id}\" in namespace \"{}\"", self.namespace),
        };
        ClientError::new(ErrorCode::PayloadCodec, operation, object, self.what)
    }

    pub(crate) fn into_failure(self) -> Failure {
        let message = format!("workflow \"{}\": {}", self.workflow_id, self.what);
        if self.vain { Failure::permanent(message) } else { Failure::retryable(message) }
    }
}

/// The payload of one workflow, as a client with this codec has it. Without a codec everything stays as it is.
#[derive(Clone, Copy)]
pub(crate) struct Payloads<'a> {
    coder: Option<Coder<'a>>,
}

impl<'a> Payloads<'a> {
    pub(crate) fn new(codec: Option<&'a dyn PayloadCodec>, namespace: &'a str, workflow_id: &'a str) -> Self {
        Self { coder: codec.map(|codec| Coder { codec, namespace, workflow_id }) }
    }

    pub(crate) fn encode_start(self, request: &mut StartRequest) -> Result<(), Broken> {
        let Some(coder) = self.coder else { return Ok(()) };
        encode_state(coder, &mut request.state)?;
        request.nodes.iter_mut().try_for_each(|task| encode_config(coder, &mut task.config))
    }

    pub(crate) fn encode_redrive(self, request: &mut RedriveRequest) -> Result<(), Broken> {
        let Some(coder) = self.coder else { return Ok(()) };
        encode_config(coder, &mut request.config)?;
        encode_state(coder, &mut request.state_patch)
    }

    /// What a node answered. `given` is the state that it was given, decoded.
    pub(crate) fn encode_outcome(self, completed: &mut Completed, given: &RawJson) -> Result<(), Broken> {
        let Some(coder) = self.coder else { return Ok(()) };
        encode_state(coder, &mut completed.patch)?;
        let given = if completed.operations.is_empty() { Value::Null } else { given.parse().unwrap_or_default() };
        completed.operations.iter_mut().try_for_each(|operation| encode_operation(coder, operation, &given))?;
        let fan_outs = completed.fan_outs.iter_mut().flat_map(|fan_out| fan_out.tasks.iter_mut().chain(&mut fan_out.continuation));
        completed.next.iter_mut().chain(fan_outs).try_for_each(|task: &mut NewTask| encode_config(coder, &mut task.config))
    }

    pub(crate) fn state(self, state: Option<Payload>) -> Result<RawJson, Broken> {
        self.decode(state, PayloadPart::State(""))
    }

    pub(crate) fn config(self, config: Option<Payload>) -> Result<RawJson, Broken> {
        self.decode(config, PayloadPart::Config)
    }

    pub(crate) fn decode_task(self, task: &mut TaskSummary) -> Result<(), Broken> {
        self.in_place(&mut task.config, PayloadPart::Config)
    }

    pub(crate) fn decode_event(self, event: &mut Event) -> Result<(), Broken> {
        match &mut event.happened {
            Some(Happened::Started(started)) => self.in_place(&mut started.state, PayloadPart::State("")),
            Some(Happened::TaskCompleted(completed)) => {
                self.in_place(&mut completed.patch, PayloadPart::State(""))?;
                completed.operations.iter_mut().try_for_each(|operation| self.decode_operation(operation))
            }
            Some(Happened::DeadLetterRedriven(redriven)) => {
                self.in_place(&mut redriven.config, PayloadPart::Config)?;
                self.in_place(&mut redriven.state_patch, PayloadPart::State(""))
            }
            _ => Ok(()),
        }
    }

    fn decode_operation(self, operation: &mut Operation) -> Result<(), Broken> {
        let Some(Change::Append(value)) = &mut operation.change else { return Ok(()) };
        let pointer = format!("{}/-", operation.pointer);
        *value = self.decode(Some(std::mem::take(value)), PayloadPart::State(&pointer))?.into_payload().unwrap_or_default();
        Ok(())
    }

    fn in_place(self, payload: &mut Option<Payload>, part: PayloadPart<'_>) -> Result<(), Broken> {
        if self.coder.is_some() && payload.is_some() {
            *payload = self.decode(payload.take(), part)?.into_payload();
        }
        Ok(())
    }

    fn decode(self, payload: Option<Payload>, part: PayloadPart<'_>) -> Result<RawJson, Broken> {
        let document = RawJson::from_payload(payload);
        let Some(coder) = self.coder else { return Ok(document) };
        let decoded = match coder.decode(document.as_bytes(), part) {
            Ok(Cow::Borrowed(_)) => None,
            Ok(Cow::Owned(plain)) => Some(plain),
            Err(stuck) => return Err(broken(coder, part, stuck, "decoded")),
        };
        Ok(decoded.map_or(document, RawJson::from_bytes))
    }
}

fn encode_state(coder: Coder<'_>, state: &mut Option<Payload>) -> Result<(), Broken> {
    encode_part(coder, state.as_mut(), "")
}

/// Encodes what will stand at a pointer of the state.
fn encode_part(coder: Coder<'_>, part: Option<&mut Payload>, pointer: &str) -> Result<(), Broken> {
    let Some(part) = part.filter(|part| !part.data.is_empty()) else { return Ok(()) };
    let encoded = coder.encode_state(&part.data, pointer);
    part.data = encoded.map_err(|stuck| broken(coder, PayloadPart::State(""), stuck, "encoded"))?.into();
    Ok(())
}

fn encode_config(coder: Coder<'_>, config: &mut Option<Payload>) -> Result<(), Broken> {
    let Some(config) = config.as_mut().filter(|config| !config.data.is_empty()) else { return Ok(()) };
    let encoded = coder.encode_config(&config.data).map_err(|stuck| broken(coder, PayloadPart::Config, stuck, "encoded"))?;
    if let Some(encoded) = encoded {
        config.data = encoded.into();
    }
    Ok(())
}

fn encode_operation(coder: Coder<'_>, operation: &mut Operation, given: &Value) -> Result<(), Broken> {
    let pointer = unnumbered(&operation.pointer, given);
    if let Some(Change::Append(value)) = &mut operation.change {
        return encode_part(coder, Some(value), &format!("{pointer}/-"));
    }
    let covered = coder.covers_state(&pointer).map_err(|stuck| broken(coder, PayloadPart::State(""), stuck, "encoded"))?;
    if covered {
        let what = format!(
            "members cannot add to the value at {}, which the payload codec covers: leave that place plain (PayloadCodec::covers), or return the new value",
            operation.pointer
        );
        return Err(Broken { what, vain: true, ..broken(coder, PayloadPart::Config, Stuck::default(), "encoded") });
    }
    Ok(())
}

/// The pointer as codecs are told: with `-` for the elements of arrays, as far as the state says which those are.
fn unnumbered(pointer: &str, given: &Value) -> String {
    let (mut at, mut told) = (Some(given), String::new());
    for token in pointer.split('/').skip(1) {
        let array = at.is_some_and(Value::is_array);
        told.extend(["/", if array { "-" } else { token }]);
        at = at.and_then(|value| value.pointer(&format!("/{token}")));
    }
    told
}

fn broken(coder: Coder<'_>, part: PayloadPart<'_>, Stuck { pointer, why }: Stuck, verb: &str) -> Broken {
    let part = if part == PayloadPart::Config { "a config" } else { "its state" };
    let at = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
    let (workflow_id, namespace) = (coder.workflow_id.to_owned(), coder.namespace.to_owned());
    Broken { workflow_id, namespace, what: format!("{part}{at} cannot be {verb}: {why}"), vain: false }
}
