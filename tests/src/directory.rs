//! Directories for tests: an independent SCIM server, and small simulated directories that can be made to fail. No independent server of
//! Microsoft Graph exists, so the simulated one follows the documented contract.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Child, process::Command, sync::watch};

use crate::until;

/// The bearer token that directories accept.
pub const TOKEN: &str = "directory-token";

/// `scim2-server` from PyPI.
pub struct ScimServer {
    pub url: String,
    client: reqwest::Client,
    child: Child,
}

impl ScimServer {
    /// Starts it.
    pub async fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("a workspace")
            .join("target/peers/python/bin/scim2-server");
        assert!(program.exists(), "{} is missing: tests/run installs it", program.display());
        let port = crate::free_port();
        let child = Command::new(program)
            .args(["--hostname", "127.0.0.1", "--port", &port.to_string(), "--bearer-token", TOKEN])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("scim2-server");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://127.0.0.1:{port}/v2");
        until("scim2-server answers", async || {
            client
                .get(format!("{url}/Users"))
                .bearer_auth(TOKEN)
                .send()
                .await
                .ok()
                .filter(|it| it.status() == 200)
        })
        .await;
        Self { url, client, child }
    }

    /// Adds an account and returns its id.
    pub async fn add(&self, name: &str) -> String {
        let user = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "active": true});
        let request = self.client.post(format!("{}/Users", self.url)).bearer_auth(TOKEN);
        let request =
            request.header("content-type", "application/scim+json").body(user.to_string());
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 201);
        let body: Value = answer.json().await.expect("JSON");
        body["id"].as_str().expect("an id").to_owned()
    }

    /// Whether the server reports the account as active.
    pub async fn is_active(&self, id: &str) -> bool {
        let answer =
            self.client.get(format!("{}/Users/{id}", self.url)).bearer_auth(TOKEN).send().await;
        let body: Value = answer.expect("an answer").json().await.expect("JSON");
        body["active"].as_bool().unwrap_or_else(|| panic!("{body}"))
    }

    /// Stops the server.
    pub async fn stop(mut self) {
        self.child.kill().await.expect("it ends");
    }
}

/// A fault of a directory for one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this status and an optional Retry-After in seconds.
    Status(u16, Option<u32>),
    /// Applies the request and closes the connection without a response.
    HangUp,
    /// Applies the request and never answers.
    Hang,
    /// Reports success without applying the request.
    Pretend,
    /// Returns the account as it was before the last change.
    Stale,
}

/// An account of a directory.
#[derive(Clone, Debug)]
struct User {
    name: String,
    /// The e-mail address, if it differs from the name.
    mail: Option<String>,
    is_enabled: bool,
    is_guest: bool,
    /// Whether responses omit the account.
    is_hidden: bool,
}

impl User {
    /// The part of its name before the `@`.
    fn nickname(&self) -> &str {
        self.name.split('@').next().unwrap_or_default()
    }
}

/// The accounts of a directory and its responses: SCIM at `/scim`, Graph and its token endpoint at `/`.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<BTreeMap<String, User>>);

impl Accounts {
    /// Adds an enabled account and returns its id.
    pub fn add(&self, name: &str) -> String {
        self.insert(name, false)
    }

    /// Adds a guest account from another directory.
    pub fn add_guest(&self, name: &str) -> String {
        self.insert(name, true)
    }

    fn insert(&self, name: &str, is_guest: bool) -> String {
        let mut users = self.0.lock().expect("users");
        let id = format!("u-{}", users.len());
        let user = User {
            name: name.to_owned(),
            mail: None,
            is_enabled: true,
            is_guest,
            is_hidden: false,
        };
        users.insert(id.clone(), user);
        id
    }

    /// Sets the e-mail address of an account.
    pub fn mail(&self, id: &str, address: &str) {
        self.0.lock().expect("users").get_mut(id).expect("an account").mail =
            Some(address.to_owned());
    }

    /// Renames an account. Its id does not change.
    pub fn rename(&self, id: &str, name: &str) {
        self.0.lock().expect("users").get_mut(id).expect("an account").name = name.to_owned();
    }

    /// Sets whether responses omit an account.
    pub fn hide(&self, id: &str, hide: bool) {
        self.0.lock().expect("users").get_mut(id).expect("an account").is_hidden = hide;
    }

    /// Whether the account is enabled, or none if it was removed.
    pub fn is_enabled(&self, id: &str) -> Option<bool> {
        self.0.lock().expect("users").get(id).map(|user| user.is_enabled)
    }

    /// Enables or disables an account, as an administrator of the directory would.
    pub fn turn(&self, id: &str, on: bool) {
        self.0.lock().expect("users").get_mut(id).expect("an account").is_enabled = on;
    }

    /// The name of an account.
    pub fn name(&self, id: &str) -> Option<String> {
        self.0.lock().expect("users").get(id).map(|user| user.name.clone())
    }

    /// Removes an account.
    pub fn remove(&self, id: &str) {
        self.0.lock().expect("users").remove(id);
    }

    /// The response to a request.
    pub fn answer(&self, method: &str, uri: &http::Uri, bearer: &str, body: &[u8]) -> (u16, Value) {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let json = serde_json::from_slice(body).unwrap_or_default();
        let path = uri.path();
        if path.ends_with("/oauth2/v2.0/token") {
            let form: BTreeMap<String, String> =
                form_urlencoded::parse(body).into_owned().collect();
            match form.get("client_secret").map(String::as_str) {
                Some(TOKEN) => (
                    200,
                    json!({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}),
                ),
                _ => (
                    401,
                    json!({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}),
                ),
            }
        } else if bearer != format!("Bearer {TOKEN}") {
            (
                401,
                json!({"error": {"code": "InvalidAuthenticationToken", "message": "Access token is empty."}}),
            )
        } else if let Some(path) = path.strip_prefix("/scim/Users") {
            self.scim(method, path, &query, &json)
        } else if let Some(path) = path.strip_prefix("/v1.0/users") {
            self.graph(method, path, &query, &json)
        } else {
            (404, json!({}))
        }
    }

    fn scim(
        &self,
        method: &str,
        path: &str,
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> (u16, Value) {
        let shown = |id: &String, user: &User| {
            let emails: Vec<_> = user.mail.iter().map(|mail| json!({ "value": mail })).collect();
            json!({"id": id, "userName": user.name, "emails": emails, "active": user.is_enabled})
        };
        let mut users = self.0.lock().expect("users");
        let id = path.trim_start_matches('/').to_owned();
        if id.is_empty() {
            let wanted =
                query.get("filter").and_then(|filter| filter.split_once(' ')).unwrap_or_default();
            let (attribute, (operator, name)) =
                (wanted.0, wanted.1.split_once(' ').unwrap_or_default());
            let name = name.trim_matches('"');
            let is_wanted = |user: &User| match (attribute, operator) {
                ("emails.value", _) => user.mail.as_deref() == Some(name),
                (_, "eq") => user.name == name,
                _ => user.name.starts_with(name),
            };
            let found: Vec<_> = users
                .iter()
                .filter(|(_, user)| !user.is_hidden && is_wanted(user))
                .map(|(id, user)| shown(id, user))
                .collect();
            return (200, json!({"totalResults": found.len(), "Resources": found}));
        }
        let Some(user) = users.get_mut(&id).filter(|user| !user.is_hidden) else {
            return (404, json!({"detail": "no such user"}));
        };
        match method {
            "PATCH" => user.is_enabled = body["Operations"][0]["value"].as_bool().expect("a value"),
            "PUT" => user.is_enabled = body["active"].as_bool().expect("active"),
            _ => {}
        }
        (200, shown(&id, user))
    }

    fn graph(
        &self,
        method: &str,
        path: &str,
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> (u16, Value) {
        let shown = |id: &String, user: &User| {
            let kind = if user.is_guest { "Guest" } else { "Member" };
            json!({"id": id, "userPrincipalName": user.name, "mail": user.mail, "mailNickname": user.nickname(),
                "accountEnabled": user.is_enabled, "userType": kind})
        };
        let mut users = self.0.lock().expect("users");
        let path = percent_encoding::percent_decode_str(path.trim_start_matches('/'))
            .decode_utf8_lossy()
            .into_owned();
        if path.is_empty() {
            let filter = query.get("$filter").map(String::as_str).unwrap_or_default();
            let text = filter.split('\'').nth(1).unwrap_or_default();
            let is_wanted = |user: &User| match filter.starts_with("mail eq") {
                true => user.mail.as_deref() == Some(text) || user.nickname() == text,
                false => user.name.starts_with(text),
            };
            let found: Vec<_> = users
                .iter()
                .filter(|(_, user)| !user.is_hidden && is_wanted(user))
                .map(|(id, user)| shown(id, user))
                .collect();
            return (200, json!({ "value": found }));
        }
        let (name, action) = path.split_once('/').unwrap_or((&path, ""));
        let is_meant = |id: &str, user: &User| !user.is_hidden && (id == name || user.name == name);
        let id = users.iter().find(|(id, user)| is_meant(id, user)).map(|(id, _)| id.clone());
        let Some((id, user)) = id.and_then(|id| users.get_mut(&id).map(|user| (id, user))) else {
            return (404, json!({"error": {"code": "Request_ResourceNotFound"}}));
        };
        match (method, action) {
            ("PATCH", "") => {
                user.is_enabled = body["accountEnabled"].as_bool().expect("accountEnabled");
                (204, Value::Null)
            }
            ("POST", "revokeSignInSessions") => (200, json!({"value": true})),
            _ => (200, shown(&id, user)),
        }
    }
}

/// A simulated directory over HTTP.
#[derive(Debug)]
pub struct Directory {
    pub url: String,
    /// Its accounts.
    pub accounts: Accounts,
    faults: Mutex<VecDeque<(&'static str, Fault)>>,
    log: Mutex<Vec<String>>,
    traces: Mutex<Vec<(String, String)>>,
    held: watch::Sender<bool>,
    hanging: AtomicUsize,
    delay: Mutex<Duration>,
}

impl Directory {
    /// Starts it.
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let directory = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            accounts: Accounts::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            traces: Mutex::default(),
            held: watch::Sender::new(false),
            hanging: AtomicUsize::new(0),
            delay: Mutex::default(),
        });
        let serving = directory.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let directory = serving.clone();
                let service = service_fn(move |request| {
                    let directory = directory.clone();
                    async move { directory.answer(request).await.ok_or("hung up") }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        directory
    }

    /// Adds an enabled account and returns its id.
    pub fn add(&self, name: &str) -> String {
        self.accounts.add(name)
    }

    /// Whether the account is enabled, or none if it was removed.
    pub fn is_enabled(&self, id: &str) -> Option<bool> {
        self.accounts.is_enabled(id)
    }

    /// Sets the faults of the next requests. Each applies to a request whose log line contains its text.
    pub fn fail(&self, faults: impl IntoIterator<Item = (&'static str, Fault)>) {
        *self.faults.lock().expect("faults") = faults.into_iter().collect();
    }

    /// Sets whether all requests wait.
    pub fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// The number of requests that were never answered.
    pub fn hanging(&self) -> usize {
        self.hanging.load(Ordering::Relaxed)
    }

    /// Sets the time that each response takes.
    pub fn take(&self, time: Duration) {
        *self.delay.lock().expect("delay") = time;
    }

    /// The requests so far, as `METHOD path`.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("log").clone()
    }

    /// The trace of each request, after its line in the log.
    pub fn traces(&self) -> Vec<(String, String)> {
        self.traces.lock().expect("traces").clone()
    }

    async fn answer(&self, request: Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let path = head.uri.path().to_owned();
        let line = format!("{} {path}", head.method);
        self.log.lock().expect("log").push(line.clone());
        let trace = head.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace = trace.unwrap_or_default().to_owned();
        self.traces.lock().expect("traces").push((line.clone(), trace));
        self.held.subscribe().wait_for(|held| !held).await.ok()?;
        let delay = *self.delay.lock().expect("delay");
        tokio::time::sleep(delay).await;
        let fault = {
            let mut faults = self.faults.lock().expect("faults");
            let place = faults.iter().position(|(part, _)| line.contains(part));
            place.and_then(|place| faults.remove(place)).map(|(_, fault)| fault)
        };
        if let Some(Fault::Status(status, after)) = fault {
            let mut response =
                respond(status, &json!({"error": {"code": "Fault", "message": "as it was told"}}));
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.into());
            }
            return Some(response);
        }
        let bearer = head
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let before = self.accounts.0.lock().expect("users").clone();
        let (status, answer) = self.accounts.answer(head.method.as_str(), &head.uri, bearer, &body);
        match fault {
            Some(Fault::HangUp) => return None,
            Some(Fault::Hang) => {
                self.hanging.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            }
            Some(Fault::Pretend) => *self.accounts.0.lock().expect("users") = before,
            Some(Fault::Stale) => {
                let mut stale = answer;
                for key in ["active", "accountEnabled"] {
                    if stale[key].is_boolean() {
                        stale[key] = json!(true);
                    }
                }
                return Some(respond(status, &stale));
            }
            Some(Fault::Status(..)) | None => {}
        }
        Some(respond(status, &answer))
    }
}

fn respond(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status.try_into().expect("a status");
    response
}
