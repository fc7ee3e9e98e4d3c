//! Reads and configures access packages and organisations, including earlier versions of a package.

use serde_json::Value;

use shared_domain::{
    configuration::{
        access_package::{self, Package},
        organisation::{self, Organisation},
    },
    identity::caller::Caller,
    time::timestamp::Instant,
    trail::event::{EventId, Party},
};
use shared_storage::{
    ReadError, TenantScope,
    documents::{Alias, Configured, Document, Kind, Wanted},
    event_item::Damaged,
};

/// Maximum number of versions that are searched for the one in force at a given time.
const MOST_VERSIONS: usize = 50;
/// The kind of alias by which a package is found by name.
const NAME: char = 'n';

/// The current package with that id.
pub async fn package(
    scope: &TenantScope<'_>,
    id: &str,
) -> Result<Option<access_package::Configured>, ReadError> {
    scope.document(Kind::Package, id).await?.map(read_package).transpose().map(Option::flatten)
}

/// The current package with that name.
pub async fn package_named(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Option<access_package::Configured>, ReadError> {
    let found = scope.document_known_as(Kind::Package, NAME, name).await?;
    found.map(read_package).transpose().map(Option::flatten)
}

/// The package that a target identifies: by id, otherwise by name.
pub async fn package_of(
    scope: &TenantScope<'_>,
    target: &Party,
) -> Result<Option<access_package::Configured>, ReadError> {
    let by_id = match &target.id {
        Some(id) => package(scope, id).await?,
        None => None,
    };
    match (by_id, &target.name) {
        (Some(package), _) => Ok(Some(package)),
        (None, Some(name)) => package_named(scope, name).await,
        (None, None) => Ok(None),
    }
}

/// The package at a version, to judge a decision that was made under that version. None if it never
/// had that version, was deleted at that version, or if the trail no longer retains the event of
/// that version.
pub async fn package_at(
    scope: &TenantScope<'_>,
    id: &str,
    version: u64,
) -> Result<Option<access_package::Configured>, ReadError> {
    let told =
        EventId::of_service(&scope.tenant, Kind::Package.action(), &[id, &version.to_string()]);
    if let Some(recorded) = scope.event(&told).await? {
        let new = recorded.event.details.and_then(|mut details| details.remove("new"));
        let package: Option<Package> =
            new.map(serde_json::from_value).transpose().map_err(|_| damaged(id))?;
        return Ok(package.map(|package| access_package::Configured {
            id: id.to_owned(),
            version,
            package,
        }));
    }
    // The current version may be older than the oldest retained event.
    Ok(package(scope, id).await?.filter(|it| it.version == version))
}

/// The package as it was at a time. None if it did not exist then, or if the trail no longer
/// retains the event.
pub async fn package_when(
    scope: &TenantScope<'_>,
    id: &str,
    at: Instant,
) -> Result<Option<access_package::Configured>, ReadError> {
    let Some(now) = package(scope, id).await? else { return Ok(None) };
    for version in (1..=now.version).rev().take(MOST_VERSIONS) {
        let told =
            EventId::of_service(&scope.tenant, Kind::Package.action(), &[id, &version.to_string()]);
        if scope.event(&told).await?.is_some_and(|recorded| recorded.event.occurred_at <= at) {
            return package_at(scope, id, version).await;
        }
    }
    Ok(None)
}

pub async fn packages(
    scope: &TenantScope<'_>,
) -> Result<Vec<access_package::Configured>, ReadError> {
    every(scope, Kind::Package, read_package).await
}

pub async fn organisations(
    scope: &TenantScope<'_>,
) -> Result<Vec<organisation::Configured>, ReadError> {
    every(scope, Kind::Organisation, read_organisation).await
}

/// Configures a package. `want` gets the current package and whether it was configured by a person
/// rather than only imported, and returns the new package or none to delete it. Returns the result
/// of the change and the version after it.
///
/// # Errors
/// The error of `want`, or an error of the storage. After the latter, the change may or may not be
/// stored; a retry is safe.
pub async fn configure_package<E: From<ReadError>>(
    scope: &TenantScope<'_>,
    id: &str,
    by: &Caller,
    is_import: bool,
    mut want: impl FnMut(Option<Package>, bool) -> Result<Option<Package>, E>,
) -> Result<(Configured, u64), E> {
    let wanted = |there: Option<&Document>| {
        let before = there.map(Document::read::<Package>).transpose()?.flatten();
        // A deletion by a person is also kept: an import does not restore the document.
        let is_reserved = there.is_some_and(|there| !there.is_imported);
        let name_before = before.as_ref().map(|package| package.name.clone());
        let package = want(before, is_reserved)?;
        let name = package.as_ref().map(|package| package.name.clone());
        let alias = |name| Alias { kind: NAME, name, pointer: "/name".to_owned() };
        Ok(Wanted {
            content: content(id, package)?,
            aliases: name.clone().map(alias).into_iter().collect(),
            shown: Some(shown("package", id, name.or(name_before))),
            is_import,
            ..Wanted::default()
        })
    };
    scope.configure_to_version(Kind::Package, id, by, wanted).await
}

/// Like [`configure_package`] for an organisation.
///
/// # Errors
/// The error of `want`, or an error of the storage. After the latter, the change may or may not be
/// stored; a retry is safe.
pub async fn configure_organisation<E: From<ReadError>>(
    scope: &TenantScope<'_>,
    id: &str,
    by: &Caller,
    is_import: bool,
    mut want: impl FnMut(Option<Organisation>, bool) -> Result<Option<Organisation>, E>,
) -> Result<(Configured, u64), E> {
    let wanted = |there: Option<&Document>| {
        let before = there.map(Document::read::<Organisation>).transpose()?.flatten();
        // A deletion by a person is also kept: an import does not restore the document.
        let is_reserved = there.is_some_and(|there| !there.is_imported);
        let name_before = before.as_ref().map(|organisation| organisation.name.clone());
        let organisation = want(before, is_reserved)?;
        let name = organisation.as_ref().map(|organisation| organisation.name.clone());
        Ok(Wanted {
            content: content(id, organisation)?,
            shown: Some(shown("organisation", id, name.or(name_before))),
            is_import,
            ..Wanted::default()
        })
    };
    scope.configure_to_version(Kind::Organisation, id, by, wanted).await
}

async fn every<T>(
    scope: &TenantScope<'_>,
    kind: Kind,
    read: impl Fn(Document) -> Result<Option<T>, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let documents = scope.all_documents(kind).await?;
    documents.into_iter().filter_map(|document| read(document).transpose()).collect()
}

/// A document as a package; none if it was deleted.
pub fn read_package(document: Document) -> Result<Option<access_package::Configured>, ReadError> {
    let package = document.read()?;
    Ok(package.map(|package| access_package::Configured {
        version: document.generation,
        id: document.id,
        package,
    }))
}

/// A document as an organisation; none if it was deleted.
pub fn read_organisation(
    document: Document,
) -> Result<Option<organisation::Configured>, ReadError> {
    let organisation = document.read()?;
    let configured = |organisation| organisation::Configured {
        version: document.generation,
        id: document.id.clone(),
        organisation,
    };
    Ok(organisation.map(configured))
}

fn content(id: &str, content: Option<impl serde::Serialize>) -> Result<Option<Value>, ReadError> {
    content.map(serde_json::to_value).transpose().map_err(|_| damaged(id))
}

fn damaged(id: &str) -> ReadError {
    Damaged::new(id, "content").into()
}

fn shown(kind: &str, id: &str, name: Option<String>) -> Party {
    Party { kind: Some(kind.to_owned()), id: Some(id.to_owned()), name, email: None }
}
