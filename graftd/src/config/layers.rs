//! Reads each layer into what was said in it: a key, a value, a place. What is no key is a problem at once.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use config::{Map, Source, Value as Layered, ValueKind};
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Keys, Kind, Path};
use super::{Flags, Origin, Problem};

/// Most files in `conf.d`.
const CONF_D_FILES_MAX: usize = 128;
/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What stands for bytes that are no text.
const NO_TEXT: char = '\u{fffd}';

/// One thing that was said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) path: Path,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Things that were said in one layer: a source of the `config` crate.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(pub(super) Vec<Said>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Layered>, config::ConfigError> {
        let mut root = Map::new();
        for said in &self.0 {
            let mut table = &mut root;
            let (last, sections) = said.path.split_last().expect("a key has a name");
            for section in sections {
                let inner = table.entry(section.clone()).or_insert_with(|| Layered::new(None, ValueKind::Table(Map::new())));
                let ValueKind::Table(inner) = &mut inner.kind else { unreachable!("sections hold keys") };
                table = inner;
            }
            table.insert(last.clone(), layered(&said.value, &said.origin.to_string()));
        }
        Ok(root)
    }
}

fn layered(value: &Value, origin: &String) -> Layered {
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(bool) => ValueKind::Boolean(*bool),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => ValueKind::I64(number),
            (None, Some(number)) => ValueKind::U64(number),
            _ => ValueKind::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Array(elements) => ValueKind::Array(elements.iter().map(|element| layered(element, origin)).collect()),
        Value::Object(table) => ValueKind::Table(table.iter().map(|(key, value)| (key.clone(), layered(value, origin))).collect()),
    };
    Layered::new(Some(origin), kind)
}

/// The files of `conf.d` in `dir`, in the order of their names. Hidden files and other endings are left alone.
pub(super) fn conf_d(dir: &FilePath, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let dir = dir.join("conf.d");
    let mut refuse = |why: String, remedy: &str| problems.push(Problem::of(dir.display().to_string(), why, remedy));
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            refuse(format!("cannot be read: {error}"), "make it a directory that this user may read, or remove it");
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                refuse(format!("cannot be read: {error}"), "");
                continue;
            }
        };
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    if files.len() > CONF_D_FILES_MAX {
        refuse(format!("{} files are too many: at most {CONF_D_FILES_MAX} are read", files.len()), "put several into one");
        files.clear();
    }
    files.sort();
    files
}

/// What a file says. `place` makes the origin of a line.
pub(super) fn file(path: &FilePath, keys: &Keys, place: impl Fn(String, usize) -> Origin, problems: &mut Vec<Problem>) -> Layer {
    let shown = path.display().to_string();
    let text = match read(path) {
        Ok(text) => text,
        Err(why) => {
            problems.push(Problem::of(shown, why, "name a file that this user may read"));
            return Layer::default();
        }
    };
    let line_at = |byte: usize| 1 + text.as_bytes()[..byte.min(text.len())].iter().filter(|b| **b == b'\n').count();
    let place = |byte: usize| place(shown.clone(), line_at(byte));
    let (spans, values) = match (DeTable::parse(&text), toml::from_str::<toml::Table>(&text)) {
        (Ok(spans), Ok(values)) => (spans, values),
        (Err(error), _) | (_, Err(error)) => {
            let at = place(error.span().map_or(0, |span| span.start));
            problems.push(Problem::of(at.to_string(), format!("this is no TOML: {}", error.message()), "correct the file at that line"));
            return Layer::default();
        }
    };
    let mut reading = Reading { keys, place: &place, said: Vec::new(), problems };
    reading.table(&mut Vec::new(), spans.get_ref(), &values);
    // TOML has no order; where it was said has one.
    let mut said = reading.said;
    said.sort_by_key(|(byte, _)| *byte);
    Layer(said.into_iter().map(|(_, said)| said).collect())
}

fn read(path: &FilePath) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let bytes = fs::metadata(path).map_err(cannot)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("has {bytes} bytes: at most {FILE_BYTES_MAX} are read"));
    }
    fs::read_to_string(path).map_err(cannot)
}

struct Reading<'a> {
    keys: &'a Keys,
    place: &'a dyn Fn(usize) -> Origin,
    said: Vec<(usize, Said)>,
    problems: &'a mut Vec<Problem>,
}

impl Reading<'_> {
    fn table(&mut self, path: &mut Path, spans: &DeTable<'_>, values: &toml::Table) {
        for (key, span) in spans {
            let name = key.get_ref().as_ref();
            let Some(value) = values.get(name) else { continue };
            path.push(name.to_owned());
            self.entry(path, key.span().start, span.get_ref(), value);
            path.pop();
        }
    }

    fn entry(&mut self, path: &mut Path, byte: usize, span: &DeValue<'_>, value: &toml::Value) {
        match (self.keys.kind(path), span, value) {
            (Some(Kind::Section), DeValue::Table(spans), toml::Value::Table(values)) => self.table(path, spans, values),
            (Some(Kind::Section), ..) => {
                let name = keys::dotted(path);
                let problem = Problem::of(&name, "this is a section, not a key", format!("write its keys below [{name}]"));
                self.problems.push(problem.said_in((self.place)(byte).to_string()));
            }
            (Some(Kind::Open), DeValue::Table(spans), toml::Value::Table(values)) => {
                for (key, _) in spans {
                    let name = key.get_ref().as_ref();
                    let mut path = path.clone();
                    path.push(name.to_owned());
                    self.say(path, key.span().start, &values[name]);
                }
            }
            (Some(_), _, value) => self.say(path.clone(), byte, value),
            (None, ..) => {
                let problem = self.keys.unknown(&keys::dotted(path));
                self.problems.push(problem.said_in((self.place)(byte).to_string()));
            }
        }
    }

    fn say(&mut self, path: Path, byte: usize, value: &toml::Value) {
        // A date becomes something that no key takes.
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.said.push((byte, Said { path, value, origin: (self.place)(byte) }));
    }
}

/// What the environment says: the variables that begin with `GRAFT__`, sorted by name.
pub(super) fn environment(variables: &[(String, String)], keys: &Keys, problems: &mut Vec<Problem>) -> Layer {
    let mut said = Vec::new();
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(keys::PREFIX)).collect();
    ours.sort();
    for (name, text) in ours {
        let origin = Origin::Variable(name.clone());
        match keys.of_variable(name) {
            None => problems.push(keys.unknown_variable(name).said_in("environment")),
            Some((path, _)) if text.contains(NO_TEXT) => problems.push(no_text(&path).said_in(origin.to_string())),
            Some((path, Kind::Open)) => open(&path, text, &origin, &mut said, problems),
            Some((path, _)) => said.push(Said { path, value: text.as_str().into(), origin }),
        }
    }
    Layer(said)
}

/// `ocr=4, team-a/ocr=2`: a table in one variable.
fn open(path: &Path, text: &str, origin: &Origin, said: &mut Vec<Said>, problems: &mut Vec<Problem>) {
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.rsplit_once('=') else {
            let why = format!("`{part}` is no NAME=NUMBER");
            problems.push(Problem::of(keys::dotted(path), why, "write it like \"ocr=4, team-a/ocr=2\"").said_in(origin.to_string()));
            continue;
        };
        let mut path = path.clone();
        path.push(name.trim().to_owned());
        said.push(Said { path, value: value.trim().into(), origin: origin.clone() });
    }
}

/// What the flags say.
pub(super) fn flags(flags: &Flags, problems: &mut Vec<Problem>) -> Layer {
    let mut said = Vec::new();
    for (flag, key, value) in flags.overrides() {
        let path: Path = key.split('.').map(str::to_owned).collect();
        let origin = Origin::Flag(flag);
        if value.contains(NO_TEXT) {
            problems.push(no_text(&path).said_in(origin.to_string()));
        } else {
            said.push(Said { path, value: value.into(), origin });
        }
    }
    Layer(said)
}

fn no_text(path: &Path) -> Problem {
    Problem::of(keys::dotted(path), "it holds bytes that are no text (UTF-8)", "use names that are text")
}
