//! Saved searches and reports. The person who created one is its owner; others may run and read it.
//! Only the owner and administrators may change it.

use shared::{
    domain::{
        configuration::{
            document::{Configured, Document},
            read_only::Repeated,
        },
        exports::saved_search::{MOST_SAVED, Saved},
        identity::caller::{Caller, Permission},
        trail::event::Actor,
    },
    http::{
        input::{Body, Id},
        output::{NoContent, Stored},
        problem::Problem,
        saved_search_request::{self, SavedSearchRequest},
    },
    services::documents,
    storage::{
        capacity::{Full, Places},
        documents::{DocumentChange, DocumentOutcome, Due, StoredDocument},
    },
};

use crate::{
    configured::{checked, configure, delete_if, is_new, missing, repeated_errors},
    routes::Call,
};

/// The saved searches of a tenant.
const PLACES: Places = Places { what: "saved", most: MOST_SAVED, are_shared: true };

fn no_place(full: Full) -> Problem {
    let why = match full {
        Full::Tenant(most) => {
            format!("{most} searches are saved, which is the maximum for a tenant")
        }
        Full::Caller(most) => {
            format!(
                "you have saved {most} of the {MOST_SAVED} searches that a tenant may have, which is the maximum for one caller"
            )
        }
    };
    Problem::conflict(format!("{why}; delete one that is no longer needed"), Vec::new())
}

/// `PUT /v1/saved/{id}`: replaces the saved search.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 403 where it is somebody else's; 409 where the tenant has as many as it may; 503.
pub async fn put(
    call: &Call<'_>,
    (id, body): (Id, Body<SavedSearchRequest>),
) -> Result<Stored<Configured<Saved>>, Problem> {
    let Call { scope, caller, .. } = call;
    let id = id.checked()?;
    let repeated = Repeated::of(body.json(), Saved::READ_ONLY);
    let errors = repeated_errors::<Saved>(call, id, &repeated).await?;
    let read = saved_search_request::read_saved_search(scope, body.json(), caller.actor());
    let read = checked::<Saved, _>(read, errors)?;
    let mut answer = None;
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let before: Option<Saved> = documents::read(there)?;
        let mut saved = read.clone();
        if let Some(before) = &before {
            own(&before.owner, caller)?;
            saved.owner = before.owner.clone();
        }
        // Missed runs remain due if the schedule has not changed.
        let due_before = there.and_then(|there| there.due_at);
        let kept = due_before.filter(|_| before.is_some_and(|before| saved.runs_as(&before)));
        let (due, due_at) = match (kept, saved.next_run(scope.now)) {
            (_, None) => (Due::Never, None),
            (Some(kept), Some(_)) => (Due::AsBefore, Some(kept)),
            (None, Some(next)) => (Due::At(next), Some(next)),
        };
        let wanted =
            DocumentChange { due, places: Some(PLACES), ..DocumentChange::stored(id, &saved)? };
        answer = Some((saved, due_at));
        Ok(wanted)
    };
    let (outcome, version) = configure::<Saved>(call, id, want).await?;
    if let DocumentOutcome::Full(full) = outcome {
        return Err(no_place(full));
    }
    let is_new = is_new::<Saved>(outcome)?;
    // `want` was called at least once.
    let (document, due_at) = answer.ok_or_else(|| Problem::internal(&"nothing was stored"))?;
    let body = Configured { due_at, ..Configured::new(id, version, document) };
    Ok(Stored { body, is_new, version })
}

/// `DELETE /v1/saved/{id}`: deletes the saved search. The files of its runs are stored until they
/// expire.
///
/// # Errors
/// 403 where it is somebody else's; 404; 503.
pub async fn delete(call: &Call<'_>, id: Id) -> Result<NoContent, Problem> {
    delete_if::<Saved>(call, id.or(missing::<Saved>)?, |there| own(&there.owner, call.caller)).await
}

/// # Errors
/// 403: the saved search belongs to another person, and the caller is no administrator.
fn own(owner: &Actor, caller: &Caller) -> Result<(), Problem> {
    if owner.id.as_deref() == Some(&caller.sub) || caller.may(Permission::Admin) {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "this saved search belongs to {}; only its owner or a caller with the permission audit:admin may change or delete it. Save yours under another id",
        owner.shown()
    )))
}
