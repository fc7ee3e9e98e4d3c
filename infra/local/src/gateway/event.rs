//! Payload format 2.0: conversion of requests to events and of results to responses.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::{collections::BTreeMap, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::routes::decoded;
use crate::{authorizer::Claims, invoke::TRACING_HEADER, plan::ACCOUNT};

/// Data about a request that is not in the request itself.
pub(crate) struct About<'r> {
    pub(crate) api: &'r str,
    pub(crate) request_id: &'r str,
    /// The tracing header that the function gets.
    pub(crate) trace: &'r str,
    pub(crate) route_key: &'r str,
    pub(crate) path_parameters: BTreeMap<String, String>,
    /// The claims of the token, and its scopes that the route requires (`None`: the route requires none).
    pub(crate) claims: Option<(Claims, Option<Vec<String>>)>,
    pub(crate) source: IpAddr,
    pub(crate) port: u16,
    pub(crate) now: DateTime<Utc>,
}

/// The event for a request.
pub(crate) fn event(request: &Parts, body: &Bytes, about: About<'_>) -> Value {
    let path = decoded(request.uri.path());
    let query = request.uri.query().unwrap_or_default();
    let agent = request.headers.get(header::USER_AGENT).map(text).unwrap_or_default();
    let host = request.headers.get(header::HOST).map(text).unwrap_or_default();
    let domain = host.rsplit_once(':').map_or(host.as_str(), |(domain, _)| domain);
    let mut context = json!({
        "accountId": ACCOUNT,
        "apiId": about.api,
        "domainName": domain,
        "domainPrefix": domain.split('.').next(),
        "http": {
            "method": request.method.as_str(),
            "path": path,
            "protocol": format!("{:?}", request.version),
            "sourceIp": about.source.to_string(),
            "userAgent": agent,
        },
        "requestId": about.request_id,
        "routeKey": about.route_key,
        "stage": "$default",
        "time": about.now.format("%d/%b/%Y:%H:%M:%S %z").to_string(),
        "timeEpoch": about.now.timestamp_millis(),
    });
    if let Some((claims, scopes)) = &about.claims {
        let claims: Map<String, Value> =
            claims.iter().map(|(name, value)| (name.clone(), flattened(value).into())).collect();
        context["authorizer"] = json!({"jwt": {"claims": claims, "scopes": scopes}});
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": about.route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers(&request.headers, &about),
        "requestContext": context,
        "isBase64Encoded": false,
    });
    let cookies: Vec<String> = request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| text(value).split("; ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if let Some(parameters) = query_parameters(query) {
        event["queryStringParameters"] = parameters;
    }
    if !about.path_parameters.is_empty() {
        event["pathParameters"] = about.path_parameters.into_iter().collect();
    }
    if !body.is_empty() {
        let plain = is_text(&request.headers).then(|| str::from_utf8(body).ok()).flatten();
        event["isBase64Encoded"] = plain.is_none().into();
        event["body"] = plain.map_or_else(|| BASE64_STANDARD.encode(body), str::to_owned).into();
    }
    event
}

/// The content types whose bodies API Gateway passes as text. Others, including NDJSON and forms, are passed in base64.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(text).unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.starts_with("text/")
        || matches!(kind, "application/json" | "application/javascript" | "application/xml")
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Headers with lower-case names. Several values of one name are joined by commas. Cookies have their own field.
fn headers(headers: &HeaderMap, about: &About<'_>) -> Value {
    let mut joined = Map::new();
    for name in headers.keys().filter(|name| *name != header::COOKIE) {
        let values: Vec<String> = headers.get_all(name).iter().map(text).collect();
        joined.insert(name.as_str().to_owned(), values.join(",").into());
    }
    // Values from the caller are replaced, as by API Gateway.
    joined.insert("x-forwarded-for".into(), about.source.to_string().into());
    joined.insert("x-forwarded-port".into(), about.port.to_string().into());
    joined.insert("x-forwarded-proto".into(), "http".into());
    joined.insert(TRACING_HEADER.into(), about.trace.into());
    joined.into()
}

/// Decoded query parameters. Several values of one name are joined by commas.
fn query_parameters(query: &str) -> Option<Value> {
    let mut parameters: Map<String, Value> = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let [name, value] = [name, value].map(|text| decoded(&text.replace('+', " ")));
        match parameters.get_mut(&name) {
            Some(Value::String(known)) => {
                known.push(',');
                known.push_str(&value);
            }
            _ => {
                parameters.insert(name, value.into());
            }
        }
    }
    (!parameters.is_empty()).then(|| parameters.into())
}

/// A claim in the format of API Gateway, which is always a text. A list becomes `[a b]`.
fn flattened(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flattened).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}:{}", flattened(value)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
    }
}

/// The response for a function's result. Without a `statusCode`, the result is the body of a 200.
pub(crate) fn response(mut answer: Value) -> Result<Response<Full<Bytes>>, String> {
    if let Value::String(body) = answer {
        return Ok(inferred(body));
    }
    if answer.get("statusCode").is_none() {
        return Ok(inferred(answer.to_string()));
    }
    let status = &answer["statusCode"];
    let status = status.as_u64().or_else(|| status.as_str()?.parse().ok());
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (200..600).contains(status));
    let status = status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or("statusCode is not an HTTP status")?;
    let body = match answer["body"].take() {
        Value::Null => String::new(),
        Value::String(body) => body,
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    };
    let body = match answer["isBase64Encoded"].as_bool().unwrap_or_default() {
        true => Bytes::from(
            BASE64_STANDARD.decode(body).map_err(|error| format!("body is not base64: {error}"))?,
        ),
        false => Bytes::from(body),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    // `multiValueHeaders` belongs to format 1.0 and is ignored in 2.0.
    let headers = &answer["headers"];
    if !headers.is_null() && !headers.is_object() {
        return Err("headers is not an object".into());
    }
    for (name, value) in headers.as_object().into_iter().flatten() {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| format!("{name:?} is not a valid header name"))?;
        if matches!(
            name,
            header::CONNECTION
                | header::CONTENT_LENGTH
                | header::TRANSFER_ENCODING
                | header::UPGRADE
        ) {
            continue;
        }
        response.headers_mut().insert(name, header_value(value)?);
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, header_value(cookie)?);
    }
    if !response.headers().contains_key(header::CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    Ok(response)
}

fn inferred(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn header_value(value: &Value) -> Result<HeaderValue, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err("a header is not a string".into());
        }
    };
    HeaderValue::try_from(text).map_err(|_| "a header contains control characters".into())
}
