//! Pages of lists, limited by count, by the response size of Lambda and by the time of a request.

use serde::Serialize;
use tokio::time::{Duration, Instant as Deadline};

use crate::{
    cursor::Binding,
    output::{List, Listed},
    parameter_reader::{ParameterReader, Parameters},
    parameters::Limit,
    problem::Problem,
    reader::Reader,
    request,
};
use shared_storage::TenantScope;

/// Most bytes of a response, as Lambda sends it. Lambda's limit is 6 MB for body and headers.
pub const MAX_ANSWER_BYTES: usize = 5 * 1024 * 1024;
/// Part of a request's time that is reserved for a read in progress when a page ends early.
pub const TIME_FOR_ONE_READ: Duration = Duration::from_secs(5);

/// The parameter `limit`; 100 by default.
pub fn limit(parameters: &mut ParameterReader<'_>) -> usize {
    let Limit(limit) = parameters.read_as("limit", Limit::read).unwrap_or_default();
    limit
}

/// The result of one read: each item with its id, `None` for an item that does not match the
/// filter; and whether there may be more.
pub type Read<T> = (Vec<(String, Option<T>)>, bool);

/// A request for one page of a list.
#[derive(Debug)]
pub struct Asked<'a> {
    limit: usize,
    binding: Binding<'a>,
    after: Option<String>,
    /// The page ends after this many items were read, whether they match or not.
    most_read: usize,
}

impl<'a> Asked<'a> {
    /// Parses the parameters of a list. `word` names the list, to which cursors are bound.
    pub fn read(
        scope: &TenantScope<'_>,
        reader: &Reader<'a>,
        parameters: &mut ParameterReader<'_>,
        word: &str,
    ) -> Self {
        let limit = limit(parameters);
        let binding =
            Binding::new(&scope.tenant, reader, word, &parameters.identity(&["limit", "cursor"]));
        let after = parameters.position("cursor", &binding);
        Self { limit, binding, after, most_read: usize::MAX }
    }

    /// Ends a page after the read that reaches `most` items, even if few or none of them match. For
    /// lists in which matches may be rare.
    #[must_use]
    pub fn reading_at_most(self, most: usize) -> Self {
        Self { most_read: most, ..self }
    }

    /// A page in the order in which `read` returns ids, shorter when size or time run out.
    pub async fn answer<T, F>(
        self,
        scope: &TenantScope<'_>,
        read: impl Fn(Option<String>) -> F,
    ) -> Result<List<T>, Problem>
    where
        T: Listed + Serialize,
        F: Future<Output = Result<Read<T>, Problem>>,
    {
        let (items, next) = self.page(scope, read).await?;
        Ok(List { items, next })
    }

    /// The page and the cursor of the next, for a response with more members than these.
    pub async fn page<T, F>(
        self,
        scope: &TenantScope<'_>,
        read: impl Fn(Option<String>) -> F,
    ) -> Result<(Vec<T>, Option<String>), Problem>
    where
        T: Serialize,
        F: Future<Output = Result<Read<T>, Problem>>,
    {
        let Self { limit, binding, mut after, most_read, .. } = self;
        let (mut list, mut bytes, mut have_read) = (Vec::new(), 0, 0);
        let goes_on = 'pages: loop {
            let (items, goes_on) = read(after.clone()).await?;
            let count = items.len();
            have_read += count;
            for (place, (id, item)) in items.into_iter().enumerate() {
                if let Some(item) = item {
                    let text =
                        serde_json::to_string(&item).map_err(|error| Problem::internal(&error))?;
                    bytes += request::escaped_len(&text) + 1;
                    // The page is full: the next page starts with this item.
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

/// One page of a list.
///
/// # Errors
/// 400 for wrong parameters, and the errors of `read`.
pub async fn list<T, F>(
    scope: &TenantScope<'_>,
    reader: &Reader<'_>,
    parameters: &Parameters,
    read: impl Fn(Option<String>) -> F,
) -> Result<List<T>, Problem>
where
    T: Listed + Serialize,
    F: Future<Output = Result<Read<T>, Problem>>,
{
    let asked =
        parameters.check(|parameters| Some(Asked::read(scope, reader, parameters, T::LIST)))?;
    asked.answer(scope, read).await
}
