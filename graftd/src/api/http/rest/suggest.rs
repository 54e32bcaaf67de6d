//! The nearest name, out of a message of serde's.

use graft_proto::errors::nearest;

/// The nearest name for the one that a message of serde's refuses: ``unknown field `stat`, expected one of `state`, `nodes` ``.
pub(super) fn in_message(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    nearest(wrong, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_in_a_message() {
        assert_eq!(in_message("unknown field `stat`, expected one of `workflow_id`, `state`, `nodes` at line 1"), Some("state"));
        assert_eq!(in_message("unknown variant `runing`, expected one of `running`, `paused`"), Some("running"));
        assert_eq!(in_message("unknown field `zzz`, expected `state`"), None);
        assert_eq!(in_message("missing field `node`"), None);
    }
}
