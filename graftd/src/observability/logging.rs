//! The daemon's own log, on standard error: text for people, one JSON object a line for programs.
//!
//! A line has `ts` (RFC 3339, UTC, microseconds), `level`, `target`, `msg`, then `node` and `cluster_id` once they are known, then the
//! event's own fields. One subscriber per process, set up by the binary; a daemon inside another process writes to whatever that one has.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

use graft_proto::errors::nearest;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

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
pub fn start(json: bool, level: &str) -> Result<Signature, LoggingError> {
    let filter = filter(level).map_err(|cause| LoggingError::Level { level: level.to_owned(), cause })?;
    let signature = Signature::default();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if json {
        tracing::subscriber::set_global_default(lines.event_format(JsonLines { signature: signature.clone() }).finish())
    } else {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing::subscriber::set_global_default(lines.with_ansi(colour).with_target(false).finish())
    };
    set.map_err(|_| LoggingError::Twice)?;
    Ok(signature)
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
        let mut fields = JsonFields(Map::new());
        event.record(&mut fields);
        let mut ts = String::new();
        SystemTime.format_time(&mut Writer::new(&mut ts))?;
        let mut line = Map::new();
        line.insert("ts".into(), ts.into());
        line.insert("level".into(), event.metadata().level().as_str().to_lowercase().into());
        line.insert("target".into(), event.metadata().target().into());
        line.insert("msg".into(), fields.0.remove("message").unwrap_or_default());
        for (key, value) in [("node", self.signature.names.node.get()), ("cluster_id", self.signature.names.cluster_id.get())] {
            if let Some(value) = value {
                line.insert(key.into(), value.as_str().into());
            }
        }
        for (key, value) in fields.0 {
            // A field never hides what every line has.
            line.entry(key).or_insert(value);
        }
        writeln!(writer, "{}", Value::Object(line))
    }
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
