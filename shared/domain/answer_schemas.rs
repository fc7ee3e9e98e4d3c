//! The schemas of all answers, compared with what is answered.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    access::{access_answer::AccessAnswer, access_record::Access, session::Story},
    alerts::alert::AlertAnswer,
    collect::connection_answer::ConnectionAnswer,
    configuration::{
        application_test::ApplicationTest, directory::Directory, document::Configured,
    },
    exports::{
        export_answer::{ExportAnswer, ExportLinksAnswer},
        export_job::{Job, Progress},
        saved_search::{RunAnswer, Saved},
    },
    findings::{finding::Finding, rules::Rule},
    reports::{
        report::reports,
        report_answer::{ReportAnswer, ReportsAnswer},
    },
    reviews::{
        review::Review,
        review_answer::{ReviewAnswer, ReviewItemAnswer},
        review_plan::ReviewPlan,
    },
    streams::stream::{Stream, StreamAnswer},
    time::timestamp::Instant,
    trail::event::Party,
    windows::{
        window::Window,
        window_answer::WindowAnswer,
        window_commands::{EndOrder, EndOrderAnswer, OrderProgress},
    },
};

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn at() -> Instant {
    "2026-11-22T00:26:07.000Z".parse().unwrap()
}

fn stored<T: DeserializeOwned>(content: Value) -> T {
    serde_json::from_value(content).unwrap()
}

#[test]
fn each_answer_has_a_schema_and_no_two_share_a_name() {
    let mut all = generator();
    macro_rules! describe {
        ($($answer:ty),+ $(,)?) => {
            $(all.subschema_for::<$answer>();)+
        };
    }
    describe!(
        AccessAnswer,
        AlertAnswer,
        ApplicationTest,
        Configured<ReviewPlan>,
        ConnectionAnswer,
        Configured<Saved>,
        EndOrderAnswer,
        ExportAnswer,
        ExportLinksAnswer,
        Finding,
        ReportsAnswer,
        ReviewAnswer,
        ReviewItemAnswer,
        Rule,
        RunAnswer,
        Story,
        StreamAnswer,
        WindowAnswer,
    );
    for described in reports() {
        ReportAnswer::schema_of(described.report, &mut all);
    }
    // A number after a name tells types of the same name apart.
    let numbered: Vec<_> = all
        .definitions()
        .keys()
        .filter(|name| name.ends_with(|last: char| last.is_ascii_digit()))
        .collect();
    assert!(numbered.is_empty(), "{numbered:?}");
    // A link in a comment means nothing to a reader of the API.
    let text = json!(all.definitions()).to_string();
    assert!(!text.contains("[`"), "{text}");
}

/// A sample with nothing that may be absent has exactly the required members.
fn check<T: JsonSchema + Serialize>(answer: &T) {
    let schema = generator().into_root_schema_for::<T>();
    let required: BTreeSet<String> = stored(schema.get("required").cloned().unwrap_or_default());
    let sample = serde_json::to_value(answer).unwrap();
    let members: BTreeSet<String> = sample.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, required, "{}", T::schema_name());
}

#[test]
fn answers_have_the_members_that_their_schemas_require() {
    let account = Party { name: Some("msptech6913".to_owned()), ..Party::default() };
    let directory = Directory::External;
    check(&Window::new("w-1".to_owned(), String::new(), directory, None, account).answered(at()));

    check(&ApplicationTest::new(None, "it@acme.example".to_owned(), at()));

    let (actor, by) = (json!({"type": "user", "email": "ann@acme.example"}), json!({"sub": "s-1"}));
    let order: EndOrder = stored(json!({
        "id": "o-1", "scope": {"application": "idp"}, "reason": "left", "actor": actor,
        "recorded_by": by, "created_at": at(),
    }));
    check(&order.answered(&OrderProgress::default()));

    let job: Job = stored(json!({
        "id": "x-1", "snapshot": at(), "retention_days": 400, "created_by": actor,
        "recorded_by": by,
        "asked": {
            "since": null, "until": null, "filter": null, "q": null, "include_service": false,
            "include_filters": true, "tz": "UTC", "profile": "plain", "columns": [],
            "gzip": false, "jsonl": false, "file_name": "audit-trail",
        },
    }));
    check(&ExportAnswer::new(&job, &Progress::none(), at()));

    let review: Review = stored(json!({
        "id": "v-1", "sent": "00", "stage": "opening", "opened_by": actor, "opened_at": at(),
        "recorded_by": by, "fixed": null, "decided": {}, "overdue_at": null, "signed_off": null,
        "asked": {"name": "Q4", "of": "sessions", "since": at(), "until": at()},
    }));
    check(&review.answered(at()));

    let stream: Stream = stored(json!({
        "target": {"kind": "s3"}, "shape": "native", "include_service": false, "from": at(),
        "begun_at": at(), "replays": 0,
    }));
    check(&StreamAnswer::new("lake", &stream, Default::default(), None, None, at()));

    let access: Access = stored(json!({
        "id": "r:1", "kind": "package", "standing": "requested", "approvals_needed": 1,
        "events": [], "recorded_until": at(),
    }));
    check(&AccessAnswer::of(&access, at()));
}
