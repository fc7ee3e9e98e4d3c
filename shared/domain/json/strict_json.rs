//! Strict JSON parsing: I-JSON (RFC 7493), with a JSON Pointer (RFC 6901) for each error.
//!
//! Two systems could read a duplicate key, or a number that loses digits, as different facts. Both
//! are rejected here, before any other code reads the value.

use std::{cell::RefCell, fmt};

use schemars::JsonSchema;
use serde::{
    Serialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::json::wrong_value::{not_json, wrong_type};

/// An error in one field, with a sentence that says how to correct it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) to the value, such as `/actor/email`; empty for the whole object.
    pub pointer: String,
    /// What is wrong and how to correct it.
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// Deepest nesting of arrays and objects, including the outermost one.
pub const MAX_DEPTH: usize = 32;

/// RFC 7493, section 2.2: the largest integer that every parser reads exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Appends one escaped step to a JSON Pointer.
pub fn pointer_to(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Most errors reported for one value. It bounds the memory that a hostile sender can make us use.
pub const MAX_FAULTS: usize = 20;
/// Longest pointer, in bytes. A place with a longer one is reported by the value around it.
const MAX_POINTER: usize = 512;

/// Parses one JSON value strictly. Returns the value where the text is JSON at all, and the errors:
/// duplicate keys, numbers beyond ±(2^53 - 1), NULs and nesting that is too deep, at most
/// [`MAX_FAULTS`]. If the text is not JSON or contains a lone surrogate, the only error is its
/// position.
pub fn read(json: &str) -> (Option<Value>, Vec<FieldError>) {
    let faults = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let seed = Strict { faults: &faults, pointer: String::new(), depth: 0 };
    let read =
        seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    let mut faults = faults.into_inner();
    match read {
        Ok(value) => (Some(value), faults),
        Err(error) => {
            let detail = if error.to_string().contains("surrogate")
                || error.to_string().contains("hex escape")
            {
                format!(
                    "a \\u escape is only half of a character (a lone surrogate); send the whole character: {error}"
                )
            } else {
                not_json(json, &error)
            };
            faults.push(FieldError::new("", detail));
            (None, faults)
        }
    }
}

/// Parses one JSON object strictly. Returns its members, and the errors as [`read`]; no members where
/// the text is anything else.
pub fn read_members(json: &str) -> (Option<Map<String, Value>>, Vec<FieldError>) {
    match read(json) {
        (Some(Value::Object(members)), faults) => (Some(members), faults),
        (Some(other), _) => (None, vec![FieldError::new("", wrong_type(&other, "a JSON object"))]),
        (None, faults) => (None, faults),
    }
}

struct Strict<'f> {
    faults: &'f RefCell<Vec<FieldError>>,
    pointer: String,
    depth: usize,
}

impl Strict<'_> {
    fn fault(&self, pointer: &str, detail: &str) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MAX_FAULTS {
            faults.push(FieldError::new(pointer, detail));
        }
    }

    fn inside(&self, key: &str) -> Self {
        let pointer = if self.pointer.len() + key.len() < MAX_POINTER {
            pointer_to(&self.pointer, key)
        } else {
            self.pointer.clone()
        };
        Self { faults: self.faults, pointer, depth: self.depth + 1 }
    }

    /// Whether a container may open at this depth. If not, the error is recorded and the caller
    /// skips the container's content.
    fn may_open(&self) -> bool {
        let fits = self.depth < MAX_DEPTH;
        if !fits {
            self.fault(
                &self.pointer,
                "is nested too deep: the maximum is 32 levels of objects and arrays",
            );
        }
        fits
    }

    fn number(&self, safe: bool, number: Number) -> Value {
        if !safe {
            self.fault(
                &self.pointer,
                "is not between ±(2^53 - 1), and many JSON readers would round it; send it as a string",
            );
        }
        Value::Number(number)
    }

    fn check_nul(&self, pointer: &str, text: &str) {
        if text.contains('\0') {
            self.fault(pointer, "contains a NUL character (\\u0000); remove it");
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.number(value <= MAX_SAFE, value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.number(value.unsigned_abs() <= MAX_SAFE, value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(self.number(value.abs() <= MAX_SAFE as f64, number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        self.check_nul(&self.pointer, &value);
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        if self.may_open() {
            while let Some(value) = seq.next_element_seed(self.inside(&values.len().to_string()))? {
                values.push(value);
            }
        } else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        if !self.may_open() {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Object(values));
        }
        while let Some(key) = map.next_key::<String>()? {
            let inside = self.inside(&key);
            inside.check_nul(&inside.pointer, &key);
            if values.contains_key(&key) {
                self.fault(&inside.pointer, "is given twice; send it once");
            }
            let value = map.next_value_seed(inside)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn faults(json: &str) -> Vec<(String, String)> {
        read(json).1.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
    }

    fn check(json: &str, pointer: &str, part: &str) {
        let faults = faults(json);
        assert!(
            faults.iter().any(|(at, detail)| at == pointer && detail.contains(part)),
            "{json}: {faults:?}"
        );
    }

    #[test]
    fn faults_are_named_by_pointer() {
        check(r#"{"a": 1, "a": 2}"#, "/a", "twice");
        check(r#"{"a": {"b": 1, "\u0062": 1}}"#, "/a/b", "twice");
        check(r#"{"a/b~c": 9007199254740992}"#, "/a~1b~0c", "2^53");
        check(r#"{"a": [0, -9007199254740993]}"#, "/a/1", "2^53");
        check(r#"{"a": 100000000000000000000}"#, "/a", "2^53");
        check(r#"{"a": "x\u0000y"}"#, "/a", "NUL");
        check(r#"{"a\u0000": 1}"#, "/a\0", "NUL");
        check(r#"{"a": "\ud83d"}"#, "", "surrogate");
        check(r#"{"a": "\udc00x"}"#, "", "surrogate");
        check(r#"{"\ud83d": 1}"#, "", "surrogate");
        check(r#"{"a": "#, "", "is not JSON");
        check(r#"{"a": 1} x"#, "", "is not JSON");
        check(r#"{"a": 1e999}"#, "", "is not JSON");
        check("{'a': 1}", "", "is not JSON");
        check("NaN", "", "is not JSON");
    }

    #[test]
    fn all_faults_come_at_once() {
        assert_eq!(faults(r#"{"a": 1, "a": 9007199254740993, "b": ["\u0000"]}"#).len(), 3);
    }

    #[test]
    fn faults_stay_few_and_short_however_many_there_are() {
        let json = format!("{{\"{}\": [{}0]}}", "x".repeat(20_000), "1e20, ".repeat(5_000));
        let faults = faults(&json);
        assert_eq!(faults.len(), MAX_FAULTS);
        assert!(faults.iter().all(|(pointer, _)| pointer.len() <= MAX_POINTER));
    }

    #[test]
    fn thirty_two_levels_are_read_and_thirty_three_are_not() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(faults(&nested(32)), []);
        check(&nested(33), &"/0".repeat(32), "too deep");
        // Extreme nesting is an ordinary error and does not overflow the stack.
        assert!(!faults(&nested(100_000)).is_empty());
    }

    #[test]
    fn the_largest_safe_integers_are_read() {
        assert_eq!(faults("[9007199254740991, -9007199254740991, 0.1, -0.0, 1e3]"), []);
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_back(
            text in "[^\\x00]*", number in -(1i64 << 53) + 1..1i64 << 53, list in proptest::collection::vec(any::<bool>(), 0..4)
        ) {
            let value = serde_json::json!({ "text": text, "n": number, "list": list, "null": null });
            prop_assert_eq!(read(&value.to_string()), (Some(value), vec![]));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = read(&text);
        }
    }
}
