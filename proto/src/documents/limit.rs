//! Concurrency limits.

use schemars::JsonSchema;
use serde::Serialize;

use super::{known_small, some};
use crate::v1;

/// A concurrency limit: of the whole cluster, or of a node.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Limit {
    /// Namespace of the node; `null` for the whole cluster.
    pub namespace: Option<String>,
    /// The node; `null` for the whole cluster.
    pub node: Option<String>,
    /// Attempts at once, as it is set; `null`: it is not set.
    pub max: Option<u32>,
    /// The smallest one that a worker declares for the node; `null`: none does.
    pub declared: Option<u32>,
    /// Attempts held now; `null`: not known.
    pub held: Option<u64>,
    /// Ready tasks of the node that wait, at least; `null`: not known.
    pub waiting: Option<u64>,
}

impl Limit {
    /// With the figures of now, if they are known.
    pub fn of(limit: &v1::Limit, live: bool) -> Self {
        Self {
            namespace: some(&limit.namespace),
            node: some(&limit.node),
            max: known_small(limit.max),
            declared: known_small(limit.declared),
            held: live.then_some(limit.held),
            waiting: live.then_some(limit.waiting),
        }
    }
}

/// A page of limits.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LimitList {
    /// Whether `held` and `waiting` are known.
    pub live: bool,
    /// The cluster's first, then by namespace and node.
    pub limits: Vec<Limit>,
    /// Where the next page begins; `null`: this is the last one.
    pub next_cursor: Option<String>,
}

impl From<&v1::ListLimitsResponse> for LimitList {
    fn from(answer: &v1::ListLimitsResponse) -> Self {
        let limits = answer.limits.iter().map(|limit| Limit::of(limit, answer.live)).collect();
        Self { live: answer.live, limits, next_cursor: some(&answer.next_cursor) }
    }
}

/// A limit that was set or taken away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LimitChange {
    /// What stood before; `null`: nothing.
    pub before: Option<Limit>,
    /// What stands now; `null`: nothing.
    pub now: Option<Limit>,
}

impl From<&v1::SetLimitResponse> for LimitChange {
    fn from(answer: &v1::SetLimitResponse) -> Self {
        let limit = |limit: &Option<v1::Limit>| limit.as_ref().map(|limit| Limit::of(limit, false));
        Self { before: limit(&answer.before), now: limit(&answer.now) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_knows_of_a_limit_is_null() {
        let total = v1::Limit { max: 8, held: 3, waiting: 0, ..v1::Limit::default() };
        let of = |live| {
            serde_json::to_value(LimitList::from(&v1::ListLimitsResponse { limits: vec![total.clone()], live, next_cursor: String::new() }))
                .unwrap()
        };
        let known = json!({ "namespace": null, "node": null, "max": 8, "declared": null, "held": 3, "waiting": 0 });
        assert_eq!(of(true)["limits"][0], known);
        assert_eq!((&of(false)["limits"][0]["held"], &of(false)["limits"][0]["waiting"]), (&json!(null), &json!(null)));
    }
}
