//! The daily totals of access records.
//!
//! Each row of a day is an item. It is changed in the transaction that stores an access record, by
//! the difference between the record's old and new contribution. A changed day is recounted a day
//! later. The recount corrects errors and logs them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::access_projection::access_lists::ALL;
use shared_domain::{
    access::access_record::Access,
    reports::daily_statistics::{Figures, Row},
    time::timestamp::Instant,
    trail::search::Order,
};
use shared_platform::random;
use shared_storage::{
    ReadError, TenantScope,
    attributes::{key, number, text},
    event_item::{Damaged, Item},
    keys,
    partitions::Partition,
    projections::ProjectionKind,
    transaction::Change,
};

/// Access records read at a time.
const AT_A_TIME: usize = 100;
const DAY: Duration = Duration::from_secs(86_400);

/// The rows to which an access record contributes, by day and key, with its contribution.
pub type Contribution = BTreeMap<(i64, String), Row>;

struct StoredRow {
    row: Row,
    /// A value that is new after each change and never repeats.
    version: String,
}

fn read(item: &Item) -> Result<StoredRow, Damaged> {
    let damaged = |name| Damaged::new(item.text("sk").unwrap_or_default(), name);
    let row = item.text("content").and_then(|content| serde_json::from_str(content).ok());
    Ok(StoredRow {
        row: row.ok_or_else(|| damaged("content"))?,
        version: item.text("version").ok_or_else(|| damaged("version"))?.to_owned(),
    })
}

/// The contribution of an access record to the daily totals.
pub fn contribution_of(access: &Access) -> Contribution {
    let day = access.at().day_number();
    shared_domain::reports::daily_statistics::contribution(access)
        .into_iter()
        .map(|(key, row)| ((day, key), row))
        .collect()
}

/// The changes of rows from an access record's old contribution to its new one.
pub async fn figure_changes(
    scope: &TenantScope<'_>,
    had: &Contribution,
    has: &Contribution,
) -> Result<Vec<Change>, ReadError> {
    let all: BTreeSet<&(i64, String)> = had.keys().chain(has.keys()).collect();
    let changed: Vec<&(i64, String)> =
        all.into_iter().filter(|key| had.get(key) != has.get(key)).collect();
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let place = |(day, key): &(i64, String)| {
        let [pk, prefix] = keys::day_rows(&scope.tenant, *day);
        [pk, format!("{prefix}{key}")]
    };
    let wanted = changed.iter().map(|row| {
        let [pk, sk] = place(row);
        key(&pk, &sk)
    });
    let mut there = HashMap::new();
    for wanted in wanted.collect::<Vec<_>>().chunks(shared_storage::get_events::KEYS) {
        for item in
            scope.database.items(&scope.database.state, wanted.to_vec(), scope.deadline).await?
        {
            let name = |name| item.text(name).unwrap_or_default().to_owned();
            there.insert([name("pk"), name("sk")], read(&item)?);
        }
    }
    let changes = changed.into_iter().filter_map(|key| {
        let place = place(key);
        let before = there.remove(&place);
        let row = match (&before, had.get(key), has.get(key)) {
            (Some(before), Some(had), Some(has)) => before.row.clone().without(had).with(has),
            (Some(before), Some(had), None) => before.row.clone().without(had),
            (Some(before), None, Some(has)) => before.row.clone().with(has),
            (None, _, Some(has)) => has.clone(),
            (_, _, None) => return None,
        };
        row_change(scope, key.0, place, before.as_ref(), row)
    });
    Ok(changes.collect())
}

/// The change that stores a row; none if the row does not exist and is not needed.
fn row_change(
    scope: &TenantScope<'_>,
    day: i64,
    key: [String; 2],
    before: Option<&StoredRow>,
    row: Row,
) -> Option<Change> {
    let content = serde_json::to_string(&row).ok()?;
    let ends = Instant::of_day(day + 1).plus(scope.settings.kept_at(Instant::of_day(day)));
    let set = vec![
        ("content", text(content)),
        ("version", text(format!("{:016x}", random::number()))),
        ("ttl", number(ends.seconds())),
    ];
    let expected = before.map(|before| ("version", text(&before.version)));
    match (row.is_empty(), expected) {
        (true, expected) => expected.map(|expected| Change::Delete { key, expected }),
        (false, expected) => Some(Change::step(key, expected, set, &[])),
    }
}

/// The rows of the days from `first` to `last`, both included.
pub async fn figures_between(
    scope: &TenantScope<'_>,
    first: i64,
    last: i64,
) -> Result<Vec<Row>, ReadError> {
    let mut months: BTreeMap<String, [String; 2]> = BTreeMap::new();
    for day in first..=last {
        let [pk, prefix] = keys::day_rows(&scope.tenant, day);
        months.entry(pk).or_insert_with(|| [prefix.clone(), prefix.clone()])[1].clone_from(&prefix);
    }
    let mut rows = Vec::new();
    for (pk, [first, last]) in months {
        rows.extend(
            stored_rows(scope, &pk, &first, &last).await?.into_values().map(|stored| stored.row),
        );
    }
    Ok(rows)
}

/// The rows of a month within a range of days, by key.
async fn stored_rows(
    scope: &TenantScope<'_>,
    pk: &str,
    first: &str,
    last: &str,
) -> Result<BTreeMap<String, StoredRow>, ReadError> {
    let partition = Partition::new(pk.to_owned()).between(first, format!("{last}~"));
    let row = |item: Item| {
        let key = item.text("sk").unwrap_or_default().to_owned();
        Some(read(&item).map(|row| (key, row)))
    };
    Ok(scope.all(&partition, row).await?.into_iter().collect::<Result<_, Damaged>>()?)
}

/// Recounts a day from its access records and corrects wrong rows. Returns their number.
pub async fn count_day(scope: &TenantScope<'_>, key: &str) -> Result<usize, ReadError> {
    let Ok(since) = format!("{key}T00:00:00.000Z").parse::<Instant>() else { return Ok(0) };
    let (day, range) = (since.day_number(), [since, since.plus(DAY)]);
    let [pk, prefix] = keys::day_rows(&scope.tenant, day);
    // Read before the access records: a row that is changed from now on is left alone, because that
    // change counts it correctly.
    let mut stored = stored_rows(scope, &pk, &prefix, &prefix).await?;
    // If the day has no rows at all, they were lost rather than wrong. They are restored and not
    // reported.
    let was_empty = stored.is_empty();
    let (mut figures, mut after) = (Figures::default(), None);
    loop {
        let (page, next) = scope
            .listed(ProjectionKind::Access, ALL, range, Order::Ascending, after.as_deref())
            .await?;
        let keys: Vec<String> = page.into_iter().map(|(_, key)| key).collect();
        for keys in keys.chunks(AT_A_TIME) {
            for access in scope.readable::<Access>(ProjectionKind::Access, keys).await? {
                // The list may contain a place that the record has left.
                if access.at().day_number() == day {
                    figures.add(&access);
                }
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    let mut rows: BTreeMap<String, Row> =
        figures.rows().into_iter().map(|(key, row)| (format!("{prefix}{key}"), row)).collect();
    let keys: BTreeSet<String> = stored.keys().chain(rows.keys()).cloned().collect();
    let mut corrected = 0;
    for key in keys {
        let (before, row) = (stored.remove(&key), rows.remove(&key));
        let change = match (&before, row) {
            (Some(before), Some(row)) if before.row.counts_as(&row) => None,
            (_, Some(row)) => row_change(scope, day, [pk.clone(), key], before.as_ref(), row),
            (Some(before), None) => Some(Change::Delete {
                key: [pk.clone(), key],
                expected: ("version", text(&before.version)),
            }),
            (None, None) => None,
        };
        if let Some(change) = change {
            corrected +=
                usize::from(scope.database.alone(change, scope.deadline, &mut false).await?);
        }
    }
    if was_empty {
        return Ok(0);
    }
    if corrected > 0 {
        tracing::error!(
            "{corrected} rows of the figures of {key} of {} were wrong and are corrected",
            scope.tenant
        );
    }
    Ok(corrected)
}
