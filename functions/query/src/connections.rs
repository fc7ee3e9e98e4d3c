//! Connections: how far each has collected its sources, and what went wrong.

use shared::{
    domain::{
        collect::connection_answer::ConnectionAnswer,
        configuration::{connection::Connection, document::Document},
    },
    http::{
        input::{Id, Query},
        output::{List, Versioned},
        pagination,
        parameters::PageQuery,
        problem::Problem,
    },
    services::collect,
};

use crate::routes::TenantCall;

/// `GET /v1/connections`: connections in the order of their ids.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<PageQuery>,
) -> Result<List<ConnectionAnswer>, Problem> {
    let read = |after: Option<String>| async move {
        let (connections, goes_on) = collect::connections(scope, after.as_deref()).await?;
        let read = |stored| {
            let answered = collect::answered(&stored);
            (stored.id, answered)
        };
        Ok::<_, Problem>((connections.into_iter().map(read).collect(), goes_on))
    };
    pagination::list(scope, reader, &parameters, read).await
}

/// `GET /v1/connections/{id}`: one connection.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Versioned<ConnectionAnswer>, Problem> {
    let missing = || Problem::not_found(Connection::KIND.missing());
    let stored = collect::connection(scope, id.or(missing)?).await?.ok_or_else(missing)?;
    let body = collect::answered(&stored).ok_or_else(missing)?;
    Ok(Versioned { body, version: stored.content.generation })
}
