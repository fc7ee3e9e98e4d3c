//! The schema of access packages in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    configuration::document::Document,
    json::{
        object_reader::{NAME_BYTES, TEXT_BYTES},
        request_schema::{Object, about, flag, length, list, text, texts, whole},
    },
};

use super::{
    Approvers, MOST_APPROVALS, MOST_NAMED, MOST_OWNERS, MOST_POLICIES, MOST_RESOURCE_ROLES,
    Package, Policy, Requestors, Resource, ResourceRole,
};

/// The body of `PUT /v1/packages/{id}`.
#[derive(Debug)]
pub struct PackageRequest;

impl JsonSchema for PackageRequest {
    fn schema_name() -> Cow<'static, str> {
        "PackageRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::like::<Package>("An access package. The ids of its policies are unique.")
            .read_only(Package::READ_ONLY)
            .required("name", text(NAME_BYTES))
            .optional("description", text(TEXT_BYTES))
            .optional("catalog", text(NAME_BYTES))
            .optional("owners", texts(0..=MOST_OWNERS))
            .optional("resource_roles", list(resource_role(), 0..=MOST_RESOURCE_ROLES))
            .optional("policies", list(policy(), 0..=MOST_POLICIES))
            .example(json!({
                "name": "Sales",
                "description": "What the sales team works with",
                "catalog": "Field",
                "owners": ["sam@acme.example"],
                "resource_roles": [
                    {"resource": {"id": "grp-1", "name": "Sales team", "type": "group"}, "role": "member"},
                ],
                "policies": [{
                    "id": "pol-1",
                    "name": "Sales staff",
                    "requestors": {
                        "all": false,
                        "members": true,
                        "users": ["kim@acme.example"],
                        "groups": ["grp-sales"],
                        "organisations": ["fabrikam"],
                        "configured_organisations": false,
                    },
                    "approvals_needed": 1,
                    "approvers": {
                        "users": ["lead@acme.example"],
                        "groups": ["grp-leads"],
                        "manager": true,
                        "sponsors": false,
                        "others": false,
                    },
                    "duration": "P30D",
                }],
            }))
            .schema()
    }
}

fn resource_role() -> Schema {
    let resource = Object::like::<Resource>("A group, application or site.")
        .optional("id", text(NAME_BYTES))
        .required("name", text(NAME_BYTES))
        .optional("type", text(NAME_BYTES));
    Object::like::<ResourceRole>("One role in one resource.")
        .required("resource", resource.schema())
        .required("role", text(NAME_BYTES))
        .schema()
}

fn policy() -> Schema {
    let requestors = Object::like::<Requestors>(
        "Anyone who matches any of these. Nobody, if all are absent, empty or false.",
    )
    .optional("all", flag())
    .optional("members", flag())
    .optional("users", texts(0..=MOST_NAMED))
    .optional("groups", texts(0..=MOST_NAMED))
    .optional("organisations", texts(0..=MOST_NAMED))
    .optional("configured_organisations", flag());
    let approvers = Object::like::<Approvers>("Anyone who matches any of these.")
        .optional("users", texts(0..=MOST_NAMED))
        .optional("groups", texts(0..=MOST_NAMED))
        .optional("manager", flag())
        .optional("sponsors", flag())
        .optional("others", flag());
    Object::like::<Policy>("A policy: who may request the package, and who approves.")
        .required("id", text(NAME_BYTES))
        .optional("name", text(NAME_BYTES))
        .required("requestors", requestors.schema())
        .optional("approvals_needed", about("1 if absent.", whole(0..=MOST_APPROVALS)))
        .optional("approvers", approvers.schema())
        .optional("duration", about("At most P3660D.", length()))
        .schema()
}
