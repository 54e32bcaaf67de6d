//! Bytes on disk that are not the machine's own records: the key of the one table of records, and the applied mark.
//!
//! A key is `[table number][key bytes]`, so that one redb table holds all of the machine's tables in order. A mark is
//! `[index: u64][length: u32][log id][length: u32][membership]`, big-endian as everything here.

use bytes::Bytes;
use graft_machine::tables::{TableId, TableKey};

use super::AppliedMark;

/// The key of a record in the redb table.
pub(super) fn record_key(table: TableId, key: &impl TableKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.push(table as u8);
    key.encode(&mut out);
    out
}

/// The table with this number, if this build knows it.
pub(super) fn table_id(number: u8) -> Option<TableId> {
    TableId::ALL.iter().copied().find(|table| *table as u8 == number)
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).expect("a record is far below 4 GiB").to_be_bytes());
    out.extend(bytes);
}

/// The bytes of a mark.
pub fn encode_mark(mark: &AppliedMark) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + mark.log_id.len() + mark.membership.len());
    out.extend(mark.index.to_be_bytes());
    put_bytes(&mut out, &mark.log_id);
    put_bytes(&mut out, &mark.membership);
    out
}

/// The mark in these bytes.
pub fn decode_mark(mut bytes: &[u8]) -> Option<AppliedMark> {
    let index = take_number(&mut bytes)?;
    let log_id = take_bytes(&mut bytes)?;
    let membership = take_bytes(&mut bytes)?;
    bytes.is_empty().then_some(AppliedMark { index, log_id, membership })
}

/// An index followed by bytes: how the log keeps what it has purged.
pub fn encode_indexed(index: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = index.to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

/// The index and the bytes behind it.
pub fn decode_indexed(mut bytes: &[u8]) -> Option<(u64, Bytes)> {
    let index = take_number(&mut bytes)?;
    Some((index, Bytes::copy_from_slice(bytes)))
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_be_bytes(*head))
}

fn take_bytes(rest: &mut &[u8]) -> Option<Bytes> {
    let (head, tail) = rest.split_first_chunk()?;
    let (bytes, tail) = tail.split_at_checked(u32::from_be_bytes(*head) as usize)?;
    *rest = tail;
    Some(Bytes::copy_from_slice(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_encoding_and_a_torn_one_is_refused() {
        let mark = AppliedMark { index: 7, log_id: Bytes::from_static(b"log"), membership: Bytes::from_static(b"") };
        let bytes = encode_mark(&mark);
        assert_eq!(decode_mark(&bytes), Some(mark));
        for cut in 0..bytes.len() {
            assert_eq!(decode_mark(&bytes[..cut]), None);
        }
    }

    #[test]
    fn every_table_is_found_by_its_number() {
        for table in TableId::ALL {
            assert_eq!(table_id(*table as u8), Some(*table));
        }
        assert_eq!(table_id(0), None);
    }
}
