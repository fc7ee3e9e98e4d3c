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

/// The windows that an event ends, or whose requests it ends. `is_history`: the event is history,
/// so requests of the past end without effect on their account.
pub(super) async fn endings(
    scope: &TenantScope<'_>,
    event: &Event,
    effect: Effect,
    is_device: bool,
    is_history: bool,
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
        let mut events = Vec::new();
        let in_the_past = |window: &mut Window, which: &dyn Fn(&Claim) -> bool| match is_history {
            true => window.end_in_the_past(which, by, at, now),
            false => Vec::new(),
        };
        match effect {
            Effect::Opens => {}
            Effect::EndsSession => {
                let is_its_own =
                    |claim: &Claim| session.is_some_and(|session| claim.ends_with(session));
                events.extend(in_the_past(&mut window, &is_its_own));
                events.extend(window.end_with_source(is_its_own, by, at, now));
            }
            Effect::RemovesPackage => {
                events.extend(in_the_past(&mut window, &of_package));
                events.extend(window.end_with_source(of_package, by, at, now));
            }
            Effect::Disables => {
                let is_meant = window
                    .claims
                    .iter()
                    .any(|claim| shares_name_or_both_absent(claim.target.as_ref(), target))
                    || window.application.as_ref().is_some_and(|application| {
                        is_application(target, &application.id, &application.name)
                    });
                if is_meant {
                    let has_begun = |claim: &Claim| claim.starts_at <= at;
                    events.extend(in_the_past(&mut window, &has_begun));
                    events.extend(window.end_as_disabled(has_begun, by, at, now));
                }
            }
            Effect::LogsOff => {
                let is_its_own = |claim: &Claim| {
                    claim.ends_on_log_off
                        && claim.starts_at <= at
                        && (!is_device || matching::is_same_person(&claim.subject, &person))
                };
                events.extend(in_the_past(&mut window, &is_its_own));
                events.extend(window.end_own(is_its_own, by, &EndReason::LoggedOff, now));
            }
        }
        if window != before.window {
            endings.push((Some(before), window, events));
        }
    }
    Ok(endings)
}
