//! Case folding: how the trail compares strings where case does not count.

use unicase::UniCase;

/// Full Unicode case folding (no normalisation): `STRASSE` and `straße` become the same. Filters and index keys both go
/// through here, so that an index never misses what a filter would match.
pub fn fold(text: &str) -> String {
    UniCase::unicode(text).to_folded_case()
}

/// Case folding for identity: whether two names are one person, account or organisation. As [`fold`], but no character outside ASCII becomes
/// one inside it. `ſam@acme.example` and `sam@acme.example` are two mailboxes, as are names with the Kelvin sign and with `k`, or with the ligature
/// `ﬁ` and with `fi`; whoever can register the one must not pass for the other. Only `ß` is `ss`, as its capitals are written.
pub fn fold_identity(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    let mut buffer = [0; 4];
    for character in text.chars() {
        let of_one = fold(character.encode_utf8(&mut buffer));
        if of_one.is_ascii() && !character.is_ascii() && !matches!(character, 'ß' | 'ẞ') {
            folded.push(character);
        } else {
            folded.push_str(&of_one);
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_never_crosses_into_ascii() {
        for (a, b) in [
            ("ANN@ACME.example", "ann@acme.EXAMPLE"),
            ("ÄNN@acme.example", "änn@acme.example"),
            ("ΌΣΟΣ", "όσος"),
            ("STRASSE", "straße"),
            ("STRAẞE", "strasse"),
            ("\u{212b}sa", "åsa"),
        ] {
            assert_eq!(fold_identity(a), fold_identity(b), "{a} {b}");
        }
        for (a, b) in [("ſam", "sam"), ("\u{212a}im", "kim"), ("oﬃce", "office"), ("İan", "ian")]
        {
            assert_ne!(fold_identity(a), fold_identity(b), "{a} {b}");
        }
    }

    #[test]
    fn folds_fully() {
        for (a, b) in [
            ("STRASSE", "straße"),
            ("ΌΣΟΣ", "όσος"),
            ("İ", "i̇"),
            ("ﬀ", "FF"),
            ("MSP-ALEX", "msp-alex"),
            ("", ""),
        ] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        // Canonically equal, but spelt differently: folding alone does not join them.
        assert_ne!(fold("é"), fold("e\u{301}"));
    }
}
