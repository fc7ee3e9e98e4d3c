//! A window in an API response.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    time::timestamp::Instant,
    trail::event::{EventId, Party},
    windows::{
        claim::Claim,
        window::{Window, WindowState},
    },
};

/// An access window: the time for which one account may stay enabled.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WindowAnswer {
    /// The id in the address of the window.
    pub id: String,
    /// The directory of the account, or `external` if another system disables the account.
    pub directory: String,
    /// The account as the first request names it.
    pub account: Party,
    /// The account in the directory, once the service has found it there.
    pub resolved: Option<ResolvedAccountAnswer>,
    /// The id of the older window of the same account that took over the requests of this one.
    pub merged_into: Option<String>,
    /// Whether a person closed the window without proof that the account is disabled.
    pub closed_by_hand: bool,
    /// The id of the application, if one is configured for the target.
    pub application: Option<String>,
    pub state: WindowState,
    /// When the first request starts.
    pub starts_at: Option<Instant>,
    /// When the last request ends.
    pub ends_at: Option<Instant>,
    /// When the account was read back as disabled, or its portal confirmed that it is.
    pub ended_at: Option<Instant>,
    /// The delay of the end after the planned one, in milliseconds.
    pub lateness_ms: Option<i64>,
    /// The attempts to disable the account since the end that is being processed.
    pub attempts: u32,
    /// The error of the last attempt to disable or find the account.
    pub failing: Option<String>,
    /// The ids of the sessions that requested the account.
    pub sessions: Vec<String>,
    /// The requests for the account, the oldest first.
    pub claims: Vec<ClaimAnswer>,
}

/// An account as its directory has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResolvedAccountAnswer {
    /// The directory's own id, which survives a rename.
    pub id: String,
    /// The name when the service found the account.
    pub name: String,
    /// When the service found the account.
    pub at: Instant,
}

/// One request for the account of a window.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ClaimAnswer {
    /// The id of the event that requested the account.
    pub event: EventId,
    /// The account as this request names it, if its names differ from those of the window.
    pub account: Option<Party>,
    /// The person whom the account is for.
    pub subject: Party,
    /// What is accessed.
    pub target: Option<Party>,
    /// The id of the session.
    pub session: Option<String>,
    /// From when on the request keeps the account enabled.
    pub starts_at: Instant,
    /// Until when the request keeps the account enabled, including extensions and early ends.
    pub ends_at: Instant,
}

impl From<&Claim> for ClaimAnswer {
    fn from(claim: &Claim) -> Self {
        Self {
            event: claim.event.clone(),
            account: claim.account.clone(),
            subject: claim.subject.clone(),
            target: claim.target.clone(),
            session: claim.session.clone(),
            starts_at: claim.starts_at,
            ends_at: claim.ends_at,
        }
    }
}

impl Window {
    /// The window in an API response.
    pub fn answered(&self, now: Instant) -> WindowAnswer {
        let directory = if self.is_external() { "external" } else { &self.directory_key };
        let resolved = self.resolved.as_ref().map(|it| ResolvedAccountAnswer {
            id: it.id.clone(),
            name: it.name.clone(),
            at: it.at,
        });
        WindowAnswer {
            id: self.id.clone(),
            directory: directory.to_owned(),
            account: self.account.clone(),
            resolved,
            merged_into: self.merged_into.clone(),
            closed_by_hand: self.is_closed_by_hand,
            application: self.application.as_ref().map(|application| application.id.clone()),
            state: self.state(now),
            starts_at: self.starts_at(),
            ends_at: self.ends_at(),
            ended_at: self.ended.as_ref().map(|ended| ended.at),
            lateness_ms: self.ended.as_ref().map(|ended| ended.lateness_ms),
            attempts: self.attempts,
            failing: self.failing.clone().or_else(|| self.resolution.failing.clone()),
            sessions: self.sessions().into_iter().map(str::to_owned).collect(),
            claims: self.claims.iter().map(ClaimAnswer::from).collect(),
        }
    }
}
