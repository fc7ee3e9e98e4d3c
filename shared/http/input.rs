//! What a handler takes from a request: an id in the path, query parameters, a body.

use std::{fmt, marker::PhantomData, ops::Deref};

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor, value};
use serde_json::json;
use shared_domain::json::{object_reader::NAME_BYTES, strict_json::FieldError};

use crate::{
    description::Operation,
    parameter_reader::{ParameterReader, Parameters},
    problem::Problem,
    request::{self, IdempotencyKey, MAX_JSON_BYTES, MAX_LIST_BYTES, Request},
};

/// A part of a request. What no part of a handler's input reads is refused, so that nothing that is
/// sent is ignored.
pub trait Input: Sized {
    /// # Errors
    /// 400, 413, 415 or 422 for what is wrong with the request.
    fn read(request: &Request) -> Result<Self, Problem>;

    fn describe(operation: &mut Operation<'_>);
}

/// No parameters.
impl Input for () {
    fn read(request: &Request) -> Result<Self, Problem> {
        Parameters::refuse_all(request)
    }

    fn describe(_: &mut Operation<'_>) {}
}

/// Any query parameters, none of which the handler reads: for files, whose addresses others make. An
/// issuer of tokens returns to the page with parameters of its own.
#[derive(Clone, Copy, Debug)]
pub struct AnyQuery;

impl Input for AnyQuery {
    fn read(_: &Request) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn describe(_: &mut Operation<'_>) {}
}

/// The parameter `id` in the path. The handler says what a wrong one means: a wrong request, or an
/// id that no document has.
#[derive(Clone, Debug)]
pub struct Id(String);

impl Id {
    /// # Errors
    /// 400 if it is longer than 256 bytes or has control characters.
    pub fn checked(&self) -> Result<&str, Problem> {
        let Self(id) = self;
        if Self::is_valid(id) {
            return Ok(id);
        }
        Err(Problem::bad_request(format!("the id in the address (percent-coded) {}", Self::RULE)))
    }

    /// What a valid id is.
    pub const RULE: &str =
        "must be 1 to 256 bytes of UTF-8 without control characters or spaces around it";

    pub fn is_valid(id: &str) -> bool {
        let is_bounded = (1..=NAME_BYTES).contains(&id.len());
        is_bounded && !id.chars().any(char::is_control) && id.trim() == id
    }

    /// The id of something that is stored.
    ///
    /// # Errors
    /// `missing` if nothing can have this id.
    pub fn or(&self, missing: impl FnOnce() -> Problem) -> Result<&str, Problem> {
        self.checked().map_err(|_| missing())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Input for Id {
    fn read(request: &Request) -> Result<Self, Problem> {
        <()>::read(request).and_then(|()| Part::read(request))
    }

    fn describe(operation: &mut Operation<'_>) {
        <Self as Part>::describe(operation);
    }
}

/// A part beside the query and the body: of the path, or a header.
pub trait Part: Sized {
    /// # Errors
    /// 400 for what is wrong with it.
    fn read(request: &Request) -> Result<Self, Problem>;

    fn describe(operation: &mut Operation<'_>);
}

impl Part for Id {
    fn read(request: &Request) -> Result<Self, Problem> {
        Ok(Self(request.path_id().to_owned()))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_parameter(
            "id",
            "The id, percent-encoded.",
            &json!({"type": "string", "minLength": 1, "maxLength": NAME_BYTES}),
        );
    }
}

impl<P: Part, I: Input> Input for (P, I) {
    fn read(request: &Request) -> Result<Self, Problem> {
        Ok((P::read(request)?, I::read(request)?))
    }

    fn describe(operation: &mut Operation<'_>) {
        P::describe(operation);
        I::describe(operation);
    }
}

/// The query parameters of a route: the fields of `T`, each given at most once.
#[derive(Debug)]
pub struct Query<T> {
    /// Without those that are wrong.
    values: T,
    parameters: Parameters,
}

/// The parameters as they were sent, which a cursor is bound to.
impl<T> Deref for Query<T> {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.parameters
    }
}

impl<T> Query<T> {
    /// Reads the parameters. `read` gets the values that are right, and a reader for parameters
    /// whose meaning depends on the tenant or on each other.
    ///
    /// # Errors
    /// 400 with all errors found, also those of the values.
    pub fn check<R>(
        &self,
        read: impl FnOnce(&T, &mut ParameterReader<'_>) -> Option<R>,
    ) -> Result<R, Problem> {
        self.parameters.check(|parameters| read(&self.values, parameters))
    }

    /// Adds a parameter from the path.
    pub fn set(&mut self, name: &str, value: &str) {
        self.parameters.set(name, value);
    }
}

impl<T: DeserializeOwned + JsonSchema> Input for Query<T> {
    /// Errors of parameters are returned by [`Query::check`], with those that the handler finds.
    fn read(request: &Request) -> Result<Self, Problem> {
        let mut parameters = Parameters::from_query(request);
        let values = typed(&mut parameters)?;
        Ok(Self { values, parameters })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.query_parameters::<T>();
    }
}

/// Deserializes a struct whose fields are query parameters that may all be absent. A wrong value
/// counts as absent. It is an error of the parameters, and so is each parameter that is no field.
fn typed<T: DeserializeOwned>(parameters: &mut Parameters) -> Result<T, Problem> {
    let mut wrong: Vec<String> = Vec::new();
    loop {
        let mut pairs = Pairs { parameters, wrong: &wrong, fields: &[], failed: None };
        let read = T::deserialize(&mut pairs);
        let Pairs { fields, failed, .. } = pairs;
        match (read, failed) {
            (Ok(values), _) => {
                parameters.refuse_others(fields);
                return Ok(values);
            }
            (Err(_), Some((name, detail))) => {
                parameters.fault(&name, &detail);
                wrong.push(name);
            }
            (Err(error), None) => return Err(Problem::internal(&error)),
        }
    }
}

/// Deserializes a struct whose fields are query parameters.
struct Pairs<'p> {
    parameters: &'p Parameters,
    /// The names of parameters that are left out, because their values are wrong.
    wrong: &'p [String],
    /// The names of the struct's fields.
    fields: &'static [&'static str],
    /// The parameter whose value is wrong, and why.
    failed: Option<(String, String)>,
}

type PairError = value::Error;

fn error(text: impl fmt::Display) -> PairError {
    serde::de::Error::custom(text)
}

impl<'de> Deserializer<'de> for &mut Pairs<'_> {
    type Error = PairError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, PairError> {
        Err(error("query parameters are read as a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PairError> {
        let Pairs { parameters, wrong, .. } = *self;
        self.fields = fields;
        let pairs = parameters
            .all()
            .filter(|(name, _)| fields.contains(name) && !wrong.iter().any(|it| it == name));
        visitor.visit_map(Named { pairs, current: None, failed: &mut self.failed })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Named<'f, 'p, I: Iterator<Item = (&'p str, &'p str)>> {
    pairs: I,
    current: Option<(&'p str, &'p str)>,
    failed: &'f mut Option<(String, String)>,
}

impl<'de, 'p, I: Iterator<Item = (&'p str, &'p str)>> MapAccess<'de> for Named<'_, 'p, I> {
    type Error = PairError;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, PairError> {
        self.current = self.pairs.next();
        let key = self.current.map(|(name, _)| value::StrDeserializer::new(name));
        key.map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<S: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, PairError> {
        let (name, text) = self.current.take().unwrap_or_default();
        seed.deserialize(Text(text)).inspect_err(|detail| {
            *self.failed = Some((name.to_owned(), detail.to_string()));
        })
    }
}

/// Deserializes one value of a query parameter.
struct Text<'p>(&'p str);

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = PairError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PairError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PairError> {
        match self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            text => Err(error(format!("{text:?} must be true or false"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PairError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PairError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PairError> {
        if !variants.contains(&self.0) {
            return Err(error(format!("{:?} must be one of {}", self.0, variants.join(", "))));
        }
        visitor.visit_enum(value::StrDeserializer::new(self.0))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A JSON body with the members of `T` and of at most `MOST` bytes, and no query parameters. The
/// handler reads it, because what is valid may depend on the tenant.
#[derive(Debug)]
pub struct Body<T, const MOST: usize = MAX_JSON_BYTES> {
    json: String,
    body: PhantomData<fn() -> T>,
}

/// A JSON body with many documents.
pub type ListBody<T> = Body<T, MAX_LIST_BYTES>;

impl<T, const MOST: usize> Body<T, MOST> {
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Reads the body; `refused` is the detail of the problem.
    ///
    /// # Errors
    /// 422 with all errors that `read` found.
    pub fn read_with<R>(
        &self,
        refused: &str,
        read: impl FnOnce(&str) -> Result<R, Vec<FieldError>>,
    ) -> Result<R, Problem> {
        read(&self.json).map_err(|errors| Problem::invalid(refused, errors))
    }
}

impl<T: JsonSchema, const MOST: usize> Input for Body<T, MOST> {
    fn read(request: &Request) -> Result<Self, Problem> {
        Parameters::refuse_all(request)?;
        Ok(Self { json: request::json_body(request, MOST)?, body: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body::<T>();
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct OptionalBody<T>(Option<Body<T>>);

impl<T> OptionalBody<T> {
    pub fn json(&self) -> Option<&str> {
        self.0.as_ref().map(Body::json)
    }
}

impl<T: JsonSchema> Input for OptionalBody<T> {
    fn read(request: &Request) -> Result<Self, Problem> {
        if request::body(request)?.is_empty() {
            return <()>::read(request).map(|()| Self(None));
        }
        Body::read(request).map(Some).map(Self)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body_as::<T>("application/json", false);
    }
}

/// No body, or an empty one. Nothing that is sent may be ignored.
#[derive(Clone, Copy, Debug)]
pub struct EmptyBody;

impl Input for EmptyBody {
    fn read(request: &Request) -> Result<Self, Problem> {
        <()>::read(request)?;
        match String::from_utf8_lossy(request::body(request)?).trim() {
            "" | "{}" | "null" => Ok(Self),
            _ => Err(Problem::bad_request("this call takes no body; send none")),
        }
    }

    fn describe(_: &mut Operation<'_>) {}
}

impl Part for Option<IdempotencyKey> {
    fn read(request: &Request) -> Result<Self, Problem> {
        IdempotencyKey::read(request)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.header_parameter(
            "Idempotency-Key",
            "A text of the caller's choice. The same request with the same key has no further effect; another one is refused (409).",
            &json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-+\\--~]+$"}),
        );
    }
}
