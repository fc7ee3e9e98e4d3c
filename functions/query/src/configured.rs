//! Configuration documents: settings, people, applications, packages, organisations and saved
//! searches.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde::Serialize;
use shared::{
    domain::{
        configuration::{
            access_package,
            application::{Application, Configured},
            organisation,
            settings::{Hold, Settings},
        },
        exports::saved_search,
        identity::person::{Known, Person},
        trail::filter::FreeText,
    },
    http::{
        pagination,
        problem::Problem,
        reader::Reader,
        request::{self, Parameters},
    },
    services::{access_packages, saved_searches::read_saved},
    storage::{
        TenantScope,
        documents::{Document, Kind},
    },
};

use crate::routes::TenantCall;

/// `GET /v1/settings`: the tenant's settings, and how complete its legal hold is.
pub async fn settings(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    #[derive(Serialize)]
    struct Answer<'s> {
        #[serde(flatten)]
        settings: &'s Settings,
        #[serde(skip_serializing_if = "Option::is_none")]
        hold: Option<Hold>,
    }
    Parameters::read(request, &[])?;
    Ok(request::json(
        200,
        &Answer { settings: &scope.settings, hold: scope.settings.hold(scope.now) },
    ))
}

/// A kind of configuration document that the API returns.
trait Answered: Sized + Serialize {
    const KIND: Kind;
    /// The name of the list in the response, e.g. `people`.
    const LIST: &'static str;

    /// Parses a stored document; `None` if the document was deleted.
    fn read(document: Document) -> Result<Option<Self>, Problem>;

    /// The texts that the parameter `q` searches.
    fn searchable(&self) -> Vec<&str>;
}

impl Answered for Known {
    const KIND: Kind = Kind::Person;
    const LIST: &'static str = "people";

    fn read(document: Document) -> Result<Option<Self>, Problem> {
        let person: Option<Person> = document.read()?;
        Ok(person.map(|person| Self { id: document.id, person }))
    }

    fn searchable(&self) -> Vec<&str> {
        [self.id.as_str()].into_iter().chain(self.person.searchable()).collect()
    }
}

impl Answered for Configured {
    const KIND: Kind = Kind::Application;
    const LIST: &'static str = "applications";

    fn read(document: Document) -> Result<Option<Self>, Problem> {
        let application: Option<Application> = document.read()?;
        Ok(application.map(|application| Self { id: document.id, application }))
    }

    fn searchable(&self) -> Vec<&str> {
        let Application { name, accounts, owners, .. } = &self.application;
        let lists = accounts.iter().chain(owners).map(String::as_str);
        [self.id.as_str(), name].into_iter().chain(lists).collect()
    }
}

impl Answered for access_package::Configured {
    const KIND: Kind = Kind::Package;
    const LIST: &'static str = "packages";

    fn read(document: Document) -> Result<Option<Self>, Problem> {
        Ok(access_packages::read_package(document)?)
    }

    fn searchable(&self) -> Vec<&str> {
        [self.id.as_str()].into_iter().chain(self.package.searchable()).collect()
    }
}

impl Answered for organisation::Configured {
    const KIND: Kind = Kind::Organisation;
    const LIST: &'static str = "organisations";

    fn read(document: Document) -> Result<Option<Self>, Problem> {
        Ok(access_packages::read_organisation(document)?)
    }

    fn searchable(&self) -> Vec<&str> {
        [self.id.as_str()].into_iter().chain(self.organisation.searchable()).collect()
    }
}

impl Answered for saved_search::Configured {
    const KIND: Kind = Kind::Saved;
    const LIST: &'static str = "saved";

    fn read(document: Document) -> Result<Option<Self>, Problem> {
        Ok(read_saved(document)?)
    }

    fn searchable(&self) -> Vec<&str> {
        self.searchable()
    }
}

/// `GET /v1/people/{id}`: one person.
pub async fn person(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    one::<Known>(scope, request, "no person with this id is configured in the tenant").await
}

/// `GET /v1/applications/{id}`: one application.
pub async fn application(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    one::<Configured>(scope, request, "no application with this id is configured in the tenant")
        .await
}

/// `GET /v1/packages/{id}`: one access package with its version.
pub async fn package(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    one::<access_package::Configured>(
        scope,
        request,
        "no package with this id is configured in the tenant",
    )
    .await
}

/// `GET /v1/organisations/{id}`: one organisation.
pub async fn organisation(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    one::<organisation::Configured>(
        scope,
        request,
        "no organisation with this id is configured in the tenant",
    )
    .await
}

/// `GET /v1/saved/{id}`: one saved search.
pub async fn saved(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    one::<saved_search::Configured>(scope, request, "no saved search with this id is in the tenant")
        .await
}

async fn one<T: Answered>(
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
    missing: &str,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found(missing);
    let id = request::configured_id(request).map_err(|_| missing())?;
    let found = scope.document(T::KIND, id).await?.map(T::read).transpose()?.flatten();
    found.map(|found| request::json(200, &found)).ok_or_else(missing)
}

/// `GET /v1/people`: people in the order of their ids. Every word of `q` must occur in the name,
/// id, team, manager or groups.
pub async fn people(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    list::<Known>(scope, request, reader).await
}

/// `GET /v1/applications`: applications in the order of their ids. Every word of `q` must occur
/// in the id, name, accounts or owners.
pub async fn applications(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    list::<Configured>(scope, request, reader).await
}

/// `GET /v1/packages`: access packages in the order of their ids. Every word of `q` must occur in
/// the id, name, catalog, owners or resource roles.
pub async fn packages(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    list::<access_package::Configured>(scope, request, reader).await
}

/// `GET /v1/organisations`: organisations in the order of their ids. Every word of `q` must occur
/// in the id, name, domains or sponsors.
pub async fn organisations(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    list::<organisation::Configured>(scope, request, reader).await
}

/// `GET /v1/saved`: saved searches in the order of their ids. Every word of `q` must occur in the
/// id or name.
pub async fn all_saved(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    list::<saved_search::Configured>(scope, request, reader).await
}

async fn list<T: Answered>(
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
    reader: &Reader<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["q", "limit", "cursor"])?;
    let words = parameters.read_as("q", FreeText::read)?;
    let is_wanted =
        |found: &T| words.as_ref().is_none_or(|words| words.are_in(found.searchable().into_iter()));
    let read = async |after: Option<&str>| {
        let (documents, goes_on) = scope.documents(T::KIND, after).await?;
        let read = |document: Document| {
            let id = document.id.clone();
            Ok((id, T::read(document)?.filter(is_wanted)))
        };
        Ok::<_, Problem>((
            documents.into_iter().map(read).collect::<Result<_, Problem>>()?,
            goes_on,
        ))
    };
    pagination::list(scope, reader, &parameters, T::LIST, read).await
}
