//! The actions of sessions in a database portal.

use super::{
    Category, Definition, RequestState, Source, When, Writer, action, actions,
    ocsf_class::{self, Ocsf},
};

const fn session(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    state: RequestState,
    sentence: &'static str,
    variants: &'static [(When, &'static str)],
    failed: &'static str,
) -> Definition {
    let row = action(name, ocsf, label, Source::S3, Category::Session, sentence, failed);
    Definition { writer: Writer::CallersAndSystem, variants, state: Some(state), ..row }
}

actions! {
    /// The steps of a database session with roles. The label is the state.
    pub enum SessionAction {
        Created = session("session.created", ocsf_class::CREATED, "CREATED", RequestState::Created, "{actor} requested session {session}[ with {session.roles}].", &[
            (When::RoleScope, "{actor} requested {session.roles} in session {session}."),
        ], "{actor} failed to request session {session}[ with {session.roles}].[ Reason: {reason}]"),
        Approved = session("session.approved", ocsf_class::UPDATED, "APPROVED", RequestState::Approved, "{actor} approved session {session}.", &[
            (When::RoleScope, "{actor} approved {session.roles} of session {session}."),
        ], "{actor} failed to approve[ {session.roles_of_row} of] session {session}.[ Reason: {reason}]"),
        Denied = session("session.denied", ocsf_class::UPDATED, "DENIED", RequestState::Denied, "{actor} denied session {session}.[ Reason: {reason}]", &[
            (When::RoleScope, "{actor} denied {session.roles} of session {session}.[ Reason: {reason}]"),
        ], "{actor} failed to deny[ {session.roles_of_row} of] session {session}.[ Reason: {reason}]"),
        Granted = Definition {
            opens_window: true,
            ..session("session.granted", ocsf_class::ASSIGNED, "GRANTED", RequestState::Granted, "{actor} started session {session}.[ Session user: {session.username}]", &[
                (When::RoleScope, "{actor} granted {session.roles} of session {session}."),
            ], "{actor} failed to grant[ {session.roles_of_row} of] session {session}.[ Reason: {reason}]")
        },
        Canceled = session("session.canceled", ocsf_class::REVOKED, "CANCELED", RequestState::Canceled, "{actor} canceled session {session}.[ Reason: {reason}]", &[
            (When::RoleScope, "{actor} canceled {session.roles} of session {session}.[ Reason: {reason}]"),
        ], "{actor} failed to cancel[ {session.roles_of_row} of] session {session}.[ Reason: {reason}]"),
        Expired = session("session.expired", ocsf_class::REVOKED, "EXPIRED", RequestState::Expired, "{actor} ended session {session}: its time ran out.", &[
            (When::RoleScope, "{actor} ended {session.roles} of session {session}: the time ran out."),
        ], "{actor} failed to end[ {session.roles_of_row} of] session {session} when its time ran out.[ Reason: {reason}]"),
        Terminated = session("session.terminated", ocsf_class::REVOKED, "TERMINATED", RequestState::Terminated, "{actor} terminated session {session}.[ Reason: {reason}]", &[
            (When::RoleScope, "{actor} terminated {session.roles} of session {session}.[ Reason: {reason}]"),
        ], "{actor} failed to terminate[ {session.roles_of_row} of] session {session}.[ Reason: {reason}]"),
        TimedOut = session("session.timed_out", ocsf_class::UPDATED, "TIMED_OUT", RequestState::TimedOut, "Session {session} timed out: nobody decided.", &[
            (When::RoleScope, "The request for {session.roles} in session {session} timed out: nobody decided."),
        ], "Session {session} could not be closed after nobody decided.[ Reason: {reason}]"),
    }
}
