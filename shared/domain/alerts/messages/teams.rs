//! The Teams message of an alert.

use serde_json::{Value, json};

use crate::alerts::{alert::Alert, alert_text::title};

/// The body for the webhook of a Teams workflow: an adaptive card. Its text is in text runs,
/// because text blocks parse Markdown and text runs do not (Adaptive Cards, "Text features").
pub fn for_teams(alert: &Alert, link: Option<&str>) -> Value {
    let block = |run: Value| json!({"type": "RichTextBlock", "inlines": [run]});
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            block(json!({"type": "TextRun", "text": title(alert), "weight": "Bolder"})),
            block(json!({"type": "TextRun", "text": alert.sentence})),
        ],
    });
    if let Some(link) = link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "View", "url": link}]);
    }
    json!({
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card}],
    })
}
