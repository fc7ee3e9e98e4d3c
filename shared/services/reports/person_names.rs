//! The names of the person that a report is asked about.

use shared_domain::{
    identity::person::{Known, Person},
    reports::report::Query,
    text::case_folding::fold_identity,
};
use shared_storage::{ReadError, TenantScope, documents::Kind as DocumentKind};

/// All names of a person by which events may name them, by any of them. The name to show is none, as others may have it too.
pub async fn names_of(scope: &TenantScope<'_>, name: &str) -> Result<Vec<String>, ReadError> {
    let known = person(scope, name).await?;
    let aliases =
        known.iter().flat_map(|it| it.person.aliases().map(|(_, name, _)| name.to_owned()));
    let mut names: Vec<String> =
        aliases.chain([name.to_owned()]).map(|name| fold_identity(&name)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// All names of the person that a report is asked about; none where it is not about one.
pub(super) async fn names_asked(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<String>, ReadError> {
    match &query.person {
        Some(person) => names_of(scope, person).await,
        None => Ok(Vec::new()),
    }
}

/// The person of a name: their own id, an address, an id in a directory, a name in a source-code manager.
pub async fn person(scope: &TenantScope<'_>, name: &str) -> Result<Option<Known>, ReadError> {
    let mut found =
        scope.document(DocumentKind::Person, name).await?.filter(|it| it.content.is_some());
    for kind in ['e', 'i', 's'] {
        if found.is_none() {
            found = scope.document_known_as(DocumentKind::Person, kind, name).await?;
        }
    }
    let Some(document) = found else { return Ok(None) };
    let person: Option<Person> = document.read()?;
    Ok(person.map(|person| Known { id: document.id, person }))
}
