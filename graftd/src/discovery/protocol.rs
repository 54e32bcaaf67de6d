//! Versions of the protocol between members: each side says which it speaks, and those that have none in common do not speak at all.
//!
//! Version 1 is what stands in `graft/peer/v1`. A member of a later one will speak the two newest, so that members can be upgraded one
//! after the other.

use graft_proto::peer::v1::ProtocolRange;

/// What this program speaks.
pub const PROTOCOL: ProtocolRange = ProtocolRange { min: 1, max: 1 };

/// Whether there is a version that both sides speak; the error says what each of them does. Who says nothing speaks none that we know.
///
/// # Errors
/// If there is none.
pub fn speaks_with(theirs: Option<ProtocolRange>) -> Result<(), String> {
    let ours = PROTOCOL;
    match theirs {
        Some(theirs) if theirs.min <= theirs.max && theirs.min <= ours.max && ours.min <= theirs.max => Ok(()),
        theirs => {
            let told = theirs.map_or("none".to_owned(), |range| format!("{} to {}", range.min, range.max));
            Err(format!(
                "it speaks versions {told} of the protocol between members, and this one {} to {}: bring both to versions of Graft that follow \
                 one another",
                ours.min, ours.max
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_with_something_in_common_speak_with_each_other() {
        let ours = PROTOCOL;
        for range in [(ours.min, ours.max), (0, ours.min), (ours.max, ours.max + 3)] {
            assert_eq!(speaks_with(Some(ProtocolRange { min: range.0, max: range.1 })), Ok(()), "{range:?}");
        }
        let strange = [(ours.max + 1, ours.max + 2), (0, ours.min - 1), (ours.max, ours.min - 1)];
        for range in strange {
            let said = speaks_with(Some(ProtocolRange { min: range.0, max: range.1 })).expect_err("nothing in common");
            assert!(said.contains("this one 1 to 1"), "{said}");
        }
        assert!(speaks_with(None).expect_err("it says nothing").contains("versions none"));
    }
}
