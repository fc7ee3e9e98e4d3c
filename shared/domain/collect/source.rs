//! What is collected from Microsoft Graph, and how each list of it is asked for.
//!
//! Sources: "List directoryAudits", "List assignmentRequests", "List assignments", "List
//! accessPackages", "List connectedOrganizations", "user: delta", "group: delta", "List
//! roleAssignmentScheduleRequests" and "List roleAssignmentScheduleInstances" of the Microsoft Graph
//! reference.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use crate::time::timestamp::Instant;

/// A collection of Microsoft Graph, in the order in which a connection reads them: what others refer
/// to is read first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CollectedSource")]
#[derive(EnumString, VariantNames, Display)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// Access packages with their policies and resource roles.
    Packages,
    /// Connected organisations.
    Organisations,
    /// Groups and who is in them.
    Groups,
    /// Users and their managers.
    Users,
    /// Requests for access packages. Who approved them is in the audit log: Graph lets no application
    /// read approvals ("Get approval").
    Requests,
    /// Assignments of access packages.
    Assignments,
    /// Requests for directory roles in Privileged Identity Management.
    RoleRequests,
    /// Directory roles that are active through Privileged Identity Management.
    RoleInstances,
    /// The audit log of the directory.
    DirectoryAudits,
}

/// How a source says what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By a filter on a time.
    ByTime,
    /// By a delta query.
    Delta,
    /// Not at all: the whole list is read.
    Whole,
}

const ENTITLEMENTS: &str = "/identityGovernance/entitlementManagement";
/// How often an unchanged list is read, as a multiple of the pause between two readings of a source
/// that says what is new.
const WHOLE_LIST: u32 = 10;

/// Records may show up late in lists that are filtered by time, so each reading begins this long
/// before the previous one.
pub const OVERLAP: Duration = Duration::from_secs(15 * 60);
/// How long a record may be late at most. So far back a reading begins from time to time.
pub const LATEST: Duration = Duration::from_secs(24 * 3600);
/// How often.
pub const LATEST_EVERY: Duration = Duration::from_secs(6 * 3600);
/// How long Microsoft Entra keeps its audit log ("Microsoft Entra data retention"), with a P1 or P2
/// licence.
pub const RETENTION: Duration = Duration::from_secs(30 * 86_400);
/// The same without such a licence.
pub const RETENTION_WITHOUT_PREMIUM: Duration = Duration::from_secs(7 * 86_400);

impl Source {
    pub const ALL: [Self; 9] = [
        Self::Packages,
        Self::Organisations,
        Self::Groups,
        Self::Users,
        Self::Requests,
        Self::Assignments,
        Self::RoleRequests,
        Self::RoleInstances,
        Self::DirectoryAudits,
    ];

    pub fn method(self) -> Method {
        match self {
            Self::Requests | Self::DirectoryAudits => Method::ByTime,
            Self::Users | Self::Groups => Method::Delta,
            Self::Packages
            | Self::Organisations
            | Self::Assignments
            | Self::RoleRequests
            | Self::RoleInstances => Method::Whole,
        }
    }

    /// The type of the objects, where Graph gives it with the list alone and objects of other lists
    /// have the same members.
    pub fn object_type(self) -> Option<&'static str> {
        match self {
            Self::RoleRequests => Some("#microsoft.graph.unifiedRoleAssignmentScheduleRequest"),
            Self::RoleInstances => Some("#microsoft.graph.unifiedRoleAssignmentScheduleInstance"),
            Self::Packages
            | Self::Organisations
            | Self::Groups
            | Self::Users
            | Self::Requests
            | Self::Assignments
            | Self::DirectoryAudits => None,
        }
    }

    /// The pause after a complete reading.
    pub fn pause(self, pace: Duration) -> Duration {
        match self.method() {
            Method::ByTime | Method::Delta => pace,
            Method::Whole => pace * WHOLE_LIST,
        }
    }

    /// The application permissions that Graph requires for it.
    pub fn permissions(self) -> &'static str {
        match self {
            Self::Packages | Self::Organisations | Self::Requests | Self::Assignments => {
                "EntitlementManagement.Read.All"
            }
            Self::Groups => "GroupMember.Read.All",
            Self::Users => "User.Read.All",
            Self::RoleRequests | Self::RoleInstances => "RoleAssignmentSchedule.Read.Directory",
            Self::DirectoryAudits => "AuditLog.Read.All and Directory.Read.All",
        }
    }

    /// The lists of one reading, each as its path and query below the version of Graph. `since` is
    /// the time from which records are new.
    pub fn lists(self, since: Instant) -> Vec<String> {
        // Graph compares whole seconds.
        let since = Instant::from_millis(since.seconds() * 1000).utc().format("%Y-%m-%dT%H:%M:%SZ");
        match self {
            Self::Packages => vec![format!(
                "{ENTITLEMENTS}/accessPackages?$expand=catalog,assignmentPolicies,resourceRoleScopes($expand=role,scope)"
            )],
            Self::Organisations => vec![format!("{ENTITLEMENTS}/connectedOrganizations")],
            Self::Groups => vec!["/groups/delta?$select=id,displayName,members".to_owned()],
            Self::Users => vec![
                "/users/delta?$select=id,displayName,mail,userPrincipalName,otherMails,proxyAddresses,department,manager".to_owned(),
            ],
            // A request changes until it is completed.
            Self::Requests => {
                let list = format!(
                    "{ENTITLEMENTS}/assignmentRequests?$expand=accessPackage,requestor,assignment&$filter="
                );
                vec![
                    format!("{list}createdDateTime%20ge%20{since}"),
                    format!("{list}completedDateTime%20ge%20{since}"),
                ]
            }
            Self::Assignments => vec![format!(
                "{ENTITLEMENTS}/assignments?$expand=accessPackage,target,assignmentPolicy"
            )],
            Self::RoleRequests => vec![
                "/roleManagement/directory/roleAssignmentScheduleRequests?$expand=principal,roleDefinition".to_owned(),
            ],
            Self::RoleInstances => vec![
                "/roleManagement/directory/roleAssignmentScheduleInstances?$expand=principal,roleDefinition".to_owned(),
            ],
            Self::DirectoryAudits => vec![format!(
                "/auditLogs/directoryAudits?$filter=activityDateTime%20ge%20{since}&$orderby=activityDateTime%20asc&$top=500"
            )],
        }
    }

    /// A small part of the source, for a test of the connection.
    pub fn sample(self, now: Instant) -> String {
        let list = self.lists(now.minus(OVERLAP)).into_iter().next().unwrap_or_default();
        match self.method() {
            // Graph's delta queries do not take a number of rows.
            Method::Delta => list,
            Method::ByTime | Method::Whole if list.contains("$top=") => list,
            Method::ByTime | Method::Whole if list.contains('?') => format!("{list}&$top=1"),
            Method::ByTime | Method::Whole => format!("{list}?$top=1"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_sources_are_listed_in_their_order_and_have_lists() {
        let names: Vec<_> = Source::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names, Source::VARIANTS);
        assert!(Source::ALL.is_sorted());
        let since: Instant = "2026-11-22T00:26:07.123Z".parse().unwrap();
        for source in Source::ALL {
            for list in source.lists(since) {
                assert!(list.starts_with('/') && !list.contains(' '), "{list}");
                let is_filtered = list.contains("ge%202026-11-22T00:26:07Z");
                assert!(!is_filtered || source.method() == Method::ByTime, "{list}");
            }
            assert_eq!(source.sample(since).matches('?').count(), 1);
        }
    }
}
