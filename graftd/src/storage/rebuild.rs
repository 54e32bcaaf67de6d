//! The derived tables of a state that an earlier version wrote: made when the file is opened, or before a received snapshot takes its place.
//!
//! All of it is one transaction of the file: after a crash none of it is there, and the next opening begins again. The machine says what goes
//! into the tables; here it finds the file as a [`StateTx`], a page at a time.

use std::cell::RefCell;
use std::ops::Bound;
use std::sync::Arc;

use graft_machine::derived::{rebuild_derived, up_to_date};
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{Table, TableKey};
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

use super::codec::record_key;
use super::file::durable;
use super::state_file::RECORDS;

/// Records between two words about how far it has come.
const TOLD_EVERY: u64 = 100_000;

/// Sees to it that the file's state has the derived tables of this version.
pub(super) fn of_file(database: &Database) -> Result<(), redb::Error> {
    let state = FileState::new(database.begin_read()?.open_table(RECORDS)?);
    let right = up_to_date(&state);
    state.end()?;
    if right {
        return Ok(());
    }
    tracing::info!("the state was written by an earlier version: making the lists and counts that it did not keep");
    let mut txn = database.begin_write()?;
    durable(&mut txn, true)?;
    in_transaction(&txn)?;
    txn.commit()?;
    Ok(())
}

/// As [`of_file`], for what a transaction has written so far.
pub(super) fn in_transaction(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let mut state = FileState::new(txn.open_table(RECORDS)?);
    if !up_to_date(&state) {
        let mut told = 0;
        rebuild_derived(&mut state, |records| {
            if records - told >= TOLD_EVERY {
                told = records;
                tracing::info!(records, "making lists and counts: so many records are read");
            }
        });
    }
    state.end()
}

/// The table of records as the machine sees it. The first thing that goes wrong is kept, and told at the end; from then on the state looks
/// empty and takes nothing more, which nobody acts on, since the transaction is given up.
struct FileState<R> {
    records: R,
    failed: RefCell<Option<redb::Error>>,
}

impl<R> FileState<R> {
    fn new(records: R) -> Self {
        Self { records, failed: RefCell::default() }
    }

    fn end(self) -> Result<(), redb::Error> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    /// Does something with the file, unless something has gone wrong before.
    fn attempt<V: Default>(&self, act: impl FnOnce() -> Result<V, redb::Error>) -> V {
        if self.failed.borrow().is_some() {
            return V::default();
        }
        act().unwrap_or_else(|error| {
            *self.failed.borrow_mut() = Some(error);
            V::default()
        })
    }
}

impl<R: ReadableTable<&'static [u8], &'static [u8]>> StateRead for FileState<R> {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        self.attempt(|| match self.records.get(record_key(T::ID, key).as_slice())? {
            Some(value) => Ok(Some(Arc::new(record::<T>(value.value())?))),
            None => Ok(None),
        })
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        let prefix = [&[T::ID as u8], prefix].concat();
        let from = match after.map(|key| record_key(T::ID, key)) {
            Some(key) if key >= prefix => Bound::Excluded(key),
            _ => Bound::Included(prefix.clone()),
        };
        self.attempt(|| {
            let mut found = Vec::new();
            for row in self.records.range::<&[u8]>((from.as_ref().map(Vec::as_slice), Bound::Unbounded))?.take(limit) {
                let (key, value) = row?;
                if !key.value().starts_with(&prefix) {
                    break;
                }
                let key = T::Key::from_bytes(&key.value()[1..]).ok_or_else(|| damaged::<T>("key"))?;
                found.push((key, Arc::new(record::<T>(value.value())?)));
            }
            Ok(found)
        })
    }
}

impl StateTx for FileState<redb::Table<'_, &'static [u8], &'static [u8]>> {
    fn put_shared<T: Table>(&mut self, key: T::Key, value: Arc<T::Value>) {
        if self.failed.borrow().is_none()
            && let Err(error) = self.records.insert(record_key(T::ID, &key).as_slice(), value.encode_to_vec().as_slice())
        {
            self.failed.replace(Some(error.into()));
        }
    }

    fn delete<T: Table>(&mut self, key: &T::Key) {
        if self.failed.borrow().is_none()
            && let Err(error) = self.records.remove(record_key(T::ID, key).as_slice())
        {
            self.failed.replace(Some(error.into()));
        }
    }
}

fn record<T: Table>(bytes: &[u8]) -> Result<T::Value, redb::Error> {
    T::Value::decode(bytes).map_err(|_| damaged::<T>("record"))
}

fn damaged<T: Table>(what: &str) -> redb::Error {
    redb::Error::Corrupted(format!("a {what} of table {:?} is damaged, or of a newer version", T::ID))
}
