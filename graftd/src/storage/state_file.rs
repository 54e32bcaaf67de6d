//! The layout of `state.redb`: one table of records, and one that holds the applied mark. A flush writes both in one transaction.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use super::AppliedMark;
use super::codec::{decode_mark, encode_mark};
use super::file::Kind;

/// What the file is.
pub(super) const STATE: Kind = Kind { name: "state", format: 1 };
/// `[table number][key]` → encoded record.
pub(super) const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
const MARKS: TableDefinition<&str, &[u8]> = TableDefinition::new("marks");
const APPLIED: &str = "applied";

/// Makes the tables, so that reads need not ask whether they exist.
pub(super) fn make_tables(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(RECORDS)?;
    txn.open_table(MARKS)?;
    Ok(())
}

pub(super) fn write_mark(txn: &WriteTransaction, mark: &AppliedMark) -> Result<(), redb::Error> {
    txn.open_table(MARKS)?.insert(APPLIED, encode_mark(mark).as_slice())?;
    Ok(())
}

pub(super) fn read_mark(txn: &ReadTransaction) -> Result<AppliedMark, redb::Error> {
    match txn.open_table(MARKS)?.get(APPLIED)? {
        None => Ok(AppliedMark::default()),
        Some(value) => decode_mark(value.value()).ok_or_else(|| redb::Error::Corrupted("the applied mark is damaged".into())),
    }
}
