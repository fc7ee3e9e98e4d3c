//! Filters in SCIM's language (RFC 7644, section 3.4.2.2) over events as in API responses, and free
//! text. Listings, searches, the feed, exports, alerts and streams use the same parser and
//! evaluator.

mod parser;

use memchr::memmem;

use crate::{
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::{
        event::Recorded,
        fields::{Field, FieldValue, write_searchable},
    },
};

/// Longest filter, in bytes.
pub const MAX_BYTES: usize = 4096;
/// Deepest nesting of parentheses and `not`.
pub const MAX_DEPTH: usize = 16;
/// Maximum number of comparisons in a filter.
pub const MAX_TERMS: usize = 50;

/// The condition for events.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these conditions hold.
    And(Vec<Filter>),
    /// At least one of these conditions holds.
    Or(Vec<Filter>),
    /// This condition does not hold.
    Not(Box<Filter>),
    /// The field is present.
    Present(Field),
    /// The comparison of the field with the operand holds.
    Compare(Field, Operator, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Eq,
    /// Not equal; true for an absent attribute.
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A case-folded text.
    Text(String),
    Time(Instant),
    Number(i64),
    Flag(bool),
}

/// A syntax error in a filter: its position, and how to correct it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {detail}")]
pub struct FilterError {
    /// The position of the error in characters, counted from 1.
    pub position: usize,
    pub detail: String,
}

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// The first syntax error.
    pub fn read(text: &str) -> Result<Self, FilterError> {
        parser::read(text)
    }

    /// Whether `event` matches. Strings are compared without regard to case, times as instants. A
    /// list matches if one of its members does. For an absent attribute every comparison except
    /// `ne` is false.
    pub fn matches(&self, event: &Recorded) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.matches(event)),
            Self::Or(any) => any.iter().any(|filter| filter.matches(event)),
            Self::Not(filter) => !filter.matches(event),
            Self::Present(attribute) => attribute.find(event) != FieldValue::Absent,
            Self::Compare(attribute, operator, operand) => match attribute.find(event) {
                FieldValue::Absent => *operator == Operator::Ne,
                FieldValue::Text(text) => compare_text(&text, *operator, operand),
                FieldValue::Texts(texts) => {
                    texts.iter().any(|text| compare_text(text, *operator, operand))
                }
                FieldValue::Time(time) => {
                    matches!(operand, Operand::Time(operand) if compare(&time, *operator, operand))
                }
                FieldValue::Number(number) => {
                    matches!(operand, Operand::Number(operand) if compare(&number, *operator, operand))
                }
                FieldValue::Flag(flag) => {
                    matches!(operand, Operand::Flag(operand) if compare(&flag, *operator, operand))
                }
                FieldValue::Object => false,
            },
        }
    }
}

fn compare_text(text: &str, operator: Operator, operand: &Operand) -> bool {
    let Operand::Text(operand) = operand else { return false };
    let text = fold(text);
    match operator {
        Operator::Co => text.contains(operand.as_str()),
        Operator::Sw => text.starts_with(operand.as_str()),
        Operator::Ew => text.ends_with(operand.as_str()),
        Operator::Eq | Operator::Ne | Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => {
            compare(&text, operator, operand)
        }
    }
}

/// Compares ordered values. The parser rejects `co`, `sw` and `ew` for values without characters.
fn compare<T: Ord>(value: &T, operator: Operator, operand: &T) -> bool {
    match operator {
        Operator::Eq => value == operand,
        Operator::Ne => value != operand,
        Operator::Gt => value > operand,
        Operator::Ge => value >= operand,
        Operator::Lt => value < operand,
        Operator::Le => value <= operand,
        Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}

/// Free text: words that all have to occur in the visible data of an event.
#[derive(Clone, Debug)]
pub struct FreeText(Vec<memmem::Finder<'static>>);

impl FreeText {
    /// Splits the words at white space.
    ///
    /// # Errors
    /// A sentence: there is no word, or there are too many.
    pub fn read(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text
            .split_whitespace()
            .map(|word| memmem::Finder::new(fold(word).as_bytes()).into_owned())
            .collect();
        match words.len() {
            0 => Err("contains no word to search for; omit it to get all events".to_owned()),
            _ if text.len() > MAX_BYTES => {
                Err(format!("has {} bytes; the maximum is {MAX_BYTES}", text.len()))
            }
            count if count > MAX_TERMS => {
                Err(format!("has {count} words; the maximum is {MAX_TERMS}"))
            }
            _ => Ok(Self(words)),
        }
    }

    /// Whether every word occurs in what a person sees of `event`: in the text of any column, or in
    /// a text or number of its details. [`write_searchable`] lists it.
    pub fn matches(&self, event: &Recorded) -> bool {
        let mut text = String::with_capacity(1024);
        write_searchable(event, &mut text);
        self.are_within(text)
    }

    /// Whether every word occurs in one of `texts`.
    pub fn are_in<'t>(&self, texts: impl Iterator<Item = &'t str>) -> bool {
        // A word contains no line break, so no match spans two texts.
        self.are_within(texts.collect::<Vec<_>>().join("\n"))
    }

    fn are_within(&self, mut text: String) -> bool {
        // The text of most events is ASCII, which is folded where it is: a search reads many.
        match text.is_ascii() {
            true => text.make_ascii_lowercase(),
            false => text = fold(&text),
        }
        self.0.iter().all(|word| word.find(text.as_bytes()).is_some())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::trail::{
        arbitrary::{events, instant, recorded},
        fields::FieldKind,
    };
    use proptest::prelude::*;
    use serde_json::Value;

    fn refused(text: &str, position: usize, part: &str) {
        let error = Filter::read(text).expect_err(text);
        assert!(error.position == position && error.detail.contains(part), "{text}: {error}");
    }

    #[test]
    fn errors_name_the_place_and_the_remedy() {
        refused("", 1, "expected an attribute");
        refused("actor.mail eq \"a\"", 1, "did you mean \"actor.email\"?");
        refused("actor.email = \"a\"", 13, "expected an operator");
        refused("actor.email eq alex", 16, "double quotes");
        refused("actor.email eq 'alex'", 16, "double quotes");
        refused("actor.email eq \"a\" target.name pr", 20, "\"and\", \"or\" or the end");
        refused("(actor.email pr", 16, "a ) is missing before the end");
        refused("actor.email pr)", 15, "a ) without its (");
        refused("not actor.email pr", 5, "parentheses");
        refused("occurred_at gt \"yesterday\"", 16, "RFC 3339");
        refused("occurred_at gt 5", 16, "is a time");
        refused("occurred_at co \"2026\"", 13, "is not a text");
        refused("actor eq \"a\"", 7, "only the operator pr");
        refused("session.approvals_needed eq \"1\"", 29, "whole number");
        refused("reason eq null", 11, "not (reason pr)");
        refused("recorded_by.history eq \"true\"", 24, "is true or false");
        refused("recorded_by.history gt true", 21, "only the operators eq, ne and pr");
        refused("reason eq true", 11, "put its value in double quotes");
        refused("reason eq 5", 11, "put its value in double quotes");
        refused("details.count eq 5", 1, "free text (q)");
        refused("é eq 5", 1, "is not an attribute");
        refused("reason eq \"é\" or x eq 5", 18, "is not an attribute");
        refused("roles[value eq \"a\"]", 6, "brackets are not supported");
        refused(&"(".repeat(100_000), 1, "the maximum is 4096");
        refused(&format!("{}reason pr{}", "(".repeat(17), ")".repeat(17)), 17, "deeper than 16");
        refused(&vec!["id pr"; 51].join(" and "), 501, "the maximum is 50");
        Filter::read(&format!("{}reason pr{}", "(".repeat(16), ")".repeat(16))).unwrap();
        Filter::read(&vec!["id pr"; 50].join(" or ")).unwrap();
    }

    #[test]
    fn and_binds_closer_than_or_and_words_ignore_case() {
        let read = |text: &str| Filter::read(text).unwrap();
        assert_eq!(
            read("id pr or reason pr and roles pr"),
            read("id pr OR (REASON PR AND Roles pr)")
        );
        assert_ne!(
            read("id pr or reason pr and roles pr"),
            read("(id pr or reason pr) and roles pr")
        );
        assert_eq!(
            read("not(id pr)and\treason\nEQ\"STRASSE\""),
            read("not (id pr) and reason eq \"straße\"")
        );
        assert_eq!(read(r#"reason eq "\u0041\"\\""#), read(r#"reason eq "a\"\\""#));
    }

    /// A simple, slow evaluator of the same language over the JSON of a response.
    fn by_json(filter: &Filter, answer: &Value) -> bool {
        let at = |path: &str| path.split('.').try_fold(answer, |value, member| value.get(member));
        match filter {
            Filter::And(all) => all.iter().all(|filter| by_json(filter, answer)),
            Filter::Or(any) => any.iter().any(|filter| by_json(filter, answer)),
            Filter::Not(filter) => !by_json(filter, answer),
            Filter::Present(attribute) => at(attribute.path()).is_some(),
            Filter::Compare(attribute, operator, operand) => match at(attribute.path()) {
                None => *operator == Operator::Ne,
                Some(Value::Array(list)) => {
                    list.iter().any(|value| one_by_json(value, *operator, operand))
                }
                Some(value) => one_by_json(value, *operator, operand),
            },
        }
    }

    fn one_by_json(value: &Value, operator: Operator, operand: &Operand) -> bool {
        let order = match operand {
            Operand::Text(operand) => {
                let text = fold(value.as_str().unwrap());
                match operator {
                    Operator::Co => return text.contains(operand),
                    Operator::Sw => return text.starts_with(operand),
                    Operator::Ew => return text.ends_with(operand),
                    _ => text.cmp(operand),
                }
            }
            Operand::Time(operand) => {
                value.as_str().unwrap().parse::<Instant>().unwrap().cmp(operand)
            }
            Operand::Number(operand) => value.as_i64().unwrap().cmp(operand),
            Operand::Flag(operand) => value.as_bool().unwrap().cmp(operand),
        };
        match operator {
            Operator::Eq => order.is_eq(),
            Operator::Ne => order.is_ne(),
            Operator::Gt => order.is_gt(),
            Operator::Ge => order.is_ge(),
            Operator::Lt => order.is_lt(),
            Operator::Le => order.is_le(),
            Operator::Co | Operator::Sw | Operator::Ew => unreachable!(),
        }
    }

    /// A comparison as text, often with an operand from the event itself in another case.
    fn term(
        answer: &Value,
        choice: (prop::sample::Index, prop::sample::Index, String, bool),
    ) -> String {
        let (attribute, operator, word, own) = choice;
        let attribute = attribute.get(Field::ALL);
        let found = attribute.path().split('.').try_fold(answer, |value, member| value.get(member));
        let operators: &[&str] = match attribute.kind() {
            FieldKind::Object => &["pr"],
            FieldKind::Flag => &["eq", "ne", "pr"],
            FieldKind::Text | FieldKind::Texts => {
                &["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"]
            }
            FieldKind::Time | FieldKind::Number => &["eq", "ne", "gt", "ge", "lt", "le", "pr"],
        };
        let operator = operator.get(operators);
        if *operator == "pr" {
            return format!("{} pr", attribute.path());
        }
        let own = found
            .filter(|_| own)
            .map(|found| found.as_array().map_or(found, |list| &list[0]).clone());
        let operand = match (attribute.kind(), own) {
            (FieldKind::Text | FieldKind::Texts, Some(Value::String(text))) => {
                Value::String(text.to_uppercase())
            }
            (_, Some(value)) => value,
            (FieldKind::Time, None) => "2026-11-22T00:00:00+01:00".into(),
            (FieldKind::Number, None) => 3.into(),
            (FieldKind::Flag, None) => (word.len() % 2 == 0).into(),
            (_, None) => word.into(),
        };
        format!("{} {operator} {operand}", attribute.path())
    }

    fn filters(answer: Value) -> impl Strategy<Value = String> {
        let choice = (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            "[a-z]{0,2}",
            any::<bool>(),
        );
        choice.prop_map(move |choice| term(&answer, choice)).prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|all| format!("({})", all.join(") and ("))),
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|any| format!("({})", any.join(" or "))),
                inner.prop_map(|one| format!("not ({one})")),
            ]
        })
    }

    fn event_and_filter() -> impl Strategy<Value = (Recorded, String)> {
        (events(), instant(), any::<bool>()).prop_flat_map(|(event, at, is_history)| {
            let mut event = recorded(event, at);
            event.recorded_by.history = is_history;
            let answer = serde_json::to_value(&event).unwrap();
            (Just(event), filters(answer))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_filter_says_of_an_event_what_it_says_of_its_answer((event, text) in event_and_filter()) {
            let filter = Filter::read(&text).unwrap();
            prop_assert_eq!(filter.matches(&event), by_json(&filter, &serde_json::to_value(&event).unwrap()), "{}", text);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "([a-z.]{1,12}|[ ()\"\\[\\]]|and|or|not|eq|pr|\\PC){0,20}") {
            let _ = Filter::read(&text);
        }

        #[test]
        fn free_text_finds_every_word_of_an_event(event in events(), at in instant(), place in any::<prop::sample::Index>()) {
            let event = recorded(event, at);
            let mut text = String::new();
            write_searchable(&event, &mut text);
            let words: Vec<_> = text.split_whitespace().collect();
            prop_assume!(!words.is_empty());
            let word = place.get(&words).to_uppercase();
            prop_assert!(FreeText::read(&word).unwrap().matches(&event), "{}", word);
            let and_another = format!("{word} 8f14e45fceea167a5a36dedd4bea2543");
            prop_assert!(!FreeText::read(&and_another).unwrap().matches(&event));
        }
    }

    /// The paths of a response, except those inside details.
    fn paths(value: &Value, path: &str, out: &mut Vec<String>) {
        let Value::Object(members) = value else { return };
        for (key, value) in members.iter().filter(|(key, _)| *key != "details") {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            paths(value, &path, out);
            out.push(path);
        }
    }

    proptest! {
        #[test]
        fn every_path_of_an_answer_is_an_attribute(event in events(), at in instant()) {
            let mut found = Vec::new();
            paths(&serde_json::to_value(recorded(event, at)).unwrap(), "", &mut found);
            for path in found {
                prop_assert!(Field::named(&path).is_some(), "{}", path);
            }
        }
    }
}
