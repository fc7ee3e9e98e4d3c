//! The test of a connection: signs in, and reads a page of each source. Nothing is stored of it.

use shared::domain::collect::progress::{ConnectionTest, ConnectionTestState, SourceTest};

use crate::{
    graph_pages::{self, NoPage},
    source_page::Collecting,
};

impl Collecting<'_> {
    /// Carries out a test that was requested.
    pub(crate) async fn test(&self, asked: &ConnectionTest) -> ConnectionTest {
        let clock = self.function.database.clock();
        let graph = self.graph();
        let (mut error, mut sources) = (None, Vec::new());
        match graph.token().await {
            Err(failure) => error = Some(failure.detail),
            Ok(_) => {
                for source in &self.connection.collect {
                    let sample = source.sample(clock.now());
                    let (missing_permission, error) =
                        match graph_pages::page(&graph, *source, &sample).await {
                            Ok(_) => (None, None),
                            Err(NoPage::Forbidden(error)) => {
                                (Some(source.permissions().to_owned()), Some(error))
                            }
                            Err(NoPage::LinkRefused(error) | NoPage::Failed { error, .. }) => {
                                (None, Some(error))
                            }
                        };
                    let works = error.is_none();
                    sources.push(SourceTest { source: *source, works, missing_permission, error });
                }
            }
        }
        let works = error.is_none() && sources.iter().all(|source| source.works);
        let state = if works { ConnectionTestState::Passed } else { ConnectionTestState::Failed };
        ConnectionTest { state, done_at: Some(clock.now()), error, sources, ..asked.clone() }
    }
}
