//! What the nodes know about text: words, sentences, syllables, stop words.

/// Words that carry no subject, by language; they also tell the language.
pub const STOP_WORDS: [(&str, &[&str]); 3] = [
    (
        "en",
        &[
            "the", "and", "of", "to", "in", "is", "was", "that", "for", "it", "with", "as", "on", "by", "are", "be", "this", "who",
            "which", "at", "from", "has", "were", "an", "than", "not", "its", "or", "you", "if", "will", "more", "have", "into", "their",
            "there", "can", "could", "his", "her", "they", "them", "then", "when", "what", "had", "but", "before", "after", "over", "our",
            "we", "so", "all", "no", "up", "a", "he", "she", "must", "may", "out", "above", "ever", "most", "because", "until", "while",
            "between", "each",
        ],
    ),
    (
        "de",
        &[
            "der", "die", "das", "und", "in", "den", "von", "zu", "mit", "sich", "des", "auf", "für", "ist", "im", "dem", "nicht", "ein",
            "eine", "als", "auch", "es", "an", "werden", "aus", "er", "hat", "dass", "sie", "nach", "wird", "bei", "einer", "um", "am",
            "sind", "noch", "wie", "einem", "über", "einen", "so", "zum", "war", "haben", "nur", "oder", "aber", "vor", "zur", "bis",
            "mehr", "durch", "man", "wurde", "wir", "uns", "ihnen", "ihr", "ihre", "ihrem", "unserer", "unsere", "welcher", "selbst",
        ],
    ),
    (
        "fr",
        &[
            "le", "la", "les", "de", "des", "et", "un", "une", "du", "est", "dans", "que", "qui", "pour", "par", "sur", "avec", "plus",
            "pas", "au", "ce", "il", "elle", "nous", "vous", "ne", "se", "sont", "aux", "cette", "mais", "ou", "comme", "leur",
        ],
    ),
];

/// The words of a text, in lower case.
pub fn words(text: &str) -> Vec<String> {
    let inside = |c: char| c.is_alphanumeric() || c == '\'';
    let words = text.split(|c: char| !inside(c)).map(|word| word.trim_matches('\''));
    words.filter(|word| word.chars().any(char::is_alphabetic)).map(str::to_lowercase).collect()
}

/// The sentences of a text, without line breaks.
pub fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for paragraph in text.split("\n\n") {
        let flat = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rest = flat.as_str();
        while let Some(end) = rest.find(". ").or_else(|| rest.find("! ")).or_else(|| rest.find("? ")) {
            sentences.push(rest[..=end].trim().to_owned());
            rest = &rest[end + 2..];
        }
        if !rest.trim().is_empty() {
            sentences.push(rest.trim().to_owned());
        }
    }
    sentences
}

/// Whether a word carries no subject, in any of the languages.
pub fn is_stop_word(word: &str) -> bool {
    word.chars().count() < 3 || STOP_WORDS.iter().any(|(_, list)| list.contains(&word))
}

/// Syllables of a word: its groups of vowels, at least one; an English `e` at the end is silent.
pub fn syllables(word: &str) -> usize {
    let is_vowel = |c: char| "aeiouyäöüáéèêàâîôû".contains(c);
    let (mut groups, mut inside) = (0, false);
    for c in word.chars() {
        groups += usize::from(is_vowel(c) && !inside);
        inside = is_vowel(c);
    }
    if groups > 1 && word.ends_with('e') && !word.ends_with("le") {
        groups -= 1;
    }
    groups.max(1)
}

/// A part of a whole, in percent.
pub fn percent(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(0)
}
