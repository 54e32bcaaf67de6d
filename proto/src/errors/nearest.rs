//! The word that was meant, for who has mistyped one.

/// How alike two words have to be for one to be suggested for the other; 1 = the same.
const ALIKE_MIN: f64 = 0.6;

/// The known word that is most like this one, upper case or lower, if any is alike: by the share of letters that a Damerau-Levenshtein
/// distance leaves in place. Of words that are equally alike, the first.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let alike = known.into_iter().map(|known| (strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &word), known));
    let likely = alike.filter(|(alike, _)| *alike >= ALIKE_MIN);
    likely.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["running", "paused", "cancelled"];
        assert_eq!(nearest("runing", known), Some("running"));
        assert_eq!(nearest("Pasued", known), Some("paused"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("ab", ["aa", "bb"]), None);
        assert_eq!(nearest("abc", ["abx", "aby"]), Some("abx"));
    }
}
