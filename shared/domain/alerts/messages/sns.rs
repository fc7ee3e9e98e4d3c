//! The SNS notification of an alert.

use crate::{
    alerts::{alert::Alert, alert_text::title},
    trail::{actions::message_template::escaped, event::Tenant},
};

/// SNS accepts subjects of fewer than 100 characters.
const LONGEST_SUBJECT: usize = 99;

/// An SNS notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The subject of e-mails: one line of printable ASCII.
    pub subject: String,
    pub message: String,
    /// Message attributes that subscribers filter by; none is empty.
    pub attributes: Vec<(&'static str, String)>,
}

pub fn for_sns(tenant: &Tenant, alert: &Alert, link: Option<&str>) -> Notification {
    let plain = |char: char| if matches!(char, ' '..='~') { char } else { '?' };
    let mut attributes = vec![("tenant", tenant.to_string()), ("rule", escaped(&alert.rule))];
    attributes.extend(alert.severity.map(|severity| ("severity", severity.to_string())));
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
