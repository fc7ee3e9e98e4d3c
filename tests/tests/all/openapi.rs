//! The description of the API at `/openapi.json`: whether it is valid, whether the service answers as it says, and whether clients can be
//! made of it. The scripts are in `tests/peers/openapi`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use local::openapi::reference;
use tests::{Stack, send};
use tokio::process::Command;

use crate::peers::peer;

/// Generated requests for each route, beside those at the limits of each field. A long run has more (CONTRIBUTING.md).
const EXAMPLES: &str = "5";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/openapi").join(name)
}

/// Runs a command and returns what it printed.
async fn output_of(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn python(name: &str) -> Command {
    let mut python = Command::new(peer("python/bin/python"));
    python.arg(script(name)).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// A file of the checkout that is made from the tables of routes.
fn committed(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Not `assert_eq!`, which would print both.
fn assert_current(committed: &str, current: &str) {
    assert!(
        committed == current,
        "the routes or their types have changed. Write the files that describe them: cargo run -p local -- --describe"
    );
}

#[test]
fn the_committed_description_is_current() {
    let current = format!("{:#}\n", local::openapi::document());
    assert_current(&committed("functions/portal/openapi.json"), &current);
}

#[test]
fn the_tables_of_calls_in_the_guide_are_current() {
    let guide = committed("docs/api.md");
    let current = reference::with_calls(&guide, &local::openapi::document()).unwrap();
    assert_current(&guide, &current);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_valid_and_its_examples_fit() {
    let stack = Stack::start().await;
    let answer = send(stack.request("GET", "/openapi.json")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.json()["openapi"].as_str().unwrap_or_default().get(..3), Some("3.1"));
    let mut validate = python("validate.py");
    validate.arg(format!("{}/openapi.json", stack.running.url()));
    output_of(validate).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_answers_generated_requests_as_described() {
    let stack = Stack::start().await;
    // Ids to find.
    local::demo::load(&stack.running).await.unwrap();
    peer("python/bin/schemathesis");
    let mut conformance = Command::new(script("conformance"));
    conformance.arg(stack.running.url()).args(["--max-examples", EXAMPLES, "--seed", "1"]);
    conformance.args(["--phases", "examples,coverage,fuzzing"]);
    output_of(conformance).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_python_client_posts_an_event_and_lists_it() {
    let stack = Stack::start().await;
    let mut client = python("client.py");
    client.arg(stack.running.url());
    let said = output_of(client).await;
    assert!(said.contains("was posted, listed and read"), "{said}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_the_page_compile_with_generated_types() {
    let stack = Stack::start().await;
    let folder = tempfile::tempdir().unwrap();
    peer("node_modules/.bin/openapi-typescript");
    let mut types = Command::new(script("page_types"));
    types.arg(format!("{}/openapi.json", stack.running.url())).arg(folder.path());
    output_of(types).await;
    stack.stop().await;
}
