//! Case folding: string comparison without regard to case.

use unicase::UniCase;

/// Full Unicode case folding without normalisation: `STRASSE` and `straße` become equal. Filters
/// and index keys both use this function, so an index never misses a match of a filter.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    // Each character is folded by itself, and most are ASCII, where folding is lowering.
    while !rest.is_empty() {
        let plain = rest.bytes().position(|byte| !byte.is_ascii());
        let (plain, others) = rest.split_at(plain.unwrap_or(rest.len()));
        let from = folded.len();
        folded.push_str(plain);
        folded[from..].make_ascii_lowercase();
        let end = others.bytes().position(|byte| byte.is_ascii());
        let (others, next) = others.split_at(end.unwrap_or(others.len()));
        folded.push_str(&UniCase::unicode(others).to_folded_case());
        rest = next;
    }
    folded
}

/// Case folding for identities: decides whether two names are one person, account or organisation.
/// Unlike [`fold`], it maps no character outside ASCII to an ASCII one, except `ß` to `ss`.
/// `ſam@acme.example` and `sam@acme.example` are different mailboxes; so are names with the Kelvin
/// sign and with `k`, or with the ligature `ﬁ` and with `fi`. A person who registers one of them
/// must not pass for the other.
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

    proptest::proptest! {
        #[test]
        fn runs_fold_as_the_whole_text(text in "([ -~]|\\PC){0,40}") {
            proptest::prop_assert_eq!(fold(&text), UniCase::unicode(&text).to_folded_case());
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
        // Canonically equivalent, but encoded differently: case folding alone does not make them
        // equal.
        assert_ne!(fold("é"), fold("e\u{301}"));
    }
}
