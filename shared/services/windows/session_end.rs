//! The end of a session, in an item that every opening and end of the session writes.

use shared_domain::{time::timestamp::Instant, trail::event::Actor};
use shared_storage::{
    ReadError, TenantScope,
    attributes::{number, text},
    event_item::Item,
    keys,
    transaction::Change,
};

/// The item that every opening and end of a session writes, so that concurrent ones notice each
/// other.
pub(super) struct SessionEnd {
    generation: Option<u64>,
    /// The last recorded end and its actor.
    pub(super) end: Option<(Instant, Actor)>,
}

pub(super) async fn session_end(
    scope: &TenantScope<'_>,
    session: &str,
) -> Result<SessionEnd, ReadError> {
    let item = scope
        .database
        .state_item(keys::session_ends(&scope.tenant), session, scope.deadline)
        .await?;
    let end = |item: &Item| {
        Some((item.parsed("ended_at")?, serde_json::from_str(item.text("ended_by")?).ok()?))
    };
    Ok(SessionEnd {
        generation: item.as_ref().and_then(|item| item.number("generation")),
        end: item.as_ref().and_then(end),
    })
}

/// Updates the item, even without a new end: a concurrent writer then has to read it again.
pub(super) fn session_end_change(
    scope: &TenantScope<'_>,
    session: &str,
    known: &SessionEnd,
    end: Option<(Instant, Actor)>,
) -> Change {
    let mut set = vec![("generation", number(known.generation.unwrap_or(0) + 1))];
    let is_last = |at: &Instant| known.end.as_ref().is_none_or(|(last, _)| last < at);
    if let Some((at, by)) = end.filter(|(at, _)| is_last(at)) {
        set.push(("ended_at", text(at)));
        set.push(("ended_by", text(serde_json::to_string(&by).unwrap_or_default())));
    }
    let kept_until = scope.now.plus(scope.settings.kept_at(scope.now)).seconds();
    set.push(("ttl", number(kept_until)));
    let key = [keys::session_ends(&scope.tenant), session.to_owned()];
    let expected = known.generation.map(|generation| ("generation", number(generation)));
    Change::step(key, expected, set, &[])
}
