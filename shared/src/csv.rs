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

/// Bytes after which a cell cannot be written as it is: separators, quotes, control characters, and the first byte of those beyond ASCII.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b',' as usize] = true;
    special[b'"' as usize] = true;
    special[0x7f] = true;
    // U+0080 to U+00BF.
    special[0xc2] = true;
    special
};

impl<'o> Row<'o> {
    /// A new row after what is there.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        Self { begins: out.len(), out, cells: 0 }
    }

    /// A cell of any text.
    pub fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.out.reserve(bytes.len() + 2);
        self.separate();
        match next_special(bytes, 0) {
            None => {
                if is_formula(bytes) {
                    self.out.push(b'\'');
                }
                self.out.extend_from_slice(bytes);
            }
            Some(first) => self.guarded(bytes, first),
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

    /// A text of which the byte at `first` is special, and none before it.
    fn guarded(&mut self, text: &[u8], first: usize) {
        let is_quoted = text[first..].iter().any(|byte| matches!(byte, b',' | b'"' | b'\t' | b'\r' | b'\n'));
        if is_quoted {
            self.out.push(b'"');
        }
        if is_formula(text) {
            self.out.push(b'\'');
        }
        let (mut copied, mut special) = (0, Some(first));
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

/// Where the next special byte is, from a place on.
fn next_special(text: &[u8], from: usize) -> Option<usize> {
    let mut place = from;
    // Sixteen at a time, which processors compare in one step; most cells hold none.
    while let Some(chunk) = text.get(place..).and_then(<[u8]>::first_chunk::<16>) {
        let is_special = |byte: &u8| (*byte < 0x20) | matches!(*byte, b',' | b'"' | 0x7f | 0xc2);
        if chunk.iter().fold(false, |found, byte| found | is_special(byte)) {
            break;
        }
        place += 16;
    }
    let rest = text.get(place..)?;
    rest.iter().position(|byte| SPECIAL[usize::from(*byte)]).map(|at| place + at)
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
