//! The windows that an event ends, in whole or in part.

use shared_domain::{
    identity::matching::{self, is_application, shares_name_or_both_absent},
    trail::{
        event::{Event, Party},
        event_validation,
    },
    windows::{
        claim::Claim,
        effect::Effect,
        window::Window,
        window_event::{EndReason, WindowEvent},
    },
};
use shared_storage::{ReadError, TenantScope};

use super::{
    lookup::{open_windows_of, open_windows_of_session},
    step::Stored,
};

/// The windows that an event ends, or whose requests it ends.
pub(super) async fn endings(
    scope: &TenantScope<'_>,
    event: &Event,
    effect: Effect,
    is_device: bool,
) -> Result<Vec<(Option<Stored>, Window, Vec<WindowEvent>)>, ReadError> {
    let (by, at, now) = (&event.actor, event.occurred_at, scope.now);
    let target = event.target.as_ref();
    let session = event.session.as_ref().map(|session| session.id.as_str());
    let nobody = Party::default();
    // A display name is chosen by the sender and does not identify a person.
    let person = Party { name: None, ..matching::party_of(by) };
    let windows = match (effect, session) {
        (Effect::EndsSession, Some(session)) => open_windows_of_session(scope, session).await?,
        (Effect::EndsSession | Effect::Opens, _) => Vec::new(),
        (Effect::RemovesPackage, _) => {
            open_windows_of(
                scope,
                event.account.as_ref().or(event.subject.as_ref()).unwrap_or(&nobody),
            )
            .await?
        }
        (Effect::Disables | Effect::LogsOff, _) => {
            open_windows_of(scope, event.account.as_ref().unwrap_or(&nobody)).await?
        }
    };
    let mut endings = Vec::new();
    for before in windows {
        let mut window = before.window.clone();
        // A current removal also ends scheduled access. A removal that is received late does not
        // affect access that started after it.
        let is_late = at.plus(event_validation::MAX_AHEAD) < now;
        let of_package = |claim: &Claim| {
            claim.ends_with_session
                && (claim.starts_at <= at || !is_late)
                && shares_name_or_both_absent(claim.target.as_ref(), target)
        };
        let events = match effect {
            Effect::Opens => Vec::new(),
            Effect::EndsSession => {
                let is_its_own =
                    |claim: &Claim| session.is_some_and(|session| claim.ends_with(session));
                window.end_with_source(is_its_own, by, at, now)
            }
            Effect::RemovesPackage => window.end_with_source(of_package, by, at, now),
            Effect::Disables => {
                let is_meant = window
                    .claims
                    .iter()
                    .any(|claim| shares_name_or_both_absent(claim.target.as_ref(), target))
                    || window.application.as_ref().is_some_and(|application| {
                        is_application(target, &application.id, &application.name)
                    });
                if is_meant {
                    window.end_as_disabled(|claim| claim.starts_at <= at, by, at, now)
                } else {
                    Vec::new()
                }
            }
            Effect::LogsOff => window.end_own(
                |claim| {
                    claim.ends_on_log_off
                        && claim.starts_at <= at
                        && (!is_device || matching::is_same_person(&claim.subject, &person))
                },
                by,
                &EndReason::LoggedOff,
                now,
            ),
        };
        if window != before.window {
            endings.push((Some(before), window, events));
        }
    }
    Ok(endings)
}
