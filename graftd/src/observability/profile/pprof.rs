//! A report of samples in the format of pprof (`perftools.profiles.Profile` of github.com/google/pprof), as much of it as there is to say.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ::pprof::{Frames, Report, Symbol};
use prost::Message;

/// A profile.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// What the values of a sample mean.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// The stacks.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// The places in the program.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Its functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All texts; the first is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When it began, in nanoseconds since the Unix epoch.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// How long it took.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What is between two samples.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// How much of it.
    #[prost(int64, tag = "12")]
    pub period: i64,
}

/// What a value means. Texts are places in the table.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ValueType {
    /// What is counted.
    #[prost(int64, tag = "1")]
    pub kind: i64,
    /// In what.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack, and how often it was seen.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// The innermost place first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One for each type.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// Its thread.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// Something about a sample.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Label {
    /// What.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Its text.
    #[prost(int64, tag = "2")]
    pub str: i64,
}

/// A place in the program.
#[derive(Clone, PartialEq, Message)]
pub struct Location {
    /// Its number, from 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Where in the source.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A place in the source.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Line {
    /// The function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// The line; 0: not known.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Function {
    /// Its number, from 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name, as it is written.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Its name, as the linker has it.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Its file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// Writes a report.
pub fn write(report: &Report) -> super::Profile {
    let timing = &report.timing;
    let period = 1_000_000_000 / i64::from(timing.frequency.max(1));
    let mut tables = Tables::default();
    // The first text is to be empty.
    tables.text("");
    let [samples, count, cpu, nanoseconds] = ["samples", "count", "cpu", "nanoseconds"].map(|text| tables.text(text));
    let mut profile = Profile {
        sample_type: vec![ValueType { kind: samples, unit: count }, ValueType { kind: cpu, unit: nanoseconds }],
        time_nanos: nanos(timing.start_time),
        duration_nanos: i64::try_from(timing.duration.as_nanos()).unwrap_or(i64::MAX),
        period_type: Some(ValueType { kind: cpu, unit: nanoseconds }),
        period,
        ..Profile::default()
    };
    let mut all = 0;
    for (stack, seen) in &report.data {
        let seen = i64::try_from(*seen).unwrap_or(i64::MAX);
        all += u64::try_from(seen).unwrap_or(0);
        profile.sample.push(tables.sample(stack, seen, period));
    }
    (profile.location, profile.function, profile.string_table) = (tables.locations, tables.functions, tables.texts);
    super::Profile { bytes: profile.encode_to_vec(), samples: all }
}

fn nanos(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

/// What samples name by number, each once.
#[derive(Default)]
struct Tables {
    texts: Vec<String>,
    places: HashMap<String, i64>,
    functions: Vec<Function>,
    of_symbol: HashMap<i64, u64>,
    locations: Vec<Location>,
    of_line: HashMap<(u64, i64), u64>,
}

impl Tables {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.texts.len() as i64;
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    fn sample(&mut self, stack: &Frames, seen: i64, period: i64) -> Sample {
        let location_id = stack.frames.iter().flatten().map(|symbol| self.location(symbol)).collect();
        let label = Label { key: self.text("thread"), str: self.text(&stack.thread_name_or_id()) };
        Sample { location_id, value: vec![seen, seen.saturating_mul(period)], label: vec![label] }
    }

    fn location(&mut self, symbol: &Symbol) -> u64 {
        let (function_id, line) = (self.function(symbol), i64::from(symbol.lineno()));
        let next = self.locations.len() as u64 + 1;
        let id = *self.of_line.entry((function_id, line)).or_insert(next);
        if id == next {
            self.locations.push(Location { id, line: vec![Line { function_id, line }] });
        }
        id
    }

    fn function(&mut self, symbol: &Symbol) -> u64 {
        let system_name = self.text(&symbol.sys_name());
        if let Some(id) = self.of_symbol.get(&system_name) {
            return *id;
        }
        let id = self.functions.len() as u64 + 1;
        let (name, filename) = (self.text(&symbol.name()), self.text(&symbol.filename()));
        self.functions.push(Function { id, name, system_name, filename });
        self.of_symbol.insert(system_name, id);
        id
    }
}
