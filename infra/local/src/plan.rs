//! The plan: what a template comes to on one machine, as tables, functions, routes, schedules and streams.

mod parameters;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    known,
    template::{
        At, TemplateError, UNKNOWN,
        intrinsics::{Attributes, Named, Scope},
    },
};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "000000000000";
const STACK: &str = "jit-audit";

/// What is built from a template.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) api: Option<Api>,
    pub(crate) tables: Vec<Table>,
    /// The buckets' names.
    pub(crate) buckets: Vec<String>,
    /// The topics' ARNs.
    pub(crate) topics: Vec<String>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) functions: Vec<Function>,
}

/// The HTTP API.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) id: String,
    pub(crate) authorizers: BTreeMap<String, Jwt>,
    pub(crate) throttle: Option<Throttle>,
    default_authorizer: Option<String>,
}

/// Whose tokens a JWT authorizer takes.
#[derive(Clone, Debug)]
pub(crate) struct Jwt {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
}

/// Requests a second, and how many at once before that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    pub(crate) rate: f64,
    pub(crate) burst: f64,
}

/// A table and its name in the engine.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) logical: String,
    pub(crate) name: String,
    pub(crate) stream_arn: Option<String>,
    pub(crate) ttl: Option<String>,
    /// The CreateTable request.
    pub(crate) request: Value,
}

/// A secret that is generated when the stack is first started.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) logical: String,
    pub(crate) arn: String,
    /// How many letters and digits it has.
    pub(crate) length: usize,
}

/// A function and what calls it.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// The binary that holds its code: what it is registered by.
    pub(crate) binary: String,
    pub(crate) timeout: Duration,
    /// How often an asynchronous invocation that failed is tried again.
    pub(crate) retries: u32,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) routes: Vec<Route>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) streams: Vec<Stream>,
    /// Where it stands, for errors.
    pub(crate) at: At,
}

/// A route of the HTTP API.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Upper case; `ANY`; or empty for `$default`.
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorizer: Option<String>,
    /// Scopes of which a token has to have one, if there are any.
    pub(crate) scopes: Vec<String>,
    pub(crate) timeout: Duration,
}

/// When a function is called, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) name: String,
    pub(crate) minutes: u32,
    pub(crate) input: ScheduleInput,
}

/// The event of a schedule.
#[derive(Clone, Debug)]
pub(crate) enum ScheduleInput {
    /// What the template gives.
    Given(Value),
    /// EventBridge's own event of a rule.
    Rule,
    /// EventBridge Scheduler's own event.
    Scheduler,
}

/// A table's stream that a function reads.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) from_start: bool,
    pub(crate) batch: usize,
    pub(crate) window: Duration,
    /// `None`: until the record is too old.
    pub(crate) retries: Option<u32>,
    pub(crate) oldest: Duration,
    pub(crate) bisect: bool,
    pub(crate) reports_failures: bool,
}

/// What is known before the template is read.
pub(crate) struct Machine<'m> {
    /// Where the API answers.
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
        let scope = scope(&template, &resources, machine)?;
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
                    return Err(resource.error("the runner serves one HTTP API only"));
                }
                known::HTTP_API => plan.api = Some(api(&scope, &resource)?),
                known::TABLE => plan.tables.push(table(&scope, &name, &resource)?),
                known::BUCKET => {
                    resource_properties(&scope, &resource, known::BUCKET)?;
                    plan.buckets.push(bucket_name(&name));
                }
                known::TOPIC => {
                    resource_properties(&scope, &resource, known::TOPIC)?;
                    plan.topics.push(topic_arn(&format!("{STACK}-{name}")));
                }
                known::SECRET => plan.secrets.push(secret(&scope, &name, &resource)?),
                known::FUNCTION => functions.push((name, resource)),
                other if known::TYPES_PASSED_OVER.contains(&other) => {}
                other => return Err(kind.error(format!("{other}: {UNKNOWN}"))),
            }
        }
        for (name, resource) in functions {
            let function = function(&scope, &name, &resource, &globals, &plan)?;
            plan.functions.push(function);
        }
        Ok(plan)
    }
}

/// What the names of the template stand for.
fn scope(template: &At, resources: &At, machine: &Machine<'_>) -> Result<Scope, TemplateError> {
    let mut scope = Scope::default();
    for (name, text) in [
        ("AWS::AccountId", ACCOUNT),
        ("AWS::Partition", "aws"),
        ("AWS::Region", REGION),
        ("AWS::StackName", STACK),
        ("AWS::URLSuffix", "amazonaws.com"),
    ] {
        scope.parameter(name, text);
    }
    parameters::read(template, machine, &mut scope)?;
    if let Some(conditions) = template.get("Conditions") {
        for (name, condition) in conditions.entries()? {
            scope.condition(&name, condition);
        }
    }
    for (name, resource) in resources.entries()? {
        let physical = format!("{STACK}-{name}");
        let named = match resource.need("Type")?.text()? {
            known::TABLE => Named {
                attributes: Attributes::These(BTreeMap::from([
                    ("Arn", table_arn(&physical)),
                    ("StreamArn", stream_arn(&physical)),
                ])),
                reference: physical,
            },
            known::FUNCTION => Named {
                attributes: Attributes::These(BTreeMap::from([("Arn", function_arn(&physical))])),
                reference: physical,
            },
            known::BUCKET => Named {
                attributes: Attributes::These(BTreeMap::from([(
                    "Arn",
                    format!("arn:aws:s3:::{}", bucket_name(&name)),
                )])),
                reference: bucket_name(&name),
            },
            // A topic is referred to by its ARN.
            known::TOPIC => Named {
                attributes: Attributes::These(BTreeMap::from([
                    ("TopicArn", topic_arn(&physical)),
                    ("TopicName", physical.clone()),
                ])),
                reference: topic_arn(&physical),
            },
            // So is a secret, whose ARN is its only attribute.
            known::SECRET => Named {
                attributes: Attributes::These(BTreeMap::from([("Id", secret_arn(&physical))])),
                reference: secret_arn(&physical),
            },
            known::HTTP_API => Named {
                attributes: Attributes::These(BTreeMap::from([
                    ("ApiId", name.clone()),
                    ("ApiEndpoint", machine.url.to_owned()),
                ])),
                reference: name.clone(),
            },
            _ => Named { attributes: Attributes::Placeholder, reference: physical },
        };
        scope.resource(&name, named);
    }
    Ok(scope)
}

/// A bucket's name is part of addresses, where case does not count, and of file names, which have to be short.
fn bucket_name(logical: &str) -> String {
    logical.to_lowercase()
}

fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

fn stream_arn(table: &str) -> String {
    format!("{}/stream/local", table_arn(table))
}

fn topic_arn(name: &str) -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}")
}

fn secret_arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}")
}

fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

/// The honoured properties of a part, their functions worked out. What is passed over is not even looked at.
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

fn api(scope: &Scope, resource: &At) -> Result<Api, TemplateError> {
    let properties = resource_properties(scope, resource, known::HTTP_API)?;
    let id = resource_name(resource);
    let mut api =
        Api { id, authorizers: BTreeMap::new(), default_authorizer: None, throttle: None };
    if let Some(settings) = properties.get("DefaultRouteSettings") {
        settings.entries_of(&[
            "DetailedMetricsEnabled",
            "ThrottlingBurstLimit",
            "ThrottlingRateLimit",
        ])?;
        let limit = |name| settings.need(name)?.parsed::<f64>("a number");
        api.throttle = Some(Throttle {
            rate: limit("ThrottlingRateLimit")?,
            burst: limit("ThrottlingBurstLimit")?,
        });
    }
    let Some(auth) = properties.get("Auth") else { return Ok(api) };
    auth.entries_of(&["Authorizers", "DefaultAuthorizer"])?;
    for (name, authorizer) in auth.need("Authorizers")?.entries()? {
        authorizer.entries_of(&["IdentitySource", "JwtConfiguration"])?;
        let source = authorizer.need("IdentitySource")?;
        if source.text()? != "$request.header.Authorization" {
            return Err(
                source.error("the runner reads tokens from $request.header.Authorization only")
            );
        }
        let jwt = authorizer.need("JwtConfiguration")?;
        jwt.entries_of(&["audience", "issuer"])?;
        let (issuer, audiences) =
            (jwt.need("issuer")?.text()?.to_owned(), jwt.need("audience")?.texts()?);
        api.authorizers.insert(name, Jwt { issuer, audiences });
    }
    if let Some(default) = auth.get("DefaultAuthorizer") {
        api.default_authorizer = Some(known_authorizer(&api, &default)?);
    }
    Ok(api)
}

/// The logical id of a resource: the last step of its path.
fn resource_name(resource: &At) -> String {
    resource.path().rsplit('.').next().unwrap_or_default().to_owned()
}

fn known_authorizer(api: &Api, at: &At) -> Result<String, TemplateError> {
    let name = at.text()?;
    match api.authorizers.contains_key(name) {
        true => Ok(name.to_owned()),
        false => Err(at.error(format!("the API has no authorizer {name}"))),
    }
}

fn table(scope: &Scope, logical: &str, resource: &At) -> Result<Table, TemplateError> {
    let properties = resource_properties(scope, resource, known::TABLE)?;
    let name = format!("{STACK}-{logical}");
    let need = |name: &str| {
        properties.get(name).ok_or_else(|| resource.error(format!("{name} is missing")))
    };
    let mut request = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": key_schema(need("KeySchema")?)?,
        "AttributeDefinitions": pairs(need("AttributeDefinitions")?, "AttributeName", "AttributeType")?,
    });
    if let Some(protected) = properties.get("DeletionProtectionEnabled") {
        request["DeletionProtectionEnabled"] = protected.boolean()?.into();
    }
    for kind in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        if let Some(indexes) = properties.get(kind) {
            request[kind] =
                indexes.items()?.iter().map(index).collect::<Result<Vec<_>, _>>()?.into();
        }
    }
    let mut stream = None;
    if let Some(specification) = properties.get("StreamSpecification") {
        specification.entries_of(&["StreamViewType"])?;
        let view = specification.need("StreamViewType")?.text()?.to_owned();
        request["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
        stream = Some(stream_arn(&name));
    }
    let mut ttl = None;
    if let Some(specification) = properties.get("TimeToLiveSpecification") {
        specification.entries_of(&["AttributeName", "Enabled"])?;
        if specification.need("Enabled")?.boolean()? {
            ttl = Some(specification.need("AttributeName")?.text()?.to_owned());
        }
    }
    Ok(Table { logical: logical.to_owned(), name, stream_arn: stream, ttl, request })
}

fn secret(scope: &Scope, logical: &str, resource: &At) -> Result<Secret, TemplateError> {
    let properties = resource_properties(scope, resource, known::SECRET)?;
    let generated = properties.get("GenerateSecretString").ok_or_else(|| {
        resource.error("GenerateSecretString is missing: the runner has no other secrets")
    })?;
    generated.entries_of(&["ExcludePunctuation", "PasswordLength"])?;
    let plain = generated.need("ExcludePunctuation")?;
    if !plain.boolean()? {
        return Err(plain.error("the runner generates letters and digits only"));
    }
    let length = generated.need("PasswordLength")?.parsed("a whole number")?;
    Ok(Secret {
        logical: logical.to_owned(),
        arn: secret_arn(&format!("{STACK}-{logical}")),
        length,
    })
}

fn index(index: &At) -> Result<Value, TemplateError> {
    // Throughput is billing: every table is on demand here.
    index.entries_of(&[
        "IndexName",
        "KeySchema",
        "OnDemandThroughput",
        "Projection",
        "ProvisionedThroughput",
    ])?;
    let projection = index.need("Projection")?;
    projection.entries_of(&["NonKeyAttributes", "ProjectionType"])?;
    let mut projected = json!({"ProjectionType": projection.need("ProjectionType")?.text()?});
    if let Some(names) = projection.get("NonKeyAttributes") {
        projected["NonKeyAttributes"] = names.texts()?.into();
    }
    Ok(json!({
        "IndexName": index.need("IndexName")?.text()?,
        "KeySchema": key_schema(&index.need("KeySchema")?)?,
        "Projection": projected,
    }))
}

fn key_schema(at: &At) -> Result<Value, TemplateError> {
    pairs(at, "AttributeName", "KeyType")
}

/// A list of mappings of two texts each.
fn pairs(at: &At, first: &str, second: &str) -> Result<Value, TemplateError> {
    let pair = |item: &At| -> Result<Value, TemplateError> {
        item.entries_of(&[first, second])?;
        Ok(json!({first: item.need(first)?.text()?, second: item.need(second)?.text()?}))
    };
    Ok(at.items()?.iter().map(pair).collect::<Result<Vec<_>, _>>()?.into())
}

fn function(
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
        // Where failures go and how long they may wait: here they are logged, and end with the process.
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

fn route(api: &Api, part: &At, properties: &BTreeMap<String, At>) -> Result<Route, TemplateError> {
    let text = |name: &str| properties.get(name).map(|at| at.text().map(str::to_owned)).transpose();
    match properties.get("ApiId") {
        None => {
            return Err(part.error(
                "ApiId is missing: name the HTTP API, as the runner makes no implicit one",
            ));
        }
        Some(id) if id.text()? != api.id => return Err(id.error("is not the template's HTTP API")),
        Some(_) => {}
    }
    if let Some(version) = properties.get("PayloadFormatVersion")
        && version.text()? != "2.0"
    {
        return Err(version.error("the runner speaks payload format 2.0 only"));
    }
    let (method, path) = match (text("Method")?, text("Path")?) {
        (None, None) => (String::new(), "$default".to_owned()),
        (None, Some(path)) if path == "$default" => (String::new(), path),
        (Some(method), Some(path)) if path.starts_with('/') => (method.to_uppercase(), path),
        _ => {
            return Err(
                part.error("needs a Method and a Path that starts with /, or neither for $default")
            );
        }
    };
    let method = if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" { "ANY".to_owned() } else { method };
    let mut route = Route {
        method,
        path,
        authorizer: api.default_authorizer.clone(),
        scopes: Vec::new(),
        // The longest that an HTTP API waits for an answer.
        timeout: Duration::from_secs(30),
    };
    if let Some(millis) = properties.get("TimeoutInMillis") {
        route.timeout =
            route.timeout.min(Duration::from_millis(millis.parsed("whole milliseconds")?));
    }
    if let Some(auth) = properties.get("Auth") {
        auth.entries_of(&["AuthorizationScopes", "Authorizer"])?;
        match auth.get("Authorizer") {
            Some(at) if at.text()? == "NONE" => route.authorizer = None,
            Some(at) => route.authorizer = Some(known_authorizer(api, &at)?),
            None => {}
        }
        if let Some(scopes) = auth.get("AuthorizationScopes") {
            route.scopes = scopes.texts()?;
        }
    }
    Ok(route)
}

fn schedule(
    part: &At,
    name: String,
    properties: &BTreeMap<String, At>,
) -> Result<Option<Schedule>, TemplateError> {
    let input = match given_input(properties)? {
        Some(value) => ScheduleInput::Given(value),
        None => ScheduleInput::Rule,
    };
    enabled_schedule(part, name, properties, "Schedule", input)
}

fn schedule_v2(
    part: &At,
    name: String,
    properties: &BTreeMap<String, At>,
) -> Result<Option<Schedule>, TemplateError> {
    if let Some(at) = properties.get("Input")
        && at.text()?.contains("<aws.scheduler.")
    {
        return Err(
            at.error("the runner does not fill in <aws.scheduler.…> in an Input; leave it out")
        );
    }
    let input = match given_input(properties)? {
        Some(value) => ScheduleInput::Given(value),
        None => ScheduleInput::Scheduler,
    };
    enabled_schedule(part, name, properties, "ScheduleExpression", input)
}

fn given_input(properties: &BTreeMap<String, At>) -> Result<Option<Value>, TemplateError> {
    let Some(at) = properties.get("Input") else { return Ok(None) };
    serde_json::from_str(at.text()?)
        .map(Some)
        .map_err(|error| at.error(format!("is not JSON: {error}")))
}

fn enabled_schedule(
    part: &At,
    name: String,
    properties: &BTreeMap<String, At>,
    expression: &str,
    input: ScheduleInput,
) -> Result<Option<Schedule>, TemplateError> {
    let at =
        properties.get(expression).ok_or_else(|| part.error(format!("{expression} is missing")))?;
    let minutes = rate(at)?;
    let enabled = match (properties.get("Enabled"), properties.get("State")) {
        (Some(at), _) => at.boolean()?,
        (None, Some(at)) => match at.text()? {
            "ENABLED" => true,
            "DISABLED" => false,
            other => return Err(at.error(format!("{other} has to be ENABLED or DISABLED"))),
        },
        (None, None) => true,
    };
    Ok(enabled.then_some(Schedule { name, minutes, input }))
}

/// The minutes of `rate(5 minutes)`. EventBridge wants the singular for 1 and the plural for all else, and so do we.
fn rate(at: &At) -> Result<u32, TemplateError> {
    let text = at.text()?;
    let inner = text
        .strip_prefix("rate(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|rest| rest.split_once(' '));
    let minutes = match inner {
        Some((number, unit)) => {
            number.parse::<u32>().ok().and_then(|number| match (number, unit) {
                (1, "minute") => Some(1),
                (1, "hour") => Some(60),
                (1, "day") => Some(24 * 60),
                (2.., "minutes") => Some(number),
                (2.., "hours") => number.checked_mul(60),
                (2.., "days") => number.checked_mul(24 * 60),
                _ => None,
            })
        }
        None => None,
    };
    minutes.ok_or_else(|| {
        at.error(format!(
            "{text:?}: the runner knows rate(1 minute), rate(5 minutes), hours and days; use one of these"
        ))
    })
}

fn stream(
    part: &At,
    name: String,
    found: &BTreeMap<String, At>,
    plan: &Plan,
) -> Result<Option<Stream>, TemplateError> {
    let need = |name: &str| found.get(name).ok_or_else(|| part.error(format!("{name} is missing")));
    let stream = need("Stream")?;
    let arn = stream.text()?.to_owned();
    if !plan.tables.iter().any(|table| table.stream_arn.as_deref() == Some(&arn)) {
        return Err(stream
            .error("is not the StreamArn of a table with a StreamSpecification in this template"));
    }
    let position = need("StartingPosition")?;
    let from_start = match position.text()? {
        "TRIM_HORIZON" => true,
        "LATEST" => false,
        other => return Err(position.error(format!("{other} has to be TRIM_HORIZON or LATEST"))),
    };
    let mut reports_failures = false;
    if let Some(types) = found.get("FunctionResponseTypes") {
        for kind in types.items()? {
            match kind.text()? {
                "ReportBatchItemFailures" => reports_failures = true,
                other => return Err(kind.error(format!("{other}: {UNKNOWN}"))),
            }
        }
    }
    let boolean = |name: &str, default| found.get(name).map_or(Ok(default), At::boolean);
    let number = |name: &str, default: i64| {
        found.get(name).map_or(Ok(default), |at| at.parsed("a whole number"))
    };
    // A stream keeps its records for a day; -1 stands for no limit of one's own.
    let oldest = u64::try_from(number("MaximumRecordAgeInSeconds", -1)?).unwrap_or(24 * 60 * 60);
    let stream = Stream {
        name,
        arn,
        from_start,
        batch: usize::try_from(number("BatchSize", 100)?).unwrap_or(100).clamp(1, 10_000),
        window: Duration::from_secs(
            u64::try_from(number("MaximumBatchingWindowInSeconds", 0)?).unwrap_or(0),
        ),
        retries: u32::try_from(number("MaximumRetryAttempts", -1)?).ok(),
        oldest: Duration::from_secs(oldest),
        bisect: boolean("BisectBatchOnFunctionError", false)?,
        reports_failures,
    };
    Ok(boolean("Enabled", true)?.then_some(stream))
}
