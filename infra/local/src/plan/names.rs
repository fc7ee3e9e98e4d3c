//! The values of names in a template on one machine: parameters, conditions, and the names and ARNs of resources.

use std::collections::BTreeMap;

use crate::{
    known,
    template::{
        At, TemplateError,
        intrinsics::{Attributes, Named, Scope},
    },
};

use super::{ACCOUNT, Machine, REGION, STACK, parameters};

/// The values of the names in the template.
pub(super) fn scope(
    template: &At,
    resources: &At,
    machine: &Machine<'_>,
) -> Result<Scope, TemplateError> {
    let mut scope = Scope::default();
    for (name, text) in [
        ("AWS::AccountId", ACCOUNT),
        ("AWS::Partition", "aws"),
        ("AWS::Region", REGION),
        ("AWS::StackName", STACK),
        ("AWS::URLSuffix", "amazonaws.com"),
    ] {
        scope.parameter(name, text);
    }
    parameters::read(template, machine, &mut scope)?;
    if let Some(conditions) = template.get("Conditions") {
        for (name, condition) in conditions.entries()? {
            scope.condition(&name, condition);
        }
    }
    for (name, resource) in resources.entries()? {
        let physical = format!("{STACK}-{name}");
        let named = match resource.need("Type")?.text()? {
            known::TABLE => Named {
                attributes: Attributes::These(BTreeMap::from([
                    ("Arn", table_arn(&physical)),
                    ("StreamArn", stream_arn(&physical)),
                ])),
                reference: physical,
            },
            known::FUNCTION => Named {
                attributes: Attributes::These(BTreeMap::from([("Arn", function_arn(&physical))])),
                reference: physical,
            },
            known::BUCKET => Named {
                attributes: Attributes::These(BTreeMap::from([(
                    "Arn",
                    format!("arn:aws:s3:::{}", bucket_name(&name)),
                )])),
                reference: bucket_name(&name),
            },
            // `!Ref` of a topic is its ARN.
            known::TOPIC => Named {
                attributes: Attributes::These(BTreeMap::from([
                    ("TopicArn", topic_arn(&physical)),
                    ("TopicName", physical.clone()),
                ])),
                reference: topic_arn(&physical),
            },
            // `!Ref` of a secret is its ARN too, which is also its only attribute.
            known::SECRET => Named {
                attributes: Attributes::These(BTreeMap::from([("Id", secret_arn(&physical))])),
                reference: secret_arn(&physical),
            },
            known::HTTP_API => Named {
                attributes: Attributes::These(BTreeMap::from([
                    ("ApiId", name.clone()),
                    ("ApiEndpoint", machine.url.to_owned()),
                ])),
                reference: name.clone(),
            },
            _ => Named { attributes: Attributes::Placeholder, reference: physical },
        };
        scope.resource(&name, named);
    }
    Ok(scope)
}

/// The name of a bucket is part of host names, which ignore case, and of file names, which must be short.
pub(super) fn bucket_name(logical: &str) -> String {
    logical.to_lowercase()
}

pub(super) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

pub(super) fn stream_arn(table: &str) -> String {
    format!("{}/stream/local", table_arn(table))
}

pub(super) fn topic_arn(name: &str) -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}")
}

pub(super) fn secret_arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}")
}

pub(super) fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}
