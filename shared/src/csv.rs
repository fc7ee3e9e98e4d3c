//! CSV (RFC 4180) that a spreadsheet opens and that does nothing there.
//!
//! A cell that a spreadsheet would take for a formula gets a leading `'` (OWASP ASVS 1.2.10, CWE-1236): quoting alone does not help, as
//! spreadsheets judge a cell after its quotes are gone. TAB, CR and LF are kept, in quotes; other control characters are written `\u00XX`.
//! So a cell can differ from what is stored; the JSON Lines twin of an export does not.

/// A row being written. Rows end with CRLF.
#[derive(Debug)]
pub struct Row<'o> {
    out: &'o mut Vec<u8>,
    begins: usize,
    cells: usize,
}

/// Bytes that a cell cannot hold as it is: separators, quotes, control characters, and the first byte of those beyond ASCII (U+0080 to U+00BF).
const fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b',') | (byte == b'"') | (byte == 0x7f) | (byte == 0xc2)
}

/// Bytes that a formula, or its first character's full-width form, begins with.
const fn may_begin_formula(byte: u8) -> bool {
    matches!(byte, b'=' | b'+' | b'-' | b'@' | 0xef)
}

impl<'o> Row<'o> {
    /// A new row after what is there.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        Self { begins: out.len(), out, cells: 0 }
    }

    /// A cell of any text.
    #[inline]
    pub fn text(&mut self, text: &str) {
        self.separate();
        let bytes = text.as_bytes();
        let Some(first) = bytes.first() else { return };
        match may_begin_formula(*first) || has_special(bytes) {
            true => self.guarded(bytes),
            false => self.out.extend_from_slice(bytes),
        }
    }

    /// A cell of what is known to need no guard: times, numbers, digests, words of our own.
    pub fn plain(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.separate();
        write(self.out);
    }

    /// A cell with nothing in it.
    pub fn empty(&mut self) {
        self.separate();
    }

    /// Ends the row.
    pub fn end(self) {
        // A line with nothing on it is no row to most readers.
        if self.out.len() == self.begins {
            self.out.extend_from_slice(b"\"\"");
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn separate(&mut self) {
        if self.cells > 0 {
            self.out.push(b',');
        }
        self.cells += 1;
    }

    /// A text that cannot be written as it is.
    #[inline(never)]
    fn guarded(&mut self, text: &[u8]) {
        let first = next_special(text, 0);
        let rest = &text[first.unwrap_or(text.len())..];
        let is_quoted = rest.iter().any(|byte| matches!(byte, b',' | b'"' | b'\t' | b'\r' | b'\n'));
        if is_quoted {
            self.out.push(b'"');
        }
        if is_formula(text) {
            self.out.push(b'\'');
        }
        let (mut copied, mut special) = (0, first);
        while let Some(place) = special {
            // How many bytes are written in another way, and how.
            let control = match (text[place], text.get(place + 1)) {
                (b',' | b'\t' | b'\r' | b'\n', _) => None,
                (b'"', _) => {
                    self.out.extend_from_slice(&text[copied..=place]);
                    copied = place;
                    None
                }
                // U+0080 to U+009F in UTF-8.
                (0xc2, Some(second @ 0x80..=0x9f)) => Some((2, *second)),
                (0xc2, _) => None,
                (control, _) => Some((1, control)),
            };
            if let Some((length, code)) = control {
                self.out.extend_from_slice(&text[copied..place]);
                self.out.extend_from_slice(format!("\\u{code:04X}").as_bytes());
                copied = place + length;
            }
            special = next_special(text, place + 1);
        }
        self.out.extend_from_slice(&text[copied..]);
        if is_quoted {
            self.out.push(b'"');
        }
    }
}

/// Whether any byte of a few is special. Processors compare as many in one step.
#[inline]
fn any<const N: usize>(chunk: &[u8; N]) -> bool {
    chunk.iter().fold(false, |found, byte| found | is_special(*byte))
}

/// Whether any byte is special. The last few that are looked at overlap those before.
#[inline]
fn has_special(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk::<16>() {
        text.as_chunks::<16>().0.iter().any(any) || any(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        any(first) || any(last)
    } else {
        text.iter().any(|byte| is_special(*byte))
    }
}

/// Where the next special byte is, from a place on.
fn next_special(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let skipped = rest.as_chunks::<16>().0.iter().take_while(|chunk| !any(chunk)).count() * 16;
    rest[skipped..].iter().position(|byte| is_special(*byte)).map(|at| from + skipped + at)
}

/// Whether a spreadsheet may take it for a formula: by its first character, or that character's full-width form.
fn is_formula(text: &[u8]) -> bool {
    matches!(
        text,
        [b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n', ..] | [0xef, 0xbc, 0x9d | 0x8b | 0x8d | 0xa0, ..]
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell(text: &str) -> String {
        let mut out = Vec::new();
        let mut row = Row::begin(&mut out);
        row.text("x");
        row.text(text);
        row.end();
        let line = String::from_utf8(out).unwrap();
        line.strip_prefix("x,").unwrap().strip_suffix("\r\n").unwrap().to_owned()
    }

    #[test]
    fn cells_are_quoted_where_rfc_4180_asks_for_it() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("a, b", "\"a, b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("one\r\ntwo", "\"one\r\ntwo\""),
            ("one\ttwo", "\"one\ttwo\""),
            (" spaced ", " spaced "),
            ("Zoë – 東京 🛡", "Zoë – 東京 🛡"),
            ("\u{200f}right to left", "\u{200f}right to left"),
            ("\u{a0}", "\u{a0}"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_looks_like_a_formula_is_made_text() {
        for (text, expected) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠1", "'＠1"),
            ("a=1", "a=1"),
            ("＜1", "＜1"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        for (text, expected) in [
            ("a\u{7}b", "a\\u0007b"),
            ("\u{0}=1", "\\u0000=1"),
            ("\u{1b}[31m, red", "\"\\u001B[31m, red\""),
            ("\u{7f}", "\\u007F"),
            ("\u{85}next", "\\u0085next"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_row_of_one_empty_cell_is_a_row() {
        let mut out = Vec::new();
        let mut row = Row::begin(&mut out);
        row.empty();
        row.end();
        assert_eq!(out, b"\"\"\r\n");
    }

    proptest! {
        /// Another reader finds the same cells, each as it was but for the guard.
        #[test]
        fn another_reader_finds_the_same_cells(
            rows in proptest::collection::vec(proptest::collection::vec("[=+@\\-\u{ff1d}a-c,\"\r\n\t\u{0}\u{7f}\u{85}é\u{202e}🛡 ]{0,8}", 3), 1..8)
        ) {
            let mut out = Vec::new();
            for cells in &rows {
                let mut row = Row::begin(&mut out);
                cells.iter().for_each(|cell| row.text(cell));
                row.end();
            }
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
            let read: Vec<Vec<String>> = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            let shown = |cell: &String| {
                let mut shown = String::new();
                if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}']) {
                    shown.push('\'');
                }
                for character in cell.chars() {
                    match character {
                        '\t' | '\r' | '\n' => shown.push(character),
                        control if control.is_control() => shown.push_str(&format!("\\u{:04X}", u32::from(control))),
                        other => shown.push(other),
                    }
                }
                shown
            };
            let expected: Vec<Vec<String>> = rows.iter().map(|cells| cells.iter().map(shown).collect()).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
