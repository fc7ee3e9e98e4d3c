//! Reads the parameters of a request, from its query string or from the members of a JSON body, and
//! collects all errors. An error names the parameter, or has the JSON Pointer of the member.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::{
    cursor::Binding,
    problem::{Problem, RequestError},
    request::{self, Request},
};
use shared_domain::{
    json::{
        object_reader::MAX_ERRORS,
        strict_json::{FieldError, pointer_to},
        wrong_value::{LONGEST_SHOWN, wrong_type},
    },
    trail::actions::nearest_of,
};

/// The parameters of a request as they were sent, each once.
#[derive(Debug)]
pub struct Parameters {
    sent: Vec<(String, String)>,
    source: Source,
    /// The errors that were found while the request was taken apart.
    errors: Vec<RequestError>,
}

/// Where parameters come from.
#[derive(Debug)]
enum Source {
    Query,
    /// A JSON object in the body, by its pointer.
    Body(String),
}

impl Source {
    fn error(&self, name: &str, detail: impl Into<String>) -> RequestError {
        let shown: String = name.chars().take(LONGEST_SHOWN).collect();
        match self {
            Self::Query => RequestError::of_parameter(shown, detail),
            Self::Body(parent) => FieldError::new(pointer_to(parent, &shown), detail).into(),
        }
    }
}

/// Whether the members of a JSON object must have the types of their parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// A client sends them.
    Checked,
    /// They were stored, maybe before their types were checked: a number may be a text.
    AsStored,
}

impl Parameters {
    /// Takes the query string apart.
    pub fn from_query(request: &Request) -> Self {
        // Invalid percent-encoding is decoded to the replacement character, which would search for
        // a different text.
        let is_replaced = |text: &str| text.contains('\u{fffd}');
        let mut parameters = Self { sent: Vec::new(), source: Source::Query, errors: Vec::new() };
        for (name, value) in form_urlencoded::parse(request.query.as_bytes()) {
            if is_replaced(&name) || is_replaced(&value) {
                parameters.fault(&name, "is not percent-coded UTF-8");
            } else if parameters.get(&name).is_some() {
                parameters.fault(&name, "is given twice; give it once");
            } else {
                parameters.sent.push((name.into_owned(), value.into_owned()));
            }
        }
        parameters
    }

    /// Refuses every query parameter.
    ///
    /// # Errors
    /// 400 if there is one.
    pub fn refuse_all(request: &Request) -> Result<(), Problem> {
        Self::from_query(request).check(|parameters| {
            parameters.refuse_others(&[]);
            Some(())
        })
    }

    /// Takes a JSON body apart, whose members are parameters. A member that is not in `known` is an
    /// error.
    ///
    /// # Errors
    /// 400 for a body that is no JSON object.
    pub fn from_json(json: &str, known: &[&str]) -> Result<Self, Problem> {
        let (members, faults) = request::object(json)?;
        Ok(Self::from_members(members, "", known, Types::Checked).with_errors(faults))
    }

    /// Takes the object with this pointer apart. A member that is not in `known` is an error.
    pub fn from_members(
        members: Map<String, Value>,
        pointer: &str,
        known: &[&str],
        types: Types,
    ) -> Self {
        let source = Source::Body(pointer.to_owned());
        let mut parameters = Self { sent: Vec::new(), source, errors: Vec::new() };
        for (name, value) in members {
            let wanted = Type::of(&name);
            if !known.contains(&name.as_str()) {
                parameters.refuse(&name, known);
                continue;
            }
            if types == Types::Checked && !wanted.is_of(&value) {
                parameters.fault(&name, &wrong_type(&value, wanted.words()));
                continue;
            }
            let value = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    parameters.fault(&name, &wrong_type(&value, wanted.words()));
                    continue;
                }
            };
            parameters.sent.push((name, value));
        }
        parameters
    }

    /// Adds the errors of the body's JSON.
    #[must_use]
    pub fn with_errors(mut self, faults: Vec<FieldError>) -> Self {
        let own = std::mem::take(&mut self.errors);
        let all = faults.into_iter().map(RequestError::from).chain(own);
        all.for_each(|error| add(&mut self.errors, error));
        self
    }

    /// Reports an error of a parameter. A second one of the same parameter would only repeat it.
    pub(crate) fn fault(&mut self, name: &str, detail: &str) {
        add(&mut self.errors, self.source.error(name, detail));
    }

    /// Reports every parameter that is not in `known`.
    pub(crate) fn refuse_others(&mut self, known: &[&str]) {
        let Self { sent, source, errors } = self;
        let others = sent.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        others.for_each(|(name, _)| refuse(name, source, known, errors));
    }

    fn refuse(&mut self, name: &str, known: &[&str]) {
        refuse(name, &self.source, known, &mut self.errors);
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.sent.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds a parameter from the path.
    pub fn set(&mut self, name: &str, value: &str) {
        self.sent.push((name.to_owned(), value.to_owned()));
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.all().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The parameters that identify the query, in a fixed order: all but those in `apart`.
    pub fn identity(&self, apart: &[&str]) -> Vec<(&str, &str)> {
        let mut identity: Vec<_> = self.all().filter(|(name, _)| !apart.contains(name)).collect();
        identity.sort_unstable();
        identity
    }

    /// Reads the parameters with `read`.
    ///
    /// # Errors
    /// All errors found.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&mut ParameterReader<'_>) -> Option<T>,
    ) -> Result<T, Vec<RequestError>> {
        let errors = self.errors.clone();
        let mut reader = ParameterReader { parameters: self, errors, foreign: None };
        let read = read(&mut reader);
        let errors = reader.finish();
        match read {
            Some(read) if errors.is_empty() => Ok(read),
            _ => Err(errors),
        }
    }

    /// Reads the parameters with `read`.
    ///
    /// # Errors
    /// 400 with all errors found.
    pub fn check<T>(
        &self,
        read: impl FnOnce(&mut ParameterReader<'_>) -> Option<T>,
    ) -> Result<T, Problem> {
        self.read(read).map_err(Problem::wrong_parameters)
    }
}

/// The parameters of a request, with the errors found so far.
#[derive(Debug)]
pub struct ParameterReader<'p> {
    parameters: &'p Parameters,
    errors: Vec<RequestError>,
    /// The error of a cursor that belongs to another query.
    foreign: Option<RequestError>,
}

impl ParameterReader<'_> {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)
    }

    /// As [`Parameters::identity`].
    pub fn identity(&self, apart: &[&str]) -> Vec<(&str, &str)> {
        self.parameters.identity(apart)
    }

    /// Reports an error of a parameter, unless there is one already: a second one would only repeat
    /// it.
    pub fn fault(&mut self, name: &str, detail: impl ToString) {
        add(&mut self.errors, self.parameters.source.error(name, detail.to_string()));
    }

    /// Reports an error of a member or an entry of a parameter.
    pub fn fault_in(&mut self, name: &str, inside: impl ToString, detail: impl ToString) {
        let mut error = self.parameters.source.error(name, detail.to_string());
        error.pointer = error.pointer.map(|pointer| pointer_to(&pointer, &inside.to_string()));
        add(&mut self.errors, error);
    }

    /// Adds the errors of a part of the body that was read apart.
    pub fn extend(&mut self, errors: Vec<RequestError>) {
        errors.into_iter().for_each(|error| add(&mut self.errors, error));
    }

    /// Whether one of these parameters has an error.
    pub fn has_fault(&self, names: &[&str]) -> bool {
        let mut places = names.iter().map(|name| self.parameters.source.error(name, ""));
        places.any(|place| self.errors.iter().any(|error| error.is_at(&place)))
    }

    /// A parameter, parsed by `read`, whose error says what is wrong. None if it is absent or has
    /// an error.
    pub fn read_as<T, E: ToString>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.parameters.get(name)?;
        if self.has_fault(&[name]) {
            return None;
        }
        read(text).map_err(|detail| self.fault(name, detail)).ok()
    }

    /// A parameter that is true or false.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.read_as(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{text:?} must be true or false")),
        })
    }

    /// The place in the query that a cursor names.
    pub fn position<P: FromStr>(&mut self, name: &str, binding: &Binding<'_>) -> Option<P> {
        let cursor = self.get(name)?;
        match binding.position(cursor) {
            Ok(position) => Some(position),
            Err(error) if error.is_readable => {
                self.foreign = Some(self.parameters.source.error(name, error.to_string()));
                None
            }
            Err(error) => {
                self.fault(name, error);
                None
            }
        }
    }

    /// Reports every parameter that is not in `known`.
    pub fn refuse_others(&mut self, known: &[&str]) {
        let Parameters { sent, source, .. } = self.parameters;
        let others = sent.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        others.for_each(|(name, _)| refuse(name, source, known, &mut self.errors));
    }

    /// All errors, at most [`MAX_ERRORS`] and one that counts the others.
    fn finish(self) -> Vec<RequestError> {
        let Self { parameters, mut errors, foreign } = self;
        // A cursor is bound to all parameters but `limit`: while others are wrong, nobody knows
        // whether it is one of the query that the caller means.
        let limit = parameters.source.error("limit", "");
        if errors.iter().all(|error| error.is_at(&limit)) {
            errors.extend(foreign);
        }
        if errors.len() > MAX_ERRORS {
            let more = format!("and {} more errors; mend these first", errors.len() - MAX_ERRORS);
            errors.truncate(MAX_ERRORS);
            errors.push(match parameters.source {
                Source::Query => RequestError::of_parameter("", more),
                Source::Body(_) => FieldError::new("", more).into(),
            });
        }
        errors
    }
}

/// Adds an error, unless there is one at its place. Errors beyond the limit are only counted.
fn add(errors: &mut Vec<RequestError>, error: RequestError) {
    if errors.len() > MAX_ERRORS || !errors.iter().any(|other| other.is_at(&error)) {
        errors.push(error);
    }
}

/// Adds the error that a parameter is unknown.
fn refuse(name: &str, source: &Source, known: &[&str], errors: &mut Vec<RequestError>) {
    let detail = match errors.len() > MAX_ERRORS {
        true => String::new(),
        false => unknown(name, source, known),
    };
    add(errors, source.error(name, detail));
}

fn unknown(name: &str, source: &Source, known: &[&str]) -> String {
    let meant = nearest_of(name, known.iter().copied());
    match (source, meant) {
        (Source::Query, _) if known.is_empty() => {
            "unknown query parameter; this call takes none".to_owned()
        }
        (Source::Query, Some(meant)) => format!(
            "unknown query parameter; did you mean {meant:?}? Known are {}",
            known.join(", ")
        ),
        (Source::Query, None) => format!("unknown query parameter; known are {}", known.join(", ")),
        (Source::Body(_), Some(meant)) => format!("is no known field; did you mean {meant:?}?"),
        (Source::Body(_), None) => format!("is no known field; known are {}", known.join(", ")),
    }
}

/// The type of a member that stands for a parameter.
#[derive(Clone, Copy)]
enum Type {
    Flag,
    Whole,
    Text,
}

impl Type {
    fn of(name: &str) -> Self {
        match name {
            "include_service" | "include_filters" | "gzip" | "jsonl" => Self::Flag,
            "limit" => Self::Whole,
            _ => Self::Text,
        }
    }

    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Flag => value.is_boolean(),
            Self::Whole => value.is_i64() || value.is_u64(),
            Self::Text => value.is_string(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Whole => "a whole number",
            Self::Text => "a string",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_query(query: &str) -> Parameters {
        Parameters::from_query(&Request { query: query.to_owned(), ..Request::default() })
    }

    fn of_body(body: Value, known: &[&str], types: Types) -> Parameters {
        Parameters::from_members(body.as_object().unwrap().clone(), "/report", known, types)
    }

    fn read(parameters: &Parameters) -> Result<(Option<bool>, Option<u8>), Vec<RequestError>> {
        parameters.read(|parameters| {
            parameters.refuse_others(&["gzip", "limit", "q"]);
            let gzip = parameters.flag("gzip");
            Some((gzip, parameters.read_as("limit", str::parse::<u8>)))
        })
    }

    fn places(errors: &[RequestError]) -> Vec<&str> {
        errors.iter().filter_map(|it| it.parameter.as_deref().or(it.pointer.as_deref())).collect()
    }

    #[test]
    fn each_wrong_parameter_is_one_error() {
        assert_eq!(read(&of_query("gzip=true&limit=5")), Ok((Some(true), Some(5))));
        assert_eq!(read(&of_query("q=+")), Ok((None, None)));
        let errors = read(&of_query("gzip=1&gzip=2&gzip=3&limit=x&lmit=1&q=%ff")).unwrap_err();
        assert_eq!(places(&errors), ["gzip", "q", "lmit", "limit"]);
        assert!(errors[0].detail.contains("twice") && errors[2].detail.contains("\"limit\""));
        assert_eq!(
            RequestError::sentence(&errors[3..]),
            "\"limit\": invalid digit found in string"
        );
        let all = RequestError::sentence(&errors);
        let start =
            "4 query parameters are wrong or missing: \"gzip\", \"q\", \"lmit\", \"limit\". ";
        assert!(all.starts_with(start), "{all}");
    }

    #[test]
    fn a_member_has_its_pointer_and_its_type() {
        let known = ["gzip", "limit", "q"];
        let body = json!({"gzip": "true", "limit": "5", "q": [], "a/b": 1});
        let errors = read(&of_body(body.clone(), &known, Types::Checked)).unwrap_err();
        assert_eq!(places(&errors), ["/report/a~1b", "/report/gzip", "/report/limit", "/report/q"]);
        // What was stored before types were checked is still read.
        let errors = read(&of_body(body, &known, Types::AsStored)).unwrap_err();
        assert_eq!(places(&errors), ["/report/a~1b", "/report/q"]);
        let body = json!({"gzip": true, "limit": 5});
        assert_eq!(read(&of_body(body, &known, Types::Checked)), Ok((Some(true), Some(5))));
    }

    #[test]
    fn errors_stay_few_however_much_is_wrong() {
        let query: Vec<_> = (0..5000).map(|n| format!("{n}{}=1", "x".repeat(200))).collect();
        let errors = read(&of_query(&query.join("&"))).unwrap_err();
        assert_eq!(errors.len(), 41);
        assert_eq!(errors[40].detail, "and 4960 more errors; mend these first");
        assert!(errors.iter().all(|it| it.parameter.as_ref().unwrap().len() <= LONGEST_SHOWN));
        assert!(RequestError::sentence(&errors).len() < 2000);
    }
}
