//! Reports: questions that auditors ask again and again, each with its parameters and columns. What answers them stands in the store.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    tables::{csv_writer::Row, event_columns::Zoned},
    time::timestamp::Instant,
};

/// A report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// Every access: who asked, who decided, when it began, was used and ended, and why.
    Access,
    /// Who held an account at a moment.
    AccountHolder,
    /// Who is assigned to an access package.
    PackageUsers,
    /// Which packages somebody can request, and has.
    UserPackages,
    /// Which resources somebody has by packages.
    UserResources,
    /// The steps of one request.
    Requests,
    /// Connected organisations.
    Organisations,
    /// What happened to an access package, or which packages something happened to.
    PackageActivity,
    /// Changes of role assignments that no package made.
    RoleChanges,
    /// What is asked for most, and by whom again and again.
    Demand,
    /// How long approvals take.
    ApprovalTimes,
    /// How late access is taken away.
    Revocation,
    /// Access that was granted and never used.
    Unused,
    /// Access that nobody reviewed.
    Unreviewed,
}

/// What a report takes and says.
#[derive(Debug)]
pub struct Described {
    /// The report.
    pub report: Report,
    /// Its name in addresses.
    pub name: &'static str,
    /// What it answers.
    pub answers: &'static str,
    /// Parameters that it takes.
    pub takes: &'static [&'static str],
    /// Those of them that it needs.
    pub needs: &'static [&'static str],
    /// What whoever reads it has to know.
    pub note: Option<&'static str>,
    /// Its columns as a table.
    pub columns: &'static [Column],
}

/// One column of a report.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Column {
    /// Its name. A column of times is followed by the zone they are in.
    pub name: &'static str,
    /// Where in a row its value stands, as a JSON pointer.
    pub pointer: &'static str,
    /// How it is written.
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Text,
    Time,
    /// Milliseconds, written as seconds.
    Seconds,
    /// A party or actor, as sentences show it.
    Shown,
    /// Decisions, one after the other.
    Decisions,
    /// A list of texts.
    List,
    /// One line of JSON.
    Json,
}

const fn text(name: &'static str, pointer: &'static str) -> Column {
    Column { name, pointer, form: Form::Text }
}

const fn time(name: &'static str, pointer: &'static str) -> Column {
    Column { name, pointer, form: Form::Time }
}

const fn seconds(name: &'static str, pointer: &'static str) -> Column {
    Column { name, pointer, form: Form::Seconds }
}

const fn shown(name: &'static str, pointer: &'static str) -> Column {
    Column { name, pointer, form: Form::Shown }
}

const fn list(name: &'static str, pointer: &'static str) -> Column {
    Column { name, pointer, form: Form::List }
}

const fn json(name: &'static str, pointer: &'static str) -> Column {
    Column { name, pointer, form: Form::Json }
}

const ACCESS: &[Column] = &[
    text("Access ID", "/id"),
    text("Kind", "/kind"),
    text("State", "/state"),
    text("Session ID", "/session"),
    text("Request ID", "/request_id"),
    text("Request", "/request"),
    shown("Requester", "/requester"),
    text("Requester Email", "/requester/email"),
    shown("Subject", "/subject"),
    text("Subject Email", "/subject/email"),
    shown("Account", "/account"),
    text("Target Type", "/target/type"),
    text("Target ID", "/target/id"),
    shown("Target", "/target"),
    list("Roles", "/roles"),
    text("Justification", "/justification"),
    text("Ticket", "/ticket/id"),
    text("Ticket URL", "/ticket/url"),
    text("Policy", "/policy/id"),
    text("Approvals Needed", "/approvals_needed"),
    Column { name: "Decisions", pointer: "/decisions", form: Form::Decisions },
    time("Asked", "/asked_at"),
    time("Approved", "/approved_at"),
    time("Granted", "/granted_at"),
    time("First Use", "/first_used_at"),
    time("Last Use", "/last_used_at"),
    text("Uses", "/uses"),
    time("Planned Start", "/starts_at"),
    time("Planned End", "/ends_at"),
    time("Actual End", "/ended_at"),
    seconds("Duration (s)", "/duration_ms"),
    text("End Cause", "/end_cause"),
    time("Verified", "/verified/at"),
    text("Verified By", "/verified/by"),
    seconds("Lateness (s)", "/lateness_ms"),
    list("Findings", "/findings"),
    json("Reviews", "/reviews"),
    list("Event IDs", "/events"),
];

const RANGE: &[&str] = &["since", "until", "person", "account", "target"];
const OUTSIDE: &str = "access obtained outside packages is not in it";

/// All of them.
#[rustfmt::skip]
pub const REPORTS: &[Described] = &[
    Described { report: Report::Access, name: "access", answers: "Who accessed what, when, and why?", takes: RANGE, needs: &[], note: None, columns: ACCESS },
    Described { report: Report::AccountHolder, name: "account-holder", answers: "Who held the account at that moment?", takes: &["account", "at"], needs: &["account", "at"], note: None, columns: ACCESS },
    Described { report: Report::PackageUsers, name: "package-users", answers: "Who is assigned to the access package?", takes: &["package"], needs: &["package"], note: Some("an assignment means all resource roles of the package's present version"), columns: &[
        shown("User", "/subject"), text("Email", "/subject/email"), text("Object ID", "/subject/id"), text("Package ID", "/package/id"), text("Package", "/package/name"),
        text("Policy", "/policy/id"), text("Policy Version", "/policy/version"), time("Start", "/starts_at"), time("End", "/ends_at"), text("Request ID", "/request_id"), json("Resource Roles", "/resource_roles"),
    ] },
    Described { report: Report::UserPackages, name: "user-packages", answers: "Which access packages can the user request, and has?", takes: &["person"], needs: &["person"], note: Some("an assignment means all resource roles of the package's present version; access obtained outside packages is not in it; can_request is unknown where no record of the person says"), columns: &[
        text("Package ID", "/package/id"), text("Package", "/package/name"), text("Version", "/package/version"), text("Can Request", "/can_request"), list("Policies", "/policies_open"), text("Assigned", "/assigned"),
        time("Start", "/starts_at"), time("End", "/ends_at"), json("Resource Roles", "/resource_roles"), json("Policy Details", "/policies"),
    ] },
    Described { report: Report::UserResources, name: "user-resources", answers: "Which resources does the user have?", takes: &["person"], needs: &["person"], note: Some(OUTSIDE), columns: &[
        text("Resource ID", "/resource/id"), text("Resource", "/resource/name"), text("Role", "/role"), text("Package ID", "/origin/package/id"), text("Package", "/origin/package/name"), text("Policy", "/origin/policy/id"),
        time("Start", "/origin/starts_at"), time("End", "/origin/ends_at"),
    ] },
    Described { report: Report::Requests, name: "requests", answers: "What became of the request?", takes: &["id"], needs: &["id"], note: None, columns: &[
        time("Time", "/occurred_at"), text("Category", "/category"), text("Activity", "/label"), text("Request Status", "/request_status"), shown("Actor", "/actor"), shown("Subject", "/subject"), shown("Target", "/target"), text("Justification", "/justification"), text("Reason", "/reason"), json("Policy", "/policy"), text("Event ID", "/id"), text("Message", "/message"),
    ] },
    Described { report: Report::Organisations, name: "organisations", answers: "Which organisations are connected?", takes: &[], needs: &[], note: None, columns: &[
        text("ID", "/id"), text("Name", "/name"), text("Description", "/description"), text("State", "/state"), list("Domains", "/domains"), list("Internal Sponsors", "/internal_sponsors"), list("External Sponsors", "/external_sponsors"),
    ] },
    Described { report: Report::PackageActivity, name: "package-activity", answers: "What happened to the access package?", takes: &["since", "until", "package"], needs: &[], note: Some("without a package, the packages that something happened to"), columns: &[
        time("Time", "/occurred_at"), text("Package ID", "/package/id"), text("Package", "/package/name"), text("Operation", "/label"), text("Requests", "/requests"), text("Object ID", "/actor/id"), text("UPN", "/actor/email"), text("Display Name", "/actor/name"), json("Details", "/details"), text("Event ID", "/id"),
    ] },
    Described { report: Report::RoleChanges, name: "role-changes", answers: "Which role assignments changed other than by an access package?", takes: &["since", "until", "target"], needs: &[], note: None, columns: &[
        time("Time", "/occurred_at"), shown("Application", "/target"), text("Application ID", "/target/id"), shown("Actor", "/actor"), text("Actor Email", "/actor/email"), shown("Subject", "/subject"), text("Message", "/message"), json("Details", "/details"), text("Event ID", "/id"),
    ] },
    Described { report: Report::Demand, name: "demand", answers: "Which resources get frequent requests, and from whom again and again?", takes: &["since", "until", "by"], needs: &[], note: Some("days are UTC days"), columns: &[
        text("Target", "/target"), text("Target ID", "/target_id"), text("Person", "/person"), text("Requests", "/requests"), text("Granted", "/granted"), text("Used", "/used"), text("People", "/people"), json("Repeated", "/repeated"),
    ] },
    Described { report: Report::ApprovalTimes, name: "approval-times", answers: "Are approvals faster for some teams than for others?", takes: &["since", "until", "by"], needs: &[], note: Some("days are UTC days; a team is that of who asked, as the people's records say"), columns: &[
        text("Team", "/team"), text("Approver", "/approver"), text("Decisions", "/decisions"), text("Denied", "/denied"), seconds("Median (s)", "/p50_ms"), seconds("90 % (s)", "/p90_ms"), seconds("Longest (s)", "/max_ms"),
    ] },
    Described { report: Report::Revocation, name: "revocation", answers: "How promptly was access taken away?", takes: RANGE, needs: &[], note: Some("residual exposure is the time that access outlived its end; tokens that were issued before may live on for an hour or so"), columns: &[
        text("Access ID", "/id"), shown("Subject", "/subject"), shown("Account", "/account"), shown("Target", "/target"), time("Planned End", "/ends_at"), time("Actual End", "/ended_at"), seconds("Lateness (s)", "/exposure_ms"),
        text("End Cause", "/end_cause"), time("Verified", "/verified/at"), text("Verified By", "/verified/by"), text("State", "/state"),
    ] },
    Described { report: Report::Unused, name: "unused", answers: "Which access was granted and never used?", takes: RANGE, needs: &[], note: Some("access that is over; packages are not in it, as nobody tells of their use"), columns: ACCESS },
    Described { report: Report::Unreviewed, name: "unreviewed", answers: "Which temporary access did nobody review?", takes: RANGE, needs: &[], note: None, columns: ACCESS },
];

/// How rows of figures are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By resource.
    Resource,
    /// By person and resource.
    Pair,
    /// By the team of who asked.
    Team,
    /// By who decided.
    Approver,
}

/// A report that was asked for, every parameter read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Which.
    pub report: Report,
    /// The first moment of its range.
    pub since: Option<Instant>,
    /// The first moment after it.
    pub until: Option<Instant>,
    /// The moment it is about.
    pub at: Option<Instant>,
    /// A person, by any name of theirs.
    pub person: Option<String>,
    /// An account, by any name of its.
    pub account: Option<String>,
    /// A target, by id or name.
    pub target: Option<String>,
    /// A package, by id or name.
    pub package: Option<String>,
    /// A request's id.
    pub id: Option<String>,
    /// How rows are put together.
    pub by: Option<By>,
}

impl Report {
    /// What it takes and says.
    pub fn described(self) -> &'static Described {
        // Each stands in the list; the test says so.
        REPORTS.iter().find(|described| described.report == self).unwrap_or(&REPORTS[0])
    }

    /// The report of that name.
    pub fn named(name: &str) -> Option<&'static Described> {
        REPORTS.iter().find(|described| described.name == name)
    }
}

impl Query {
    /// Its range, all time where none is named.
    pub fn range(&self) -> [Instant; 2] {
        let (first, last) = (Instant::from_millis(0), Instant::from_millis(253_402_300_799_999));
        [self.since.unwrap_or(first), self.until.unwrap_or(last)]
    }
}

/// A report as a table.
#[derive(Debug)]
pub struct Table {
    columns: Vec<&'static Column>,
    zoned: Zoned,
}

impl Table {
    /// The columns of those names, all where none is named, with times in `zone`.
    ///
    /// # Errors
    /// A sentence: no such column, or one that is named twice.
    pub fn new(
        report: Report,
        names: &[String],
        zone: TimeZone,
        range: [Instant; 2],
    ) -> Result<Self, String> {
        let all = report.described().columns;
        let mut columns: Vec<&'static Column> = Vec::new();
        for name in names {
            let Some(column) = all.iter().find(|column| column.name == name) else {
                let known: Vec<_> = all.iter().map(|column| column.name).collect();
                return Err(format!("there is no column {name:?}; there are {}", known.join(", ")));
            };
            if columns.iter().any(|other| other.name == column.name) {
                return Err(format!("column {name:?} is named twice"));
            }
            columns.push(column);
        }
        if columns.is_empty() {
            columns = all.iter().collect();
        }
        Ok(Self { columns, zoned: Zoned::new(zone, range[0], range[1]) })
    }

    /// The names in the head, those of times with their zone.
    pub fn names(&self) -> Vec<String> {
        let name = |column: &&Column| match column.form {
            Form::Time => self.zoned.name(column.name),
            _ => column.name.to_owned(),
        };
        self.columns.iter().map(name).collect()
    }

    /// Writes the head.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        let mut row = Row::begin(out);
        self.names().iter().for_each(|name| row.text(name));
        row.end();
    }

    /// Writes a row; of one that has several origins, one for each.
    pub fn write_row(&self, of: &Value, out: &mut Vec<u8>) {
        match of["origins"].as_array() {
            Some(origins) => {
                for origin in origins {
                    let mut of = of.clone();
                    of["origin"] = origin.clone();
                    self.write_one(&of, out);
                }
            }
            None => self.write_one(of, out),
        }
    }

    fn write_one(&self, of: &Value, out: &mut Vec<u8>) {
        let mut row = Row::begin(out);
        for column in &self.columns {
            let value = of.pointer(column.pointer).unwrap_or(&Value::Null);
            match column.form {
                _ if value.is_null() => row.empty(),
                Form::Time => match value.as_str().and_then(|text| text.parse().ok()) {
                    Some(at) => row.plain(|out| self.zoned.write(at, out)),
                    None => row.empty(),
                },
                Form::Seconds => match value.as_i64() {
                    Some(ms) => row.plain(|out| out.extend_from_slice(in_seconds(ms).as_bytes())),
                    None => row.empty(),
                },
                Form::Shown => row.text(&shown_of(value)),
                Form::Decisions => row.text(&self.decisions(value)),
                Form::List => {
                    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                    row.text(&texts.collect::<Vec<_>>().join(", "));
                }
                Form::Json => row.text(&value.to_string()),
                Form::Text => match value {
                    Value::String(text) => row.text(text),
                    other => row.text(&other.to_string()),
                },
            }
        }
        row.end();
    }

    /// Each decision: what, by whom, when, about which roles, and why.
    fn decisions(&self, value: &Value) -> String {
        let one = |decision: &Value| {
            let mut text = format!(
                "{} by {}",
                decision["verdict"].as_str().unwrap_or_default(),
                shown_of(&decision["by"])
            );
            if let Some(at) = decision["at"].as_str().and_then(|text| text.parse().ok()) {
                let mut written = Vec::new();
                self.zoned.write(at, &mut written);
                text.push_str(&format!(" at {}", String::from_utf8_lossy(&written)));
            }
            let roles: Vec<_> = decision["roles"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if !roles.is_empty() {
                text.push_str(&format!(" ({})", roles.join(", ")));
            }
            if let Some(reason) = decision["reason"].as_str() {
                text.push_str(&format!(": {reason}"));
            }
            text
        };
        value.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// Milliseconds as seconds, with as many decimals as are needed.
fn in_seconds(ms: i64) -> String {
    match (ms / 1000, ms % 1000) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => format!("{whole}.{rest:03}"),
    }
}

/// A party or an actor as sentences show it: of a person the address, of a thing the name.
fn shown_of(value: &Value) -> String {
    let text = |name: &str| value[name].as_str();
    match text("type") {
        Some("system") => "System".to_owned(),
        Some("user" | "service") => {
            text("email").or(text("name")).or(text("id")).unwrap_or_default().to_owned()
        }
        Some("scm") => {
            format!("{} (scm)", text("name").or(text("id")).or(text("email")).unwrap_or_default())
        }
        _ => text("name").or(text("id")).or(text("email")).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_is_described_once() {
        for described in REPORTS {
            assert_eq!(described.report.described().name, described.name);
            assert!(
                described.needs.iter().all(|needed| described.takes.contains(needed)),
                "{}",
                described.name
            );
        }
        assert_eq!(REPORTS.len(), 14);
    }

    #[test]
    fn milliseconds_read_as_seconds() {
        assert_eq!([0, 999, 1000, 61_500].map(in_seconds), ["0", "0.999", "1", "61.500"]);
    }
}
