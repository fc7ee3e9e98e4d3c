//! What a handler answers: a status, and a body of a described type.

use std::marker::PhantomData;

use axum::response::Response;
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::json;

use crate::{
    description::Operation,
    request::{self, Request},
};

/// The success of a handler.
pub trait Output {
    fn respond(self, request: &Request) -> Response;

    fn describe(operation: &mut Operation<'_>);
}

/// A file, or another answer that is no JSON.
impl Output for Response {
    fn respond(self, _: &Request) -> Response {
        self
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.no_content(200, "The file.");
    }
}

/// 200 with a JSON body.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize + JsonSchema> Output for Json<T> {
    fn respond(self, _: &Request) -> Response {
        request::json(200, &self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(200, "The answer.");
    }
}

/// 200 with a JSON body that is written already. It has the form of `T`.
#[derive(Clone, Debug)]
pub struct JsonText<T> {
    text: String,
    /// The parameter of the next page's address, and its value.
    next: Option<(&'static str, String)>,
    written: PhantomData<fn() -> T>,
}

impl<T> JsonText<T> {
    /// `next` is the parameter that continues after this page, with its value.
    pub fn new(text: String, next: Option<(&'static str, String)>) -> Self {
        Self { text, next, written: PhantomData }
    }
}

impl<T: JsonSchema> Output for JsonText<T> {
    fn respond(self, request: &Request) -> Response {
        let next = self.next.as_ref().map(|(parameter, next)| (*parameter, next.as_str()));
        with_next(request::json_text(200, self.text), request, next)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(200, "A page.");
        operation.links_to_next();
    }
}

/// 200 with a page that has more members than a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub body: T,
    /// The cursor of the next page, which the body names too.
    pub next: Option<String>,
}

impl<T: Serialize + JsonSchema> Output for Page<T> {
    fn respond(self, request: &Request) -> Response {
        let next = self.next.as_deref().map(|next| (CURSOR, next));
        with_next(request::json(200, &self.body), request, next)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(200, "A page.");
        operation.links_to_next();
    }
}

/// The parameter that has `next` of the page before.
pub const CURSOR: &str = "cursor";

/// What a list holds.
pub trait Listed: JsonSchema {
    /// The list's member in the answer.
    const LIST: &'static str;
}

/// One page of a list: `{"windows": […], "next": "…"}`.
#[derive(Clone, Debug)]
pub struct List<T> {
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last one.
    pub next: Option<String>,
}

impl<T: Listed + Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(T::LIST, &self.items)?;
        map.serialize_entry("next", &self.next)?;
        map.end()
    }
}

impl<T: Listed> JsonSchema for List<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}List", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let items = generator.subschema_for::<T>();
        schemars::json_schema!({
            "description": "One page of a list.",
            "type": "object",
            "required": [T::LIST, "next"],
            "properties": {
                T::LIST: {
                    "type": "array",
                    "items": items,
                    "description": "The entries of this page. Before the last page there can be fewer than `limit`, or none.",
                },
                "next": {
                    "type": ["string", "null"],
                    "description": "The cursor of the next page; null on the last one.",
                },
            },
        })
    }
}

impl<T: Listed + Serialize> Output for List<T> {
    fn respond(self, request: &Request) -> Response {
        with_next(
            request::json(200, &self),
            request,
            self.next.as_deref().map(|next| (CURSOR, next)),
        )
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<Self>(200, "A page of the list.");
        operation.links_to_next();
    }
}

/// 202: accepted, and done in the background.
#[derive(Clone, Debug)]
pub struct Accepted<T> {
    pub body: T,
    /// The address at which the progress can be read.
    pub location: Option<String>,
}

impl<T: Serialize + JsonSchema> Output for Accepted<T> {
    fn respond(self, _: &Request) -> Response {
        with_location(request::json(202, &self.body), self.location)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(202, "Accepted. The work is done in the background.");
        operation.header(
            202,
            "Location",
            "The address of the work's progress.",
            &json!({"type": "string"}),
        );
    }
}

/// 200 with a configured document, whose ETag is its version.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    pub body: T,
    pub version: u64,
}

impl<T: Serialize + JsonSchema> Output for Versioned<T> {
    fn respond(self, _: &Request) -> Response {
        with_tag(request::json(200, &self.body), self.version)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(200, "The document.");
        operation.has_tag(200);
    }
}

/// A configured document: 201 if the request created it, otherwise 200.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    pub body: T,
    pub is_new: bool,
    pub version: u64,
}

impl<T: Serialize + JsonSchema> Output for Stored<T> {
    fn respond(self, _: &Request) -> Response {
        let status = if self.is_new { 201 } else { 200 };
        with_tag(request::json(status, &self.body), self.version)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(200, "Stored. It existed before.");
        operation.answer::<T>(201, "Created.");
        operation.has_tag(200);
        operation.has_tag(201);
    }
}

/// 201 if the request created it, 200 if an earlier one did.
#[derive(Clone, Debug)]
pub struct Created<T> {
    pub body: T,
    pub is_new: bool,
    pub location: String,
}

impl<T: Serialize + JsonSchema> Output for Created<T> {
    fn respond(self, _: &Request) -> Response {
        let status = if self.is_new { 201 } else { 200 };
        with_location(request::json(status, &self.body), Some(self.location))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(200, "An earlier request created it.");
        operation.answer::<T>(201, "Created.");
        for status in [200, 201] {
            operation.header(status, "Location", "Its address.", &json!({"type": "string"}));
        }
    }
}

/// 204: done.
#[derive(Clone, Copy, Debug)]
pub struct NoContent;

impl Output for NoContent {
    fn respond(self, _: &Request) -> Response {
        request::no_content()
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.no_content(204, "Done.");
    }
}

/// The longest query string in a link, in bytes.
const LONGEST_LINK: usize = 4096;

/// The response with the address of the next page (RFC 8288).
fn with_next(mut response: Response, request: &Request, next: Option<(&str, &str)>) -> Response {
    let Some((parameter, next)) = next else { return response };
    // A search by POST repeats its body, which no link can hold.
    if request.method != http::Method::GET {
        return response;
    }
    let others =
        form_urlencoded::parse(request.query.as_bytes()).filter(|(name, _)| name != parameter);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair(parameter, next)
        .finish();
    // API Gateway limits headers to 10,240 bytes altogether. The body has `next` in any case.
    if query.len() > LONGEST_LINK {
        return response;
    }
    let link = HeaderValue::try_from(format!("<?{query}>; rel=\"next\""));
    response.headers_mut().extend(link.ok().map(|link| (header::LINK, link)));
    response
}

fn with_tag(mut response: Response, version: u64) -> Response {
    let tag = HeaderValue::try_from(format!("\"{version}\""));
    response.headers_mut().extend(tag.ok().map(|tag| (header::ETAG, tag)));
    response
}

fn with_location(mut response: Response, location: Option<String>) -> Response {
    let location = location.and_then(|location| HeaderValue::try_from(location).ok());
    response.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
    response
}
