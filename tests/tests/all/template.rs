//! Invariants of the template, for present and future functions.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::{Value, json};
use shared::http::route::Needs;

use crate::permissions;

/// The template after AWS's SAM translator, with short tags parsed by cfn-lint.
const READ: &str = r#"
import json, sys
from cfnlint.decode import decode
template, matches = decode(sys.argv[1])
assert not matches, matches
json.dump(template, sys.stdout)
"#;

fn template() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join("target/peers/python/bin/python");
    assert!(python.exists(), "{} is missing: tests/run installs it", python.display());
    let output = Command::new(python)
        .args(["-c", READ])
        .arg(root.join("infra/template.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn of_type<'t>(template: &'t Value, kind: &str) -> Vec<(&'t String, &'t Value)> {
    let resources = template["Resources"].as_object().unwrap();
    resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name, &resource["Properties"]))
        .collect()
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |list| list.iter().collect())
}

/// Every policy statement of each role, from inline and separate policies.
fn statements(template: &Value) -> Vec<(String, &Value)> {
    let roles = of_type(template, "AWS::IAM::Role");
    let policies =
        roles.into_iter().map(|(role, properties)| (role, list(&properties["Policies"])));
    let apart = of_type(template, "AWS::IAM::Policy")
        .into_iter()
        .map(|(name, policy)| (name, vec![policy]));
    let mut statements = Vec::new();
    for (role, policy) in policies
        .chain(apart)
        .flat_map(|(role, policies)| policies.into_iter().map(move |it| (role, it)))
    {
        let all = list(&policy["PolicyDocument"]["Statement"]);
        statements.extend(all.into_iter().map(|statement| (role.clone(), statement)));
    }
    statements
}

#[test]
fn no_role_can_change_or_remove_an_event() {
    // The only permitted actions on the events table: reading, and INSERT, which is conditional on absence.
    const ALLOWED: [&str; 11] = [
        "dynamodb:PartiQLInsert",
        "dynamodb:PartiQLSelect",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:Query",
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        "dynamodb:ConditionCheckItem",
        "dynamodb:Scan",
    ];
    let template = template();
    let roles = of_type(&template, "AWS::IAM::Role");
    assert!(!roles.is_empty());
    for (role, properties) in &roles {
        assert!(
            properties.get("ManagedPolicyArns").is_none(),
            "{role}: managed policies allow more than the function does"
        );
    }
    for (role, statement) in statements(&template) {
        assert!(
            statement.get("NotAction").is_none() && statement.get("NotResource").is_none(),
            "{role}"
        );
        let resources = list(&statement["Resource"]);
        // X-Ray knows no resources.
        let is_tracing = list(&statement["Action"])
            .iter()
            .all(|action| action.as_str().is_some_and(|action| action.starts_with("xray:Put")));
        assert!(
            is_tracing || resources.iter().all(|resource| *resource != "*"),
            "{role}: {statement}"
        );
        let touches_the_trail =
            resources.iter().any(|resource| resource.to_string().contains("EventsTable"));
        for action in list(&statement["Action"]) {
            let action = action.as_str().unwrap();
            assert!(!action.contains('*'), "{role}: {action}");
            assert!(
                !touches_the_trail || ALLOWED.contains(&action),
                "{role} may {action} on the trail"
            );
            // No function may scan a table.
            assert!(
                action != "dynamodb:Scan" || role.as_str() == "WatchRole",
                "{role} may {action}"
            );
        }
    }
    // Each function names its role, so SAM creates none for it.
    for (function, properties) in of_type(&template, "AWS::Serverless::Function") {
        assert!(
            properties["Role"].is_object() && properties.get("Policies").is_none(),
            "{function}"
        );
    }
}

/// For example, the function that sends alerts cannot read the credentials of a directory.
#[test]
fn each_function_reads_secrets_of_its_own_purpose_only() {
    let template = template();
    let mut tenants = BTreeSet::new();
    for (role, statement) in statements(&template) {
        if list(&statement["Action"]).contains(&&Value::from("secretsmanager:GetSecretValue")) {
            for resource in list(&statement["Resource"]).into_iter().map(Value::to_string) {
                // Secrets of the deployment are listed by name.
                let path =
                    resource.split_once(":secret:${SecretPrefix}").map(|(_, path)| path.to_owned());
                tenants.extend(
                    path.map(|path| (role.clone(), path.trim_end_matches("\"}").to_owned())),
                );
            }
        }
    }
    let expected = [
        ("CollectRole", "connection"),
        ("DisableRole", "directory"),
        ("ForwardRole", "stream"),
        ("WatchRole", "webhook"),
    ];
    let expected = expected.map(|(role, purpose)| (role.to_owned(), format!("/*/{purpose}/*")));
    assert_eq!(tenants, expected.into());
}

/// The template sends each function exactly the routes of its table. Only routes that need no permission have no authorizer.
#[test]
fn each_function_is_sent_the_routes_of_its_table_and_no_others() {
    let template = template();
    let mut sent = BTreeSet::new();
    for (function, properties) in of_type(&template, "AWS::Serverless::Function") {
        let folder = properties["CodeUri"].as_str().unwrap().rsplit('/').next().unwrap();
        let events = properties["Events"].as_object().into_iter().flatten();
        for (_, event) in events.filter(|(_, event)| event["Type"] == "HttpApi") {
            let event = &event["Properties"];
            let text = |name: &str| event[name].as_str().unwrap();
            let is_open = event["Auth"]["Authorizer"] == "NONE";
            let route = format!("{} {}", text("Method"), text("Path"));
            assert!(
                sent.insert((folder.to_owned(), route.clone(), is_open)),
                "{function}: {route}"
            );
        }
    }
    let tables: BTreeSet<_> = permissions::tables()
        .into_iter()
        .map(|(function, route, needs)| (function.to_owned(), route, needs == Needs::Nothing))
        .collect();
    let without: Vec<_> = sent.difference(&tables).collect();
    assert!(without.is_empty(), "routes of the template that are in no table: {without:?}");
    let unsent: Vec<_> = tables.difference(&sent).collect();
    assert!(unsent.is_empty(), "routes of a table that are not in the template: {unsent:?}");
}

#[test]
fn both_tables_are_retained_protected_encrypted_and_recoverable() {
    let template = template();
    let tables = of_type(&template, "AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 2);
    for (name, table) in tables {
        assert_eq!(table["DeletionProtectionEnabled"], true, "{name}");
        assert_eq!(table["SSESpecification"]["SSEEnabled"], true, "{name}");
        assert_eq!(
            table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true,
            "{name}"
        );
        assert_eq!(
            table["TimeToLiveSpecification"],
            serde_json::json!({"AttributeName": "ttl", "Enabled": true}),
            "{name}"
        );
        assert_eq!(table["BillingMode"], "PAY_PER_REQUEST", "{name}");
        assert!(
            table.get("TableName").is_none(),
            "{name}: a fixed name cannot be replaced or deployed twice"
        );
        assert_eq!(template["Resources"][name.as_str()]["DeletionPolicy"], "Retain", "{name}");
    }
}

#[test]
fn files_are_private_and_encrypted_and_export_files_expire() {
    let template = template();
    let buckets = of_type(&template, "AWS::S3::Bucket");
    let names: BTreeSet<_> = buckets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["AccessLogBucket", "ExportBucket", "StreamBucket"].into());
    let policies = of_type(&template, "AWS::S3::BucketPolicy");
    let denied = |name: &str| -> Vec<Value> {
        let policy = policies.iter().find(|(_, policy)| policy["Bucket"]["Ref"] == name).unwrap().1;
        list(&policy["PolicyDocument"]["Statement"])
            .into_iter()
            .map(|it| it["Condition"].clone())
            .collect()
    };
    for (name, bucket) in &buckets {
        assert!(bucket.get("BucketName").is_none(), "{name}");
        let encryption = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"];
        assert!(encryption["SSEAlgorithm"].is_string(), "{name}");
        for block in
            ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"]
        {
            assert_eq!(bucket["PublicAccessBlockConfiguration"][block], true, "{name}: {block}");
        }
        assert!(
            denied(name).iter().any(|it| it["Bool"]["aws:SecureTransport"] == "false"),
            "{name}"
        );
    }
    let bucket =
        |wanted: &str| &buckets.iter().find(|(name, _)| name.as_str() == wanted).unwrap().1;
    let rules = bucket("ExportBucket")["LifecycleConfiguration"]["Rules"].as_array().unwrap();
    assert!(
        rules.iter().any(|rule| rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 2)
    );
    let longest = template["Parameters"]["ExportDays"]["MaxValue"].as_i64().unwrap();
    assert!(rules.iter().any(|rule| rule["ExpirationInDays"] == longest + 1));
    // Ten minutes, in milliseconds.
    assert!(
        denied("ExportBucket")
            .iter()
            .any(|it| it["NumericGreaterThan"]["s3:signatureAge"] == "600000")
    );
    // Stream files do not expire, and no role can read or delete them.
    assert!(bucket("StreamBucket").get("LifecycleConfiguration").is_none());
    for (role, statement) in statements(&template) {
        if statement["Resource"].to_string().contains("StreamBucket") {
            assert_eq!(
                (role.as_str(), &statement["Action"]),
                ("ForwardRole", &Value::from("s3:PutObject"))
            );
        }
    }
}

/// `sam build` passes the name of the binary and no profile. So the profile settings are in a cargo configuration
/// that cargo finds from a function's folder.
#[test]
fn sam_builds_a_function_with_the_settings_beside_the_functions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let template = template();
    for (function, properties) in of_type(&template, "AWS::Serverless::Function") {
        let build = &template["Resources"][function.as_str()]["Metadata"]["BuildProperties"];
        assert_eq!(
            build.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["Binary"],
            "{function}: SAM passes no other argument"
        );
        let folder = root.join("infra").join(properties["CodeUri"].as_str().unwrap());
        assert!(folder.join("../.cargo/config.toml").exists(), "{function}");
    }
    let release = |folder: &Path| {
        // Only prints the configuration and compiles nothing.
        let mut cargo = Command::new(env!("CARGO"));
        let output = cargo
            .args(["config", "get", "profile.release.lto", "-Zunstable-options"])
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(folder)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(release(&root.join("functions/ingest")).trim(), "profile.release.lto = \"fat\"");
    assert_eq!(release(root).trim(), "");
}

/// The functions catch a panic on one directory's response, which needs unwinding. cargo-lambda builds with `panic = "abort"` unless the
/// manifest of the workspace sets `unwind`. A cargo configuration next to the functions has no effect on this.
#[test]
fn a_panic_unwinds_in_deployed_binaries() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let (_, release) = manifest.split_once("\n[profile.release]\n").unwrap();
    let (release, _) = release.split_once("\n[").unwrap_or((release, ""));
    assert!(release.lines().any(|line| line == "panic = \"unwind\""), "{release}");
}

/// The one-machine run compiles faster because some crates are not optimised. A deployed binary would be slow and large with them.
#[test]
fn deployed_binaries_optimise_what_the_one_machine_run_does_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let packages = |file: &str| {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let (_, packages) = text.split_once("\n[profile.release.package]\n").unwrap();
        let (packages, _) = packages.split_once("\n[").unwrap();
        let settings = packages.lines().filter_map(|line| line.split_once(".opt-level = "));
        settings.map(|(name, level)| (name.to_owned(), level.to_owned())).collect::<Vec<_>>()
    };
    let deployed = packages("functions/.cargo/config.toml");
    for (name, _) in packages("Cargo.toml").iter().filter(|(_, level)| level == "0") {
        let setting = deployed.iter().find(|(deployed, _)| deployed == name);
        assert!(
            setting.is_some_and(|(_, level)| level != "0"),
            "{name} in functions/.cargo/config.toml"
        );
    }
}

#[test]
fn every_function_logs_to_a_group_with_retention() {
    let template = template();
    for (function, properties) in of_type(&template, "AWS::Serverless::Function") {
        let group = properties["LoggingConfig"]["LogGroup"]["Ref"]
            .as_str()
            .unwrap_or_else(|| panic!("{function} has no log group"));
        let retention = &template["Resources"][group]["Properties"]["RetentionInDays"];
        assert_eq!(retention["Ref"], "LogRetentionDays", "{function}");
    }
}

#[test]
fn the_access_log_names_the_caller_id_and_tenant_but_no_person() {
    let template = template();
    let format =
        template["Resources"]["Api"]["Properties"]["AccessLogSettings"]["Format"]["Fn::Sub"]
            .as_str()
            .unwrap();
    let line: Value = serde_json::from_str(format).unwrap();
    assert_eq!(line["sub"], "$context.authorizer.claims.sub");
    assert_eq!(line["tenant"], "$context.authorizer.claims.${TenantClaim}");
    assert!(!format.contains("email") && !format.contains("$context.path"), "{format}");
}

#[test]
fn the_deployment_key_is_generated_once_and_readable_only_where_needed() {
    let template = template();
    let secrets = of_type(&template, "AWS::SecretsManager::Secret");
    let [(name, secret)] = secrets.as_slice() else { panic!("one secret: {secrets:?}") };
    let resource = &template["Resources"][name.as_str()];
    // With another key, repeated requests would be stored twice and every cursor would be refused.
    assert_eq!(
        (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]),
        (&Value::from("Retain"), &Value::from("Retain"))
    );
    assert_eq!(secret["GenerateSecretString"]["PasswordLength"], 64);
    assert!(secret.get("Name").is_none() && secret.get("SecretString").is_none());
    let readers: BTreeSet<_> = statements(&template)
        .into_iter()
        .filter(|(_, statement)| statement["Resource"].to_string().contains(name.as_str()))
        .map(|(role, statement)| {
            assert_eq!(statement["Action"], "secretsmanager:GetSecretValue", "{role}");
            role
        })
        .collect();
    assert!(readers.contains("IngestRole") && readers.contains("QueryRole"), "{readers:?}");
    for role in ["DisableRole", "WatchRole", "ForwardRole", "PortalRole"] {
        assert!(!readers.contains(role), "{role}");
    }
}

/// Lambda's quota for the resource policy of a function.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const RESOURCE_POLICY: usize = 20_480;

/// SAM gives API Gateway one permission for each route. The statement is as Lambda stores it, for a stack with a long name in the
/// region with the longest name.
fn statement_of(function: &str, event: &str, properties: &Value) -> usize {
    let (stack, region, account) = ("jit-audit-production", "ap-southeast-1", "123456789012");
    let method = properties["Method"].as_str().unwrap();
    let path = properties["Path"].as_str().unwrap();
    let path: Vec<_> =
        path.split('/').map(|step| if step.starts_with('{') { "*" } else { step }).collect();
    let statement = serde_json::json!({
        "Sid": format!("{stack}-{function}{event}Permission-ABCDEFGHIJKL"),
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": format!("arn:aws:lambda:{region}:{account}:function:{stack}-{function}-ABCDEFGHIJKL"),
        "Condition": {"ArnLike": {"AWS:SourceArn": format!("arn:aws:execute-api:{region}:{account}:abcdefghij/*/{method}{}", path.join("/"))}},
    });
    statement.to_string().len() + 1
}

#[test]
fn the_permissions_of_all_routes_fit_into_each_functions_policy() {
    let template = template();
    for (function, properties) in of_type(&template, "AWS::Serverless::Function") {
        let events = properties["Events"].as_object().into_iter().flatten();
        let sizes: Vec<_> = events
            .filter(|(_, event)| event["Type"] == "HttpApi")
            .map(|(name, event)| statement_of(function, name, &event["Properties"]))
            .collect();
        let Some(largest) = sizes.iter().max() else { continue };
        let used: usize = 100 + sizes.iter().sum::<usize>();
        let left = RESOURCE_POLICY.saturating_sub(used) / largest;
        eprintln!("{function}: {} routes take {used} bytes; {left} more fit", sizes.len());
        assert!(
            used <= RESOURCE_POLICY,
            "{function}: the permissions of its {} routes take {used} bytes of Lambda's {RESOURCE_POLICY}. Give it one permission with a wildcard instead, or move routes to another function",
            sizes.len()
        );
    }
}

/// Everything that fails or waits is noticed, and a person can read what the alarm means.
#[test]
fn every_function_and_queue_has_alarms_and_every_alarm_has_a_row_in_the_guide() {
    let template = template();
    let alarms = of_type(&template, "AWS::CloudWatch::Alarm");
    let metrics = |alarm: &Value| -> Vec<Value> {
        match alarm.get("Metrics") {
            None => vec![alarm.clone()],
            Some(metrics) => {
                let parts = list(metrics).into_iter();
                parts.filter_map(|part| part["MetricStat"].get("Metric").cloned()).collect()
            }
        }
    };
    let has_alarm = |metric: &str, dimension: Value| {
        alarms
            .iter()
            .flat_map(|(_, alarm)| metrics(alarm))
            .any(|it| it["MetricName"] == metric && list(&it["Dimensions"]).contains(&&dimension))
    };
    for (function, _) in of_type(&template, "AWS::Serverless::Function") {
        for metric in ["Errors", "Throttles"] {
            let dimension = json!({"Name": "FunctionName", "Value": {"Ref": function}});
            assert!(has_alarm(metric, dimension), "{function}: {metric}");
        }
    }
    for (queue, _) in of_type(&template, "AWS::SQS::Queue") {
        let dimension = json!({"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}});
        assert!(has_alarm("ApproximateNumberOfMessagesVisible", dimension), "{queue}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guide = fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let stack = json!({"Name": "Stack", "Value": {"Ref": "AWS::StackName"}});
    for (name, alarm) in &alarms {
        for action in ["AlarmActions", "OKActions"] {
            assert_eq!(alarm[action], json!([{"Ref": "Alarms"}]), "{name}");
        }
        assert!(alarm["AlarmDescription"].as_str().is_some_and(|text| text.len() > 40), "{name}");
        for metric in metrics(alarm).iter().filter(|it| it["Namespace"] == "JitAudit") {
            assert_eq!(metric["Dimensions"], json!([stack]), "{name}");
        }
        assert!(guide.contains(&format!("| `{name}` |")), "{name} is not in docs/operating.md");
    }
    let named = guide.split("| `").filter_map(|rest| rest.split_once("Alarm` |"));
    for (name, _) in named.filter(|(name, _)| !name.contains(' ')) {
        let is_there = alarms.iter().any(|(alarm, _)| **alarm == format!("{name}Alarm"));
        assert!(is_there, "docs/operating.md has an alarm {name}Alarm that the template has not");
    }
}

/// An account may have several stacks: CloudFormation names what SAM would name alike in each.
#[test]
fn nothing_has_a_name_that_a_second_stack_would_have_too() {
    let template = template();
    for (function, properties) in of_type(&template, "AWS::Serverless::Function") {
        for (name, event) in properties["Events"].as_object().into_iter().flatten() {
            if event["Type"] == "ScheduleV2" {
                assert_eq!(event["Properties"]["OmitName"], true, "{function} {name}");
            }
        }
    }
    const NAMES: [&str; 10] = [
        "AlarmName",
        "BucketName",
        "DashboardName",
        "FunctionName",
        "LogGroupName",
        "Name",
        "QueueName",
        "RoleName",
        "TableName",
        "TopicName",
    ];
    for (name, resource) in template["Resources"].as_object().unwrap() {
        let Some(properties) = resource["Properties"].as_object() else { continue };
        assert!(NAMES.iter().all(|it| !properties.contains_key(*it)), "{name}");
    }
}

#[test]
fn queues_topics_and_buckets_refuse_what_is_not_encrypted_on_the_way() {
    let template = template();
    let refused = |kind: &str, of: &str| -> Vec<Value> {
        let policies = of_type(&template, kind).into_iter();
        let denied = policies.filter(|(_, policy)| {
            list(&policy["PolicyDocument"]["Statement"]).iter().any(|statement| {
                statement["Effect"] == "Deny"
                    && statement["Condition"]["Bool"]["aws:SecureTransport"] == "false"
            })
        });
        denied.flat_map(|(_, policy)| list(&policy[of]).into_iter().cloned()).collect()
    };
    for (resource, policy, of) in [
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket"),
    ] {
        let refused = refused(policy, of);
        for (name, _) in of_type(&template, resource) {
            assert!(refused.contains(&json!({"Ref": name})), "{name}");
        }
    }
}
