//! Fields whose values few may see: `auth.redacted_fields`, and what is put in the place of those values.
//!
//! A field is named by its name, wherever in a state or config it stands, or by a JSON pointer from the top, in which `*` stands for any name or index.
//! Whatever stands there is replaced as a whole. `null` stays: it says that nothing is there.

use std::str::FromStr;

use serde_json::Value;

/// What is shown in the place of a value.
pub const REDACTED: &str = "[redacted]";
/// A step of a path to any element of an array: where a value is appended, its index is not known.
pub const ANY: &str = "-";
/// A step of a pointer that fits any.
const EVERY: &str = "*";

/// A field that is not for everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Named(String),
    At(Vec<String>),
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('/') {
            None if text.is_empty() => Err("is empty: name a field, or a JSON pointer that begins with /".to_owned()),
            None => Ok(Self::Named(text.to_owned())),
            Some(_) => Ok(Self::At(steps(text))),
        }
    }
}

impl Field {
    fn is(&self, path: &[String]) -> bool {
        match self {
            Self::Named(name) => path.last() == Some(name),
            Self::At(steps) => {
                let fits = |(step, here): (&String, &String)| step == EVERY || here == ANY || step == here;
                steps.len() == path.len() && steps.iter().zip(path).all(fits)
            }
        }
    }
}

impl Fields {
    /// As a configuration has them.
    ///
    /// # Errors
    /// If one is none: a fragment that reads after `auth.redacted_fields: `.
    pub fn of(fields: &[String]) -> Result<Self, String> {
        let field = |text: &String| text.parse::<Field>().map_err(|why| format!("{text:?} {why}"));
        fields.iter().map(field).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what stands here, or something around it, is one of them.
    pub fn hide(&self, path: &[String]) -> bool {
        (1..=path.len()).any(|length| self.0.iter().any(|field| field.is(&path[..length])))
    }

    /// The document that stands at this path, without their values. What is no JSON is not shown at all.
    pub fn redact(&self, document: &[u8], path: &[String]) -> Vec<u8> {
        let Ok(mut value) = serde_json::from_slice::<Value>(document) else { return hidden().to_string().into() };
        let mut path = path.to_vec();
        if self.hide(&path) {
            value = hidden();
        }
        self.walk(&mut value, &mut path);
        value.to_string().into()
    }

    fn walk(&self, value: &mut Value, path: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| self.step(name.clone(), value, path)),
            Value::Array(items) => items.iter_mut().enumerate().for_each(|(index, value)| self.step(index.to_string(), value, path)),
            _ => {}
        }
    }

    fn step(&self, step: String, value: &mut Value, path: &mut Vec<String>) {
        path.push(step);
        if !value.is_null() && self.0.iter().any(|field| field.is(path)) {
            *value = hidden();
        } else {
            self.walk(value, path);
        }
        path.pop();
    }
}

fn hidden() -> Value {
    Value::from(REDACTED)
}

/// The steps of a JSON pointer (RFC 6901).
pub fn steps(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(fields: &[&str]) -> Fields {
        Fields::of(&fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>()).expect("fields")
    }

    fn shown(named: &[&str], document: &Value, at: &str) -> Value {
        serde_json::from_slice(&fields(named).redact(document.to_string().as_bytes(), &steps(at))).expect("JSON")
    }

    #[test]
    fn a_name_is_hidden_wherever_it_stands_and_a_pointer_from_the_top() {
        let document = json!({
            "password": "p", "user": { "password": { "old": 1 }, "name": "Ada" }, "card": { "number": 4, "year": 30 },
            "cards": [{ "number": 5, "a/b": 1 }, { "password": null }], "number": 6,
        });
        let hidden = json!({
            "password": "[redacted]", "user": { "password": "[redacted]", "name": "Ada" }, "card": { "number": "[redacted]", "year": 30 },
            "cards": [{ "number": "[redacted]", "a/b": "[redacted]" }, { "password": null }], "number": 6,
        });
        assert_eq!(shown(&["password", "/card/number", "/cards/*/number", "/cards/0/a~1b"], &document, ""), hidden);
        assert_eq!(shown(&["/user", "cards"], &document, "")["user"], "[redacted]");
        assert_eq!(shown(&["cards"], &document, "")["cards"], "[redacted]");
        assert_eq!(shown(&["other"], &document, ""), document);
    }

    #[test]
    fn a_part_of_a_document_is_hidden_as_it_would_be_in_the_whole() {
        assert_eq!(
            shown(&["/cards/7/number"], &json!({ "number": 5, "year": 30 }), "/cards/-"),
            json!({ "number": "[redacted]", "year": 30 })
        );
        for field in ["cards", "/cards", "/cards/*", "/cards/0"] {
            assert_eq!(shown(&[field], &json!({ "number": 5 }), "/cards/-"), json!("[redacted]"), "{field}");
        }
        assert_eq!(shown(&["/cards"], &json!(5), "/other/-"), json!(5));
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        assert_eq!(fields(&["a"]).redact(b"{\"a\": 1", &[]), b"\"[redacted]\"");
        assert_eq!(
            Fields::of(&["a".into(), String::new()]).expect_err("empty"),
            "\"\" is empty: name a field, or a JSON pointer that begins with /"
        );
        assert!(fields(&[]).is_empty() && !fields(&["a"]).is_empty());
    }
}
