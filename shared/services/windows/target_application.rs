//! The configured application of a target.

use shared_domain::{
    configuration::application::{Application, Configured},
    trail::event::Party,
};
use shared_storage::{ReadError, TenantScope, documents::Kind};

pub async fn applications(scope: &TenantScope<'_>) -> Result<Vec<Configured>, ReadError> {
    let mut found = Vec::new();
    for document in scope.all_documents(Kind::Application).await? {
        let application: Option<Application> = document.read()?;
        found.extend(application.map(|application| Configured { id: document.id, application }));
    }
    Ok(found)
}

/// The application that a target identifies: by id, otherwise by name.
pub async fn application_of(
    scope: &TenantScope<'_>,
    target: &Party,
) -> Result<Option<Configured>, ReadError> {
    let by_id = match &target.id {
        Some(id) => scope.document(Kind::Application, id).await?.filter(|it| it.content.is_some()),
        None => None,
    };
    let found = match (by_id, &target.name) {
        (Some(document), _) => Some(document),
        (None, Some(name)) => scope.document_known_as(Kind::Application, 'n', name).await?,
        (None, None) => None,
    };
    let Some(document) = found else { return Ok(None) };
    let application: Option<Application> = document.read()?;
    Ok(application.map(|application| Configured { id: document.id, application }))
}
