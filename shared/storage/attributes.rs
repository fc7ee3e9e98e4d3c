//! Attribute values: how they are made, and how they are taken out of an item.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{dynamodb_json::Key, event_item::Item};

/// A text.
pub fn text(text: impl ToString) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

/// A number.
pub fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The key of an item.
pub fn key(pk: &str, sk: &str) -> Key {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

impl Item {
    /// The text of an attribute.
    pub fn text(&self, name: &str) -> Option<&str> {
        Some(self.get(name)?.as_s().ok()?)
    }

    /// The text of an attribute, taken out.
    pub fn take_text(&mut self, name: &str) -> Option<String> {
        match self.remove(name) {
            Some(AttributeValue::S(text)) => Some(text),
            _ => None,
        }
    }

    /// What the text of an attribute says.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// The number of an attribute.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.as_n().ok()?.parse().ok()
    }
}
