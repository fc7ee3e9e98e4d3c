//! The names of the person in a query.

use shared_domain::{
    configuration::document::Configured, identity::person::Person, reports::report::Query,
    text::case_folding::fold_identity,
};
use shared_storage::{ReadError, TenantScope};

use crate::documents;

/// All names by which events may identify a person, given any of them. Display names are excluded,
/// because they are not unique.
pub async fn names_of(scope: &TenantScope<'_>, name: &str) -> Result<Vec<String>, ReadError> {
    let known = person(scope, name).await?;
    let aliases =
        known.iter().flat_map(|it| it.document.aliases().map(|(_, name, _)| name.to_owned()));
    let mut names: Vec<String> =
        aliases.chain([name.to_owned()]).map(|name| fold_identity(&name)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The names of the person in the query; empty if the query names none.
pub(super) async fn names_asked(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<String>, ReadError> {
    match &query.person {
        Some(person) => names_of(scope, person).await,
        None => Ok(Vec::new()),
    }
}

/// The person with that name: an id of the person record or of a directory, an address, or a name
/// in a source-code manager.
pub async fn person(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Option<Configured<Person>>, ReadError> {
    let mut found = documents::get(scope, name).await?;
    for kind in ['e', 'i', 's'] {
        if found.is_none() {
            found = documents::find(scope, kind, name).await?;
        }
    }
    Ok(found)
}
