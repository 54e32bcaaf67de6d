//! Names that users choose, checked once at the edge and again (cheaply) by the machine, which trusts nobody.

use crate::limits::{ID_BYTES_MAX, NAME_BYTES_MAX};

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no characters.
    #[error("is empty")]
    Empty,
    /// It is too long.
    #[error("has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// It holds a character that is not allowed.
    #[error("holds {found:?} at byte {at}; allowed are letters, digits and - _ . : /")]
    BadCharacter {
        /// The character.
        found: char,
        /// Where it stands.
        at: usize,
    },
}

/// Checks a namespace, node name or label key: letters, digits, `-`, `_`, `.`, `:` and `/`, at most `NAME_BYTES_MAX` bytes.
pub fn check_name(name: &str) -> Result<(), NameError> {
    check(name, NAME_BYTES_MAX)?;
    match name.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || "-_.:/".contains(*c))) {
        Some((at, found)) => Err(NameError::BadCharacter { found, at }),
        None => Ok(()),
    }
}

/// Checks a workflow id, request id or idempotency key: any text without control characters, at most `ID_BYTES_MAX` bytes.
pub fn check_id(id: &str) -> Result<(), NameError> {
    check(id, ID_BYTES_MAX)?;
    match id.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, found)) => Err(NameError::BadCharacter { found, at }),
        None => Ok(()),
    }
}

fn check(name: &str, max: usize) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        len if len > max => Err(NameError::TooLong { len, max }),
        _ => Ok(()),
    }
}
