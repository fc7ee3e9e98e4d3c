//! Configured documents: settings, people, applications, packages, organisations, streams, saved
//! searches and review plans. Each document has a kind, an id and a generation that counts its changes. Each change
//! is an event with the old and the new content, stored in the same transaction.
//!
//! A document may have aliases. Each alias is a separate item that refers to the document, so that
//! no two documents of a kind share one.
//!
//! A document with periodic work is in a queue (index `due`) under its next due time. The worker
//! stores its progress in separate attributes, which no change of the document overwrites.

use shared_domain::findings::finding_event::finding_event;
use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::time::Instant as Deadline;

use crate::{
    Database, ReadError, TenantScope,
    attributes::{number, text},
    capacity::{Full, Holder, Places},
    event_item::{Damaged, Item},
    keys, lease,
    partitions::Partition,
    transaction::{Change, Commit},
};
use shared_domain::{
    configuration::{
        document::{Configured, Document, OtherName},
        document_kind::DocumentKind,
    },
    findings::{checkpoints, rules},
    identity::caller::Caller,
    time::timestamp::Instant,
    trail::{
        actions::{ConfigurationAction, FindingAction},
        event::{Actor, Event, EventId, Party, Tenant},
    },
};
use shared_platform::backoff::{Pauses, Unavailable};

#[derive(Clone, Debug, PartialEq)]
pub struct StoredDocument {
    pub id: String,
    /// Number of changes.
    pub generation: u64,
    /// The content; none for a deleted document.
    pub content: Option<Value>,
    /// When the document is due for processing.
    pub due_at: Option<Instant>,
    /// Whether only imports have changed it.
    pub is_imported: bool,
    /// The caller that created it, by the token's `sub`.
    made_by: Option<String>,
    /// The keys of its aliases.
    aliases: Vec<String>,
}

/// The requested state of a document.
#[derive(Clone, Debug, Default)]
pub struct DocumentChange {
    /// The content; none deletes the document.
    pub content: Option<Value>,
    /// The default content, which the event about the first change shows as the old one.
    pub unconfigured: Option<Value>,
    pub other_names: Vec<OtherName>,
    /// The document as a party of the event about the change.
    pub shown: Option<Party>,
    /// When the document is due for processing.
    pub due: Due,
    /// The limit of such documents per tenant, if there is one.
    pub places: Option<Places>,
    /// Whether the change is an import, and nobody configured the document by hand.
    pub is_import: bool,
    /// Findings about the change: the rule and what is wrong.
    pub findings: Vec<(&'static str, String)>,
    /// Another event about the change: action, reason and details.
    pub also: Option<(ConfigurationAction, String, Value)>,
    /// What must be true of the document for it to be changed.
    pub only_if: Precondition,
}

/// What must be true of a document for a request to change it (RFC 9110, section 13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    #[default]
    None,
    /// There is no such document.
    IsNew,
    /// There is such a document.
    Exists,
    /// It has one of these versions.
    HasVersion(Vec<u64>),
}

impl Precondition {
    /// `has_default`: there always is such a document, whose version is 0 before its first change.
    fn holds(&self, there: Option<&StoredDocument>, has_default: bool) -> bool {
        let exists = has_default || there.is_some_and(|there| there.content.is_some());
        let version = there.map_or(0, |there| there.generation);
        match self {
            Self::None => true,
            Self::IsNew => !exists,
            Self::Exists => exists,
            Self::HasVersion(versions) => exists && versions.contains(&version),
        }
    }
}

impl DocumentChange {
    /// Replaces the content.
    pub fn stored<T: Document>(id: &str, document: &T) -> Result<Self, ReadError> {
        let content = serde_json::to_value(document).map_err(|_| Damaged::new(id, "content"))?;
        Ok(Self {
            content: Some(content),
            other_names: document.other_names(),
            shown: Some(T::shown(id, Some(document))),
            ..Self::default()
        })
    }

    /// Deletes the document. `before` is the current content.
    pub fn deleted<T: Document>(id: &str, before: Option<&T>) -> Self {
        Self { shown: Some(T::shown(id, before)), ..Self::default() }
    }
}

/// When a changed document is due for processing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// At the same time as before, if any.
    #[default]
    AsBefore,
    At(Instant),
    Never,
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentOutcome {
    /// The document is new.
    Created,
    Changed,
    Unchanged,
    /// Another document has that alias: the alias and the other document's id.
    Taken(OtherName, String),
    /// The tenant or the caller has reached the limit.
    Full(Full),
    /// The precondition does not hold. Whether there is such a document.
    NotAsExpected {
        exists: bool,
    },
}

impl StoredDocument {
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, ReadError> {
        let read = self.content.as_ref().map(T::deserialize).transpose();
        read.map_err(|_| Damaged::new(&self.id, "content").into())
    }

    /// The document with its id and version; none if it was deleted.
    pub fn configured<T: Document>(self) -> Result<Option<Configured<T>>, ReadError> {
        let Self { id, generation: version, due_at, .. } = &self;
        let configured =
            |document| Configured { id: id.clone(), version: *version, document, due_at: *due_at };
        Ok(self.read::<T>()?.map(configured))
    }

    fn of(mut item: Item) -> Result<Self, Damaged> {
        let id = item.take_text("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&id, attribute);
        let content: Option<Value> = match item.get("content") {
            None => None,
            Some(_) => {
                let json = item.text("content").and_then(|json| serde_json::from_str(json).ok());
                Some(json.ok_or_else(|| damaged("content"))?)
            }
        };
        let aliases = match item.remove("aliases") {
            None => Vec::new(),
            Some(AttributeValue::L(list)) => {
                list.iter().filter_map(|alias| Some(alias.as_s().ok()?.clone())).collect()
            }
            Some(_) => return Err(damaged("aliases")),
        };
        Ok(Self {
            generation: item.number("generation").ok_or_else(|| damaged("generation"))?,
            // A deleted document keeps its item, so that its generations continue and no event id is
            // used twice.
            content: content.filter(|content| !content.is_null()),
            due_at: item.parsed("due_at"),
            is_imported: item.get("imported") == Some(&AttributeValue::Bool(true)),
            made_by: item.take_text("made_by"),
            aliases,
            id,
        })
    }
}

impl TenantScope<'_> {
    /// The document with that id. A deleted document has no content.
    pub async fn document(
        &self,
        kind: DocumentKind,
        id: &str,
    ) -> Result<Option<StoredDocument>, ReadError> {
        let item = self
            .database
            .state_item(keys::documents(kind, &self.tenant), id, self.deadline)
            .await?;
        Ok(item.map(StoredDocument::of).transpose()?)
    }

    /// The document with that alias.
    pub async fn document_known_as(
        &self,
        kind: DocumentKind,
        kind_of_name: char,
        name: &str,
    ) -> Result<Option<StoredDocument>, ReadError> {
        let name = OtherName { kind: kind_of_name, name: name.to_owned(), pointer: String::new() };
        match self.owner(kind, &name).await? {
            Some(id) => self.document(kind, &id).await,
            None => Ok(None),
        }
    }

    /// The documents of a kind after `after`, by id, and whether there may be more.
    pub async fn documents(
        &self,
        kind: DocumentKind,
        after: Option<&str>,
    ) -> Result<(Vec<StoredDocument>, bool), ReadError> {
        let page = self.page(&Partition::new(keys::documents(kind, &self.tenant)), after).await?;
        let documents = page.items.into_iter().map(StoredDocument::of).collect::<Result<_, _>>()?;
        Ok((documents, page.next.is_some()))
    }

    /// All documents of a kind, the deleted ones as well.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn all_documents(
        &self,
        kind: DocumentKind,
    ) -> Result<Vec<StoredDocument>, ReadError> {
        let documents = Partition::new(keys::documents(kind, &self.tenant));
        let read = |item| Some(StoredDocument::of(item));
        Ok(self.all(&documents, read).await?.into_iter().collect::<Result<_, _>>()?)
    }

    /// Changes a document to the state that `want` returns. After a concurrent change `want` is
    /// called again. Returns the result and the document's generation after the change.
    ///
    /// # Errors
    /// The error of `want`, or an error of the storage. After the latter, the change may or may not
    /// be stored; a retry is safe.
    pub async fn configure<T: Document, E: From<ReadError>>(
        &self,
        id: &str,
        by: &Caller,
        mut want: impl FnMut(Option<&StoredDocument>) -> Result<DocumentChange, E>,
    ) -> Result<(DocumentOutcome, u64), E> {
        let kind = T::KIND;
        let mut pauses = Pauses::until(self.deadline);
        // The last generation for which the trail contains events.
        let mut recorded_generation = 0;
        loop {
            let before = self.document(kind, id).await?;
            let there = before.as_ref().map_or(0, |before| before.generation);
            let generation = recorded_generation.max(there) + 1;
            let wanted = want(before.as_ref())?;
            if before.as_ref().and_then(|before| before.content.as_ref()) == wanted.content.as_ref()
            {
                return Ok((DocumentOutcome::Unchanged, there));
            }
            // After the comparison: a repeated request whose first attempt was stored succeeds.
            if !wanted.only_if.holds(before.as_ref(), T::ALWAYS_EXISTS) {
                let exists = before.as_ref().is_some_and(|before| before.content.is_some());
                return Ok((DocumentOutcome::NotAsExpected { exists }, there));
            }
            let had = before.as_ref().map(|before| before.aliases.as_slice()).unwrap_or_default();
            for name in wanted.other_names.iter().filter(|name| !had.contains(&name.key())) {
                if let Some(other) = self.owner(kind, name).await?.filter(|other| other != id) {
                    return Ok((DocumentOutcome::Taken(name.clone(), other), there));
                }
            }
            let before = before.as_ref();
            let step =
                Step { kind, public: T::public, id, generation, before, wanted: &wanted, by };
            let events = step.events(self);
            let mut changes = step.changes(&self.tenant);
            if let Some(places) = wanted.places.filter(|_| step.is_new()) {
                // Read before the holders, so that a concurrently taken place is noticed.
                let taken = self.taken(&places).await?;
                if let Some(full) = places.full(&self.holders(kind).await?, &by.sub) {
                    return Ok((DocumentOutcome::Full(full), there));
                }
                changes.push(places.take(&self.tenant, &taken, &[]).map_err(ReadError::from)?);
            }
            match self.commit(events, None, &by.recorded_by(), changes).await? {
                Commit::Done(_) if before.is_none_or(|before| before.content.is_none()) => {
                    return Ok((DocumentOutcome::Created, generation));
                }
                Commit::Done(_) => return Ok((DocumentOutcome::Changed, generation)),
                // Another run was first: the change is decided again. Or the state was restored
                // from a backup and the trail is ahead of it: those generations are skipped.
                Commit::Taken(_) => recorded_generation = generation,
                Commit::Stale => {}
            }
            let conflict = pauses.after_conflict(format!("{} {id:?}", kind.word));
            conflict.await.map_err(ReadError::from)?;
        }
    }

    /// The existing documents of a kind, with their creators.
    async fn holders(&self, kind: DocumentKind) -> Result<Vec<Holder>, ReadError> {
        let documents = self.all_documents(kind).await?;
        let there = documents.into_iter().filter(|document| document.content.is_some());
        Ok(there.map(|document| Holder { id: document.id, by: document.made_by }).collect())
    }

    /// The id of the document with that alias.
    async fn owner(
        &self,
        kind: DocumentKind,
        name: &OtherName,
    ) -> Result<Option<String>, ReadError> {
        let item = self
            .database
            .state_item(keys::aliases(kind, &self.tenant), &name.key(), self.deadline)
            .await?;
        Ok(item.and_then(|mut item| item.take_text("document")))
    }
}

impl Database {
    /// The documents of a kind that are due at a time.
    pub async fn due_documents(
        &self,
        kind: DocumentKind,
        until: Instant,
        deadline: Deadline,
    ) -> Result<Vec<lease::Due>, Unavailable> {
        self.all_due(|shard| keys::documents_due_in(kind, shard), until, deadline).await
    }
}

struct Step<'s> {
    kind: DocumentKind,
    /// The content for readers of the trail.
    public: fn(Value) -> Value,
    id: &'s str,
    generation: u64,
    before: Option<&'s StoredDocument>,
    wanted: &'s DocumentChange,
    by: &'s Caller,
}

impl Step<'_> {
    /// Whether it creates a document.
    fn is_new(&self) -> bool {
        self.wanted.content.is_some() && self.before.is_none_or(|before| before.content.is_none())
    }

    /// The events about the change. The person who made it is the subject of a finding about it,
    /// and so may not resolve it.
    fn events(&self, scope: &TenantScope<'_>) -> Vec<Event> {
        let Self { kind, id, generation, wanted, by, .. } = *self;
        let scope = scope.at(scope.database.clock.now(), scope.deadline);
        let version = generation.to_string();
        let changed = self.event(&scope);
        let also = wanted.also.as_ref().map(|(action, reason, details)| {
            let id = EventId::of_service(&scope.tenant, action, &[id, &version]);
            let mut event = Event::of_service(id, &scope.tenant, *action, scope.now, by.actor());
            event.reason = Some(reason.clone());
            event.details = details.as_object().cloned();
            event
        });
        let finding = |(rule, why): &(&str, String)| {
            let finding =
                checkpoints::finding_id(&scope.tenant, rule, &[kind.word, id, &version].join(" "));
            let severity = rules::rule_of(rule).map(|rule| rule.severity);
            let details =
                json!({"rule": rule, "round": 1, "severity": severity, "evidence": [changed.id]});
            finding_event(
                &scope.tenant,
                scope.now,
                FindingAction::Raised,
                &finding,
                &[1],
                why,
                details,
                |event| {
                    let Actor { id, name, email, .. } = by.actor();
                    event.subject = Some(Party { kind: Some("user".to_owned()), id, name, email });
                },
            )
        };
        let findings: Vec<_> = wanted.findings.iter().map(finding).collect();
        [changed].into_iter().chain(also).chain(findings).collect()
    }

    /// The event with the old and the new content.
    fn event(&self, scope: &TenantScope<'_>) -> Event {
        let Self { kind, public, id, generation, before, wanted, by } = *self;
        let action = kind.action;
        let id = EventId::of_service(&scope.tenant, action, &[id, &generation.to_string()]);
        let mut event = Event::of_service(id, &scope.tenant, action, scope.now, by.actor());
        event.target = wanted.shown.clone();
        let old = before.and_then(|before| before.content.clone()).or(wanted.unconfigured.clone());
        let contents = [("old", old), ("new", wanted.content.clone())];
        let contents = contents.map(|(word, content)| (word, content.map(public)));
        let details = [("version", Some(generation.into()))].into_iter().chain(contents);
        let details = details.filter_map(|(word, content)| Some((word.to_owned(), content?)));
        event.details = Some(details.collect::<Map<_, _>>());
        event
    }

    /// The changes of the state.
    fn changes(&self, tenant: &Tenant) -> Vec<Change> {
        let Self { kind, id, generation, before, wanted, by, .. } = *self;
        let DocumentChange { content, other_names, .. } = wanted;
        let (pk, alias_pk) = (keys::documents(kind, tenant), keys::aliases(kind, tenant));
        // In a fixed order, so that a retry is the identical transaction.
        let has: BTreeSet<String> = other_names.iter().map(OtherName::key).collect();
        let had: BTreeSet<String> =
            before.iter().flat_map(|before| before.aliases.iter().cloned()).collect();
        let mut set = vec![
            ("content", text(content.as_ref().unwrap_or(&Value::Null))),
            ("generation", number(generation)),
            ("aliases", AttributeValue::L(has.iter().map(text).collect())),
        ];
        if self.is_new() {
            set.push(("made_by", text(&by.sub)));
        }
        // A document that was configured by hand remains so, even if an administrator's import
        // changes it.
        let was_imported = self.is_new() || before.is_some_and(|before| before.is_imported);
        set.push(("imported", AttributeValue::Bool(wanted.is_import && was_imported)));
        let mut remove: &[&str] = &[];
        match wanted.due {
            Due::AsBefore => {}
            Due::At(at) => {
                set.push(("due", text(keys::documents_due(kind, tenant, id))));
                set.push(("due_at", text(at)));
                // The worker that processes due documents counts its steps from here.
                set.extend(before.is_none().then(|| ("step", number(0))));
            }
            Due::Never => remove = &["due", "due_at"],
        }
        let expected = before.map(|before| ("generation", number(before.generation)));
        let document = Change::step([pk, id.to_owned()], expected, set, remove);
        let added = has.difference(&had).map(|alias| {
            Change::Insert(vec![
                ("pk", text(&alias_pk)),
                ("sk", text(alias)),
                ("document", text(id)),
            ])
        });
        let removed = had.difference(&has).map(|alias| Change::Delete {
            key: [alias_pk.clone(), alias.clone()],
            expected: ("document", text(id)),
        });
        [document].into_iter().chain(added).chain(removed).collect()
    }
}
