//! Sentences about JSON values of the wrong type, and about texts that are no JSON.

use serde_json::{Value, error::Category};

/// The most characters of what was sent that an error repeats.
pub const LONGEST_SHOWN: usize = 100;

/// What a value that is not `wanted` should be, and what it is.
pub fn wrong_type(value: &Value, wanted: &str) -> String {
    let given = match value {
        Value::Null => return "is null; leave it out when there is none".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        // Never its text: a secret may stand in the wrong place.
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    format!("must be {wanted}, not {given}")
}

/// Why `text` is no JSON, and where.
pub fn not_json(text: &str, error: &serde_json::Error) -> String {
    if error.classify() == Category::Eof {
        return match text.trim().is_empty() {
            true => "is not JSON: it is empty".to_owned(),
            false => "is not JSON: it ends too early; a closing quote, bracket or value is missing"
                .to_owned(),
        };
    }
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    // The parser counts bytes, and has read the beginning of a word that it does not know.
    let (start, found) = word_at(line, line.floor_char_boundary(error.column().saturating_sub(1)));
    let character = line[..start].chars().count() + 1;
    let place = match text.trim_end().contains('\n') {
        true => format!("line {}, character {character}", error.line()),
        false => format!("character {character}"),
    };
    let said = error.to_string();
    let words = WORDS.iter().find(|(code, _)| said.starts_with(code)).map(|(_, words)| *words);
    let words = words.unwrap_or_else(|| said.split(" at line ").next().unwrap_or_default());
    match found {
        "" => format!("is not JSON at {place}: {words}"),
        found => format!("is not JSON at {place}, {found:?}: {words}"),
    }
}

/// The errors of the parser, and the same in plain words.
const WORDS: [(&str, &str); 13] = [
    ("expected ident", VALUE),
    ("expected value", VALUE),
    ("expected `:`", "a : is missing between a name and its value"),
    ("expected `,` or `}`", "a comma or the closing } is missing"),
    ("expected `,` or `]`", "a comma or the closing ] is missing"),
    ("key must be a string", "the name of a member must stand in double quotes"),
    ("trailing comma", "a comma stands before a closing bracket; leave it out"),
    ("trailing characters", "more follows after the end of the value; send one value alone"),
    ("invalid number", "the number is malformed"),
    (
        "recursion limit exceeded",
        "it is nested too deep: 32 levels of objects and arrays are the most",
    ),
    ("number out of range", "the number is too large"),
    (
        "control character",
        "a string holds a line break or another control character; write it as an escape, such as \\n",
    ),
    (
        "invalid escape",
        "the character after a backslash is no escape; write a backslash itself as \\\\",
    ),
];

const VALUE: &str = "no JSON value; a string stands in double quotes, and anything else is a number, true, false, null, an object or a list";

/// The word around a place in a line, or the punctuation there, and where it starts.
fn word_at(line: &str, at: usize) -> (usize, &str) {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let before = line[..at].char_indices().rev().take_while(|(_, char)| is_part(*char));
    let start = before.last().map_or(at, |(place, _)| place);
    let rest = &line[start..];
    let word = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
    let sign = rest.chars().next().map_or(0, char::len_utf8);
    (start, &rest[..rest.floor_char_boundary(word.max(sign).min(LONGEST_SHOWN))])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str, said: &str) {
        let error = serde_json::from_str::<Value>(text).unwrap_err();
        let found = not_json(text, &error);
        assert!(found.starts_with("is not JSON") && found.contains(said), "{text}: {found}");
    }

    #[test]
    fn a_text_that_is_no_json_is_described_in_plain_words() {
        check(
            "not json",
            "at character 1, \"not\": no JSON value; a string stands in double quotes",
        );
        check("{\"a\": Truth}", "at character 7, \"Truth\": no JSON value");
        check(
            "{'a': 1}",
            "at character 2, \"'\": the name of a member must stand in double quotes",
        );
        check("{\"é\" 1}", "at character 6, \"1\": a : is missing");
        check("{\"a\": 1 \"b\": 2}", "a comma or the closing } is missing");
        check("[1 2]", "at character 4, \"2\": a comma or the closing ] is missing");
        check("{\"a\": 1,}", "leave it out");
        check("{} {}", "at character 4, \"{\": more follows");
        check("{\"a\": 01}", "the number is malformed");
        check("{\"a\": \"x\ty\"}", "control character");
        check("{\"a\": \"\\x\"}", "is no escape");
        check("{\n  \"a\": 1,\n  b\n}", "at line 3, character 3, \"b\"");
        check("{\"a\": ", "ends too early");
        check("  ", "it is empty");
        check(&"[".repeat(200), "nested too deep");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        for (value, said) in [
            (json!(1_763_771_167), "must be a string, not the number 1763771167"),
            (json!(true), "must be a string, not true"),
            (json!([1]), "must be a string, not a list"),
            (json!({}), "must be a string, not an object"),
            (json!(null), "is null; leave it out when there is none"),
        ] {
            assert_eq!(wrong_type(&value, "a string"), said);
        }
        assert_eq!(wrong_type(&json!("secret"), "a list"), "must be a list, not a string");
    }
}
