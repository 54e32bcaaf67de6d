//! Checks of what users and workers send. Nothing here panics and nothing repeats the words of a library: what is refused may end up in
//! the history, and that has to be the same on members of different builds.

use bytes::Bytes;
use serde_json::Value;

use crate::limits::{CONFIG_BYTES_MAX, ERROR_BYTES_MAX, ID_BYTES_MAX, JSON_DEPTH_MAX, POINTER_BYTES_MAX, TASKS_PER_COMMAND_MAX};
use crate::names::{NameError, check_id, check_name};
use crate::reply::{Rejection, RejectionCode};
use crate::task::{Exhausted, NewTask};

/// Refuses a namespace, node name or label key that is not one.
pub(crate) fn name(what: &str, name: &str) -> Result<(), Rejection> {
    check_name(name).map_err(|error| refused(what, name, error))
}

/// Refuses an id that is not one.
pub(crate) fn id(what: &str, id: &str) -> Result<(), Rejection> {
    check_id(id).map_err(|error| refused(what, id, error))
}

fn refused(what: &str, name: &str, error: NameError) -> Rejection {
    let code = if matches!(error, NameError::TooLong { .. }) { RejectionCode::TooLarge } else { RejectionCode::Invalid };
    Rejection::new(code, format!("{what} {:?}", shown(name)), error.to_string())
}

fn shown(name: &str) -> String {
    cut(name, 64)
}

/// Parses a JSON document of bounded size and depth.
pub(crate) fn json(what: &str, bytes: &[u8], max: usize) -> Result<Value, Rejection> {
    if bytes.len() > max {
        return Err(Rejection::new(RejectionCode::TooLarge, what, format!("has {} bytes; at most {max} are allowed", bytes.len())));
    }
    let value = serde_json::from_slice(bytes).map_err(|_| Rejection::new(RejectionCode::Invalid, what, "is not valid JSON"))?;
    check_depth(what, &value)?;
    Ok(value)
}

/// Refuses a document that is nested too deep.
pub(crate) fn check_depth(what: &str, value: &Value) -> Result<(), Rejection> {
    match depth(value) {
        deep if deep > JSON_DEPTH_MAX => {
            Err(Rejection::new(RejectionCode::TooLarge, what, format!("is nested deeper than {JSON_DEPTH_MAX} levels")))
        }
        _ => Ok(()),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Refuses a task that cannot be created.
pub(crate) fn new_task(task: &NewTask) -> Result<(), Rejection> {
    name("node", &task.node)?;
    if !task.config.is_empty() {
        json(&format!("config of node {:?}", task.node), &task.config, CONFIG_BYTES_MAX)?;
    }
    if !task.idempotency_key.is_empty() {
        id("idempotency key", &task.idempotency_key)?;
    }
    if let Some(retry) = &task.retry {
        retry.check().map_err(|detail| Rejection::new(RejectionCode::Invalid, format!("retry policy of node {:?}", task.node), detail))?;
    }
    match task.on_exhausted.as_ref().map(|policy| &policy.then) {
        Some(None) => Err(Rejection::new(
            RejectionCode::Invalid,
            format!("on_exhausted of node {:?}", task.node),
            "names no policy that is known here",
        )),
        Some(Some(Exhausted::ErrorNode(node))) => name("error node", node),
        _ => Ok(()),
    }
}

/// Refuses a list of more tasks and fan-outs than one command may create.
pub(crate) fn task_count(count: usize) -> Result<(), Rejection> {
    if count > TASKS_PER_COMMAND_MAX {
        let detail = format!("holds {count} tasks and fan-outs; at most {TASKS_PER_COMMAND_MAX} are allowed");
        return Err(Rejection::new(RejectionCode::TooLarge, "the command", detail));
    }
    Ok(())
}

/// Refuses what is no JSON pointer (RFC 6901).
pub(crate) fn pointer(pointer: &str) -> Result<(), Rejection> {
    let object = || format!("JSON pointer {:?}", shown(pointer));
    if pointer.len() > POINTER_BYTES_MAX {
        let detail = format!("has {} bytes; at most {POINTER_BYTES_MAX} are allowed", pointer.len());
        return Err(Rejection::new(RejectionCode::TooLarge, object(), detail));
    }
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(Rejection::new(RejectionCode::Invalid, object(), "does not start with /"));
    }
    let depth = pointer.bytes().filter(|byte| *byte == b'/').count();
    if depth > JSON_DEPTH_MAX {
        let detail = format!("leads {depth} levels deep; documents have at most {JSON_DEPTH_MAX}");
        return Err(Rejection::new(RejectionCode::TooLarge, object(), detail));
    }
    if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(Rejection::new(RejectionCode::Invalid, object(), "holds a ~ that is followed by neither 0 nor 1"));
    }
    Ok(())
}

/// A message or reason as it is kept: longer ones are cut at a character boundary and marked.
pub(crate) fn message(text: &str) -> String {
    cut(text, ERROR_BYTES_MAX)
}

/// Who did something, as it is kept: bounded like an id.
pub(crate) fn who(text: &str) -> String {
    cut(text, ID_BYTES_MAX)
}

fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max - '…'.len_utf8());
    format!("{}…", &text[..end])
}

/// A document in canonical form: sorted keys, no spaces. `serde_json` keeps objects in ordered maps.
pub(crate) fn canonical(value: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("a JSON value has text keys and finite numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character_and_marked() {
        let cut = message(&"ü".repeat(ERROR_BYTES_MAX));
        assert!(cut.len() <= ERROR_BYTES_MAX && cut.ends_with("ü…"));
        assert_eq!(message("short"), "short");
    }

    #[test]
    fn pointers_are_checked() {
        for good in ["", "/", "/a", "/a/0", "/a~0b~1c", "/~01"] {
            assert_eq!(pointer(good), Ok(()), "{good}");
        }
        assert_eq!(pointer(&"/a".repeat(JSON_DEPTH_MAX)), Ok(()));
        for bad in ["a", "/~", "/~2", "/a~", "a/b", "/a".repeat(JSON_DEPTH_MAX + 1).as_str()] {
            assert!(pointer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn deep_documents_are_refused_before_they_are_stored() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(json("x", nested(JSON_DEPTH_MAX).as_bytes(), 1 << 20).is_ok());
        assert!(json("x", nested(JSON_DEPTH_MAX + 1).as_bytes(), 1 << 20).is_err());
        assert!(json("x", nested(10_000).as_bytes(), 1 << 20).is_err());
    }

    #[test]
    fn canonical_json_sorts_its_keys() {
        let value = json("x", br#" {"b": 1.0, "a": {"d": [1, null], "c": -0.0}} "#, 100).unwrap();
        assert_eq!(canonical(&value), r#"{"a":{"c":-0.0,"d":[1,null]},"b":1.0}"#);
    }
}
