//! Findings and the rules (checkpoints) that raise them.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde_json::json;
use shared::http::read_audit;
use shared::{
    domain::{
        findings::{
            finding::{Finding, State},
            rules::{RULES, Severity},
        },
        identity::matching,
        text::case_folding::fold,
        trail::search::Order,
    },
    http::{
        cursor::Binding,
        pagination::{MAX_ANSWER_BYTES, TIME_FOR_ONE_READ, limit},
        problem::Problem,
        read_audit::Question,
        request::{self, Parameters},
        search_parameters,
    },
    services::{access_projection::access_lists::ALL, reports::names_of},
    storage::projections::Kind,
};
use strum::VariantNames;
use tokio::time::Instant as Deadline;

use crate::routes::TenantCall;

/// Findings per read of the storage.
const AT_A_TIME: usize = 100;

/// `GET /v1/checkpoints`: the rules that raise findings. It takes no parameters.
pub async fn rules(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    Ok(request::json(200, &json!({"checkpoints": RULES, "thresholds": scope.settings.thresholds})))
}

/// `GET /v1/findings/{id}`: one finding.
pub async fn one(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("no finding with this id is in the tenant's trail");
    let id = request.path_parameters.get("id").filter(|id| id.len() <= 256).ok_or_else(missing)?;
    let finding = scope.projection(Kind::Finding, id).await?.ok_or_else(missing)?;
    Ok(request::json(200, &finding.read::<Finding>()?))
}

/// `GET /v1/findings`: findings, most recently raised first. Filters: time range, state, rule,
/// severity, owner, with or without an owner (`owned`), session, request, account, person, window
/// and application.
pub async fn list(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let known = [
        "since",
        "until",
        "tz",
        "state",
        "rule",
        "severity",
        "owner",
        "owned",
        "session",
        "request_id",
        "account",
        "person",
        "window",
        "application",
        "limit",
        "cursor",
    ];
    let parameters = Parameters::read(request, &known)?;
    let state = parameters.read_as("state", |text| {
        text.parse::<State>()
            .map_err(|_| format!("{text:?} must be one of {}", State::VARIANTS.join(", ")))
    })?;
    parameters.read_as("rule", |text| match RULES.iter().any(|rule| rule.name == text) {
        true => Ok(()),
        false => {
            let names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
            Err(format!("there is no rule {text:?}; there are {}", names.join(", ")))
        }
    })?;
    parameters.read_as("severity", |text| {
        text.parse::<Severity>()
            .map_err(|_| format!("{text:?} must be one of {}", Severity::VARIANTS.join(", ")))
    })?;
    let owned = parameters.flag("owned")?;
    let limit = limit(&parameters)?;
    let binding =
        Binding::new(&scope.tenant, reader, "findings", &parameters.identity(&["limit", "cursor"]));
    let mut after: Option<String> =
        parameters.get("cursor").map(|cursor| binding.position(cursor)).transpose()?;
    let range = search_parameters::range(scope, &parameters, None)?;
    let bounds = [range.since, range.until].map(|it| {
        let (first, last) = (0, 253_402_300_799_999);
        shared::domain::time::timestamp::Instant::from_millis(it.millis().clamp(first, last))
    });
    let names = match parameters.get("person") {
        Some(person) => Some(names_of(scope, person).await?),
        None => None,
    };
    let is = |name: &str, value: Option<&str>| {
        parameters
            .get(name)
            .is_none_or(|asked| value.is_some_and(|value| fold(value) == fold(asked)))
    };
    let is_wanted = |finding: &Finding| {
        let named = |name: &str, party: &Option<shared::domain::trail::event::Party>| {
            parameters.get(name).is_none_or(|asked| {
                party.as_ref().is_some_and(|party| matching::matches_search(party, asked))
            })
        };
        state.is_none_or(|state| finding.state == state)
            && is("rule", Some(&finding.rule))
            && is("severity", Some(&finding.severity))
            && is("session", finding.session.as_deref())
            && is("request_id", finding.request_id.as_deref())
            && is("window", finding.window.as_deref())
            && is("application", finding.application.as_deref())
            && (is("owner", finding.owner.as_deref()) || finding.owners.iter().any(|owner| is("owner", Some(owner))))
            && owned.is_none_or(|owned| finding.owner.is_some() == owned)
            && named("account", &finding.account)
            && names.as_ref().is_none_or(|names| finding.subject.as_ref().is_some_and(|it| matching::is_identified_by(it, names)))
            // A finding past its retention is never returned, even if it is not deleted yet.
            && finding.raised_at >= scope.now.minus(scope.settings.kept_at(finding.raised_at))
    };
    let page = async {
        let list = state.map_or(ALL, Into::into);
        let (mut page, mut bytes) = (Vec::new(), 0);
        let goes_on = 'pages: loop {
            let (places, next) = scope
                .listed(Kind::Finding, list, bounds, Order::Descending, after.as_deref())
                .await?;
            for chunk in places.chunks(AT_A_TIME) {
                let keys: Vec<String> = chunk.iter().map(|(_, key)| key.clone()).collect();
                let mut found: std::collections::HashMap<_, _> = scope
                    .projections(Kind::Finding, &keys)
                    .await?
                    .into_iter()
                    .map(|it| (it.key.clone(), it))
                    .collect();
                for (at, key) in chunk {
                    let finding = found
                        .remove(key)
                        .map(|projection| projection.read::<Finding>())
                        .transpose()?;
                    // The list may still have an entry at a position that the finding has left.
                    if let Some(finding) = finding.filter(|it| it.raised_at == *at && is_wanted(it))
                    {
                        let text = serde_json::to_string(&finding)
                            .map_err(|error| Problem::internal(&error))?;
                        bytes += request::escaped_len(&text) + 1;
                        if page.len() == limit || bytes > MAX_ANSWER_BYTES {
                            break 'pages true;
                        }
                        page.push(finding);
                    }
                    after = Some(format!("{at}#{key}"));
                }
                if Deadline::now() >= scope.deadline - 2 * TIME_FOR_ONE_READ {
                    break 'pages true;
                }
            }
            if next.is_none() {
                break false;
            }
            after = next;
        };
        let next = after.filter(|_| goes_on).map(|place| binding.cursor(&place));
        Ok(request::json(200, &json!({ "findings": page, "next": next })))
    };
    read_audit::on_record(scope, reader.caller, Question::of_list("findings", &parameters), page)
        .await
}
