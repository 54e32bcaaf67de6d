//! [`StateTx`] over ordered maps in memory: for tests, the simulation and the oracle.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::state::{StateRead, StateTx};
use crate::tables::{Record, Table, TableId, TableKey};

/// The whole state in memory. Two of them are equal exactly when they hold the same records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    records: BTreeMap<(TableId, Vec<u8>), Record>,
}

impl Memory {
    /// An empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of records in all tables.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record at all.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The state as bytes: what "same log, same bytes" compares.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for ((table, key), record) in &self.records {
            out.push(*table as u8);
            out.extend((key.len() as u32).to_be_bytes());
            out.extend(key);
            let value = record.encode();
            out.extend((value.len() as u32).to_be_bytes());
            out.extend(value);
        }
        out
    }

    /// The state that [`Self::encode`] gave these bytes for.
    ///
    /// # Errors
    /// The bytes are no state: where, and why.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, String> {
        fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
            let (length, tail) = rest.split_first_chunk()?;
            let (part, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            *rest = tail;
            Some(part)
        }
        let mut records = BTreeMap::new();
        while let Some((number, rest)) = bytes.split_first() {
            bytes = rest;
            let at = records.len();
            let table = TableId::ALL.iter().find(|table| **table as u8 == *number).ok_or(format!("record {at}: no table {number}"))?;
            let (Some(key), Some(value)) = (part(&mut bytes), part(&mut bytes)) else { return Err(format!("record {at}: ends early")) };
            let record = Record::decode(*table, value).map_err(|error| format!("record {at}: {error}"))?;
            records.insert((*table, key.to_vec()), record);
        }
        Ok(Self { records })
    }
}

impl StateRead for Memory {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        self.records.get(&(T::ID, key.to_bytes())).map(|record| T::unwrap(record.clone()))
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        let start = match after {
            Some(key) if key.to_bytes().as_slice() >= prefix => Bound::Excluded((T::ID, key.to_bytes())),
            _ => Bound::Included((T::ID, prefix.to_vec())),
        };
        self.records
            .range((start, Bound::Unbounded))
            .take_while(|((table, key), _)| *table == T::ID && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), record)| (T::Key::from_bytes(key).expect("a key that this table wrote"), T::unwrap(record.clone())))
            .collect()
    }
}

impl StateTx for Memory {
    fn put_shared<T: Table>(&mut self, key: T::Key, value: Arc<T::Value>) {
        self.records.insert((T::ID, key.to_bytes()), T::wrap(value));
    }

    fn delete<T: Table>(&mut self, key: &T::Key) {
        self.records.remove(&(T::ID, key.to_bytes()));
    }
}
