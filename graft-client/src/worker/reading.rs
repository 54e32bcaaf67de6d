//! Reading a state or config as a type, and telling where it does not fit.

use std::any::{Any, TypeId};

use serde::de::DeserializeOwned;

use crate::RawJson;
use crate::codec::is_marked;
use crate::context::NodeContext;
use crate::failure::Failure;

/// What is being read, as the error names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    State,
    Config,
}

impl Role {
    fn absent(self) -> &'static [u8] {
        match self {
            Self::State => b"{}",
            Self::Config => b"null",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Config => "config",
        }
    }
}

/// Whether the type reads nothing at all.
pub(super) fn is_unit<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<()>()
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    /// Its node.
    pub(super) node: &'a str,
    /// Whether what it reads has gone through a payload codec.
    has_codec: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn of(cx: &'a NodeContext) -> Self {
        Self { node: cx.node(), has_codec: cx.client().has_codec() }
    }

    /// Reads a document. `()` and [`RawJson`] cost no parsing. A config that is absent reads as `null`, or else as `{}`.
    ///
    /// The failure names the type, the field and the node. It is permanent, unless the document is one that a worker with a codec could read.
    pub(super) fn read<T: DeserializeOwned + 'static>(self, raw: &RawJson, role: Role) -> Result<T, Failure> {
        let Self { node, has_codec } = self;
        if !is_unit::<T>() && !has_codec && is_marked(raw.as_bytes()) {
            let role = role.name();
            return Err(Failure::retryable(format!(
                "the {role} holds encoded values, and the worker of node \"{node}\" has no payload codec: give its client the one that encoded them"
            )));
        }
        if let Some(known) = unparsed::<T>(raw) {
            return Ok(known);
        }
        let bytes = if raw.is_empty() { role.absent() } else { raw.as_bytes() };
        serde_json::from_slice(bytes).or_else(|error| {
            if raw.is_empty()
                && let Ok(empty) = serde_json::from_str("{}")
            {
                return Ok(empty);
            }
            let place = place_of(bytes, error.line(), error.column());
            let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
            // serde_json quotes values, and a failure is told to members.
            let why = if has_codec { String::new() } else { format!(": {error}") };
            let (role, kind) = (role.name(), crate::type_name::type_name::<T>());
            Err(Failure::permanent(format!("the {role} does not fit {kind}, which node \"{node}\" expects{place}{why}")))
        })
    }
}

fn unparsed<T: 'static>(raw: &RawJson) -> Option<T> {
    let mut found: Option<T> = None;
    let slot: &mut dyn Any = &mut found;
    if let Some(unit) = slot.downcast_mut::<Option<()>>() {
        *unit = Some(());
    } else if let Some(json) = slot.downcast_mut::<Option<RawJson>>() {
        *json = Some(raw.clone());
    }
    found
}

/// The JSON pointer of the value in which this line and column (from 1) lie. serde_json tells only those.
fn place_of(json: &[u8], line: usize, column: usize) -> String {
    let before = json.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
    let end = (before + column).min(json.len());
    let mut path: Vec<Step> = Vec::new();
    let mut at = 0;
    let mut text: Option<&[u8]> = None;
    while at < end {
        match json[at] {
            b'"' => {
                let start = at + 1;
                at = start;
                while at < json.len() && json[at] != b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                text = Some(&json[start.min(json.len())..at.min(json.len())]);
            }
            b':' => {
                if let (Some(Step::Field(name)), Some(text)) = (path.last_mut(), text) {
                    *name = String::from_utf8_lossy(text).into_owned();
                }
            }
            b'{' => path.push(Step::Field(String::new())),
            b'[' => path.push(Step::Item(0)),
            // The closing bracket is where serde_json reports a missing field of the object: stay in it, without a field.
            b'}' | b']' if at + 1 == end => {
                path.pop();
            }
            b'}' | b']' => {
                path.pop();
            }
            b',' if at + 1 < end => match path.last_mut() {
                Some(Step::Item(index)) => *index += 1,
                Some(Step::Field(name)) => name.clear(),
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    path.iter().filter_map(Step::pointer).collect()
}

#[derive(Debug)]
enum Step {
    Field(String),
    Item(usize),
}

impl Step {
    fn pointer(&self) -> Option<String> {
        match self {
            Self::Field(name) if name.is_empty() => None,
            Self::Field(name) => Some(format!("/{}", name.replace('~', "~0").replace('/', "~1"))),
            Self::Item(index) => Some(format!("/{index}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        #[serde(default)]
        lines: Vec<Line>,
        #[serde(default)]
        total: u32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line {
        sku: String,
        count: u8,
    }

    fn read<T: DeserializeOwned + 'static>(raw: &RawJson, role: Role, node: &str) -> Result<T, Failure> {
        Reader { node, has_codec: false }.read(raw, role)
    }

    fn failure(json: &str) -> String {
        read::<Order>(&RawJson::from_bytes(json.to_owned()), Role::State, "charge").unwrap_err().message().to_owned()
    }

    #[test]
    fn where_there_is_a_codec_a_failure_quotes_no_values() {
        let raw = RawJson::from_bytes(r#"{"lines": [{"sku": 77, "count": 1}]}"#);
        let failure = Reader { node: "charge", has_codec: true }.read::<Order>(&raw, Role::State).unwrap_err();
        assert!(failure.message().ends_with("Order, which node \"charge\" expects at /lines/0/sku"), "{failure}");
        assert!(self::failure(r#"{"lines": [{"sku": 77, "count": 1}]}"#).contains("77"));
    }

    #[test]
    fn encoded_values_are_no_texts_for_a_worker_without_a_codec() {
        let raw = RawJson::from_bytes(r#"{"name": "graft+codec:k:AAAA"}"#);
        let failure = read::<RawJson>(&raw, Role::Config, "greet").unwrap_err();
        assert!(failure.is_retryable() && failure.message().contains("has no payload codec"), "{failure}");
        read::<()>(&raw, Role::Config, "greet").unwrap();
        Reader { node: "greet", has_codec: true }.read::<RawJson>(&raw, Role::Config).unwrap();
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused_naming_type_field_and_node() {
        let message = failure(r#"{"total": 3, "lines": [{"sku": "a", "count": 1}, {"sku": "b", "count": 300}]}"#);
        assert!(message.contains("Order") && message.contains("node \"charge\"") && message.contains("at /lines/1/count"), "{message}");
        let message = failure("{\n  \"total\": \"x\"\n}");
        assert!(message.contains("at /total") && message.contains("expected u32"), "{message}");
    }

    #[test]
    fn a_missing_field_is_named_with_its_object() {
        let message = failure(r#"{"lines": [{"sku": "a"}]}"#);
        assert!(message.contains("at /lines/0") && message.contains("`count`"), "{message}");
    }

    #[test]
    fn an_absent_document_is_empty() {
        let none = RawJson::default();
        assert_eq!(read::<Order>(&none, Role::State, "n").unwrap(), Order { lines: vec![], total: 0 });
        assert_eq!(read::<Order>(&none, Role::Config, "n").unwrap(), Order { lines: vec![], total: 0 });
        assert_eq!(read::<Option<u8>>(&none, Role::Config, "n").unwrap(), None);
    }

    #[test]
    fn a_unit_and_raw_json_are_not_parsed() {
        let no_json = RawJson::from_bytes("no json");
        read::<()>(&no_json, Role::State, "n").unwrap();
        assert_eq!(read::<RawJson>(&no_json, Role::State, "n").unwrap(), no_json);
    }
}
