//! An end that was recorded before the event whose window it ends.

use shared_domain::{
    configuration::{application::Application, document::Configured},
    identity::matching::{is_application, shares_name_or_both_absent},
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction, JitAction},
        event::{Actor, Event, Outcome},
        event_validation,
        search::{Order, Range},
    },
    windows::{account_names, claim::Claim},
};
use shared_storage::{
    ReadError, TenantScope,
    keys::{self, Lane},
    list_events::{Index, Pace},
};

/// Maximum number of events that are searched for an end that came before its request, or for a
/// session's request. A very active account, or a session id that is used for everything, must not
/// prevent an event from being stored. The newest ends come first.
pub(super) const MOST_LOOKED_THROUGH: usize = 1000;

/// An end that was recorded before the event whose window it ends.
pub(super) struct EarlierEnd {
    pub(super) at: Instant,
    pub(super) by: Actor,
    /// Whether the account's portal reports that it is disabled.
    pub(super) is_disabled: bool,
}

/// The recorded end of what an event grants: the account was disabled, or the package was removed.
pub(super) async fn earlier_end(
    scope: &TenantScope<'_>,
    event: &Event,
    claim: &Claim,
    application: Option<&Configured<Application>>,
) -> Result<Option<EarlierEnd>, ReadError> {
    let account = account_names::account_of(event);
    let (end, index, party): (Action, _, _) = match event.action {
        Action::Jit(JitAction::EntraAccountRequested) => {
            let disabled = JitAction::EntraAccountDisabled.into();
            (disabled, ("by_account", "account_key"), Some(account.clone()))
        }
        Action::Entitlement(EntitlementAction::Fulfilled) => {
            let removed = EntitlementAction::Removed.into();
            (removed, ("by_subject", "subject_key"), event.subject.clone())
        }
        _ => return Ok(None),
    };
    let Some(party) = party else { return Ok(None) };
    let parts = [
        (keys::Part::Name, &party.name),
        (keys::Part::Id, &party.id),
        (keys::Part::Email, &party.email),
    ];
    // If the account was disabled before this request starts, that was the end of another request.
    let is_disabled = end == JitAction::EntraAccountDisabled;
    let since = if is_disabled { claim.starts_at } else { claim.starts_at.min(event.occurred_at) };
    let mut last: Option<EarlierEnd> = None;
    for (part, value) in parts {
        let Some(value) = value else { continue };
        let partition = keys::involved(&scope.tenant, part, value);
        let index = Index::Involved { name: index.0, key: index.1, partition };
        let range = Range {
            since,
            until: scope.now.plus(event_validation::MAX_AHEAD),
            order: Order::Descending,
            after: None,
        };
        let mut events = scope.list(index, range, Pace::Items(100), &[Lane::Shown]);
        for _ in 0..MOST_LOOKED_THROUGH {
            let Some(recorded) = events.next().await? else { break };
            let other = recorded.event;
            let is_end = other.action == end
                && other.outcome == Outcome::Success
                && !other.id.is_services()
                && (shares_name_or_both_absent(other.target.as_ref(), event.target.as_ref())
                    || application.is_some_and(|it| {
                        is_application(other.target.as_ref(), &it.id, &it.document.name)
                    }))
                && (is_disabled
                    || shares_name_or_both_absent(other.subject.as_ref(), event.subject.as_ref()));
            if is_end && last.as_ref().is_none_or(|last| last.at < other.occurred_at) {
                last = Some(EarlierEnd { at: other.occurred_at, by: other.actor, is_disabled });
            }
            // The newest comes first.
            if is_end {
                break;
            }
        }
    }
    Ok(last)
}
