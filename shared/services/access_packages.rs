//! Which packages and organisations are there, and what was a package at a version?

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

/// Most versions that are looked through for the one of a moment.
const MOST_VERSIONS: usize = 50;
/// The name by which a package can be found beside its id.
const NAME: char = 'n';

/// The package of that id, as it is now.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn package(
    scope: &TenantScope<'_>,
    id: &str,
) -> Result<Option<access_package::Configured>, ReadError> {
    scope.document(Kind::Package, id).await?.map(read_package).transpose().map(Option::flatten)
}

/// The package of that name, as it is now.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn package_named(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Option<access_package::Configured>, ReadError> {
    let found = scope.document_known_as(Kind::Package, NAME, name).await?;
    found.map(read_package).transpose().map(Option::flatten)
}

/// The package that a target names: by id, else by name.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
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

/// The package as it was at a version: what a decision under that version was made by. None where it never had that version,
/// was deleted by it, or the trail no longer keeps the event that tells of it.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
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
    // The version of now may be older than the trail.
    Ok(package(scope, id).await?.filter(|it| it.version == version))
}

/// The package as it was at a moment. None where it was not there, or the trail no longer keeps the event that tells of it.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
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

/// Every package.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn packages(
    scope: &TenantScope<'_>,
) -> Result<Vec<access_package::Configured>, ReadError> {
    every(scope, Kind::Package, read_package).await
}

/// Every organisation.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn organisations(
    scope: &TenantScope<'_>,
) -> Result<Vec<organisation::Configured>, ReadError> {
    every(scope, Kind::Organisation, read_organisation).await
}

/// Makes a package as `want` says, which is told what is there, and whether that was configured by hand and not only imported; none takes it
/// away. What came of it, and the version that it has by then.
///
/// # Errors
/// What `want` says; or the storage did not answer. It may be done or not; asking for the same again is safe.
pub async fn configure_package<E: From<ReadError>>(
    scope: &TenantScope<'_>,
    id: &str,
    by: &Caller,
    is_import: bool,
    mut want: impl FnMut(Option<Package>, bool) -> Result<Option<Package>, E>,
) -> Result<(Configured, u64), E> {
    let wanted = |there: Option<&Document>| {
        let before = there.map(Document::read::<Package>).transpose()?.flatten();
        // What was deleted by hand stays so, too.
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

/// The same for an organisation.
///
/// # Errors
/// What `want` says; or the storage did not answer. It may be done or not; asking for the same again is safe.
pub async fn configure_organisation<E: From<ReadError>>(
    scope: &TenantScope<'_>,
    id: &str,
    by: &Caller,
    is_import: bool,
    mut want: impl FnMut(Option<Organisation>, bool) -> Result<Option<Organisation>, E>,
) -> Result<(Configured, u64), E> {
    let wanted = |there: Option<&Document>| {
        let before = there.map(Document::read::<Organisation>).transpose()?.flatten();
        // What was deleted by hand stays so, too.
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

/// A document as a package, unless it was deleted.
///
/// # Errors
/// It is not as this service writes it.
pub fn read_package(document: Document) -> Result<Option<access_package::Configured>, ReadError> {
    let package = document.read()?;
    Ok(package.map(|package| access_package::Configured {
        version: document.generation,
        id: document.id,
        package,
    }))
}

/// A document as an organisation, unless it was deleted.
///
/// # Errors
/// It is not as this service writes it.
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
