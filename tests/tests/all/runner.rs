//! The local runner: it builds the resources of the template, stores data, calls functions as AWS would, and reports what it does not support.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use aws_types::service_config::ServiceConfigKey;
use lambda_runtime::{Error, LambdaEvent};
use local::{Data, Functions, Options, StartError};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{
    Answer, Stack, options, send,
    signing::{Signed, credentials},
    until,
};

/// The length of a minute for schedules, retries and TTL deletion, shortened for tests.
const MINUTE: Duration = Duration::from_millis(50);

/// The payloads of a function's calls, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Value>>>);

impl Calls {
    fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until there are `count` calls.
    async fn reach(&self, count: usize) -> Vec<Value> {
        until(format!("there are {count} calls"), async || {
            Some(self.all()).filter(|calls| calls.len() >= count)
        })
        .await
    }
}

/// Adds a function that records its calls and computes its result from them.
fn noting(
    functions: Functions,
    binary: &str,
    calls: &Calls,
    answer: impl Fn(&Value, usize) -> Result<Value, Error> + Clone + Send + Sync + 'static,
) -> Functions {
    let calls = calls.clone();
    functions.add(
        binary,
        |_, _| Ok(()),
        move |_, event: LambdaEvent<Value>| {
            let before = {
                let mut calls = calls.0.lock().unwrap();
                calls.push(event.payload.clone());
                calls.len() - 1
            };
            let answer = answer(&event.payload, before);
            async move { answer }
        },
    )
}

fn quick(template: impl Into<String>, functions: Functions) -> Options {
    Options { minute: MINUTE, ..Options::new(template, functions) }
}

// ------------------------------------------------------------------------------------------------ the project's template

#[tokio::test]
async fn the_projects_template_runs() {
    let stack = Stack::start().await;
    let client = Client::new(stack.running.sdk_config());
    for logical in ["EventsTable", "StateTable"] {
        let name = stack.running.table(logical).unwrap();
        let table = client.describe_table().table_name(name).send().await.unwrap().table.unwrap();
        assert_eq!(table.deletion_protection_enabled, Some(true), "{logical}");
        let ttl = client.describe_time_to_live().table_name(name).send().await.unwrap();
        assert_eq!(ttl.time_to_live_description.unwrap().attribute_name.as_deref(), Some("ttl"));
    }
    let events = client
        .describe_table()
        .table_name(stack.running.table("EventsTable").unwrap())
        .send()
        .await
        .unwrap();
    let events = events.table.unwrap();
    let indexes: BTreeSet<_> =
        events.global_secondary_indexes().iter().filter_map(|index| index.index_name()).collect();
    assert!(indexes.contains("by_time") && indexes.contains("by_actor"), "{indexes:?}");
    assert!(events.stream_specification.unwrap().stream_enabled);

    let answer = send(stack.request("GET", "/v1/events")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    stack.stop().await;
}

#[tokio::test]
async fn two_stacks_of_one_process_share_nothing() {
    let (one, other) = (Stack::start().await, Stack::start().await);
    let token = one.caller("acme", "ada", "audit:read");
    assert_eq!(other.get(&token, "/v1/me").await.status, StatusCode::UNAUTHORIZED);
    assert_ne!(one.running.engine_url(), other.running.engine_url());
    one.stop().await;
    other.stop().await;
}

/// The addresses of this process's listening sockets, in hexadecimal.
fn listening() -> Vec<String> {
    let sockets: BTreeSet<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let tables = ["tcp", "tcp6", "udp", "udp6"]
        .map(|table| fs::read_to_string(format!("/proc/self/net/{table}")));
    let mut found = Vec::new();
    for table in tables.into_iter().flatten() {
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // State 0A is a listening socket. An unconnected datagram socket (07) receives from anyone.
            if matches!(fields[3], "0A" | "07") && sockets.contains(fields[9]) {
                found.push(fields[1].split(':').next().unwrap().to_owned());
            }
        }
    }
    found
}

#[tokio::test]
async fn the_program_listens_only_on_loopback() {
    let stack = Stack::start().await;
    let addresses = listening();
    // The API, DynamoDB and Lambda.
    assert!(addresses.len() >= 3, "{addresses:?}");
    assert!(addresses.iter().all(|address| address == "0100007F"), "{addresses:?}");
    stack.stop().await;
}

/// Another program or a web page that finds the ports of the embedded services must not reach the data. Links to files contain the
/// access key id, so that id alone gives no access.
#[tokio::test]
async fn the_embedded_services_accept_only_requests_signed_with_the_key_of_this_run() {
    let stack = Stack::start().await;
    let real = credentials(stack.running.sdk_config()).await;
    let table = stack.running.table("EventsTable").unwrap();
    // For each service, a valid call and the response if it is refused.
    let dynamodb = json!({"TableName": table}).to_string();
    let json = ("content-type", "application/x-amz-json-1.0");
    let services = [
        (
            "DynamoDB",
            "dynamodb",
            "POST",
            "/",
            vec![json, ("x-amz-target", "DynamoDB_20120810.DescribeTable")],
            dynamodb,
        ),
        ("S3", "s3", "GET", "/", vec![], String::new()),
        (
            "SQS",
            "sqs",
            "POST",
            "/",
            vec![json, ("x-amz-target", "AmazonSQS.SendMessage")],
            json!({"QueueUrl": "q", "MessageBody": "m"}).to_string(),
        ),
        (
            "Secrets Manager",
            "secretsmanager",
            "POST",
            "/",
            vec![json, ("x-amz-target", "secretsmanager.GetSecretValue")],
            json!({"SecretId": "arn:aws:secretsmanager:us-east-1:000000000000:secret:jit-audit-DeploymentKey"})
                .to_string(),
        ),
        ("Lambda", "lambda", "POST", "/2015-03-31/functions/jit-audit-Nobody/invocations", vec![], "{}".to_owned()),
    ];
    for (id, service, method, path, headers, body) in services {
        let endpoint = endpoint(&stack, id);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let signed = |host, credentials: &Credentials| {
            let (headers, body, credentials) = (headers.clone(), body.clone(), credentials.clone());
            Signed { service, method, host, path: path.to_owned(), headers, body, credentials }
                .request(&client, &endpoint)
        };
        let taken = send(signed(None, &real)).await;
        // An admitted caller gets 404 from Lambda, because the function does not exist.
        let expected = if id == "Lambda" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(taken.status, expected, "{id}: {}", taken.text);

        let guessed = Credentials::from_keys(real.access_key_id(), "a guess", None);
        let foreign =
            Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", real.secret_access_key(), None);
        let port = endpoint.rsplit(':').next().unwrap();
        let rebound = format!("evil.example:{port}");
        let url = format!("{endpoint}{path}");
        let unsigned = || {
            let request = client.request(method.parse().unwrap(), &url).body(body.clone());
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
        };
        let made_up = format!(
            "AWS4-HMAC-SHA256 Credential={}/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0",
            real.access_key_id()
        );
        let day = "20261122T000000Z";
        for (what, request) in [
            ("no signature", unsigned()),
            (
                "a made-up signature",
                unsigned().header("authorization", made_up).header("x-amz-date", day),
            ),
            ("a signature by a guessed secret", signed(None, &guessed)),
            ("another access key", signed(None, &foreign)),
            ("another host", signed(Some(&rebound), &real)),
            ("a web page", signed(None, &real).header("origin", "https://evil.example")),
            ("a page of this machine", signed(None, &real).header("origin", stack.running.url())),
        ] {
            let answer = send(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{id}, {what}: {}", answer.text);
            assert_eq!(answer.header("access-control-allow-origin"), "", "{id}, {what}");
        }
        // A browser sends a preflight request first.
        let preflight = client
            .request(reqwest::Method::OPTIONS, &endpoint)
            .header("origin", "https://evil.example");
        let preflight = send(preflight.header("access-control-request-method", "POST")).await;
        assert_eq!(preflight.status, StatusCode::FORBIDDEN, "{id}");
        assert_eq!(preflight.header("access-control-allow-origin"), "", "{id}");
        // A signature is valid only for its request.
        if id == "DynamoDB" {
            let altered = signed(None, &real).body(json!({"TableName": "other"}).to_string());
            assert_eq!(send(altered).await.status, StatusCode::FORBIDDEN);
            let other = signed(None, &real).header("x-amz-target", "DynamoDB_20120810.DeleteTable");
            assert_eq!(send(other).await.status, StatusCode::FORBIDDEN);
        }
    }
    // The issuer mints no tokens after DNS rebinding, nor for a page of another origin.
    for (name, value, status) in
        [("host", "evil.example", 403), ("origin", "https://evil.example", 400)]
    {
        let request = stack
            .request("POST", "/dev/token")
            .header(name, value)
            .json(&json!({"tenant": "acme"}));
        let answer = send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    stack.stop().await;
}

// -------------------------------------------------------------------------------------------------------- the environment

#[tokio::test]
async fn a_functions_environment_comes_from_the_resolved_template() {
    let template = r#"
Parameters:
  Stage: {Type: String, Default: test, AllowedValues: [test, live]}
  Days: {Type: Number, Default: 5, MinValue: 1, MaxValue: 9}
  Names: {Type: CommaDelimitedList, Default: "a, b"}
  FeedLag: {Type: Number, Default: 10}
Conditions:
  Live: !Equals [!Ref Stage, live]
  NotLive: !Not [!Condition Live]
  Both: !And [!Condition Live, !Condition NotLive]
Globals:
  Function:
    Timeout: 7
    Environment:
      Variables:
        SHARED: !Ref Stage
        REPLACED: here
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  Only:
    Type: AWS::DynamoDB::Table
    Condition: Live
    Properties:
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  Topic: {Type: AWS::SNS::Topic}
  Probe:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: probe}}
    Properties:
      CodeUri: elsewhere
      Environment:
        Variables:
          REPLACED: there
          TABLE: !Ref Things
          TABLE_ARN: !GetAtt Things.Arn
          LONG_FORM: {"Fn::GetAtt": [Things, Arn]}
          SUB: !Sub "${Stage}/${Things.Arn}/${!Literal}/${AWS::Region}"
          SUB_OWN: !Sub ["${Own}-${Days}", {Own: !Ref Stage}]
          JOIN: !Join ["+", !Ref Names]
          IF: !If [Live, live, !Sub "not ${Stage}"]
          NOTHING: !If [Both, x, !Ref AWS::NoValue]
          NUMBER: 5
          TRUTH: true
          LAG: !Ref FeedLag
          TOPIC: !Ref Topic
"#;
    let environment = async |parameters: BTreeMap<String, String>| {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let noted = seen.clone();
        let names = [
            "SHARED",
            "REPLACED",
            "TABLE",
            "TABLE_ARN",
            "LONG_FORM",
            "SUB",
            "SUB_OWN",
            "JOIN",
            "IF",
            "NOTHING",
            "NUMBER",
            "TRUTH",
            "LAG",
            "TOPIC",
        ];
        let functions = Functions::default().add(
            "probe",
            move |variables, _| {
                let found = names
                    .iter()
                    .filter_map(|name| Some((*name, variables.text(name).ok()?.to_owned())));
                *noted.lock().unwrap() = found.collect();
                Ok(())
            },
            |_, _: LambdaEvent<Value>| async move { Ok(json!({})) },
        );
        let stack = Stack::with(Options { parameters, ..Options::new(template, functions) }).await;
        assert_eq!(stack.running.table("Only").is_some(), seen.lock().unwrap()["SHARED"] == "live");
        stack.stop().await;
        seen.lock().unwrap().clone()
    };
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/jit-audit-Things";
    let by_default = BTreeMap::from([
        ("SHARED", "test".to_owned()),
        ("REPLACED", "there".to_owned()),
        ("TABLE", "jit-audit-Things".to_owned()),
        ("TABLE_ARN", arn.to_owned()),
        ("LONG_FORM", arn.to_owned()),
        ("SUB", format!("test/{arn}/${{Literal}}/us-east-1")),
        ("SUB_OWN", "test-5".to_owned()),
        ("JOIN", "a+b".to_owned()),
        ("IF", "not test".to_owned()),
        ("NUMBER", "5".to_owned()),
        ("TRUTH", "true".to_owned()),
        ("LAG", "1".to_owned()),
        ("TOPIC", "arn:aws:sns:us-east-1:000000000000:jit-audit-Topic".to_owned()),
    ]);
    assert_eq!(environment(BTreeMap::new()).await, by_default);

    let given = [("Stage", "live"), ("Days", "9"), ("Names", "c"), ("FeedLag", "3")];
    let given =
        environment(given.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).await;
    let changed =
        [("SHARED", "live"), ("SUB_OWN", "live-9"), ("JOIN", "c"), ("IF", "live"), ("LAG", "3")];
    for (name, value) in changed {
        assert_eq!(given[name], value, "{name}");
    }
}

// ------------------------------------------------------------------------------------------------------ what stops a start

/// Starts a stack that cannot start, and gives the reason.
async fn refused(options: Options) -> StartError {
    match local::start(options).await {
        Err(error) => error,
        Ok(stack) => {
            stack.stop().await;
            panic!("the stack started");
        }
    }
}

#[tokio::test]
async fn unsupported_template_parts_are_named_with_their_place_and_a_remedy() {
    let known = noting(Functions::default(), "known", &Calls::default(), |_, _| Ok(json!({})));
    let cases: &[(&str, &[&str])] = &[
        (
            "Resources: {Queue: {Type: AWS::Kinesis::Stream}}",
            &["template.yaml:1", "Resources.Queue.Type", "AWS::Kinesis::Stream", "known.rs"],
        ),
        (
            "Resources:\n  Api:\n    Type: AWS::Serverless::HttpApi\n    Properties:\n      CorsConfiguration: true",
            &[
                "template.yaml:5",
                "Resources.Api.Properties.CorsConfiguration",
                "Remove it, or add support",
            ],
        ),
        (
            "Resources: {Api: {Type: AWS::Serverless::HttpApi, CreationPolicy: {}}}",
            &["Resources.Api.CreationPolicy"],
        ),
        ("Globals: {HttpApi: {}}\nResources: {}", &["Globals.HttpApi"]),
        ("Globals: {Function: {Layers: []}}\nResources: {}", &["Globals.Function.Layers"]),
        ("Rules: {}\nResources: {}", &["Rules"]),
        ("Parameters: {}", &["Resources is missing"]),
        (
            "Parameters: {A: {Type: AWS::EC2::VPC::Id, Default: x}}\nResources: {}",
            &["Parameters.A.Type"],
        ),
        ("Parameters: {A: {Type: String}}\nResources: {}", &["Parameters.A", "--set A="]),
        (
            "Parameters: {A: {Type: Number, Default: x}}\nResources: {}",
            &["Parameters.A", "must be a number"],
        ),
        (
            "Parameters: {A: {Type: String, Default: xy, AllowedPattern: x}}\nResources: {}",
            &["Parameters.A", "\"xy\" must be x"],
        ),
        (
            "Parameters: {A: {Type: String, Default: y, AllowedPattern: x, ConstraintDescription: one x}}\nResources: {}",
            &["Parameters.A", "\"y\" must be one x"],
        ),
        (
            "Parameters: {A: {Type: String, Default: x, AllowedPattern: (}}\nResources: {}",
            &["Parameters.A.AllowedPattern", "is no pattern"],
        ),
        (
            "Parameters: {A: {Type: String, Default: x, Pattern: y}}\nResources: {}",
            &["Parameters.A.Pattern"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Environment: {Variables: {A: !Select [0, [a]]}}}}}",
            &["Resources.F.Properties.Environment.Variables.A", "function Select", "intrinsics.rs"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Environment: {Variables: {A: !Ref Nobody}}}}}",
            &["Variables.A", "Nobody is neither a parameter nor a resource"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Environment: {Variables: {A: !GetAtt F.Url}}}}}",
            &["Variables.A", "F has no attribute Url"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/unknown}}}",
            &[
                "Resources.F",
                "there is no function \"unknown\"; the functions are known",
                "functions.rs",
            ],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Events: {E: {Type: SQS}}}}}",
            &["Resources.F.Properties.Events.E.Type", "SQS"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Events: {E: {Type: Schedule, Properties: {Schedule: cron(0 * * * ? *)}}}}}}",
            &["Events.E.Properties.Schedule", "rate(5 minutes)"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Events: {E: {Type: Schedule, Properties: {Schedule: rate(1 minutes)}}}}}}",
            &["Events.E.Properties.Schedule", "rate(1 minute)"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Events: {E: {Type: DynamoDB, Properties: {Stream: x, StartingPosition: LATEST, FilterCriteria: {Filters: [{Pattern: '{\"dynamodb\": {}}'}]}}}}}}}",
            &["FilterCriteria.Filters", "supports only"],
        ),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: known, Events: {E: {Type: DynamoDB, Properties: {Stream: x, StartingPosition: LATEST}}}}}}",
            &["Events.E.Properties.Stream", "is not the StreamArn of a table"],
        ),
        (
            "Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}]}}}",
            &["Resources.T", "AttributeDefinitions is missing"],
        ),
        (
            "Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}], AttributeDefinitions: [{AttributeName: b, AttributeType: S}]}}}",
            &["T: ", "AttributeDefinitions"],
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic}, A: {Type: AWS::SNS::Topic}}",
            &["template.yaml:1", "A is given twice"],
        ),
        ("Resources: {", &["template.yaml:"]),
        ("", &["template.yaml:", "empty"]),
    ];
    for (template, parts) in cases {
        let error = refused(Options::new(*template, known.clone())).await.to_string();
        for part in *parts {
            assert!(error.contains(part), "{template}\ngave\n{error}\nwithout {part:?}");
        }
    }
}

#[tokio::test]
async fn an_invalid_parameter_value_is_refused() {
    for (name, value, parts) in [
        ("Nobody", "1", ["no parameter Nobody", "RetentionDays"]),
        ("RetentionDays", "92", ["Parameters.RetentionDays", "at least 93"]),
        ("RetentionDays", "3654", ["Parameters.RetentionDays", "at most 3653"]),
        ("RetentionDays", "many", ["Parameters.RetentionDays", "must be a number"]),
        ("LogLevel", "LOUD", ["Parameters.LogLevel", "DEBUG, INFO, WARN, ERROR"]),
    ] {
        let parameters = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let error = refused(Options { parameters, ..options() }).await.to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{name}={value} gave {error}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_in_the_error() {
    let stack = Stack::start().await;
    let port = stack.running.url().rsplit(':').next().unwrap().parse().unwrap();
    let error = refused(Options { port, ..options() }).await.to_string();
    assert!(error.contains(&port.to_string()) && error.contains("--port"), "{error}");
    stack.stop().await;
}

#[tokio::test]
async fn a_data_directory_serves_one_stack_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let on_directory =
        || Options { data: Data::Directory(directory.path().join("data")), ..options() };
    let stack = Stack::with(on_directory()).await;
    let error = refused(on_directory()).await.to_string();
    assert!(error.contains("another stack runs") && error.contains("--data"), "{error}");
    stack.stop().await;
    Stack::with(on_directory()).await.stop().await;
}

#[tokio::test]
async fn a_data_directory_of_another_template_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let template = |table: &str| {
        format!("Resources: {{Things: {{Type: AWS::DynamoDB::Table, Properties: {{{table}}}}}}}")
    };
    let start = |table: &str| {
        let data = Data::Directory(directory.path().to_owned());
        Options { data, ..Options::new(template(table), Functions::default()) }
    };
    let key = "AttributeDefinitions: [{AttributeName: a, AttributeType: S}], KeySchema: [{AttributeName: a, KeyType: HASH}]";
    let indexed = "AttributeDefinitions: [{AttributeName: a, AttributeType: S}, {AttributeName: b, AttributeType: S}], \
                   KeySchema: [{AttributeName: a, KeyType: HASH}], \
                   GlobalSecondaryIndexes: [{IndexName: by_b, KeySchema: [{AttributeName: b, KeyType: HASH}], Projection: \
                   {ProjectionType: ALL}}]";
    Stack::with(start(indexed)).await.stop().await;
    for (table, difference) in [
        (key.to_owned(), "the index by_b is"),
        (indexed.replace("ALL", "KEYS_ONLY"), "the index by_b is"),
        (indexed.replace("by_b", "by_c"), "the index by_c is none in the data directory"),
        (
            indexed.replace(
                "AttributeName: a, AttributeType: S",
                "AttributeName: a, AttributeType: N",
            ),
            "the type of attribute a",
        ),
        (
            format!("{indexed}, StreamSpecification: {{StreamViewType: NEW_IMAGE}}"),
            "the stream is none in the data directory",
        ),
    ] {
        let error = refused(start(&table)).await.to_string();
        assert!(
            error.contains("Things") && error.contains(difference) && error.contains("--data"),
            "{error}"
        );
    }
    // Changes that are possible in place are applied.
    let ttl = format!(
        "{indexed}, TimeToLiveSpecification: {{AttributeName: gone, Enabled: true}}, DeletionProtectionEnabled: true"
    );
    for (table, attribute) in [
        (ttl.as_str(), Some("gone")),
        (&ttl.replace("gone", "late"), Some("late")),
        (indexed, None),
    ] {
        let stack = Stack::with(start(table)).await;
        let (client, name) =
            (Client::new(stack.running.sdk_config()), stack.running.table("Things").unwrap());
        let found = client
            .describe_time_to_live()
            .table_name(name)
            .send()
            .await
            .unwrap()
            .time_to_live_description
            .unwrap();
        assert_eq!(found.attribute_name.as_deref(), attribute);
        let found = client.describe_table().table_name(name).send().await.unwrap().table.unwrap();
        assert_eq!(found.deletion_protection_enabled, Some(attribute.is_some()));
        stack.stop().await;
    }
}

// ----------------------------------------------------------------------------------------------------------------- tables

fn epoch_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn items_past_their_ttl_are_deleted() {
    let template = "
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: ttl, Enabled: true}
";
    let stack = Stack::with(quick(template, Functions::default())).await;
    let (client, table) =
        (Client::new(stack.running.sdk_config()), stack.running.table("Things").unwrap());
    for (id, ttl) in [("old", epoch_seconds() - 10), ("young", epoch_seconds() + 1000)] {
        let put = client.put_item().table_name(table).item("id", AttributeValue::S(id.into()));
        put.item("ttl", AttributeValue::N(ttl.to_string())).send().await.unwrap();
    }
    let there = async |id: &str| {
        let get = client.get_item().table_name(table).key("id", AttributeValue::S(id.into()));
        get.send().await.unwrap().item.is_some()
    };
    until("the expired item is deleted", async || (!there("old").await).then_some(())).await;
    assert!(there("young").await);
    stack.stop().await;
}

// -------------------------------------------------------------------------------------------------------------- schedules

#[tokio::test]
async fn schedules_fire_at_start_and_then_at_their_rate() {
    let template = r#"
Resources:
  Tick:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: tick
      Events:
        Rule: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
        RuleInput: {Type: Schedule, Properties: {Schedule: rate(1 day), Input: '{"from": "rule"}'}}
        Scheduler: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day)}}
        SchedulerInput: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(2 hours), Input: '{"from": "scheduler"}'}}
        Off: {Type: Schedule, Properties: {Schedule: rate(1 minute), Enabled: false, Input: '"off"'}}
        OffToo: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), State: DISABLED, Input: '"off"'}}
"#;
    let calls = Calls::default();
    let stack = Stack::with(quick(
        template,
        noting(Functions::default(), "tick", &calls, |_, _| Ok(json!({}))),
    ))
    .await;
    let rules =
        |calls: &[Value]| calls.iter().filter(|call| call["source"] == "aws.events").count();
    let seen = until("the rule has fired five times", async || {
        let seen = calls.all();
        (rules(&seen) >= 5 && seen.len() >= 8).then_some(seen)
    })
    .await;
    stack.stop().await;

    assert!(!seen.contains(&json!("off")), "a disabled schedule does not fire");
    for once in [json!({"from": "rule"}), json!({"from": "scheduler"})] {
        assert_eq!(
            seen.iter().filter(|call| **call == once).count(),
            1,
            "{once}: a slow schedule fires once, at start"
        );
    }
    let mut rule = seen.iter().find(|call| call["source"] == "aws.events").unwrap().clone();
    let time = rule["time"].take();
    assert!(time.as_str().unwrap().len() == 20 && time.as_str().unwrap().ends_with('Z'), "{time}");
    assert_eq!(rule["id"].take().as_str().unwrap().len(), 36);
    assert_eq!(
        rule,
        json!({
            "version": "0", "id": null, "detail-type": "Scheduled Event", "source": "aws.events",
            "account": "000000000000", "time": null, "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:000000000000:rule/Tick.Rule"], "detail": {},
        })
    );
    let scheduler = seen.iter().find(|call| call["source"] == "aws.scheduler").unwrap();
    assert_eq!(scheduler["detail"], "{}");
}

// ---------------------------------------------------------------------------------------------------------------- streams

const STREAM: &str = "
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Watch:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: watch
      Events:
        Things:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Things.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 3MORE}
";

fn stream_template(more: &str) -> String {
    STREAM.replace("MORE", more)
}

async fn put(stack: &Stack, ids: impl IntoIterator<Item = String>) {
    let (client, table) =
        (Client::new(stack.running.sdk_config()), stack.running.table("Things").unwrap());
    for id in ids {
        client.put_item().table_name(table).item("id", AttributeValue::S(id)).send().await.unwrap();
    }
}

/// The ids of the records in a batch.
fn ids(batch: &Value) -> Vec<String> {
    let records = batch["Records"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["dynamodb"]["Keys"]["id"]["S"].as_str().unwrap().to_owned())
        .collect()
}

fn all_ids(batches: &[Value]) -> Vec<String> {
    batches.iter().flat_map(ids).collect()
}

fn named(range: impl IntoIterator<Item = usize>) -> Vec<String> {
    range.into_iter().map(|index| format!("{index:03}")).collect()
}

#[tokio::test]
async fn a_stream_is_delivered_in_order_and_in_batches() {
    let calls = Calls::default();
    let functions = noting(Functions::default(), "watch", &calls, |_, _| Ok(json!({})));
    let stack = Stack::with(quick(stream_template(""), functions)).await;
    put(&stack, named(0..50)).await;
    until("every record is delivered", async || (all_ids(&calls.all()).len() >= 50).then_some(()))
        .await;
    let batches = calls.all();
    assert_eq!(all_ids(&batches), named(0..50));
    assert!(batches.iter().all(|batch| ids(batch).len() <= 3));

    let mut record = batches[0]["Records"][0].clone();
    assert!(record["dynamodb"]["ApproximateCreationDateTime"].take().as_f64().unwrap() > 1.6e9);
    assert!(record["dynamodb"]["SequenceNumber"].take().as_str().unwrap().len() >= 21);
    assert!(record["dynamodb"]["SizeBytes"].take().as_u64().unwrap() > 0);
    assert!(!record["eventID"].take().as_str().unwrap().is_empty());
    assert_eq!(
        record,
        json!({
            "eventID": null,
            "eventName": "INSERT",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": null,
                "Keys": {"id": {"S": "000"}},
                "NewImage": {"id": {"S": "000"}},
                "SequenceNumber": null,
                "SizeBytes": null,
                "StreamViewType": "NEW_IMAGE",
            },
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/jit-audit-Things/stream/local",
        })
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_resumes_at_its_position_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let start = async |functions| {
        let data = Data::Directory(directory.path().to_owned());
        Stack::with(Options { data, ..quick(stream_template(""), functions) }).await
    };
    let before = Calls::default();
    let functions = noting(Functions::default(), "watch", &before, |batch, _| {
        match ids(batch).contains(&"007".into()) {
            true => Err("not this one".into()),
            false => Ok(json!({})),
        }
    });
    let stack = start(functions).await;
    put(&stack, named(0..20)).await;
    until("the failing record is delivered", async || {
        all_ids(&before.all()).contains(&"007".into()).then_some(())
    })
    .await;
    stack.stop().await;

    let after = Calls::default();
    let stack = start(noting(Functions::default(), "watch", &after, |_, _| Ok(json!({})))).await;
    put(&stack, named(20..25)).await;
    until("the remaining records are delivered", async || {
        all_ids(&after.all()).contains(&"024".into()).then_some(())
    })
    .await;
    let rest = all_ids(&after.all());
    let first: usize = rest[0].parse().unwrap();
    // The failed batch starts at most two records earlier. Earlier successful batches are not delivered again.
    assert!((5..=7).contains(&first), "{rest:?}");
    assert_eq!(rest, named(first..25));
    stack.stop().await;
}

#[tokio::test]
async fn a_failing_batch_is_retried_and_blocks_later_batches() {
    let calls = Calls::default();
    let functions = noting(Functions::default(), "watch", &calls, |_, before| match before {
        0 | 1 => Err("not yet".into()),
        _ => Ok(json!({})),
    });
    let stack = Stack::with(quick(stream_template(""), functions)).await;
    put(&stack, named(0..6)).await;
    until("the last record is delivered", async || {
        all_ids(&calls.all()).contains(&"005".into()).then_some(())
    })
    .await;
    let batches = calls.all();
    assert!(batches[0] == batches[1] && batches[1] == batches[2], "the same batch three times");
    assert_eq!(all_ids(&batches[2..]), named(0..6));
    stack.stop().await;
}

#[tokio::test]
async fn a_filter_leaves_out_changes_that_the_function_does_not_want() {
    let calls = Calls::default();
    let functions = noting(Functions::default(), "watch", &calls, |_, _| Ok(json!({})));
    let filter = r#", FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}"#;
    let stack = Stack::with(quick(stream_template(filter), functions)).await;
    put(&stack, named(0..2)).await;
    let client = Client::new(stack.running.sdk_config());
    let table = stack.running.table("Things").unwrap();
    let delete =
        client.delete_item().table_name(table).key("id", AttributeValue::S(named(0..1)[0].clone()));
    delete.send().await.unwrap();
    put(&stack, named(2..3)).await;
    until("the last record is delivered", async || {
        all_ids(&calls.all()).contains(&"002".into()).then_some(())
    })
    .await;
    assert_eq!(all_ids(&calls.all()), named(0..3), "the deletion is left out");
    stack.stop().await;
}

#[tokio::test]
async fn a_function_can_report_failed_records() {
    let calls = Calls::default();
    let functions = noting(Functions::default(), "watch", &calls, |batch, before| {
        let place = ids(batch).iter().position(|id| id == "001");
        match place {
            Some(place) if before < 3 => {
                let sequence = &batch["Records"][place]["dynamodb"]["SequenceNumber"];
                Ok(json!({"batchItemFailures": [{"itemIdentifier": sequence}]}))
            }
            _ => Ok(json!({"batchItemFailures": []})),
        }
    });
    let more =
        ", FunctionResponseTypes: [ReportBatchItemFailures], MaximumBatchingWindowInSeconds: 1";
    let stack = Stack::with(quick(stream_template(more), functions)).await;
    put(&stack, named(0..6)).await;
    until("the last record is delivered", async || {
        all_ids(&calls.all()).contains(&"005".into()).then_some(())
    })
    .await;
    let batches: Vec<Vec<String>> = calls.all().iter().map(ids).collect();
    let of_first = batches.iter().flatten().filter(|id| *id == "000").count();
    let of_second = batches.iter().flatten().filter(|id| *id == "001").count();
    assert_eq!(
        (of_first, of_second),
        (1, 4),
        "records before the failed one are not delivered again: {batches:?}"
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_poison_record_is_isolated_by_bisection_and_dropped() {
    let calls = Calls::default();
    let functions = noting(Functions::default(), "watch", &calls, |batch, _| {
        match ids(batch).contains(&"001".into()) {
            true => Err("poison".into()),
            false => Ok(json!({})),
        }
    });
    let more = ", BisectBatchOnFunctionError: true, MaximumRetryAttempts: 1, MaximumBatchingWindowInSeconds: 1";
    let stack = Stack::with(quick(stream_template(more), functions)).await;
    put(&stack, named(0..6)).await;
    until("the last record is delivered", async || {
        all_ids(&calls.all()).contains(&"005".into()).then_some(())
    })
    .await;
    let succeeded: Vec<String> =
        calls.all().iter().map(ids).filter(|ids| !ids.contains(&"001".into())).flatten().collect();
    assert_eq!(succeeded, ["000", "002", "003", "004", "005"]);
    stack.stop().await;
}

// ----------------------------------------------------------------------------------------------- asynchronous invocations

/// The endpoint of a service of the stack.
fn endpoint(stack: &Stack, service: &str) -> String {
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url");
    stack.running.sdk_config().service_config().unwrap().load_config(key.build().unwrap()).unwrap()
}

/// Calls Lambda's Invoke API as the SDK would.
async fn invoke(stack: &Stack, function: &str, kind: Option<&str>, payload: &Value) -> Answer {
    invoke_signed_by(stack, credentials(stack.running.sdk_config()).await, function, kind, payload)
        .await
}

async fn invoke_signed_by(
    stack: &Stack,
    credentials: Credentials,
    function: &str,
    kind: Option<&str>,
    payload: &Value,
) -> Answer {
    let signed = Signed {
        service: "lambda",
        method: "POST",
        host: None,
        path: format!("/2015-03-31/functions/{function}/invocations"),
        headers: kind.map(|kind| ("x-amz-invocation-type", kind)).into_iter().collect(),
        body: payload.to_string(),
        credentials,
    };
    send(signed.request(
        &reqwest::Client::builder().no_proxy().build().unwrap(),
        &endpoint(stack, "Lambda"),
    ))
    .await
}

const WORKERS: &str = "
Resources:
  Steady: {Type: AWS::Serverless::Function, Properties: {CodeUri: steady}}
  Shaky: {Type: AWS::Serverless::Function, Properties: {CodeUri: shaky}}
  Once: {Type: AWS::Serverless::Function, Properties: {CodeUri: once, EventInvokeConfig: {MaximumRetryAttempts: 0}}}
";

#[tokio::test]
async fn functions_can_be_invoked_and_a_failed_asynchronous_call_is_retried_twice() {
    let (steady, shaky, once) = (Calls::default(), Calls::default(), Calls::default());
    let mut functions =
        noting(Functions::default(), "steady", &steady, |event, _| Ok(json!({"got": event})));
    functions = noting(functions, "shaky", &shaky, |_, _| Err("always".into()));
    functions = noting(functions, "once", &once, |_, _| panic!("always"));
    let stack = Stack::with(quick(WORKERS, functions)).await;

    let answer = invoke(&stack, "jit-audit-Steady", None, &json!({"a": 1})).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"got": {"a": 1}})));
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:jit-audit-Steady";
    let answer = invoke(&stack, arn, Some("Event"), &json!({"a": 2})).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::ACCEPTED, ""));
    assert_eq!(steady.reach(2).await[1], json!({"a": 2}));

    let answer = invoke(&stack, "jit-audit-Shaky", Some("RequestResponse"), &json!({})).await;
    assert_eq!(
        (answer.status, answer.header("x-amz-function-error")),
        (StatusCode::OK, "Unhandled")
    );
    assert_eq!(answer.json()["errorMessage"], "always");

    assert_eq!(
        invoke(&stack, "jit-audit-Once", Some("Event"), &json!({})).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(
        invoke(&stack, "jit-audit-Shaky", Some("Event"), &json!({})).await.status,
        StatusCode::ACCEPTED
    );
    shaky.reach(1 + 3).await;
    // A second call shows that the first one has no more retries, and that `Once` was not retried meanwhile.
    assert_eq!(
        invoke(&stack, "jit-audit-Shaky", Some("Event"), &json!({})).await.status,
        StatusCode::ACCEPTED
    );
    shaky.reach(1 + 3 + 3).await;
    assert_eq!((shaky.all().len(), once.all().len()), (7, 1));
    stack.stop().await;
}

#[tokio::test]
async fn invalid_invocations_are_refused() {
    let steady = Calls::default();
    let mut functions = noting(Functions::default(), "steady", &steady, |_, _| Ok(json!({})));
    for other in ["shaky", "once"] {
        functions = noting(functions, other, &steady, |_, _| Ok(json!({})));
    }
    let stack = Stack::with(quick(WORKERS, functions)).await;
    let unknown = invoke(&stack, "nobody", Some("Event"), &json!({})).await;
    assert_eq!(
        (unknown.status, unknown.header("x-amzn-errortype")),
        (StatusCode::NOT_FOUND, "ResourceNotFoundException")
    );
    let large = json!("x".repeat(1_100_000));
    let large = invoke(&stack, "jit-audit-Steady", Some("Event"), &large).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let kind = invoke(&stack, "jit-audit-Steady", Some("Sometimes"), &json!({})).await;
    assert_eq!(kind.status, StatusCode::BAD_REQUEST);
    // Another program on this machine does not have the key of this run.
    let other = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "secret", None);
    let foreign = invoke_signed_by(&stack, other, "jit-audit-Steady", None, &json!({})).await;
    assert_eq!(
        (foreign.status, foreign.header("x-amzn-errortype")),
        (StatusCode::FORBIDDEN, "AccessDeniedException")
    );
    assert!(steady.all().is_empty());
    stack.stop().await;
}

/// The secret of the template is generated once, survives a restart, and is readable only by its owner.
#[tokio::test]
async fn the_deployments_key_is_generated_once_and_read_from_secrets_manager() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let read = async || {
        let stack = Stack::start_in(directory.path(), []).await;
        let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:jit-audit-DeploymentKey";
        let variables = [("DEPLOYMENT_KEY".to_owned(), arn.to_owned())].into_iter().collect();
        let key = shared::platform::deployment_key::DeploymentKey::new(
            &variables,
            stack.running.sdk_config(),
        )
        .unwrap();
        let mac =
            key.read(shared::http::request::deadline()).await.unwrap().mac("test", &[b"part"]);
        let variables =
            [("DEPLOYMENT_KEY".to_owned(), format!("{arn}-other"))].into_iter().collect();
        let other = shared::platform::deployment_key::DeploymentKey::new(
            &variables,
            stack.running.sdk_config(),
        )
        .unwrap();
        assert!(other.read(shared::http::request::deadline()).await.is_err());
        stack.stop().await;
        mac
    };
    let first = read().await;
    let file = directory.path().join("secret-DeploymentKey");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap().len(), 64);
    assert_eq!(read().await, first);
    // Another deployment has another key.
    fs::remove_file(&file).unwrap();
    assert_ne!(read().await, first);
}
