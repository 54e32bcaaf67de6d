//! Finding workflows, and counting them.

use std::time::SystemTime;

use graft_proto::v1::{CountRequest, ListRequest, WorkflowStatus, WorkflowSummary};

use crate::channel::Kind;
use crate::client::{Client, cursor};
use crate::error::ClientError;
use crate::next::unix_millis;

/// Which workflows a list shows. Each call narrows it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ListFilter {
    request: ListRequest,
}

impl ListFilter {
    /// All of them, 100 to a page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those with this status, or another one that is named.
    pub fn status(mut self, status: WorkflowStatus) -> Self {
        self.request.statuses.push(status.into());
        self
    }

    /// Only ids that start so.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.request.id_prefix = prefix.into();
        self
    }

    /// Only those with an open task, or a dead letter, of this node.
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.request.node = node.into();
        self
    }

    /// Only those with this label, and with every other one that is named.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.labels.insert(key.into(), value.into());
        self
    }

    /// Only those that were accepted at this time or later.
    pub fn created_since(mut self, time: SystemTime) -> Self {
        self.request.created_since_ms = unix_millis(time);
        self
    }

    /// Only those that were accepted before this time.
    pub fn created_until(mut self, time: SystemTime) -> Self {
        self.request.created_until_ms = unix_millis(time).max(1);
        self
    }

    /// Most rows of a page; at most 1,000.
    pub fn limit(mut self, limit: u32) -> Self {
        self.request.limit = limit;
        self
    }

    /// The page that begins here: [`ListPage::next_cursor`] of the page before.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.request.cursor = cursor.into();
        self
    }
}

/// A page of workflows. It may be short, even empty, and still not be the last one: the cursor says.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPage {
    /// The workflows.
    pub workflows: Vec<WorkflowSummary>,
    /// Where the next page begins; `None`: this is the last one.
    pub next_cursor: Option<String>,
}

impl Client {
    /// A page of the namespace's workflows, in one stable order: with a node or labels by run; with a prefix by id; with statuses the oldest
    /// first; else the youngest first.
    ///
    /// # Errors
    /// If no member answers, if the filter holds no name, or the cursor is none of this list.
    pub async fn list(&self, filter: ListFilter) -> Result<ListPage, ClientError> {
        let request = ListRequest { namespace: self.namespace().to_owned(), consistency: self.consistency(), ..filter.request };
        let operation = format!("list workflows of namespace \"{}\"", self.namespace());
        let answer =
            self.workflows_call(&operation, Kind::Read, request, |mut service, request| async move { service.list(request).await }).await?;
        Ok(ListPage { workflows: answer.workflows, next_cursor: cursor(answer.next_cursor) })
    }

    /// How many workflows of the namespace are in each status, also where there is none. Costs the same at any number of them.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn counts(&self) -> Result<Vec<(WorkflowStatus, u64)>, ClientError> {
        let request = CountRequest { namespace: self.namespace().to_owned(), consistency: self.consistency() };
        let operation = format!("count the workflows of namespace \"{}\"", self.namespace());
        let call = |mut service: crate::handle::Service, request| async move { service.count(request).await };
        let answer = self.workflows_call(&operation, Kind::Read, request, call).await?;
        Ok(answer.counts.into_iter().map(|count| (count.status(), count.workflows)).collect())
    }
}
