//! One document, encoded or decoded value by value.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{CodecError, EncodedPayload, PayloadCodec, PayloadPart, PayloadPlace};

/// What every encoded value begins with.
const MARK: &str = "graft+codec:";
/// Longest name of a key, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// A value that could not be encoded or decoded: its JSON pointer, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stuck {
    pub(super) pointer: String,
    pub(super) why: String,
}

/// Whether a document may hold encoded values.
pub(crate) fn is_marked(document: &[u8]) -> bool {
    memchr::memmem::find(document, MARK.as_bytes()).is_some()
}

/// Whose documents these are.
#[derive(Clone, Copy)]
pub(super) struct Coder<'a> {
    pub(super) codec: &'a dyn PayloadCodec,
    pub(super) namespace: &'a str,
    pub(super) workflow_id: &'a str,
}

impl Coder<'_> {
    /// A state, a patch of one, or (below `pointer`) a part of one, with its leaves encoded.
    pub(super) fn encode_state(self, document: &[u8], pointer: &str) -> Result<Vec<u8>, Stuck> {
        let mut value = parsed(document, pointer)?;
        self.walk(&mut value, &mut Path::at(pointer), &Self::encode_leaf)?;
        Ok(value.to_string().into())
    }

    /// A config, encoded as a whole; `None`: it stays as it is.
    pub(super) fn encode_config(self, document: &[u8]) -> Result<Option<Vec<u8>>, Stuck> {
        let place = self.place(PayloadPart::Config);
        if document == b"null" || !(is_marked(document) || self.covers(&place)?) {
            return Ok(None);
        }
        self.encoded(&place, document).map(|text| Some(Value::String(text).to_string().into())).map_err(stuck(""))
    }

    /// A document with everything decoded in it that is encoded.
    pub(super) fn decode<'d>(self, document: &'d [u8], part: PayloadPart<'_>) -> Result<Cow<'d, [u8]>, Stuck> {
        let root = if let PayloadPart::State(pointer) = part { pointer } else { "" };
        if !is_marked(document) {
            return Ok(Cow::Borrowed(document));
        }
        let mut value = parsed(document, root)?;
        // What was encoded as a whole comes back to the byte: a number may have more digits than the walk would leave it.
        if let Value::String(text) = &value
            && let Some(marked) = text.strip_prefix(MARK)
        {
            return self.decoded(&self.place(part), marked).map(Cow::Owned).map_err(stuck(root));
        }
        let decode = |coder: Self, value: &mut Value, path: &Path| {
            let Value::String(text) = value else { return Ok(()) };
            let Some(marked) = text.strip_prefix(MARK) else { return Ok(()) };
            let part = if part == PayloadPart::Config { part } else { PayloadPart::State(&path.pointer) };
            let plain = coder.decoded(&coder.place(part), marked).map_err(stuck(&path.told))?;
            *value = parsed(&plain, &path.told)?;
            Ok(())
        };
        self.walk(&mut value, &mut Path::at(root), &decode)?;
        Ok(Cow::Owned(value.to_string().into()))
    }

    /// Whether what stands at this pointer of a state is encoded when it is written.
    pub(super) fn covers_state(self, pointer: &str) -> Result<bool, Stuck> {
        self.covers(&self.place(PayloadPart::State(pointer)))
    }

    fn encode_leaf(self, value: &mut Value, path: &Path) -> Result<(), Stuck> {
        let place = self.place(PayloadPart::State(&path.pointer));
        if value.as_str().is_some_and(|text| text.starts_with(MARK)) || self.covers(&place)? {
            *value = Value::String(self.encoded(&place, value.to_string().as_bytes()).map_err(stuck(&path.told))?);
        }
        Ok(())
    }

    /// Does something to each leaf. `null` is none: in a patch it removes, elsewhere it stands for nothing.
    fn walk(self, value: &mut Value, path: &mut Path, leaf: &impl Fn(Self, &mut Value, &Path) -> Result<(), Stuck>) -> Result<(), Stuck> {
        match value {
            Value::Null => Ok(()),
            Value::Object(members) => members.iter_mut().try_for_each(|(name, value)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                path.within(&name, &name, |path| self.walk(value, path, leaf))
            }),
            Value::Array(items) => {
                let mut numbered = items.iter_mut().enumerate();
                numbered.try_for_each(|(index, value)| path.within("-", &index.to_string(), |path| self.walk(value, path, leaf)))
            }
            value => leaf(self, value, path),
        }
    }

    fn place<'p>(&'p self, part: PayloadPart<'p>) -> PayloadPlace<'p> {
        PayloadPlace { namespace: self.namespace, workflow_id: self.workflow_id, part }
    }

    fn covers(self, place: &PayloadPlace<'_>) -> Result<bool, Stuck> {
        let pointer = if let PayloadPart::State(pointer) = place.part { pointer } else { "" };
        whole(|| Ok(self.codec.covers(place))).map_err(stuck(pointer))
    }

    fn encoded(self, place: &PayloadPlace<'_>, plain: &[u8]) -> Result<String, String> {
        let EncodedPayload { key, data } = whole(|| self.codec.encode(place, plain))?;
        let named = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(named) {
            return Err(format!("the codec named a key of {} bytes; a name has 1 to {KEY_BYTES_MAX} letters, digits and - _ .", key.len()));
        }
        Ok(format!("{MARK}{key}:{}", URL_SAFE_NO_PAD.encode(data)))
    }

    /// The JSON value of what follows the mark.
    fn decoded(self, place: &PayloadPlace<'_>, marked: &str) -> Result<Vec<u8>, String> {
        let (key, data) = marked.split_once(':').ok_or("it begins like an encoded value, and names no key")?;
        let in_key = |why: String| format!("{why} (key {key:?})");
        let data = URL_SAFE_NO_PAD.decode(data).map_err(|_| in_key("it was damaged: what follows its key is no base64".to_owned()))?;
        let plain = whole(|| self.codec.decode(place, key, &data)).map_err(in_key)?;
        serde_json::from_slice::<IgnoredAny>(&plain).map_err(|_| in_key("the codec answered with something that is no JSON".to_owned()))?;
        Ok(plain)
    }
}

/// Calls the codec, whose panic is an error like others.
fn whole<T>(call: impl FnOnce() -> Result<T, CodecError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the codec panicked".to_owned()),
    }
}

/// serde_json would quote what it found; this does not.
fn parsed(document: &[u8], pointer: &str) -> Result<Value, Stuck> {
    serde_json::from_slice(document).map_err(|_| stuck(pointer)("it is no JSON".to_owned()))
}

fn stuck(pointer: &str) -> impl FnOnce(String) -> Stuck {
    move |why| Stuck { pointer: pointer.to_owned(), why }
}

/// Where the walk is: as codecs are told, who do not learn which element of an array it is, and as people are.
struct Path {
    pointer: String,
    told: String,
}

impl Path {
    fn at(pointer: &str) -> Self {
        Self { pointer: pointer.to_owned(), told: pointer.to_owned() }
    }

    fn within<T>(&mut self, step: &str, told: &str, walk: impl FnOnce(&mut Self) -> T) -> T {
        let lengths = (self.pointer.len(), self.told.len());
        self.pointer.extend(["/", step]);
        self.told.extend(["/", told]);
        let answer = walk(self);
        self.pointer.truncate(lengths.0);
        self.told.truncate(lengths.1);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::diff::apply;

    /// Turns every byte around, and puts a number in front so that nothing looks twice the same. Whatever stands below `/open` is plain.
    #[derive(Default)]
    struct Turned(AtomicU8);

    impl PayloadCodec for Turned {
        fn encode(&self, place: &PayloadPlace<'_>, plain: &[u8]) -> Result<EncodedPayload, CodecError> {
            if place.part == PayloadPart::State("/stuck/-") {
                return Err("no ink".into());
            }
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            Ok(EncodedPayload { key: "k.1".into(), data: std::iter::once(number).chain(plain.iter().map(|byte| !byte)).collect() })
        }

        fn decode(&self, _: &PayloadPlace<'_>, key: &str, data: &[u8]) -> Result<Vec<u8>, CodecError> {
            match key {
                "k.1" => Ok(data.iter().skip(1).map(|byte| !byte).collect()),
                "panics" => panic!("at {data:?}"),
                _ => Err("no such key".into()),
            }
        }

        fn covers(&self, place: &PayloadPlace<'_>) -> bool {
            !matches!(place.part, PayloadPart::State(pointer) if pointer.starts_with("/open"))
        }
    }

    const STATE: PayloadPart<'static> = PayloadPart::State("");

    fn coder(codec: &Turned) -> Coder<'_> {
        Coder { codec, namespace: "n", workflow_id: "w" }
    }

    fn encoded(document: &Value) -> Value {
        let turned = Turned::default();
        serde_json::from_slice(&coder(&turned).encode_state(document.to_string().as_bytes(), "").unwrap()).unwrap()
    }

    fn decoded(document: &Value, part: PayloadPart<'_>) -> Result<Value, Stuck> {
        let turned = Turned::default();
        let text = document.to_string();
        coder(&turned).decode(text.as_bytes(), part).map(|plain| serde_json::from_slice(&plain).unwrap())
    }

    #[test]
    fn leaves_are_encoded_and_the_shape_stays() {
        let plain = json!({"name": "Ada", "gone": null, "none": {}, "nothing": [], "lines": [{"sku": 7}, null, true], "open": {"n": 1}});
        let hidden = encoded(&plain);
        for (pointer, shown) in
            [("/gone", json!(null)), ("/none", json!({})), ("/nothing", json!([])), ("/lines/1", json!(null)), ("/open/n", json!(1))]
        {
            assert_eq!(hidden.pointer(pointer), Some(&shown), "{pointer}");
        }
        for pointer in ["/name", "/lines/0/sku", "/lines/2"] {
            assert!(hidden.pointer(pointer).unwrap().as_str().unwrap().starts_with("graft+codec:k.1:"), "{pointer}: {hidden}");
        }
        assert_eq!(decoded(&hidden, STATE), Ok(plain));
    }

    #[test]
    fn what_was_never_encoded_is_read_as_it_stands_and_what_only_looks_so_is_told_from_it() {
        let plain = json!({"old": [1, "x"]});
        assert_eq!(decoded(&plain, STATE), Ok(plain.clone()));
        let lookalike = json!({"a": "graft+codec:k.1:AAAA", "open": "graft+codec:k.1:AAAA"});
        assert_eq!(decoded(&encoded(&lookalike), STATE), Ok(lookalike));
    }

    #[test]
    fn a_config_is_one_value_and_comes_back_to_the_byte() {
        let turned = Turned::default();
        let plain = b"{ \"n\": 123456789012345678901234567890, \"s\": \"graft+codec:x\" }";
        let hidden = coder(&turned).encode_config(plain).unwrap().unwrap();
        assert!(serde_json::from_slice::<String>(&hidden).unwrap().starts_with("graft+codec:k.1:"));
        assert_eq!(coder(&turned).decode(&hidden, PayloadPart::Config), Ok(Cow::Owned(plain.to_vec())));
        assert_eq!(coder(&turned).encode_config(b"null"), Ok(None));
        // Leaves that somebody put into a config by hand are decoded, too.
        let by_hand = json!({"to": serde_json::from_slice::<Value>(&coder(&turned).encode_config(b"5").unwrap().unwrap()).unwrap()});
        assert_eq!(decoded(&by_hand, PayloadPart::Config), Ok(json!({"to": 5})));
    }

    #[test]
    fn what_cannot_be_decoded_names_its_place_and_its_key_and_quotes_nothing() {
        for (text, why) in [
            ("graft+codec:k.2:AAAA", "no such key (key \"k.2\")"),
            ("graft+codec:k.1:AAA*", "it was damaged: what follows its key is no base64 (key \"k.1\")"),
            ("graft+codec:k.1:AAAA", "the codec answered with something that is no JSON (key \"k.1\")"),
            ("graft+codec:k", "it begins like an encoded value, and names no key"),
            ("graft+codec:panics:AAAA", "the codec panicked (key \"panics\")"),
        ] {
            let stuck = Stuck { pointer: "/lines/1/a~1b".into(), why: why.into() };
            assert_eq!(decoded(&json!({"lines": [0, {"a/b": text}]}), STATE), Err(stuck));
            assert_eq!(decoded(&json!(text), PayloadPart::Config), Err(Stuck { pointer: String::new(), why: why.into() }));
        }
        let turned = Turned::default();
        let stuck = coder(&turned).encode_state(br#"{"stuck": [1]}"#, "").unwrap_err();
        assert_eq!(stuck, Stuck { pointer: "/stuck/0".into(), why: "no ink".into() });
    }

    #[test]
    fn the_name_of_a_key_is_checked() {
        struct Named(&'static str);
        impl PayloadCodec for Named {
            fn encode(&self, _: &PayloadPlace<'_>, _: &[u8]) -> Result<EncodedPayload, CodecError> {
                Ok(EncodedPayload { key: self.0.to_owned(), data: Vec::new() })
            }

            fn decode(&self, _: &PayloadPlace<'_>, _: &str, _: &[u8]) -> Result<Vec<u8>, CodecError> {
                Ok(b"1".to_vec())
            }
        }
        let encode = |key| Coder { codec: &Named(key), namespace: "n", workflow_id: "" }.encode_config(b"1");
        assert!(encode("2026-11.a_b").is_ok());
        for key in ["", "a:b", "ä", "a b", &"x".repeat(65).leak()[..]] {
            assert!(encode(key).unwrap_err().why.contains("1 to 64 letters"), "{key}");
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            2 => Just(Value::Null),
            1 => any::<bool>().prop_map(Value::from),
            1 => any::<i64>().prop_map(Value::from),
            1 => any::<f64>().prop_filter_map("finite", |float| serde_json::Number::from_f64(float).map(Value::from)),
            2 => ".{0,9}".prop_map(Value::from),
            1 => Just(Value::from("graft+codec:k.1:AAAA")),
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d~/]|open", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d~/]|open", value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_the_same(document in documents()) {
            prop_assert_eq!(decoded(&encoded(&document), STATE).unwrap(), document);
        }

        /// Members merge what they cannot read as they would merge what it is of.
        #[test]
        fn encoding_commutes_with_merging(state in documents(), first in documents(), second in documents()) {
            let state = apply(Value::Null, &state);
            let merged = [&first, &second].into_iter().fold(encoded(&state), |state, patch| apply(state, &encoded(patch)));
            prop_assert_eq!(decoded(&merged, STATE).unwrap(), apply(apply(state, &first), &second));
        }
    }
}
