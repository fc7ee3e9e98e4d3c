//! Configuration documents: the settings, and the documents of any other kind.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::{
    domain::{
        configuration::{
            document::{Configured, Document},
            settings::{Settings, SettingsAnswer},
        },
        trail::filter::FreeText,
    },
    http::{
        input::{Id, Query},
        output::{List, Listed, Versioned},
        pagination,
        parameters::{Cursor, Limit},
        problem::Problem,
    },
    services::documents,
};

use crate::routes::TenantCall;

/// `GET /v1/settings`: the tenant's settings, and how complete its legal hold is.
pub async fn settings(
    TenantCall { scope, .. }: &TenantCall<'_>,
    (): (),
) -> Result<Versioned<SettingsAnswer>, Problem> {
    // Read again, because the settings that a request works with have no version.
    let stored = scope.document(Settings::KIND, Settings::ID).await?;
    let settings = documents::read(stored.as_ref())?.unwrap_or_else(|| scope.settings.clone());
    let hold = settings.hold(scope.now);
    let version = stored.map_or(0, |stored| stored.generation);
    Ok(Versioned { body: SettingsAnswer { settings, hold, notice: None }, version })
}

/// `GET /v1/people/{id}` and the same route of other kinds: one document.
pub async fn one<T: Document>(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Versioned<Configured<T>>, Problem> {
    let missing = || Problem::not_found(T::KIND.missing());
    let body = documents::get::<T>(scope, id.or(missing)?).await?.ok_or_else(missing)?;
    Ok(Versioned { version: body.version, body })
}

/// The parameters of a list of documents.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DocumentsQuery {
    /// Words that must all occur in the document's id or names.
    pub q: Option<String>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/people` and the same route of other kinds: documents in the order of their ids. Every
/// word of `q` must occur in the id or in [`Document::searchable`].
pub async fn list<T: Document>(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<DocumentsQuery>,
) -> Result<List<Configured<T>>, Problem> {
    let (words, asked) = parameters.check(|_, parameters| {
        let words = parameters.read_as("q", FreeText::read);
        let list = <Configured<T> as Listed>::LIST;
        Some((words, pagination::Asked::read(scope, reader, parameters, list)))
    })?;
    let is_wanted = &|Configured { id, document, .. }: &Configured<T>| {
        let texts = [id.as_str()].into_iter().chain(document.searchable());
        words.as_ref().is_none_or(|words| words.are_in(texts))
    };
    let read = |after: Option<String>| async move {
        let (documents, goes_on) = documents::page::<T>(scope, after.as_deref()).await?;
        let documents = documents.into_iter().map(|(id, found)| (id, found.filter(is_wanted)));
        Ok::<_, Problem>((documents.collect(), goes_on))
    };
    asked.answer(scope, read).await
}
