//! Concurrency limits: how many attempts of a node, or of the whole cluster, run at once.

use graft_proto::v1::{Limit, ListLimitsRequest, SetLimitRequest, SetLimitResponse, UnsetLimitRequest};

use crate::channel::Kind;
use crate::client::{Client, fresh_meta};
use crate::error::ClientError;

/// Rows that are asked for at once.
const PAGE: u32 = 1_000;

/// What a limit is of. A text is a node of the client's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// All attempts of the whole cluster.
    Cluster,
    /// The attempts of this node of the client's namespace.
    Node(String),
}

impl From<&str> for LimitOf {
    fn from(node: &str) -> Self {
        Self::Node(node.to_owned())
    }
}

impl From<String> for LimitOf {
    fn from(node: String) -> Self {
        Self::Node(node)
    }
}

impl LimitOf {
    fn named(&self, namespace: &str) -> String {
        match self {
            Self::Cluster => "the limit of the cluster".to_owned(),
            Self::Node(node) => format!("the limit of node \"{node}\" in namespace \"{namespace}\""),
        }
    }

    /// Namespace and node. On the wire the cluster has neither; a node that the caller did not name must not be taken for it.
    fn into_names(self, namespace: &str, operation: &str) -> Result<(String, String), ClientError> {
        match self {
            Self::Cluster => Ok((String::new(), String::new())),
            Self::Node(node) if node.is_empty() => {
                let code = graft_proto::errors::ErrorCode::Invalid;
                Err(ClientError::new(code, operation, "the node", "has no name")
                    .remedied("Name the node, or say LimitOf::Cluster for the whole cluster.")
                    .with_grpc(code.grpc()))
            }
            Self::Node(node) => Ok((namespace.to_owned(), node)),
        }
    }
}

/// Limits.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitsOfNodes {
    /// The cluster's first, then by namespace and node.
    pub limits: Vec<Limit>,
    /// Whether the figures of now (`held`, `waiting`) are there.
    pub live: bool,
}

/// What setting a limit changed.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitChange {
    /// What stood before; `None`: nothing.
    pub before: Option<Limit>,
    /// What stands now; `None`: nothing.
    pub now: Option<Limit>,
}

impl From<SetLimitResponse> for LimitChange {
    fn from(answer: SetLimitResponse) -> Self {
        Self { before: answer.before, now: answer.now }
    }
}

impl Client {
    /// The limits of the cluster and of the nodes of this namespace, set or declared by workers.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn limits(&self) -> Result<LimitsOfNodes, ClientError> {
        self.list_limits(self.namespace().to_owned()).await
    }

    /// The limits of the cluster and of the nodes of all namespaces.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn all_limits(&self) -> Result<LimitsOfNodes, ClientError> {
        self.list_limits(String::new()).await
    }

    async fn list_limits(&self, namespace: String) -> Result<LimitsOfNodes, ClientError> {
        let mut all = LimitsOfNodes { limits: Vec::new(), live: true };
        let mut request = ListLimitsRequest { namespace, limit: PAGE, cursor: String::new() };
        loop {
            let call = |channel, request| {
                let mut service = self.limit_service(channel);
                async move { service.list(request).await }
            };
            let page = self.call("list limits", Kind::Read, request.clone(), call).await?;
            all.limits.extend(page.limits);
            all.live &= page.live;
            if page.next_cursor.is_empty() {
                return Ok(all);
            }
            request.cursor = page.next_cursor;
        }
    }

    /// Sets a limit: so many attempts at once, at least 1. It takes effect at once; attempts that are held already go on.
    ///
    /// # Errors
    /// If the node has no name that can be one, if `max` is 0, or no member answers.
    pub async fn set_limit(&self, of: impl Into<LimitOf>, max: u32) -> Result<LimitChange, ClientError> {
        let of = of.into();
        let operation = format!("set {}", of.named(self.namespace()));
        let (namespace, node) = of.into_names(self.namespace(), &operation)?;
        let request = SetLimitRequest { namespace, node, max, meta: fresh_meta() };
        let call = |channel, request| {
            let mut service = self.limit_service(channel);
            async move { service.set(request).await }
        };
        self.call(&operation, Kind::Change, request, call).await.map(Into::into)
    }

    /// Takes a limit away, for good: one that the configuration brought does not come back. What workers declare counts from then on. Taking
    /// away one that is not there changes nothing.
    ///
    /// # Errors
    /// If the node has no name that can be one, or no member answers.
    pub async fn unset_limit(&self, of: impl Into<LimitOf>) -> Result<LimitChange, ClientError> {
        let of = of.into();
        let operation = format!("unset {}", of.named(self.namespace()));
        let (namespace, node) = of.into_names(self.namespace(), &operation)?;
        let request = UnsetLimitRequest { namespace, node, meta: fresh_meta() };
        let call = |channel, request| {
            let mut service = self.limit_service(channel);
            async move { service.unset(request).await }
        };
        self.call(&operation, Kind::Change, request, call).await.map(Into::into)
    }
}
