//! The nearest known word to a mistyped one, for messages.

/// `; did you mean …?`, or nothing when no word is near enough to be worth saying.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // The distance is quadratic in the length, and a long line is no misspelling.
    if word.len() > 64 {
        return String::new();
    }
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word.to_lowercase(), known), known))
        .filter(|(mistakes, known)| 3 * mistakes <= known.len().max(3))
        .min_by_key(|(mistakes, _)| *mistakes)
        .map_or(String::new(), |(_, known)| format!("; did you mean {known}?"))
}

/// A word from outside, short and on one line.
pub(super) fn shown(word: &str) -> String {
    let short: String = word.chars().take(40).map(|c| if c.is_control() { '�' } else { c }).collect();
    if short.len() < word.len() { format!("{short}…") } else { short }
}
