//! JSON documents: merging, what changed between two, and reading them. The oracle is the text of RFC 7396.

use graft_client::{RawJson, diff};
use graft_convert::payload;
use graft_proto::v1;
use serde_json::{Map, Value, json};

use super::messages::reasoned;
use crate::fuzz::choices::Choices;
use crate::fuzz::{Outcome, Target, Verdict, same};

/// The pseudo-code of RFC 7396, section 2, word for word.
pub(super) fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let old = target.remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), merge_patch(old, value));
        }
    }
    Value::Object(target)
}

/// Bytes that choose much, and bytes that choose little.
fn choosing() -> Vec<Vec<u8>> {
    vec![(0..=255).collect(), (0..=255).rev().collect(), vec![12, 4, 12, 4, 9, 3, 2, 7, 250, 12, 2, 4, 4, 1, 11, 3], vec![4; 64]]
}

pub(super) fn merges() -> Target {
    let run = |bytes: &[u8]| {
        let choices = &mut Choices::new(bytes);
        let (target, patch) = (choices.json(), choices.json());
        let mut merged = target.clone();
        graft_machine::patch::merge(&mut merged, patch.clone());
        same("a merge", &merge_patch(target.clone(), &patch), &merged)?;
        same("a merge of the client", &merged, &diff::apply(target, &patch))?;
        Ok(Verdict::Taken)
    };
    Target { name: "merges", words: &[], longest: 512, seeds: choosing(), run: Box::new(run) }
}

pub(super) fn differences() -> Target {
    let run = |bytes: &[u8]| {
        let choices = &mut Choices::new(bytes);
        let (before, after, later) = (choices.object(), choices.object(), choices.object());
        // Null means absent: in what was, and in what is to be.
        let (before, wanted) = (merge_patch(json!({}), &before), merge_patch(json!({}), &after));
        let patch = diff::diff(&before, &after);
        let got = patch.as_ref().map_or(before.clone(), |patch| merge_patch(before.clone(), patch));
        same("what a difference makes", &wanted, &got)?;
        same("the difference of a document and itself", &None, &diff::diff(&wanted, &wanted))?;
        // Two patches on top of each other do what both do in turn.
        let mut stacked = patch.unwrap_or_else(|| json!({}));
        let in_turn = merge_patch(merge_patch(before.clone(), &stacked), &later);
        diff::stack(&mut stacked, later, &before);
        same("what stacked patches make", &in_turn, &merge_patch(before, &stacked))?;
        Ok(Verdict::Taken)
    };
    Target { name: "differences", words: &[], longest: 512, seeds: choosing(), run: Box::new(run) }
}

pub(super) fn json() -> Target {
    let run = |bytes: &[u8]| -> Outcome {
        let sent = || Some(v1::Payload { data: bytes.to_vec().into(), ..Default::default() });
        let read: Result<Value, _> = serde_json::from_slice(bytes);
        let taken = reasoned(payload::state(sent()))?;
        reasoned(payload::patch(sent()))?;
        reasoned(payload::config(sent()))?;
        reasoned(payload::appended(v1::Payload { data: bytes.to_vec().into(), ..Default::default() }))?;
        if taken == Verdict::Taken && !bytes.is_empty() && read.is_err() {
            return Err("a state was taken that is no JSON".into());
        }
        // What is written must be what was read, to the last digit.
        if let Ok(value) = read {
            let again: Value = serde_json::from_slice(&serde_json::to_vec(&value).map_err(|error| error.to_string())?)
                .map_err(|error| error.to_string())?;
            same("a document", &value, &again)?;
        }
        let _ = RawJson::from_bytes(bytes.to_vec()).parse::<Value>();
        Ok(taken)
    };
    let seeds = [
        r#"{"a":[1,-2,3.5e-7,"x\n\u00e9",null,true,{"b":{}}],"":0}"#,
        r#"{"big":18446744073709551615,"small":-9223372036854775808,"tiny":5e-324}"#,
        "[[[[[[[[[[]]]]]]]]]]",
        r#"{"a":1,"a":2}"#,
    ];
    let words = &[
        "null",
        "true",
        "false",
        "\"",
        "{\"a\":",
        "}",
        "[",
        "]",
        ",",
        "1e400",
        "-0.0",
        "\\u0000",
        "\\ud800\\udc00",
        "1.7976931348623157e308",
        "[[[[[[[[",
    ];
    Target { name: "json", words, longest: 1_024, seeds: seeds.map(|text| text.as_bytes().to_vec()).to_vec(), run: Box::new(run) }
}
