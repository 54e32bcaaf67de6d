//! Lists of workflows, a page at a time.
//!
//! Five tables answer, each in its own stable order, and the most selective of them that the question allows is read: workflows with an open
//! task of a node, or with a label, by run; those whose id starts so by id (current runs only); those in some statuses by run (the oldest
//! first); all of a namespace by age (the youngest first). What else is asked for is filtered, a bounded number of rows for each page: such a
//! page may be short, or empty, and still have a next one.

use std::collections::BTreeMap;

use graft_machine::ids::{Run, TaskId};
use graft_machine::limits::{ID_BYTES_MAX, LIST_EXAMINED_MAX, PAGE_MAX};
use graft_machine::state::StateRead;
use graft_machine::tables::{
    LabelKey, LabelList, NameKey, Names, Prefix, RunKey, StatusKey, StatusList, TableKey, TaskList, TaskListKey, TimeKey, TimeList,
    Workflows,
};
use graft_machine::time::Millis;
use graft_machine::workflow::{StatusKind, Workflow};
use graft_proto::v1;
use prost::Message;

use graft_convert::{cursors, names, workflows};
use graft_proto::errors::Fault;

/// Rows of a page if the client does not say.
pub const PAGE_DEFAULT: usize = 100;
/// A page ends early when its rows have so many bytes together.
pub const PAGE_BYTES_MAX: usize = 2 << 20;

/// A page ends early when the records that were read for it have so many bytes together.
pub const EXAMINED_BYTES_MAX: usize = 64 << 20;

/// The rows of a page as asked for: 0 = [`PAGE_DEFAULT`], at most [`PAGE_MAX`].
pub fn page_limit(asked: u32) -> Result<usize, Fault> {
    match asked as usize {
        0 => Ok(PAGE_DEFAULT),
        rows if rows <= PAGE_MAX => Ok(rows),
        rows => {
            Err(Fault::too_large("limit", format!("is {rows}, at most {PAGE_MAX} are allowed")).remedy("ask for the rest with the cursor"))
        }
    }
}

/// The table that a list is read from, which is its order.
#[derive(Clone, Debug)]
enum Source {
    /// Workflows with an open task or dead letter of a node, by run.
    Node(String),
    /// Workflows with a label, by run.
    Label(String, String),
    /// Current runs, by id.
    Id,
    /// Those in some statuses, by run: the oldest first.
    Status,
    /// All of them, the youngest first.
    Age,
}

/// What is asked for, checked.
#[derive(Clone, Debug)]
pub struct Query {
    namespace: String,
    statuses: Vec<StatusKind>,
    id_prefix: String,
    labels: BTreeMap<String, String>,
    /// Accepted at or after this time.
    since: Millis,
    /// Accepted before this time.
    until: Millis,
    source: Source,
    limit: usize,
    cursor: String,
}

impl Query {
    /// Checks a request.
    pub fn new(request: v1::ListRequest) -> Result<Self, Fault> {
        if request.id_prefix.len() > ID_BYTES_MAX || request.id_prefix.chars().any(char::is_control) {
            return Err(Fault::invalid(
                "id_prefix",
                format!("is no beginning of an id: at most {ID_BYTES_MAX} bytes, no control characters"),
            ));
        }
        let labels = names::labels(request.labels)?;
        let statuses = workflows::statuses(&request.statuses)?;
        let source = match (request.node, labels.first_key_value()) {
            (node, _) if !node.is_empty() => Source::Node(names::node(node)?),
            (_, Some((key, value))) => Source::Label(key.clone(), value.clone()),
            _ if !request.id_prefix.is_empty() => Source::Id,
            _ if !statuses.is_empty() => Source::Status,
            _ => Source::Age,
        };
        Ok(Self {
            namespace: names::namespace(request.namespace)?,
            statuses,
            id_prefix: request.id_prefix,
            labels,
            since: request.created_since_ms,
            until: if request.created_until_ms == 0 { Millis::MAX } else { request.created_until_ms },
            source,
            limit: page_limit(request.limit)?,
            cursor: request.cursor,
        })
    }

    /// What a cursor has to belong to.
    fn question(&self) -> String {
        let Self { namespace, statuses, id_prefix, labels, since, until, source, .. } = self;
        format!("workflows\0{namespace}\0{statuses:?}\0{id_prefix}\0{labels:?}\0{since}\0{until}\0{source:?}")
    }

    /// The page.
    pub fn page(&self, state: &impl StateRead) -> Result<v1::ListResponse, Fault> {
        let mut after = cursors::read(&self.question(), &self.cursor)?;
        let step = if self.is_selective() { PAGE_MAX } else { self.limit + 1 };
        let mut page = Page::new(self);
        let mut examined = 0;
        while examined < LIST_EXAMINED_MAX {
            let found = self.next(state, after.as_deref(), step)?;
            let last_of_all = found.len() < step;
            examined += found.len();
            for (run, key) in found {
                if !page.offer(state, run, &key) {
                    return Ok(page.done(false));
                }
                after = Some(key);
            }
            if last_of_all {
                return Ok(page.done(false));
            }
        }
        Ok(page.done(true))
    }

    /// Whether rows of the table may not fit the filter.
    fn is_selective(&self) -> bool {
        let is_timed = self.since > 0 || self.until < Millis::MAX;
        match self.source {
            Source::Status | Source::Age => is_timed,
            Source::Node(_) | Source::Label(..) | Source::Id => true,
        }
    }

    fn is_shown(&self, workflow: &Workflow) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&workflow.kind()))
            && workflow.id.starts_with(&self.id_prefix)
            && (self.since..self.until).contains(&workflow.created)
            && self.labels.iter().all(|(key, value)| workflow.labels.get(key) == Some(value))
    }

    /// The next rows of the table behind a key: their runs, and their own keys. Fewer than `limit`: there are no more.
    fn next(&self, state: &impl StateRead, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Run, Vec<u8>)>, Fault> {
        let prefix = Prefix::new().text(&self.namespace);
        match &self.source {
            Source::Node(node) => {
                let prefix = prefix.text(node);
                let mut after = self.key(after, |key: &TaskListKey| key.namespace == self.namespace && key.node == *node)?;
                let mut found = Vec::new();
                while found.len() < limit {
                    let Some((key, _)) = state.scan::<TaskList>(prefix.as_bytes(), after.as_ref(), 1).pop() else { break };
                    // One look-up for each run, however many tasks of the node it has.
                    let end = TaskListKey { task: TaskId::MAX, ..key };
                    found.push((end.run, end.to_bytes()));
                    after = Some(end);
                }
                Ok(found)
            }
            Source::Label(label, value) => {
                let after =
                    self.key(after, |key: &LabelKey| key.namespace == self.namespace && key.label == *label && key.value == *value)?;
                let keys = state.scan::<LabelList>(prefix.text(label).text(value).as_bytes(), after.as_ref(), limit);
                Ok(keys.into_iter().map(|(key, _)| (key.run, key.to_bytes())).collect())
            }
            Source::Id => {
                let after = self.key(after, |key: &NameKey| key.namespace == self.namespace)?;
                let keys = state.scan::<Names>(prefix.text_start(&self.id_prefix).as_bytes(), after.as_ref(), limit);
                Ok(keys.into_iter().map(|(key, record)| (record.run, key.to_bytes())).collect())
            }
            Source::Status => {
                let after = self.key(after, |_: &RunKey| true)?;
                let mut runs = Vec::new();
                for status in &self.statuses {
                    let status = *status as u8;
                    let after = after.as_ref().map(|key| StatusKey { namespace: self.namespace.clone(), status, run: key.run });
                    let keys = state.scan::<StatusList>(prefix.clone().byte(status).as_bytes(), after.as_ref(), limit);
                    runs.extend(keys.into_iter().map(|(key, _)| key.run));
                }
                runs.sort_unstable();
                runs.truncate(limit);
                Ok(runs.into_iter().map(|run| (run, RunKey { run }.to_bytes())).collect())
            }
            Source::Age => {
                // The youngest that may be shown is where the first page begins.
                let youngest = TimeKey { namespace: self.namespace.clone(), age: Millis::MAX - self.until, run: Run::MAX };
                let after = self.key(after, |key: &TimeKey| key.namespace == self.namespace)?;
                let after = after.or_else(|| (self.until < Millis::MAX).then_some(youngest));
                let keys = state.scan::<TimeList>(prefix.as_bytes(), after.as_ref(), limit);
                let recent = keys.into_iter().take_while(|(key, _)| Millis::MAX - key.age >= self.since);
                Ok(recent.map(|(key, _)| (key.run, key.to_bytes())).collect())
            }
        }
    }

    fn key<K: TableKey>(&self, after: Option<&[u8]>, belongs: impl FnOnce(&K) -> bool) -> Result<Option<K>, Fault> {
        let Some(bytes) = after else { return Ok(None) };
        K::from_bytes(bytes).filter(belongs).map(Some).ok_or_else(|| cursors::broken(&self.cursor))
    }
}

/// A page that fills up.
struct Page<'a> {
    query: &'a Query,
    rows: Vec<v1::WorkflowSummary>,
    bytes: usize,
    /// Key of the last row that was looked at.
    last: Vec<u8>,
    full: bool,
}

impl<'a> Page<'a> {
    fn new(query: &'a Query) -> Self {
        Self { query, rows: Vec::new(), bytes: 0, last: Vec::new(), full: false }
    }

    /// Takes the workflow of `run`, found under `key`, if it fits the filter. False: there was no room for it.
    fn offer(&mut self, state: &impl StateRead, run: Run, key: &[u8]) -> bool {
        let workflow = state.get::<Workflows>(&RunKey { run });
        if let Some(workflow) = workflow.filter(|workflow| self.query.is_shown(workflow)) {
            let row = workflows::summary(&workflow);
            let size = row.encoded_len();
            if self.rows.len() == self.query.limit || (self.bytes + size > PAGE_BYTES_MAX && !self.rows.is_empty()) {
                self.full = true;
                return false;
            }
            self.bytes += size;
            self.rows.push(row);
        }
        self.last = key.to_vec();
        true
    }

    /// `more`: there may be more rows although the page is not full.
    fn done(self, more: bool) -> v1::ListResponse {
        let next_cursor = if self.full || more { cursors::make(&self.query.question(), &self.last) } else { String::new() };
        v1::ListResponse { workflows: self.rows, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_machine::memory::Memory;
    use graft_machine::state::StateTx;
    use graft_machine::tables::NameRecord;
    use graft_machine::workflow::{Ended, Running, Status, Workflow};

    /// 30 workflows in `default` (every third has completed), two of them created in the same millisecond each, and one elsewhere.
    fn state() -> Memory {
        let mut state = Memory::new();
        for run in 1..=31u64 {
            let namespace = if run == 31 { "other" } else { "default" }.to_owned();
            let id = format!("{}-{run:02}", if run % 2 == 0 { "even" } else { "odd" });
            let status = if run % 3 == 0 { Status::Completed(Ended::default()) } else { Status::Running(Running {}) };
            let workflow = Workflow {
                namespace: namespace.clone(),
                id: id.clone(),
                run,
                created: run / 2,
                status: Some(status),
                labels: [("team".to_owned(), if run % 5 == 0 { "five" } else { "other" }.to_owned()), ("all".to_owned(), String::new())]
                    .into(),
                ..Default::default()
            };
            for (label, value) in workflow.labels.clone() {
                state.put::<LabelList>(LabelKey { namespace: namespace.clone(), label, value, run }, ());
            }
            // Every fourth has two tasks of one node, and all have one of another.
            let nodes: &[(&str, u32)] = if run % 4 == 0 { &[("pay", 1), ("pay", 2), ("ship", 3)] } else { &[("ship", 1)] };
            for (node, task) in nodes {
                let key = TaskListKey { namespace: namespace.clone(), node: (*node).to_owned(), run, task: *task };
                state.put::<TaskList>(key, ());
            }
            state.put::<Names>(NameKey { namespace: namespace.clone(), id }, NameRecord { run });
            state.put::<TimeList>(TimeKey { namespace: namespace.clone(), age: u64::MAX - workflow.created, run }, ());
            state.put::<StatusList>(StatusKey { namespace, status: workflow.kind() as u8, run }, ());
            state.put::<Workflows>(RunKey { run }, workflow);
        }
        state
    }

    fn all_pages(state: &Memory, request: v1::ListRequest) -> Vec<u64> {
        let mut runs = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = Query::new(v1::ListRequest { cursor, ..request.clone() }).expect("good").page(state).expect("a page");
            assert!(page.workflows.len() <= request.limit as usize);
            runs.extend(page.workflows.iter().map(|row| row.run));
            if page.next_cursor.is_empty() {
                return runs;
            }
            cursor = page.next_cursor;
        }
    }

    #[test]
    fn pages_of_any_size_give_every_row_once_in_one_order() {
        let state = state();
        for limit in [1, 7, 10, 29, 30, 31] {
            let by_age = all_pages(&state, v1::ListRequest { limit, ..Default::default() });
            assert_eq!(by_age.len(), 30, "limit {limit}");
            assert_eq!(&by_age[..3], [30, 28, 29], "the youngest first, runs of one millisecond in order");
            let completed = all_pages(&state, v1::ListRequest { limit, statuses: vec![4], ..Default::default() });
            assert_eq!(completed, (1..=10).map(|n| n * 3).collect::<Vec<_>>());
            let both = all_pages(&state, v1::ListRequest { limit, statuses: vec![1, 4], ..Default::default() });
            assert_eq!(both, (1..=30).collect::<Vec<_>>());
            let even = all_pages(&state, v1::ListRequest { limit, id_prefix: "even-".into(), ..Default::default() });
            assert_eq!(even, (1..=15).map(|n| n * 2).collect::<Vec<_>>());
            let even_completed =
                all_pages(&state, v1::ListRequest { limit, id_prefix: "even".into(), statuses: vec![4], ..Default::default() });
            assert_eq!(even_completed, [6, 12, 18, 24, 30]);
            let paying = all_pages(&state, v1::ListRequest { limit, node: "pay".into(), ..Default::default() });
            assert_eq!(paying, [4, 8, 12, 16, 20, 24, 28], "each once, however many tasks of the node it has");
            let labels = std::collections::HashMap::from([("team".to_owned(), "five".to_owned()), ("all".to_owned(), String::new())]);
            let labelled = all_pages(&state, v1::ListRequest { limit, labels: labels.clone(), ..Default::default() });
            assert_eq!(labelled, [5, 10, 15, 20, 25, 30]);
            let all =
                v1::ListRequest { limit, labels, node: "pay".into(), statuses: vec![1], id_prefix: "even".into(), ..Default::default() };
            assert_eq!(all_pages(&state, all), [20], "every filter counts");
            let timed = v1::ListRequest { limit, created_since_ms: 3, created_until_ms: 5, ..Default::default() };
            assert_eq!(all_pages(&state, timed.clone()), [8, 9, 6, 7], "created at 3 and 4, the youngest first");
            assert_eq!(all_pages(&state, v1::ListRequest { statuses: vec![4], ..timed }), [6, 9]);
        }
    }

    #[test]
    fn namespaces_are_apart() {
        assert_eq!(all_pages(&state(), v1::ListRequest { namespace: "other".into(), limit: 5, ..Default::default() }), [31]);
        assert!(all_pages(&state(), v1::ListRequest { namespace: "none".into(), limit: 5, ..Default::default() }).is_empty());
    }

    #[test]
    fn the_cursor_of_another_filter_is_refused() {
        let state = state();
        let first = Query::new(v1::ListRequest { limit: 2, ..Default::default() }).expect("good").page(&state).expect("a page");
        let foreign = v1::ListRequest { limit: 2, statuses: vec![1], cursor: first.next_cursor, ..Default::default() };
        let error = Query::new(foreign).expect("good").page(&state).expect_err("foreign");
        assert!(error.detail.contains("belongs to another list"), "{error}");
        let damaged = Query::new(v1::ListRequest::default()).expect("good");
        let cursor = cursors::make(&damaged.question(), b"nonsense");
        assert!(Query { cursor, ..damaged }.page(&state).expect_err("damaged").detail.contains("damaged"));
    }

    #[test]
    fn pages_have_a_bound() {
        assert_eq!(page_limit(0).expect("default"), 100);
        assert_eq!(page_limit(1_000).expect("at the bound"), 1_000);
        assert!(page_limit(1_001).expect_err("beyond it").detail.contains("at most 1000"));
    }

    #[test]
    fn a_page_of_large_rows_ends_early_and_loses_none() {
        let mut state = state();
        for run in 1..=30u64 {
            let mut workflow = (*state.get::<Workflows>(&RunKey { run }).expect("there")).clone();
            workflow.labels = [("k".to_owned(), "v".repeat(PAGE_BYTES_MAX / 4))].into();
            state.put::<Workflows>(RunKey { run }, workflow);
        }
        assert_eq!(all_pages(&state, v1::ListRequest { limit: 30, ..Default::default() }).len(), 30);
        let page = Query::new(v1::ListRequest { limit: 30, ..Default::default() }).expect("good").page(&state).expect("a page");
        assert_eq!(page.workflows.len(), 3);
    }
}
