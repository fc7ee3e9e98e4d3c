//! The body of an alert for a Slack webhook.

use serde_json::{Value, json};

use crate::alerts::alert::Alert;

/// The body for a Slack webhook. `&`, `<` and `>` are what Slack reads markup, links and mentions by (Slack, "Formatting message text");
/// asterisks and the like are left as they are, as `mrkdwn` is off.
pub fn for_slack(alert: &Alert, link: Option<&str>) -> Value {
    let literal = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = literal(&alert.sentence);
    if let Some(link) = link {
        text.push('\n');
        text.push_str(&literal(link));
    }
    json!({"text": text, "mrkdwn": false, "unfurl_links": false})
}
