//! Case folding: how the trail compares strings where case does not count.

use unicase::UniCase;

/// Full Unicode case folding (no normalisation): `STRASSE` and `straße` become the same. Filters and index keys both go
/// through here, so that an index never misses what a filter would match.
pub fn fold(text: &str) -> String {
    UniCase::unicode(text).to_folded_case()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_fully() {
        for (a, b) in
            [("STRASSE", "straße"), ("ΌΣΟΣ", "όσος"), ("İ", "i̇"), ("ﬀ", "FF"), ("MSP-ALEX", "msp-alex"), ("", "")]
        {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        // Canonically equal, but spelt differently: folding alone does not join them.
        assert_ne!(fold("é"), fold("e\u{301}"));
    }
}
