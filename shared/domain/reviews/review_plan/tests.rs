use super::*;
use crate::reviews::review::ReviewState;

fn instant(text: &str) -> Instant {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-22T12:00:00Z";

fn owner() -> Actor {
    Actor { email: Some("it@acme.example".to_owned()), ..Actor::system() }
}

fn plan(more: &str) -> Result<ReviewPlan, Vec<FieldError>> {
    let json = format!(r#"{{"name": "CRM", "of": "sessions"{more}}}"#);
    ReviewPlan::read(&json, "Europe/Paris", owner(), instant(NOW), None)
}

fn opened(plan: &ReviewPlan, opening: Instant, now: &str) -> Review {
    let by = RecordedBy { sub: "jit-audit/watch".to_owned(), client_id: None, history: false };
    plan.review("crm", opening, by, instant(now))
}

#[test]
fn each_period_has_a_review_after_it() {
    // Openings in Paris, at six in the morning of the first day after the period.
    for (every, openings, periods) in [
        (
            "quarter",
            ["2027-01-01T05:00:00.000Z", "2027-04-01T04:00:00.000Z"],
            [
                ("2026-q4", "2026-09-30T22:00:00.000Z", "2026-12-31T23:00:00.000Z"),
                ("2027-q1", "2026-12-31T23:00:00.000Z", "2027-03-31T22:00:00.000Z"),
            ],
        ),
        (
            "month",
            ["2026-12-01T05:00:00.000Z", "2027-01-01T05:00:00.000Z"],
            [
                ("2026-11", "2026-10-31T23:00:00.000Z", "2026-11-30T23:00:00.000Z"),
                ("2026-12", "2026-11-30T23:00:00.000Z", "2026-12-31T23:00:00.000Z"),
            ],
        ),
        (
            "week",
            ["2026-11-23T05:00:00.000Z", "2026-11-30T05:00:00.000Z"],
            [
                ("2026-w47", "2026-11-15T23:00:00.000Z", "2026-11-22T23:00:00.000Z"),
                ("2026-w48", "2026-11-22T23:00:00.000Z", "2026-11-29T23:00:00.000Z"),
            ],
        ),
        (
            "year",
            ["2027-01-01T05:00:00.000Z", "2028-01-01T05:00:00.000Z"],
            [
                ("2026", "2025-12-31T23:00:00.000Z", "2026-12-31T23:00:00.000Z"),
                ("2027", "2026-12-31T23:00:00.000Z", "2027-12-31T23:00:00.000Z"),
            ],
        ),
    ] {
        let plan = plan(&format!(r#", "every": "{every}""#)).unwrap();
        let first = plan.next_opening(None, instant(NOW));
        let second = plan.opening_after(first);
        assert_eq!([first, second].map(|it| it.to_string()), openings, "{every}");
        for (opening, (word, since, until)) in [first, second].into_iter().zip(periods) {
            let review = opened(&plan, opening, &opening.to_string());
            assert_eq!(review.id, format!("plan_crm_{word}"));
            assert!(review::is_id(&review.id));
            let range = (review.asked.since.to_string(), review.asked.until.to_string());
            assert_eq!(range, (since.to_owned(), until.to_owned()), "{word}");
        }
    }
}

#[test]
fn a_review_of_a_plan_depends_on_plan_and_period_alone() {
    let plan = plan(
        r#", "every": "quarter", "target": "CRM", "sample": {"size": 25}, "due_days": 14, "reviewers": ["ann@acme.example"]"#,
    )
    .unwrap();
    let opening = plan.next_opening(None, instant(NOW));
    let on_time = opened(&plan, opening, "2027-01-01T05:00:30Z");
    assert_eq!(on_time.asked.name, "CRM, 2026 Q4");
    assert_eq!(on_time.asked.sample, Some(Sample { size: 25, seed: "crm 2026-q4".to_owned() }));
    assert_eq!(on_time.asked.reviewers, ["ann@acme.example"]);
    // The end of the fourteenth day in Paris.
    assert_eq!(on_time.asked.due_at.unwrap().to_string(), "2027-01-15T23:00:00.000Z");
    assert_eq!(on_time.state(instant(NOW)), ReviewState::Opening);
    // A late opening reviews the same; the reviewers have as many days.
    let late = opened(&plan, opening, "2027-02-10T10:00:00Z");
    assert_eq!((&late.id, late.asked.since), (&on_time.id, on_time.asked.since));
    assert_eq!(late.asked.sample, on_time.asked.sample);
    assert_eq!(late.asked.due_at.unwrap().to_string(), "2027-02-24T23:00:00.000Z");
    // Without reviewers, the person who created the plan is told that it is overdue.
    let without = ReviewPlan { reviewers: Vec::new(), ..plan };
    assert_eq!(opened(&without, opening, NOW).owners(), ["it@acme.example"]);
}

#[test]
fn a_plan_begins_where_it_says_and_a_change_leaves_nothing_out() {
    let now = instant(NOW);
    let with = |more: &str| plan(&format!(r#", "every": "quarter"{more}"#)).unwrap();
    let past = with(r#", "since": "2026-07-01""#);
    assert_eq!(past.next_opening(None, now).to_string(), "2026-10-01T04:00:00.000Z");
    let ahead = with(r#", "since": "2027-02-01", "tz": "UTC", "at": "00:00""#);
    assert_eq!(ahead.next_opening(None, now).to_string(), "2027-04-01T00:00:00.000Z");

    // The same times: what is due stays due.
    let due = instant("2026-10-01T04:00:00Z");
    let renamed = ReviewPlan { name: "Other".to_owned(), ..past.clone() };
    assert_eq!(renamed.next_opening(Some((&past, due)), now), due);
    // Months from the quarter on that is not reviewed yet.
    let monthly = ReviewPlan { every: Period::Month, ..past.clone() };
    let next = monthly.next_opening(Some((&past, due)), now);
    assert_eq!(next.to_string(), "2026-08-01T04:00:00.000Z");
    // What is reviewed is not reviewed again.
    let due = instant("2027-01-01T05:00:00Z");
    let next = monthly.next_opening(Some((&past, due)), now);
    assert_eq!(next.to_string(), "2026-11-01T05:00:00.000Z");
    let again = ReviewPlan { since: Some(instant("2026-01-01T00:00:00Z")), ..past.clone() };
    assert_eq!(again.next_opening(Some((&past, due)), now), due);
    let later = ReviewPlan { since: Some(instant("2027-05-01T00:00:00Z")), ..past.clone() };
    let next = later.next_opening(Some((&past, due)), now);
    assert_eq!(next.to_string(), "2027-07-01T04:00:00.000Z");
}

#[test]
fn a_plan_is_read() {
    let read = plan(r#", "every": "quarter""#).unwrap();
    assert_eq!((read.tz.as_str(), read.at.to_string().as_str()), ("Europe/Paris", "06:00"));
    for (more, pointer, part) in [
        (r#""#, "/every", "required"),
        (r#", "every": "day""#, "/every", "quarter"),
        (r#", "every": "month", "at": "25:00""#, "/at", "00:00"),
        (r#", "every": "month", "tz": "Mars""#, "/tz", "IANA"),
        (r#", "every": "month", "sample": {"size": 5, "seed": "x"}"#, "/sample/seed", "leave it"),
        (r#", "every": "month", "due_days": 0"#, "/due_days", "1"),
        (r#", "every": "month", "until": "2027-01-01""#, "/until", "no known field"),
        (r#", "every": "month", "since": "2025-10-31""#, "/since", "more than 12 periods"),
        (r#", "every": "week", "since": "2026-08-01""#, "/since", "more than 12 periods"),
    ] {
        let errors = plan(more).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
            "{more}: {errors:?}"
        );
    }
    assert!(plan(r#", "every": "month", "since": "2025-11-30""#).is_ok());
    assert!(is_id(&"x".repeat(48)) && !is_id(&"x".repeat(49)) && !is_id("a b"));
    let longest = format!("{PLANNED}{}_2026-w53", "x".repeat(MOST_ID));
    assert!(review::is_id(&longest), "{}", longest.len());
}

#[test]
fn callers_cannot_take_the_id_of_a_planned_review() {
    let json = r#"{"id": "plan_crm_2026-q4", "name": "x", "of": "sessions", "since": "2026-10-01", "until": "2026-11-01"}"#;
    let errors = RequestedReview::read(json, "UTC").unwrap_err();
    assert!(errors[0].pointer == "/id" && errors[0].detail.contains("plan_"), "{errors:?}");
}
