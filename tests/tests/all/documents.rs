//! The documents: each command in README.md and docs/ works as pasted, and each link resolves.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tests::{Stack, until};

use crate::peers::peer;

/// Marks of untested commands: the start of the service, deployments to AWS, long benchmarks, installations from package registries.
const NOT_RUN: [&str; 4] = ["start", "deploy", "bench", "install"];
/// Makes `curl` fail when the service refuses a request.
const CURLRC: &str = "fail-with-body\nshow-error\n";
/// Prints the failed command with its line in the document.
const TRAP: &str = "trap 'echo \"line $LINENO: $BASH_COMMAND\" >&2' ERR; set -Eeo pipefail; ";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// README.md, the other documents in the root, and all in `docs/`, with their paths from the root.
fn documents() -> Vec<String> {
    let mut found = vec!["README.md".to_owned()];
    let mut folders = vec![String::new(), "docs/".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                if !folder.is_empty() {
                    folders.push(path + "/");
                }
            } else if path.ends_with(".md") && path != "README.md" {
                found.push(path);
            }
        }
    }
    found[1..].sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A fenced block of a document.
struct Block {
    language: String,
    /// The text after the language, which readers do not see.
    mark: String,
    /// The number of its first line.
    line: usize,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (number, line) in document.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(info) => {
                let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
                let [language, mark] = [language, mark].map(str::to_owned);
                blocks.push(Block { language, mark, line: number + 2, text: String::new() });
                is_open = true;
            }
            None if is_open => blocks.last_mut().unwrap().text += &format!("{line}\n"),
            None => {}
        }
    }
    blocks
}

fn is_command(block: &Block) -> bool {
    matches!(block.language.as_str(), "bash" | "sh")
}

/// The commands of a document as a script in which each keeps its line number.
fn script(blocks: &[Block]) -> String {
    let mut script = TRAP.to_owned();
    for block in blocks.iter().filter(|block| is_command(block) && block.mark.is_empty()) {
        let line = script.matches('\n').count() + 1;
        script += &"\n".repeat(block.line - line);
        script += &block.text;
    }
    script
}

/// A process whose process group is killed when it is dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        // The group may have ended already.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command, out: &Path, err: &Path) -> Group {
    let file = |path: &Path| Stdio::from(fs::File::create(path).unwrap());
    let command = std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Group(command.stdin(Stdio::null()).stdout(file(out)).stderr(file(err)).spawn().unwrap())
}

/// Starts the service as README.md does for the guides, on a free port, and returns it with its address.
async fn start_service(folder: &Path) -> (Group, String) {
    let readme = blocks(&read("README.md"));
    let starts: Vec<_> = readme.iter().filter(|block| block.mark == "start").collect();
    let [block] = starts[..] else { panic!("README.md has one block that starts the service") };
    let mut command = Command::new(env!("CARGO_BIN_EXE_one-machine"));
    command.current_dir(root()).args(["--port", "0"]);
    for line in block.text.lines() {
        match line.split_once("export ").and_then(|(_, variable)| variable.split_once('=')) {
            Some((name, value)) => command.env(name, value),
            None => command.args(
                line.strip_prefix("cargo run --release -p local -- ")
                    .expect("the start")
                    .split(' '),
            ),
        };
    }
    let out = folder.join("service.out");
    let mut service = start(command, &out, &folder.join("service.err"));
    let url = until("the service is ready", async || {
        let said = fs::read_to_string(&out).unwrap();
        assert!(
            service.0.try_wait().unwrap().is_none(),
            "{}",
            fs::read_to_string(folder.join("service.err")).unwrap()
        );
        said.contains("export PORTAL=")
            .then(|| said.lines().find_map(|line| line.strip_prefix("ready ")).unwrap().into())
    })
    .await;
    (service, url)
}

/// Runs the commands of a document. The error says what failed.
async fn run(path: &str, folder: &Path, url: &str) -> Result<(), String> {
    let blocks = blocks(&read(path));
    let home = tempfile::tempdir_in(folder).unwrap();
    let home = home.path();
    fs::write(home.join(".curlrc"), CURLRC).unwrap();
    std::os::unix::fs::symlink(root().join("docs"), home.join("docs")).unwrap();
    // What the guide for clients installs is installed with the peers.
    std::os::unix::fs::symlink(peer("python"), home.join("client")).unwrap();
    let (name, out, err) = (path.replace('/', "-"), home.join("out"), home.join("err"));
    fs::write(home.join(&name), script(&blocks)).unwrap();
    let mut bash = Command::new("bash");
    bash.arg(&name)
        .current_dir(home)
        .env("HOME", home)
        .env("AUDIT", url)
        .env("no_proxy", "127.0.0.1");
    let mut bash = start(bash, &out, &err);
    let status = loop {
        match bash.0.try_wait().unwrap() {
            Some(status) => break status,
            None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    };
    drop(bash);
    let [out, err] =
        [out, err].map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
    let end =
        |text: &str| text[text.floor_char_boundary(text.len().saturating_sub(2000))..].to_owned();
    if !status.success() {
        return Err(format!("{path}: {status}\n{}\n{}", end(&err), end(&out)));
    }
    // The output must contain the lines in the document in order. `…` matches anything.
    let mut rest = out.as_str();
    for block in blocks.iter().filter(|block| block.language == "text") {
        for shown in block
            .text
            .lines()
            .flat_map(|line| line.split('…'))
            .filter(|shown| !shown.trim().is_empty())
        {
            rest = match rest.split_once(shown) {
                Some((_, rest)) => rest,
                None => {
                    return Err(format!(
                        "{path}, line {}: {shown} is not printed, but\n{}",
                        block.line,
                        end(rest)
                    ));
                }
            };
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_in_the_documents_works_as_pasted() {
    // The guides use fixed ports, so only one run at a time is possible on a machine.
    let lock = fs::File::create(std::env::temp_dir().join("jit-audit-documents.lock")).unwrap();
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
        .await
        .unwrap()
        .map_err(drop)
        .unwrap_or_else(|()| panic!("no lock"));
    let folder = tempfile::tempdir().unwrap();
    let (service, url) = start_service(folder.path()).await;
    let mut failed = Vec::new();
    for path in documents() {
        failed.extend(run(&path, folder.path(), &url).await.err());
    }
    drop(service);
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn untested_commands_are_marked_as_such() {
    for path in documents() {
        for block in
            blocks(&read(&path)).iter().filter(|block| is_command(block) && !block.mark.is_empty())
        {
            assert!(
                NOT_RUN.contains(&block.mark.as_str()),
                "{path}, line {}: {:?}",
                block.line,
                block.mark
            );
        }
    }
}

/// The anchors of a document's headings, as GitHub creates them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim());
    let kept = |heading: &str| -> String {
        let lower = heading.to_lowercase();
        lower
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(kept).collect()
}

#[test]
fn every_link_in_the_documents_resolves() {
    for path in documents() {
        let text = read(&path);
        for link in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
        {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target: PathBuf = match file {
                "" => root().join(&path),
                _ => root().join(&path).parent().unwrap().join(file),
            };
            assert!(target.exists(), "{path}: {link}");
            let is_there = anchor.is_empty()
                || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor);
            assert!(is_there, "{path}: {link}");
        }
    }
}

/// Every Rust file below a folder, with its path from the root.
fn rust_files(folder: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            rust_files(&path, found);
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_and_tests_named_in_the_documents_exist() {
    let mut files = Vec::new();
    for folder in ["shared", "functions", "infra", "tests"] {
        rust_files(folder, &mut files);
    }
    let is_test = |path: &&String| path.starts_with("tests/tests/all/");
    let tests: String = files.iter().filter(is_test).map(|path| read(path)).collect();
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    for path in documents() {
        let text = read(&path);
        let prose =
            text.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
        for code in prose {
            if code.ends_with(".rs") && !code.contains(['*', '<']) {
                let is_there =
                    files.iter().any(|file| format!("/{file}").ends_with(&format!("/{code}")));
                assert!(is_there, "{path}: there is no {code}");
            }
            let is_folder = ["shared/", "functions/", "infra/", "tests/"]
                .iter()
                .any(|top| code.starts_with(top));
            assert!(
                !is_folder || code.contains(['*', '<']) || root().join(code).exists(),
                "{path}: there is no {code}"
            );
            if code.matches('_').count() >= 4 && code.chars().all(is_letter) {
                assert!(tests.contains(&format!("fn {code}()")), "{path}: there is no test {code}");
            }
        }
    }
}

#[test]
fn the_first_documents_are_short() {
    for (path, most) in [("README.md", 700), ("ARCHITECTURE.md", 2500)] {
        let words = read(path).split_whitespace().count();
        assert!(words <= most, "{path} has {words} words");
    }
}

#[tokio::test]
async fn every_action_has_an_example_or_its_message_among_the_events() {
    let stack = Stack::start().await;
    let answer = stack.get(&stack.reader("acme"), "/v1/actions").await;
    let events = read("docs/events.md");
    for action in answer.body["actions"].as_array().unwrap() {
        let name = &action["action"];
        let shown = match &action["written_by"] {
            Value::String(writer) if writer == "service" => {
                format!(
                    "| `{}` | {} |",
                    name.as_str().unwrap(),
                    action["sentences"].as_array().unwrap().last().unwrap().as_str().unwrap()
                )
            }
            _ => format!("\"action\": {name},"),
        };
        assert!(events.contains(&shown), "{shown}");
    }
    stack.stop().await;
}
