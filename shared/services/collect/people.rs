//! People of a directory: what delta queries say of users and groups becomes records of people.
//!
//! What is known of a user is an item of its own, because a page has only what changed. The record of
//! the person is made of it. A record that an administrator configured is left as it is, and so is one
//! of another connection.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use shared_domain::{
    collect::{
        directory_user::{DirectoryUser, GroupChange, UserChange},
        progress::Counts,
    },
    configuration::{
        connection::Connection,
        document::{Document, OtherName},
    },
    identity::{caller::Caller, person::Person},
    text::case_folding::fold_identity,
    trail::event::Tenant,
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    Database, ReadError, TenantScope,
    attributes::{number, text},
    documents::DocumentOutcome,
    event_item::{Damaged, Item},
    keys,
    partitions::Partition,
    transaction::Change,
};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant as Deadline},
};

use crate::documents;

/// Users that are changed side by side.
const AT_ONCE: usize = 8;
/// Time limit of the storage for one user.
const STORING: Duration = Duration::from_secs(20);
/// Users that are compared with a whole collection at a time.
const PAGE: i32 = 200;

/// The people that a connection collects.
#[derive(Debug)]
pub struct CollectedPeople<'p> {
    scope: TenantScope<'p>,
    connection: &'p str,
    caller: &'p Caller,
    /// The names of groups that were read.
    names: Mutex<HashMap<String, Option<String>>>,
}

/// An item with its generation; 0 if there is none.
struct Stored<T> {
    content: T,
    generation: u64,
}

/// What became of a person's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Stored. It may lack a name that another person of the directory has.
    Stored { is_changed: bool, lacks_name: bool },
    /// Configured by hand, or of another connection.
    Reserved,
    /// Only memberships of the user are known.
    Unknown,
}

/// Why a record is not changed.
enum NotChanged {
    /// It was configured by hand.
    ByHand,
    /// Another connection collected it.
    OfConnection(String),
    Read(ReadError),
}

impl From<ReadError> for NotChanged {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl<'p> CollectedPeople<'p> {
    pub fn new(scope: TenantScope<'p>, connection: &'p str, caller: &'p Caller) -> Self {
        Self { scope, connection, caller, names: Mutex::default() }
    }

    fn scope(&self) -> TenantScope<'p> {
        let now = self.scope.database.clock().now();
        self.scope.at(now, Deadline::now() + STORING)
    }

    fn tenant(&self) -> &Tenant {
        &self.scope.tenant
    }

    fn database(&self) -> &'p Database {
        self.scope.database
    }

    /// Stores the users of a page. A page that is stored again changes nothing. Returns the users
    /// besides who lack a name that another user has. It may be on a later page that the other one
    /// lost it.
    ///
    /// # Errors
    /// The storage did not answer. The page has to be stored again.
    pub async fn store_users(
        &self,
        changes: Vec<UserChange>,
        epoch: u32,
    ) -> Result<(Counts, Vec<String>), ReadError> {
        // A user may be in a page several times; the changes of one are made in order.
        let mut by_user: BTreeMap<String, Vec<UserChange>> = BTreeMap::new();
        let objects = changes.len();
        for change in changes {
            by_user.entry(change.id.clone()).or_default().push(change);
        }
        let now = self.database().clock().now();
        let users: Vec<(String, DirectoryUser)> = stream::iter(by_user)
            .map(|(id, changes)| async move {
                let user = self
                    .change_user(&id, |user| {
                        changes.iter().for_each(|change| user.change(change, epoch, now));
                    })
                    .await?;
                Ok::<_, ReadError>((id, user))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        // Leavers first, because another user on the page may have got their address.
        let (left, there): (Vec<_>, Vec<_>) = users.into_iter().partition(|(_, it)| it.has_left());
        let mut stored = Vec::with_capacity(left.len() + there.len());
        for users in [left, there] {
            let users = stream::iter(users)
                .map(|(id, user)| async move {
                    let kept = self.store_person(&id, &user).await?;
                    Ok::<_, ReadError>((id, kept))
                })
                .buffer_unordered(AT_ONCE);
            stored.extend(users.try_collect::<Vec<_>>().await?);
        }
        let is_unsettled = |(id, kept): &(String, Kept)| {
            matches!(kept, Kept::Stored { lacks_name: true, .. }).then(|| id.clone())
        };
        let unsettled = stored.iter().filter_map(is_unsettled).collect();
        Ok((counts(objects, stored.into_iter().map(|(_, kept)| kept)), unsettled))
    }

    /// Stores the records of users again who lacked a name, after all pages of a reading.
    ///
    /// # Errors
    /// The storage did not answer. The last page has to be stored again.
    pub async fn store_again(
        &self,
        users: impl IntoIterator<Item = String>,
    ) -> Result<(), ReadError> {
        stream::iter(users)
            .map(|id| async move {
                let user = self.change_user(&id, |_| {}).await?;
                self.store_person(&id, &user).await.map(drop)
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Stores the groups of a page, and the records of the people whose groups changed.
    ///
    /// # Errors
    /// The storage did not answer. The page has to be stored again.
    pub async fn store_groups(
        &self,
        changes: Vec<GroupChange>,
        epoch: u32,
    ) -> Result<Counts, ReadError> {
        let objects = changes.len();
        let mut by_user: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        // Groups whose members all have to be looked at.
        let mut whole: BTreeSet<String> = BTreeSet::new();
        let mut removed: BTreeSet<String> = BTreeSet::new();
        for change in changes {
            if change.is_removed {
                whole.insert(change.id.clone());
                removed.insert(change.id);
                continue;
            }
            removed.remove(&change.id);
            if let Some(name) = change.name {
                let before = self.group_name(&change.id).await?;
                if before.as_ref() != Some(&name) {
                    // The members of a group without a name are not known yet.
                    if before.is_some() {
                        whole.insert(change.id.clone());
                    }
                    self.names.lock().await.insert(change.id.clone(), Some(name.clone()));
                    renamed.insert(change.id.clone(), name);
                }
            }
            for (user, is_member) in change.members {
                by_user.entry(user).or_default().push((change.id.clone(), is_member));
            }
        }
        for id in self.users_in(&whole).await? {
            let left = by_user.entry(id).or_default();
            left.splice(0..0, removed.iter().map(|group| (group.clone(), false)));
        }
        let stored = stream::iter(by_user)
            .map(|(id, changes)| async move {
                let user = self
                    .change_user(&id, |user| {
                        for (group, is_member) in &changes {
                            user.member(group, *is_member, epoch);
                        }
                    })
                    .await?;
                self.store_person(&id, &user).await
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        // After the records: until then, a repeated page has to find that the name is new.
        for (group, name) in renamed {
            let pk = keys::collected_groups(self.tenant(), self.connection);
            self.change_item(pk, &group, |stored: &mut String| stored.clone_from(&name)).await?;
        }
        Ok(counts(objects, stored))
    }

    /// Marks the users after `after` who were not in the whole collection of an epoch. Returns the
    /// last one, or none if there are no more.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn compare_users(
        &self,
        after: Option<&str>,
        epoch: u32,
    ) -> Result<Option<String>, ReadError> {
        let now = self.database().clock().now();
        self.compare(after, |user| user.leave_unless_read(epoch, now)).await
    }

    /// Takes the users after `after` out of the groups that did not name them in the whole collection
    /// of an epoch. Returns the last one, or none if there are no more.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn compare_groups(
        &self,
        after: Option<&str>,
        epoch: u32,
    ) -> Result<Option<String>, ReadError> {
        self.compare(after, |user| user.keep_groups_read(epoch)).await
    }

    async fn compare(
        &self,
        after: Option<&str>,
        change: impl Fn(&mut DirectoryUser) -> bool + Copy,
    ) -> Result<Option<String>, ReadError> {
        let partition = Partition::new(keys::collected_users(self.tenant(), self.connection));
        let page = self.scope().page(&partition.at_most(PAGE), after).await?;
        let users = page.items.into_iter().map(read_item::<DirectoryUser>);
        let users: Vec<_> = users.collect::<Result<_, _>>()?;
        stream::iter(users)
            .map(|(id, _)| async move {
                // The person is stored in any case: an earlier attempt may have stopped before it.
                let user = self
                    .change_user(&id, |user| {
                        change(user);
                    })
                    .await?;
                self.store_person(&id, &user).await.map(drop)
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(page.next)
    }

    /// The users who are in one of the groups.
    async fn users_in(&self, groups: &BTreeSet<String>) -> Result<Vec<String>, ReadError> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let partition = Partition::new(keys::collected_users(self.tenant(), self.connection));
        let read = |item| match read_item::<DirectoryUser>(item) {
            Ok((id, user)) if groups.iter().any(|group| user.content.is_in(group)) => Some(Ok(id)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        };
        let deadline = Deadline::now() + STORING * 3;
        let found = self.scope.at(self.scope.now, deadline).all(&partition, read).await?;
        Ok(found.into_iter().collect::<Result<_, _>>()?)
    }

    /// Changes what is known of a user, and returns it.
    async fn change_user(
        &self,
        id: &str,
        change: impl Fn(&mut DirectoryUser),
    ) -> Result<DirectoryUser, ReadError> {
        let pk = keys::collected_users(self.tenant(), self.connection);
        self.change_item(pk, id, change).await
    }

    async fn change_item<T>(
        &self,
        pk: String,
        id: &str,
        change: impl Fn(&mut T),
    ) -> Result<T, ReadError>
    where
        T: Clone + Default + PartialEq + Serialize + DeserializeOwned,
    {
        let deadline = Deadline::now() + STORING;
        let mut pauses = Pauses::until(deadline);
        loop {
            let item = self.database().state_item(pk.clone(), id, deadline).await?;
            let before = match item {
                Some(item) => read_item::<T>(item)?.1,
                None => Stored { content: T::default(), generation: 0 },
            };
            let mut content = before.content.clone();
            change(&mut content);
            if content == before.content && before.generation > 0 {
                return Ok(content);
            }
            let json = serde_json::to_string(&content);
            let json = json.map_err(|error| Damaged::because(id, error))?;
            let set = vec![("content", text(json)), ("generation", number(before.generation + 1))];
            let expected =
                (before.generation > 0).then(|| ("generation", number(before.generation)));
            let step = Change::step([pk.clone(), id.to_owned()], expected, set, &[]);
            if self.database().alone(step, deadline, &mut false).await? {
                return Ok(content);
            }
            pauses.after_conflict(format!("the user or group {id:?} of a directory")).await?;
        }
    }

    async fn group_name(&self, group: &str) -> Result<Option<String>, ReadError> {
        if let Some(name) = self.names.lock().await.get(group) {
            return Ok(name.clone());
        }
        let pk = keys::collected_groups(self.tenant(), self.connection);
        let item = self.database().state_item(pk, group, Deadline::now() + STORING).await?;
        let name = item.map(read_item::<String>).transpose()?;
        let name = name.map(|(_, stored)| stored.content);
        self.names.lock().await.insert(group.to_owned(), name.clone());
        Ok(name)
    }

    /// Stores the record of the person that a user is.
    async fn store_person(&self, id: &str, user: &DirectoryUser) -> Result<Kept, ReadError> {
        let mut names = HashMap::new();
        for group in user.groups() {
            names.insert(group, self.group_name(group).await?);
        }
        let name = |group: &str| names.get(group).cloned().flatten();
        let Some(mut person) = user.person(id, self.connection, name) else {
            return Ok(Kept::Unknown);
        };
        let mut lacks_name = false;
        loop {
            let (name, other) = match self.import(id, &person).await {
                Ok((DocumentOutcome::Taken(name, other), _)) => (name, other),
                Ok((outcome, _)) => {
                    let is_changed = outcome != DocumentOutcome::Unchanged;
                    return Ok(Kept::Stored { is_changed, lacks_name });
                }
                Err(NotChanged::ByHand) => return Ok(Kept::Reserved),
                Err(NotChanged::OfConnection(other)) => {
                    if documents::get::<Connection>(&self.scope(), &other).await?.is_some() {
                        return Ok(Kept::Reserved);
                    }
                    // The other connection was deleted, and this one takes over.
                    return self.take_over(id, &person).await;
                }
                Err(NotChanged::Read(error)) => return Err(error),
            };
            if !self.gives_up(&other, &name).await? {
                // Another person has the name. One who was configured by hand is this very person.
                let scope = self.scope();
                let there = scope.document(Person::KIND, &other).await?;
                if there.is_some_and(|there| !there.is_imported) {
                    return Ok(Kept::Reserved);
                }
                person = without(person, &name);
                lacks_name = true;
            }
        }
    }

    async fn import(
        &self,
        id: &str,
        person: &Person,
    ) -> Result<(DocumentOutcome, u64), NotChanged> {
        let import = |there: Option<Person>, is_reserved| match there {
            _ if is_reserved => Err(NotChanged::ByHand),
            Some(Person { source: Some(other), .. }) if other != self.connection => {
                Err(NotChanged::OfConnection(other))
            }
            Some(_) | None => Ok(person.clone()),
        };
        documents::import(&self.scope(), id, self.caller, import).await
    }

    /// Stores the record of a person whom a deleted connection collected.
    async fn take_over(&self, id: &str, person: &Person) -> Result<Kept, ReadError> {
        let import = |_: Option<Person>, is_reserved| match is_reserved {
            true => Err(NotChanged::ByHand),
            false => Ok(person.clone()),
        };
        match documents::import(&self.scope(), id, self.caller, import).await {
            Ok((DocumentOutcome::Taken(..), _)) => Ok(Kept::Reserved),
            Ok(_) => Ok(Kept::Stored { is_changed: true, lacks_name: false }),
            Err(NotChanged::Read(error)) => Err(error),
            Err(NotChanged::ByHand | NotChanged::OfConnection(_)) => Ok(Kept::Reserved),
        }
    }

    /// Takes a name from a leaver, because addresses are given to others. False if the person did not
    /// leave, or was configured by hand.
    async fn gives_up(&self, other: &str, name: &OtherName) -> Result<bool, ReadError> {
        let import = |there: Option<Person>, is_reserved: bool| match there {
            Some(person) if person.left_at.is_some() && !is_reserved => Ok(without(person, name)),
            _ => Err(NotChanged::ByHand),
        };
        match documents::import(&self.scope(), other, self.caller, import).await {
            Ok((outcome, _)) => Ok(outcome == DocumentOutcome::Changed),
            Err(NotChanged::Read(error)) => Err(error),
            Err(NotChanged::ByHand | NotChanged::OfConnection(_)) => Ok(false),
        }
    }
}

/// The person without a name.
fn without(mut person: Person, name: &OtherName) -> Person {
    let name = fold_identity(&name.name);
    for list in [&mut person.emails, &mut person.upns, &mut person.object_ids] {
        list.retain(|it| fold_identity(it) != name);
    }
    person
}

fn counts(objects: usize, stored: impl IntoIterator<Item = Kept>) -> Counts {
    let mut counts = Counts { objects: objects as u64, ..Counts::default() };
    for kept in stored {
        match kept {
            Kept::Stored { is_changed, .. } => counts.created += u64::from(is_changed),
            Kept::Reserved => counts.reserved += 1,
            Kept::Unknown => {}
        }
    }
    counts
}

fn read_item<T: DeserializeOwned>(mut item: Item) -> Result<(String, Stored<T>), Damaged> {
    let id = item.take_text("sk").unwrap_or_default();
    let damaged = |attribute| Damaged::new(&id, attribute);
    let json = item.text("content").ok_or_else(|| damaged("content"))?;
    let content = serde_json::from_str(json).map_err(|_| damaged("content"))?;
    let generation = item.number("generation").ok_or_else(|| damaged("generation"))?;
    Ok((id, Stored { content, generation }))
}
