//! The test of a connection: signs in, and reads a page of each source. Nothing is stored of it.

use shared::domain::collect::{
    progress::{ConnectionTest, ConnectionTestState, SourceTest},
    source::Source,
};

use crate::{
    graph_pages::{self, NoPage},
    source_page::Collecting,
};

impl Collecting<'_> {
    /// Carries out a test that was requested.
    pub(crate) async fn test(&self, asked: &ConnectionTest) -> ConnectionTest {
        let graph = self.graph();
        let (mut error, mut sources) = (None, Vec::new());
        match graph.token().await {
            Err(failure) => error = Some(failure.detail),
            Ok(_) => {
                // Side by side, so that a source that does not answer takes no time from the others.
                let tests = self.connection.collect.iter().map(|source| self.test_source(*source));
                sources = futures::future::join_all(tests).await;
            }
        }
        let works = error.is_none() && sources.iter().all(|source| source.works);
        let state = if works { ConnectionTestState::Passed } else { ConnectionTestState::Failed };
        let done_at = Some(self.function.database.clock().now());
        ConnectionTest { state, done_at, error, sources, ..asked.clone() }
    }

    async fn test_source(&self, source: Source) -> SourceTest {
        let sample = source.sample(self.function.database.clock().now());
        let (missing_permission, error) = match graph_pages::page(&self.graph(), source, &sample)
            .await
        {
            Ok(_) => (None, None),
            Err(NoPage::Forbidden(error)) => (Some(source.permissions().to_owned()), Some(error)),
            Err(NoPage::LinkRefused(error) | NoPage::Failed { error, .. }) => (None, Some(error)),
        };
        SourceTest { source, works: error.is_none(), missing_permission, error }
    }
}
