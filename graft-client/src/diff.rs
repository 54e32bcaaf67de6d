//! The smallest JSON Merge Patch (RFC 7396) between two documents.
//!
//! A node returns a whole state, but only what it changed is sent: parallel branches that return whole states then do not overwrite each
//! other, and fields that the node's type does not know are never touched. In objects, `null` means absent, on both sides.

use serde_json::{Map, Value};

/// What turns `before` into `after`; `None` if nothing changes. Both are objects (or `null`, which counts as an empty one).
pub fn diff(before: &Value, after: &Value) -> Option<Value> {
    let empty = Map::new();
    let patch = diff_objects(before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn diff_objects(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in before.iter().filter(|(_, old)| !old.is_null()).map(|(key, _)| key) {
        if after.get(key).is_none_or(Value::is_null) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    for (key, new) in after.iter().filter(|(_, new)| !new.is_null()) {
        match (before.get(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let inner = diff_objects(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(old), new) if old == new => {}
            (_, new) => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

/// Puts `later` on top of `patch`: the one patch that does to `target` what both do in turn. Where both name a field, `later` counts.
///
/// The document is needed because a merge patch cannot say "replace this object": where `patch` puts something else in an object's place and
/// `later` makes an object there again, nothing of the old one may shine through, so its fields have to be removed by name.
pub fn stack(patch: &mut Value, later: Value, target: &Value) {
    match (patch, later) {
        (Value::Object(patch), Value::Object(later)) => {
            for (key, value) in later {
                match patch.get_mut(&key) {
                    Some(known) => stack(known, value, &target[&key]),
                    None => {
                        patch.insert(key, value);
                    }
                }
            }
        }
        (patch, later @ Value::Object(_)) => *patch = replacing(target, apply(Value::Null, &later)),
        (patch, later) => *patch = later,
    }
}

/// The patch that puts `new`, which holds no `null` fields, in the place of `old`. Unlike a difference it names all fields of `new`: it
/// replaces the object even if another step has changed it meanwhile.
fn replacing(old: &Value, new: Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, &new) else { return new };
    let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let kept = new.iter().map(|(key, value)| (key.clone(), replacing(old.get(key).unwrap_or(&Value::Null), value.clone())));
    Value::Object(removed.chain(kept).collect())
}

/// Applies a merge patch, as the server does it.
pub fn apply(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (key, change) in patch {
        if change.is_null() {
            target.remove(key);
        } else {
            let old = target.remove(key).unwrap_or(Value::Null);
            target.insert(key.clone(), apply(old, change));
        }
    }
    Value::Object(target)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_is_in_the_patch() {
        let before = json!({"a": 1, "deep": {"x": 1, "y": [1, 2]}, "gone": true});
        let after = json!({"a": 1, "deep": {"x": 2, "y": [1, 2]}, "new": "n"});
        assert_eq!(diff(&before, &after), Some(json!({"deep": {"x": 2}, "gone": null, "new": "n"})));
        assert_eq!(diff(&before, &before), None);
    }

    #[test]
    fn null_and_absent_are_the_same() {
        assert_eq!(diff(&json!({"a": null}), &json!({})), None);
        assert_eq!(diff(&json!({}), &json!({"a": null})), None);
        assert_eq!(diff(&json!({"a": 1}), &json!({"a": null})), Some(json!({"a": null})));
        assert_eq!(diff(&json!({"a": null}), &json!({"a": 1})), Some(json!({"a": 1})));
    }

    #[test]
    fn arrays_are_replaced_whole_and_keep_their_nulls() {
        assert_eq!(diff(&json!({"a": [1, 2]}), &json!({"a": [1, null]})), Some(json!({"a": [1, null]})));
    }

    #[test]
    fn a_scalar_that_becomes_an_object_is_replaced() {
        let (before, after) = (json!({"a": 3}), json!({"a": {"b": 1}}));
        assert_eq!(apply(before.clone(), &diff(&before, &after).unwrap()), after);
    }

    #[test]
    fn what_takes_the_place_of_a_removed_object_does_not_inherit_its_fields() {
        let target = json!({"parcel": {"id": 1, "deep": {"x": 1, "y": 2}}});
        let mut patch = json!({"parcel": null});
        stack(&mut patch, json!({"parcel": {"deep": {"x": 3, "z": null}}}), &target);
        assert_eq!(patch, json!({"parcel": {"id": null, "deep": {"x": 3, "y": null}}}));
        assert_eq!(apply(target, &patch), json!({"parcel": {"deep": {"x": 3}}}));
    }

    /// Documents without `null`; the arrays hold scalars and objects.
    fn document() -> impl Strategy<Value = Value> {
        objects(prop_oneof![any::<bool>().prop_map(Value::from), (-9i64..9).prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from)])
    }

    /// Merge patches, which remove fields too.
    fn patch() -> impl Strategy<Value = Value> {
        objects(prop_oneof![2 => Just(Value::Null), 1 => (-9i64..9).prop_map(Value::from)])
    }

    fn objects(leaf: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_second_document(a in document(), b in document()) {
            let applied = diff(&a, &b).map_or_else(|| a.clone(), |patch| apply(a.clone(), &patch));
            prop_assert_eq!(applied, b);
        }

        #[test]
        fn fields_that_neither_document_knows_stay(a in document(), b in document()) {
            let mut wider = a.clone();
            wider["unknown"] = json!({"kept": true});
            let applied = diff(&a, &b).map_or_else(|| wider.clone(), |patch| apply(wider.clone(), &patch));
            prop_assert_eq!(&applied["unknown"], &json!({"kept": true}));
        }

        #[test]
        fn stacked_patches_do_what_both_do_in_turn(target in document(), first in patch(), second in patch()) {
            let mut both = first.clone();
            stack(&mut both, second.clone(), &target);
            prop_assert_eq!(apply(target.clone(), &both), apply(apply(target, &first), &second));
        }

        #[test]
        fn a_patch_on_top_of_a_difference_does_what_both_do_in_turn(a in document(), b in document(), second in patch()) {
            let mut both = diff(&a, &b).unwrap_or_else(|| json!({}));
            let one_by_one = apply(apply(a.clone(), &both), &second);
            stack(&mut both, second, &a);
            prop_assert_eq!(apply(a, &both), one_by_one);
        }
    }
}
