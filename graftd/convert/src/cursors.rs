//! Opaque places: positions in the log, and cursors of lists.
//!
//! A cursor is a place in one list: it carries a fingerprint of the question that it belongs to, so that the cursor of another list, or of
//! the same list with another filter, is refused and not misread.

use xxhash_rust::xxh3::xxh3_64;

use graft_machine::ids::EventPos;
use graft_proto::errors::{ErrorCode, Fault, quoted};

/// First byte of every cursor: the version of this layout.
const LAYOUT: u8 = 1;
/// Longest cursor that is looked at, in characters: names and ids are bounded, and so are keys.
const CURSOR_CHARS_MAX: usize = 2_048;

/// An opaque position in the log of the cluster: epoch, partition, index, ordinal.
pub fn position(epoch: u64, index: u64, ordinal: u32) -> String {
    format!("{epoch:x}-{:x}-{index:x}-{ordinal:x}", graft_machine::ids::PARTITION)
}

/// The place that a position names, if this cluster has handed it out in this epoch.
pub fn read_position(epoch: u64, text: &str) -> Result<EventPos, Fault> {
    let refused = |detail: String| Fault::new(ErrorCode::BadPosition, format!("position {}", quoted(text)), detail);
    let mut parts = text.split('-').map(|part| {
        // from_str_radix alone would also take a sign.
        let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_hexdigit());
        if digits { u64::from_str_radix(part, 16).ok() } else { None }
    });
    let mut part = || parts.next().flatten();
    let (Some(of_epoch), Some(partition), Some(index), Some(ordinal)) = (part(), part(), part(), part()) else {
        return Err(refused("is none that this service makes".to_owned()));
    };
    let ordinal = u32::try_from(ordinal).map_err(|_| refused("is none that this service makes".to_owned()))?;
    if parts.next().is_some() {
        return Err(refused("is none that this service makes".to_owned()));
    }
    if of_epoch != epoch {
        return Err(refused(format!("belongs to epoch {of_epoch} of a cluster, and this one is in epoch {epoch}")));
    }
    if partition != u64::from(graft_machine::ids::PARTITION) {
        return Err(refused(format!("belongs to partition {partition}, which this cluster does not have")));
    }
    Ok(EventPos { index, ordinal })
}

/// Makes a cursor for the list that answers `question`, after the record under `key`.
pub fn make(question: &str, key: &[u8]) -> String {
    let mut bytes = vec![LAYOUT];
    bytes.extend(xxh3_64(question.as_bytes()).to_be_bytes());
    bytes.extend(key);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key in a cursor; `None` if there is no cursor.
pub fn read(question: &str, cursor: &str) -> Result<Option<Vec<u8>>, Fault> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let refused = |detail: &str| Fault::new(ErrorCode::BadCursor, format!("cursor {}", quoted(cursor)), detail);
    let bytes = unhex(cursor).ok_or_else(|| refused("is none that this service makes"))?;
    let key = bytes.strip_prefix(&[LAYOUT]).ok_or_else(|| refused("is none that this version makes"))?;
    match key.split_first_chunk() {
        Some((fingerprint, key)) if *fingerprint == xxh3_64(question.as_bytes()).to_be_bytes() => Ok(Some(key.to_vec())),
        _ => Err(refused("belongs to another list, or to this one with other filters")),
    }
}

/// What to say of a cursor whose key is none of its table.
pub fn broken(cursor: &str) -> Fault {
    Fault::new(ErrorCode::BadCursor, format!("cursor {}", quoted(cursor)), "is damaged")
}

/// What to say of a cursor that goes with another run than the one that was asked for.
pub fn of_another_run(cursor: &str, run: u64) -> Fault {
    Fault::new(ErrorCode::BadCursor, format!("cursor {}", quoted(cursor)), format!("belongs to run {run}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() > CURSOR_CHARS_MAX || !text.len().is_multiple_of(2) || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gives_its_key_back_to_its_own_list() {
        let cursor = make("workflows of default", b"\x00\xffkey");
        assert_eq!(read("workflows of default", &cursor).expect("its own"), Some(b"\x00\xffkey".to_vec()));
        assert_eq!(read("workflows of default", "").expect("none"), None);
    }

    #[test]
    fn foreign_and_damaged_cursors_are_refused_each_in_its_way() {
        let cursor = make("workflows of default", b"key");
        for (text, needle) in [
            (cursor.as_str(), "belongs to another list"),
            ("eyJvIjoxfQ==", "none that this service makes"),
            ("abc", "none that this service makes"),
            ("äö", "none that this service makes"),
            ("02ff", "none that this version makes"),
            ("01ff", "belongs to another list"),
        ] {
            let error = read("workflows of other", text).expect_err(text);
            assert_eq!(error.code, ErrorCode::BadCursor);
            assert!(error.detail.contains(needle), "{error}");
        }
    }

    #[test]
    fn positions_differ_by_every_part() {
        assert_eq!(position(1, 255, 3), "1-0-ff-3");
    }

    #[test]
    fn a_position_is_read_as_it_was_told_and_any_other_is_refused_with_the_reason() {
        for (index, ordinal) in [(0, 0), (255, 3), (u64::MAX, u32::MAX)] {
            assert_eq!(read_position(7, &position(7, index, ordinal)).expect("its own"), EventPos { index, ordinal });
        }
        for (text, needle) in [
            ("nonsense", "none that this service makes"),
            ("", "none that this service makes"),
            ("7-0-1", "none that this service makes"),
            ("7-0-1-2-3", "none that this service makes"),
            ("7-0-+1-2", "none that this service makes"),
            ("7-0--1-2", "none that this service makes"),
            ("7-0-1-100000000", "none that this service makes"),
            ("7-0-10000000000000000-0", "none that this service makes"),
            ("6-0-1-2", "epoch 6"),
            ("7-1-1-2", "partition 1"),
        ] {
            let error = read_position(7, text).expect_err(text);
            assert_eq!(error.code, ErrorCode::BadPosition);
            assert!(error.detail.contains(needle), "{error}");
        }
    }
}
