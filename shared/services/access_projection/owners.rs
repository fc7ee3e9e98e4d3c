//! The applications that access records are about, and their owners.

use shared_domain::{
    access::access_record::Access,
    configuration::{access_package::Package, application::Application, document::Configured},
    identity::matching,
    text::case_folding::fold,
    trail::event::{Event, Party},
};
use shared_storage::ReadError;

use super::Follower;
use crate::documents;

impl<'t> Follower<'t> {
    pub(super) async fn applications(&self) -> Result<&Vec<Configured<Application>>, ReadError> {
        self.applications.get_or_try_init(|| documents::all(self.scope)).await
    }

    /// The owners of an access record's target.
    pub(super) async fn owners(&self, access: &Access) -> Result<Vec<String>, ReadError> {
        self.owners_of(access.target.as_ref()).await
    }

    /// The owners of an application or package.
    pub(super) async fn owners_of(&self, target: Option<&Party>) -> Result<Vec<String>, ReadError> {
        let Some(target) = target else { return Ok(Vec::new()) };
        match find_application(self.applications().await?, target) {
            Some(it) => Ok(it.document.owners.clone()),
            None => Ok(documents::of_target::<Package>(self.scope, target)
                .await?
                .map(|it| it.document.owners)
                .unwrap_or_default()),
        }
    }

    /// The id of the application that a target identifies.
    pub(super) async fn application_of(
        &self,
        target: Option<&Party>,
    ) -> Result<Option<String>, ReadError> {
        let Some(target) = target else { return Ok(None) };
        Ok(find_application(self.applications().await?, target).map(|it| it.id.clone()))
    }

    pub(super) async fn owners_of_account(&self, event: &Event) -> Result<Vec<String>, ReadError> {
        let names = event.account.as_ref().map(matching::names).unwrap_or_default();
        let applications = self.applications().await?;
        let owner = applications.iter().find(|it| names.iter().any(|name| it.document.owns(name)));
        Ok(owner.map(|it| it.document.owners.clone()).unwrap_or_default())
    }
}

/// The application that a target identifies, by id or display name.
fn find_application<'a>(
    applications: &'a [Configured<Application>],
    target: &Party,
) -> Option<&'a Configured<Application>> {
    applications.iter().find(|it| {
        target.id.as_ref() == Some(&it.id)
            || target.name.as_ref().is_some_and(|name| fold(name) == fold(&it.document.name))
    })
}
