//! `graftd config print`: the values in force, as a file that says the same, and where each was said.

use serde_json::{Map, Value, json};

use super::keys::{bare_or_quoted, in_order, toml_text};
use super::{Format, Loaded, PrintArgs};

/// Widest column of settings before the column of origins.
const COLUMN_MAX: usize = 48;

/// The values of `loaded` in the format that was asked for.
pub fn print(loaded: &Loaded, args: &PrintArgs) -> String {
    match args.format {
        Format::Toml => toml(loaded, args.show_origin),
        Format::Json => json(loaded, args.show_origin),
    }
}

fn toml(loaded: &Loaded, show_origin: bool) -> String {
    let mut text = String::new();
    for (section, keys) in in_order(&loaded.config) {
        let mut lines = Vec::new();
        let mut tables = Vec::new();
        for (key, value) in &keys {
            match value {
                Value::Object(entries) => tables.push((key, entries)),
                // TOML has no word for it: a key that is not there is not set.
                Value::Null => lines.push((format!("# {key} is not set"), None)),
                value => lines.push((format!("{key} = {}", toml_value(value)), Some(loaded.origin(&[&section, key])))),
            }
        }
        block(&mut text, &section, lines, show_origin);
        for (key, entries) in tables.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            let line = |(name, value): (&String, &Value)| {
                let origin = loaded.origin(&[&section, key, name]);
                (format!("{} = {}", bare_or_quoted(name), toml_value(value)), Some(origin))
            };
            block(&mut text, &format!("{section}.{key}"), entries.iter().map(line).collect(), show_origin);
        }
    }
    text
}

fn block(text: &mut String, header: &str, lines: Vec<(String, Option<super::Origin>)>, show_origin: bool) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("[{header}]\n"));
    let said = lines.iter().filter(|(_, origin)| origin.is_some());
    let width = said.map(|(line, _)| line.chars().count()).filter(|width| *width <= COLUMN_MAX).max().unwrap_or(0);
    for (line, origin) in lines {
        match origin.filter(|_| show_origin) {
            Some(origin) => text.push_str(&format!("{line:<width$}  # {}\n", one_line(&origin.to_string()))),
            None => text.push_str(&format!("{line}\n")),
        }
    }
}

/// A path may hold anything; a comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A value as TOML has it, on one line.
pub(super) fn toml_value(value: &Value) -> String {
    match value {
        Value::String(text) => toml_text(text),
        Value::Array(elements) => format!("[{}]", elements.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry = |(name, value): (&String, &Value)| format!("{} = {}", bare_or_quoted(name), toml_value(value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn json(loaded: &Loaded, show_origin: bool) -> String {
    let mut root = Map::new();
    for (section, keys) in in_order(&loaded.config) {
        let with_origin = |path: &[&str], value: &Value| {
            let origin = loaded.origin(path);
            match show_origin {
                true => json!({ "value": value, "layer": origin.layer(), "origin": origin.to_string() }),
                false => value.clone(),
            }
        };
        let mut inner = Map::new();
        for (key, value) in &keys {
            let shown = match value {
                Value::Object(entries) => {
                    Value::Object(entries.iter().map(|(name, value)| (name.clone(), with_origin(&[&section, key, name], value))).collect())
                }
                value => with_origin(&[&section, key], value),
            };
            inner.insert(key.clone(), shown);
        }
        root.insert(section, Value::Object(inner));
    }
    format!("{:#}\n", Value::Object(root))
}
