//! The events that a step of a window writes to the trail.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    time::timestamp::Instant,
    trail::event::{Actor, Event, EventId, Outcome, Party, Session, Tenant},
    windows::window::Window,
};

/// Something the trail has to tell about a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub(super) action: &'static str,
    pub(super) actor: Actor,
    pub(super) occurred_at: Instant,
    /// Whose claim it is about, by its place.
    pub(super) claim: usize,
    pub(super) reason: Option<String>,
    pub(super) details: Map<String, Value>,
    /// Instead of the claim's target.
    pub(super) target: Option<Party>,
}

impl Told {
    /// The same, saying that it was done for an order.
    #[must_use]
    pub fn for_order(mut self, order: &str) -> Self {
        self.details.insert("order".to_owned(), json!(order));
        self
    }
}

impl Window {
    /// Something an auditor must look at.
    pub fn finding(
        &self,
        rule: &'static str,
        severity: &str,
        why: &str,
        now: Instant,
        claim: usize,
    ) -> Told {
        let owners = self
            .application
            .as_ref()
            .map(|application| application.owners.clone())
            .unwrap_or_default();
        let evidence: Vec<_> =
            self.claims.get(claim).map(|claim| &claim.event).into_iter().collect();
        let details = [
            ("rule", json!(rule)),
            ("severity", json!(severity)),
            ("owners", json!(owners)),
            ("evidence", json!(evidence)),
        ];
        let told =
            self.told("finding.raised", Actor::system(), now, claim, Some(why.to_owned()), details);
        Told { target: Some(self.finding_target(rule)), ..told }
    }

    pub(super) fn finding_target(&self, rule: &str) -> Party {
        Party {
            kind: Some("finding".into()),
            id: Some(format!("{rule}:{}", self.id)),
            ..Party::default()
        }
    }

    /// The account as one of its requests names it.
    pub(super) fn account_of(&self, claim: usize) -> &Party {
        self.claims.get(claim).and_then(|claim| claim.account.as_ref()).unwrap_or(&self.account)
    }

    pub(super) fn told<const N: usize>(
        &self,
        action: &'static str,
        actor: Actor,
        occurred_at: Instant,
        claim: usize,
        reason: Option<String>,
        details: [(&str, Value); N],
    ) -> Told {
        let application = self.application.as_ref().map(|application| json!(application.id));
        let own = [
            ("window", Some(json!(self.id))),
            ("directory", Some(json!(self.directory_key))),
            ("application", application),
            // Whose claim it is about: a request may name no session and have no id of its own.
            ("event", self.claims.get(claim).map(|claim| json!(claim.event))),
        ];
        let details = own
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .chain(details.into_iter().map(|(key, value)| (key.to_owned(), value)))
            .collect();
        Told { action, actor, occurred_at, claim, reason, details, target: None }
    }

    /// The events that tell it, in the step that makes the window's `generation`.
    pub fn events(&self, tenant: &Tenant, generation: u64, told: Vec<Told>) -> Vec<Event> {
        let event = |(place, told): (usize, Told)| {
            let about = [self.id.as_str(), &generation.to_string(), &place.to_string()];
            let id = EventId::of_service(tenant, told.action, &about);
            // A listing is in the order of time: what one step tells keeps its own order there.
            let occurred_at = told.occurred_at.plus(Duration::from_millis(place as u64));
            let mut event = Event::of_service(id, tenant, told.action, occurred_at, told.actor);
            event.account = Some(self.account_of(told.claim).clone());
            if let Some(claim) = self.claims.get(told.claim) {
                event.subject =
                    Some(claim.subject.clone()).filter(|subject| *subject != Party::default());
                event.target = claim.target.clone();
                event.request_id = claim.request_id.clone();
                event.session = claim.session.clone().map(Session::named);
            }
            event.target = told.target.or(event.target);
            // Texts are held to what a caller's would be.
            event.reason = told.reason.map(|reason| reason.chars().take(1000).collect());
            if event.catalogued().is_some_and(|action| action.always_fails) {
                event.outcome = Outcome::Failure;
            }
            event.details = Some(told.details);
            event
        };
        told.into_iter().enumerate().map(event).collect()
    }
}
