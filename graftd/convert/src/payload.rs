//! JSON documents: states, patches, configs. Parsed once here, without building a tree, so that what enters the log is known to be JSON.

use std::fmt;

use bytes::Bytes;
use graft_machine::limits::{CONFIG_BYTES_MAX, JSON_DEPTH_MAX, PATCH_BYTES_MAX, STATE_BYTES_MAX};
use graft_proto::v1::{Encoding, Payload};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use graft_proto::errors::Fault;

/// Wraps JSON; nothing if there is none.
pub fn json(data: &Bytes) -> Option<Payload> {
    (!data.is_empty()).then(|| Payload { encoding: Encoding::Json as i32, data: data.clone() })
}

/// The first state of a workflow: an object, or nothing.
pub fn state(payload: Option<Payload>) -> Result<Bytes, Fault> {
    object("the state", payload, STATE_BYTES_MAX)
}

/// A merge patch: an object, or nothing.
pub fn patch(payload: Option<Payload>) -> Result<Bytes, Fault> {
    object("the patch", payload, PATCH_BYTES_MAX)
}

/// A config: any document, or nothing.
pub fn config(payload: Option<Payload>) -> Result<Bytes, Fault> {
    document("the config", payload, CONFIG_BYTES_MAX)
}

/// A value that an operation appends: any document, but one.
pub fn appended(payload: Payload) -> Result<Bytes, Fault> {
    let what = "the value to append";
    match document(what, Some(payload), PATCH_BYTES_MAX)? {
        value if value.is_empty() => Err(Fault::invalid(what, "is absent")),
        value => Ok(value),
    }
}

fn object(what: &str, payload: Option<Payload>, bytes_max: usize) -> Result<Bytes, Fault> {
    let data = document(what, payload, bytes_max)?;
    match data.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None | Some(b'{') => Ok(data),
        Some(first) => {
            let found = match first {
                b'[' => "an array",
                b'"' => "a string",
                b'n' => "null",
                b't' | b'f' => "a boolean",
                _ => "a number",
            };
            Err(Fault::invalid(what, format!("is {found}, but has to be a JSON object")).remedy("send an object, such as {}"))
        }
    }
}

fn document(what: &str, payload: Option<Payload>, bytes_max: usize) -> Result<Bytes, Fault> {
    let Some(Payload { encoding, data }) = payload else { return Ok(Bytes::new()) };
    match Encoding::try_from(encoding) {
        Ok(Encoding::Unspecified | Encoding::Json) => {}
        Err(_) => {
            return Err(Fault::invalid(what, format!("has encoding {encoding}, which this version does not know")).remedy("send JSON"));
        }
    }
    if data.len() > bytes_max {
        return Err(Fault::too_large(what, format!("has {} bytes, at most {bytes_max} are allowed", data.len())));
    }
    if !data.is_empty() {
        check(&data).map_err(|reason| Fault::invalid(what, format!("is no JSON that Graft takes: {reason}")))?;
    }
    Ok(data)
}

fn check(data: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(data).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    let mut parser = serde_json::Deserializer::from_str(text);
    Nested { left: JSON_DEPTH_MAX }.deserialize(&mut parser).and_then(|()| parser.end()).map_err(|error| error.to_string())
}

/// Parses any value and keeps nothing of it, at most `left` levels deep.
#[derive(Clone, Copy)]
struct Nested {
    left: usize,
}

impl Nested {
    fn inner<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left }),
            None => Err(E::custom(format_args!("nested more than {JSON_DEPTH_MAX} levels deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while elements.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while members.next_key_seed(inner)?.is_some() {
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_proto::errors::ErrorCode;

    fn payload(text: impl Into<Bytes>) -> Option<Payload> {
        Some(Payload { encoding: Encoding::Json as i32, data: text.into() })
    }

    #[test]
    fn objects_pass_as_they_are() {
        for text in ["{}", " {\"a\": [1, 2.5, -3e2, null, true, \"\\u00e4\"]}\n", "{\"a\":{\"b\":{}}}"] {
            assert_eq!(state(payload(text)).expect(text), text);
        }
        assert_eq!(state(None).expect("absent"), "");
        assert_eq!(state(payload("")).expect("empty"), "");
    }

    #[test]
    fn a_state_or_patch_that_is_no_object_is_refused_by_what_it_is() {
        for (text, found) in [("[1]", "an array"), ("\"a\"", "a string"), ("null", "null"), ("true", "a boolean"), (" 7", "a number")] {
            let error = patch(payload(text)).expect_err(text);
            assert!(error.detail.contains(found), "{error}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        for text in ["{", "{\"a\":}", "{} {}", "{'a':1}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "{\"a\":01}", "nul"] {
            let error = state(payload(text)).expect_err(text);
            assert_eq!(error.code, ErrorCode::Invalid);
            assert!(error.detail.contains("line 1"), "{error}");
        }
        let error = config(payload(&b"\"\xff\""[..])).expect_err("not UTF-8");
        assert!(error.detail.contains("not UTF-8 at byte 1"), "{error}");
    }

    #[test]
    fn a_config_is_any_document() {
        for text in ["null", "3", "[]", "\"x\"", "{}"] {
            config(payload(text)).expect(text);
        }
    }

    #[test]
    fn depth_is_bounded_exactly() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        config(payload(nested(JSON_DEPTH_MAX))).expect("at the bound");
        let error = config(payload(nested(JSON_DEPTH_MAX + 1))).expect_err("beyond it");
        assert!(error.detail.contains("nested more than 100 levels"), "{error}");
        config(payload(nested(100_000))).expect_err("far beyond it, without a deep stack");
    }

    #[test]
    fn size_is_bounded_exactly_and_the_bound_is_named() {
        let of_size = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(state(payload(of_size(STATE_BYTES_MAX))).expect("at the bound").len(), STATE_BYTES_MAX);
        let error = state(payload(of_size(STATE_BYTES_MAX + 1))).expect_err("beyond it");
        assert_eq!(error.code, ErrorCode::TooLarge);
        assert!(error.detail.contains("1048577 bytes, at most 1048576"), "{error}");
    }

    #[test]
    fn an_unknown_encoding_is_refused() {
        let error = state(Some(Payload { encoding: 9, data: Bytes::from_static(b"{}") })).expect_err("encoding 9");
        assert!(error.detail.contains("encoding 9"), "{error}");
    }

    #[test]
    fn an_append_needs_a_value() {
        appended(Payload::default()).expect_err("no value");
        assert_eq!(appended(payload("null").expect("some")).expect("null is a value"), "null");
    }
}
