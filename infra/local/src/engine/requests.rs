//! DynamoDB's HTTP API. The server of the engine accepts any signature and any origin, so this one with its
//! [`Gate`] replaces it.

use std::sync::Arc;

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    gate::{Closed, Gate},
    http_server,
    invoke::respond,
    stop::Stop,
};

/// The largest request of DynamoDB.
const LARGEST: usize = 16 * 1024 * 1024;
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
const TARGETS: [&str; 2] = ["DynamoDB_20120810.", "DynamoDBStreams_20120810."];

/// Serves requests that are signed with the key of this run.
pub(super) fn serve(database: Database, gate: Arc<Gate>, listener: TcpListener, stop: Stop) {
    http_server::serve(listener, stop, move |request, _| {
        let (database, gate) = (database.clone(), gate.clone());
        async move { answer(&database, &gate, request).await }
    });
}

async fn answer(
    database: &Database,
    gate: &Gate,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = match gate.admit(request, LARGEST).await {
        Ok(admitted) => admitted,
        Err(Closed::Refused(message)) => {
            return refuse(StatusCode::FORBIDDEN, "AccessDeniedException", message);
        }
        Err(Closed::TooLarge) => {
            return refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLargeException",
                "larger than 16 MB",
            );
        }
    };
    let target =
        head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation =
        TARGETS.iter().find_map(|prefix| target.strip_prefix(prefix)).unwrap_or_default();
    match run(database, operation, &body) {
        None => refuse(StatusCode::BAD_REQUEST, "UnknownOperationException", "no such operation"),
        Some(Ok(answer)) => answered(StatusCode::OK, answer),
        Some(Err(error)) => {
            let status =
                StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
            answered(status, error.to_json())
        }
    }
}

/// Runs an operation. Returns `None` for an unknown operation.
fn run(database: &Database, operation: &str, body: &[u8]) -> Option<dynoxide::Result<String>> {
    macro_rules! operations {
        ($($name:literal: $method:ident,)*) => {
            match operation {
                $($name => read(body).and_then(|request| database.$method(request)).and_then(|answer| write(&answer)),)*
                _ => return None,
            }
        };
    }
    let answer = operations! {
        "BatchExecuteStatement": batch_execute_statement,
        "BatchGetItem": batch_get_item,
        "BatchWriteItem": batch_write_item,
        "CreateTable": create_table,
        "DeleteItem": delete_item,
        "DeleteTable": delete_table,
        "DescribeStream": describe_stream,
        "DescribeTable": describe_table,
        "DescribeTimeToLive": describe_time_to_live,
        "ExecuteStatement": execute_statement,
        "ExecuteTransaction": execute_transaction,
        "GetItem": get_item,
        "GetRecords": get_records,
        "GetShardIterator": get_shard_iterator,
        "ListStreams": list_streams,
        "ListTables": list_tables,
        "PutItem": put_item,
        "Query": query,
        "Scan": scan,
        "TransactGetItems": transact_get_items,
        "TransactWriteItems": transact_write_items,
        "UpdateItem": update_item,
        "UpdateTable": update_table,
        "UpdateTimeToLive": update_time_to_live,
    };
    Some(answer.map_err(|error| match (operation, error) {
        // This operation returns the existing item in a special format.
        (
            "ExecuteStatement",
            DynoxideError::ConditionalCheckFailedException(message, Some(item)),
        ) => DynoxideError::StatementConditionalCheckFailed(message, item),
        (_, error) => error,
    }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> dynoxide::Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| DynoxideError::ValidationException(error.to_string()))
}

fn write(answer: &impl Serialize) -> dynoxide::Result<String> {
    serde_json::to_string(answer)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let kind = format!("com.amazon.coral.service#{kind}");
    answered(status, json!({"__type": kind, "message": message}).to_string())
}

fn answered(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let id = Uuid::new_v4().simple().to_string();
    respond(status, &[("content-type", CONTENT_TYPE), ("x-amzn-requestid", &id)], body)
}
