//! The routes that change data.

use shared::{
    domain::{
        alerts::alert::AlertAnswer,
        collect::connection_answer::ConnectionAnswer,
        configuration::{
            access_package::{Package, PackageRequest},
            alert_channel::TestAlertRequest,
            application::{Application, ApplicationRequest},
            application_test::{ApplicationTest, TestApplicationRequest},
            connection::ConnectionRequest,
            document::Configured,
            organisation::{Organisation, OrganisationRequest},
            settings::{SettingsAnswer, SettingsRequest},
        },
        exports::saved_search::Saved,
        findings::finding::{DispositionRequest, Finding},
        identity::{
            caller::Caller,
            person::{Person, PersonRequest},
        },
        reviews::{
            review::{DecisionsRequest, ReviewRequest, SignOffRequest},
            review_answer::ReviewAnswer,
            review_plan::{ReviewPlan, ReviewPlanRequest},
        },
        streams::stream::{ReplayRequest, StreamAnswer, StreamRequest},
        windows::{
            window_answer::WindowAnswer,
            window_commands::{
                EndOrderAnswer, EndWindowRequest, EndWindowsRequest, ExtendWindowRequest,
            },
        },
    },
    http::{
        input::{Body, EmptyBody, Id, ListBody, OptionalBody},
        output::{Accepted, Created, Json, NoContent, Stored, Versioned},
        request::{IdempotencyKey, Request},
        route::{ADMIN, Answer, OPERATE, READ, Route},
        routes,
        saved_search_request::SavedSearchRequest,
    },
    storage::{TenantScope, documents::Precondition},
};

use crate::{
    Manage, alerts, applications, configured,
    configured_list::{self, DocumentResults, DocumentsRequest},
    connections, findings, review_plans, reviews, saved, settings, streams, windows,
};

/// A call whose caller has the permission.
pub struct Call<'c> {
    pub function: &'c Manage,
    pub scope: TenantScope<'c>,
    pub request: &'c Request,
    pub caller: &'c Caller,
    pub precondition: Precondition,
}

pub type ManageRoute = Route<for<'c> fn(&'c Call<'c>) -> Answer<'c>>;

/// The routes. Readers may also save searches; only its owner or an administrator may change it.
pub const ROUTES: &[ManageRoute] = routes! {
    /// Changes the settings that the body contains, and no others. From the first change on, all
    /// settings are the tenant's own.
    put_settings: PUT "/v1/settings" (ADMIN)
        settings::put as fn(Body<SettingsRequest>) -> Versioned<SettingsAnswer>;
    /// Creates or replaces a person. Two people cannot share an id or an address (409).
    put_person: PUT "/v1/people/{id}" (ADMIN)
        configured::put::<Person> as fn((Id, Body<PersonRequest>)) -> Stored<Configured<Person>>;
    /// Creates or replaces up to 500 people, with at most 4 MiB. Each is stored by itself, and the
    /// answer has an outcome for each. What the list does not name stays as it is. A person whom a
    /// connection collected is configured by hand from then on, and the connection changes nothing
    /// of it any more.
    put_people: PUT "/v1/people" (ADMIN)
        configured_list::put::<Person>
        as fn(ListBody<DocumentsRequest<Person>>) -> Json<DocumentResults>;
    /// Creates or replaces an application. Two applications cannot have the same name (409). Open
    /// windows keep the directory that they began with.
    put_application: PUT "/v1/applications/{id}" (ADMIN)
        applications::put as fn((Id, Body<ApplicationRequest>)) -> Stored<Configured<Application>>;
    /// Deletes an application, and orders the end of its open windows.
    delete_application: DELETE "/v1/applications/{id}" (ADMIN)
        applications::delete as fn(Id) -> NoContent;
    /// Tests an application's directory, in the background: signs in and looks an account up. It
    /// changes nothing there. `GET /v1/applications/{id}/test` has the result. A newer test replaces
    /// an older one. 409 if the directory is `external`.
    test_application: POST "/v1/applications/{id}/test" (ADMIN)
        applications::test
        as fn((Id, OptionalBody<TestApplicationRequest>)) -> Accepted<ApplicationTest>;
    /// Creates or replaces an access package. Each change is a new version. Two packages cannot
    /// have the same name (409).
    put_package: PUT "/v1/packages/{id}" (ADMIN)
        configured::put::<Package> as fn((Id, Body<PackageRequest>)) -> Stored<Configured<Package>>;
    /// Creates or replaces up to 500 access packages, with at most 4 MiB. Each is stored by itself, and the answer has an outcome
    /// for each. What the list does not name stays as it is.
    put_packages: PUT "/v1/packages" (ADMIN)
        configured_list::put::<Package>
        as fn(ListBody<DocumentsRequest<Package>>) -> Json<DocumentResults>;
    /// Deletes an access package.
    delete_package: DELETE "/v1/packages/{id}" (ADMIN)
        configured::delete::<Package> as fn(Id) -> NoContent;
    /// Creates or replaces a connected organisation. Each change is a new version.
    put_organisation: PUT "/v1/organisations/{id}" (ADMIN)
        configured::put::<Organisation>
        as fn((Id, Body<OrganisationRequest>)) -> Stored<Configured<Organisation>>;
    /// Creates or replaces up to 500 connected organisations, with at most 4 MiB. Each is stored by itself, and the answer has an outcome
    /// for each. What the list does not name stays as it is.
    put_organisations: PUT "/v1/organisations" (ADMIN)
        configured_list::put::<Organisation>
        as fn(ListBody<DocumentsRequest<Organisation>>) -> Json<DocumentResults>;
    /// Deletes a connected organisation.
    delete_organisation: DELETE "/v1/organisations/{id}" (ADMIN)
        configured::delete::<Organisation> as fn(Id) -> NoContent;
    /// Creates or replaces a connection to Microsoft Entra, from which the service then collects. Two
    /// connections cannot have the same name, and a tenant has at most 10 (409).
    put_connection: PUT "/v1/connections/{id}" (ADMIN)
        connections::put as fn((Id, Body<ConnectionRequest>)) -> Stored<ConnectionAnswer>;
    /// Deletes a connection. What was collected stays.
    delete_connection: DELETE "/v1/connections/{id}" (ADMIN)
        connections::delete as fn(Id) -> NoContent;
    /// Tests a connection: signs in and reads a page of each source. `GET /v1/connections/{id}` shows
    /// for each source whether it works, which permission is missing, or what Microsoft Graph said.
    test_connection: POST "/v1/connections/{id}/test" (ADMIN)
        connections::test as fn((Id, EmptyBody)) -> Accepted<ConnectionAnswer>;
    /// Creates or replaces a stream. An existing stream keeps its position. A tenant has at most 25
    /// streams, one caller 5 (409).
    put_stream: PUT "/v1/streams/{id}" (ADMIN)
        streams::put as fn((Id, Body<StreamRequest>)) -> Stored<StreamAnswer>;
    /// Deletes a stream and its position.
    delete_stream: DELETE "/v1/streams/{id}" (ADMIN) streams::delete as fn(Id) -> NoContent;
    /// Sends the events recorded since a time again, and continues from there. The time may also be
    /// `oldest` or `now`.
    replay_stream: POST "/v1/streams/{id}/replay" (ADMIN)
        streams::replay as fn((Id, Body<ReplayRequest>)) -> Json<StreamAnswer>;
    /// Sends a test message to the stream's target. `GET /v1/streams/{id}` shows its result.
    test_stream: POST "/v1/streams/{id}/test" (ADMIN)
        streams::test as fn((Id, EmptyBody)) -> Accepted<StreamAnswer>;
    /// Creates or replaces a saved search. The caller who creates it owns it. Only its owner or an
    /// administrator may change it (403). A tenant has at most 200 saved searches, one caller 40
    /// (409).
    put_saved: PUT "/v1/saved/{id}" (READ)
        saved::put as fn((Id, Body<SavedSearchRequest>)) -> Stored<Configured<Saved>>;
    /// Deletes a saved search. Only its owner or an administrator may delete it (403). The files of
    /// its runs are kept until they expire.
    delete_saved: DELETE "/v1/saved/{id}" (READ) saved::delete as fn(Id) -> NoContent;
    /// Sends a test message to a channel for alerts. It takes the same path as an alert; `GET
    /// /v1/alerts/{id}` shows its result.
    test_alert: POST "/v1/alerts/test" (ADMIN)
        alerts::test as fn(Body<TestAlertRequest>) -> Accepted<AlertAnswer>;
    /// Computes access records, findings and statistics again, from the first event, in the
    /// background. Nothing is recorded twice.
    rebuild_projections: POST "/v1/projections/rebuild" (ADMIN)
        findings::rebuild as fn(EmptyBody) -> Accepted<findings::RebuildAnswer>;

    /// Extends a window. A duration counts from the window's start, so the same extension twice is
    /// one. 409 if the window has ended, 422 if the application does not allow the new end. If the
    /// window was merged into an older one, its requests are extended there.
    extend_window: POST "/v1/windows/{id}/extend" (OPERATE)
        windows::extend as fn((Id, Body<ExtendWindowRequest>)) -> Json<WindowAnswer>;
    /// Ends a window now. The account is disabled within seconds. If the window was merged into an
    /// older one, its requests end there.
    end_window: POST "/v1/windows/{id}/end" (OPERATE)
        windows::end as fn((Id, Body<EndWindowRequest>)) -> Json<WindowAnswer>;
    /// Disables the account of a window that is due, without waiting for the next attempt. 409 if
    /// the window is closed or not due, if its portal disables the account, or if another request
    /// keeps the account enabled.
    retry_window: POST "/v1/windows/{id}/retry" (OPERATE)
        windows::retry as fn((Id, Body<EndWindowRequest>)) -> Json<WindowAnswer>;
    /// States that the account was disabled by hand. The window is closed without verification,
    /// which is a finding.
    close_window: POST "/v1/windows/{id}/close" (OPERATE)
        windows::close as fn((Id, Body<EndWindowRequest>)) -> Json<WindowAnswer>;
    /// Ends all open windows whose requests match a filter, in the background. The answer is an
    /// order, with the number of windows that match, or null if they could not be counted in eight
    /// seconds. Windows that open while it runs end too. If another request covers the same
    /// account, the account stays enabled.
    end_windows: POST "/v1/windows/end" (OPERATE)
        windows::end_by_filter
        as fn((Option<IdempotencyKey>, Body<EndWindowsRequest>)) -> Accepted<EndOrderAnswer>;
    /// Compares every directory with the open windows, in the background. Each difference is a
    /// finding. The service does it every day by itself.
    reconcile_windows: POST "/v1/windows/reconcile" (OPERATE)
        windows::reconcile as fn(EmptyBody) -> Accepted<windows::Begun>;
    /// Resolves or assigns a finding. 409 if it was withdrawn, if it was updated since the caller
    /// read it, or if it is about the caller. 403 if the service cannot distinguish the caller from
    /// the people that it is about.
    resolve_finding: POST "/v1/findings/{id}/disposition" (OPERATE)
        findings::disposition as fn((Id, Body<DispositionRequest>)) -> Json<Finding>;
    /// Opens a review. Its items are fixed then. A repeated request with the same id, or the same
    /// `Idempotency-Key`, returns the same review (200); with other content it is refused (409).
    open_review: POST "/v1/reviews" (OPERATE)
        reviews::open as fn((Option<IdempotencyKey>, Body<ReviewRequest>)) -> Created<ReviewAnswer>;
    /// Stores the caller's decisions about items of a review. The body is one decision, or up to
    /// 200, each of which gets a status. 403 if the review names reviewers and the caller is not
    /// one of them. 409 if the review is still gathering its items or is signed off. A caller with
    /// a part in the access cannot decide about it (409, or `refused` among several).
    decide_review: POST "/v1/reviews/{id}/decisions" (OPERATE)
        reviews::decide as fn((Id, Body<DecisionsRequest>)) -> Json<reviews::DecisionsAnswer>;
    /// Signs off a review in which every item has a decision. 409 while items are undecided, or if
    /// a person who decided had a part in the access. 403 if the review names reviewers and the
    /// caller is not one of them. After it, nothing in the review changes.
    sign_off_review: POST "/v1/reviews/{id}/sign-off" (OPERATE)
        reviews::sign_off as fn((Id, OptionalBody<SignOffRequest>)) -> Json<ReviewAnswer>;
    /// Creates or replaces a plan of reviews. After each week, month, quarter or year, the service
    /// opens a review of it. A missed opening is made up later. A changed plan continues with the
    /// first period that has no review. A tenant has at most 100 plans (409).
    put_review_plan: PUT "/v1/review-plans/{id}" (OPERATE)
        review_plans::put
        as fn((review_plans::PlanId, Body<ReviewPlanRequest>)) -> Stored<Configured<ReviewPlan>>;
    /// Deletes a plan of reviews: no further reviews are opened. Those that are open stay.
    delete_review_plan: DELETE "/v1/review-plans/{id}" (OPERATE)
        review_plans::delete as fn(Id) -> NoContent;
};
