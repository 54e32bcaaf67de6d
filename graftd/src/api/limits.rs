//! `LimitService`: concurrency limits of nodes and of the whole cluster.
//!
//! A limit is a record that every member has; what is held under it only the leader's scheduler knows. The list brings both together, and
//! what workers declare beside them: the smallest of all counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use graft_machine::command::{Command, SetLimit};
use graft_machine::limits::PAGE_MAX;
use graft_machine::session::Limit;
use graft_machine::state::StateRead;
use graft_machine::tables::{LimitKey, TableKey};
use graft_machine::{tables, view};
use graft_proto::v1;
use graft_proto::v1::limit_service_server::LimitService;
use tonic::{Request, Response, Status};

use super::list::page_limit;
use super::requests::{Identity, payload_hash, principal};
use super::{Shared, forward};
use crate::scheduler::LiveLimits;
use graft_convert::{cursors, names};
use graft_proto::errors::{Fault, quoted};

/// Sessions that are read at once.
const SESSIONS_STEP: usize = 256;

/// The service.
pub(super) struct Limits {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl LimitService for Limits {
    async fn list(&self, request: Request<v1::ListLimitsRequest>) -> Result<Response<v1::ListLimitsResponse>, Status> {
        let caller = forward::Caller::of(&request);
        let request = request.into_inner();
        let query = Query::of(request.clone())?;
        let live = self.shared.api.scheduler.live_limits().await;
        if live.is_none() && !caller.is_member {
            match forward::list_limits(&self.shared, &caller, request).await {
                Ok(answer) => return Ok(Response::new(answer)),
                Err(reason) => tracing::debug!(%reason, "the leader was not asked for its limits"),
            }
        }
        let is_live = live.is_some();
        let live = live.unwrap_or_default();
        let (limits, next_cursor) = self.shared.read_view(move |view| listed(view, &query, &live)).await?;
        Ok(Response::new(v1::ListLimitsResponse { limits, live: is_live, next_cursor }))
    }

    async fn set(&self, request: Request<v1::SetLimitRequest>) -> Result<Response<v1::SetLimitResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("set a limit", &request, &HashMap::new());
        if request.max == 0 {
            let fault = Fault::invalid("max", "is 0, at least 1 attempt has to be allowed");
            return Err(fault.remedy("pause workflows to stop work, or take the limit away with Unset").into());
        }
        let limit = Some(Limit::of(request.max));
        self.change(principal, meta, hash, key(request.namespace, request.node)?, limit).await
    }

    async fn unset(&self, request: Request<v1::UnsetLimitRequest>) -> Result<Response<v1::SetLimitResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("unset a limit", &request, &HashMap::new());
        self.change(principal, meta, hash, key(request.namespace, request.node)?, None).await
    }
}

impl Limits {
    async fn change(
        &self,
        principal: String,
        meta: Option<v1::RequestMeta>,
        hash: u64,
        key: LimitKey,
        limit: Option<Limit>,
    ) -> Result<Response<v1::SetLimitResponse>, Status> {
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        self.shared.linearizable().await?;
        let before = self.stands(&key).await?;
        let (namespace, node) = (key.namespace.clone(), key.node.clone());
        let command = SetLimit { namespace, node, limit, only_if_absent: false };
        self.shared.done("limit", identity, Command::SetLimit(command)).await?;
        // It has happened, so the answer is no error even if what stands cannot be read as fresh as it should be.
        let read = match self.shared.linearizable().await {
            Ok(()) => self.stands(&key).await.ok(),
            Err(_) => None,
        };
        let declared = before.as_ref().map_or(0, |limit| limit.declared);
        let now = read.unwrap_or_else(|| told(&key, limit.and_then(Limit::in_force), declared));
        Ok(Response::new(v1::SetLimitResponse { before, now }))
    }

    async fn stands(&self, key: &LimitKey) -> Result<Option<v1::Limit>, Fault> {
        let key = key.clone();
        self.shared
            .read_view(move |view| {
                let set = view.get::<tables::Limits>(&key).and_then(|limit| limit.in_force());
                let declared = declared(view, Some(&key.namespace)).get(&(key.namespace.clone(), key.node.clone())).copied();
                told(&key, set, declared.unwrap_or(0))
            })
            .await
    }
}

/// What a limit is of. The cluster has no namespace: a namespace without a node would be taken for a limit that there is not.
fn key(namespace: String, node: String) -> Result<LimitKey, Fault> {
    match (namespace.is_empty(), node.is_empty()) {
        (true, true) => Ok(LimitKey::total()),
        (false, true) => {
            let detail = format!("belongs to namespace {} as a whole, and there is none of that kind", quoted(&namespace));
            Err(Fault::invalid("the limit", detail).remedy("name a node, or leave out the namespace, too, for the whole cluster"))
        }
        (_, false) => Ok(LimitKey { namespace: names::namespace(namespace)?, node: names::node(node)? }),
    }
}

/// A limit, if one is set or declared.
fn told(key: &LimitKey, set: Option<u32>, declared: u32) -> Option<v1::Limit> {
    let max = set.unwrap_or(0);
    (max > 0 || declared > 0).then(|| v1::Limit {
        namespace: key.namespace.clone(),
        node: key.node.clone(),
        max,
        declared,
        ..Default::default()
    })
}

/// The smallest limit that workers declare for each node.
fn declared(state: &impl StateRead, namespace: Option<&str>) -> BTreeMap<(String, String), u32> {
    let mut smallest = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = view::sessions(state, after.as_deref(), SESSIONS_STEP);
        for session in page.iter().filter(|session| namespace.is_none_or(|namespace| namespace == session.namespace)) {
            for node in session.nodes.iter().filter(|node| node.limit > 0) {
                let limit = smallest.entry((session.namespace.clone(), node.node.clone())).or_insert(node.limit);
                *limit = node.limit.min(*limit);
            }
        }
        match page.last() {
            Some(last) if page.len() == SESSIONS_STEP => after = Some(last.incarnation.clone()),
            _ => return smallest,
        }
    }
}

/// What a page of limits is asked for with, checked.
struct Query {
    namespace: Option<String>,
    limit: usize,
    after: Option<LimitKey>,
}

impl Query {
    fn of(request: v1::ListLimitsRequest) -> Result<Self, Fault> {
        let namespace = match request.namespace {
            all if all.is_empty() => None,
            name => Some(names::namespace(name)?),
        };
        let limit = page_limit(request.limit)?;
        let mut query = Self { namespace, limit, after: None };
        if let Some(key) = cursors::read(&query.question(), &request.cursor)? {
            query.after = Some(LimitKey::from_bytes(&key).ok_or_else(|| cursors::broken(&request.cursor))?);
        }
        Ok(query)
    }

    fn question(&self) -> String {
        format!("limits of {:?}", self.namespace)
    }

    fn wants(&self, key: &LimitKey) -> bool {
        key.node.is_empty() || self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }
}

/// A page of the limits that are set or declared, with what is held and waits; and its cursor.
fn listed(state: &impl StateRead, query: &Query, live: &LiveLimits) -> (Vec<v1::Limit>, String) {
    let name = |key: LimitKey| (key.namespace, key.node);
    let declared = declared(state, query.namespace.as_deref());
    let mut set = BTreeMap::new();
    let mut after: Option<LimitKey> = None;
    loop {
        let page = view::limits(state, after.as_ref(), PAGE_MAX);
        let (read, last) = (page.len(), page.last().map(|(key, _)| key.clone()));
        let stands = page.into_iter().filter_map(|(key, limit)| Some((key, limit.in_force()?)));
        set.extend(stands.filter(|(key, _)| query.wants(key)).map(|(key, max)| (name(key), max)));
        if read < PAGE_MAX {
            break;
        }
        after = last;
    }
    // Empty names sort first: the cluster's.
    let names: BTreeSet<&(String, String)> = set.keys().chain(declared.keys()).collect();
    let after = query.after.clone().map(name);
    let mut rows: Vec<v1::Limit> = names
        .into_iter()
        .filter(|name| after.as_ref().is_none_or(|after| *name > after))
        .take(query.limit + 1)
        .filter_map(|name| {
            let key = LimitKey { namespace: name.0.clone(), node: name.1.clone() };
            let count = if key.node.is_empty() { live.total } else { live.nodes.get(name).copied().unwrap_or_default() };
            let limit = told(&key, set.get(name).copied(), declared.get(name).copied().unwrap_or(0))?;
            Some(v1::Limit { held: count.held, waiting: count.waiting, ..limit })
        })
        .collect();
    if rows.len() <= query.limit {
        return (rows, String::new());
    }
    rows.truncate(query.limit);
    let last = rows.last().map(|row| LimitKey { namespace: row.namespace.clone(), node: row.node.clone() });
    let cursor = last.map_or(String::new(), |key| cursors::make(&query.question(), &key.to_bytes()));
    (rows, cursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::LiveCount;
    use graft_machine::memory::Memory;
    use graft_machine::session::{Session, SessionNode};
    use graft_machine::state::StateTx;
    use graft_machine::tables::{SessionKey, Sessions};

    fn state() -> Memory {
        let mut state = Memory::new();
        for (n, (namespace, limit)) in [("default", 7), ("default", 4), ("other", 0)].into_iter().enumerate() {
            let nodes = vec![SessionNode { node: "b".into(), capacity: 1, limit }];
            let incarnation = n.to_string();
            let session = Session { incarnation: incarnation.clone(), namespace: namespace.into(), nodes, ..Session::default() };
            state.put::<Sessions>(SessionKey { incarnation }, session);
        }
        let node = |namespace: &str, node: &str| LimitKey { namespace: namespace.into(), node: node.into() };
        for (key, max) in [(LimitKey::total(), 100), (node("default", "a"), 3), (node("other", "a"), 5)] {
            state.put::<tables::Limits>(key, Limit::of(max));
        }
        state
    }

    fn query(namespace: &str, limit: u32, cursor: &str) -> Query {
        let (namespace, cursor) = (namespace.to_owned(), cursor.to_owned());
        Query::of(v1::ListLimitsRequest { namespace, limit, cursor }).expect("a query")
    }

    #[test]
    fn what_is_set_and_what_is_declared_stand_in_one_list_the_clusters_first() {
        let count = |held, waiting| LiveCount { held, waiting };
        let nodes = [(("default".to_owned(), "a".to_owned()), count(3, 9)), (("default".to_owned(), "idle".to_owned()), count(1, 0))];
        let live = LiveLimits { total: count(4, 9), nodes: nodes.into() };
        let rows = |namespace| -> Vec<_> {
            let (rows, _) = listed(&state(), &query(namespace, 0, ""), &live);
            rows.into_iter().map(|row| (row.namespace, row.node, row.max, row.declared, row.held, row.waiting)).collect()
        };
        let row = |namespace: &str, node: &str, max, declared, held, waiting| (namespace.into(), node.into(), max, declared, held, waiting);
        let here = [row("", "", 100, 0, 4, 9), row("default", "a", 3, 0, 3, 9), row("default", "b", 0, 4, 0, 0)];
        assert_eq!(rows("default"), here);
        assert_eq!(rows(""), [&here[..], &[row("other", "a", 5, 0, 0, 0)]].concat());
    }

    #[test]
    fn pages_of_any_size_tell_each_limit_once_and_none_that_was_taken_away() {
        let mut state = state();
        state.put::<tables::Limits>(LimitKey { namespace: "default".into(), node: "gone".into() }, Limit { max: 0, configured: true });
        let whole = listed(&state, &query("", 1_000, ""), &LiveLimits::default());
        assert_eq!((whole.0.len(), whole.1.as_str()), (4, ""));
        for limit in 1..=5 {
            let (mut rows, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = listed(&state, &query("", limit, &cursor), &LiveLimits::default());
                assert!(page.0.len() <= limit as usize);
                rows.extend(page.0);
                cursor = page.1;
                if cursor.is_empty() {
                    break;
                }
            }
            assert_eq!(rows, whole.0, "pages of {limit}");
        }
        let (_, cursor) = listed(&state, &query("", 1, ""), &LiveLimits::default());
        let request = v1::ListLimitsRequest { namespace: "default".into(), cursor, limit: 1 };
        assert!(Query::of(request).err().expect("of another list").to_string().contains("another list"));
    }

    #[test]
    fn a_namespace_without_a_node_is_not_taken_for_the_cluster() {
        assert_eq!(key(String::new(), String::new()).expect("the cluster"), LimitKey::total());
        assert_eq!(key(String::new(), "a".into()).expect("a node").namespace, "default");
        let error = key("billing".into(), String::new()).expect_err("neither");
        assert!(error.to_string().contains("leave out the namespace, too"), "{error}");
        key("default".into(), "no node".into()).expect_err("no name");
    }
}
