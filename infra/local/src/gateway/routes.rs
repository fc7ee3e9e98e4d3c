//! Matching of routes: the most specific path first, then the exact method before `ANY`, then `$default`.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::plan;

/// A route and the function behind it.
pub(crate) struct Route<T> {
    pub(crate) plan: plan::Route,
    /// The route key in events: `GET /v1/events/{id}`, `ANY /x`, `$default`.
    pub(crate) key: String,
    pub(crate) to: T,
    segments: Vec<Segment>,
}

/// A segment of a path, in order of precedence.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Segment {
    Exact(String),
    One(String),
    /// `{proxy+}`: the rest of the path.
    Rest(String),
}

/// Every route of the API.
pub(crate) struct Routes<T> {
    /// Most specific first.
    routes: Vec<Route<T>>,
    default: Option<Route<T>>,
}

impl<T> Route<T> {
    pub(crate) fn new(plan: plan::Route, to: T) -> Self {
        let segments = split(&plan.path).map(segment).collect();
        let key = match plan.method.is_empty() {
            true => plan.path.clone(),
            false => format!("{} {}", plan.method, plan.path),
        };
        Self { plan, key, to, segments }
    }

    /// The path parameters, if the path matches this route.
    fn matches(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let mut parameters = BTreeMap::new();
        let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
        for segment in &self.segments {
            let here = rest?;
            let (step, after) = match here.split_once('/') {
                Some((step, after)) => (step, Some(after)),
                None => (here, None),
            };
            match segment {
                Segment::Exact(text) if text == step => {}
                Segment::Exact(_) => return None,
                Segment::One(_) if step.is_empty() => return None,
                Segment::One(name) => {
                    parameters.insert(name.clone(), decoded(step));
                }
                Segment::Rest(_) if here.is_empty() => return None,
                Segment::Rest(name) => {
                    parameters.insert(name.clone(), decoded(here));
                    return Some(parameters);
                }
            }
            rest = after;
        }
        rest.is_none().then_some(parameters)
    }
}

impl<T> Routes<T> {
    pub(crate) fn new(routes: impl IntoIterator<Item = Route<T>>) -> Self {
        let (mut default, mut others) = (None, Vec::new());
        for route in routes {
            match route.plan.method.is_empty() {
                true => default = Some(route),
                false => others.push(route),
            }
        }
        others.sort_by(|left, right| {
            let any = |route: &Route<T>| route.plan.method == "ANY";
            left.segments.cmp(&right.segments).then(any(left).cmp(&any(right)))
        });
        Self { routes: others, default }
    }

    /// The route and path parameters of a request. `path` is not decoded, so that `%2F` stays within its segment.
    pub(crate) fn find(
        &self,
        method: &str,
        path: &str,
    ) -> Option<(&Route<T>, BTreeMap<String, String>)> {
        let mut candidates = self
            .routes
            .iter()
            .filter(|route| route.plan.method == method || route.plan.method == "ANY");
        candidates
            .find_map(|route| route.matches(path).map(|parameters| (route, parameters)))
            .or_else(|| self.default.as_ref().map(|route| (route, BTreeMap::new())))
    }
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

fn segment(text: &str) -> Segment {
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        None => Segment::Exact(text.to_owned()),
        Some(name) => match name.strip_suffix('+') {
            Some(name) => Segment::Rest(name.to_owned()),
            None => Segment::One(name.to_owned()),
        },
    }
}

pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(routes: &[&str], request: &str, expected: Option<(&str, &[(&str, &str)])>) {
        let routes = Routes::new(routes.iter().map(|key| {
            let (method, path) = key.split_once(' ').unwrap_or(("", key));
            let (method, path) = (method.to_owned(), path.to_owned());
            let plan = plan::Route {
                method,
                path,
                authorizer: None,
                scopes: Vec::new(),
                timeout: Duration::ZERO,
            };
            Route::new(plan, ())
        }));
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let found =
            routes.find(method, path).map(|(route, parameters)| (route.key.clone(), parameters));
        let expected = expected.map(|(key, parameters)| {
            let parameters =
                parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            (key.to_owned(), parameters.collect())
        });
        assert_eq!(found, expected, "{request}");
    }

    #[test]
    fn the_most_specific_route_matches() {
        let routes = [
            "ANY /{proxy+}",
            "GET /a/{id}",
            "GET /a/b",
            "ANY /a/b",
            "GET /a/{rest+}",
            "POST /a/{id}/c",
            "$default",
        ];
        check(&routes, "GET /a/b", Some(("GET /a/b", &[])));
        check(&routes, "PUT /a/b", Some(("ANY /a/b", &[])));
        check(&routes, "GET /a/x", Some(("GET /a/{id}", &[("id", "x")])));
        check(&routes, "GET /a/x/y", Some(("GET /a/{rest+}", &[("rest", "x/y")])));
        check(&routes, "POST /a/x/c", Some(("POST /a/{id}/c", &[("id", "x")])));
        check(&routes, "DELETE /a/x", Some(("ANY /{proxy+}", &[("proxy", "a/x")])));
        check(&routes, "GET /", Some(("$default", &[])));
    }

    #[test]
    fn a_trailing_slash_makes_a_different_path() {
        let routes = ["GET /a", "GET /b/{id}"];
        check(&routes, "GET /a", Some(("GET /a", &[])));
        check(&routes, "GET /a/", None);
        check(&routes, "GET /A", None);
        check(&routes, "GET /b/", None);
        check(&routes, "GET /b/x/", None);
        check(&routes, "HEAD /a", None);
    }

    #[test]
    fn parameters_are_decoded_after_the_path_is_split() {
        check(
            &["GET /a/{id}"],
            "GET /a/x%2Fy%20%C3%A9+z",
            Some(("GET /a/{id}", &[("id", "x/y é+z")])),
        );
    }
}
