//! The approval of a request (`approval`) with its stages: who decided what, when and why. An
//! approval has the id of its request.

use serde_json::{Map, Value, json};

use crate::{
    json::strict_json::FieldError,
    trail::{actions::EntitlementAction, event_validation::Intake},
};

use crate::entra::{
    draft::{Draft, event_id},
    graph::{Object, long_text, party},
};

/// Why an approval becomes no event.
pub const NOTHING: &str = "has no stage that is decided; import it again when one is";

pub fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    let request = object.required_text(&["id"])?;
    let stages = object.list(&["stages", "steps"])?;
    let stages =
        stages.ok_or_else(|| object.wrong("stages", "is required: export with $expand=stages"))?;
    let mut drafts = Vec::new();
    for stage in &stages {
        // A stage without a review contains no decision and no approver.
        let action = match stage.text(&["reviewResult"])?.map(str::to_ascii_lowercase).as_deref() {
            Some("approved" | "approve") => EntitlementAction::Approved,
            Some("denied" | "deny") => EntitlementAction::Denied,
            _ => continue,
        };
        let id = stage.required_text(&["id"])?;
        let event = event_id(intake.tenant, "approval", &[request, id]);
        let mut draft = Draft::new(event, action, stage, &["reviewedDateTime"])?;
        let reviewer = reviewer(stage)?
            .ok_or_else(|| stage.wrong("reviewedBy", "is required: it says who decided"))?;
        draft.set_from("actor", Some(reviewer), stage.place("reviewedBy"));
        // The approval does not name the package. Its request, which has the same id, does.
        draft.set_from(
            "target",
            party(Some("request"), Some(request), None, None),
            object.place("id"),
        );
        draft.set_from("request_id", Some(request.into()), object.place("id"));
        let reason = stage.text(&["justification"])?.map(long_text);
        draft.set_from("reason", reason.map(Value::from), stage.place("justification"));
        let told = [("id", Some(id)), ("name", stage.text(&["displayName"])?)];
        let told: Map<String, Value> = told
            .into_iter()
            .filter_map(|(key, text)| {
                Some((key.to_owned(), crate::entra::graph::name(text?).into()))
            })
            .collect();
        draft.detail("stage", Some(Value::Object(told)));
        draft.keep(stage.only(&[
            "id",
            "reviewedBy",
            "reviewedDateTime",
            "reviewResult",
            "justification",
        ]));
        drafts.push(draft);
    }
    Ok(drafts)
}

/// The reviewer: an identity, a set of identities, or in beta a list with one user.
fn reviewer(stage: &Object<'_>) -> Result<Option<Value>, FieldError> {
    let is_list = stage.member(&["reviewedBy"]).is_some_and(|(_, value)| value.is_array());
    let identity = if is_list {
        stage.list(&["reviewedBy"])?.unwrap_or_default().into_iter().next()
    } else {
        stage.object(&["reviewedBy"])?
    };
    let Some(identity) = identity else { return Ok(None) };
    let (user, app) = (identity.object(&["user"])?, identity.object(&["application"])?);
    let kind = if app.is_some() && user.is_none() { "service" } else { "user" };
    let named = user.or(app).unwrap_or(identity).party()?;
    Ok(named.map(|mut party| {
        party["type"] = json!(kind);
        party
    }))
}
