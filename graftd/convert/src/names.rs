//! Names that users choose, and how objects are named in errors.

use std::collections::{BTreeMap, HashMap};

use graft_machine::limits::{LABEL_VALUE_BYTES_MAX, LABELS_MAX};
use graft_machine::names::{NameError, check_id, check_name};

use graft_proto::errors::{Fault, quoted};

/// The namespace of those who name none.
pub const NAMESPACE_DEFAULT: &str = "default";

/// A namespace; empty = [`NAMESPACE_DEFAULT`].
pub fn namespace(name: String) -> Result<String, Fault> {
    if name.is_empty() {
        return Ok(NAMESPACE_DEFAULT.to_owned());
    }
    checked("namespace", name, check_name)
}

/// A node's name.
pub fn node(name: String) -> Result<String, Fault> {
    checked("node", name, check_name)
}

/// A workflow id.
pub fn workflow_id(id: String) -> Result<String, Fault> {
    checked("workflow id", id, check_id)
}

/// Any other word of letters, digits and - _ . : /, such as the name of a token.
pub fn named(what: &str, name: String) -> Result<String, Fault> {
    checked(what, name, check_name)
}

/// Any other text that has to be a name, such as `request id`.
pub fn id(what: &str, id: String) -> Result<String, Fault> {
    checked(what, id, check_id)
}

fn checked(what: &str, name: String, check: fn(&str) -> Result<(), NameError>) -> Result<String, Fault> {
    match check(&name) {
        Ok(()) => Ok(name),
        Err(error @ NameError::TooLong { .. }) => Err(Fault::too_large(format!("{what} {}", quoted(&name)), error.to_string())),
        Err(error) => Err(Fault::invalid(format!("{what} {}", quoted(&name)), error.to_string())),
    }
}

/// The labels of a workflow.
pub fn labels(labels: HashMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    if labels.len() > LABELS_MAX {
        return Err(Fault::too_large("the labels", format!("are {}, at most {LABELS_MAX} are allowed", labels.len())));
    }
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    for (key, value) in &labels {
        checked("label", key.clone(), check_name)?;
        if value.len() > LABEL_VALUE_BYTES_MAX {
            let detail = format!("has a value of {} bytes, at most {LABEL_VALUE_BYTES_MAX} are allowed", value.len());
            return Err(Fault::too_large(format!("label {}", quoted(key)), detail));
        }
        // Values are parts of keys, which end with a zero byte.
        if value.chars().any(char::is_control) {
            return Err(Fault::invalid(format!("label {}", quoted(key)), "has a value with a control character"));
        }
    }
    Ok(labels)
}

/// A workflow, as errors name it.
pub fn workflow_object(namespace: &str, id: &str, run: u64) -> String {
    match run {
        0 => format!("workflow {} in namespace {}", quoted(id), quoted(namespace)),
        run => format!("run {run} of workflow {} in namespace {}", quoted(id), quoted(namespace)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_proto::errors::ErrorCode;

    #[test]
    fn an_empty_namespace_is_the_default_one() {
        assert_eq!(namespace(String::new()).expect("empty"), "default");
        assert_eq!(namespace("team-a".into()).expect("a name"), "team-a");
    }

    #[test]
    fn bad_names_are_refused_with_the_character_or_the_length() {
        let error = node("in gest".into()).expect_err("a blank");
        assert!(error.to_string().starts_with("node \"in gest\" holds ' ' at byte 2"), "{error}");
        let error = workflow_id("x".repeat(257)).expect_err("long");
        assert_eq!(error.code, ErrorCode::TooLarge);
        assert!(error.detail.contains("257 bytes, at most 256"), "{error}");
        workflow_id("a\u{0}b".into()).expect_err("a zero byte");
        workflow_id(String::new()).expect_err("empty");
    }

    #[test]
    fn labels_are_bounded() {
        let many: HashMap<_, _> = (0..33).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(labels(many).expect_err("33").code, ErrorCode::TooLarge);
        assert_eq!(labels(HashMap::from([("k".into(), "v".repeat(257))])).expect_err("long value").code, ErrorCode::TooLarge);
        labels(HashMap::from([("k".into(), "a\u{0}".into())])).expect_err("a zero byte in a key of the store");
        assert_eq!(labels(HashMap::from([("k".into(), "v".into())])).expect("fine")["k"], "v");
    }
}
