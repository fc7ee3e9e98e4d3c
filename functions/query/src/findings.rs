//! Findings and the rules (checkpoints) that raise them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{
        configuration::settings::Thresholds,
        findings::{
            finding::{Finding, FindingState},
            rules::{RULES, Rule, Severity},
        },
        identity::matching,
        text::case_folding::fold,
        trail::search::Order,
    },
    http::{
        cursor::Binding,
        input::{Id, Query},
        output::{Json, List},
        pagination::{MAX_ANSWER_BYTES, TIME_FOR_ONE_READ, limit},
        parameters::{Cursor, Limit, ZoneName},
        problem::Problem,
        read_audit::{self, Question},
        request, search_parameters,
    },
    services::{access_projection::access_lists::ALL, reports::names_of},
    storage::{keys, projections::ProjectionKind},
};
use tokio::time::Instant as Deadline;

use crate::routes::TenantCall;

/// Findings per read of the storage.
const AT_A_TIME: usize = 100;

/// The rules that raise findings.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckpointsAnswer {
    /// Every checkpoint, with the severity of its findings.
    pub checkpoints: &'static [Rule],
    /// The tenant's thresholds, which some rules use.
    pub thresholds: Thresholds,
}

/// `GET /v1/checkpoints`: the rules that raise findings. It takes no parameters.
pub async fn rules(
    TenantCall { scope, .. }: &TenantCall<'_>,
    (): (),
) -> Result<Json<CheckpointsAnswer>, Problem> {
    let thresholds = scope.settings.thresholds.clone();
    Ok(Json(CheckpointsAnswer { checkpoints: RULES, thresholds }))
}

/// `GET /v1/findings/{id}`: one finding.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<Finding>, Problem> {
    let missing = || Problem::not_found("the tenant has no finding with this id");
    let id = Some(id.as_str()).filter(|id| id.len() <= 256).ok_or_else(missing)?;
    let finding = scope.projection(ProjectionKind::Finding, id).await?.ok_or_else(missing)?;
    Ok(Json(finding.read()?))
}

/// The parameters of `GET /v1/findings`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct FindingsQuery {
    /// Only findings raised at or after this time: RFC 3339, or a date or time in `tz`.
    pub since: Option<String>,
    /// Only findings raised before this time. A date is its first moment.
    pub until: Option<String>,
    pub tz: Option<ZoneName>,
    pub state: Option<FindingState>,
    /// The name of a checkpoint, as `GET /v1/checkpoints` lists them.
    #[schemars(extend("enum" = RULES.iter().map(|rule| rule.name).collect::<Vec<_>>()))]
    pub rule: Option<String>,
    pub severity: Option<Severity>,
    /// The e-mail address of the owner.
    pub owner: Option<String>,
    /// Only findings with (`true`) or without (`false`) an owner.
    pub owned: Option<bool>,
    /// Only findings that rest on history alone (`true`), or on something else as well (`false`).
    pub found_later: Option<bool>,
    /// The id of a session.
    pub session: Option<String>,
    /// The id of a request for an access package.
    pub request_id: Option<String>,
    /// An account, by id, name or e-mail address.
    pub account: Option<String>,
    /// A person, by any of their ids.
    pub person: Option<String>,
    /// The id of a window.
    pub window: Option<String>,
    /// The id of an application.
    pub application: Option<String>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/findings`: findings, most recently raised first. Filters: time range, state, rule,
/// severity, owner, with or without an owner (`owned`), found later or not, session, request, account, person, window
/// and application.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<FindingsQuery>,
) -> Result<List<Finding>, Problem> {
    let binding =
        Binding::new(&scope.tenant, reader, "findings", &parameters.identity(&["limit", "cursor"]));
    let asked = parameters.check(|values, parameters| {
        parameters.read_as("rule", |text| match RULES.iter().any(|rule| rule.name == text) {
            true => Ok(()),
            false => {
                let names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
                Err(format!("there is no rule {text:?}; there are {}", names.join(", ")))
            }
        });
        let after: Option<String> = parameters.position("cursor", &binding);
        let range = search_parameters::range(scope, parameters, None);
        let words = (values.state, values.owned, values.found_later);
        Some((words, limit(parameters), after, range))
    });
    let ((state, owned, found_later), limit, mut after, range) = asked?;
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
            && found_later.is_none_or(|found_later| finding.found_later == found_later)
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
                .listed(ProjectionKind::Finding, list, bounds, Order::Descending, after.as_deref())
                .await?;
            for chunk in places.chunks(AT_A_TIME) {
                let ids: Vec<String> = chunk.iter().map(|(_, key)| key.clone()).collect();
                let mut found: std::collections::HashMap<_, _> = scope
                    .projections(ProjectionKind::Finding, &ids)
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
                    after = Some(keys::list_place(*at, key));
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
        Ok(List { items: page, next })
    };
    read_audit::on_record(scope, reader.caller, Question::of_list("findings", &parameters), page)
        .await
}
