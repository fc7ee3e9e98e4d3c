//! CSV (RFC 4180) that a spreadsheet opens without running anything in it: a guard over the `csv` crate.
//!
//! A cell that a spreadsheet would take for a formula gets a leading `'` (OWASP ASVS 1.2.10, CWE-1236): quoting alone does not help, as
//! spreadsheets judge a cell after its quotes are gone. Programs that split a row at `;`, TAB or `|` do not see our quotes, so they also end a
//! row at a line break inside a cell. Each piece of a cell that such a program would take for a cell is guarded like a cell. TAB, CR and LF are
//! kept, in quotes; other control characters are written `\u00XX`. So a cell can differ from what is stored; the JSON Lines twin of an export
//! does not.

use std::borrow::Cow;

/// The crate's own buffer, which each row makes anew. It holds most rows whole; longer ones go out in pieces.
const BUFFER: usize = 2048;

/// A row being written. Rows end with CRLF.
#[derive(Debug)]
pub struct Row<'o> {
    csv: csv::Writer<&'o mut Vec<u8>>,
}

impl<'o> Row<'o> {
    /// A new row after what is there.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        let csv = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            // Rows have no comments: this is the one way to have cells with a TAB in quotes.
            .comment(Some(b'\t'))
            .buffer_capacity(BUFFER)
            .from_writer(out);
        Self { csv }
    }

    /// A cell of any text.
    pub fn text(&mut self, text: &str) {
        self.cell(guarded(text).as_bytes());
    }

    /// A cell of what is known to need no guard: times, numbers, digests, words of our own.
    pub fn plain(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut cell = Vec::new();
        write(&mut cell);
        self.cell(&cell);
    }

    /// A cell with nothing in it.
    pub fn empty(&mut self) {
        self.cell(b"");
    }

    /// Ends the row.
    pub fn end(mut self) {
        // A vector takes whatever is written to it, here and below.
        let _ = self.csv.write_record(None::<&[u8]>);
        let _ = self.csv.flush();
    }

    fn cell(&mut self, cell: &[u8]) {
        let _ = self.csv.write_field(cell);
    }
}

/// The text of a cell in which no program finds a formula, and no control character but TAB, CR and LF.
#[inline]
fn guarded(cell: &str) -> Cow<'_, str> {
    match begins_formula(cell) || has_special(cell.as_bytes()) {
        true => Cow::Owned(rewritten(cell)),
        false => Cow::Borrowed(cell),
    }
}

/// The same of a cell that cannot be written as it is.
fn rewritten(cell: &str) -> String {
    let mut guarded = String::with_capacity(cell.len() + 16);
    if begins_formula(cell) {
        guarded.push('\'');
    }
    for (place, character) in cell.char_indices() {
        match character {
            ';' | '|' | '\t' | '\r' | '\n' => {
                guarded.push(character);
                if continues_as_formula(&cell[place + 1..]) {
                    guarded.push('\'');
                }
            }
            control if control.is_control() => {
                guarded.push_str(&format!("\\u{:04X}", u32::from(control)))
            }
            other => guarded.push(other),
        }
    }
    guarded
}

/// Whether a cell has a byte after which a formula can begin, or one of a control character: beyond ASCII these begin with 0xC2.
#[inline]
fn has_special(cell: &[u8]) -> bool {
    let is_special = |byte: u8| {
        (byte < 0x20) | (byte == b';') | (byte == b'|') | (byte == 0x7f) | (byte == 0xc2)
    };
    // Processors compare as many in one step.
    let (chunks, rest) = cell.as_chunks::<8>();
    let any = |bytes: &[u8]| bytes.iter().fold(false, |found, byte| found | is_special(*byte));
    chunks.iter().any(|chunk| any(chunk)) || any(rest)
}

/// Whether a spreadsheet may take a cell for a formula.
#[inline]
fn begins_formula(cell: &str) -> bool {
    // Most cells begin with a letter or a digit.
    let may_begin = |byte: &u8| !byte.is_ascii_alphanumeric();
    cell.as_bytes().first().is_some_and(may_begin)
        && first_visible(cell, |_| false)
            .is_some_and(|first| is_sign(first) || matches!(first, '\t' | '\r' | '\n'))
}

/// Whether a program that splits where `rest` begins may take it for a formula. Such a program reads the quotes of a cell as its own.
fn continues_as_formula(rest: &str) -> bool {
    first_visible(rest, |character| character == '"').is_some_and(is_sign)
}

/// The first character that is no blank, not invisible, and none of those to `skip`. TAB, CR and LF count: they separate.
fn first_visible(text: &str, skip: impl Fn(char) -> bool) -> Option<char> {
    text.chars().find(|character| !is_blank(*character) && !skip(*character))
}

/// Whether a formula can begin with it: the four signs, their full-width forms and their small forms.
const fn is_sign(character: char) -> bool {
    matches!(
        character,
        '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '﹦' | '﹢' | '﹣' | '﹫'
    )
}

/// Blanks, and what is not shown at all (Unicode's `White_Space` and `Default_Ignorable_Code_Point`, the marks of interlinear annotations and
/// Braille's blank). Control characters are none of these, since they are written as `\u00XX`.
const fn is_blank(character: char) -> bool {
    matches!(character,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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
            ("\t=1", "\"'\t'=1\""),
            ("\r=1", "\"'\r'=1\""),
            ("\n=1", "\"'\n'=1\""),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠1", "'＠1"),
            ("﹦1", "'﹦1"),
            ("﹢1", "'﹢1"),
            ("﹣1", "'﹣1"),
            ("﹫1", "'﹫1"),
            ("  =1", "'  =1"),
            ("\u{a0}\u{3000}+1", "'\u{a0}\u{3000}+1"),
            ("\u{200b}\u{feff}@a", "'\u{200b}\u{feff}@a"),
            ("\u{e0001}\u{2066}－1", "'\u{e0001}\u{2066}－1"),
            (" \t=1", "\"' \t'=1\""),
            ("a=1", "a=1"),
            ("＜1", "＜1"),
            ("'=1", "'=1"),
            ("\"=1", "\"\"\"=1\""),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_looks_like_a_formula_to_a_program_that_splits_elsewhere_is_made_text() {
        for (text, expected) in [
            ("x;=cmd|' /C calc'!A0;y", "x;'=cmd|' /C calc'!A0;y"),
            ("a|+1", "a|'+1"),
            ("a\t@b", "\"a\t'@b\""),
            ("a\r\n-b", "\"a\r\n'-b\""),
            ("a; =1", "a;' =1"),
            ("a;\u{200b}\u{a0}＝1", "a;'\u{200b}\u{a0}＝1"),
            ("a;\"=1\"", "\"a;'\"\"=1\"\"\""),
            (";;=1", ";;'=1"),
            (";|\t﹣1", "\";|\t'﹣1\""),
            ("=1;=2", "'=1;'=2"),
            ("é;=1", "é;'=1"),
            ("a;b", "a;b"),
            ("a;b=1", "a;b=1"),
            ("a, =1", "\"a, =1\""),
            ("a;\u{0}=1", "a;\\u0000=1"),
            ("one\n\ntwo;", "\"one\n\ntwo;\""),
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

    #[test]
    fn a_cell_longer_than_the_buffer_is_whole() {
        let text = "a\"b;=".repeat(BUFFER);
        assert_eq!(cell(&text), format!("\"{}\"", "a\"\"b;'=".repeat(BUFFER)));
    }

    /// The signs of formulas, what may stand before them, what programs split at, and what has to be quoted or shown.
    const CELL: &str = "[=+@\\-\u{ff1d}\u{fe63}a-c;|,\"\r\n\t \u{a0}\u{3000}\u{200b}\u{feff}\u{e0001}\u{0}\u{7f}\u{85}'é\u{202e}🛡]{0,9}";

    fn written(rows: &[Vec<String>]) -> Vec<u8> {
        let mut out = Vec::new();
        // A file begins with names: a reader would drop an invisible character that it begins with.
        let names = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        for cells in [&names].into_iter().chain(rows) {
            let mut row = Row::begin(&mut out);
            cells.iter().for_each(|cell| row.text(cell));
            row.end();
        }
        out
    }

    proptest! {
        /// Another reader finds the same cells, each as it was but for the guards.
        #[test]
        fn another_reader_finds_the_same_cells(
            rows in proptest::collection::vec(proptest::collection::vec(CELL, 3), 1..8)
        ) {
            let out = written(&rows);
            let mut reader = csv::Reader::from_reader(out.as_slice());
            let read: Vec<Vec<String>> = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            let shown = |cell: &String| {
                let mut shown = String::new();
                for character in cell.chars().filter(|character| *character != '\'') {
                    match character {
                        '\t' | '\r' | '\n' => shown.push(character),
                        control if control.is_control() => shown.push_str(&format!("\\u{:04X}", u32::from(control))),
                        other => shown.push(other),
                    }
                }
                shown
            };
            let unguarded = |cell: &String| cell.replace('\'', "");
            let expected: Vec<Vec<String>> = rows.iter().map(|cells| cells.iter().map(shown).collect()).collect();
            let read: Vec<Vec<String>> = read.iter().map(|cells| cells.iter().map(unguarded).collect()).collect();
            prop_assert_eq!(read, expected);
        }

        /// Wherever a program splits, no cell that it finds begins as a formula does, even where the program trims it.
        #[test]
        fn no_program_finds_a_formula(rows in proptest::collection::vec(proptest::collection::vec(CELL, 3), 1..8)) {
            let out = written(&rows);
            for (delimiter, quoting) in [(b',', true), (b';', true), (b'\t', true), (b'|', true), (b';', false), (b'\t', false), (b'|', false)] {
                let mut reader = csv::ReaderBuilder::new();
                let mut reader = reader.has_headers(false).flexible(true).delimiter(delimiter).quoting(quoting).from_reader(out.as_slice());
                for row in reader.records() {
                    for cell in &row.unwrap() {
                        let trimmed = cell.trim_matches(|first: char| " \t\r\n\u{a0}\u{3000}\u{200b}\u{feff}\u{e0001}\u{202e}".contains(first));
                        let is_formula = trimmed.starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{fe63}']);
                        prop_assert!(!is_formula, "{:?} {quoting}: {cell:?} of {rows:?}", char::from(delimiter));
                    }
                }
            }
        }
    }
}
