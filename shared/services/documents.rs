//! Reads configured documents of any kind, and stores imported ones.

use shared_domain::{
    configuration::document::{Configured, DISPLAY_NAME, Document},
    identity::caller::Caller,
    trail::event::Party,
};
use shared_storage::{
    ReadError, TenantScope,
    documents::{DocumentChange, DocumentOutcome, StoredDocument},
};

/// A page of documents: the id of each, with the document or none if it was deleted, and whether
/// there may be more.
pub type Page<T> = (Vec<(String, Option<Configured<T>>)>, bool);

/// The document with that id.
pub async fn get<T: Document>(
    scope: &TenantScope<'_>,
    id: &str,
) -> Result<Option<Configured<T>>, ReadError> {
    configured(scope.document(T::KIND, id).await?)
}

/// The document with that alias.
pub async fn find<T: Document>(
    scope: &TenantScope<'_>,
    kind_of_name: char,
    name: &str,
) -> Result<Option<Configured<T>>, ReadError> {
    configured(scope.document_known_as(T::KIND, kind_of_name, name).await?)
}

/// The document that a target identifies: by id, otherwise by display name.
pub async fn of_target<T: Document>(
    scope: &TenantScope<'_>,
    target: &Party,
) -> Result<Option<Configured<T>>, ReadError> {
    let by_id = match &target.id {
        Some(id) => get(scope, id).await?,
        None => None,
    };
    match (by_id, &target.name) {
        (Some(document), _) => Ok(Some(document)),
        (None, Some(name)) => find(scope, DISPLAY_NAME, name).await,
        (None, None) => Ok(None),
    }
}

/// The documents of a kind after `after`, by id.
pub async fn page<T: Document>(
    scope: &TenantScope<'_>,
    after: Option<&str>,
) -> Result<Page<T>, ReadError> {
    let (documents, goes_on) = scope.documents(T::KIND, after).await?;
    let read = |document: StoredDocument| Ok((document.id.clone(), document.configured()?));
    Ok((documents.into_iter().map(read).collect::<Result<_, ReadError>>()?, goes_on))
}

/// All documents of a kind.
pub async fn all<T: Document>(scope: &TenantScope<'_>) -> Result<Vec<Configured<T>>, ReadError> {
    let documents = scope.all_documents(T::KIND).await?;
    documents.into_iter().filter_map(|document| document.configured::<T>().transpose()).collect()
}

/// Stores an imported document. `import` gets the current document and whether it was configured or
/// deleted by a person rather than only imported, and returns the new document. Returns the result
/// of the change and the version after it.
///
/// # Errors
/// The error of `import`, or an error of the storage. After the latter, the change may or may not
/// be stored; a retry is safe.
pub async fn import<T: Document, E: From<ReadError>>(
    scope: &TenantScope<'_>,
    id: &str,
    by: &Caller,
    import: impl Fn(Option<T>, bool) -> Result<T, E>,
) -> Result<(DocumentOutcome, u64), E> {
    let want = |there: Option<&StoredDocument>| {
        let is_reserved = there.is_some_and(|there| !there.is_imported);
        let document = import(read(there)?, is_reserved)?;
        Ok(DocumentChange { is_import: true, ..DocumentChange::stored(id, &document)? })
    };
    scope.configure::<T, E>(id, by, want).await
}

/// The document; none if it was deleted.
pub fn read<T: Document>(there: Option<&StoredDocument>) -> Result<Option<T>, ReadError> {
    Ok(there.map(StoredDocument::read).transpose()?.flatten())
}

fn configured<T: Document>(
    there: Option<StoredDocument>,
) -> Result<Option<Configured<T>>, ReadError> {
    Ok(there.map(StoredDocument::configured).transpose()?.flatten())
}
