//! Arbitrary events for property tests.

#![allow(clippy::unwrap_used, missing_docs)]

use proptest::{collection::vec, option::of, prelude::*};
use strum::VariantNames;

use crate::{
    time::timestamp::Instant,
    trail::event::{
        Actor, ActorType, AskedWindow, Event, EventId, Origin, Outcome, Party, Policy, Recorded,
        RecordedBy, Scope, Session, Tenant, Ticket,
    },
};

fn text() -> impl Strategy<Value = String> {
    "[^\\x00]{1,20}"
}

pub fn instant() -> impl Strategy<Value = Instant> {
    (0i64..4_000_000_000_000).prop_map(Instant::from_millis)
}

fn party() -> impl Strategy<Value = Party> {
    (of(text()), of(text()), of(text()), text()).prop_map(|(kind, id, name, email)| Party {
        kind,
        id,
        name,
        email: Some(email),
    })
}

fn actor() -> impl Strategy<Value = Actor> {
    (0usize..4, of(text()), of(text()), of(text())).prop_map(|(kind, id, name, email)| Actor {
        kind: ActorType::VARIANTS[kind].parse().unwrap(),
        id,
        name,
        email,
    })
}

fn session() -> impl Strategy<Value = Session> {
    (text(), 0usize..2, vec(text(), 0..3), of(text()), of(instant()), of(instant()), of(0u32..1000))
        .prop_map(|(id, scope, roles, username, starts_at, ends_at, approvals_needed)| Session {
            id,
            scope: Scope::VARIANTS[scope].parse().unwrap(),
            roles,
            username,
            starts_at,
            ends_at,
            approvals_needed,
        })
}

fn window() -> impl Strategy<Value = AskedWindow> {
    prop_oneof![
        Just(AskedWindow::None),
        text().prop_map(AskedWindow::Duration),
        instant().prop_map(AskedWindow::Until)
    ]
}

pub fn events() -> impl Strategy<Value = Event> {
    let who = (actor(), of(party()), of(party()), of(party()), of(party()), of(session()));
    let why = (
        of(text()),
        of(text()),
        of(text()),
        of((text(), of(text()), of(text()))),
        of((text(), text())),
        vec(text(), 0..3),
    );
    let rest = (
        any::<bool>(),
        of(window()),
        of((of(text()), of(text()), of(text()))),
        of(vec((text(), any::<i32>()), 0..3)),
        (of(text()), of(text())),
    );
    ("[a-zA-Z0-9_-]{1,64}", "[a-zA-Z0-9_-]{1,128}", text(), instant(), who, why, rest).prop_map(
        |(tenant, id, action, occurred_at, who, why, rest)| Event {
            tenant: Tenant::new(&tenant).unwrap(),
            id: EventId::new(&id).unwrap(),
            action: action.as_str().into(),
            occurred_at,
            actor: who.0,
            subject: who.1,
            account: who.2,
            target: who.3,
            approver: who.4,
            session: who.5,
            request_id: why.0,
            justification: why.1,
            reason: why.2,
            ticket: why.3.map(|(id, url, system)| Ticket { id, url, system }),
            policy: why.4.map(|(id, version)| Policy { id, version }),
            roles: why.5,
            outcome: if rest.0 { Outcome::Failure } else { Outcome::Success },
            window: rest.1,
            source: rest.2.map(|(ip, user_agent, client)| Origin { ip, user_agent, client }),
            source_category: rest.4.0,
            source_activity: rest.4.1,
            details: rest.3.map(|members| {
                members.into_iter().map(|(key, value)| (key, value.into())).collect()
            }),
        },
    )
}

pub fn recorded(event: Event, recorded_at: Instant) -> Recorded {
    let digest = event.digest();
    let recorded_by =
        RecordedBy { sub: "sub".to_owned(), client_id: Some("client".to_owned()), history: false };
    Recorded {
        event,
        recorded_at,
        recorded_by,
        digest,
        opened: None,
        expires_at: Instant::from_millis(1_800_000_000_000),
    }
}

/// An id that is unique within the tests.
pub fn event_id() -> EventId {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    EventId::new(&format!("made-{count}")).unwrap()
}
