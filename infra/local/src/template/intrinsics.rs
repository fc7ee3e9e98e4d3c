//! Evaluation of CloudFormation's intrinsic functions `!Ref`, `!Sub`, `!GetAtt`, `!Join`, `!If` and of conditions.

use std::collections::BTreeMap;

use super::{At, Node, TemplateError, Value};

/// The values of the names in a template.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    parameters: BTreeMap<String, Value>,
    resources: BTreeMap<String, Named>,
    conditions: BTreeMap<String, At>,
}

/// The values of `!Ref` and `!GetAtt` for a resource.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) reference: String,
    pub(crate) attributes: Attributes,
}

/// The attributes of a resource.
#[derive(Debug)]
pub(crate) enum Attributes {
    /// The known attributes.
    These(BTreeMap<&'static str, String>),
    /// The resource does not exist on one machine, and every attribute is its name.
    Placeholder,
}

impl Scope {
    pub(crate) fn parameter(&mut self, name: &str, text: impl Into<String>) {
        self.parameters.insert(name.to_owned(), Value::Text(text.into()));
    }

    pub(crate) fn list_parameter(&mut self, name: &str, texts: &str) {
        let items = texts
            .split(',')
            .map(|text| Node { line: 0, value: Value::Text(text.trim().to_owned()) });
        self.parameters.insert(name.to_owned(), Value::List(items.collect()));
    }

    pub(crate) fn resource(&mut self, name: &str, named: Named) {
        self.resources.insert(name.to_owned(), named);
    }

    pub(crate) fn condition(&mut self, name: &str, at: At) {
        self.conditions.insert(name.to_owned(), at);
    }

    /// Resolves all functions in a value. `None` means `AWS::NoValue`.
    pub(crate) fn resolve(&self, at: &At) -> Result<Option<At>, TemplateError> {
        let value = match &at.node.value {
            Value::Null | Value::Text(_) => at.node.value.clone(),
            Value::List(_) => {
                let items = at.items()?;
                let resolved =
                    items.iter().map(|item| self.resolve(item)).collect::<Result<Vec<_>, _>>()?;
                Value::List(resolved.into_iter().flatten().map(|item| item.node).collect())
            }
            Value::Map(_) => {
                let mut entries = Vec::new();
                for (key, entry) in at.entries()? {
                    if let Some(resolved) = self.resolve(&entry)? {
                        entries.push((key, resolved.node));
                    }
                }
                Value::Map(entries)
            }
            Value::Call(name, argument) => match self.call(at, name, &at.child(name, argument))? {
                Some(value) => value,
                None => return Ok(None),
            },
        };
        Ok(Some(At { node: Node { line: at.node.line, value }, ..at.clone() }))
    }

    fn call(&self, at: &At, name: &str, argument: &At) -> Result<Option<Value>, TemplateError> {
        match name {
            "Ref" => match argument.text()? {
                "AWS::NoValue" => Ok(None),
                name => self.reference(argument, name).map(Some),
            },
            "GetAtt" => {
                let (resource, attribute) = match &argument.node.value {
                    Value::List(_) => match argument.texts()?.as_slice() {
                        [resource, attribute] => (resource.clone(), attribute.clone()),
                        _ => return Err(argument.error("must be [resource, attribute]")),
                    },
                    Value::Null | Value::Text(_) | Value::Map(_) | Value::Call(..) => argument
                        .text()?
                        .split_once('.')
                        .map(|(resource, attribute)| (resource.to_owned(), attribute.to_owned()))
                        .ok_or_else(|| argument.error("must be Resource.Attribute"))?,
                };
                self.attribute(argument, &resource, &attribute).map(|text| Some(Value::Text(text)))
            }
            "Sub" => self.sub(argument).map(|text| Some(Value::Text(text))),
            "Join" => {
                let [separator, parts] = self.arguments(argument, "[separator, list]")?;
                Ok(Some(Value::Text(parts.texts()?.join(separator.text()?))))
            }
            "If" => {
                let items = argument.items()?;
                let [condition, then, otherwise] = items.as_slice() else {
                    return Err(argument.error("must be [condition, value if true, value if false]"));
                };
                let chosen = if self.holds(condition, condition.text()?)? { then } else { otherwise };
                Ok(self.resolve(chosen)?.map(|at| at.node.value))
            }
            other => Err(at.error(format!(
                "the local runner does not support the function {other}. Write the value in another way, or add it in \
                 infra/local/src/template/intrinsics.rs"
            ))),
        }
    }

    fn arguments<const N: usize>(&self, at: &At, shape: &str) -> Result<[At; N], TemplateError> {
        let resolved =
            at.items()?.iter().map(|item| self.resolve(item)).collect::<Result<Vec<_>, _>>()?;
        let resolved: Vec<At> = resolved.into_iter().flatten().collect();
        resolved.try_into().map_err(|_| at.error(format!("must be {shape}")))
    }

    fn reference(&self, at: &At, name: &str) -> Result<Value, TemplateError> {
        let resource =
            || self.resources.get(name).map(|named| Value::Text(named.reference.clone()));
        self.parameters.get(name).cloned().or_else(resource).ok_or_else(|| {
            at.error(format!("{name} is neither a parameter nor a resource of this template"))
        })
    }

    fn attribute(&self, at: &At, resource: &str, attribute: &str) -> Result<String, TemplateError> {
        match self.resources.get(resource) {
            None => Err(at.error(format!("{resource} is not a resource of this template"))),
            Some(Named { attributes: Attributes::Placeholder, reference }) => {
                Ok(format!("{reference}.{attribute}"))
            }
            Some(Named { attributes: Attributes::These(known), .. }) => {
                known.get(attribute).cloned().ok_or_else(|| {
                    let known = known.keys().copied().collect::<Vec<_>>().join(", ");
                    at.error(format!(
                        "{resource} has no attribute {attribute} in the local runner; its attributes are {known}"
                    ))
                })
            }
        }
    }

    /// Resolves `${Name}`, `${Resource.Attribute}`, `${!Literal}`, and the names in the second argument.
    fn sub(&self, at: &At) -> Result<String, TemplateError> {
        let (text, own) = match &at.node.value {
            Value::List(_) => {
                let [text, own] = self.arguments(at, "[text, mapping]")?;
                (text.text()?.to_owned(), own.entries()?)
            }
            Value::Null | Value::Text(_) | Value::Map(_) | Value::Call(..) => {
                (at.text()?.to_owned(), Vec::new())
            }
        };
        let mut result = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| at.error("a ${ has no }"))?;
            result.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                result.push_str(&format!("${{{literal}}}"));
            } else if let Some((_, value)) = own.iter().find(|(key, _)| key == name) {
                result.push_str(value.text()?);
            } else if let Some((resource, attribute)) = name.split_once('.') {
                result.push_str(&self.attribute(at, resource, attribute)?);
            } else {
                match self.reference(at, name)? {
                    Value::Text(text) => result.push_str(&text),
                    Value::Null | Value::List(_) | Value::Map(_) | Value::Call(..) => {
                        return Err(
                            at.error(format!("{name} is a list, but !Sub accepts only strings"))
                        );
                    }
                }
            }
            rest = after;
        }
        Ok(result + rest)
    }

    /// Whether a condition of the template's Conditions holds.
    pub(crate) fn holds(&self, at: &At, name: &str) -> Result<bool, TemplateError> {
        let condition = self
            .conditions
            .get(name)
            .ok_or_else(|| at.error(format!("there is no condition {name}")))?;
        // The depth is limited, because a condition that refers to itself would never end.
        self.truth(condition, self.conditions.len())
    }

    fn truth(&self, at: &At, depth: usize) -> Result<bool, TemplateError> {
        let Value::Call(name, argument) = &at.node.value else {
            return Err(at.error("must be a condition function"));
        };
        let argument = at.child(name, argument);
        let all = || {
            argument
                .items()?
                .iter()
                .map(|item| self.truth(item, depth))
                .collect::<Result<Vec<_>, _>>()
        };
        match name.as_str() {
            "Equals" => {
                let [left, right] = self.arguments(&argument, "[value, value]")?;
                Ok(left.text()? == right.text()?)
            }
            "Not" => Ok(!all()?.into_iter().any(|holds| holds)),
            "And" => Ok(all()?.into_iter().all(|holds| holds)),
            "Or" => Ok(all()?.into_iter().any(|holds| holds)),
            "Condition" => {
                let other = argument.text()?;
                let depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| at.error("the conditions refer to each other in a circle"))?;
                let other = self
                    .conditions
                    .get(other)
                    .ok_or_else(|| at.error(format!("there is no condition {other}")))?;
                self.truth(other, depth)
            }
            other => Err(at.error(format!(
                "the local runner does not support the condition function {other}"
            ))),
        }
    }
}
