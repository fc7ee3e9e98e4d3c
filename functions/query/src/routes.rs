//! The tables of routes of this function, and the context that a handler receives.
//!
//! Every handler answers 400 for a wrong or unknown parameter, 404 for an id that the tenant does
//! not have, and 503 when the storage does not answer.

use shared::{
    domain::{
        alerts::alert::AlertAnswer,
        collect::connection_answer::ConnectionAnswer,
        configuration::{
            access_package::Package, application::Application, application_test::ApplicationTest,
            document::Configured, organisation::Organisation, settings::SettingsAnswer,
        },
        exports::saved_search::{RunAnswer, Saved},
        findings::finding::Finding,
        identity::{caller::Caller, person::Person},
        reports::report_answer::{ReportAnswer, ReportsAnswer},
        reviews::{
            review_answer::{ReviewAnswer, ReviewItemAnswer},
            review_plan::ReviewPlan,
        },
        streams::stream::StreamAnswer,
        trail::event::Recorded,
        windows::window_answer::WindowAnswer,
    },
    http::{
        input::{Body, Id, Query},
        output::{Json, JsonText, List, Page, Versioned},
        parameters::PageQuery,
        reader::Reader,
        request::Request,
        route::{Answer, READ, Route},
        routes,
        search_parameters::{EventCountRequest, EventSearchRequest},
    },
    storage::TenantScope,
};

use crate::{
    about, alerts, applications, calendar, configured, connections, counts, events, feed, findings,
    reports, reviews, runs, sessions, streams, windows,
};

/// A request about the service itself, whichever tenant the caller names.
pub struct Call<'c> {
    pub function: &'c crate::Query,
    pub caller: &'c Caller,
    pub request: &'c Request,
}

/// A request for one tenant, whose caller may read.
pub struct TenantCall<'c> {
    pub scope: TenantScope<'c>,
    pub request: &'c Request,
    /// The caller, and the key that signs cursors.
    pub reader: Reader<'c>,
}

pub type ServiceRoute = Route<for<'c> fn(&'c Call<'c>) -> Answer<'c>>;
pub type TenantRoute = Route<for<'c> fn(&'c TenantCall<'c>) -> Answer<'c>>;

pub const SERVICE_ROUTES: &[ServiceRoute] = routes! {
    /// The catalogue of actions. Each action has its label, its message templates (that of a failed
    /// attempt too), the fields that it needs, and who may write it; `by_devices` says whether a
    /// token with `audit:self` may.
    list_actions: GET "/v1/actions" (READ) about::actions as fn(()) -> Json<about::Actions>;
    /// Lists the reports, with their parameters and columns. That is all that a program needs to
    /// ask for a report and to draw its answer.
    list_reports: GET "/v1/reports" (READ) reports::list as fn(()) -> Json<ReportsAnswer>;
    /// The caller: tenants, permissions, the tenant's time zone and the service's clock. It also
    /// says when the service last looked for windows that are due. A caller with several tenants
    /// need not name one.
    get_me: GET "/v1/me" (READ) about::me as fn(()) -> Json<about::Me>;
};

pub const TENANT_ROUTES: &[TenantRoute] = routes! {
    /// Lists events in a time range that match a filter. Reading is recorded as `audit.searched`,
    /// once an hour for each caller and query.
    list_events: GET "/v1/events" (READ)
        events::list as fn(Query<events::EventsQuery>) -> JsonText<events::EventList>;
    /// Lists events like `GET /v1/events`, for filters that are too long for a URL. Reading is
    /// recorded as `audit.searched`, once an hour for each caller and query.
    search_events: POST "/v1/events/search" (READ)
        events::search as fn(Body<EventSearchRequest>) -> JsonText<events::EventList>;
    /// Counts the events of a search per minute, hour or day. It returns after some seconds, newest
    /// first, even if there is more to read. Continue with the cursor, and add the counts of all
    /// answers. Reading is recorded as `audit.searched`, once an hour for each caller and query.
    count_events: POST "/v1/events/counts" (READ)
        counts::counts as fn(Body<EventCountRequest>) -> Json<counts::CountsAnswer>;
    /// One event.
    get_event: GET "/v1/events/{id}" (READ) events::one as fn(Id) -> Json<Recorded>;
    /// Events in the order in which they were recorded, for log collectors. Pass `next` of an
    /// answer as `after` of the next call: there always is one. Reading is recorded as
    /// `audit.followed`, once an hour for each caller and query.
    follow_feed: GET "/v1/feed" (READ)
        feed::feed as fn(Query<feed::FeedQuery>) -> JsonText<feed::FeedList>;
    /// Lists sessions, the most recently requested first. A session is computed from its events:
    /// state, roles with each decision, justification, username and timeline. A page has at most
    /// 100. If the request names a state, a page ends after reading about 500 sessions, with few
    /// rows or none, and `next` continues. Reading is recorded as `audit.searched`, once an hour
    /// for each caller and query.
    list_sessions: GET "/v1/sessions" (READ)
        sessions::list as fn(Query<sessions::SessionsQuery>) -> List<sessions::Session>;
    /// One session with its roles, decisions, timeline and window. Unlike in the list, the timeline
    /// has also the uses that name only the request or the account.
    get_session: GET "/v1/sessions/{id}" (READ) sessions::one as fn(Id) -> Json<sessions::Session>;

    /// One page of a report.
    run_report: GET "/v1/reports/{report}" (READ)
        reports::one as fn((reports::Name, reports::ReportQuery)) -> Page<ReportAnswer>;
    /// All that is known about one request for an access package.
    get_request: GET "/v1/reports/requests/{id}" (READ)
        reports::request as fn((Id, Query<reports::PagedQuery>)) -> Page<ReportAnswer>;
    /// The checkpoints: the rules that raise findings. Each has its severity and the tenant's
    /// thresholds.
    list_checkpoints: GET "/v1/checkpoints" (READ)
        findings::rules as fn(()) -> Json<findings::CheckpointsAnswer>;
    /// Lists findings, the most recently raised first. Reading is recorded as `audit.searched`,
    /// once an hour for each caller and query.
    list_findings: GET "/v1/findings" (READ)
        findings::list as fn(Query<findings::FindingsQuery>) -> List<Finding>;
    /// One finding.
    get_finding: GET "/v1/findings/{id}" (READ) findings::one as fn(Id) -> Json<Finding>;
    /// Lists reviews, newest first. Each has its state and progress, and its sign-off once there is
    /// one.
    list_reviews: GET "/v1/reviews" (READ)
        reviews::list as fn(Query<reviews::ReviewsQuery>) -> List<ReviewAnswer>;
    /// One review with its progress.
    get_review: GET "/v1/reviews/{id}" (READ) reviews::one as fn(Id) -> Json<ReviewAnswer>;
    /// Lists the items of a review. Each has its current content, its decision, whether it has
    /// changed since the review was opened, and what was recorded about it after the sign-off.
    list_review_items: GET "/v1/reviews/{id}/items" (READ)
        reviews::items as fn((Id, Query<reviews::ItemsQuery>)) -> List<ReviewItemAnswer>;
    /// Lists plans of reviews. Each has the time of its next opening.
    list_review_plans: GET "/v1/review-plans" (READ)
        configured::list::<ReviewPlan> as fn(Query<configured::DocumentsQuery>) -> List<Configured<ReviewPlan>>;
    /// One plan of reviews.
    get_review_plan: GET "/v1/review-plans/{id}" (READ)
        configured::one::<ReviewPlan> as fn(Id) -> Versioned<Configured<ReviewPlan>>;
    /// The reviews that are due, the reviews that plans will open and the runs that schedules will
    /// start, in order of time. By default it covers 31 days from now; a range has at most 366 days
    /// (400).
    get_calendar: GET "/v1/calendar" (READ)
        calendar::calendar as fn(Query<calendar::CalendarQuery>) -> Json<calendar::Calendar>;
    /// Lists windows, newest first. Each has its directory, account, state, start, end, how the end
    /// went, and the requests. If the request names states without `closed`, only windows that are
    /// not closed are read. Otherwise a page ends after reading about 2,000 windows, with few rows
    /// or none, and `next` continues. Reading is recorded as `audit.searched`, once an hour for
    /// each caller and query.
    list_windows: GET "/v1/windows" (READ)
        windows::list as fn(Query<windows::WindowsQuery>) -> List<WindowAnswer>;
    /// One window.
    get_window: GET "/v1/windows/{id}" (READ) windows::one as fn(Id) -> Json<WindowAnswer>;
    /// The progress of an order to end several windows, and the windows that it ended. Reading is
    /// recorded as `audit.searched`, once an hour for each caller and query.
    get_order: GET "/v1/windows/orders/{id}" (READ)
        windows::order as fn((Id, Query<PageQuery>)) -> Page<windows::OrderPage>;
    /// Lists the alerts of the last 30 days, newest first.
    list_alerts: GET "/v1/alerts" (READ)
        alerts::list as fn(Query<alerts::AlertsQuery>) -> List<AlertAnswer>;
    /// One alert, with its attempts and its last error.
    get_alert: GET "/v1/alerts/{id}" (READ) alerts::one as fn(Id) -> Json<AlertAnswer>;

    /// The tenant's settings, and how complete its legal hold is.
    get_settings: GET "/v1/settings" (READ) configured::settings as fn(()) -> Versioned<SettingsAnswer>;
    /// Lists people.
    list_people: GET "/v1/people" (READ)
        configured::list::<Person> as fn(Query<configured::DocumentsQuery>) -> List<Configured<Person>>;
    /// One person.
    get_person: GET "/v1/people/{id}" (READ)
        configured::one::<Person> as fn(Id) -> Versioned<Configured<Person>>;
    /// Lists applications.
    list_applications: GET "/v1/applications" (READ)
        configured::list::<Application> as fn(Query<configured::DocumentsQuery>) -> List<Configured<Application>>;
    /// One application.
    get_application: GET "/v1/applications/{id}" (READ)
        configured::one::<Application> as fn(Id) -> Versioned<Configured<Application>>;
    /// The latest test of an application. 404 if there was none.
    get_application_test: GET "/v1/applications/{id}/test" (READ)
        applications::test as fn(Id) -> Json<ApplicationTest>;
    /// Lists access packages.
    list_packages: GET "/v1/packages" (READ)
        configured::list::<Package> as fn(Query<configured::DocumentsQuery>) -> List<Configured<Package>>;
    /// One access package.
    get_package: GET "/v1/packages/{id}" (READ)
        configured::one::<Package> as fn(Id) -> Versioned<Configured<Package>>;
    /// Lists connected organisations.
    list_organisations: GET "/v1/organisations" (READ)
        configured::list::<Organisation> as fn(Query<configured::DocumentsQuery>) -> List<Configured<Organisation>>;
    /// One connected organisation.
    get_organisation: GET "/v1/organisations/{id}" (READ)
        configured::one::<Organisation> as fn(Id) -> Versioned<Configured<Organisation>>;
    /// Lists connections, with the progress of each source.
    list_connections: GET "/v1/connections" (READ)
        connections::list as fn(Query<PageQuery>) -> List<ConnectionAnswer>;
    /// One connection, with the progress of each source.
    get_connection: GET "/v1/connections/{id}" (READ)
        connections::one as fn(Id) -> Versioned<ConnectionAnswer>;
    /// Lists streams, with their progress. A target's path can contain a token, so only
    /// administrators see it.
    list_streams: GET "/v1/streams" (READ)
        streams::list as fn(Query<PageQuery>) -> List<StreamAnswer>;
    /// One stream, with its progress. A target's path can contain a token, so only administrators
    /// see it.
    get_stream: GET "/v1/streams/{id}" (READ) streams::one as fn(Id) -> Versioned<StreamAnswer>;
    /// Lists saved searches.
    list_saved: GET "/v1/saved" (READ)
        configured::list::<Saved> as fn(Query<configured::DocumentsQuery>) -> List<Configured<Saved>>;
    /// One saved search.
    get_saved: GET "/v1/saved/{id}" (READ)
        configured::one::<Saved> as fn(Id) -> Versioned<Configured<Saved>>;
    /// Lists the runs of a saved search, newest first. A run was started by the schedule
    /// or by a caller. It has an error if no export could be requested.
    list_saved_runs: GET "/v1/saved/{id}/runs" (READ)
        runs::list as fn((Id, Query<PageQuery>)) -> List<RunAnswer>;
};
