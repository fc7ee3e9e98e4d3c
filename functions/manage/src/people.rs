//! People: one person with several ids.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::{
    domain::{
        identity::person::{Known, Person},
        json::strict_json::FieldError,
        trail::event::Party,
    },
    http::{problem::Problem, request},
    storage::documents::{Alias, Configured, Kind, Wanted},
};

use crate::routes::Call;

/// `PUT /v1/people/{id}`: replaces the person.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where another person has one of the ids; 503.
pub async fn put(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let person = Person::read(&request::json_body(request)?)
        .map_err(|errors| Problem::invalid("the person was not stored", errors))?;
    let alias =
        |(kind, name, pointer): (_, &str, _)| Alias { kind, name: name.to_owned(), pointer };
    let wanted = Wanted {
        content: Some(serde_json::to_value(&person).map_err(|error| Problem::internal(&error))?),
        aliases: person.aliases().map(alias).collect(),
        shown: Some(Party {
            kind: Some("person".to_owned()),
            id: Some(id.to_owned()),
            name: person.name.clone(),
            email: person.emails.first().cloned(),
        }),
        ..Wanted::default()
    };
    let status = match scope
        .configure(Kind::Person, id, caller, |_| Ok::<_, Problem>(wanted.clone()))
        .await?
    {
        Configured::Created => 201,
        // The number of people is not limited.
        Configured::Changed | Configured::Unchanged | Configured::Full(_) => 200,
        Configured::Taken(Alias { name, pointer, .. }, other) => {
            let detail =
                format!("{name:?} belongs to the person {other:?}; take it away there first");
            return Err(Problem::conflict(
                "another person has this id or address",
                vec![FieldError::new(pointer, detail)],
            ));
        }
    };
    Ok(request::json(status, &Known { id: id.to_owned(), person }))
}
