//! A function of a template with its routes, schedules and streams.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    known,
    template::{At, TemplateError, UNKNOWN, intrinsics::Scope},
};

use super::{
    Plan, STACK,
    api::{Route, route},
    names::function_arn,
    properties, resource_properties,
    schedule::{Schedule, schedule, schedule_v2},
    stream::{Stream, stream},
};

/// A function with its routes, schedules and streams.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// The name of its binary, under which it is registered.
    pub(crate) binary: String,
    pub(crate) timeout: Duration,
    /// The number of retries of a failed asynchronous invocation.
    pub(crate) retries: u32,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) routes: Vec<Route>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) streams: Vec<Stream>,
    /// Its place in the template, for errors.
    pub(crate) at: At,
}

pub(super) fn function(
    scope: &Scope,
    logical: &str,
    resource: &At,
    globals: &BTreeMap<String, At>,
    plan: &Plan,
) -> Result<Function, TemplateError> {
    let own = resource_properties(scope, resource, known::FUNCTION)?;
    let property = |name: &str| own.get(name).or_else(|| globals.get(name));
    let name = format!("{STACK}-{logical}");
    let mut function = Function {
        arn: function_arn(&name),
        name,
        binary: binary(resource, property("CodeUri"))?,
        // Lambda's own default.
        timeout: Duration::from_secs(
            property("Timeout").map_or(Ok(3), |at| at.parsed("whole seconds"))?,
        ),
        retries: 2,
        variables: BTreeMap::new(),
        routes: Vec::new(),
        schedules: Vec::new(),
        streams: Vec::new(),
        at: resource.clone(),
    };
    for environment in [globals.get("Environment"), own.get("Environment")].into_iter().flatten() {
        environment.entries_of(&["Variables"])?;
        for (name, value) in environment.need("Variables")?.entries()? {
            function.variables.insert(name, value.text()?.to_owned());
        }
    }
    if let Some(config) = property("EventInvokeConfig") {
        // Destinations and the maximum age are ignored. Failures are logged, and waiting events end with the process.
        config.entries_of(&[
            "DestinationConfig",
            "MaximumEventAgeInSeconds",
            "MaximumRetryAttempts",
        ])?;
        if let Some(retries) = config.get("MaximumRetryAttempts") {
            function.retries = retries.parsed("0, 1 or 2")?;
        }
    }
    let events = own.get("Events").map_or(Ok(Vec::new()), At::entries)?;
    for (name, event) in events {
        event.entries_of(&["Properties", "Type"])?;
        let kind = event.need("Type")?;
        let part = event.get("Properties").unwrap_or_else(|| event.empty("Properties"));
        let name = format!("{logical}.{name}");
        let properties = |kind| properties(scope, &part, kind, known::EVENTS);
        match kind.text()? {
            known::HTTP_API_EVENT => {
                let api =
                    plan.api.as_ref().ok_or_else(|| event.error("the template has no HTTP API"))?;
                function.routes.push(route(api, &part, &properties(known::HTTP_API_EVENT)?)?);
            }
            known::SCHEDULE_EVENT => {
                function.schedules.extend(schedule(
                    &part,
                    name,
                    &properties(known::SCHEDULE_EVENT)?,
                )?);
            }
            known::SCHEDULE_V2_EVENT => {
                function.schedules.extend(schedule_v2(
                    &part,
                    name,
                    &properties(known::SCHEDULE_V2_EVENT)?,
                )?);
            }
            known::STREAM_EVENT => {
                function.streams.extend(stream(
                    &part,
                    name,
                    &properties(known::STREAM_EVENT)?,
                    plan,
                )?);
            }
            other => return Err(kind.error(format!("{other}: {UNKNOWN}"))),
        }
    }
    Ok(function)
}

/// The binary that `sam build` puts into the function's package.
fn binary(resource: &At, code: Option<&At>) -> Result<String, TemplateError> {
    let named = resource
        .get("Metadata")
        .and_then(|at| at.get("BuildProperties"))
        .and_then(|at| at.get("Binary"));
    match (named, code) {
        (Some(name), _) => Ok(name.text()?.to_owned()),
        (None, Some(folder)) => Ok(folder
            .text()?
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()),
        (None, None) => Err(resource
            .error("has neither Metadata.BuildProperties.Binary nor CodeUri, so it has no code")),
    }
}
