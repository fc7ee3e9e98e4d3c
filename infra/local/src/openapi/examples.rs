//! An example of each JSON answer of the API, from the files in `examples/`: one for each tag.
//!
//! An example is named like its operation. Where the answers with two statuses differ, it is named
//! like the operation and the status: `post_events 201`.

use serde_json::{Map, Value};

const FILES: &[&str] = &[
    include_str!("examples/actions.json"),
    include_str!("examples/alerts.json"),
    include_str!("examples/applications.json"),
    include_str!("examples/calendar.json"),
    include_str!("examples/checkpoints.json"),
    include_str!("examples/connections.json"),
    include_str!("examples/events.json"),
    include_str!("examples/exports.json"),
    include_str!("examples/feed.json"),
    include_str!("examples/findings.json"),
    include_str!("examples/me.json"),
    include_str!("examples/openapi.json"),
    include_str!("examples/organisations.json"),
    include_str!("examples/packages.json"),
    include_str!("examples/people.json"),
    include_str!("examples/projections.json"),
    include_str!("examples/reports.json"),
    include_str!("examples/review-plans.json"),
    include_str!("examples/reviews.json"),
    include_str!("examples/saved.json"),
    include_str!("examples/sessions.json"),
    include_str!("examples/settings.json"),
    include_str!("examples/streams.json"),
    include_str!("examples/windows.json"),
];

/// All examples by name. A file that is no JSON has none.
pub(super) fn by_name() -> Map<String, Value> {
    let read = |file: &&str| serde_json::from_str::<Map<String, Value>>(file).ok();
    FILES.iter().filter_map(read).flatten().collect()
}

/// Adds the examples of an operation to its successful JSON answers.
pub(super) fn add_to(operation: &mut Value, examples: &Map<String, Value>) {
    let Some(name) = operation["operationId"].as_str().map(str::to_owned) else { return };
    for (status, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
        let example = examples.get(&format!("{name} {status}")).or_else(|| examples.get(&name));
        if let (true, Some(example), Some(content)) =
            (status.starts_with('2'), example, answer.pointer_mut("/content/application~1json"))
        {
            content["example"] = example.clone();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Nothing else would notice a misspelt name, or one that is in two files.
    #[test]
    fn each_example_is_that_of_an_answer() {
        let document = super::super::document();
        let operations = document["paths"].as_object().unwrap().values();
        let mut shown = Vec::new();
        for operation in operations.flat_map(|path| path.as_object().unwrap().values()) {
            let answers = operation["responses"].as_object().unwrap().values();
            shown.extend(answers.filter_map(|it| it.pointer("/content/application~1json/example")));
        }
        for file in FILES {
            let examples: Map<String, Value> = serde_json::from_str(file).unwrap();
            for (name, example) in examples {
                assert!(shown.contains(&&example), "{name} is no answer's example");
            }
        }
    }
}
