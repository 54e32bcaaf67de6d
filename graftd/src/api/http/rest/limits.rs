//! Concurrency limits: of the whole cluster, and of a node.

use graft_proto::documents::{LimitChange, LimitList};
use graft_proto::v1;
use graft_proto::v1::limit_service_server::LimitService;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::problem::Refusal;
use super::call::{Call, Json, Nothing};
use super::route::{Method, Table};
use super::workflows::NoQuery;
use crate::api::access::Guarded;
use crate::api::limits::Limits;

const TOTAL: &str = "/limits/total";
const OF_NODE: &str = "/namespaces/{namespace}/limits/{node}";

/// Adds the verbs.
pub(super) fn routes(table: &mut Table) {
    table.about("limits");
    let list = "Limits, a page at a time, with what is held under them where the leader can be asked.";
    table.verb(Method::Get, "/limits", "list_limits", list, self::list);
    let set = "Sets the limit of the whole cluster. Takes effect at once; attempts that are held already go on.";
    table.verb(Method::Put, TOTAL, "set_total_limit", set, put);
    let unset = "Takes the limit of the whole cluster away, for good: one that the configuration brought does not come back.";
    table.verb(Method::Delete, TOTAL, "unset_total_limit", unset, delete);
    let set = "Sets the limit of a node. Takes effect at once; attempts that are held already go on.";
    table.verb(Method::Put, OF_NODE, "set_node_limit", set, put);
    let unset = "Takes the limit of a node away, for good: one that the configuration brought does not come back.";
    table.verb(Method::Delete, OF_NODE, "unset_node_limit", unset, delete);
}

impl<Q, B> Call<Q, B> {
    fn of_limits(&self) -> Guarded<Limits> {
        self.guarded(|shared| Limits { shared })
    }
}

/// Which limits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Whose {
    /// Only of nodes of this namespace, and the cluster's. Left out: all.
    namespace: String,
    /// Most rows of a page. Left out: 100; at most 1,000.
    limit: u32,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: String,
}

async fn list(call: Call<Whose>) -> Result<LimitList, Refusal> {
    let Whose { namespace, limit, cursor } = call.query.clone();
    let request = v1::ListLimitsRequest { namespace, limit, cursor };
    Ok((&call.of_limits().list(call.request(request)).await?.into_inner()).into())
}

/// A limit that is to be set.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetLimit {
    /// Attempts at once, at least 1.
    max: u32,
}

/// Without a node in the path it is the whole cluster's, which the message says with an empty name.
async fn put(call: Call<NoQuery, Json<SetLimit>>) -> Result<LimitChange, Refusal> {
    let (namespace, node, meta) = (call.namespace(), call.named("node"), call.meta()?);
    let request = v1::SetLimitRequest { namespace, node, max: call.body.0.max, meta };
    Ok((&call.of_limits().set(call.request(request)).await?.into_inner()).into())
}

async fn delete(call: Call<NoQuery, Nothing>) -> Result<LimitChange, Refusal> {
    let request = v1::UnsetLimitRequest { namespace: call.namespace(), node: call.named("node"), meta: call.meta()? };
    Ok((&call.of_limits().unset(call.request(request)).await?.into_inner()).into())
}
