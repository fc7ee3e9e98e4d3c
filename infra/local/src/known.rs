//! What of a template means something on one machine, and what is passed over because it does not. Whatever stands in
//! neither list stops the runner at start, so that nothing deployed is silently missing here.

/// Resource types the runner builds, with the properties it honours.
pub(crate) const BUILT: &[(&str, &[&str])] = &[
    (HTTP_API, &["Auth", "DefaultRouteSettings"]),
    (FUNCTION, &["CodeUri", "Environment", "EventInvokeConfig", "Events", "Timeout"]),
    (
        TABLE,
        &[
            "AttributeDefinitions",
            "DeletionProtectionEnabled",
            "GlobalSecondaryIndexes",
            "KeySchema",
            "LocalSecondaryIndexes",
            "StreamSpecification",
            "TimeToLiveSpecification",
        ],
    ),
    (BUCKET, &[]),
    (TOPIC, &[]),
    (SECRET, &["GenerateSecretString"]),
];

/// Properties of those types that have no meaning on one machine: permissions, billing, size, logs, encryption, backup,
/// and where failures go (here they are logged).
pub(crate) const PROPERTIES_PASSED_OVER: &[(&str, &[&str])] = &[
    (HTTP_API, &["AccessLogSettings", "Description", "Name", "PropagateTags", "Tags"]),
    (
        FUNCTION,
        &[
            "Architectures",
            "DeadLetterQueue",
            "Description",
            "EphemeralStorage",
            "Handler",
            "KmsKeyArn",
            "LoggingConfig",
            "MemorySize",
            "PackageType",
            "PermissionsBoundary",
            "Policies",
            "PropagateTags",
            "ReservedConcurrentExecutions",
            "Role",
            "Runtime",
            "RuntimeManagementConfig",
            "Tags",
            "Tracing",
        ],
    ),
    (
        TABLE,
        &[
            "BillingMode",
            "ContributorInsightsSpecification",
            "OnDemandThroughput",
            "PointInTimeRecoverySpecification",
            "ProvisionedThroughput",
            "SSESpecification",
            "TableClass",
            "Tags",
        ],
    ),
    // Files are deleted by who made them; the rules of a lifecycle are there for what that leaves.
    (
        BUCKET,
        &[
            "BucketEncryption",
            "LifecycleConfiguration",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
            "Tags",
            "VersioningConfiguration",
        ],
    ),
    // Whoever subscribes is elsewhere: what is published is printed.
    (TOPIC, &["DisplayName", "KmsMasterKeyId", "Subscription", "Tags", "TopicName"]),
    (SECRET, &["Description", "KmsKeyId", "Tags"]),
    (HTTP_API_EVENT, &[]),
    // Events always reach their function here, so how often a delivery is tried has no meaning.
    (SCHEDULE_EVENT, &["DeadLetterConfig", "Description", "Name", "RetryPolicy"]),
    (
        SCHEDULE_V2_EVENT,
        &[
            "DeadLetterConfig",
            "Description",
            "FlexibleTimeWindow",
            "GroupName",
            "KmsKeyArn",
            "Name",
            "OmitName",
            "PermissionsBoundary",
            "RetryPolicy",
            "RoleArn",
            "ScheduleExpressionTimezone",
        ],
    ),
    // One shard is read in order, which is what parallel batches promise for each key.
    (STREAM_EVENT, &["DestinationConfig", "KmsKeyArn", "MetricsConfig", "ParallelizationFactor"]),
];

/// Properties of a function's events that the runner honours.
pub(crate) const EVENTS: &[(&str, &[&str])] = &[
    (
        HTTP_API_EVENT,
        &["ApiId", "Auth", "Method", "Path", "PayloadFormatVersion", "TimeoutInMillis"],
    ),
    (SCHEDULE_EVENT, &["Enabled", "Input", "Schedule", "State"]),
    (SCHEDULE_V2_EVENT, &["Input", "ScheduleExpression", "State"]),
    (
        STREAM_EVENT,
        &[
            "BatchSize",
            "BisectBatchOnFunctionError",
            "Enabled",
            "FunctionResponseTypes",
            "MaximumBatchingWindowInSeconds",
            "MaximumRecordAgeInSeconds",
            "MaximumRetryAttempts",
            "StartingPosition",
            "Stream",
        ],
    ),
];

/// Resource types passed over whole.
pub(crate) const TYPES_PASSED_OVER: &[&str] = &[
    "AWS::CloudWatch::Alarm",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
];

/// Sections of a template, and what stands beside a resource's properties, that are passed over.
pub(crate) const SECTIONS_PASSED_OVER: &[&str] =
    &["AWSTemplateFormatVersion", "Description", "Metadata", "Outputs", "Transform"];
pub(crate) const ATTRIBUTES_PASSED_OVER: &[&str] =
    &["DeletionPolicy", "DependsOn", "UpdateReplacePolicy"];

/// Values that parameters take on one machine, before the template's own defaults.
pub(crate) const ONE_MACHINE_PARAMETERS: &[(&str, &str)] = &[
    // One process and one clock: nothing is recorded behind the feed's back for longer.
    ("FeedLag", "1"),
    // An index of the embedded engine is the table itself.
    ("IndexLag", "0"),
    // A run that died died with this process.
    ("ExportLease", "5"),
    ("StreamLease", "20"),
    // Whoever tries a stream to S3 out wants to see its files.
    ("StreamGather", "5"),
    // Directories on this machine are reached, secrets are the run's own environment variables, and a window may last a second. No
    // deployed stack can be told so: the template allows it no other value than its default.
    ("OneMachine", "true"),
];

pub(crate) const HTTP_API: &str = "AWS::Serverless::HttpApi";
pub(crate) const FUNCTION: &str = "AWS::Serverless::Function";
pub(crate) const TABLE: &str = "AWS::DynamoDB::Table";
pub(crate) const BUCKET: &str = "AWS::S3::Bucket";
pub(crate) const TOPIC: &str = "AWS::SNS::Topic";
pub(crate) const SECRET: &str = "AWS::SecretsManager::Secret";
pub(crate) const HTTP_API_EVENT: &str = "HttpApi";
pub(crate) const SCHEDULE_EVENT: &str = "Schedule";
pub(crate) const SCHEDULE_V2_EVENT: &str = "ScheduleV2";
pub(crate) const STREAM_EVENT: &str = "DynamoDB";

/// The list kept for a type.
pub(crate) fn of(table: &'static [(&str, &[&str])], kind: &str) -> &'static [&'static str] {
    table.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, list)| list)
}
