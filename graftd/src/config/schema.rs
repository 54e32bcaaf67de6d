//! The JSON Schema (2020-12) of the configuration: from the structs, their comments, their defaults and their bounds.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

use super::bounds::{self, Unit};
use super::live::is_live;
use super::units::{HostPort, SIZES, SPANS, Share, Size, Span};
use super::{Config, variable};

/// The schema of a configuration file. Editors, charts and tests can hold a file against it without the daemon.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    schema["title"] = json!("graftd.toml");
    for (section, inner) in properties(&mut schema) {
        // What stands below says it, key by key.
        inner.as_object_mut().expect("a section").remove("default");
        for (key, property) in properties(inner) {
            refine(&format!("{section}.{key}"), property);
        }
    }
    schema
}

fn properties(schema: &mut Value) -> &mut Map<String, Value> {
    schema["properties"].as_object_mut().expect("a table")
}

fn refine(key: &str, property: &mut Value) {
    // Lines of a comment end where they are full, which means nothing to who reads the text.
    let text = property["description"].as_str().expect("every key has a comment").replace('\n', " ");
    property["description"] = json!(text);
    property["x-graft-environment"] = json!(variable(key));
    // Whether a running daemon takes a change over when it reads its configuration again.
    property["x-graft-live"] = json!(is_live(key));
    let number = property.get("additionalProperties").is_some_and(Value::is_object);
    let target = if number { &mut property["additionalProperties"] } else { property };
    // Widths of the machine's numbers are no bounds.
    let target = target.as_object_mut().expect("a property");
    target.remove("format");
    if let Some(bounds) = bounds::of_key(key) {
        let (least, most) = match bounds.unit {
            Unit::Count => ("minimum", "maximum"),
            // JSON Schema cannot compare text: for people, and for who can read the unit.
            Unit::Time | Unit::Bytes => ("x-graft-minimum", "x-graft-maximum"),
        };
        let shown = |number: u64| if bounds.unit == Unit::Count { json!(number) } else { json!(bounds.shown(number)) };
        target.insert(least.into(), shown(bounds.least));
        target.insert(most.into(), shown(bounds.most));
    }
}

/// Digits and one of the units, as `units.rs` reads them.
fn pattern(units: &[(&str, u64)]) -> String {
    let units: Vec<&str> = units.iter().map(|(unit, _)| *unit).collect();
    format!("^[0-9]+ *({})$", units.join("|"))
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": pattern(SPANS), "x-graft-type": "duration", "examples": ["250ms", "10s", "7d"] })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": pattern(SIZES), "x-graft-type": "size", "examples": ["64KiB", "64MiB", "2GiB"] })
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^[0-9]{1,3}([.][0-9]{1,4})?%$";
        json_schema!({ "type": "string", "pattern": pattern, "x-graft-type": "share", "examples": ["100%", "5%", "0.1%"] })
    }
}

impl JsonSchema for HostPort {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$",
            "x-graft-type": "address",
            "examples": ["127.0.0.1:7420", "[::1]:7420"]
        })
    }
}
