//! The schemas of request bodies: a function for each function of the object reader, with the same
//! limits. A body is one object with all its members, so that people can read it and programs can
//! generate types from it. Which members go together, and what depends on other data (names of zones,
//! filters, the time), is in the descriptions: a valid body may still be refused.

use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use strum::VariantNames;

use crate::json::object_reader::NAME_BYTES;

/// A text that is not blank.
const VISIBLE: &str = r"\S";

/// The characters of an ISO 8601 duration.
const DURATION: &str = "^P[0-9YyMmWwDdTtHhSs.,]+$";

/// A text with visible characters, of at most `longest` bytes.
pub fn text(longest: usize) -> Schema {
    matching(VISIBLE, longest)
}

/// A text that matches a pattern, of at most `longest` bytes. A schema counts characters, so a limit
/// in bytes is a sentence of the description as well.
pub fn matching(pattern: &str, longest: usize) -> Schema {
    let mut schema = json_schema!({"type": "string", "minLength": 1, "pattern": pattern});
    if longest < usize::MAX {
        schema.insert("maxLength".to_owned(), longest.into());
        schema
            .insert("description".to_owned(), format!("At most {longest} bytes of UTF-8.").into());
    }
    schema
}

/// An id of ASCII letters, digits, `_` and `-`.
pub fn id(longest: usize) -> Schema {
    json_schema!({"type": "string", "pattern": format!("^[A-Za-z0-9_-]{{1,{longest}}}$")})
}

/// A list whose length is in the range.
pub fn list(items: Schema, range: RangeInclusive<usize>) -> Schema {
    json_schema!({
        "type": "array",
        "items": items,
        "minItems": range.start(),
        "maxItems": range.end(),
    })
}

/// A list of names.
pub fn texts(range: RangeInclusive<usize>) -> Schema {
    list(text(NAME_BYTES), range)
}

/// One of the words of the enum.
pub fn word<T: VariantNames>() -> Schema {
    words(T::VARIANTS)
}

/// One of the words.
pub fn words(words: &[&str]) -> Schema {
    json_schema!({"type": "string", "enum": words})
}

/// A whole number in the range.
pub fn whole(range: RangeInclusive<u32>) -> Schema {
    json_schema!({"type": "integer", "minimum": range.start(), "maximum": range.end()})
}

/// True or false.
pub fn flag() -> Schema {
    json_schema!({"type": "boolean"})
}

/// A time in RFC 3339.
pub fn instant() -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// A time as people write it: with an offset, without one, or as a date.
pub fn typed_time() -> Schema {
    json_schema!({
        "type": "string",
        "description": "RFC 3339 with an offset (`2026-11-01T09:30:00Z`), a date and time in the request's time zone (`2026-11-01T09:30`), or a date (`2026-11-01`).",
    })
}

/// The name of a time zone.
pub fn time_zone() -> Schema {
    json_schema!({
        "type": "string",
        "pattern": "^[A-Za-z][A-Za-z0-9_+/-]*$",
        "description": "The name of an IANA time zone, such as `Europe/Paris`.",
    })
}

/// An ISO 8601 duration of days, hours, minutes and seconds.
pub fn length() -> Schema {
    json_schema!({
        "type": "string",
        "pattern": DURATION,
        "maxLength": NAME_BYTES,
        "description": "An ISO 8601 duration of days, hours, minutes and seconds, longer than zero: `PT4H`, `P30D`.",
    })
}

/// A schema that is one of these.
pub fn either(description: &str, alternatives: impl IntoIterator<Item = Schema>) -> Schema {
    let alternatives: Vec<Value> = alternatives.into_iter().map(Schema::to_value).collect();
    json_schema!({"description": description, "oneOf": alternatives})
}

/// A schema under a name of its own, for one of several alternatives: generated types are named after
/// it.
pub fn named(name: &str, schema: Schema, generator: &mut SchemaGenerator) -> Schema {
    generator.definitions_mut().insert(name.to_owned(), schema.to_value());
    Schema::new_ref(format!("#{}/{name}", generator.settings().definitions_path))
}

/// Adds a sentence before the description of a schema.
pub fn about(description: &str, mut schema: Schema) -> Schema {
    let whole = match schema.get("description").and_then(Value::as_str) {
        Some(own) => format!("{description} {own}"),
        None => description.to_owned(),
    };
    schema.insert("description".to_owned(), whole.into());
    schema
}

/// The schema of one JSON object. Other members than those that are named are refused.
#[derive(Clone, Debug)]
pub struct Object {
    schema: Map<String, Value>,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    /// The members of the type whose descriptions are used.
    like: Map<String, Value>,
}

impl Object {
    /// An object without members.
    pub fn new(description: &str) -> Self {
        Self {
            schema: [("description".to_owned(), description.into())].into_iter().collect(),
            properties: Map::new(),
            required: Vec::new(),
            like: Map::new(),
        }
    }

    /// An object whose members are described as those of the same names in `T`.
    pub fn like<T: JsonSchema>(description: &str) -> Self {
        let mut schema = T::json_schema(&mut SchemaGenerator::default());
        let like = match schema.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        Self { like, ..Self::new(description) }
    }

    /// Adds a member that may be absent.
    pub fn optional(mut self, key: &'static str, schema: Schema) -> Self {
        let described = self.like.get(key).and_then(|like| like["description"].as_str());
        let schema = match described {
            Some(described) => about(described, schema),
            None => schema,
        };
        self.properties.insert(key.to_owned(), schema.to_value());
        self
    }

    /// Adds a member that must be present.
    pub fn required(mut self, key: &'static str, schema: Schema) -> Self {
        self.required.push(key);
        self.optional(key, schema)
    }

    /// Adds an example. A schema inside a body has none: tests would send it with other members that they make up.
    pub fn example(mut self, example: Value) -> Self {
        match self.schema.get_mut("examples") {
            Some(Value::Array(examples)) => examples.push(example),
            _ => drop(self.schema.insert("examples".to_owned(), json!([example]))),
        }
        self
    }

    pub fn schema(self) -> Schema {
        let Self { mut schema, properties, required, .. } = self;
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        schema.into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
