//! Which class and activity of the Open Cybersecurity Schema Framework (1.8.0) an action is.

/// A class, and an activity of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ocsf {
    pub class: Class,
    /// The `activity_id`.
    pub activity: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A violated checkpoint.
    DetectionFinding,
    /// An account was created, enabled, disabled or deleted.
    AccountChange,
    /// A person logged on or off.
    Authentication,
    /// Another entity was created, read, changed or deleted: a request, a session, a key, a report.
    EntityManagement,
    /// Access was granted or removed.
    UserAccess,
}

impl Class {
    /// The `class_uid`.
    pub fn uid(self) -> u32 {
        match self {
            Self::DetectionFinding => 2004,
            Self::AccountChange => 3001,
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::UserAccess => 3005,
        }
    }

    /// The `class_name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DetectionFinding => "Detection Finding",
            Self::AccountChange => "Account Change",
            Self::Authentication => "Authentication",
            Self::EntityManagement => "Entity Management",
            Self::UserAccess => "User Access Management",
        }
    }

    /// The `category_name`.
    pub fn category(self) -> &'static str {
        match self {
            Self::DetectionFinding => "Findings",
            Self::AccountChange
            | Self::Authentication
            | Self::EntityManagement
            | Self::UserAccess => "Identity & Access Management",
        }
    }

    /// The `activity_name` of an activity.
    pub fn activity(self, activity: u8) -> &'static str {
        let names: &[&str] = match self {
            Self::DetectionFinding => &["Unknown", "Create", "Update", "Close"],
            Self::AccountChange => &[
                "Unknown",
                "Create",
                "Enable",
                "Password Change",
                "Password Reset",
                "Disable",
                "Delete",
            ],
            Self::Authentication => &["Unknown", "Logon", "Logoff"],
            Self::EntityManagement => &["Unknown", "Create", "Read", "Update", "Delete"],
            Self::UserAccess => &["Unknown", "Assign Privileges", "Revoke Privileges"],
        };
        names.get(usize::from(activity)).copied().unwrap_or("Other")
    }
}

const fn of(class: Class, activity: u8) -> Ocsf {
    Ocsf { class, activity }
}

pub(crate) const FOUND: Ocsf = of(Class::DetectionFinding, 1);
pub(crate) const FINDING_CHANGED: Ocsf = of(Class::DetectionFinding, 2);
pub(crate) const FINDING_CLOSED: Ocsf = of(Class::DetectionFinding, 3);
pub(crate) const ACCOUNT_CREATED: Ocsf = of(Class::AccountChange, 1);
pub(crate) const ACCOUNT_DISABLED: Ocsf = of(Class::AccountChange, 5);
pub(crate) const ACCOUNT_DELETED: Ocsf = of(Class::AccountChange, 6);
pub(crate) const LOGON: Ocsf = of(Class::Authentication, 1);
pub(crate) const LOGOFF: Ocsf = of(Class::Authentication, 2);
pub(crate) const CREATED: Ocsf = of(Class::EntityManagement, 1);
pub(crate) const READ: Ocsf = of(Class::EntityManagement, 2);
pub(crate) const UPDATED: Ocsf = of(Class::EntityManagement, 3);
pub(crate) const DELETED: Ocsf = of(Class::EntityManagement, 4);
pub(crate) const OTHER: Ocsf = of(Class::EntityManagement, 99);
pub(crate) const ASSIGNED: Ocsf = of(Class::UserAccess, 1);
pub(crate) const REVOKED: Ocsf = of(Class::UserAccess, 2);
