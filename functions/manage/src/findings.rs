//! Resolving findings, and rebuilding projections.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use shared::{
    domain::{
        findings::finding::{DispositionRequest, Finding, FindingState, Said, Verdict},
        trail::{
            actions::FindingAction,
            event::{Event, EventId, Party, Session},
        },
    },
    http::{
        input::{Body, EmptyBody, Id},
        output::{Accepted, Json},
        problem::Problem,
    },
    platform::backoff::{Unavailable, contended},
    services::{
        access_projection,
        finding_dispositions::{self, Refusal},
    },
    storage::{ReadError, insert_events::Insertion, projections::ProjectionKind},
};

use crate::{Manage, routes::Call};

/// Attempts after concurrent changes of a finding.
const TRIES: usize = 5;

/// `POST /v1/findings/{id}/disposition`: resolves or assigns a finding, with a reason and an owner.
///
/// # Errors
/// 403 where nothing tells the caller from the people it is about; 404; 409 where it was withdrawn, or is about the caller; 422 for what is wrong with the request; 503.
pub async fn disposition(
    Call { scope, caller, .. }: &Call<'_>,
    (id, body): (Id, Body<DispositionRequest>),
) -> Result<Json<Finding>, Problem> {
    let said = body.read_with("the finding was not dispositioned", Said::read)?;
    let missing = || Problem::not_found("the tenant has no finding with this id");
    let id = Some(id.as_str()).filter(|id| id.len() <= 256).ok_or_else(missing)?;
    for _ in 0..TRIES {
        // With the latest events from the trail, which the projection may not contain yet.
        let finding: Finding = match access_projection::follow_finding(scope, id, Vec::new())
            .await?
        {
            Some(finding) => finding,
            None => {
                scope.projection(ProjectionKind::Finding, id).await?.ok_or_else(missing)?.read()?
            }
        };
        if finding.state == FindingState::Withdrawn {
            let detail = "the finding was withdrawn, because an event that arrived late explains it; it cannot be resolved any more";
            return Err(Problem::conflict(detail, Vec::new()));
        }
        if said.updates.is_some_and(|seen| seen < finding.updates) {
            let detail = "the finding's evidence has changed since you read it; read it again, then send your decision";
            return Err(Problem::conflict(detail, Vec::new()));
        }
        let by = caller.actor();
        // A repeated request, such as a retry after a lost response, is recorded once.
        if let Some(last) = finding.dispositions.last()
            && (finding.state == FindingState::Dispositioned
                || said.disposition == Verdict::Investigating)
            && (last.disposition, &last.reason, &last.owner, &last.by)
                == (said.disposition, &said.reason, &said.owner, &by)
        {
            return Ok(Json(finding));
        }
        match finding_dispositions::disposition_refusal(scope, &finding, caller).await? {
            None => {}
            Some(Refusal::Concerned(why)) => return Err(Problem::conflict(why, Vec::new())),
            Some(Refusal::Unknown(why)) => return Err(Problem::forbidden(why)),
        }
        let number = finding.dispositions.len() + 1;
        let about = [id, &finding.raised.to_string(), &number.to_string()];
        let event_id = EventId::of_service(&scope.tenant, FindingAction::Dispositioned, &about);
        let mut event =
            Event::of_service(event_id, &scope.tenant, FindingAction::Dispositioned, scope.now, by);
        event.target = Some(Party {
            kind: Some("finding".into()),
            id: Some(id.to_owned()),
            ..Party::default()
        });
        event.reason = Some(said.reason.clone());
        event.subject = finding.subject.clone();
        event.account = finding.account.clone();
        event.request_id = finding.request_id.clone();
        event.session = finding.session.clone().map(Session::named);
        let mut details = json!({"rule": finding.rule, "round": finding.raised, "update": finding.updates, "disposition": said.disposition});
        if let Some(owner) = &said.owner {
            details["owner"] = owner.as_str().into();
        }
        if let Some(access) = &finding.access {
            details["access"] = access.as_str().into();
        }
        event.details = details.as_object().cloned();
        match scope.insert(vec![event], &caller.recorded_by()).await.pop() {
            Some(Insertion::Created(recorded) | Insertion::Duplicate(recorded)) => {
                let finding = access_projection::follow_finding(scope, id, vec![recorded]).await?;
                return finding.map(Json).ok_or_else(missing);
            }
            // Another person changed the finding at the same moment.
            Some(Insertion::Conflict(_, theirs)) => {
                access_projection::follow_finding(scope, id, vec![theirs]).await?;
            }
            _ => {
                return Err(ReadError::from(Unavailable(
                    "the disposition was not confirmed".to_owned(),
                ))
                .into());
            }
        }
    }
    Err(ReadError::from(contended(format!("finding {id:?}"))).into())
}

/// A rebuild that was begun in the background.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RebuildAnswer {
    /// What is done.
    pub detail: &'static str,
}

/// `POST /v1/projections/rebuild`: starts a rebuild of all projections of the tenant in the
/// background.
pub async fn rebuild(
    Call { function: Manage { aws, watch, .. }, scope, .. }: &Call<'_>,
    EmptyBody: EmptyBody,
) -> Result<Accepted<RebuildAnswer>, Problem> {
    let event = json!({"rebuild": {"tenant": scope.tenant}});
    aws.invoke(watch, &event)
        .await
        .map_err(|error| ReadError::from(Unavailable(error.to_string())))?;
    let how = "access records, findings and statistics are being computed again from the first event; no event or alert is repeated";
    Ok(Accepted { body: RebuildAnswer { detail: how }, location: None })
}
