//! Query parameters that several routes have.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;

/// The most items of a page.
pub const MOST_OF_A_PAGE: usize = 1000;

/// How many items a page has at most: 1 to 1000.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub usize);

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl Limit {
    /// # Errors
    /// What it must be.
    pub fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(limit @ 1..=MOST_OF_A_PAGE)
                if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') =>
            {
                Ok(Self(limit))
            }
            _ => Err(format!("{text:?} must be a whole number from 1 to {MOST_OF_A_PAGE}")),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_OF_A_PAGE,
            "default": Self::default().0,
            "description": "The most items of a page. A page may have fewer: only `next` says whether there are more.",
        })
    }
}

/// `next` of the page before. Every other parameter but `limit` must be the same as on that page.
#[derive(Clone, Debug, Deserialize)]
pub struct Cursor(pub String);

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "`next` of the page before. Repeat every other parameter of that page; `limit` may differ.",
        })
    }
}

/// The name of a time zone.
#[derive(Clone, Debug, Deserialize)]
pub struct ZoneName(pub String);

impl JsonSchema for ZoneName {
    fn schema_name() -> Cow<'static, str> {
        "ZoneName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The time zone of dates and of times without an offset, as in the IANA database: `Europe/Paris`. The tenant's zone, if it is left out.",
            "examples": ["Europe/Paris"],
        })
    }
}

/// The parameters of a list without filters.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PageQuery {
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}
