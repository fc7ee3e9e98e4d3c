//! The body of an alert for a Slack webhook.

use serde_json::{Value, json};

use crate::alerts::alert::Alert;

/// The body for a Slack webhook. Slack reads markup, links and mentions by `&`, `<` and `>` (Slack,
/// "Formatting message text"), so these are escaped. Asterisks and the like stay, because `mrkdwn`
/// is off.
pub fn for_slack(alert: &Alert, link: Option<&str>) -> Value {
    let literal = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = literal(&alert.sentence);
    if let Some(link) = link {
        text.push('\n');
        text.push_str(&literal(link));
    }
    json!({"text": text, "mrkdwn": false, "unfurl_links": false})
}
