//! Parsing of the template: YAML with CloudFormation's tags, each value with its line and path.

pub(crate) mod intrinsics;

use std::{str::FromStr, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

/// An error in the template with its place and a remedy.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {path}: {problem}")]
pub struct TemplateError {
    file: String,
    line: usize,
    path: String,
    problem: String,
}

/// A value of the template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    line: usize,
    value: Value,
}

/// For CloudFormation `true` and `"true"`, `5` and `"5"` are the same, so a scalar is a text until its type is needed.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// An intrinsic function by its short name (`Ref`, `Sub`), written as a tag or as a key.
    Call(String, Box<Node>),
}

/// A value and its place in the template.
#[derive(Clone, Debug)]
pub(crate) struct At {
    file: Arc<str>,
    path: String,
    node: Node,
}

impl At {
    /// Parses a template. `file` is its name in errors.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, TemplateError> {
        let mut reader = Reader { file, parser: Parser::new_from_str(text) };
        let node = reader.document()?;
        Ok(Self { file: file.into(), path: String::new(), node })
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> TemplateError {
        let path = if self.path.is_empty() { "(the template)".into() } else { self.path.clone() };
        TemplateError {
            file: self.file.to_string(),
            line: self.node.line,
            path,
            problem: problem.into(),
        }
    }

    fn child(&self, step: &str, node: &Node) -> Self {
        let path =
            if self.path.is_empty() { step.to_owned() } else { format!("{}.{step}", self.path) };
        Self { file: self.file.clone(), path, node: node.clone() }
    }

    /// The path of the value, with segments joined by dots.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// An absent optional part.
    pub(crate) fn empty(&self, key: &str) -> Self {
        self.child(key, &Node { line: self.node.line, value: Value::Null })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        match &self.node.value {
            Value::Map(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, node)| self.child(key, node))
            }
            Value::Null | Value::Text(_) | Value::List(_) | Value::Call(..) => None,
        }
    }

    pub(crate) fn need(&self, key: &str) -> Result<Self, TemplateError> {
        self.get(key).ok_or_else(|| self.error(format!("{key} is missing")))
    }

    pub(crate) fn entries(&self) -> Result<Vec<(String, Self)>, TemplateError> {
        match &self.node.value {
            Value::Map(entries) => {
                Ok(entries.iter().map(|(key, node)| (key.clone(), self.child(key, node))).collect())
            }
            Value::Null => Ok(Vec::new()),
            Value::Text(_) | Value::List(_) | Value::Call(..) => {
                Err(self.error("must be a mapping"))
            }
        }
    }

    /// The entries of a part. An unknown key is an error.
    pub(crate) fn entries_of(&self, known: &[&str]) -> Result<Vec<(String, Self)>, TemplateError> {
        let entries = self.entries()?;
        match entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(entries),
            Some((_, at)) => Err(at.error(UNKNOWN)),
        }
    }

    pub(crate) fn items(&self) -> Result<Vec<Self>, TemplateError> {
        match &self.node.value {
            Value::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| self.child(&index.to_string(), node))
                .collect()),
            Value::Null | Value::Text(_) | Value::Map(_) | Value::Call(..) => {
                Err(self.error("must be a list"))
            }
        }
    }

    pub(crate) fn text(&self) -> Result<&str, TemplateError> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            Value::Null | Value::List(_) | Value::Map(_) | Value::Call(..) => {
                Err(self.error("must be a string"))
            }
        }
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>, TemplateError> {
        self.items()?.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    pub(crate) fn parsed<T: FromStr>(&self, what: &str) -> Result<T, TemplateError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.error(format!("{text:?} must be {what}")))
    }

    pub(crate) fn boolean(&self) -> Result<bool, TemplateError> {
        self.parsed("true or false")
    }
}

/// The error for every key and type that the runner neither honours nor ignores.
pub(crate) const UNKNOWN: &str = "the local runner does not support this. Remove it, or add support: if it has an effect on one machine, implement it in infra/local/src/plan; otherwise add it to the lists in infra/local/src/known.rs";

/// Builds the tree of values from the parser's events.
struct Reader<'t> {
    file: &'t str,
    parser: Parser<'t, StrInput<'t>>,
}

#[allow(clippy::wildcard_enum_match_arm, reason = "this name is not allowed in a template")]
impl<'t> Reader<'t> {
    fn error(&self, line: usize, problem: impl Into<String>) -> TemplateError {
        let (file, path) = (self.file.to_owned(), "YAML".to_owned());
        TemplateError { file, line, path, problem: problem.into() }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), TemplateError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.error(error.marker().line(), error.info())),
            None => Err(self.error(0, "the file ends too early")),
        }
    }

    fn document(&mut self) -> Result<Node, TemplateError> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => return Err(self.error(span.start.line(), "the file is empty")),
                event => return self.node(event, span),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, TemplateError> {
        let line = span.start.line();
        let (tag, value) = match event {
            Event::Scalar(text, ScalarStyle::Plain, _, tag)
                if matches!(&*text, "" | "~" | "null") =>
            {
                (tag, Value::Null)
            }
            Event::Scalar(text, _, _, tag) => (tag, Value::Text(text.into_owned())),
            Event::SequenceStart(_, tag) => (tag, self.list()?),
            Event::MappingStart(_, tag) => (tag, self.map()?),
            other => {
                return Err(self.error(line, format!("{other:?} is not supported in a template")));
            }
        };
        Ok(match tag {
            Some(tag) => Node { line, value: self.call(&tag, Node { line, value })? },
            None => Node { line, value },
        })
    }

    /// `!Name value`.
    fn call(&self, tag: &Tag, argument: Node) -> Result<Value, TemplateError> {
        match tag.handle.as_str() {
            "!" => Ok(Value::Call(tag.suffix.clone(), Box::new(argument))),
            _ => Err(self.error(
                argument.line,
                format!("tag {tag}: only the functions of CloudFormation are supported"),
            )),
        }
    }

    fn list(&mut self) -> Result<Value, TemplateError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, TemplateError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let key = match event {
                Event::MappingEnd => return Ok(long_call(entries)),
                Event::Scalar(key, _, _, None) => key.into_owned(),
                other => return Err(self.error(line, format!("{other:?} cannot be a key"))),
            };
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(self.error(line, format!("{key} is given twice in one mapping")));
            }
            let (event, span) = self.next()?;
            let mut node = self.node(event, span)?;
            node.line = line;
            entries.push((key, node));
        }
    }
}

/// `{Ref: x}` and `{Fn::Sub: x}` are the same as `!Ref x` and `!Sub x`.
fn long_call(mut entries: Vec<(String, Node)>) -> Value {
    let name = match entries.as_slice() {
        [(key, _)] if key == "Ref" => Some("Ref".to_owned()),
        [(key, _)] => key.strip_prefix("Fn::").map(str::to_owned),
        _ => None,
    };
    match name {
        Some(name) => Value::Call(name, Box::new(entries.remove(0).1)),
        None => Value::Map(entries),
    }
}
