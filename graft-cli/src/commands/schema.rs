//! `graft schema`: how to read what `-o json` writes, as JSON Schema (draft 2020-12). Needs no server.

use graft_proto::documents as shared;
use graft_proto::errors::nearest;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use super::{bench, cluster, context, debug_bundle, explain, workflow};
use crate::cli::Format;
use crate::cli::local::Schema;
use crate::error::{CliError, CliResult};
use crate::output::json::{self, Document, Versioned};
use crate::output::style::Line;
use crate::output::table::{column, table};
use crate::output::{Answer, Output, View, yaml};

/// Names the documents that the command writes.
macro_rules! kinds {
    ($($document:ty),+ $(,)?) => {
        const KINDS: &[(&str, fn() -> Value)] = &[$((<$document as Document>::KIND, schema::<$document>)),+];
    };
}

kinds! {
    bench::report::Report,
    cluster::doctor::FindingJson,
    cluster::doctor::FindingsJson,
    cluster::log_level::LevelJson,
    cluster::log_level::LevelsJson,
    cluster::profile::ProfileJson,
    cluster::snapshot::SnapshotJson,
    context::list::ContextJson,
    context::list::ContextsJson,
    context::test::AskedJson,
    context::test::TestedJson,
    debug_bundle::BundleJson,
    debug_bundle::MemberJson,
    explain::CatalogueJson,
    explain::EntryJson,
    explain::PageJson,
    json::ErrorJson,
    shared::Act,
    shared::ActList,
    shared::ApiToken,
    shared::ApiTokenList,
    shared::Bootstrap,
    shared::MachineVersion,
    shared::ClusterStatus,
    shared::DeadLetter,
    shared::DeadLetterList,
    shared::DeadLetterResult,
    shared::DeadLetterResults,
    shared::Event,
    shared::JoinGrant,
    shared::JoinGrantList,
    shared::JoinToken,
    shared::Limit,
    shared::LimitChange,
    shared::LimitList,
    shared::Member,
    shared::MemberList,
    shared::NewApiToken,
    shared::StartResult,
    shared::StartedWorkflow,
    shared::Task,
    shared::TaskDetail,
    shared::TaskList,
    shared::WhoAmI,
    shared::Worker,
    shared::WorkerList,
    shared::Workflow,
    shared::WorkflowCounts,
    shared::WorkflowEvent,
    shared::WorkflowExport,
    shared::WorkflowHistory,
    shared::WorkflowList,
    shared::WorkflowSummary,
    workflow::graph::DrawnJson,
    workflow::many::ManyJson,
    KindsJson,
}

fn schema<D: Document + JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Versioned<'_, D>>().to_value()
}

/// Shows the schema of a kind, or all kinds.
pub(crate) fn run(output: Output, args: &Schema) -> CliResult {
    let Some(name) = &args.kind else { return output.show(&Kinds) };
    let Some((_, schema)) = KINDS.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(name)) else {
        return Err(CliError::NotFound(unknown(name)));
    };
    let unwritable = |error: serde_json::Error| CliError::Other(format!("failed to write the schema: {error}"));
    let text = serde_json::to_string_pretty(&schema()).map_err(unwritable)?;
    output.text(&match output.format() {
        Format::Yaml => yaml::of_json(&text)?,
        Format::Jsonl => serde_json::to_string(&schema()).map_err(unwritable)? + "\n",
        _ => text + "\n",
    })
}

fn unknown(name: &str) -> String {
    let meant = nearest(name, KINDS.iter().map(|(kind, _)| *kind)).map(|kind| format!(" Did you mean {kind}?")).unwrap_or_default();
    format!("{name:?} is no kind of document.{meant}\n  See them all with `graft schema`.")
}

fn sorted() -> Vec<&'static str> {
    let mut kinds: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    kinds
}

/// All kinds.
struct Kinds;

#[derive(Serialize, JsonSchema)]
struct KindsJson {
    /// In order.
    kinds: Vec<&'static str>,
}

impl Document for KindsJson {
    const KIND: &'static str = "KindList";
}

impl Answer for Kinds {
    type Document = KindsJson;

    fn document(&self) -> KindsJson {
        KindsJson { kinds: sorted() }
    }

    fn names(&self) -> Vec<String> {
        sorted().into_iter().map(str::to_owned).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        table(view, &[column("KIND")], sorted().into_iter().map(|kind| vec![kind.to_owned()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_there_once_and_its_schema_names_it() {
        let kinds = sorted();
        assert!(kinds.windows(2).all(|pair| pair[0] < pair[1]), "{kinds:?}");
        for (kind, schema) in KINDS {
            let schema = schema();
            // A document of several types has its keys in each of them.
            let types = schema["oneOf"].as_array().map_or_else(|| vec![&schema], |types| types.iter().collect());
            for each in types {
                assert_eq!(each["properties"]["kind"]["const"], **kind, "{schema}");
                assert_eq!(each["properties"]["apiVersion"]["const"], "graft/v1", "{schema}");
            }
        }
    }

    #[test]
    fn a_kind_that_is_none_is_answered_with_the_one_that_is_like_it() {
        assert!(unknown("workflowlst").contains("Did you mean WorkflowList?"), "{}", unknown("workflowlst"));
        assert!(!unknown("xyzzy").contains("mean"), "{}", unknown("xyzzy"));
    }
}
