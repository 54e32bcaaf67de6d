//! The daemon's own log, on standard error: text for people, one JSON object a line for programs.
//!
//! A line has `ts` (RFC 3339, UTC, microseconds), `level`, `target`, `msg`, then `node` and `cluster_id` once they are known, then the
//! event's own fields. One subscriber per process, set up by the binary; a daemon inside another process writes to whatever that one has.
//!
//! The level can be changed while the process runs. The newest lines are kept in memory as well ([`Recent`]), for whoever asks a member what
//! happened and cannot read its standard error.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use graft_proto::errors::nearest;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, fmt as lines, reload};

use super::logged::CountLines;
use super::recent::Recent;

/// Libraries whose log is held back, unless the level names them, and to what. The raft core warns of every message to a member that is away;
/// the client of Kubernetes repeats each failure, which discovery has told once.
const CHATTY: [(&str, &str); 3] = [("openraft", "error"), ("kube_client", "off"), ("kube_runtime", "off")];

/// What every line is signed with, as soon as it is known. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    names: Arc<Names>,
}

#[derive(Debug, Default)]
struct Names {
    node: OnceLock<String>,
    cluster_id: OnceLock<String>,
}

impl Signature {
    /// The member's name. The first one stands.
    pub fn member(&self, name: &str) {
        let _ = self.names.node.set(name.to_owned());
    }

    /// The cluster's id. The first one stands.
    pub fn cluster(&self, id: &str) {
        let _ = self.names.cluster_id.set(id.to_owned());
    }
}

/// How much is logged, from now on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    said: Arc<Mutex<Said>>,
}

#[derive(Debug)]
struct Said {
    now: String,
    configured: String,
}

impl Level {
    /// The level in force, as it was said.
    pub fn now(&self) -> String {
        self.said().now.clone()
    }

    /// That of the configuration.
    pub fn configured(&self) -> String {
        self.said().configured.clone()
    }

    /// Changes it, at once and for the whole process, until it is configured again.
    ///
    /// # Errors
    /// Why this is no level; then nothing has changed.
    pub fn set(&self, level: &str) -> Result<(), String> {
        let filter = filter(level)?;
        let mut said = self.said();
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        level.clone_into(&mut said.now);
        Ok(())
    }

    /// As [`Self::set`], by the configuration.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn configure(&self, level: &str) -> Result<(), String> {
        self.set(level)?;
        level.clone_into(&mut self.said().configured);
        Ok(())
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("nobody panics while it is held")
    }
}

/// The log of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProcessLog {
    /// What its lines are signed with.
    pub signature: Signature,
    /// How much is logged.
    pub level: Level,
    /// What was logged last.
    pub recent: Recent,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level cannot be understood.
    #[error(
        "log.level: `{level}` is neither a level nor directives: {cause}\n  → use error, warn, info, debug or trace, or `info,graftd::scheduler=debug`"
    )]
    Level {
        /// What was said.
        level: String,
        /// Why.
        cause: String,
    },
    /// The process has a subscriber already.
    #[error("the log of this process has been set up already")]
    Twice,
}

/// Whether the log is written as JSON: as asked, or else unless standard error is a terminal.
pub fn is_json(asked: Option<bool>) -> bool {
    asked.unwrap_or_else(|| !std::io::stderr().is_terminal())
}

/// Whether this can be a level, and if not, why.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(|_| ())
}

/// The levels, the quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn filter(level: &str) -> Result<EnvFilter, String> {
    if level.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    // The filter takes any other word for the name of a module.
    let mut words = level.split(',').map(str::trim).filter(|word| !word.contains(['=', ':', '[']));
    if let Some(word) = words.find(|word| word.parse::<LevelFilter>().is_err()) {
        let meant = nearest(word, LEVELS).map(|level| format!("; did you mean {level}?")).unwrap_or_default();
        return Err(format!("`{word}` is no level (those are {}){meant}", LEVELS.join(", ")));
    }
    // Only who asks for them by name gets more.
    let quiet = CHATTY.iter().filter(|(library, _)| !level.contains(library)).map(|(library, least)| format!(",{library}={least}"));
    let quiet: String = quiet.collect();
    EnvFilter::try_new(format!("{level}{quiet}")).map_err(|error| error.to_string())
}

/// Sets up the log of this process.
pub fn start(json: bool, level: &str) -> Result<ProcessLog, LoggingError> {
    let filter = filter(level).map_err(|cause| LoggingError::Level { level: level.to_owned(), cause })?;
    let (filter, handle) = reload::Layer::new(filter);
    let signature = Signature::default();
    let recent = Recent::new(signature.clone());
    let log = Registry::default().with(filter).with(CountLines).with(recent.clone());
    let set = if json {
        let lines = lines::layer().with_writer(std::io::stderr).event_format(JsonLines { signature: signature.clone() });
        tracing::subscriber::set_global_default(log.with(lines))
    } else {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing::subscriber::set_global_default(log.with(lines::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(false)))
    };
    set.map_err(|_| LoggingError::Twice)?;
    let said = Said { now: level.to_owned(), configured: level.to_owned() };
    let level = Level { filter: handle, said: Arc::new(Mutex::new(said)) };
    Ok(ProcessLog { signature, level, recent })
}

/// One JSON object a line.
struct JsonLines {
    signature: Signature,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(writer, "{}", json_line(&self.signature, event))
    }
}

/// An event as one JSON object.
pub(super) fn json_line(signature: &Signature, event: &Event<'_>) -> Value {
    let mut fields = JsonFields(Map::new());
    event.record(&mut fields);
    let mut ts = String::new();
    SystemTime.format_time(&mut Writer::new(&mut ts)).expect("a string takes everything");
    let mut line = Map::new();
    line.insert("ts".into(), ts.into());
    line.insert("level".into(), event.metadata().level().as_str().to_lowercase().into());
    line.insert("target".into(), event.metadata().target().into());
    line.insert("msg".into(), fields.0.remove("message").unwrap_or_default());
    for (key, value) in [("node", signature.names.node.get()), ("cluster_id", signature.names.cluster_id.get())] {
        if let Some(value) = value {
            line.insert(key.into(), value.as_str().into());
        }
    }
    for (key, value) in fields.0 {
        // A field never hides what every line has.
        line.entry(key).or_insert(value);
    }
    Value::Object(line)
}

struct JsonFields(Map<String, Value>);

impl JsonFields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.put(field, text);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_carries_the_event_and_who_wrote_it() {
        let (out, signature) = (Captured::default(), Signature::default());
        let writer = out.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let subscriber = lines.event_format(JsonLines { signature: signature.clone() }).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("starting");
            signature.member("graft-0");
            signature.cluster("c1");
            tracing::warn!(entries = 7u64, peer = %"b", level = "mine", "behind by {}", 7);
        });
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["msg"], "starting");
        assert!(lines[0].get("node").is_none());
        let expected = [("level", "warn"), ("msg", "behind by 7"), ("node", "graft-0"), ("cluster_id", "c1"), ("peer", "b")];
        for (key, value) in expected {
            assert_eq!(lines[1][key], value);
        }
        assert_eq!(lines[1]["entries"], 7);
        assert!(lines[1]["ts"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        for level in ["", "graftd=loud", "a=b=c"] {
            assert!(matches!(start(false, level), Err(LoggingError::Level { .. })), "{level}");
        }
    }
}
