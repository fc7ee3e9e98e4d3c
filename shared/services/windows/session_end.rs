//! The end of a session, as an item that all its openings and ends write.

use aws_sdk_dynamodb::types::AttributeValue;
use shared_domain::{time::timestamp::Instant, trail::event::Actor};
use shared_storage::{ReadError, TenantScope, keys, transaction::Change};

use super::{number, text};

/// The item that all openings and ends of a session write, so that two at a time see each other.
pub(super) struct SessionEnd {
    generation: Option<u64>,
    /// The last end that was told, and by whom.
    pub(super) end: Option<(Instant, Actor)>,
}

/// What is known of a session's end.
pub(super) async fn session_end(
    scope: &TenantScope<'_>,
    session: &str,
) -> Result<SessionEnd, ReadError> {
    let item = scope
        .database
        .state_item(keys::session_ends(&scope.tenant), session, scope.deadline)
        .await?;
    let text = |name| item.as_ref().and_then(|item| item.get(name)?.as_s().ok());
    let end = text("ended_at").zip(text("ended_by"));
    Ok(SessionEnd {
        generation: item
            .as_ref()
            .and_then(|item| item.get("generation")?.as_n().ok()?.parse().ok()),
        end: end.and_then(|(at, by)| Some((at.parse().ok()?, serde_json::from_str(by).ok()?))),
    })
}

/// Changes it from what was read, also where nothing is new: whoever does the same at the same time has to read again.
pub(super) fn session_end_change(
    scope: &TenantScope<'_>,
    session: &str,
    known: &SessionEnd,
    end: Option<(Instant, Actor)>,
) -> Change {
    let mut set = vec![("generation", number(known.generation.unwrap_or(0) + 1))];
    let is_last = |at: &Instant| known.end.as_ref().is_none_or(|(last, _)| last < at);
    if let Some((at, by)) = end.filter(|(at, _)| is_last(at)) {
        set.push(("ended_at", text(&at.to_string())));
        set.push(("ended_by", text(&serde_json::to_string(&by).unwrap_or_default())));
    }
    let kept_until = scope.now.plus(scope.settings.kept_at(scope.now)).seconds();
    set.push(("ttl", AttributeValue::N(kept_until.to_string())));
    let (pk, sk) = (keys::session_ends(&scope.tenant), session.to_owned());
    match known.generation {
        None => {
            Change::Insert([("pk", text(&pk)), ("sk", text(&sk))].into_iter().chain(set).collect())
        }
        Some(before) => Change::Update {
            key: [pk, sk],
            set,
            remove: &[],
            expected: ("generation", number(before)),
        },
    }
}
