//! `deploy/configuration.md`: every key, from the schema. A test holds the page against the code, and writes it when asked to.

use std::fmt::Write as _;

use serde_json::Value;

use super::flags::flag_of;
use super::keys::in_order;
use super::live::is_live;
use super::load::USUAL_FILE;
use super::{Config, bounds, schema, variable};

/// The page. Writing to a string cannot fail.
pub fn page() -> String {
    let schema = schema();
    let mut page = format!(
        "# Configuration of graftd\n\n\
        <!-- Made from the code. Do not edit: UPDATE=1 cargo test -p graftd --test config reference_page -->\n\n\
        Every key works in four places, each above the one before: the file (`--config FILE`, or `{USUAL_FILE}` if it exists), the files\n\
        `conf.d/*.toml` beside it in the order of their names, the environment, and for some a flag. What is said nowhere is the default.\n\n\
        - Durations are text with a unit: `ms`, `s`, `m`, `h`, `d`. Sizes too: `B`, `KiB`, `MiB`, `GiB`. Addresses are `HOST:PORT`, shares `5%`.\n\
        - In the environment, a list has commas between its elements: `GRAFT__CLUSTER__PEERS=127.0.0.1:7421,127.0.0.1:7521`; and a table is\n\
        \x20 `GRAFT__SCHEDULER__NODE_LIMITS=\"ocr=4, team-a/ocr=2\"`.\n\
        - A list is replaced as a whole by a later place; in a table, each entry stands for itself.\n\
        - A key or a variable `GRAFT__..` that is not listed here is refused.\n\
        - On SIGHUP (`systemctl reload graftd`) a daemon reads all of it again, and the files for TLS. What is wrong with it is logged, and nothing\n\
        \x20 changes then. Otherwise the keys that say so take effect at once; for each other key whose value has changed, the log says what it\n\
        \x20 was, what it will be, and that this needs a restart.\n\n\
        `graftd config check` says everything that is wrong, and where; `graftd config print --show-origin` shows what is in force and who said\n\
        it; `graftd config schema` is this page for programs.\n"
    );
    for (section, keys) in in_order(&Config::default()) {
        let described = &schema["properties"][&section];
        let _ = write!(page, "\n## [{section}]\n\n{}\n", text(described));
        for (key, default) in keys {
            let property = &described["properties"][&key];
            let key = format!("{section}.{key}");
            let _ = write!(page, "\n### `{key}`\n\n{}\n\n", text(property));
            let _ = writeln!(page, "- type: {}", kind(property));
            let _ = writeln!(page, "- default: {}", shown(&default));
            if let Some(bounds) = bounds::of_key(&key) {
                let _ = writeln!(page, "- bounds: {} to {}", bounds.shown(bounds.least), bounds.shown(bounds.most));
            }
            let _ = writeln!(
                page,
                "- a change takes effect: {}",
                if is_live(&key) { "when the daemon gets SIGHUP" } else { "at the next start" }
            );
            let _ = writeln!(page, "- environment: `{}`", variable(&key));
            if let Some(flag) = flag_of(&key) {
                let _ = writeln!(page, "- flag: `{flag}`");
            }
        }
    }
    page
}

fn text(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => "none".to_owned(),
        Value::Array(elements) if elements.is_empty() => "none".to_owned(),
        Value::Object(entries) if entries.is_empty() => "none".to_owned(),
        Value::String(text) => format!("`\"{text}\"`"),
        other => format!("`{other}`"),
    }
}

/// What may be written, for people.
fn kind(schema: &Value) -> String {
    if let Some(kind) = schema["x-graft-type"].as_str() {
        return kind.to_owned();
    }
    // What may be left out is itself, or null.
    if let Some(choices) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
        let kinds: Vec<String> = choices.iter().filter(|choice| choice["type"] != "null").map(kind).collect();
        return if choices.iter().all(|choice| choice.get("const").is_some()) {
            format!("one of {}", kinds.join(", "))
        } else {
            kinds.join(" or ")
        };
    }
    if let Some(choice) = schema.get("const") {
        return format!("`{choice}`");
    }
    if let Some(choices) = schema["enum"].as_array() {
        return format!("one of {}", choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", "));
    }
    let name = schema["type"].as_str().or_else(|| schema["type"].as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null"));
    match name {
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => format!("list: each {}", kind(&schema["items"])),
        Some("object") => format!("table: name = {}", kind(&schema["additionalProperties"])),
        Some(other) => other.to_owned(),
        None => "anything".to_owned(),
    }
}
