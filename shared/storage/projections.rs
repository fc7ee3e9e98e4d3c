//! Projections: data computed from events, which can be computed again.
//!
//! A projection has a key, a content, places in lists, and possibly a due time. Its content is
//! changed on condition of its generation, so that concurrent changes are merged and not
//! overwritten. A place in a list is written before the projection that it refers to, removed after
//! it, and expires no earlier. A list may therefore contain outdated places, but never misses a
//! projection; readers of a list check the projections themselves.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Database, ReadError, TenantScope,
    attributes::{key, number, text},
    event_item::{Damaged, Item},
    keys,
    partitions::Partition,
    retry,
    transaction::Change,
};
use shared_domain::{time::timestamp::Instant, trail::search::Order};
use shared_platform::backoff::{Pauses, Unavailable};
use strum::{AsRefStr, VariantArray};

/// DynamoDB's limit for one BatchWriteItem.
const WRITES: usize = 25;
/// Places of a list read at a time: a page of a report needs a hundred; a full megabyte has ten
/// thousand.
const PLACES: i32 = 500;
/// Largest content, in bytes. DynamoDB's limit for an item is 400 KB.
const MOST_BYTES: usize = 380_000;
/// Concurrent batch reads.
const READS: usize = 8;

/// The kind of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsRefStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ProjectionKind {
    Access,
    Finding,
    /// The state of a rule about something other than an access record: a use of an account, or an
    /// approver's month.
    Concern,
    /// The totals of a day.
    Day,
    /// A review. It is changed by people, each time with an event, and is not computed from events.
    Review,
    /// Deferred events.
    Later,
}

impl ProjectionKind {
    /// The kind of what a partition holds.
    pub(crate) fn of(pk: &str) -> Option<Self> {
        let (word, _) = pk.split_once('#')?;
        Self::VARIANTS.iter().copied().find(|kind| kind.as_ref() == word)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub list: String,
    /// The time by which the list is ordered.
    pub at: Instant,
}

/// The new state of a projection.
#[derive(Clone, Debug)]
pub struct ProjectionWrite<'k, T> {
    pub key: &'k str,
    pub content: &'k T,
    /// The lists that contain it.
    pub places: BTreeSet<Place>,
    /// When it is due for a refresh.
    pub due: Option<Instant>,
    /// When all of its data is past retention. None while that is unknown.
    pub expires_at: Option<Instant>,
}

impl<T: Serialize> ProjectionWrite<'_, T> {
    /// The serialised content.
    fn written(&self) -> Result<String, Damaged> {
        let written =
            serde_json::to_string(self.content).map_err(|_| Damaged::new(self.key, "content"))?;
        // An item that is too large would be rejected forever and block everything behind it.
        let places: usize = self.places.iter().map(|place| place.list.len() + 32).sum();
        if written.len() + places > MOST_BYTES {
            return Err(Damaged::new(self.key, "content, which is too large to be kept"));
        }
        Ok(written)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    pub key: String,
    /// When it is due for a refresh.
    pub due: Option<Instant>,
    /// Number of changes.
    pub generation: u64,
    content: String,
    places: BTreeSet<Place>,
    /// When it is past its retention, in seconds since 1970.
    ttl: Option<i64>,
    /// Whether lists may still contain outdated places or expiry times of it; and the places that
    /// it has left.
    is_unsettled: bool,
    left: BTreeSet<Place>,
}

impl Projection {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ReadError> {
        serde_json::from_str(&self.content).map_err(|_| Damaged::new(&self.key, "content").into())
    }

    pub fn places(&self) -> &BTreeSet<Place> {
        &self.places
    }

    pub fn of(mut item: Item) -> Result<Self, Damaged> {
        let key = item.take_text("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&key, attribute);
        let due = item.text("due_at").map(|at| at.parse().map_err(|_| damaged("due_at")));
        let places = |name: &str| match item.get(name) {
            Some(AttributeValue::L(places)) => {
                places.iter().filter_map(|place| read_place(place.as_s().ok()?)).collect()
            }
            _ => BTreeSet::new(),
        };
        Ok(Self {
            due: due.transpose()?,
            generation: item.number("generation").ok_or_else(|| damaged("generation"))?,
            places: places("places"),
            left: places("left"),
            ttl: item.number("ttl"),
            is_unsettled: matches!(item.get("unsettled"), Some(AttributeValue::Bool(true))),
            content: item.take_text("content").ok_or_else(|| damaged("content"))?,
            key,
        })
    }
}

fn places_value(places: &BTreeSet<Place>) -> AttributeValue {
    AttributeValue::L(places.iter().map(write_place).collect())
}

fn write_place(place: &Place) -> AttributeValue {
    text(format_args!("{}#{}", place.at, place.list))
}

fn read_place(text: &str) -> Option<Place> {
    let (at, list) = text.split_once('#')?;
    Some(Place { list: list.to_owned(), at: at.parse().ok()? })
}

impl TenantScope<'_> {
    /// The projection with that key.
    pub async fn projection(
        &self,
        kind: ProjectionKind,
        key: &str,
    ) -> Result<Option<Projection>, ReadError> {
        let pk = keys::projections(kind.as_ref(), &self.tenant);
        let item = self.database.state_item(pk, key, self.deadline).await?;
        Ok(item.map(Projection::of).transpose()?)
    }

    /// The projections with these keys, in order; missing ones are left out.
    pub async fn projections(
        &self,
        kind: ProjectionKind,
        wanted: &[String],
    ) -> Result<Vec<Projection>, ReadError> {
        let unique: BTreeSet<&String> = wanted.iter().collect();
        let unique: Vec<&String> = unique.into_iter().collect();
        let reads: Vec<_> = unique
            .chunks(crate::get_events::KEYS)
            .map(|chunk| self.some_projections(kind, chunk))
            .collect();
        let found: Vec<Vec<Projection>> = stream::iter(reads).buffered(READS).try_collect().await?;
        let mut found: HashMap<String, Projection> = found
            .into_iter()
            .flatten()
            .map(|projection| (projection.key.clone(), projection))
            .collect();
        Ok(wanted.iter().filter_map(|key| found.remove(key)).collect())
    }

    /// The contents of the projections with these keys, in any order. Missing and damaged ones are
    /// left out, so that one damaged item does not block a list.
    pub async fn readable<T: DeserializeOwned>(
        &self,
        kind: ProjectionKind,
        wanted: &[String],
    ) -> Result<Vec<T>, ReadError> {
        let unique: BTreeSet<&String> = wanted.iter().collect();
        let unique: Vec<&String> = unique.into_iter().collect();
        let reads: Vec<_> = unique
            .chunks(crate::get_events::KEYS)
            .map(|chunk| self.some_items(kind, chunk))
            .collect();
        let found: Vec<Vec<Item>> = stream::iter(reads).buffered(READS).try_collect().await?;
        let read = |item| {
            Projection::of(item).map_err(ReadError::from).and_then(|projection| projection.read())
        };
        let sound = found.into_iter().flatten().filter_map(|item| match read(item) {
            Ok(content) => Some(content),
            Err(error) => {
                tracing::error!(%error, "a {} of {} is left out: {error}", kind.as_ref(), self.tenant);
                None
            }
        });
        Ok(sound.collect())
    }

    async fn some_projections(
        &self,
        kind: ProjectionKind,
        wanted: &[&String],
    ) -> Result<Vec<Projection>, ReadError> {
        let items = self.some_items(kind, wanted).await?;
        Ok(items.into_iter().map(Projection::of).collect::<Result<_, _>>()?)
    }

    async fn some_items(
        &self,
        kind: ProjectionKind,
        wanted: &[&String],
    ) -> Result<Vec<Item>, ReadError> {
        let pk = keys::projections(kind.as_ref(), &self.tenant);
        let keys = wanted.iter().map(|sk| key(&pk, sk)).collect();
        Ok(self.database.items(&self.database.state, keys, self.deadline).await?)
    }

    /// Stores a projection, on condition that it is as it was read; otherwise returns false.
    ///
    /// Its places in lists are written before it and removed after it, and expire no earlier. If
    /// this run stops in between, the next change notices that the places are not settled.
    ///
    /// # Errors
    /// After an error, the change may or may not be stored. A retry is safe.
    pub async fn keep<T: Serialize>(
        &self,
        kind: ProjectionKind,
        before: Option<&Projection>,
        kept: ProjectionWrite<'_, T>,
    ) -> Result<bool, ReadError> {
        self.keep_with(kind, before, kept, Vec::new()).await
    }

    /// Like [`Self::keep`], together with changes of other items in the same transaction.
    pub async fn keep_with<T: Serialize>(
        &self,
        kind: ProjectionKind,
        before: Option<&Projection>,
        kept: ProjectionWrite<'_, T>,
        others: Vec<Change>,
    ) -> Result<bool, ReadError> {
        let written = kept.written()?;
        let ttl = kept.expires_at.map(Instant::seconds);
        let is_same = |it: &Projection| {
            it.content == written
                && it.places == kept.places
                && it.due == kept.due
                && it.ttl == ttl
                && !it.is_unsettled
        };
        if others.is_empty() && before.is_some_and(is_same) {
            return Ok(true);
        }
        let generation = before.map_or(0, |before| before.generation) + 1;
        let (had, mut left) =
            before.map(|it| (it.places.clone(), it.left.clone())).unwrap_or_default();
        left.extend(had.iter().cloned());
        let left: BTreeSet<Place> = left.difference(&kept.places).cloned().collect();
        let is_unsettled = before.is_some_and(|before| before.is_unsettled);
        let longest = match before.map(|before| before.ttl) {
            Some(had) => had.zip(ttl).map(|(had, ttl)| had.max(ttl)),
            None => ttl,
        };
        let is_lengthened = before.is_some_and(|before| before.ttl != longest) || is_unsettled;
        let is_shortened = longest != ttl || is_unsettled;
        let unsettled = (is_shortened || !left.is_empty()).then_some(&left);
        let change = self.change(kind, before, &kept, &written, generation, unsettled);
        let ProjectionWrite { key, places, .. } = kept;
        let is_to_be_put = |place: &&Place| is_lengthened || !had.contains(place);
        self.write_places(kind, key, places.iter().filter(is_to_be_put), longest, true).await?;
        let mut is_repeated = false;
        let is_done = match others.is_empty() {
            true => self.database.alone(change, self.deadline, &mut is_repeated).await?,
            false => {
                self.database
                    .together([vec![change], others].concat(), self.deadline, &mut is_repeated)
                    .await?
            }
        };
        // An unanswered attempt may have stored this state; the next read finds it as wanted.
        if is_done && unsettled.is_some() {
            self.write_places(kind, key, left.iter(), None, false).await?;
            if is_shortened {
                self.write_places(kind, key, places.iter(), ttl, true).await?;
            }
            // A concurrent run may have put it back into a list, or extended its retention, before
            // the change here.
            if let Some(now) = self.projection(kind, key).await? {
                let is_moved = |place: &&Place| left.contains(place) || now.ttl != ttl;
                self.write_places(kind, key, now.places.iter().filter(is_moved), now.ttl, true)
                    .await?;
            }
            let set = vec![
                ("unsettled", AttributeValue::Bool(false)),
                ("left", places_value(&BTreeSet::new())),
            ];
            let expected = ("generation", number(generation));
            let key = [keys::projections(kind.as_ref(), &self.tenant), key.to_owned()];
            let settled = Change::Update { key, set, remove: &[], expected };
            self.database.alone(settled, self.deadline, &mut is_repeated).await?;
        }
        Ok(is_done)
    }

    /// The change that stores a projection in a generation, on condition that it is as it was read.
    /// Its places are written separately.
    pub fn becoming<T: Serialize>(
        &self,
        kind: ProjectionKind,
        before: Option<&Projection>,
        kept: &ProjectionWrite<'_, T>,
        generation: u64,
    ) -> Result<Change, Damaged> {
        Ok(self.change(kind, before, kept, &kept.written()?, generation, None))
    }

    fn change<T>(
        &self,
        kind: ProjectionKind,
        before: Option<&Projection>,
        kept: &ProjectionWrite<'_, T>,
        written: &str,
        generation: u64,
        left: Option<&BTreeSet<Place>>,
    ) -> Change {
        let ProjectionWrite { key, places, due, expires_at, .. } = kept;
        let pk = keys::projections(kind.as_ref(), &self.tenant);
        let mut set = vec![
            ("content", text(written)),
            ("generation", number(generation)),
            ("places", places_value(places)),
            ("unsettled", AttributeValue::Bool(left.is_some())),
            ("left", places_value(left.unwrap_or(&BTreeSet::new()))),
        ];
        if let Some(at) = expires_at {
            set.push(("ttl", number(at.seconds())));
        }
        let remove: &'static [&'static str] = match (due, expires_at) {
            (Some(_), Some(_)) => &[],
            (Some(_), None) => &["ttl"],
            (None, Some(_)) => &["due", "due_at"],
            (None, None) => &["due", "due_at", "ttl"],
        };
        if let Some(at) = due {
            set.push(("due", text(keys::watch_due(keys::due_shard(key)))));
            set.push(("due_at", text(at)));
        }
        let expected = before.map(|before| ("generation", number(before.generation)));
        Change::step([pk, (*key).to_owned()], expected, set, remove)
    }

    /// Adds a key without a projection of its own to lists.
    pub async fn put_into_lists(
        &self,
        kind: ProjectionKind,
        key: &str,
        places: impl Iterator<Item = Place>,
        expires_at: Instant,
    ) -> Result<(), ReadError> {
        let places: BTreeSet<Place> = places.collect();
        self.write_places(kind, key, places.iter(), Some(expires_at.seconds()), true).await
    }

    /// Adds a projection to lists or removes it from them.
    async fn write_places(
        &self,
        kind: ProjectionKind,
        key: &str,
        places: impl Iterator<Item = &Place>,
        ttl: Option<i64>,
        is_put: bool,
    ) -> Result<(), ReadError> {
        let request = |place: &Place| {
            let pk = keys::list(kind.as_ref(), &self.tenant, &place.list);
            let mut attributes = self::key(&pk, &keys::list_place(place.at, key));
            attributes.extend(ttl.map(|ttl| ("ttl".to_owned(), number(ttl))));
            // The builders only fail without these values.
            #[allow(clippy::expect_used)]
            if is_put {
                let put = PutRequest::builder()
                    .set_item(Some(attributes))
                    .build()
                    .expect("an item is given");
                WriteRequest::builder().put_request(put).build()
            } else {
                let delete = DeleteRequest::builder()
                    .set_key(Some(attributes))
                    .build()
                    .expect("a key is given");
                WriteRequest::builder().delete_request(delete).build()
            }
        };
        self.write_all(&places.map(request).collect::<Vec<_>>()).await
    }

    /// Writes to the state table without a condition; each write is idempotent.
    pub async fn write_all(&self, requests: &[WriteRequest]) -> Result<(), ReadError> {
        let Database { client, state, .. } = self.database;
        for chunk in requests.chunks(WRITES) {
            let mut left = chunk.to_vec();
            let mut pauses = Pauses::until(self.deadline);
            while !left.is_empty() {
                let call = client.batch_write_item().request_items(state, left);
                let answer = retry(self.deadline, || call.clone().send()).await?;
                left =
                    answer.unprocessed_items.unwrap_or_default().remove(state).unwrap_or_default();
                if !left.is_empty() && !pauses.pause().await {
                    return Err(
                        Unavailable(format!("{} writes stayed unprocessed", left.len())).into()
                    );
                }
            }
        }
        Ok(())
    }

    /// A page of a list's keys in a time range, after the position `after` that an earlier call
    /// returned. Also the position of the next page, if there is one. Not every key necessarily has
    /// a projection.
    pub async fn listed(
        &self,
        kind: ProjectionKind,
        list: &str,
        [since, until]: [Instant; 2],
        order: Order,
        after: Option<&str>,
    ) -> Result<(Vec<(Instant, String)>, Option<String>), ReadError> {
        if since >= until {
            return Ok((Vec::new(), None));
        }
        let partition = Partition::new(keys::list(kind.as_ref(), &self.tenant, list))
            .between(since, until)
            .in_order(order)
            .at_most(PLACES);
        let page = self.page(&partition, after).await?;
        let read = |item: Item| {
            let (at, key) = keys::read_list_place(item.text("sk")?)?;
            Some((at, key.to_owned()))
        };
        Ok((page.items.into_iter().filter_map(read).collect(), page.next))
    }
}
