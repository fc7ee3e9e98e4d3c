//! A small Microsoft Graph for tests, after the documented contract: tokens that end, pages with
//! nextLink, delta queries, filters by time, throttling and missing permissions. Its lists have what a
//! test puts there.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// The secret of the app registration.
pub const SECRET: &str = "graph-secret";
/// The directory's id.
pub const DIRECTORY: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const CLIENT: &str = "9f2a1f3c-53a0-4a8e-8a4e-6f1b7ad8ae11";
const ENTITLEMENTS: &str = "/v1.0/identityGovernance/entitlementManagement";
const USER: &str = "#microsoft.graph.user";

/// What a request is answered with instead of a page.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A status and an optional Retry-After in seconds.
    Status(u16, Option<u32>),
    /// A page whose next link leads to another host.
    OtherHost,
    /// No answer, ever.
    Hang,
}

#[derive(Debug, Default)]
struct State {
    /// Objects of lists by the last step of their path, with all members that can be expanded.
    lists: BTreeMap<&'static str, Vec<Value>>,
    users: BTreeMap<String, Value>,
    groups: BTreeMap<String, (String, BTreeSet<String>)>,
    /// What changed in a delta collection, in order.
    changes: Vec<(&'static str, Value)>,
    /// Delta links up to this number are expired.
    expired: usize,
    tokens: BTreeSet<String>,
    issued: usize,
    faults: VecDeque<(&'static str, Fault)>,
    forbidden: BTreeSet<&'static str>,
    is_down: bool,
    log: Vec<String>,
}

/// The server.
#[derive(Debug)]
pub struct Graph {
    pub url: String,
    /// Objects of a page.
    page: usize,
    state: Mutex<State>,
    served: AtomicUsize,
    hanging: AtomicUsize,
}

impl Graph {
    /// Starts it, with so many objects in a page.
    pub async fn start(page: usize) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let graph = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            page,
            state: Mutex::default(),
            served: AtomicUsize::new(0),
            hanging: AtomicUsize::new(0),
        });
        let serving = graph.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let graph = serving.clone();
                let service = service_fn(move |request| {
                    let graph = graph.clone();
                    async move { Ok::<_, std::convert::Infallible>(graph.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        graph
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }

    /// The configuration of a connection to it.
    pub fn connection(&self, name: &str) -> Value {
        json!({
            "name": name, "kind": "entra", "tenant_id": DIRECTORY, "client_id": CLIENT,
            "client_secret": "env:JIT_AUDIT_SECRET_GRAPH", "graph_url": self.url, "login_url": self.url,
        })
    }

    /// Adds an object to a list (`directoryAudits`, `assignmentRequests`, …), or replaces the one with
    /// its id.
    pub fn put(&self, list: &'static str, object: Value) {
        let mut state = self.state();
        let objects = state.lists.entry(list).or_default();
        objects.retain(|there| there["id"] != object["id"]);
        objects.push(object);
    }

    /// Changes members of an object of a list.
    pub fn change(&self, list: &'static str, id: &str, members: &Value) {
        let mut state = self.state();
        let objects = state.lists.get_mut(list).expect("a list");
        let object = objects.iter_mut().find(|object| object["id"] == id).expect("an object");
        for (key, value) in members.as_object().expect("an object") {
            object[key] = value.clone();
        }
    }

    /// All objects that can be posted to import them.
    pub fn objects(&self) -> Vec<Value> {
        let state = self.state();
        state.lists.values().flatten().cloned().collect()
    }

    /// Adds a user, or changes some members.
    pub fn user(&self, id: &str, members: Value) {
        let mut state = self.state();
        let user = state.users.entry(id.to_owned()).or_insert_with(|| json!({"id": id}));
        for (key, value) in members.as_object().expect("an object") {
            user[key] = value.clone();
        }
        let mut change = members;
        change["id"] = json!(id);
        state.changes.push(("users", change));
    }

    /// Sets the manager of a user.
    pub fn manager(&self, id: &str, manager: &str) {
        let mut state = self.state();
        let now = json!({"@odata.type": USER, "id": manager});
        let before = state.users.get_mut(id).expect("a user");
        let before = before["manager@delta"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let removed = before.into_iter().map(|mut manager| {
            manager["@removed"] = json!({"reason": "deleted"});
            manager
        });
        let change: Vec<_> = removed.chain([now.clone()]).collect();
        state.changes.push(("users", json!({"id": id, "manager@delta": change})));
        state.users.get_mut(id).expect("a user")["manager@delta"] = json!([now]);
    }

    /// Deletes a user.
    pub fn delete_user(&self, id: &str) {
        let mut state = self.state();
        state.users.remove(id);
        state.changes.push(("users", json!({"id": id, "@removed": {"reason": "changed"}})));
    }

    /// Adds a group, or renames it.
    pub fn group(&self, id: &str, name: &str) {
        let mut state = self.state();
        state.groups.entry(id.to_owned()).or_default().0 = name.to_owned();
        state.changes.push(("groups", json!({"id": id, "displayName": name})));
    }

    /// Adds a user to a group, or takes the user out of it.
    pub fn member(&self, group: &str, user: &str, is_member: bool) {
        let mut state = self.state();
        let (name, members) = state.groups.get_mut(group).expect("a group");
        let mut member = json!({"@odata.type": USER, "id": user});
        if is_member {
            members.insert(user.to_owned());
        } else {
            members.remove(user);
            member["@removed"] = json!({"reason": "deleted"});
        }
        let change = json!({"id": group, "displayName": name, "members@delta": [member]});
        state.changes.push(("groups", change));
    }

    /// Deletes a group.
    pub fn delete_group(&self, id: &str) {
        let mut state = self.state();
        state.groups.remove(id);
        state.changes.push(("groups", json!({"id": id, "@removed": {"reason": "deleted"}})));
    }

    /// Every delta link that was given expires.
    pub fn expire_delta_links(&self) {
        let mut state = self.state();
        state.expired = state.changes.len() + 1;
        state.changes.push(("none", Value::Null));
    }

    /// Every token that was given ends.
    pub fn end_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Sets the faults of the next requests. Each applies to a request whose path contains its text.
    pub fn fail(&self, faults: impl IntoIterator<Item = (&'static str, Fault)>) {
        self.state().faults = faults.into_iter().collect();
    }

    /// Sets whether everything is answered with 503.
    pub fn down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Takes the permission for paths that contain a text, or gives it back.
    pub fn forbid(&self, part: &'static str, is_forbidden: bool) {
        let mut state = self.state();
        if is_forbidden {
            state.forbidden.insert(part);
        } else {
            state.forbidden.remove(part);
        }
    }

    /// The requests so far, as paths with their queries.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// How many requests were answered.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// How many requests are never answered.
    pub fn hanging(&self) -> usize {
        self.hanging.load(Ordering::SeqCst)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let bearer = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let fault = {
            let mut state = self.state();
            state.log.push(head.uri.path_and_query().map(ToString::to_string).unwrap_or_default());
            let place = state.faults.iter().position(|(part, _)| path.contains(part));
            place.and_then(|place| state.faults.remove(place)).map(|(_, fault)| fault)
        };
        let answer = match fault {
            Some(Fault::Status(status, after)) => {
                let mut response = respond(status, &error("Fault", "as the test says"));
                if let Some(after) = after {
                    response.headers_mut().insert("retry-after", after.into());
                }
                response
            }
            Some(Fault::Hang) => {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
            Some(Fault::OtherHost) => respond(
                200,
                &json!({"value": [], "@odata.nextLink": "http://127.0.0.1:9/v1.0/next"}),
            ),
            None => {
                let (status, answer) = self.page(&path, &query, bearer, &body);
                respond(status, &answer)
            }
        };
        self.served.fetch_add(1, Ordering::SeqCst);
        answer
    }

    fn page(
        &self,
        path: &str,
        query: &BTreeMap<String, String>,
        bearer: &str,
        body: &[u8],
    ) -> (u16, Value) {
        let mut state = self.state();
        if state.is_down {
            return (503, error("ServiceUnavailable", "down"));
        }
        if path == format!("/{DIRECTORY}/oauth2/v2.0/token") {
            return self.token(&mut state, body);
        }
        if !state.tokens.contains(bearer) {
            return (401, error("InvalidAuthenticationToken", "Access token has expired."));
        }
        if state.forbidden.iter().any(|part| path.contains(part)) {
            return (
                403,
                error(
                    "Authorization_RequestDenied",
                    "Insufficient privileges to complete the operation.",
                ),
            );
        }
        // "Get approval": application permissions are not supported.
        if path.contains("Approvals") {
            return (403, error("Authorization_RequestDenied", "Application is not supported."));
        }
        match path {
            "/v1.0/users/delta" => self.delta(&state, "users", query),
            "/v1.0/groups/delta" => self.delta(&state, "groups", query),
            _ => {
                let name = path.rsplit('/').next().unwrap_or_default();
                match LISTS.iter().find(|(list, ..)| *list == name) {
                    Some((list, root, expanded)) if path == format!("{root}/{list}") => {
                        let objects = state.lists.get(list).cloned().unwrap_or_default();
                        self.list(path, objects, expanded, query)
                    }
                    _ => (404, error("ResourceNotFound", path)),
                }
            }
        }
    }

    fn token(&self, state: &mut State, body: &[u8]) -> (u16, Value) {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let has = |key: &str, value: &str| form.get(key).is_some_and(|it| it == value);
        if !has("client_id", CLIENT) || !has("client_secret", SECRET) {
            let why = "AADSTS7000215: Invalid client secret provided.";
            return (401, json!({"error": "invalid_client", "error_description": why}));
        }
        assert!(has("grant_type", "client_credentials"), "{form:?}");
        assert!(has("scope", &format!("{}/.default", self.url)), "{form:?}");
        state.issued += 1;
        let token = format!("token-{}", state.issued);
        state.tokens.insert(token.clone());
        (200, json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
    }

    fn delta(
        &self,
        state: &State,
        kind: &'static str,
        query: &BTreeMap<String, String>,
    ) -> (u16, Value) {
        let number = |text: &str| text.parse::<usize>().ok();
        let link =
            |name: &str, value: String| format!("{}/v1.0/{kind}/delta?${name}={value}", self.url);
        // The objects, where the page starts, the state that the next delta link stands for, and what
        // a skip token begins with.
        let (objects, start, until, token) = if let Some(token) = query.get("$deltatoken") {
            let Some(from) = number(token).filter(|from| *from >= state.expired) else {
                return (410, error("resyncRequired", "The delta token is no longer valid."));
            };
            let changes = state.changes[from..].iter().filter(|(of, _)| *of == kind);
            (
                changes.map(|(_, change)| change.clone()).collect(),
                0,
                state.changes.len(),
                format!("c-{from}"),
            )
        } else if let Some(token) = query.get("$skiptoken") {
            let parts: Vec<_> = token.split('-').collect();
            let [way, from, until, start] = parts.as_slice() else {
                return (400, error("BadRequest", "The skip token is malformed."));
            };
            let (from, until) =
                (number(from).unwrap_or_default(), number(until).unwrap_or_default());
            if until < state.expired {
                return (410, error("resyncRequired", "The skip token is no longer valid."));
            }
            let objects = match *way {
                "w" => state.whole(kind),
                _ => {
                    let changes = state.changes[from..until].iter().filter(|(of, _)| *of == kind);
                    changes.map(|(_, change)| change.clone()).collect()
                }
            };
            (objects, number(start).unwrap_or_default(), until, format!("{way}-{from}"))
        } else {
            let select = query.get("$select").map(String::as_str).unwrap_or_default();
            let navigation = if kind == "users" { "manager" } else { "members" };
            assert!(select.split(',').any(|it| it == navigation), "{query:?}");
            assert!(!query.contains_key("$expand") && !query.contains_key("$top"), "{query:?}");
            (state.whole(kind), 0, state.changes.len(), "w-0".to_owned())
        };
        let page: Vec<_> = objects.iter().skip(start).take(self.page).cloned().collect();
        let mut answer = json!({ "value": page });
        let next = start + self.page;
        if next < objects.len() {
            answer["@odata.nextLink"] = link("skiptoken", format!("{token}-{until}-{next}")).into();
        } else {
            answer["@odata.deltaLink"] = link("deltatoken", until.to_string()).into();
        }
        (200, answer)
    }

    fn list(
        &self,
        path: &str,
        mut objects: Vec<Value>,
        expandable: &[&str],
        query: &BTreeMap<String, String>,
    ) -> (u16, Value) {
        if let Some(filter) = query.get("$filter") {
            let parts: Vec<_> = filter.split(' ').collect();
            let [member, operator, wanted] = parts.as_slice() else {
                return (400, error("BadRequest", filter));
            };
            let at = |text: &str| text.parse::<DateTime<Utc>>().ok();
            objects.retain(|object| {
                let value = object[member].as_str().unwrap_or_default();
                match *operator {
                    "ge" => at(value).is_some_and(|value| value >= at(wanted).expect("a time")),
                    "eq" => value == wanted.trim_matches('\''),
                    _ => panic!("{filter}"),
                }
            });
        }
        if let Some(order) = query.get("$orderby") {
            let member = order.strip_suffix(" asc").expect("an ascending order");
            objects.sort_by_key(|object| object[member].as_str().unwrap_or_default().to_owned());
        }
        let expand = query.get("$expand").cloned().unwrap_or_default();
        let is_expanded = |member: &str| {
            let mut depth = 0;
            let top: String = expand
                .chars()
                .filter(|char| {
                    depth += i32::from(*char == '(');
                    let is_top = depth == 0;
                    depth -= i32::from(*char == ')');
                    is_top
                })
                .collect();
            top.split(',').any(|it| it == member)
        };
        let start: usize =
            query.get("$skiptoken").and_then(|token| token.parse().ok()).unwrap_or_default();
        let most = query.get("$top").and_then(|top| top.parse().ok()).unwrap_or(self.page);
        let most = self.page.min(most);
        let page: Vec<Value> = objects
            .iter()
            .skip(start)
            .take(most)
            .map(|object| {
                let members = object.as_object().expect("an object").clone();
                let shown = |(key, _): &(String, Value)| {
                    !expandable.contains(&key.as_str()) || is_expanded(key)
                };
                members.into_iter().filter(shown).collect::<Map<_, _>>().into()
            })
            .collect();
        let mut answer = json!({ "value": page });
        let next = start + most;
        if next < objects.len() {
            let mut again = form_urlencoded::Serializer::new(String::new());
            for (key, value) in query.iter().filter(|(key, _)| *key != "$skiptoken") {
                again.append_pair(key, value);
            }
            again.append_pair("$skiptoken", &next.to_string());
            answer["@odata.nextLink"] = format!("{}{path}?{}", self.url, again.finish()).into();
        }
        (200, answer)
    }
}

impl State {
    /// The objects of a delta collection as they are.
    fn whole(&self, kind: &str) -> Vec<Value> {
        if kind == "users" {
            return self.users.values().cloned().collect();
        }
        let group = |(id, (name, members)): (&String, &(String, BTreeSet<String>))| {
            let members: Vec<_> =
                members.iter().map(|id| json!({"@odata.type": USER, "id": id})).collect();
            let mut group = json!({"id": id, "displayName": name});
            // A group without members has no such annotation.
            if !members.is_empty() {
                group["members@delta"] = json!(members);
            }
            group
        };
        self.groups.iter().map(group).collect()
    }
}

/// The lists: name, path before it, and the members that are there only if they are expanded.
const LISTS: [(&str, &str, &[&str]); 7] = [
    ("directoryAudits", "/v1.0/auditLogs", &[]),
    ("assignmentRequests", ENTITLEMENTS, &["accessPackage", "requestor", "assignment"]),
    ("assignments", ENTITLEMENTS, &["accessPackage", "target", "assignmentPolicy"]),
    ("accessPackages", ENTITLEMENTS, &["catalog", "assignmentPolicies", "resourceRoleScopes"]),
    ("connectedOrganizations", ENTITLEMENTS, &["internalSponsors", "externalSponsors"]),
    (
        "roleAssignmentScheduleRequests",
        "/v1.0/roleManagement/directory",
        &["principal", "roleDefinition"],
    ),
    (
        "roleAssignmentScheduleInstances",
        "/v1.0/roleManagement/directory",
        &["principal", "roleDefinition"],
    ),
];

fn error(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

fn respond(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status.try_into().expect("a status");
    response
}
