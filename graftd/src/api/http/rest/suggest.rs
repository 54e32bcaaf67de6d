//! The nearest name, for who has mistyped one.

/// How alike two names have to be for one to be suggested for the other; 1 = the same.
const ALIKE_MIN: f64 = 0.6;

/// The name most like this one, if any is alike.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = known.map(|known| (strsim::normalized_damerau_levenshtein(known, name), known));
    alike.filter(|(alike, _)| *alike >= ALIKE_MIN).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// The same for a message of serde's: ``unknown field `stat`, expected one of `state`, `nodes` ``.
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
