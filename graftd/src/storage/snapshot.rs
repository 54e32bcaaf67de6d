//! A snapshot as a stream of bytes: read from one commit of the file, checked when it is received.
//!
//! ```text
//! magic "GRAFTSNP" | format: u32 | mark: length u32, bytes
//! then per record, in key order: key length: u32 (> 0), key, record length: u32, record
//! then 0: u32 | number of records: u64 | XXH3 of everything before: u64
//! ```
//!
//! Numbers are big-endian. Chunks cut the stream anywhere. The key starts with the table's number, as in the file.

use std::io::{BufReader, Read, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::Xxh3;

use super::AppliedMark;
use super::codec::{decode_mark, encode_mark, put_bytes, table_id};
use super::disk::Disk;
use super::error::StorageError;
use super::layers::Base;

/// Largest chunk of a snapshot, in bytes.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"GRAFTSNP";
const FORMAT: u32 = 1;
/// No key or record is longer: a greater length is damage, and is not allocated.
const MAX_PART_BYTES: u32 = 1 << 30;

/// A snapshot being sent: an iterator over chunks of at most [`SNAPSHOT_CHUNK_BYTES`]. It pins the pages of its commit in the file until
/// it is dropped.
pub struct SnapshotReader {
    base: Arc<Base>,
    path: PathBuf,
    after: Option<Vec<u8>>,
    pending: BytesMut,
    hash: Xxh3,
    records: u64,
    complete: bool,
}

impl SnapshotReader {
    pub(super) fn new(base: Arc<Base>, path: &Path) -> Self {
        let mut head = MAGIC.to_vec();
        head.extend(FORMAT.to_be_bytes());
        put_bytes(&mut head, &encode_mark(&base.mark));
        let mut reader =
            Self { base, path: path.to_owned(), after: None, pending: BytesMut::new(), hash: Xxh3::new(), records: 0, complete: false };
        reader.push(&head);
        reader
    }

    /// The state that it holds.
    pub fn mark(&self) -> &AppliedMark {
        &self.base.mark
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.pending.len() < SNAPSHOT_CHUNK_BYTES && !self.complete {
            self.fill().map_err(StorageError::during("read a snapshot of", &self.path))?;
        }
        let length = self.pending.len().min(SNAPSHOT_CHUNK_BYTES);
        Ok((length > 0).then(|| self.pending.split_to(length).freeze()))
    }

    fn fill(&mut self) -> Result<(), redb::Error> {
        let base = self.base.clone();
        let from = match self.after.take() {
            Some(key) => Bound::Excluded(key),
            None => Bound::Unbounded,
        };
        let mut frame = Vec::new();
        for entry in base.table.range::<&[u8]>((from.as_ref().map(Vec::as_slice), Bound::Unbounded))? {
            let (key, value) = entry?;
            frame.clear();
            put_bytes(&mut frame, key.value());
            put_bytes(&mut frame, value.value());
            self.push(&frame);
            self.records += 1;
            if self.pending.len() >= SNAPSHOT_CHUNK_BYTES {
                self.after = Some(key.value().to_vec());
                return Ok(());
            }
        }
        frame.clear();
        frame.extend(0_u32.to_be_bytes());
        frame.extend(self.records.to_be_bytes());
        self.push(&frame);
        self.pending.extend(self.hash.digest().to_be_bytes());
        self.complete = true;
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.pending.extend(bytes);
    }
}

/// A snapshot being received, into a file of its own. Dropping it removes the file.
pub struct SnapshotWriter {
    file: Box<dyn Write + Send>,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl SnapshotWriter {
    pub(super) fn new(file: Box<dyn Write + Send>, path: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { file, path, disk }
    }

    /// Takes the next chunk. Chunks may be cut otherwise than they were sent; only their order counts.
    ///
    /// # Errors
    /// The chunk cannot be written.
    pub fn write_chunk(&mut self, chunk: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(chunk).map_err(StorageError::during("write the received snapshot", &self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next open.
        let _ = self.disk.remove(&self.path);
    }
}

/// A record's key, with its table, and its value, encoded.
pub type Record = (Vec<u8>, Vec<u8>);

/// Reads a received snapshot and checks it on the way. It is good only when [`Self::next_record`] has said so at the end.
pub struct SnapshotParser<R> {
    input: BufReader<R>,
    hash: Xxh3,
    mark: AppliedMark,
    records: u64,
    last_key: Vec<u8>,
}

impl<R: Read> SnapshotParser<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// It is none, or of another format.
    pub fn new(input: R) -> Result<Self, String> {
        let mut parser = Self {
            input: BufReader::with_capacity(SNAPSHOT_CHUNK_BYTES, input),
            hash: Xxh3::new(),
            mark: AppliedMark::default(),
            records: 0,
            last_key: Vec::new(),
        };
        if parser.take(MAGIC.len())? != MAGIC {
            return Err("it is no graft snapshot".into());
        }
        let format = parser.number()?;
        if format != FORMAT {
            return Err(format!("it has format {format}, and this graftd reads format {FORMAT}: run the version of the sender"));
        }
        let mark = parser.part()?;
        parser.mark = decode_mark(&mark).ok_or("its applied mark is damaged")?;
        Ok(parser)
    }

    /// How far the state in it has come.
    pub fn mark(&self) -> &AppliedMark {
        &self.mark
    }

    /// The next record; `None` when the end is there and every check has passed.
    ///
    /// # Errors
    /// It is damaged: how, and where.
    pub fn next_record(&mut self) -> Result<Option<Record>, String> {
        let key = self.part()?;
        if key.is_empty() {
            return self.check_end().map(|()| None);
        }
        if key <= self.last_key {
            return Err(format!("its records are out of order after record {}", self.records));
        }
        if table_id(key[0]).is_none() {
            return Err(format!("it holds table {}, which this graftd does not know: run the version of the sender", key[0]));
        }
        let value = self.part()?;
        self.records += 1;
        self.last_key.clone_from(&key);
        Ok(Some((key, value)))
    }

    fn check_end(&mut self) -> Result<(), String> {
        let count = self.take(8)?;
        let hash = self.hash.digest();
        let stored = self.take(8)?;
        if count != self.records.to_be_bytes() {
            return Err(format!("it does not hold as many records as it says: {} were read", self.records));
        }
        if stored != hash.to_be_bytes() {
            return Err("its checksum does not match: it was damaged on the way".into());
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("something follows its end".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn part(&mut self) -> Result<Vec<u8>, String> {
        let length = self.number()?;
        if length > MAX_PART_BYTES {
            return Err(format!("it names a length of {length} bytes: it is damaged"));
        }
        self.take(length as usize)
    }

    fn number(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// Reads no more than there is: a damaged length allocates nothing.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(length.min(SNAPSHOT_CHUNK_BYTES));
        let read = self.input.by_ref().take(length as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if read < length {
            return Err(format!("it ends early, in or after record {}", self.records));
        }
        self.hash.update(&bytes);
        Ok(bytes)
    }
}
