//! The table of routes of this function, and the context that its handler receives.

use shared::{
    domain::identity::caller::{Caller, Permission},
    http::{
        request::{IdempotencyKey, Request},
        route::{Answer, Needs, Route},
        routes,
    },
};
use tokio::time::Instant as Deadline;

use crate::{Ingest, outcome::EventsAnswer, request_body::EventsInput};

/// A request whose caller may write.
pub struct Call<'c> {
    pub(crate) function: &'c Ingest,
    pub(crate) request: &'c Request,
    pub(crate) caller: &'c Caller,
    pub(crate) deadline: Deadline,
}

pub type IngestRoute = Route<for<'c> fn(&'c Call<'c>) -> Answer<'c>>;

pub const ROUTES: &[IngestRoute] = routes! {
    /// Records one event or several. An event is acknowledged only after it is stored. The body is
    /// one event, `{"events": [...]}` or NDJSON (`application/x-ndjson`), with at most 500 events
    /// and 4 MiB. One event: 201 if it is stored now, 200 if it was stored before, 409 if another
    /// event has its id, 422 if it is wrong, 503 if the storage did not confirm it. Several: 200
    /// with a status for each, in the order of the request. A wrong event never stops the others.
    /// With `audit:self`, a token writes the events of devices about its own person; one event that
    /// it may not write refuses the whole request (403). With `format=entra`, the body holds
    /// objects of Microsoft Graph instead: one, a list, a page `{"value": [...]}` or NDJSON, with
    /// at most 1,000 objects and 4 MiB. Messages of Azure Monitor (`{"records": [...]}`) are taken
    /// too. The answer is 200 with a status for each object, the ids of its events, and the version
    /// of a package or organisation; `ignored` objects have nothing to store. An import needs `audit:write`, and
    /// `audit:admin` too if it changes a package or organisation that an administrator configured.
    /// Without that, the object is refused with 403 if it was sent alone; among others it is
    /// `invalid`, and the others are stored. With `history=true`, events and objects are old logs
    /// that alert nobody; this needs `audit:write` and `audit:admin`.
    post_events: POST "/v1/events" (Needs::Either(Permission::Write, Permission::OwnEvents))
        crate::post_events as fn((Option<IdempotencyKey>, EventsInput)) -> EventsAnswer;
};
