//! Secrets Manager: the secrets that the template generates, each in a file of the data directory that its owner alone may read.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    data::{DataError, Store},
    http_server,
    invoke::{is_signed, respond},
    plan::Secret,
    stop::Stop,
};

const LARGEST_BODY: usize = 64 * 1024;

/// The text of each secret by its ARN. One that the data directory has stays as it is.
pub(crate) fn generate(store: &Store, secrets: &[Secret]) -> Result<BTreeMap<String, String>, DataError> {
    let mut texts = BTreeMap::new();
    for secret in secrets {
        let file = format!("secret-{}", secret.logical);
        let kept = store.read(&file)?.and_then(|text| String::from_utf8(text).ok()).filter(|text| !text.is_empty());
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

/// That many random letters and digits.
fn random(length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        text.push_str(&Uuid::new_v4().simple().to_string());
    }
    text.truncate(length);
    text
}

/// Serves them to the functions. A request that is not signed with `access_key` (another program on this machine) is refused.
pub(crate) fn serve(secrets: BTreeMap<String, String>, listener: TcpListener, access_key: String, stop: Stop) {
    let shared = Arc::new((secrets, access_key));
    http_server::serve(listener, stop, move |request, _| {
        let shared = shared.clone();
        async move { answer(&shared.0, &shared.1, request).await }
    });
}

async fn answer(
    secrets: &BTreeMap<String, String>,
    access_key: &str,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let refusal = |status, code: &str, message: &str| {
        respond(status, &[], json!({"__type": code, "Message": message}).to_string())
    };
    if !is_signed(&request, access_key) {
        return refusal(StatusCode::FORBIDDEN, "AccessDeniedException", "not signed with this run's access key");
    }
    if request.headers().get("x-amz-target").is_none_or(|target| target != "secretsmanager.GetSecretValue") {
        let message = "the one-machine runner has no such service: of Secrets Manager it knows GetSecretValue only";
        return refusal(StatusCode::NOT_IMPLEMENTED, "NotImplementedException", message);
    }
    let body = Limited::new(request.into_body(), LARGEST_BODY).collect().await.map(|body| body.to_bytes());
    let body: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    match body["SecretId"].as_str().and_then(|id| secrets.get_key_value(id)) {
        Some((arn, text)) => {
            let answer = json!({"ARN": arn, "Name": arn, "SecretString": text});
            respond(StatusCode::OK, &[("content-type", "application/x-amz-json-1.1")], answer.to_string())
        }
        None => {
            let message = "Secrets Manager can't find the specified secret.";
            refusal(StatusCode::BAD_REQUEST, "ResourceNotFoundException", message)
        }
    }
}
