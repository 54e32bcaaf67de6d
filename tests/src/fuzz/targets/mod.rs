//! The targets, by what they read.

mod documents;
mod messages;
mod outside;
mod served;
mod steps;
mod stored;
mod texts;

use super::Target;

/// What makes a target; in the thread that runs it.
pub type Make = fn() -> Target;

/// All of them, by name.
pub const ALL: &[(&str, Make)] = &[
    ("log-entries", stored::log_entries),
    ("records", stored::records),
    ("keys", stored::keys),
    ("states", stored::states),
    ("answers", stored::answers),
    ("consensus", stored::consensus),
    ("snapshots", stored::snapshots),
    ("marks", stored::marks),
    ("small-files", stored::small_files),
    ("requests", messages::requests),
    ("results", messages::results),
    ("peers", messages::peers),
    ("told", messages::told),
    ("steps", steps::steps),
    ("merges", documents::merges),
    ("differences", documents::differences),
    ("json", documents::json),
    ("cursors", texts::cursors),
    ("names", texts::names),
    ("traceparents", texts::traceparents),
    ("times", texts::times),
    ("units", texts::units),
    ("configuration", texts::configuration),
    ("joining", texts::joining),
    ("access", texts::access),
    ("certificates", texts::certificates),
    ("kubernetes", outside::kubernetes),
    ("announcements", outside::announcements),
    ("providers", outside::providers),
    ("http", served::http),
    ("grpc", served::grpc),
];

/// The target of this name.
pub fn make(name: &str) -> Option<Target> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, make)| make())
}
