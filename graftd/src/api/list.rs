//! Lists of workflows, a page at a time.
//!
//! Three tables answer, each in its own stable order: all workflows of a namespace by age (the youngest first); those in some statuses by
//! run (the oldest first); those whose id starts so by id (current runs only). With statuses *and* a prefix the names are read and
//! filtered, a bounded number of them per page: such a page may be short, or empty, and still have a next one.

use graft_machine::limits::{ID_BYTES_MAX, LIST_EXAMINED_MAX, PAGE_MAX};
use graft_machine::state::StateRead;
use graft_machine::tables::{NameKey, Names, Prefix, RunKey, StatusKey, StatusList, TableKey, TimeKey, TimeList, Workflows};
use graft_machine::workflow::StatusKind;
use graft_proto::v1;
use prost::Message;

use graft_convert::{cursors, names, workflows};
use graft_proto::errors::Fault;

/// Rows of a page if the client does not say.
pub const PAGE_DEFAULT: usize = 100;
/// A page ends early when its rows have so many bytes together.
pub const PAGE_BYTES_MAX: usize = 2 << 20;

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

/// What is asked for, checked.
#[derive(Clone, Debug)]
pub struct Query {
    namespace: String,
    statuses: Vec<StatusKind>,
    id_prefix: String,
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
        Ok(Self {
            namespace: names::namespace(request.namespace)?,
            statuses: workflows::statuses(&request.statuses)?,
            id_prefix: request.id_prefix,
            limit: page_limit(request.limit)?,
            cursor: request.cursor,
        })
    }

    /// What a cursor has to belong to.
    fn question(&self) -> String {
        format!("workflows\0{}\0{:?}\0{}", self.namespace, self.statuses, self.id_prefix)
    }

    /// The page.
    pub fn page(&self, state: &impl StateRead) -> Result<v1::ListResponse, Fault> {
        if !self.id_prefix.is_empty() {
            self.by_id(state)
        } else if !self.statuses.is_empty() {
            self.by_status(state)
        } else {
            self.by_age(state)
        }
    }

    fn after<K: TableKey>(&self, belongs: impl FnOnce(&K) -> bool) -> Result<Option<K>, Fault> {
        let Some(bytes) = cursors::read(&self.question(), &self.cursor)? else { return Ok(None) };
        K::from_bytes(&bytes).filter(belongs).map(Some).ok_or_else(|| cursors::broken(&self.cursor))
    }

    fn by_age(&self, state: &impl StateRead) -> Result<v1::ListResponse, Fault> {
        let after = self.after(|key: &TimeKey| key.namespace == self.namespace)?;
        let keys = state.scan::<TimeList>(Prefix::new().text(&self.namespace).as_bytes(), after.as_ref(), self.limit + 1);
        let mut page = Page::new(self);
        for (key, _) in keys {
            if !page.offer(state, key.run, &key) {
                break;
            }
        }
        Ok(page.done(false))
    }

    fn by_status(&self, state: &impl StateRead) -> Result<v1::ListResponse, Fault> {
        let after = self.after(|_: &RunKey| true)?;
        let mut runs = Vec::new();
        for status in &self.statuses {
            let status = *status as u8;
            let after = after.as_ref().map(|key| StatusKey { namespace: self.namespace.clone(), status, run: key.run });
            let prefix = Prefix::new().text(&self.namespace).byte(status);
            runs.extend(state.scan::<StatusList>(prefix.as_bytes(), after.as_ref(), self.limit + 1).into_iter().map(|(key, _)| key.run));
        }
        runs.sort_unstable();
        let mut page = Page::new(self);
        for run in runs {
            if !page.offer(state, run, &RunKey { run }) {
                break;
            }
        }
        Ok(page.done(false))
    }

    fn by_id(&self, state: &impl StateRead) -> Result<v1::ListResponse, Fault> {
        let mut after = self.after(|key: &NameKey| key.namespace == self.namespace)?;
        let prefix = Prefix::new().text(&self.namespace).text_start(&self.id_prefix);
        let mut page = Page::new(self);
        let mut scanned = 0;
        while scanned < LIST_EXAMINED_MAX {
            let names = state.scan::<Names>(prefix.as_bytes(), after.as_ref(), PAGE_MAX + 1);
            let last_of_all = names.len() <= PAGE_MAX;
            scanned += names.len();
            for (key, record) in names {
                if !page.offer(state, record.run, &key) {
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
    fn offer(&mut self, state: &impl StateRead, run: u64, key: &impl TableKey) -> bool {
        let workflow = state.get::<Workflows>(&RunKey { run });
        if let Some(workflow) = workflow.filter(|workflow| self.query.statuses.is_empty() || self.query.statuses.contains(&workflow.kind()))
        {
            let row = workflows::summary(&workflow);
            let size = row.encoded_len();
            if self.rows.len() == self.query.limit || (self.bytes + size > PAGE_BYTES_MAX && !self.rows.is_empty()) {
                self.full = true;
                return false;
            }
            self.bytes += size;
            self.rows.push(row);
        }
        self.last = key.to_bytes();
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
                ..Default::default()
            };
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
