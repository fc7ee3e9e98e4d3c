//! Who disables the account at the end of its window: this service, or the system that enabled it.

use crate::{
    configuration::{
        application::{Application, OpeningEvent},
        directory::Directory,
    },
    identity::matching,
    trail::{actions::JitAction, event::Event},
    windows::account_names::{account_of, key_of},
};

/// Who disables the account at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabling {
    /// This service, in the application's directory.
    Here,
    /// The system that enabled it.
    Elsewhere,
    /// The system that enabled it, because the account matches no pattern of the application
    /// although it should.
    OutsidePatterns,
    /// The system that enabled it, because no application is configured for the target although one
    /// should be.
    WithoutApplication,
}

impl Disabling {
    /// Who disables the account of an event that opens a window.
    pub fn of(event: &Event, application: Option<&Application>) -> Self {
        // PIM removes the role, and the account is the person's own, whatever an application of that
        // name says.
        if event.id.is_of_pim() {
            return Self::Elsewhere;
        }
        let is_request = event.action == JitAction::EntraAccountRequested;
        let Some(application) = application else {
            return if is_request { Self::WithoutApplication } else { Self::Elsewhere };
        };
        let is_meant = OpeningEvent::of(&event.action)
            .is_some_and(|opening| application.disable_for.contains(&opening));
        if application.directory == Directory::External || !is_meant {
            return Self::Elsewhere;
        }
        // A session or package may be granted to a person's own account, which is never disabled.
        if !is_request && !names_other_account(event) {
            return Self::Elsewhere;
        }
        let name = key_of(&account_of(event));
        if application.owns(&name) { Self::Here } else { Self::OutsidePatterns }
    }
}

/// Whether an event names another account than the person's own.
fn names_other_account(event: &Event) -> bool {
    let username = event.session.as_ref().and_then(|session| session.username.as_ref());
    if event.account.is_none() && username.is_none() {
        return false;
    }
    let account = account_of(event);
    let actor = matching::party_of(&event.actor);
    !event.subject.iter().chain([&actor]).any(|person| matching::shares_name(person, &account))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        configuration::address_policy::Place,
        trail::{
            actions::SessionAction,
            event::{Actor, EventId, Party, Tenant},
        },
    };

    #[test]
    fn no_application_disables_the_account_of_an_activation_in_pim() {
        let application = serde_json::json!({
            "name": "User Administrator", "accounts": ["*"],
            "directory": {"kind": "scim", "base_url": "https://idp.example", "token": "secretsmanager:idp"}
        });
        let application = Application::read(&application.to_string(), Place::Deployed).unwrap();
        let granted = |id: &str| {
            let (id, tenant) = (EventId::new(id).unwrap(), Tenant::new("acme").unwrap());
            let at = crate::time::timestamp::Instant::from_millis(0);
            let mut event =
                Event::of_service(id, &tenant, SessionAction::Granted, at, Actor::system());
            event.account = Some(Party { name: Some("alex".to_owned()), ..Party::default() });
            event
        };
        let of = |id: &str| Disabling::of(&granted(id), Some(&application));
        assert_eq!(of("portal-1"), Disabling::Here);
        assert_eq!(of("entra_pim_1_granted"), Disabling::Elsewhere);
    }
}
