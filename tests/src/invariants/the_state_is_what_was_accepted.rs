//! S7: the state of a workflow is the state that it started with, merged with the accepted completions and the patches of operators, in log
//! order, and with nothing else. Computed here a second time, in the simplest way.

use std::collections::BTreeMap;

use graft_machine::command::{Change, Operation};
use graft_machine::event::{Event, Happened};
use graft_machine::ids::Run;
use graft_machine::memory::Memory;
use graft_machine::view;
use serde_json::{Map, Value};

use super::{Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    expected: BTreeMap<Run, Value>,
}

fn parse(bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() { Ok(Value::Object(Map::new())) } else { serde_json::from_slice(bytes).map_err(|error| error.to_string()) }
}

/// RFC 7396, as its pseudo-code has it.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// The value that a pointer names; objects on the way are made.
fn place<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    pointer.split('/').skip(1).fold(value, |value, name| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        let name = name.replace("~1", "/").replace("~0", "~");
        value.as_object_mut().expect("the simulation points at objects").entry(name).or_insert(Value::Null)
    })
}

fn operate(state: &mut Value, operation: &Operation) -> Verdict {
    let at = place(state, &operation.pointer);
    match operation.change.as_ref().ok_or("an operation without a change")? {
        Change::Append(item) => {
            let item = parse(item)?;
            match at {
                Value::Array(items) => items.push(item),
                _ => *at = Value::Array(vec![item]),
            }
        }
        Change::Increment(by) => {
            let now = at.as_i64().map(i128::from).or(at.as_u64().map(i128::from));
            let sum = now.unwrap_or(0) + i128::from(*by);
            let small = i64::try_from(sum).map(Value::from);
            *at = small.or_else(|_| u64::try_from(sum).map(Value::from)).map_err(|_| format!("{} overflows", operation.pointer))?;
        }
        Change::IncrementFloat(by) => *at = Value::from(at.as_f64().unwrap_or(0.0) + by),
    }
    Ok(())
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        match event.happened.as_ref() {
            Some(Happened::Started(e)) => {
                self.expected.insert(event.run, parse(&e.state)?);
            }
            Some(Happened::Completed(e)) => {
                let state = self.expected.entry(event.run).or_default();
                merge(state, &parse(&e.patch)?);
                e.operations.iter().try_for_each(|operation| operate(state, operation))?;
            }
            Some(Happened::DeadLetterRedriven(e)) => merge(self.expected.entry(event.run).or_default(), &parse(&e.state_patch)?),
            _ => {}
        }
        Ok(())
    }

    fn state(&mut self, _: Place, state: &Memory) -> Verdict {
        for (run, expected) in &self.expected {
            let Some(workflow) = view::workflow(state, *run) else { continue };
            let found = parse(&workflow.state)?;
            must!(found == *expected, "the state of run {run} is {found}; accepted was {expected}");
        }
        Ok(())
    }
}
