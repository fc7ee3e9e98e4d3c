//! Saved searches and reports. The person who created one is its owner; others may run and read it.
//! Only the owner and administrators may change it.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::http::saved_search_request;
use shared::{
    domain::{
        exports::saved_search::{self, MOST_SAVED, Saved},
        identity::caller::{Caller, Permission},
        trail::event::Actor,
    },
    http::{problem::Problem, request},
    services::saved_searches::shown,
    storage::{
        capacity::{Full, Places},
        documents::{Configured, Document, Due, Kind, Wanted},
    },
};

use crate::routes::Call;

/// The saved searches of a tenant.
const PLACES: Places = Places { what: "saved", most: MOST_SAVED, are_shared: true };

fn no_place(full: Full) -> Problem {
    let why = match full {
        Full::Tenant(most) => format!("{most} searches are saved, and {most} are the most"),
        Full::Caller(most) => {
            format!(
                "you saved {most} of the {MOST_SAVED} searches a tenant may have, which is the most for one caller"
            )
        }
    };
    Problem::conflict(format!("{why}; delete one that nobody needs"), Vec::new())
}

/// `PUT /v1/saved/{id}`: replaces the saved search.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 403 where it is somebody else's; 409 where the tenant has as many as it may; 503.
pub async fn put(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let read = saved_search_request::read_saved_search(
        scope,
        request::json_members(request)?,
        caller.actor(),
    )?;
    let mut answer = None;
    let want = |there: Option<&Document>| -> Result<Wanted, Problem> {
        let before: Option<Saved> = there.map(Document::read).transpose()?.flatten();
        let mut saved = read.clone();
        if let Some(before) = &before {
            own(&before.owner, caller)?;
            saved.owner = before.owner.clone();
        }
        // Missed runs remain due if the schedule has not changed.
        let due_before = there.and_then(|there| there.due_at);
        let kept = due_before.filter(|_| before.is_some_and(|before| saved.runs_as(&before)));
        let (due, next_run_at) = match (kept, saved.next_run(scope.now)) {
            (_, None) => (Due::Never, None),
            (Some(kept), Some(_)) => (Due::AsBefore, Some(kept)),
            (None, Some(next)) => (Due::At(next), Some(next)),
        };
        let content = serde_json::to_value(&saved).map_err(|error| Problem::internal(&error))?;
        let shown = Some(shown(id, Some(saved.name.clone())));
        answer = Some(saved_search::Configured { id: id.to_owned(), saved, next_run_at });
        Ok(Wanted { content: Some(content), shown, due, places: Some(PLACES), ..Wanted::default() })
    };
    let status = match scope.configure(Kind::Saved, id, caller, want).await? {
        Configured::Created => 201,
        // Names of saved searches are not unique.
        Configured::Changed | Configured::Unchanged | Configured::Taken(..) => 200,
        Configured::Full(full) => return Err(no_place(full)),
    };
    Ok(request::json(status, &answer))
}

/// `DELETE /v1/saved/{id}`: deletes the saved search. The files of its runs are stored until they
/// expire.
///
/// # Errors
/// 403 where it is somebody else's; 404; 503.
pub async fn delete(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let missing = || Problem::not_found("no saved search with this id is in the tenant");
    let id = request::configured_id(request).map_err(|_| missing())?;
    // The state before this request, even if an attempt without an answer has changed it.
    let mut is_first = true;
    let want = |there: Option<&Document>| -> Result<Wanted, Problem> {
        let there: Option<Saved> = there.map(Document::read).transpose()?.flatten();
        match &there {
            Some(there) => own(&there.owner, caller)?,
            None if is_first => return Err(missing()),
            None => {}
        }
        is_first = false;
        let shown = Some(shown(id, there.map(|there| there.name)));
        Ok(Wanted { shown, due: Due::Never, ..Wanted::default() })
    };
    scope.configure(Kind::Saved, id, caller, want).await?;
    Ok(request::no_content())
}

/// # Errors
/// 403: the saved search belongs to another person, and the caller is no administrator.
fn own(owner: &Actor, caller: &Caller) -> Result<(), Problem> {
    if owner.id.as_deref() == Some(&caller.sub) || caller.may(Permission::Admin) {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "this saved search is {}'s: only they, and who has the permission audit:admin, may change or delete it; save it under another id",
        owner.shown()
    )))
}
