//! The plan: the tables, functions, routes, schedules and streams of a template on one machine.

mod api;
mod function;
mod names;
mod parameters;
mod schedule;
mod secret;
mod stream;
mod table;

pub(crate) use api::{Api, Jwt, Route, Throttle};
pub(crate) use function::Function;
pub(crate) use schedule::{Schedule, ScheduleInput};
pub(crate) use secret::Secret;
pub(crate) use stream::Stream;
pub(crate) use table::Table;

use std::collections::BTreeMap;

use crate::{
    known,
    template::{At, TemplateError, UNKNOWN, intrinsics::Scope},
};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "000000000000";
const STACK: &str = "jit-audit";

/// The resources that the runner builds from a template.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) api: Option<Api>,
    pub(crate) tables: Vec<Table>,
    /// The names of the buckets.
    pub(crate) buckets: Vec<String>,
    /// The ARNs of the topics.
    pub(crate) topics: Vec<String>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) functions: Vec<Function>,
}

/// Values that do not come from the template.
pub(crate) struct Machine<'m> {
    /// The address of the API.
    pub(crate) url: &'m str,
    /// The issuer of the tokens.
    pub(crate) issuer: &'m str,
    /// Values given for parameters.
    pub(crate) parameters: &'m BTreeMap<String, String>,
}

impl Plan {
    /// Reads a template.
    pub(crate) fn read(
        file: &str,
        text: &str,
        machine: &Machine<'_>,
    ) -> Result<Self, TemplateError> {
        let template = At::parse(file, text)?;
        let sections =
            [known::SECTIONS_PASSED_OVER, &["Conditions", "Globals", "Parameters", "Resources"]]
                .concat();
        template.entries_of(&sections)?;
        let resources = template.need("Resources")?;
        let scope = names::scope(&template, &resources, machine)?;
        let globals = match template.get("Globals") {
            Some(globals) => {
                globals.entries_of(&["Function"])?;
                globals.get("Function")
            }
            None => None,
        };
        let globals = match globals {
            Some(globals) => properties(&scope, &globals, known::FUNCTION, known::BUILT)?,
            None => BTreeMap::new(),
        };

        let mut plan = Self {
            api: None,
            tables: Vec::new(),
            buckets: Vec::new(),
            topics: Vec::new(),
            secrets: Vec::new(),
            functions: Vec::new(),
        };
        let mut functions = Vec::new();
        for (name, resource) in resources.entries()? {
            let kind = resource.need("Type")?;
            let beside =
                [known::ATTRIBUTES_PASSED_OVER, &["Condition", "Metadata", "Properties", "Type"]]
                    .concat();
            resource.entries_of(&beside)?;
            if let Some(condition) = resource.get("Condition")
                && !scope.holds(&condition, condition.text()?)?
            {
                continue;
            }
            match kind.text()? {
                known::HTTP_API if plan.api.is_some() => {
                    return Err(resource.error("the local runner supports only one HTTP API"));
                }
                known::HTTP_API => plan.api = Some(api::api(&scope, &resource)?),
                known::TABLE => plan.tables.push(table::table(&scope, &name, &resource)?),
                known::BUCKET => {
                    resource_properties(&scope, &resource, known::BUCKET)?;
                    plan.buckets.push(names::bucket_name(&name));
                }
                known::TOPIC => {
                    resource_properties(&scope, &resource, known::TOPIC)?;
                    plan.topics.push(names::topic_arn(&format!("{STACK}-{name}")));
                }
                known::SECRET => plan.secrets.push(secret::secret(&scope, &name, &resource)?),
                known::FUNCTION => functions.push((name, resource)),
                other if known::TYPES_PASSED_OVER.contains(&other) => {}
                other => return Err(kind.error(format!("{other}: {UNKNOWN}"))),
            }
        }
        for (name, resource) in functions {
            let function = function::function(&scope, &name, &resource, &globals, &plan)?;
            plan.functions.push(function);
        }
        Ok(plan)
    }
}

/// The honoured properties of a part, with intrinsic functions resolved. Ignored properties are not resolved.
fn properties(
    scope: &Scope,
    part: &At,
    kind: &str,
    honoured: &'static [(&str, &[&str])],
) -> Result<BTreeMap<String, At>, TemplateError> {
    let mut found = BTreeMap::new();
    for (name, at) in part.entries()? {
        if known::of(honoured, kind).contains(&name.as_str()) {
            if let Some(resolved) = scope.resolve(&at)? {
                found.insert(name, resolved);
            }
        } else if !known::of(known::PROPERTIES_PASSED_OVER, kind).contains(&name.as_str()) {
            return Err(at.error(UNKNOWN));
        }
    }
    Ok(found)
}

fn resource_properties(
    scope: &Scope,
    resource: &At,
    kind: &str,
) -> Result<BTreeMap<String, At>, TemplateError> {
    match resource.get("Properties") {
        Some(part) => properties(scope, &part, kind, known::BUILT),
        None => Ok(BTreeMap::new()),
    }
}
