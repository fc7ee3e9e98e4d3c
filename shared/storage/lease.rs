//! Leases: one mechanism for all items that are due at a time, claimed by a run, renewed and released.
//!
//! A leased item is in a queue (the index `due`), ordered by its due time. The run that claims an
//! item holds its lease until the due time, and postpones that time while it works. If the run
//! dies, the item becomes due and the next run claims it.
//!
//! Every change expects the generation that was read. If two runs claim or change an item, the
//! second one finds another generation and changes nothing.

use std::{collections::HashMap, ops::Deref};

use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant as Deadline;

use crate::{
    Database, ReadError,
    attributes::{number, text},
    event_item::{Damaged, Item},
    keys,
    transaction::{self, Attribute, Change},
};
use shared_domain::{time::timestamp::Instant, trail::event::Tenant};
use shared_platform::backoff::Unavailable;

/// The content of a leased item, as attributes beside those of the lease.
pub trait Content: Clone + PartialEq + Serialize + DeserializeOwned {
    /// The attributes that are written when the item is stored and never change.
    const FIXED: &'static [&'static str];
    /// The attributes that change.
    const CHANGING: &'static [&'static str];
    /// The attribute that counts the changes.
    const GENERATION: &'static str = "generation";
}

/// An item with its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased<T> {
    pub tenant: Tenant,
    /// The sort key.
    pub id: String,
    /// The run that holds the lease, if any.
    pub run: Option<String>,
    /// Its place in a queue, while there is work to do for it.
    pub queued: Option<Queued>,
    pub content: T,
    pk: String,
    generation: u64,
}

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The queue: a partition of the index `due`.
    pub queue: String,
    /// The due time. Until then the run that claimed the item holds the lease.
    pub at: Instant,
}

impl<T> Deref for Leased<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T: Content> Leased<T> {
    /// A new item.
    pub fn new(pk: String, tenant: &Tenant, id: &str, content: T, queued: Option<Queued>) -> Self {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        Self { tenant, id, run: None, queued, content, pk, generation: 1 }
    }

    /// Reads an item.
    ///
    /// # Errors
    /// An attribute is missing or invalid.
    pub fn of(mut item: Item) -> Result<Self, Damaged> {
        let id = item.take_text("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&id, attribute);
        let pk = item.take_text("pk").ok_or_else(|| damaged("pk"))?;
        let tenant = keys::tenant_of(&pk).ok_or_else(|| damaged("pk"))?;
        let generation = item.number(T::GENERATION).ok_or_else(|| damaged(T::GENERATION))?;
        let queued = item
            .take_text("due")
            .zip(item.parsed("due_at"))
            .map(|(queue, at)| Queued { queue, at });
        // Earlier versions wrote an empty text if no run held the lease.
        let run = item.take_text("run").filter(|run| !run.is_empty());
        let content: T = serde_dynamo::from_item(item.into_key())
            .map_err(|error| Damaged::because(&id, error))?;
        Ok(Self { tenant, id, run, queued, content, pk, generation })
    }

    /// Reads the item with this key.
    pub async fn read(
        database: &Database,
        pk: String,
        id: &str,
        deadline: Deadline,
    ) -> Result<Option<Self>, ReadError> {
        let item = database.state_item(pk, id, deadline).await?;
        Ok(item.map(Self::of).transpose()?)
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The due time.
    pub fn due_at(&self) -> Option<Instant> {
        self.queued.as_ref().map(|queued| queued.at)
    }

    /// Whether a run holds the lease.
    pub fn is_held(&self, now: Instant) -> bool {
        self.run.is_some() && self.due_at().is_some_and(|due_at| now < due_at)
    }

    /// The next state: another content, and the lease of a run or none.
    #[must_use]
    pub fn next(&self, content: T, run: Option<String>, queued: Option<Queued>) -> Self {
        Self { content, run, queued, generation: self.generation + 1, ..self.clone() }
    }

    /// The change that stores it as new. `ttl` is its expiry in seconds since 1970.
    pub fn insertion(&self, ttl: Option<i64>) -> Result<Change, Damaged> {
        let mut set = vec![("pk", text(&self.pk)), ("sk", text(&self.id))];
        set.extend(ttl.map(|ttl| ("ttl", number(ttl))));
        set.extend(self.attributes(&[T::FIXED, T::CHANGING])?);
        Ok(Change::Insert(set))
    }

    /// The change from the state before, if the stored item still has that generation.
    pub fn change(&self, before: &Self) -> Result<Change, Damaged> {
        self.change_expecting((T::GENERATION, number(before.generation)))
    }

    /// The same change with another condition on the stored item.
    pub fn change_expecting(&self, expected: Attribute) -> Result<Change, Damaged> {
        let remove: &[&str] = match (&self.run, &self.queued) {
            (Some(_), Some(_)) => &[],
            (None, Some(_)) => &["run"],
            (Some(_), None) => &["due", "due_at"],
            (None, None) => &["run", "due", "due_at"],
        };
        let key = [self.pk.clone(), self.id.clone()];
        Ok(Change::Update { key, set: self.attributes(&[T::CHANGING])?, remove, expected })
    }

    /// Stores it in place of the state before. False after a concurrent change; then nothing is
    /// stored.
    ///
    /// # Errors
    /// After an error, the change may or may not be stored.
    pub async fn save(
        &self,
        database: &Database,
        before: &Self,
        deadline: Deadline,
    ) -> Result<bool, ReadError> {
        let mut is_repeated = false;
        if database.alone(self.change(before)?, deadline, &mut is_repeated).await? {
            return Ok(true);
        }
        // An earlier attempt without an answer may have stored it.
        let there = match is_repeated {
            true => Self::read(database, self.pk.clone(), &self.id, deadline).await?,
            false => None,
        };
        Ok(there.as_ref() == Some(self))
    }

    /// The named attributes of its content, and the attributes of the lease.
    fn attributes(&self, named: &[&'static [&'static str]]) -> Result<Vec<Attribute>, Damaged> {
        let mut content: HashMap<String, _> = serde_dynamo::to_item(&self.content)
            .map_err(|error| Damaged::because(&self.id, error))?;
        let mut set: Vec<Attribute> = named
            .iter()
            .copied()
            .flatten()
            .map(|name| {
                let value = content.remove(*name).ok_or_else(|| Damaged::new(&self.id, name))?;
                Ok((*name, value))
            })
            .collect::<Result<_, Damaged>>()?;
        set.push((T::GENERATION, number(self.generation)));
        set.extend(self.run.as_ref().map(|run| ("run", text(run))));
        if let Some(Queued { queue, at }) = &self.queued {
            set.extend([("due", text(queue)), ("due_at", text(at))]);
        }
        Ok(set)
    }
}

/// A value that is stored as the text of its JSON: `#[serde(with = "json")]`.
pub mod json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned, ser};

    pub fn serialize<T: Serialize, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(value).map_err(ser::Error::custom)?)
    }

    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        // The error of serde is left out: it may quote the content.
        let json = String::deserialize(from)?;
        serde_json::from_str(&json).map_err(|_| de::Error::custom("a part of it is wrong"))
    }
}

/// An item that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub tenant: Tenant,
    pub id: String,
    pub at: Instant,
}

impl Due {
    /// Reads an item of a queue. An unreadable item is logged and skipped, so that it does not
    /// block the others.
    pub fn of(item: &Item) -> Option<Self> {
        let due = || {
            let tenant = keys::tenant_of(item.text("pk")?)?;
            Some(Self { tenant, id: item.text("sk")?.to_owned(), at: item.parsed("due_at")? })
        };
        let due = due();
        if due.is_none() {
            let queue = item.text("due").unwrap_or_default();
            tracing::error!("an item in the queue {queue:?} cannot be read");
        }
        due
    }
}

impl Database {
    /// The first page of the items in a queue that are due until a time, the earliest first.
    pub async fn first_due(
        &self,
        queue: &str,
        until: Instant,
        deadline: Deadline,
    ) -> Result<Vec<Due>, Unavailable> {
        let page = self.due_page(queue, until, None, None, deadline).await?;
        Ok(page.items.iter().filter_map(Due::of).collect())
    }

    /// All items that are due until a time, in a queue of several partitions.
    pub async fn all_due(
        &self,
        queue: impl Fn(u64) -> String,
        until: Instant,
        deadline: Deadline,
    ) -> Result<Vec<Due>, Unavailable> {
        let mut due = Vec::new();
        for shard in 0..keys::DUE_SHARDS {
            let (queue, mut start) = (queue(shard), None);
            loop {
                let page = self.due_page(&queue, until, None, start, deadline).await?;
                due.extend(page.items.iter().filter_map(Due::of));
                start = page.next;
                if start.is_none() {
                    break;
                }
            }
        }
        Ok(due)
    }

    /// Makes `run` the leader of the work with this name. The previous leader sees it in
    /// [`Database::leader`].
    pub async fn lead(&self, work: &str, run: &str, deadline: Deadline) -> Result<(), ReadError> {
        transaction::replace(self, keys::LEASES, work, deadline, |_| vec![("run", text(run))]).await
    }

    /// The run that leads the work with this name.
    pub async fn leader(
        &self,
        work: &str,
        deadline: Deadline,
    ) -> Result<Option<String>, Unavailable> {
        let item = self.state_item(keys::LEASES.to_owned(), work, deadline).await?;
        Ok(item.and_then(|mut item| item.take_text("run")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue;
    use serde::Deserialize;

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Job {
        #[serde(with = "json")]
        asked: Vec<String>,
        #[serde(default, with = "json")]
        progress: Option<u8>,
        #[serde(default)]
        failures: u32,
    }

    impl Content for Job {
        const FIXED: &'static [&'static str] = &["asked"];
        const CHANGING: &'static [&'static str] = &["progress", "failures"];
    }

    fn leased(run: Option<&str>) -> Leased<Job> {
        let at = Instant::from_millis(1000);
        let job = Job { asked: vec!["a".to_owned()], progress: Some(1), failures: 2 };
        let queued = Some(Queued { queue: "jobs".to_owned(), at });
        let tenant = Tenant::new("t").unwrap();
        let new = Leased::new("job#t".to_owned(), &tenant, "1", job, queued);
        Leased { run: run.map(str::to_owned), ..new }
    }

    fn item(set: &[Attribute]) -> Item {
        set.iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<Vec<_>>()
            .into()
    }

    #[test]
    fn an_item_is_stored_as_plain_attributes_and_read_back() {
        let Change::Insert(set) = leased(Some("r")).insertion(Some(9)).unwrap() else { panic!() };
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: &str| AttributeValue::N(number.to_owned());
        let mut stored = set.clone();
        stored.sort_by_key(|(name, _)| *name);
        let expected = [
            ("asked", text(r#"["a"]"#)),
            ("due", text("jobs")),
            ("due_at", text("1970-01-01T00:00:01.000Z")),
            ("failures", number("2")),
            ("generation", number("1")),
            ("pk", text("job#t")),
            ("progress", text("1")),
            ("run", text("r")),
            ("sk", text("1")),
            ("ttl", number("9")),
        ];
        assert_eq!(stored, expected);
        assert_eq!(Leased::<Job>::of(item(&set)).unwrap(), leased(Some("r")));
    }

    #[test]
    fn a_change_expects_the_generation_before_and_takes_away_what_is_over() {
        let before = leased(Some("r"));
        let after = before.next(before.content.clone(), None, None);
        let Change::Update { set, remove, expected, .. } = after.change(&before).unwrap() else {
            panic!()
        };
        assert_eq!(expected, ("generation", number(1)));
        assert_eq!(remove, ["run", "due", "due_at"]);
        let names: Vec<_> = set.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["progress", "failures", "generation"]);
        assert_eq!(set[2].1, number(2));
    }

    #[test]
    fn older_items_are_read_and_damaged_ones_are_not() {
        let old = [
            ("pk", text("job#t")),
            ("sk", text("1")),
            ("asked", text("[]")),
            ("run", text("")),
            ("generation", number(7)),
            ("unknown", text("x")),
        ];
        let read = Leased::<Job>::of(item(&old)).unwrap();
        assert_eq!((read.content.clone(), read.run.clone()), (Job::default(), None));
        assert_eq!(read.generation, 7);
        for missing in ["pk", "asked", "generation"] {
            let damaged: Vec<_> =
                old.iter().filter(|(name, _)| *name != missing).cloned().collect();
            let error = Leased::<Job>::of(item(&damaged)).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
        let mut damaged = old.to_vec();
        damaged[2].1 = text("[1]");
        assert!(Leased::<Job>::of(item(&damaged)).is_err());
    }

    #[test]
    fn a_run_has_an_item_until_its_time() {
        let at = Instant::from_millis;
        assert!(leased(Some("r")).is_held(at(999)));
        assert!(!leased(Some("r")).is_held(at(1000)));
        assert!(!leased(None).is_held(at(999)));
    }
}
