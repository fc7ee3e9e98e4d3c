//! Streams: the progress of each, and its last error.

use shared::{
    domain::{
        identity::caller::{Caller, Permission},
        streams::stream::StreamAnswer,
    },
    http::{
        input::{Id, Query},
        output::{List, Versioned},
        pagination,
        parameters::PageQuery,
        problem::Problem,
    },
    services::streams,
};

use crate::routes::TenantCall;

/// `GET /v1/streams`: streams in the order of their ids.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<PageQuery>,
) -> Result<List<StreamAnswer>, Problem> {
    let read = |after: Option<String>| async move {
        let (streams, goes_on) = streams::streams(scope, after.as_deref()).await?;
        let mut read = Vec::with_capacity(streams.len());
        for stored in streams {
            let answered = streams::answered_stream(scope, &stored).await?;
            read.push((stored.id, answered.map(|stream| shown(reader.caller, stream))));
        }
        Ok::<_, Problem>((read, goes_on))
    };
    pagination::list(scope, reader, &parameters, read).await
}

/// `GET /v1/streams/{id}`: one stream.
pub async fn one(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Versioned<StreamAnswer>, Problem> {
    let missing = || Problem::not_found("the tenant has no stream with this id");
    let stored = streams::stream(scope, id.or(missing)?).await?.ok_or_else(missing)?;
    let stream = streams::answered_stream(scope, &stored).await?.ok_or_else(missing)?;
    Ok(Versioned { body: shown(reader.caller, stream), version: stored.content.generation })
}

/// The stream as this caller may see it. Only administrators see the target's URL, because the URL
/// can be a credential.
fn shown(caller: &Caller, stream: StreamAnswer) -> StreamAnswer {
    if caller.may(Permission::Admin) { stream } else { stream.without_address() }
}
