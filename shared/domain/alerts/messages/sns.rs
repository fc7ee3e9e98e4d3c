//! The notification of an alert for an SNS topic.

use crate::{
    alerts::{alert::Alert, alert_text::title},
    trail::{actions::message_template::escaped, event::Tenant},
};

/// SNS takes subjects of fewer than a hundred characters.
const LONGEST_SUBJECT: usize = 99;

/// A notification of SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The subject of e-mails: one line of printable ASCII.
    pub subject: String,
    /// The text.
    pub message: String,
    /// What subscribers filter by; none is empty.
    pub attributes: Vec<(&'static str, String)>,
}

/// What SNS is told.
pub fn for_sns(tenant: &Tenant, alert: &Alert, link: Option<&str>) -> Notification {
    let plain = |char: char| if matches!(char, ' '..='~') { char } else { '?' };
    let mut attributes = vec![("tenant", tenant.to_string()), ("rule", escaped(&alert.rule))];
    attributes.extend(alert.severity.map(|severity| ("severity", severity.as_str().to_owned())));
    Notification {
        subject: title(alert).chars().map(plain).take(LONGEST_SUBJECT).collect(),
        message: [&alert.sentence]
            .into_iter()
            .map(String::as_str)
            .chain(link)
            .collect::<Vec<_>>()
            .join("\n"),
        attributes,
    }
}
