//! Cold starts: from process start to the first poll of the Runtime API, the first call over TLS, and the size of the binaries.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command as Spawn},
};

use crate::{
    Scale,
    measure::{Report, median, shown},
    sample,
};

/// The deployed functions.
const FUNCTIONS: [&str; 8] =
    ["disable", "export", "forward", "ingest", "manage", "portal", "query", "watch"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The Python interpreter of `tests/peers`.
pub fn python() -> PathBuf {
    root().join("target/peers/python/bin/python")
}

/// The binary of a function as deployed (for this machine's processor), or a debug build if nothing is measured.
pub fn binary(scale: Scale, name: &str) -> PathBuf {
    if !scale.is_full {
        let ours = if name == "export" {
            env!("CARGO_BIN_EXE_lambda-export")
        } else {
            env!("CARGO_BIN_EXE_lambda-ingest")
        };
        return ours.into();
    }
    build();
    root().join("target/lambda/release").join(name)
}

/// Builds in the folder of the functions, with the same cargo configuration as `sam build`.
fn build() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root().join("functions/ingest")).args([
        "build",
        "--release",
        "--locked",
        "--target-dir",
    ]);
    cargo.arg(root().join("target/lambda"));
    for name in FUNCTIONS {
        cargo.args(["-p", name]);
    }
    assert!(cargo.status().unwrap().success());
}

pub async fn to_first_poll(scale: Scale, report: &mut Report) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let binary = binary(scale, "ingest");
    let (mut ours, mut boto3) = (Vec::new(), Vec::new());
    for round in 0..=scale.of(30, 1) {
        let rust = Spawn::new(&binary);
        let mut script = Spawn::new(python());
        script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/start.py"));
        for (command, times) in [(rust, &mut ours), (script, &mut boto3)] {
            let begun = Instant::now();
            let mut child = spawn(command, &api, "http://127.0.0.1:9");
            let mut invoker = Invoker::of(&listener, &mut child).await;
            assert!(
                invoker.request().await.starts_with("GET /2018-06-01/runtime/invocation/next ")
            );
            // The first run only fills the file cache.
            if round > 0 {
                times.push(begun.elapsed().as_secs_f64());
            }
            child.kill().await.unwrap();
        }
    }
    let (ours, boto3) = (median(&mut ours), median(&mut boto3));
    report.compare(
        "process start → first poll",
        shown(ours),
        format!("boto3 {}", shown(boto3)),
        boto3 / ours,
        "≤ 15 ms; ≥ 20 x boto3",
    );
}

pub async fn first_call_over_tls(scale: Scale, report: &mut Report) {
    let directory = tempfile::tempdir().unwrap();
    let (key, certificate) =
        (directory.path().join("key.pem"), directory.path().join("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl is needed to make a certificate");
    let mut server = Spawn::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/storage.py"))
        .args([&certificate, &key])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut port = [0; 6];
    let read = server.stdout.as_mut().unwrap().read(&mut port).await.unwrap();
    let url = format!("https://localhost:{}", String::from_utf8_lossy(&port[..read]).trim());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let binary = binary(scale, "ingest");
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..scale.of(15, 1) {
        let mut command = Spawn::new(&binary);
        command.env("SSL_CERT_FILE", &certificate);
        let mut child = spawn(command, &api, &url);
        let mut invoker = Invoker::of(&listener, &mut child).await;
        invoker.request().await;
        let mut used = cpu_seconds(&child);
        for times in [&mut first, &mut second] {
            let answer = invoker.invoke(&sample::request(&sample::event("tls", 1, 60))).await;
            assert!(answer.contains(r#""statusCode":201"#), "{answer}");
            let now = cpu_seconds(&child);
            times.push(now - used);
            used = now;
        }
        child.kill().await.unwrap();
    }
    let (first, second) = (median(&mut first), median(&mut second));
    report.note(
        "first request over TLS, CPU (the second beside it)",
        format!("{}, {}", shown(first), shown(second)),
        "≤ 5 ms more",
    );
}

/// The size of the deployed functions.
pub fn sizes(report: &mut Report) {
    for name in FUNCTIONS {
        let path = root().join("target/lambda/release").join(name);
        let Ok(binary) = std::fs::metadata(&path) else { continue };
        let zip = Command::new(python())
            .args(["-c", "import io, sys, zipfile; b = io.BytesIO(); z = zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED); z.write(sys.argv[1], 'bootstrap'); z.close(); print(len(b.getvalue()))"])
            .arg(&path)
            .output()
            .unwrap();
        let zip: u64 = String::from_utf8_lossy(&zip.stdout).trim().parse().unwrap();
        let mb = |bytes: u64| format!("{:.2} MB", bytes as f64 / 1e6);
        report.note(
            &format!("package of {name}: zip, binary"),
            format!("{}, {}", mb(zip), mb(binary.len())),
            "≤ 3 MB, ≤ 7 MB",
        );
    }
}

/// Starts a function as Lambda does.
pub fn spawn(mut command: Spawn, api: &str, storage: &str) -> Child {
    let variables = [
        ("AWS_LAMBDA_RUNTIME_API", api),
        ("AWS_LAMBDA_FUNCTION_NAME", "ingest"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", storage),
    ];
    let own: Vec<_> = command
        .as_std()
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.unwrap().to_owned()))
        .collect();
    command.envs(sample::VARIABLES).envs(variables).envs(own).kill_on_drop(true).spawn().unwrap()
}

/// The CPU seconds of all threads of a process. The kernel counts nanoseconds (proc(5), schedstat).
pub fn cpu_seconds(child: &Child) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id().unwrap())).unwrap();
    let used = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    used.sum::<f64>() / 1e9
}

/// Lambda's Runtime API, for one function.
pub struct Invoker {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Invoker {
    /// Accepts the connection that a function opens to poll.
    pub async fn of(listener: &TcpListener, child: &mut Child) -> Self {
        tokio::select! {
            connection = listener.accept() => Self { stream: connection.unwrap().0, buffer: Vec::new() },
            ended = child.wait() => panic!("the function ended before its first poll: {ended:?}"),
        }
    }

    /// Reads the next request, head and body.
    pub async fn request(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                });
                let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
                if (is_chunked && body.ends_with("0\r\n\r\n"))
                    || (!is_chunked && body.len() >= length.unwrap_or(0))
                {
                    self.buffer.clear();
                    return text;
                }
            }
            assert!(
                self.stream.read_buf(&mut self.buffer).await.unwrap() > 0,
                "the function ended"
            );
        }
    }

    /// Sends one event to the polling function, waits until it polls again, and returns its result.
    pub async fn invoke(&mut self, event: &str) -> String {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nlambda-runtime-aws-request-id: r\r\nlambda-runtime-deadline-ms: 9999999999999\r\nlambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:123456789012:function:ingest\r\nlambda-runtime-trace-id: Root=1-0-0\r\n\r\n",
            event.len()
        );
        // One write, because Nagle's algorithm and delayed acknowledgements would delay a second one.
        self.stream.write_all(format!("{head}{event}").as_bytes()).await.unwrap();
        let answer = self.request().await;
        self.stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        self.request().await;
        answer
    }
}
