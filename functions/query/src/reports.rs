//! The list of reports, and one page of a report.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde_json::{Value, json};
use shared::http::read_audit;
use shared::http::report_request;
use shared::services::access_projection;
use shared::{
    domain::{
        json::object_reader::NAME_BYTES,
        reports::{
            access_reports::AccessReport,
            event_reports::EventReport,
            report::{Described, ParameterType, Query, Report, reports},
        },
        time::time_zone,
        trail::actions::ReadingAction,
    },
    http::{
        cursor::Binding,
        pagination::{MAX_ANSWER_BYTES, TIME_FOR_ONE_READ, limit},
        problem::Problem,
        read_audit::Question,
        request::{self, Parameters},
    },
    services::reports::{Rows, revocation_summary},
    storage::TenantScope,
};
use tokio::time::Instant as Deadline;

use crate::routes::{Call, TenantCall};

/// `GET /v1/reports`: the reports with their parameters and columns. It takes no parameters.
pub async fn list(Call { request, .. }: &Call<'_>) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let mut described: Vec<_> = reports().collect();
    described.sort_by_key(|it| it.group);
    let reports: Vec<Value> = described.into_iter().map(describe).collect();
    Ok(request::json(200, &json!({ "reports": reports })))
}

/// All that is needed to ask for a report and to draw its answer. `columns` are the titles by which an export chooses
/// columns.
fn describe(described: &Described) -> Value {
    let cells = (described.columns)();
    let titles: Vec<_> = cells.iter().map(|head| head.title).collect();
    let inputs = described.parameters().map(|parameter| {
        let mut input = json!(parameter);
        input["required"] = described.needs.contains(&parameter.name).into();
        if parameter.kind == ParameterType::Choice {
            input["options"] = json!(described.groupings);
        }
        input
    });
    json!({
        "name": described.name, "group": described.group, "answers": described.answers, "note": described.note,
        "parameters": described.takes, "required": described.needs, "inputs": inputs.collect::<Vec<_>>(),
        "columns": titles, "cells": cells, "views": described.views,
    })
}

/// `GET /v1/reports/{report}` and `GET /v1/reports/requests/{id}`: one page of a report.
pub async fn one(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let name = request.path_parameters.get("report").map_or("requests", String::as_str);
    let described = Report::named(name).filter(|it| {
        it.report != Report::Event(EventReport::Requests)
            || !request.path_parameters.contains_key("report")
    });
    let described = described.ok_or_else(|| {
        let names: Vec<_> = reports().map(|it| it.name).collect();
        Problem::not_found(format!(
            "there is no report {name:?}; there are {} (requests as requests/<id>)",
            names.join(", ")
        ))
    })?;
    let mut known: Vec<&str> =
        described.takes.iter().copied().filter(|name| *name != "id").collect();
    known.extend(["tz", "limit", "cursor"]);
    let mut parameters = Parameters::read(request, &known)?;
    if let Some(id) = request.path_parameters.get("id") {
        let missing =
            || Problem::not_found("there is no request with this id in the tenant's trail");
        parameters
            .set("id", Some(id.as_str()).filter(|id| id.len() <= NAME_BYTES).ok_or_else(missing)?);
    }
    let zone = time_zone::zone(parameters.get("tz").unwrap_or(&scope.settings.zone));
    let zone = zone.map_err(|detail| Problem::bad_request(format!("\"tz\": {detail}")))?;
    let query = report_request::read_query(described, &parameters, &zone)?;
    let limit = limit(&parameters)?;
    let binding = Binding::new(
        &scope.tenant,
        reader,
        described.name,
        &parameters.identity(&["limit", "cursor"]),
    );
    let after: Option<String> =
        parameters.get("cursor").map(|cursor| binding.position(cursor)).transpose()?;
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
    described: &Described,
    query: Query,
    limit: usize,
    after: Option<String>,
    binding: &Binding<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
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
        return Err(Problem::not_found("there is no request with this id in the tenant's trail"));
    }
    let next = last.filter(|_| !is_end).map(|place| binding.cursor(&place));
    let mut answer =
        json!({"report": described.name, "as_of": scope.now, "rows": page, "next": next});
    if let Some(note) = described.note {
        answer["note"] = note.into();
    }
    if described.report == Report::Access(AccessReport::Revocation) && after.is_none() {
        answer["summary"] = json!(revocation_summary(scope, &query).await?);
    }
    // The trail knows nothing of the time before its first event. The answer says so, because an
    // empty report must not read as "nothing happened".
    let known_since = access_projection::known_since(scope).await?;
    answer["known_since"] = json!(known_since);
    let reaches_back = match (query.at, query.since) {
        (Some(first), _) | (None, Some(first)) => known_since.is_none_or(|known| first < known),
        (None, None) => false,
    };
    if reaches_back {
        let note = "what was before the first imported record is not known";
        let more = answer["note"].as_str().map(|more| format!("{more}; {note}"));
        answer["note"] = more.unwrap_or_else(|| note.to_owned()).into();
    }
    Ok(request::json(200, &answer))
}
