//! What a node answers: a change of the state, and what comes next.

use graft_proto::v1::{Completed, FanOut as WireFanOut, Operation, Payload, operation::Change};
use serde::Serialize;
use serde_json::Value;

use crate::RawJson;
use crate::diff::{diff, stack};
use crate::next::Next;

/// The result of a node whose state is `S`.
///
/// Without a state nothing of it changes: [`Outcome::done`] sends no patch. With [`Outcome::state`], the smallest patch between the state that
/// the node was given and the one that it returns is sent.
#[derive(Clone, Debug)]
#[must_use = "an outcome does nothing until the node returns it"]
pub struct Outcome<S> {
    state: Option<S>,
    merges: Vec<Value>,
    operations: Vec<Operation>,
    next: Vec<Next>,
    fan_outs: Vec<(Vec<Next>, Option<Next>)>,
    broken: Option<String>,
}

impl<S> Default for Outcome<S> {
    fn default() -> Self {
        Self { state: None, merges: Vec::new(), operations: Vec::new(), next: Vec::new(), fan_outs: Vec::new(), broken: None }
    }
}

impl<S> Outcome<S> {
    /// Done, the state as it was. Add successors or changes as needed.
    pub fn done() -> Self {
        Self::default()
    }

    /// Done, with this state; only what changed is sent.
    pub fn state(state: S) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// Starts this task next. Several run in parallel.
    pub fn next(mut self, next: impl Into<Next>) -> Self {
        self.next.push(next.into());
        self
    }

    /// Starts these tasks in parallel; say with [`FanOut::join`] what follows when all of them, and all that they start, have resolved.
    ///
    /// One outcome starts at most 10,000 tasks, where each fan-out and each task that follows a join counts as one as well: 9,998 tasks with a join. More
    /// fail the attempt for good; a fan-out of fan-outs has no such bound.
    pub fn fan_out<N: Into<Next>>(self, tasks: impl IntoIterator<Item = N>) -> FanOut<S> {
        FanOut { outcome: self, tasks: tasks.into_iter().map(Into::into).collect() }
    }

    /// Merges a value of another type into the state: an object, whose `null` fields are removed there. On top of [`Outcome::state`].
    pub fn merge<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_value(value) {
            Ok(patch @ Value::Object(_)) => self.merges.push(patch),
            Ok(other) => self.broken = Some(format!("a merged value must be a JSON object, not {}", kind(&other))),
            Err(error) => self.broken = Some(format!("a merged value cannot be written as JSON: {error}")),
        }
        self
    }

    /// Puts a value at the end of the array at `pointer` (RFC 6901, such as `/lines`); made if it is absent. Parallel branches do not lose
    /// each other's values.
    pub fn append<T: Serialize + ?Sized>(mut self, pointer: impl Into<String>, value: &T) -> Self {
        match RawJson::of(value) {
            Ok(json) => {
                let value = json.into_payload().unwrap_or_default();
                self.operations.push(Operation { pointer: pointer.into(), change: Some(Change::Append(value)) });
            }
            Err(error) => self.broken = Some(format!("an appended value cannot be written as JSON: {error}")),
        }
        self
    }

    /// Adds to the integer at `pointer` (0 if absent). Parallel branches add up.
    pub fn increment(mut self, pointer: impl Into<String>, by: i64) -> Self {
        self.operations.push(Operation { pointer: pointer.into(), change: Some(Change::Increment(by)) });
        self
    }

    /// Adds to the number at `pointer`, as a float (0 if absent).
    pub fn increment_float(mut self, pointer: impl Into<String>, by: f64) -> Self {
        self.operations.push(Operation { pointer: pointer.into(), change: Some(Change::IncrementFloat(by)) });
        self
    }

    /// Takes the state out, so that the rest has no type.
    pub(crate) fn into_parts(self) -> (Option<S>, Parts) {
        let Self { state, merges, operations, next, fan_outs, broken } = self;
        (state, Parts { merges, operations, next, fan_outs, broken })
    }
}

/// Tasks in parallel, of which is still to be said what follows them.
#[derive(Debug)]
#[must_use = "say what follows: join(next) or without_join()"]
pub struct FanOut<S> {
    outcome: Outcome<S>,
    tasks: Vec<Next>,
}

impl<S> FanOut<S> {
    /// Starts `next`, once, when all the tasks and all that they started have resolved. Without tasks: at once.
    pub fn join(mut self, next: impl Into<Next>) -> Outcome<S> {
        self.outcome.fan_outs.push((self.tasks, Some(next.into())));
        self.outcome
    }

    /// Nothing follows.
    pub fn without_join(mut self) -> Outcome<S> {
        self.outcome.fan_outs.push((self.tasks, None));
        self.outcome
    }
}

/// An outcome without its state.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    merges: Vec<Value>,
    operations: Vec<Operation>,
    next: Vec<Next>,
    fan_outs: Vec<(Vec<Next>, Option<Next>)>,
    broken: Option<String>,
}

impl Parts {
    /// The message. `given` is the state as it came; `states` is what the node read of it and what it wrote, if it wrote. An error says what
    /// cannot be sent.
    pub(crate) fn into_wire(self, base_revision: u64, given: &RawJson, states: Option<(Value, Value)>) -> Result<Completed, String> {
        if let Some(reason) = self.broken {
            return Err(reason);
        }
        let mut patch = None;
        if let Some((before, after)) = states {
            if !after.is_object() && !after.is_null() {
                return Err(format!("a state must be a JSON object, not {}", kind(&after)));
            }
            patch = diff(&before, &after);
        }
        let mut merges = self.merges.into_iter();
        patch = patch.or_else(|| merges.next());
        if let (Some(patch), false) = (&mut patch, merges.as_slice().is_empty()) {
            // As it came, not as the node's type reads it: what takes an object's place must not inherit fields that the type does not know.
            let given = given.parse().map_err(|error| format!("the state that values are merged into is no JSON: {error}"))?;
            merges.for_each(|merge| stack(patch, merge, &given));
        }
        let tasks = |list: Vec<Next>| list.into_iter().map(Next::into_wire).collect::<Result<Vec<_>, _>>();
        let fan_outs = self
            .fan_outs
            .into_iter()
            .map(|(list, join)| Ok(WireFanOut { tasks: tasks(list)?, continuation: join.map(Next::into_wire).transpose()? }));
        let fan_outs = fan_outs.collect::<Result<Vec<_>, String>>()?;
        let (next, patch) = (tasks(self.next)?, patch.map(payload));
        Ok(Completed { base_revision, patch, operations: self.operations, fan_outs, next })
    }
}

fn payload(patch: Value) -> Payload {
    RawJson::from(patch).into_payload().unwrap_or_default()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::limits;

    fn patch(completed: &Completed) -> Option<Value> {
        completed.patch.as_ref().map(|payload| serde_json::from_slice(&payload.data).unwrap())
    }

    #[test]
    fn done_sends_no_patch() {
        let (state, parts) = Outcome::<Value>::done().into_parts();
        assert!(state.is_none());
        assert_eq!(parts.into_wire(7, &RawJson::default(), None).unwrap(), Completed { base_revision: 7, ..Completed::default() });
    }

    #[test]
    fn a_state_and_a_merged_value_make_one_patch() {
        let (_, parts) = Outcome::<Value>::done().merge(&json!({"b": {"y": 2}})).merge(&json!({"b": {"z": 3}})).into_parts();
        let completed = parts.into_wire(1, &RawJson::default(), Some((json!({"a": 1}), json!({"a": 2, "b": {"x": 1}})))).unwrap();
        assert_eq!(patch(&completed), Some(json!({"a": 2, "b": {"x": 1, "y": 2, "z": 3}})));
    }

    #[test]
    fn what_is_merged_over_a_removed_object_does_not_inherit_its_fields_known_or_not() {
        let given = RawJson::from(json!({"parcel": {"id": 1, "unknown": 2}}));
        let expected = Some(json!({"parcel": {"id": null, "unknown": null, "to": "x"}}));
        // Removed by a state whose type does not know all of it.
        let (_, parts) = Outcome::<Value>::done().merge(&json!({"parcel": {"to": "x"}})).into_parts();
        let completed = parts.into_wire(1, &given, Some((json!({"parcel": {"id": 1}}), json!({"parcel": null})))).unwrap();
        assert_eq!(patch(&completed), expected);
        // Removed by what was merged before.
        let (_, parts) = Outcome::<Value>::done().merge(&json!({"parcel": null})).merge(&json!({"parcel": {"to": "x"}})).into_parts();
        assert_eq!(patch(&parts.into_wire(1, &given, None).unwrap()), expected);
    }

    #[test]
    fn what_is_too_large_is_named() {
        let large = "x".repeat(1 << 20);
        let fan_out = Outcome::<Value>::done().fan_out([Next::named("pack", ())]).join(Next::named("ship", &large));
        for (outcome, what) in [
            (Outcome::done().merge(&json!({ "a": large })), "the change of the state has 1048584 bytes, at most 1048576 are allowed"),
            (
                Outcome::done().append("/a", &large[..1 << 19]).append("/b", &large[..1 << 19]),
                "the values to append have 1048580 bytes together, at most 1048576 are allowed",
            ),
            (Outcome::done().next(Next::named("ship", &large)), "the config for node \"ship\" has 1048578 bytes"),
            (fan_out, "the config for node \"ship\" has 1048578 bytes"),
        ] {
            let completed = outcome.into_parts().1.into_wire(1, &RawJson::default(), None).unwrap();
            let error = limits::check_completed(&completed).unwrap_err();
            assert!(error.starts_with(what) && error.ends_with(limits::REMEDY), "{error}");
        }
    }

    #[test]
    fn an_unchanged_state_sends_no_patch() {
        let completed = Outcome::<Value>::done()
            .into_parts()
            .1
            .into_wire(1, &RawJson::default(), Some((json!({"a": 1}), json!({"a": 1, "b": null}))))
            .unwrap();
        assert_eq!(completed.patch, None);
    }

    #[test]
    fn successors_fan_outs_and_operations_are_kept_in_order() {
        let outcome = Outcome::<Value>::done()
            .next(Next::named("a", ()))
            .fan_out(["x", "y"].map(|name| Next::named(name, json!({"of": name}))))
            .join(Next::named("z", ()))
            .increment("/n", 2)
            .append("/list", "v");
        let completed = outcome.into_parts().1.into_wire(1, &RawJson::default(), None).unwrap();
        assert_eq!(completed.next[0].node, "a");
        let fan_out = &completed.fan_outs[0];
        assert_eq!(fan_out.tasks.iter().map(|task| task.node.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(fan_out.continuation.as_ref().unwrap().node, "z");
        assert_eq!(completed.operations.iter().map(|op| op.pointer.as_str()).collect::<Vec<_>>(), ["/n", "/list"]);
    }

    #[test]
    fn what_is_no_object_cannot_be_a_state_or_be_merged() {
        let error = Outcome::<Value>::done().merge("text").into_parts().1.into_wire(1, &RawJson::default(), None).unwrap_err();
        assert!(error.contains("a string"), "{error}");
        let error = Parts::default().into_wire(1, &RawJson::default(), Some((json!({}), json!([1])))).unwrap_err();
        assert!(error.contains("an array"), "{error}");
    }
}
