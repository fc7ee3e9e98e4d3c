//! The parts of a template that the runner honours, and the parts that it ignores because they have no meaning on one
//! machine. Any other part stops the runner at start, so that no deployed part is silently missing here.

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
            "ResourcePolicy",
            "SSESpecification",
            "TableClass",
            "Tags",
        ],
    ),
    // Functions delete their files. Lifecycle rules only delete files that this misses.
    (
        BUCKET,
        &[
            "BucketEncryption",
            "LifecycleConfiguration",
            "LoggingConfiguration",
            "ObjectLockConfiguration",
            "ObjectLockEnabled",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
            "Tags",
            "VersioningConfiguration",
        ],
    ),
    // Topics have no subscribers here. Published messages are printed.
    (TOPIC, &["DisplayName", "KmsMasterKeyId", "Subscription", "Tags", "TopicName"]),
    (SECRET, &["Description", "KmsKeyId", "Tags"]),
    (HTTP_API_EVENT, &[]),
    // Delivery to a function never fails here, so retry policies have no meaning.
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
    // One shard is read in order, which also satisfies the order per key of parallel batches.
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
            "FilterCriteria",
            "FunctionResponseTypes",
            "MaximumBatchingWindowInSeconds",
            "MaximumRecordAgeInSeconds",
            "MaximumRetryAttempts",
            "StartingPosition",
            "Stream",
        ],
    ),
];

/// Resource types that are ignored.
pub(crate) const TYPES_PASSED_OVER: &[&str] = &[
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
];

/// Sections of a template and attributes of resources that are ignored.
pub(crate) const SECTIONS_PASSED_OVER: &[&str] =
    &["AWSTemplateFormatVersion", "Description", "Metadata", "Outputs", "Transform"];
pub(crate) const ATTRIBUTES_PASSED_OVER: &[&str] =
    &["DeletionPolicy", "DependsOn", "UpdateReplacePolicy"];

/// Values that parameters take on one machine, before the template's own defaults.
pub(crate) const ONE_MACHINE_PARAMETERS: &[(&str, &str)] = &[
    // All writers share one process and one clock, so a short lag is enough.
    ("FeedLag", "1"),
    // Indexes of the embedded engine have no delay.
    ("IndexLag", "0"),
    // A run ends with this process, so a short lease is enough.
    ("ExportLease", "5"),
    ("StreamLease", "20"),
    ("CollectLease", "10"),
    // Records of a directory appear soon, for demonstrations.
    ("CollectPause", "10"),
    // Files of a stream to S3 appear soon, for demonstrations.
    ("StreamGather", "5"),
    // Permits directories on this machine, secrets from environment variables, and windows of one second. A deployed stack
    // cannot set it, because the template allows only the default.
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

/// The list for a type.
pub(crate) fn of(table: &'static [(&str, &[&str])], kind: &str) -> &'static [&'static str] {
    table.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, list)| list)
}
