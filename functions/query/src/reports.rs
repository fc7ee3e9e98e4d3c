//! The list of reports, and one page of a report.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use shared::{
    domain::{
        json::object_reader::NAME_BYTES,
        reports::{
            access_reports::AccessReport,
            event_reports::EventReport,
            report::{PARAMETERS, ParameterType, Query, Report, reports},
            report_answer::{ReportAnswer, ReportDescriptionAnswer, ReportsAnswer},
        },
        trail::actions::ReadingAction,
    },
    http::{
        cursor::Binding,
        description::Operation,
        input::{self, Id, Input, Part},
        output::{Json, Page},
        pagination::{MAX_ANSWER_BYTES, TIME_FOR_ONE_READ, limit},
        parameter_reader::Parameters,
        parameters::{Cursor, Limit, ZoneName},
        problem::Problem,
        read_audit::{self, Question},
        report_request,
        request::{self, Request},
        search_parameters,
    },
    services::{
        access_projection,
        reports::{Rows, revocation_summary},
    },
    storage::TenantScope,
};
use tokio::time::Instant as Deadline;

pub use shared::domain::reports::report::Described;

use crate::routes::{Call, TenantCall};

/// `GET /v1/reports`: the reports with their parameters and columns.
pub async fn list(_: &Call<'_>, (): ()) -> Result<Json<ReportsAnswer>, Problem> {
    let mut described: Vec<_> = reports().collect();
    described.sort_by_key(|it| it.group);
    let reports = described.into_iter().map(ReportDescriptionAnswer::from).collect();
    Ok(Json(ReportsAnswer { reports }))
}

/// The name of a report in the path.
#[derive(Debug)]
pub struct Name(String);

impl Part for Name {
    fn read(request: &Request) -> Result<Self, Problem> {
        Ok(Self(request.path_parameters.get("report").cloned().unwrap_or_default()))
    }

    fn describe(operation: &mut Operation<'_>) {
        let names: Vec<_> = by_name().map(|it| it.name).collect();
        operation.path_parameter(
            "report",
            "The name of the report.",
            &json!({"type": "string", "enum": names}),
        );
    }
}

/// The path of a report, as in the table of routes.
pub const PATH: &str = "/v1/reports/{report}";

/// Describes one report: its own parameters and rows.
pub fn describe(described: &'static Described, operation: &mut Operation<'_>) {
    for parameter in described.parameters() {
        let mut schema = json!({"type": "string", "minLength": 1, "examples": [parameter.example]});
        if parameter.kind == ParameterType::Choice {
            let values: Vec<_> = described.groupings.iter().map(|it| it.value.as_str()).collect();
            schema = json!({"type": "string", "enum": values, "default": values.first()});
        }
        let is_required = described.needs.contains(&parameter.name);
        operation.query_parameter(parameter.name, is_required, meaning(parameter.name), &schema);
    }
    operation.query_parameters::<PagedQuery>();
    let schema = |generator: &mut _| ReportAnswer::schema_of(described.report, generator);
    operation.answer_with(200, "A page of the report.", schema);
    operation.links_to_next();
}

/// What a parameter means, for readers of the API's description.
fn meaning(parameter: &str) -> &'static str {
    match parameter {
        "since" => {
            "The start of the range: RFC 3339, a date or time in `tz`, or `all` for no bound. What overlaps the range is in the report."
        }
        "until" => "The end of the range, exclusive: a time as for `since`, or `all` for no bound.",
        "at" => "The moment that the report is about: RFC 3339, or a date or time in `tz`.",
        "person" => "A person, by any of their ids or e-mail addresses.",
        "account" => "An account, by id, name or e-mail address.",
        "target" => "A target, by id or name.",
        "package" => "An access package, by id or name.",
        "by" => "What each row is about.",
        _ => "The id of a request.",
    }
}

/// The reports at [`PATH`].
pub fn by_name() -> impl Iterator<Item = &'static Described> {
    reports().filter(|it| it.report != Report::Event(EventReport::Requests))
}

/// The parameters of a report. Which ones there are depends on the report.
#[derive(Debug)]
pub struct ReportQuery(Parameters);

impl Input for ReportQuery {
    fn read(request: &Request) -> Result<Self, Problem> {
        Ok(Self(Parameters::from_query(request)))
    }

    fn describe(operation: &mut Operation<'_>) {
        let schema = json!({"type": "string", "minLength": 1});
        for parameter in PARAMETERS.iter().filter(|parameter| parameter.name != "id") {
            operation.query_parameter(parameter.name, false, meaning(parameter.name), &schema);
        }
        operation.query_parameters::<PagedQuery>();
    }
}

/// The parameters of every report.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PagedQuery {
    pub tz: Option<ZoneName>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/reports/{report}`: one page of a report.
pub async fn one(
    call: &TenantCall<'_>,
    (Name(name), ReportQuery(parameters)): (Name, ReportQuery),
) -> Result<Page<ReportAnswer>, Problem> {
    let described = by_name().find(|it| it.name == name).ok_or_else(|| {
        let names: Vec<_> = by_name().map(|it| it.name).collect();
        Problem::not_found(format!(
            "there is no report {name:?}; the reports are {} and requests/<id>",
            names.join(", ")
        ))
    })?;
    run(call, described, &parameters).await
}

/// `GET /v1/reports/requests/{id}`: all that is known about one request.
pub async fn request(
    call: &TenantCall<'_>,
    (id, mut parameters): (Id, input::Query<PagedQuery>),
) -> Result<Page<ReportAnswer>, Problem> {
    let missing = || Problem::not_found("the tenant has no request with this id");
    let id = Some(id.as_str()).filter(|id| id.len() <= NAME_BYTES).ok_or_else(missing)?;
    parameters.set("id", id);
    run(call, Report::Event(EventReport::Requests).described(), &parameters).await
}

async fn run(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    described: &'static Described,
    parameters: &Parameters,
) -> Result<Page<ReportAnswer>, Problem> {
    let binding = Binding::new(
        &scope.tenant,
        reader,
        described.name,
        &parameters.identity(&["limit", "cursor"]),
    );
    let (query, limit, after) = parameters.check(|parameters| {
        let known = described.takes.iter().copied().chain(["tz", "limit", "cursor"]);
        parameters.refuse_others(&known.collect::<Vec<_>>());
        let zone = search_parameters::zone(scope, parameters);
        let query = report_request::read_query(described, parameters, zone.as_ref());
        let after: Option<String> = parameters.position("cursor", &binding);
        Some((query, limit(parameters), after))
    })?;
    let question = Question {
        action: ReadingAction::ReportRun,
        of: Some(("report", described.name)),
        parameters: parameters.identity(&["limit", "cursor"]),
    };
    let page = page(scope, described, query, limit, after, &binding);
    read_audit::on_record(scope, reader.caller, question, page).await
}

async fn page(
    scope: &TenantScope<'_>,
    described: &'static Described,
    query: Query,
    limit: usize,
    after: Option<String>,
    binding: &Binding<'_>,
) -> Result<Page<ReportAnswer>, Problem> {
    let mut rows = Rows::of(scope, query.clone(), after.clone()).await?;
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, None);
    let is_end = loop {
        if Deadline::now() >= scope.deadline - 2 * TIME_FOR_ONE_READ && last.is_some() {
            break false;
        }
        let Some((row, place)) = rows.next().await? else { break true };
        if let Some(row) = row.map(|row| row.json()) {
            bytes += request::escaped_len(&row.to_string()) + 1;
            // The page is full: the next page starts with this row.
            if page.len() == limit || (bytes > MAX_ANSWER_BYTES && !page.is_empty()) {
                break false;
            }
            page.push(row);
        }
        last = Some(place);
    };
    if described.report == Report::Event(EventReport::Requests)
        && after.is_none()
        && page.is_empty()
        && is_end
    {
        return Err(Problem::not_found("the tenant has no request with this id"));
    }
    let next = last.filter(|_| !is_end).map(|place| binding.cursor(&place));
    let summary = match described.report {
        Report::Access(AccessReport::Revocation) if after.is_none() => {
            Some(revocation_summary(scope, &query).await?)
        }
        _ => None,
    };
    // The trail knows nothing of the time before its first event. The answer says so, because an
    // empty report must not read as "nothing happened".
    let known_since = access_projection::known_since(scope).await?;
    let reaches_back = match (query.at, query.since) {
        (Some(first), _) | (None, Some(first)) => known_since.is_none_or(|known| first < known),
        (None, None) => false,
    };
    let unknown = reaches_back.then_some("changes before the first imported record are not known");
    let notes: Vec<_> = described.note.into_iter().chain(unknown).collect();
    let body = ReportAnswer {
        report: described.report,
        as_of: scope.now,
        rows: page,
        next: next.clone(),
        known_since,
        note: Some(notes.join("; ")).filter(|note| !note.is_empty()),
        summary,
    };
    Ok(Page { body, next })
}
