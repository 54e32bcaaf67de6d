//! The cluster, its members, its workers; and the pages of the catalogue of errors.

use futures::{StreamExt, stream};
use graft_proto::documents::{ClusterStatus, Diagnosis, LogLevel, MemberList, WorkerList};
use graft_proto::errors::{ErrorCode, Fault, quoted};
use graft_proto::v1;
use graft_proto::v1::cluster_service_server::ClusterService;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::problem::Refusal;
use super::answer::{Download, Page};
use super::call::{Call, Json};
use super::route::{Method, Table};
use super::workflows::NoQuery;
use crate::api::cluster::Cluster;

/// Adds the verbs.
pub(super) fn routes(table: &mut Table) {
    table.about("cluster");
    table.verb(Method::Get, "/cluster", "get_cluster", "Members, leader and log positions, as this member sees them.", status);
    table.verb(Method::Get, "/cluster/members", "list_members", "The members alone.", members);
    let backup = "The whole state at one moment, as a file for `graft cluster snapshot inspect` and `restore`.";
    table.verb(Method::Get, "/cluster/snapshot", "save_snapshot", backup, snapshot);
    let workers = "Worker sessions, what they serve, and what they hold where the leader can be asked.";
    table.verb(Method::Get, "/workers", "list_workers", workers, self::workers);
    let level = "How much this member logs.";
    table.verb(Method::Get, "/cluster/log-level", "get_log_level", level, log_level);
    let diagnosis = "What this member says of itself when something is wrong with it: settings, readiness, metrics, the newest lines of its log. No secrets.";
    table.verb(Method::Get, "/cluster/diagnosis", "diagnose_member", diagnosis, self::diagnosis);
    let profile = "Where this member spends its processor time: samples of all its threads over some seconds, as a file for pprof.";
    table.verb(Method::Get, "/cluster/profile", "profile_member", profile, self::profile);
    let page = "What a code of an error means, how it comes about, and what to do; as Markdown.";
    table.verb(Method::Get, "/errors/{code}", "explain_error", page, explain);
    table.without_keys();
    let set = "Changes how much this member logs, until its configuration is read again or it starts again.";
    table.verb(Method::Put, "/cluster/log-level", "set_log_level", set, set_log_level);
}

async fn told(call: &Call<NoQuery>) -> Result<v1::ClusterStatusResponse, Refusal> {
    let service = call.guarded(|shared| Cluster { shared });
    Ok(service.status(call.request(v1::ClusterStatusRequest {})).await?.into_inner())
}

async fn status(call: Call<NoQuery>) -> Result<ClusterStatus, Refusal> {
    Ok((&told(&call).await?).into())
}

async fn members(call: Call<NoQuery>) -> Result<MemberList, Refusal> {
    Ok((&told(&call).await?).into())
}

async fn snapshot(call: Call<NoQuery>) -> Result<Download, Refusal> {
    let service = call.guarded(|shared| Cluster { shared });
    let pieces = service.snapshot(call.request(v1::SnapshotRequest {})).await?.into_inner();
    Ok(Download { pieces: Box::pin(pieces.map(|piece| piece.map(|answer| answer.piece))), name: "graft.snapshot" })
}

/// Which workers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Whose {
    /// Only of this namespace. Left out: of all.
    namespace: String,
}

async fn workers(call: Call<Whose>) -> Result<WorkerList, Refusal> {
    let service = call.guarded(|shared| Cluster { shared });
    let request = v1::ListWorkersRequest { namespace: call.query.namespace.clone() };
    Ok((&service.list_workers(call.request(request)).await?.into_inner()).into())
}

async fn log_level(call: Call<NoQuery>) -> Result<LogLevel, Refusal> {
    let service = call.guarded(|shared| Cluster { shared });
    Ok((&service.log_level(call.request(v1::LogLevelRequest { level: None })).await?.into_inner()).into())
}

/// A level that is to be set.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewLevel {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives per module as in `info,graftd::scheduler=debug`; empty: that of the configuration
    /// again.
    level: String,
}

async fn set_log_level(call: Call<NoQuery, Json<NewLevel>>) -> Result<LogLevel, Refusal> {
    let service = call.guarded(|shared| Cluster { shared });
    let request = v1::LogLevelRequest { level: Some(call.body.0.level.clone()) };
    Ok((&service.log_level(call.request(request)).await?.into_inner()).into())
}

async fn diagnosis(call: Call<NoQuery>) -> Result<Diagnosis, Refusal> {
    let service = call.guarded(|shared| Cluster { shared });
    Ok((&service.diagnose(call.request(v1::DiagnoseRequest {})).await?.into_inner()).into())
}

/// For how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct HowLong {
    /// Left out: 10; at most 60.
    seconds: Option<u64>,
}

async fn profile(call: Call<HowLong>) -> Result<Download, Refusal> {
    let service = call.guarded(|shared| Cluster { shared });
    let duration_ms = call.query.seconds.unwrap_or_default().saturating_mul(1_000);
    let profile = service.profile(call.request(v1::ProfileRequest { duration_ms })).await?.into_inner().profile;
    Ok(Download { pieces: Box::pin(stream::iter([Ok(profile)])), name: "graft.pprof" })
}

async fn explain(call: Call<NoQuery>) -> Result<Page, Refusal> {
    let name = call.named("code");
    let unknown = |_| {
        let fault = Fault::invalid(format!("error code {}", quoted(&name)), "is not in the catalogue of this version");
        Refusal::from(fault.remedy("give a code like GR0003")).with_status(StatusCode::NOT_FOUND)
    };
    Ok(Page(name.parse::<ErrorCode>().map_err(unknown)?.page()))
}
