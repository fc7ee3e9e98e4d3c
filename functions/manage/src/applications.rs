//! Applications: the directories of accounts and the limits of access windows.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::{
    domain::{
        configuration::application::{self, Application},
        json::strict_json::FieldError,
        trail::event::Party,
        windows::window_commands::OrderScope,
    },
    http::{problem::Problem, request},
    storage::documents::{Alias, Configured, Document, Kind, Wanted},
};

use crate::{Manage, routes::Call, windows};

fn shown(id: &str, name: Option<String>) -> Option<Party> {
    Some(Party { kind: Some("application".to_owned()), id: Some(id.to_owned()), name, email: None })
}

/// `PUT /v1/applications/{id}`: replaces the application. Open windows keep the directory with
/// which they were opened.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where another application has the name; 503.
pub async fn put(
    Call { function: Manage { place, foresight, database, .. }, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let application = Application::read(&request::json_body(request)?, *place)
        .map_err(|errors| Problem::invalid("the application was not stored", errors))?;
    if let Some((pointer, secret, url)) = application.directory.secret()
        && let Some(detail) = foresight.refuses(&scope.tenant, secret, Some(url))
    {
        return Err(Problem::invalid(
            "the application was not stored",
            vec![FieldError::new(pointer, detail)],
        ));
    }
    let wanted = Wanted {
        content: Some(
            serde_json::to_value(&application).map_err(|error| Problem::internal(&error))?,
        ),
        aliases: vec![Alias {
            kind: 'n',
            name: application.name.clone(),
            pointer: "/name".to_owned(),
        }],
        shown: shown(id, Some(application.name.clone())),
        ..Wanted::default()
    };
    // Stored first, so that reconciliation covers the directory from its first window on.
    shared::services::windows::remember(database, &scope.tenant, scope.deadline).await?;
    let status = match scope
        .configure(Kind::Application, id, caller, |_| Ok::<_, Problem>(wanted.clone()))
        .await?
    {
        Configured::Created => 201,
        // The number of applications is not limited.
        Configured::Changed | Configured::Unchanged | Configured::Full(_) => 200,
        Configured::Taken(Alias { name, pointer, .. }, other) => {
            let detail = format!(
                "{name:?} is the name of the application {other:?}; rename or delete that one first"
            );
            return Err(Problem::conflict(
                "another application has this name",
                vec![FieldError::new(pointer, detail)],
            ));
        }
    };
    Ok(request::json(status, &application::Configured { id: id.to_owned(), application }))
}

/// `DELETE /v1/applications/{id}`: deletes the application and orders the end of its open windows.
/// If the order was not stored, a retry stores it.
///
/// # Errors
/// 404; 503, also where the order was not stored.
pub async fn delete(
    Call { function: Manage { sweep, .. }, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let missing = || Problem::not_found("no application with this id is configured in the tenant");
    let want = |there: Option<&Document>| -> Result<Wanted, Problem> {
        let there: Option<Application> = there.ok_or_else(missing)?.read()?;
        let shown = shown(id, there.map(|application| application.name));
        Ok(Wanted { shown, ..Wanted::default() })
    };
    scope.configure(Kind::Application, id, caller, want).await?;
    let reason = format!("the application {id} was deleted");
    let order_scope = OrderScope::Application(id.to_owned());
    windows::order_to_end(scope, caller, sweep, order_scope, caller.actor(), reason, None).await?;
    Ok(request::no_content())
}
