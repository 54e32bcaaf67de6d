//! In which words a leader tells a follower that it has not proposed what that one has forwarded: of all of it, or of one command among others.

use super::error::ProposeError;
use super::proposer::OVERLOADED;

/// This member does not lead: nothing was done, and who leads now is to be asked.
const NOT_LEADER: &str = "not-leader";
/// It has no room for starts; why stands behind it.
const NO_ROOM: &str = "no-room: ";
/// Its queue is full, or it has no time for starts.
const FULL: &str = "overloaded";

/// What is said of an error after which it is known that nothing was done; `None`: it may have been done.
pub(super) fn said(error: &ProposeError) -> Option<String> {
    Some(match error {
        ProposeError::Unknown { .. } => return None,
        ProposeError::Overloaded { .. } => FULL.to_owned(),
        ProposeError::NoRoom { reason } => format!("{NO_ROOM}{reason}"),
        ProposeError::NotLeader | ProposeError::Unavailable { .. } => NOT_LEADER.to_owned(),
    })
}

/// What was meant. Words of a later version mean that nothing was done, too.
pub(super) fn meant(said: &str) -> ProposeError {
    match said.strip_prefix(NO_ROOM) {
        Some(reason) => ProposeError::NoRoom { reason: reason.to_owned() },
        None if said == FULL => OVERLOADED,
        None => ProposeError::NotLeader,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_meant() {
        for error in [OVERLOADED, ProposeError::NoRoom { reason: "2 MB are left".into() }, ProposeError::NotLeader] {
            assert_eq!(said(&error).map(|said| meant(&said)), Some(error));
        }
        assert_eq!(said(&ProposeError::Unknown { reason: "it broke".into() }), None);
        assert_eq!(meant("of-tomorrow"), ProposeError::NotLeader);
    }
}
