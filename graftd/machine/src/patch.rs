//! How a step changes its workflow's state: a merge patch (RFC 7396), then commuting operations; and which paths that touched.
//!
//! State and patch are objects, and `null` means absent. Numbers keep what they are: an integer stays an integer under `increment`,
//! and a result that does not fit is an error, never a float.

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use crate::command::{Change, Operation};
use crate::content::{canonical, check_depth, json, pointer};
use crate::limits::{OPERATIONS_MAX, PATCH_BYTES_MAX, STATE_BYTES_MAX, TOUCHED_MAX};
use crate::reply::{Rejection, RejectionCode};

/// Merges `patch` into `target` (RFC 7396).
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(object) = target else { unreachable!("made an object above") };
    for (key, value) in members {
        if value.is_null() {
            object.remove(&key);
        } else {
            merge(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// The first state of a workflow, in canonical form.
pub(crate) fn first_state(bytes: &Bytes) -> Result<Bytes, Rejection> {
    if bytes.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    let given = object("state", bytes, STATE_BYTES_MAX)?;
    let mut state = Value::Object(Map::new());
    merge(&mut state, given);
    bounded(canonical(&state))
}

/// The state after a patch and operations, in canonical form; `None` if it is the same as before.
pub(crate) fn next_state(state: &Bytes, patch: &Bytes, operations: &[Operation]) -> Result<Option<Bytes>, Rejection> {
    if operations.len() > OPERATIONS_MAX {
        let detail = format!("holds {} operations; at most {OPERATIONS_MAX} are allowed", operations.len());
        return Err(Rejection::new(RejectionCode::TooLarge, "the outcome", detail));
    }
    let patch = match patch.as_ref() {
        b"" | b"{}" => None,
        _ => Some(object("patch", patch, PATCH_BYTES_MAX)?),
    };
    if patch.is_none() && operations.is_empty() {
        return Ok(None);
    }
    let mut value = serde_json::from_slice(state).expect("a stored state is JSON: it was checked when it was written");
    if let Some(patch) = patch {
        merge(&mut value, patch);
    }
    if !operations.is_empty() {
        for operation in operations {
            operate(&mut value, operation)?;
        }
        check_depth("state", &value)?;
    }
    let next = bounded(canonical(&value))?;
    Ok((next != *state).then_some(next))
}

fn object(what: &str, bytes: &Bytes, max: usize) -> Result<Value, Rejection> {
    match json(what, bytes, max)? {
        value @ Value::Object(_) => Ok(value),
        _ => Err(Rejection::new(RejectionCode::Invalid, what, "is not a JSON object")),
    }
}

fn bounded(state: Bytes) -> Result<Bytes, Rejection> {
    if state.len() > STATE_BYTES_MAX {
        let detail = format!("would have {} bytes; at most {STATE_BYTES_MAX} are allowed", state.len());
        return Err(Rejection::new(RejectionCode::TooLarge, "state", detail));
    }
    Ok(state)
}

/// Applies one operation.
pub(crate) fn operate(state: &mut Value, operation: &Operation) -> Result<(), Rejection> {
    pointer(&operation.pointer)?;
    let refuse = |detail: &str| Rejection::new(RejectionCode::Invalid, format!("operation at {:?}", operation.pointer), detail.to_owned());
    match &operation.change {
        None => Err(refuse("names no change that is known here")),
        Some(Change::Append(item)) => {
            let item = json("appended value", item, PATCH_BYTES_MAX)?;
            match slot(state, &operation.pointer).map_err(refuse)? {
                Value::Array(items) => items.push(item),
                absent @ Value::Null => *absent = Value::Array(vec![item]),
                _ => return Err(refuse("cannot append: an array is expected there")),
            }
            Ok(())
        }
        Some(Change::Increment(by)) => {
            let slot = slot(state, &operation.pointer).map_err(refuse)?;
            let now = match &*slot {
                Value::Null => 0,
                Value::Number(number) if number.is_u64() || number.is_i64() => {
                    number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)).expect("one of the two")
                }
                _ => return Err(refuse("cannot increment: an integer is expected there")),
            };
            let sum = now + i128::from(*by);
            *slot = match (i64::try_from(sum), u64::try_from(sum)) {
                (Ok(sum), _) => Value::from(sum),
                (_, Ok(sum)) => Value::from(sum),
                _ => return Err(refuse("overflows: the sum is no 64-bit integer")),
            };
            Ok(())
        }
        Some(Change::IncrementFloat(by)) => {
            let slot = slot(state, &operation.pointer).map_err(refuse)?;
            let now = match &*slot {
                Value::Null => 0.0,
                Value::Number(number) => number.as_f64().expect("every JSON number is a float"),
                _ => return Err(refuse("cannot increment: a number is expected there")),
            };
            *slot = Value::Number(Number::from_f64(now + by).ok_or_else(|| refuse("overflows: the sum is not finite"))?);
            Ok(())
        }
    }
}

/// The place that a pointer names; missing objects on the way, and the place itself (as `null`), are made.
fn slot<'a>(state: &'a mut Value, pointer: &str) -> Result<&'a mut Value, &'static str> {
    let mut at = state;
    for token in pointer.split('/').skip(1) {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Object(object) => object.entry(token.replace("~1", "/").replace("~0", "~")).or_insert(Value::Null),
            Value::Array(items) => {
                let digits = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
                let index = if digits { token.parse::<usize>().ok() } else { None };
                index.and_then(|index| items.get_mut(index)).ok_or("leads to an array element that is not there")?
            }
            _ => return Err("leads through a value that is neither object nor array"),
        };
    }
    Ok(at)
}

/// The JSON pointers that a patch and operations touch in this state; one empty pointer (everything) if they are more than `TOUCHED_MAX`.
pub(crate) fn touched(state: &Bytes, patch: &Bytes, operations: &[Operation]) -> Vec<String> {
    let mut found = Vec::new();
    if let (Ok(state), Ok(patch)) = (serde_json::from_slice(state), serde_json::from_slice(patch)) {
        leaves(&patch, Some(&state), &mut String::new(), &mut found);
    }
    found.extend(operations.iter().take(TOUCHED_MAX + 1).map(|operation| operation.pointer.clone()));
    if found.len() > TOUCHED_MAX {
        return vec![String::new()];
    }
    found
}

/// `old` is what the patch meets at the path, if anything.
fn leaves(patch: &Value, old: Option<&Value>, path: &mut String, found: &mut Vec<String>) {
    match patch {
        // An object that meets something else replaces all of it, not only what it names.
        Value::Object(_) if old.is_some_and(|old| !old.is_object()) => found.push(path.clone()),
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                if found.len() > TOUCHED_MAX {
                    return;
                }
                let length = path.len();
                path.push('/');
                path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                leaves(value, old.and_then(|old| old.get(key)), path, found);
                path.truncate(length);
            }
        }
        Value::Object(_) if path.is_empty() => {}
        _ => found.push(path.clone()),
    }
}

/// Whether a change at one of the `touched` pointers concerns somebody who waits for one of `wake_on` (empty = any change): one lies at,
/// above or below the other.
pub(crate) fn concerns(touched: &[String], wake_on: &[String]) -> bool {
    wake_on.is_empty() || touched.iter().any(|a| wake_on.iter().any(|b| within(a, b) || within(b, a)))
}

fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operated(mut state: Value, pointer: &str, change: Change) -> Result<Value, String> {
        operate(&mut state, &Operation { pointer: pointer.into(), change: Some(change) }).map_err(|e| e.to_string())?;
        Ok(state)
    }

    #[test]
    fn the_examples_of_rfc_7396_merge_as_it_says() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut target, patch, expected) in cases {
            let shown = format!("{target} + {patch}");
            merge(&mut target, patch);
            assert_eq!(target, expected, "{shown}");
        }
    }

    #[test]
    fn null_members_are_absent_from_the_first_state_but_stay_in_arrays() {
        let state = first_state(&Bytes::from_static(br#"{"b":null,"a":{"c":null,"d":[null,{"e":null}]}}"#)).unwrap();
        assert_eq!(state, r#"{"a":{"d":[null,{"e":null}]}}"#);
        assert!(first_state(&Bytes::from_static(b"[]")).is_err());
    }

    #[test]
    fn operations_make_what_is_missing_on_the_way() {
        assert_eq!(operated(json!({}), "/a/b", Change::Increment(2)), Ok(json!({"a":{"b":2}})));
        assert_eq!(operated(json!({"a":[1]}), "/a", Change::Append(Bytes::from_static(b"{}"))), Ok(json!({"a":[1,{}]})));
        assert_eq!(operated(json!({"a":[1]}), "/a/0", Change::IncrementFloat(0.5)), Ok(json!({"a":[1.5]})));
        assert_eq!(operated(json!({}), "/a~1b", Change::Append(Bytes::from_static(b"null"))), Ok(json!({"a/b":[null]})));
    }

    #[test]
    fn increments_stay_integers_up_to_both_ends() {
        assert_eq!(operated(json!({"n":i64::MAX}), "/n", Change::Increment(1)), Ok(json!({"n":1u64 << 63})));
        assert_eq!(operated(json!({"n":u64::MAX}), "/n", Change::Increment(-1)), Ok(json!({"n":u64::MAX - 1})));
        for (state, change) in [
            (json!({"n":u64::MAX}), Change::Increment(1)),
            (json!({"n":i64::MIN}), Change::Increment(-1)),
            (json!({"n":1.5}), Change::Increment(1)),
            (json!({"n":f64::MAX}), Change::IncrementFloat(f64::MAX)),
            (json!({"n":1}), Change::IncrementFloat(f64::NAN)),
            (json!({"n":"1"}), Change::IncrementFloat(1.0)),
            (json!({"n":1}), Change::Append(Bytes::from_static(b"1"))),
            (json!({"n":[]}), Change::Append(Bytes::from_static(b"nope"))),
        ] {
            assert!(operated(state.clone(), "/n", change.clone()).is_err(), "{state} {change:?}");
        }
        for pointer in ["", "/n/x", "n", "/a/1", "/a/-", "/a/00"] {
            assert!(operated(json!({"n":1,"a":[1]}), pointer, Change::Increment(1)).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_patch_that_changes_nothing_is_no_change() {
        let state = Bytes::from_static(br#"{"a":1}"#);
        for patch in ["", "{}", r#"{"a":1}"#, r#"{"b":null}"#] {
            assert_eq!(next_state(&state, &Bytes::from(patch), &[]), Ok(None), "{patch}");
        }
        assert_eq!(next_state(&state, &Bytes::from_static(br#"{"b":2}"#), &[]), Ok(Some(Bytes::from_static(br#"{"a":1,"b":2}"#))));
    }

    #[test]
    fn a_change_concerns_those_who_wait_at_above_or_below_it() {
        let touched = touched(&Bytes::from_static(b"{}"), &Bytes::from_static(br#"{"a":{"b":1},"c":[1],"x/y":null}"#), &[]);
        assert_eq!(touched, ["/a/b", "/c", "/x~1y"]);
        for (wake_on, concerned) in
            [("/a", true), ("/a/b", true), ("/a/b/c", true), ("/a/bb", false), ("/d", false), ("", true), ("/x~1y", true), ("/x", false)]
        {
            assert_eq!(concerns(&touched, &[wake_on.to_owned()]), concerned, "{wake_on}");
        }
        assert!(concerns(&touched, &[]));
    }

    #[test]
    fn a_change_of_very_many_paths_counts_as_a_change_of_everything() {
        let members: Map<_, _> = (0..=TOUCHED_MAX).map(|n| (n.to_string(), json!(1))).collect();
        assert_eq!(touched(&Bytes::from_static(b"{}"), &canonical(&Value::Object(members)), &[]), [""]);
    }
}
