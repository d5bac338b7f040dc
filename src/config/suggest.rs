//! The nearest known word to a mistyped one, for "did you mean …?".

/// The candidate nearest to `word`, or none when nothing is near enough to be worth saying.
///
/// Case and the separators `_`, `-`, `.` do not count, so `batch_size` finds `batchSize`; a swap
/// of neighbouring letters counts as one mistake, and one mistake in three letters is the limit.
///
/// # References
/// Damerau, *A technique for computer detection and correction of spelling errors*, 1964.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    // A long line pasted by mistake is no misspelling, and the distance is quadratic in its length.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let known = plain(candidate);
            let mistakes = strsim::damerau_levenshtein(&word, &known);
            (mistakes, strsim::jaro_winkler(&word, &known), candidate)
        })
        .filter(|(mistakes, _, known)| *mistakes <= limit && 2 * mistakes < known.len())
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, candidate)| candidate)
}

/// The question to append to a message, or nothing: `; did you mean sgd?`.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |word| format!("; did you mean {word}?"))
}

fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | '.')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let known = ["learningRate", "batchSize", "rateBatch", "seed", "sgd"];
        for (word, nearest) in [
            ("learingRate", Some("learningRate")),
            ("learnignRate", Some("learningRate")),
            ("LEARNING_RATE", Some("learningRate")),
            ("batch-size", Some("batchSize")),
            ("sed", Some("seed")),
            ("sdg", Some("sgd")),
            ("x", None),
            ("", None),
            ("temperature", None),
        ] {
            assert_eq!(suggest(word, known), nearest, "{word}");
        }
        assert_eq!(suggest(&"learningRate".repeat(999), known), None);
    }

    #[test]
    fn the_question_is_only_there_with_an_answer() {
        assert_eq!(did_you_mean(Some("sgd")), "; did you mean sgd?");
        assert_eq!(did_you_mean(None), "");
    }
}
