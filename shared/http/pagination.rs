//! Pages of what is listed by id: bounded by a limit, by what Lambda can send and by a request's time.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Duration, Instant as Deadline};

use crate::{
    cursor::Binding,
    problem::Problem,
    reader::Reader,
    request::{self, Parameters},
};
use shared_storage::TenantScope;

/// The most that an answer may take as Lambda sends it. Its limit is 6 MB for body and headers together.
pub const MAX_ANSWER_BYTES: usize = 5 * 1024 * 1024;
/// Time kept for the read that is under way when an answer ends early because its time is spent.
pub const TIME_FOR_ONE_READ: Duration = Duration::from_secs(5);

/// The `limit` parameter, 100 unless given.
///
/// # Errors
/// 400: no whole number from 1 to 1000.
pub fn limit(parameters: &Parameters) -> Result<usize, Problem> {
    let limit = parameters.read_as("limit", |text| match text.parse() {
        Ok(limit @ 1..=1000)
            if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') =>
        {
            Ok(limit)
        }
        _ => Err(format!("{text:?} must be a whole number from 1 to 1000")),
    })?;
    Ok(limit.unwrap_or(100))
}

/// What was read at a time: each with its id, and nothing where it is not wanted; and whether there may be more.
pub type Read<T> = (Vec<(String, Option<T>)>, bool);

/// What is asked of a list: how many, and from where on.
#[derive(Debug)]
pub struct Asked<'a> {
    word: &'a str,
    limit: usize,
    binding: Binding<'a>,
    after: Option<String>,
    /// Once so many were read the page ends, wanted or not.
    most_read: usize,
}

impl<'a> Asked<'a> {
    /// Reads it from a request's parameters, for a list called `word`.
    ///
    /// # Errors
    /// 400 for a wrong limit or cursor.
    pub fn read(
        scope: &TenantScope<'_>,
        reader: &Reader<'a>,
        parameters: &Parameters,
        word: &'a str,
    ) -> Result<Self, Problem> {
        let limit = limit(parameters)?;
        let binding =
            Binding::new(&scope.tenant, reader, word, &parameters.identity(&["limit", "cursor"]));
        let after = parameters.get("cursor").map(|cursor| binding.position(cursor)).transpose()?;
        Ok(Self { word, limit, binding, after, most_read: usize::MAX })
    }

    /// The same, of a list in which what is wanted may be rare: a page ends after the read that makes them `most`, with few of them or none, and
    /// the next goes on there.
    #[must_use]
    pub fn reading_at_most(self, most: usize) -> Self {
        Self { most_read: most, ..self }
    }

    /// The answer, in the order of ids that `read` reads on in: a page, ended early by size and time.
    ///
    /// # Errors
    /// What `read` says.
    pub async fn answer<T: Serialize>(
        self,
        scope: &TenantScope<'_>,
        read: impl AsyncFn(Option<&str>) -> Result<Read<T>, Problem>,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let word = self.word;
        let (list, next) = self.page(scope, read).await?;
        Ok(request::json(200, &json!({ word: list, "next": next })))
    }

    /// The page, and the cursor of what follows, for an answer that says more than that.
    ///
    /// # Errors
    /// What `read` says.
    pub async fn page<T: Serialize>(
        self,
        scope: &TenantScope<'_>,
        read: impl AsyncFn(Option<&str>) -> Result<Read<T>, Problem>,
    ) -> Result<(Vec<T>, Option<String>), Problem> {
        let Self { limit, binding, mut after, most_read, .. } = self;
        let (mut list, mut bytes, mut have_read) = (Vec::new(), 0, 0);
        let goes_on = 'pages: loop {
            let (items, goes_on) = read(after.as_deref()).await?;
            let count = items.len();
            have_read += count;
            for (place, (id, item)) in items.into_iter().enumerate() {
                if let Some(item) = item {
                    let text =
                        serde_json::to_string(&item).map_err(|error| Problem::internal(&error))?;
                    bytes += request::escaped_len(&text) + 1;
                    // It does not fit any more: the next page begins with it.
                    if bytes > MAX_ANSWER_BYTES {
                        break 'pages true;
                    }
                    list.push(item);
                }
                after = Some(id);
                if list.len() == limit {
                    break 'pages goes_on || place + 1 < count;
                }
            }
            if !goes_on
                || have_read >= most_read
                || Deadline::now() >= scope.deadline - TIME_FOR_ONE_READ
            {
                break goes_on;
            }
        };
        let next = after.filter(|_| goes_on).map(|id| binding.cursor(&id));
        Ok((list, next))
    }
}

/// The answer of a list called `word`, as its parameters ask for it.
///
/// # Errors
/// 400 for a wrong limit or cursor; what `read` says.
pub async fn list<T: Serialize>(
    scope: &TenantScope<'_>,
    reader: &Reader<'_>,
    parameters: &Parameters,
    word: &'static str,
    read: impl AsyncFn(Option<&str>) -> Result<Read<T>, Problem>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Asked::read(scope, reader, parameters, word)?.answer(scope, read).await
}
