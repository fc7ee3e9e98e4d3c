//! The JSON Schema of the rows of each report. Each column names a member of its report's rows.

use schemars::{Schema, SchemaGenerator};

use crate::{
    configuration::{document::Configured, organisation::Organisation},
    reports::{
        access_reports::{AccessReport, AccessRow, RevocationRow},
        event_reports::{EventReport, RequestStep, RoleChange},
        package_reports::{PackageActivity, PackageReport, PackageUser, UserPackage, UserResource},
        report::Report,
        statistics_reports::{ApprovalTimesRow, DemandRow, StatisticsReport},
    },
};

/// The schema of one row of a report. It refers to definitions, which `generator` collects.
// A function here and not a member of the reports' descriptions: those are linked into each binary,
// and schemas need not be.
pub fn row_schema(report: Report, generator: &mut SchemaGenerator) -> Schema {
    match report {
        Report::Access(report) => match report {
            AccessReport::Access
            | AccessReport::AccountHolder
            | AccessReport::Unused
            | AccessReport::Unreviewed => generator.subschema_for::<AccessRow>(),
            AccessReport::Revocation => generator.subschema_for::<RevocationRow>(),
        },
        Report::Package(report) => match report {
            PackageReport::PackageUsers => generator.subschema_for::<PackageUser>(),
            PackageReport::UserPackages => generator.subschema_for::<UserPackage>(),
            PackageReport::UserResources => generator.subschema_for::<UserResource>(),
            PackageReport::Organisations => generator.subschema_for::<Configured<Organisation>>(),
            PackageReport::PackageActivity => generator.subschema_for::<PackageActivity>(),
        },
        Report::Event(report) => match report {
            EventReport::Requests => generator.subschema_for::<RequestStep>(),
            EventReport::RoleChanges => generator.subschema_for::<RoleChange>(),
        },
        Report::Statistics(report) => match report {
            StatisticsReport::Demand => generator.subschema_for::<DemandRow>(),
            StatisticsReport::ApprovalTimes => generator.subschema_for::<ApprovalTimesRow>(),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use schemars::generate::SchemaSettings;
    use serde_json::Value;

    use super::*;
    use crate::reports::report::{Described, reports};

    /// Whether a schema without references has the member, in one of its alternatives at least.
    fn has(schema: &Value, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return true };
        let alternatives =
            ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[key].as_array());
        schema["properties"].get(first).is_some_and(|member| has(member, rest))
            || alternatives.flatten().any(|one| has(one, path))
    }

    #[test]
    fn each_column_is_a_member_of_its_reports_rows() {
        for Described { report, name, columns, .. } in reports() {
            let mut settings = SchemaSettings::draft2020_12().for_serialize();
            settings.inline_subschemas = true;
            let schema = row_schema(*report, &mut settings.into_generator()).to_value();
            for head in columns() {
                let mut path: Vec<&str> = head.key.split('.').collect();
                // A table has one row for each of the origins.
                if path[0] == "origin" {
                    path.splice(..1, []);
                    assert!(
                        has(&schema["properties"]["origins"]["items"], &path),
                        "{name}: {}",
                        head.key
                    );
                } else {
                    assert!(has(&schema, &path), "{name}: {}\n{schema}", head.key);
                }
            }
        }
    }
}
