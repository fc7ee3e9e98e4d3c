//! DynamoDB: an embedded engine on SQLite, with the template's tables.

mod requests;

use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};

use dynoxide::{
    Database,
    actions::{
        create_table::CreateTableRequest,
        describe_table::DescribeTableRequest,
        describe_time_to_live::DescribeTimeToLiveRequest,
        update_table::UpdateTableRequest,
        update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest},
    },
};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::{StartError, data::Store, gate::Gate, plan::Table, stop::Stop};

const FILE: &str = "dynamodb.sqlite";

/// How long a stop waits for running requests.
const PATIENCE: Duration = Duration::from_secs(5);

/// DynamoDB keeps the records of a stream for a day.
const STREAM_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The running engine.
pub(crate) struct Engine {
    pub(crate) database: Database,
    pub(crate) url: String,
    /// Stops the server. It is stopped last, because everything else needs it.
    serving: Stop,
    threads: Threads,
}

/// The engine blocks its thread while SQLite works. It has its own threads, because otherwise it would
/// block the gateway.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    /// A runtime must not be dropped in asynchronous code, as happens when a start fails.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// Opens the database, creates missing tables, and listens on a free loopback port.
    pub(crate) async fn start(
        store: &Store,
        tables: &[Table],
        gate: Arc<Gate>,
    ) -> Result<Self, StartError> {
        let file = store.file(FILE);
        let path = match &file {
            Some(path) => path.to_str().ok_or_else(|| {
                StartError::Engine("the data directory's name is not UTF-8".into())
            })?,
            // The in-memory database has a name, because `index_stream_records` opens it a second time.
            None => &format!("file:{}?mode=memory&cache=shared", uuid::Uuid::new_v4()),
        };
        let database = Database::new(path).map_err(engine_error)?;
        index_stream_records(path).map_err(engine_error)?;
        for table in tables {
            prepare(&database, table)?;
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("dynamodb")
            .enable_all()
            .build();
        let runtime = runtime.map_err(engine_error)?;
        let serving = Stop::default();
        let (served, stop) = (database.clone(), serving.clone());
        let listening = runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            requests::serve(served, gate, listener, stop);
            io::Result::Ok(address)
        });
        let threads = Threads(Some(runtime));
        let address = listening.await.map_err(engine_error)?.map_err(engine_error)?;
        Ok(Self { database, url: format!("http://{address}"), serving, threads })
    }

    /// Deletes items past their TTL and expired stream records every minute.
    pub(crate) fn sweep(&self, store: &Store, minute: Duration, stop: &Stop) {
        let (database, file, soon) = (self.database.clone(), store.file(FILE), stop.soon.clone());
        stop.tasks.spawn(async move {
            let mut pause = minute;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = soon.cancelled() => return,
                }
                let (database, file) = (database.clone(), file.clone());
                let begun = tokio::time::Instant::now();
                let swept = tokio::task::spawn_blocking(move || {
                    let swept = database.sweep_ttl().map_err(|error| error.to_string())?;
                    match file {
                        Some(file) => {
                            trim_stream_records(&file).map_err(|error| error.to_string())?
                        }
                        None => 0,
                    };
                    Ok::<_, String>(swept)
                });
                match swept.await {
                    Ok(Ok(0)) => {}
                    Ok(Ok(items)) => tracing::info!("{items} items past their TTL were deleted"),
                    Ok(Err(error)) => tracing::error!("the TTL sweep failed: {error}"),
                    Err(error) => tracing::error!("the TTL sweep failed: {error}"),
                }
                // A sweep reads every item, so the pause grows with its duration.
                pause = minute.max(begun.elapsed() * 20);
            }
        });
    }

    /// Stops the server after its last client has stopped, and closes the database.
    pub(crate) async fn stop(self) {
        let Self { database, serving, mut threads, .. } = self;
        serving.soon.cancel();
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(runtime) = threads.0.take() {
                runtime.shutdown_timeout(PATIENCE);
            }
            drop(database);
        });
        let _ = ended.await;
    }
}

/// Adds an index to the stream records. At every write the engine looks for the last record of a stream, which
/// without an index would read all earlier ones.
fn index_stream_records(path: &str) -> rusqlite::Result<()> {
    Connection::open(path)?.execute_batch(
        "CREATE INDEX IF NOT EXISTS jit_audit_stream_order
         ON _stream_records (table_name, CAST(sequence_number AS INTEGER))",
    )
}

/// Deletes old stream records, which the engine itself never does. It deletes a few at a time, so that no write waits long.
fn trim_stream_records(file: &Path) -> rusqlite::Result<usize> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let mut trimmed = 0;
    loop {
        let deleted = connection.execute(
            "DELETE FROM _stream_records WHERE id IN
             (SELECT id FROM _stream_records ORDER BY id LIMIT 500) AND created_at < unixepoch() - ?1",
            [STREAM_KEPT.as_secs()],
        )?;
        trimmed += deleted;
        if deleted < 500 {
            return Ok(trimmed);
        }
    }
}

fn engine_error(error: impl std::fmt::Display) -> StartError {
    StartError::Engine(error.to_string())
}

/// Creates a table, or checks that an existing one matches the template.
fn prepare(database: &Database, table: &Table) -> Result<(), StartError> {
    let existing = database.describe_table(DescribeTableRequest { table_name: table.name.clone() });
    match existing {
        Ok(existing) => {
            let existing = serde_json::to_value(existing.table).map_err(engine_error)?;
            let differences = differences(&table.request, &existing);
            if !differences.is_empty() {
                return Err(StartError::Drift {
                    table: table.logical.clone(),
                    differences: differences.join("; "),
                });
            }
            let protected =
                table.request["DeletionProtectionEnabled"].as_bool().unwrap_or_default();
            if existing["DeletionProtectionEnabled"].as_bool().unwrap_or_default() != protected {
                let request: UpdateTableRequest = serde_json::from_value(
                    json!({"TableName": table.name, "DeletionProtectionEnabled": protected}),
                )
                .map_err(engine_error)?;
                database.update_table(request).map_err(engine_error)?;
            }
        }
        Err(_) => {
            let request: CreateTableRequest = serde_json::from_value(table.request.clone())
                .map_err(|error| StartError::Engine(format!("{}: {error}", table.logical)))?;
            database
                .create_table(request)
                .map_err(|error| StartError::Engine(format!("{}: {error}", table.logical)))?;
        }
    }
    set_ttl(database, table)
}

/// Sets the TTL attribute of the table to that of the template.
fn set_ttl(database: &Database, table: &Table) -> Result<(), StartError> {
    let set = |attribute: &str, enabled: bool| -> Result<(), StartError> {
        let specification =
            TimeToLiveSpecification { attribute_name: attribute.to_owned(), enabled };
        let table_name = table.name.clone();
        let request =
            UpdateTimeToLiveRequest { table_name, time_to_live_specification: specification };
        database.update_time_to_live(request).map(drop).map_err(engine_error)
    };
    let request = DescribeTimeToLiveRequest { table_name: table.name.clone() };
    let existing = database.describe_time_to_live(request).map_err(engine_error)?;
    let existing = serde_json::to_value(existing).map_err(engine_error)?;
    let existing = existing.pointer("/TimeToLiveDescription/AttributeName").and_then(Value::as_str);
    if existing == table.ttl.as_deref() {
        return Ok(());
    }
    if let Some(old) = existing {
        set(old, false)?;
    }
    table.ttl.as_deref().map_or(Ok(()), |new| set(new, true))
}

/// The differences between the table in the template and the existing one.
fn differences(wanted: &Value, existing: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: String, wanted: Option<&Value>, existing: Option<&Value>| {
        if wanted != existing {
            let show = |value: Option<&Value>| value.map_or("none".to_owned(), Value::to_string);
            found.push(format!(
                "{what} is {} in the data directory but {} in the template",
                show(existing),
                show(wanted)
            ));
        }
    };
    compare("the key".into(), wanted.get("KeySchema"), existing.get("KeySchema"));
    let (wanted_types, existing_types) = (attribute_types(wanted), attribute_types(existing));
    for name in wanted_types
        .keys()
        .chain(existing_types.keys().filter(|name| !wanted_types.contains_key(*name)))
    {
        compare(
            format!("the type of attribute {name}"),
            wanted_types.get(name),
            existing_types.get(name),
        );
    }
    for kind in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        let (wanted, existing) = (indexes(wanted, kind), indexes(existing, kind));
        for name in wanted.keys().chain(existing.keys().filter(|name| !wanted.contains_key(*name)))
        {
            compare(format!("the index {name}"), wanted.get(name), existing.get(name));
        }
    }
    let view = |table: &Value| table.pointer("/StreamSpecification/StreamViewType").cloned();
    compare("the stream".into(), view(wanted).as_ref(), view(existing).as_ref());
    found
}

fn attribute_types(table: &Value) -> BTreeMap<String, Value> {
    let definitions = table["AttributeDefinitions"].as_array().into_iter().flatten();
    definitions
        .map(|item| {
            (
                item["AttributeName"].as_str().unwrap_or_default().to_owned(),
                item["AttributeType"].clone(),
            )
        })
        .collect()
}

/// The indexes by name, with the properties that must not change.
fn indexes(table: &Value, kind: &str) -> BTreeMap<String, Value> {
    let shape = |index: &Value| {
        let mut projected =
            index["Projection"]["NonKeyAttributes"].as_array().cloned().unwrap_or_default();
        projected.sort_by_key(Value::to_string);
        json!({
            "KeySchema": index["KeySchema"],
            "ProjectionType": index["Projection"]["ProjectionType"],
            "NonKeyAttributes": projected,
        })
    };
    let indexes = table[kind].as_array().into_iter().flatten();
    indexes
        .map(|index| (index["IndexName"].as_str().unwrap_or_default().to_owned(), shape(index)))
        .collect()
}
