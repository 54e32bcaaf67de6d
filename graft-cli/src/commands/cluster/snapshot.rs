//! `graft cluster snapshot save|inspect|restore`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use futures::StreamExt;
use graft_proto::documents::Time;
use graftd::app::{Inspected, inspect, restore};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::place::{SnapshotFile, SnapshotRestore};
use crate::commands::Session;
use crate::commands::files::{beside, failed, keep};
use crate::error::{CliError, CliResult};
use crate::output::json::{Document, some};
use crate::output::spinner::Spinner;
use crate::output::style::Line;
use crate::output::table::facts;
use crate::output::{Answer, Output, View, note};

/// Saves the state. The file is checked before it takes its name, so that a broken one is never taken for a backup.
pub(super) async fn save(session: &Session, args: SnapshotFile) -> CliResult {
    let path = args.file;
    let mut file = beside(&path)?;
    let mut pieces = session.client.snapshot();
    let spinner = Spinner::start("saving");
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        bytes += piece.len();
        spinner.say(|| format!("saving: {} MiB", bytes >> 20));
        file.write_all(&piece).map_err(|error| failed(&path, &error))?;
    }
    drop(spinner);
    file.flush().map_err(|error| failed(&path, &error))?;
    let found = look(file.path())?;
    keep(file, &path)?;
    session.output.show(&found)
}

/// Says what is in a file.
pub(in crate::commands) fn inspected(output: Output, args: &SnapshotFile) -> CliResult {
    output.show(&look(&args.file)?)
}

/// Makes a member of a file.
pub(in crate::commands) fn restored(output: Output, args: &SnapshotRestore) -> CliResult {
    let SnapshotRestore { file, data_dir, member, cluster_name } = args;
    let restored = restore(file, data_dir, member, cluster_name.as_deref()).map_err(|error| CliError::Other(error.to_string()))?;
    output.show(&Found(inspect(file).map_err(|error| CliError::Other(error.to_string()))?))?;
    note(&format!(
        "{} is member {member} of a cluster of its own now: {} {}\n  Start graftd on it, with node.name = \"{member}\" and cluster.name = \"{}\"; others join it.",
        restored.data_dir.display(),
        restored.cluster_name,
        restored.cluster_id,
        restored.cluster_name
    ));
    Ok(())
}

fn look(path: &Path) -> CliResult<Found> {
    inspect(path).map(Found).map_err(|error| CliError::Other(error.to_string()))
}

struct Found(Inspected);

/// What is in a snapshot file, every check passed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SnapshotJson {
    /// UUID of the cluster that it is of.
    cluster_id: Option<String>,
    /// Its name.
    cluster_name: String,
    /// Its epoch.
    epoch: u64,
    /// The last log entry that is in it.
    index: u64,
    /// The cluster's time at that entry.
    at: Option<Time>,
    /// Its size.
    bytes: u64,
    /// Records by table.
    records: BTreeMap<String, u64>,
}

impl Document for SnapshotJson {
    const KIND: &'static str = "Snapshot";
}

impl Answer for Found {
    type Document = SnapshotJson;

    fn document(&self) -> SnapshotJson {
        let Inspected { bytes, index, meta, records } = &self.0;
        let (cluster_id, epoch) = meta.lineage.last().map_or(("", 0), |last| (last.cluster_id.as_str(), last.epoch));
        SnapshotJson {
            cluster_id: some(cluster_id),
            cluster_name: meta.cluster_name.clone(),
            epoch,
            index: *index,
            at: Time::of(meta.time),
            bytes: *bytes,
            records: records.clone(),
        }
    }

    fn names(&self) -> Vec<String> {
        vec![self.document().cluster_id.unwrap_or_default()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        let SnapshotJson { cluster_id, cluster_name, epoch, index, at, bytes, records } = self.document();
        let count = |table: &str| records.get(table).copied().unwrap_or(0);
        facts(&[
            ("cluster", format!("{cluster_name} {} (epoch {epoch})", cluster_id.unwrap_or_default())),
            ("index", index.to_string()),
            ("at", at.map_or_else(|| "-".to_owned(), |at| at.to_string())),
            ("workflows", count("Workflows").to_string()),
            ("tasks", count("Tasks").to_string()),
            ("events", count("Events").to_string()),
            ("size", format!("{bytes} bytes, every check passed")),
        ])
    }
}
