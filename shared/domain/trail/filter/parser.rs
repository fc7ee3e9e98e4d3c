//! The filter parser: recursive descent over RFC 7644's grammar, in which `not` binds tightest,
//! then `and`, then `or`.
//!
//! The crate `scim-filter` does not suit: it does not give `and` precedence over `or`, reports
//! errors without a position, does not decode escapes in strings, compares with regard to case, and
//! recurses as deep as its input nests.

use crate::{
    text::case_folding::fold,
    trail::{
        actions::nearest_of,
        fields::{Field, FieldKind},
        filter::{Filter, FilterError, MAX_BYTES, MAX_DEPTH, MAX_TERMS, Operand, Operator},
    },
};

const OPERATORS: [(&str, Operator); 9] = [
    ("eq", Operator::Eq),
    ("ne", Operator::Ne),
    ("co", Operator::Co),
    ("sw", Operator::Sw),
    ("ew", Operator::Ew),
    ("gt", Operator::Gt),
    ("ge", Operator::Ge),
    ("lt", Operator::Lt),
    ("le", Operator::Le),
];

pub fn read(text: &str) -> Result<Filter, FilterError> {
    let mut reader = Reader { text, at: 0, depth: 0, terms: 0 };
    if text.len() > MAX_BYTES {
        return Err(reader
            .error(0, format!("the filter has {} bytes; the maximum is {MAX_BYTES}", text.len())));
    }
    let filter = reader.alternatives()?;
    reader.skip_space();
    match reader.rest().chars().next() {
        None => Ok(filter),
        Some(')') => Err(reader.error(reader.at, "a ) without its (")),
        Some(_) => Err(reader.error(
            reader.at,
            format!("expected \"and\", \"or\" or the end, not {:?}", reader.word()),
        )),
    }
}

struct Reader<'t> {
    text: &'t str,
    /// The byte offset of the next character.
    at: usize,
    depth: usize,
    terms: usize,
}

impl<'t> Reader<'t> {
    fn error(&self, at: usize, detail: impl Into<String>) -> FilterError {
        FilterError { position: self.text[..at].chars().count() + 1, detail: detail.into() }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The word at the current position, without consuming it.
    fn word(&self) -> &'t str {
        let rest = self.rest();
        &rest[..rest
            .find(|char: char| char.is_whitespace() || matches!(char, '(' | ')' | '"' | '[' | ']'))
            .unwrap_or(rest.len())]
    }

    /// Consumes `keyword` if it is the next word, without regard to case.
    fn takes(&mut self, keyword: &str) -> bool {
        self.skip_space();
        let takes = self.word().eq_ignore_ascii_case(keyword);
        if takes {
            self.at += keyword.len();
        }
        takes
    }

    fn alternatives(&mut self) -> Result<Filter, FilterError> {
        let mut any = vec![self.conjunction()?];
        while self.takes("or") {
            any.push(self.conjunction()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
    }

    fn conjunction(&mut self) -> Result<Filter, FilterError> {
        let mut all = vec![self.term()?];
        while self.takes("and") {
            all.push(self.term()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn term(&mut self) -> Result<Filter, FilterError> {
        self.skip_space();
        let start = self.at;
        if self.takes("not") {
            self.skip_space();
            if !self.rest().starts_with('(') {
                return Err(self.error(self.at, "\"not\" needs parentheses: not (actor.email pr)"));
            }
            return Ok(Filter::Not(Box::new(self.group()?)));
        }
        if self.rest().starts_with('(') {
            return self.group();
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.error(
                start,
                format!("this is comparison {}; the maximum is {MAX_TERMS}", self.terms),
            ));
        }
        self.comparison()
    }

    fn group(&mut self) -> Result<Filter, FilterError> {
        let start = self.at;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(
                self.error(start, format!("parentheses are nested deeper than {MAX_DEPTH}"))
            );
        }
        self.at += 1;
        let filter = self.alternatives()?;
        self.skip_space();
        if !self.rest().starts_with(')') {
            let found = self.word();
            let found = if found.is_empty() { "the end".to_owned() } else { format!("{found:?}") };
            return Err(self.error(self.at, format!("a ) is missing before {found}")));
        }
        self.at += 1;
        self.depth -= 1;
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Filter, FilterError> {
        let start = self.at;
        let path = self.word();
        if path.is_empty() {
            return Err(self
                .error(start, "expected an attribute, as in: actor.email eq \"alex@nikpot.com\""));
        }
        let attribute = Field::named(path).ok_or_else(|| self.error(start, unknown(path)))?;
        self.at += path.len();
        if self.rest().starts_with('[') {
            return Err(self.error(
                self.at,
                format!(
                    "brackets are not supported; write the path of the attribute, like {}",
                    attribute.path()
                ),
            ));
        }
        if self.takes("pr") {
            return Ok(Filter::Present(attribute));
        }
        let start = self.at;
        let word = self.word();
        let Some((name, operator)) =
            OPERATORS.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name))
        else {
            return Err(self.error(
                start,
                format!(
                    "expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr), not {word:?}"
                ),
            ));
        };
        if attribute.kind() == FieldKind::Object {
            return Err(self.error(
                start,
                format!(
                    "{} is an object; only the operator pr can be used with it",
                    attribute.path()
                ),
            ));
        }
        if attribute.kind() == FieldKind::Flag && !matches!(operator, Operator::Eq | Operator::Ne) {
            return Err(self.error(
                start,
                format!(
                    "{} is true or false; only the operators eq, ne and pr can be used with it",
                    attribute.path()
                ),
            ));
        }
        if matches!(operator, Operator::Co | Operator::Sw | Operator::Ew)
            && !matches!(attribute.kind(), FieldKind::Text | FieldKind::Texts)
        {
            return Err(self.error(
                start,
                format!(
                    "{} is not a text, so the operator {name} cannot be used with it; use eq, ne, gt, ge, lt or le",
                    attribute.path()
                ),
            ));
        }
        self.at += word.len();
        self.skip_space();
        Ok(Filter::Compare(attribute, operator, self.operand(attribute)?))
    }

    /// A JSON value of the attribute's type.
    fn operand(&mut self, attribute: Field) -> Result<Operand, FilterError> {
        let start = self.at;
        // A text ends at its quote; any other value at the next space or parenthesis.
        let (value, length) = if self.rest().starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter();
            (values.next().and_then(Result::ok), values.byte_offset())
        } else {
            (serde_json::from_str(self.word()).ok(), self.word().len())
        };
        let Some(value) = value else {
            return Err(self
                .error(start, "a value should stand here: a text in double quotes, or a number"));
        };
        self.at += length;
        match (attribute.kind(), value) {
            (_, serde_json::Value::Null) => {
                Err(self
                    .error(start, format!("null is no value; ask not ({} pr)", attribute.path())))
            }
            (FieldKind::Text | FieldKind::Texts, serde_json::Value::String(text)) => {
                Ok(Operand::Text(fold(&text)))
            }
            (FieldKind::Text | FieldKind::Texts, _) => Err(self.error(
                start,
                format!("{} is a text; put its value in double quotes", attribute.path()),
            )),
            (FieldKind::Time, serde_json::Value::String(text)) => text
                .parse()
                .map(Operand::Time)
                .map_err(|error| self.error(start, format!("{text:?} {error}"))),
            (FieldKind::Time, _) => Err(self.error(
                start,
                format!("{} is a time; write \"2026-11-22T00:26:07Z\"", attribute.path()),
            )),
            (FieldKind::Number, serde_json::Value::Number(number)) if number.is_i64() => {
                Ok(Operand::Number(number.as_i64().unwrap_or_default()))
            }
            (FieldKind::Flag, serde_json::Value::Bool(flag)) => Ok(Operand::Flag(flag)),
            (FieldKind::Flag, _) => {
                Err(self
                    .error(start, format!("{} is true or false, without quotes", attribute.path())))
            }
            (FieldKind::Number | FieldKind::Object, _) => {
                Err(self.error(start, format!("{} is a whole number", attribute.path())))
            }
        }
    }
}

fn unknown(path: &str) -> String {
    if path.to_ascii_lowercase().starts_with("details.") || path.eq_ignore_ascii_case("details") {
        return "details are searched by free text (q), not by filters".to_owned();
    }
    let hint = nearest_of(path, Field::ALL.iter().map(|field| field.path())).map_or_else(
        || "; use the path of a field of an event, like actor.email".to_owned(),
        |near| format!("; did you mean {near:?}?"),
    );
    format!("{path:?} is not an attribute{hint}")
}
