//! The tables of calls in `docs/api.md`, from the description of the API: one section for each tag.

use serde_json::Value;

use super::PERMISSIONS;

/// The marks between which the guide has the tables.
const MARKS: [&str; 2] = [
    "<!-- calls: made from the tables of routes, see CONTRIBUTING.md -->",
    "<!-- end of the calls -->",
];

/// The guide with the tables of the calls in `document`.
///
/// # Errors
/// The guide lacks the marks.
pub fn with_calls(guide: &str, document: &Value) -> Result<String, String> {
    let [start, end] = MARKS;
    let parts = guide.split_once(start).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| format!("the guide of the API lacks the lines {start} and {end}"))?;
    Ok(format!("{before}{start}\n\n{}\n{end}{after}", sections(document)))
}

/// One row of a table.
struct Call<'d> {
    method: String,
    path: &'d str,
    operation: &'d Value,
}

fn sections(document: &Value) -> String {
    let calls = calls(document);
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.map(|tag| section(tag, &calls)).collect::<Vec<_>>().join("\n")
}

/// All calls: those of a path before those of the paths below it, reading before changing.
fn calls(document: &Value) -> Vec<Call<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let mut calls: Vec<_> = paths
        .flat_map(|(path, operations)| {
            let operations = operations.as_object().into_iter().flatten();
            operations.map(move |(method, operation)| Call {
                method: method.to_uppercase(),
                path,
                operation,
            })
        })
        .collect();
    let rank = |method: &str| ["GET", "POST", "PUT", "DELETE"].iter().position(|it| *it == method);
    // A space is before every character of a path, so `/windows/{id}` comes before `/windows/end`.
    calls.sort_by_key(|call| (call.path.replace('{', " "), rank(&call.method)));
    calls
}

fn section(tag: &Value, calls: &[Call<'_>]) -> String {
    let has_tag = |call: &&Call<'_>| call.operation["tags"][0] == tag["name"];
    let rows: String = calls.iter().filter(has_tag).map(row).collect();
    format!(
        "### {}\n\n{}\n\n| call | permission | what it does |\n|---|---|---|\n{rows}",
        text(&tag["name"]),
        text(&tag["description"]),
    )
}

fn row(Call { method, path, operation }: &Call<'_>) -> String {
    let alternatives = operation["security"].as_array().into_iter().flatten();
    let permissions: Vec<_> =
        alternatives.map(|it| text(&it["token"][0]).trim_start_matches("audit:")).collect();
    let permission = match permissions.is_empty() {
        true => "none".to_owned(),
        false => permissions.join(" or "),
    };
    let description = text(&operation["description"]);
    // The permission has a column of its own.
    let about = description.split_once(PERMISSIONS).map_or(description, |(about, _)| about);
    // A bar would end the cell.
    format!("| `{method} {path}` | {permission} | {} |\n", about.replace('|', "\\|"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_are_listed_by_tag_and_path_and_the_rest_of_the_guide_stays() {
        let operation = |tag: &str, about: &str, security: Value| json!({"tags": [tag], "description": about, "security": security});
        let read = json!([{"token": ["audit:read"]}]);
        let document = json!({
            "tags": [
                {"name": "windows", "description": "Windows."},
                {"name": "me", "description": "The caller."},
            ],
            "paths": {
                "/v1/me": {"get": operation("me", "Who calls.", json!([]))},
                "/v1/windows": {
                    "post": operation("windows", "Opens one. Needs the permission `audit:write` or `audit:self`.",
                        json!([{"token": ["audit:write"]}, {"token": ["audit:self"]}])),
                    "get": operation("windows", "Lists `a|b`. Needs the permission `audit:read`.", read.clone()),
                },
                "/v1/windows/end": {"post": operation("windows", "Ends some.", read.clone())},
                "/v1/windows/{id}": {"get": operation("windows", "One window.", read)},
            },
        });
        let [start, end] = MARKS;
        let guide = format!("# The API\n\n{start}\nold\n{end}\n\n## Errors\n");
        let head = "| call | permission | what it does |\n|---|---|---|\n";
        let current = format!(
            "# The API\n\n{start}\n\n\
             ### windows\n\nWindows.\n\n{head}\
             | `GET /v1/windows` | read | Lists `a\\|b`. |\n\
             | `POST /v1/windows` | write or self | Opens one. |\n\
             | `GET /v1/windows/{{id}}` | read | One window. |\n\
             | `POST /v1/windows/end` | read | Ends some. |\n\n\
             ### me\n\nThe caller.\n\n{head}\
             | `GET /v1/me` | none | Who calls. |\n\n\
             {end}\n\n## Errors\n"
        );
        assert_eq!(with_calls(&guide, &document).unwrap(), current);
        assert_eq!(with_calls(&current, &document).unwrap(), current);
        assert!(with_calls("# The API", &document).unwrap_err().contains(start));
    }
}
