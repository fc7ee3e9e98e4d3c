//! Secrets Manager: the generated secrets of the template, each in a file of the data directory that only its owner can read.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    data::{DataError, Store},
    gate::{Closed, Gate},
    http_server,
    invoke::respond,
    plan::Secret,
    stop::Stop,
};

const LARGEST_BODY: usize = 64 * 1024;

/// The value of each secret by its ARN. Existing secrets in the data directory are kept.
pub(crate) fn generate(
    store: &Store,
    secrets: &[Secret],
) -> Result<BTreeMap<String, String>, DataError> {
    let mut texts = BTreeMap::new();
    for secret in secrets {
        let file = format!("secret-{}", secret.logical);
        let kept = store
            .read(&file)?
            .and_then(|text| String::from_utf8(text).ok())
            .filter(|text| !text.is_empty());
        let text = match kept {
            Some(text) => text,
            None => {
                let text = random(secret.length);
                store.write(&file, text.as_bytes())?;
                text
            }
        };
        texts.insert(secret.arn.clone(), text);
    }
    Ok(texts)
}

/// A text of `length` random letters and digits.
fn random(length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        text.push_str(&Uuid::new_v4().simple().to_string());
    }
    text.truncate(length);
    text
}

/// Serves the secrets to the functions, which sign with the key of this run.
pub(crate) fn serve(
    secrets: BTreeMap<String, String>,
    listener: TcpListener,
    gate: Arc<Gate>,
    stop: Stop,
) {
    let shared = Arc::new((secrets, gate));
    http_server::serve(listener, stop, move |request, _| {
        let shared = shared.clone();
        async move { answer(&shared.0, &shared.1, request).await }
    });
}

async fn answer(
    secrets: &BTreeMap<String, String>,
    gate: &Gate,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let refusal = |status, code: &str, message: &str| {
        respond(status, &[], json!({"__type": code, "Message": message}).to_string())
    };
    let (head, body) = match gate.admit(request, LARGEST_BODY).await {
        Ok(admitted) => admitted,
        Err(Closed::Refused(message)) => {
            return refusal(StatusCode::FORBIDDEN, "AccessDeniedException", message);
        }
        Err(Closed::TooLarge) => {
            return refusal(
                StatusCode::BAD_REQUEST,
                "InvalidParameterException",
                "the request is too large",
            );
        }
    };
    if head
        .headers
        .get("x-amz-target")
        .is_none_or(|target| target != "secretsmanager.GetSecretValue")
    {
        let message = "the local runner does not support this operation, only GetSecretValue of Secrets Manager";
        return refusal(StatusCode::NOT_IMPLEMENTED, "NotImplementedException", message);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match body["SecretId"].as_str().and_then(|id| secrets.get_key_value(id)) {
        Some((arn, text)) => {
            let answer = json!({"ARN": arn, "Name": arn, "SecretString": text});
            respond(
                StatusCode::OK,
                &[("content-type", "application/x-amz-json-1.1")],
                answer.to_string(),
            )
        }
        None => {
            let message = "Secrets Manager can't find the specified secret.";
            refusal(StatusCode::BAD_REQUEST, "ResourceNotFoundException", message)
        }
    }
}
