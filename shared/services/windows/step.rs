//! A step of a window: its next state, the items that point to it, and the events about it, in one
//! transaction.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use shared_domain::{
    identity::matching,
    text::case_folding::fold,
    trail::event::{RecordedBy, Tenant},
    windows::{
        claim::Claim,
        window::{LAYOUT, Window},
        window_event::WindowEvent,
    },
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    ReadError, TenantScope,
    attributes::{number, text},
    event_item::{Damaged, Item},
    keys,
    transaction::{Attribute, Change, Commit},
};

use super::lookup::window;

/// Maximum number of statements in one DynamoDB transaction.
pub const STATEMENTS: usize = 100;

/// A window as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub window: Window,
    /// Number of changes.
    pub generation: u64,
    /// Whether the window is in the lists of windows that are not closed. Windows from before the
    /// lists are added by their next step.
    pub(super) is_listed: bool,
}

/// One step of a window to a later generation.
pub struct WindowChange<'s> {
    /// The window before the step; none for a new window.
    pub before: Option<&'s Stored>,
    pub after: &'s Window,
    /// The generation after the step.
    pub generation: u64,
}

impl WindowChange<'_> {
    /// The changes of the state.
    pub fn changes(&self, scope: &TenantScope<'_>) -> Vec<Change> {
        changes(scope, std::slice::from_ref(self))
    }

    /// The change of the window's own item.
    fn window_change(&self, scope: &TenantScope<'_>) -> Change {
        let Self { before, after, generation } = *self;
        let content = Window { layout: LAYOUT, ..after.clone() };
        let content = serde_json::to_string(&content).unwrap_or_default();
        let mut set: Vec<Attribute> = vec![
            ("content", text(content)),
            ("generation", number(generation)),
            ("listed", AttributeValue::Bool(true)),
        ];
        let mut remove: &'static [&'static str] = &[];
        match after.due_at() {
            Some(at) => {
                set.push(("due", text(keys::due(keys::due_shard(&after.id)))));
                set.push(("due_at", text(at)));
            }
            None => remove = &["due", "due_at"],
        }
        if after.is_closed() {
            let kept_until = scope.now.plus(scope.settings.kept_at(scope.now)).seconds();
            set.push(("ttl", number(kept_until)));
        }
        let key = [keys::windows(&scope.tenant), after.id.clone()];
        let expected = before.map(|before| ("generation", number(before.generation)));
        Change::step(key, expected, set, remove)
    }
}

/// The changes of the state by several steps. A pointer item that one step gives up may move to
/// another window.
pub(super) fn changes(scope: &TenantScope<'_>, steps: &[WindowChange<'_>]) -> Vec<Change> {
    let (mut had, mut has) = (BTreeMap::new(), BTreeMap::new());
    for step in steps {
        had.extend(step.before.into_iter().flat_map(|before| {
            pointers(&scope.tenant, &before.window, before.window.layout, before.is_listed)
        }));
        has.extend(pointers(&scope.tenant, step.after, LAYOUT, true));
    }
    let named = |window: &str| ("window", text(window));
    let key = |(pk, sk): &(String, String)| [pk.clone(), sk.clone()];
    let set = has.iter().filter(|(pointer, window)| had.get(*pointer) != Some(*window)).map(
        |(pointer, window)| {
            let (pk, sk) = pointer;
            match had.get(pointer) {
                None => Change::Insert(vec![("pk", text(pk)), ("sk", text(sk)), named(window)]),
                Some(before) => Change::Update {
                    key: key(pointer),
                    set: vec![named(window)],
                    remove: &[],
                    expected: named(before),
                },
            }
        },
    );
    let removed = had
        .iter()
        .filter(|(pointer, _)| !has.contains_key(*pointer))
        .map(|(pointer, window)| Change::Delete { key: key(pointer), expected: named(window) });
    steps.iter().map(|step| step.window_change(scope)).chain(set).chain(removed).collect()
}

/// The items that point to an open window. Those for its key and for the id of its account in the
/// directory are unique among all windows, so that one account never has two open windows. The
/// others belong to this window only.
pub(super) fn pointers(
    tenant: &Tenant,
    window: &Window,
    layout: u8,
    is_listed: bool,
) -> Vec<((String, String), String)> {
    if window.is_closed() {
        return Vec::new();
    }
    let (pk, directory) = (keys::open_windows(tenant), &window.directory_key);
    let mut found = Vec::new();
    if layout == 0 {
        // The format of earlier versions.
        let names = matching::names_as_given(&window.account).map(fold);
        found.extend(names.map(|name| (pk.clone(), keys::open_window(&name, directory))));
    } else {
        if !window.is_key_lost {
            found.push((pk.clone(), keys::open_window(&window.key(), directory)));
        }
        let resolved = window.resolved.as_ref().filter(|_| window.merged_into.is_none());
        found.extend(
            resolved.map(|account| (pk.clone(), keys::open_window_by_id(&account.id, directory))),
        );
        let others = window.other_names().into_iter();
        let shared = |name: String| keys::open_window_by_shared_name(&name, directory, &window.id);
        found.extend(others.map(|name| (pk.clone(), shared(name))));
    }
    let is_of_layout = |claim: &&Claim| layout == 0 || !claim.is_done;
    let sessions =
        window.claims.iter().filter(is_of_layout).filter_map(|claim| claim.session.as_deref());
    let session =
        |session| (keys::session_windows(tenant), keys::session_window(session, &window.id));
    found.extend(sessions.map(session));
    let list =
        if window.is_overdue { keys::overdue_windows(tenant) } else { keys::live_windows(tenant) };
    found.extend(is_listed.then(|| (list, window.id.clone())));
    found.into_iter().map(|pointer| (pointer, window.id.clone())).collect()
}

pub(super) fn stored(item: Item) -> Result<Stored, Damaged> {
    let damaged = |attribute| Damaged::new(item.text("sk").unwrap_or_default(), attribute);
    let window = item.text("content").and_then(|json| serde_json::from_str(json).ok());
    Ok(Stored {
        window: window.ok_or_else(|| damaged("content"))?,
        generation: item.number("generation").ok_or_else(|| damaged("generation"))?,
        is_listed: item.get("listed").is_some(),
    })
}

/// Changes a window as `decide` says, and calls it again after a concurrent change. None if the
/// window does not exist.
///
/// # Errors
/// The error of `decide`, or an error of the storage. After the latter, the change may or may not
/// be stored.
pub async fn change_window<E: From<ReadError>>(
    scope: &TenantScope<'_>,
    id: &str,
    by: &RecordedBy,
    mut decide: impl FnMut(&mut Window) -> Result<Vec<WindowEvent>, E>,
) -> Result<Option<Window>, E> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let Some(before) = window(scope, id).await? else { return Ok(None) };
        let mut after = before.window.clone();
        let events = decide(&mut after)?;
        if after == before.window {
            return Ok(Some(after));
        }
        if let Some(done) = advance(scope, &before, after, events, by).await? {
            return Ok(Some(done.window));
        }
        let conflict = pauses.after_conflict(format!("window {id}"));
        conflict.await.map_err(ReadError::from)?;
    }
}

/// Stores one step of a window. None if the window was changed since it was read.
///
/// # Errors
/// After an error, the step may or may not be stored.
pub async fn advance(
    scope: &TenantScope<'_>,
    before: &Stored,
    mut after: Window,
    events: Vec<WindowEvent>,
    by: &RecordedBy,
) -> Result<Option<Stored>, ReadError> {
    after.layout = LAYOUT;
    let mut generation = before.generation;
    loop {
        generation += 1;
        let changes =
            WindowChange { before: Some(before), after: &after, generation }.changes(scope);
        let recorded = after.events(&scope.tenant, generation, events.clone());
        if recorded.is_empty() {
            let step = Stored { window: after, generation, is_listed: true };
            return Ok(advance_alone(scope, changes, &step).await?.then_some(step));
        }
        match scope.commit(recorded, None, by, changes).await? {
            Commit::Done(_) => {
                return Ok(Some(Stored { window: after, generation, is_listed: true }));
            }
            Commit::Stale => return Ok(None),
            // Either a concurrent run stored this very step, and the window shows it. Or the state
            // was restored from a backup, and the trail's generations are skipped.
            Commit::Taken(_) => match window(scope, &after.id).await? {
                Some(there) if there.generation == before.generation => {}
                _ => return Ok(None),
            },
        }
    }
}

/// Moves requests from one window to another in one transaction. False if either was changed since
/// it was read.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn merge(
    scope: &TenantScope<'_>,
    from: (&Stored, &Window),
    into: (Option<&Stored>, &Window),
    events: (Vec<WindowEvent>, Vec<WindowEvent>),
    by: &RecordedBy,
) -> Result<bool, ReadError> {
    let mut passed_over = 0;
    loop {
        passed_over += 1;
        let [from_step, into_step] = [(Some(from.0), from.1), into].map(|(before, after)| {
            let generation = before.map_or(0, |before| before.generation) + passed_over;
            WindowChange { before, after, generation }
        });
        let mut recorded =
            from_step.after.events(&scope.tenant, from_step.generation, events.0.clone());
        recorded.extend(into_step.after.events(
            &scope.tenant,
            into_step.generation,
            events.1.clone(),
        ));
        match scope.commit(recorded, None, by, changes(scope, &[from_step, into_step])).await? {
            Commit::Done(_) => return Ok(true),
            Commit::Stale => return Ok(false),
            // As in `advance`: after a restore, the trail may be ahead of the state.
            Commit::Taken(_) => match window(scope, &from.1.id).await? {
                Some(there) if there.generation == from.0.generation => {}
                _ => return Ok(false),
            },
        }
    }
}

/// Stores a step without events.
async fn advance_alone(
    scope: &TenantScope<'_>,
    changes: Vec<Change>,
    step: &Stored,
) -> Result<bool, ReadError> {
    let mut is_repeated = false;
    if scope.database.together(changes, scope.deadline, &mut is_repeated).await? {
        return Ok(true);
    }
    // An attempt that seemed to fail may have been stored.
    Ok(is_repeated && window(scope, &step.window.id).await?.as_ref() == Some(step))
}
