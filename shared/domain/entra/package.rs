//! An access package (`accessPackage`) with policies and resource roles as a configured document of
//! the tenant.

use crate::{
    configuration::access_package::{
        Approvers, MOST_APPROVALS, MOST_NAMED, MOST_POLICIES, MOST_RESOURCE_ROLES, Package, Policy,
        Requestors, Resource, ResourceRole,
    },
    json::strict_json::FieldError,
    time::duration::Length,
};

use crate::entra::graph::{Object, long_text, name};

/// Largest package as JSON, the same limit as for a request.
const MAX_BYTES: usize = 64 * 1024;

/// The members of a package in the export. A member that the export did not expand is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedPackage {
    pub id: String,
    name: String,
    description: Option<String>,
    catalog: Option<String>,
    resource_roles: Option<Vec<ResourceRole>>,
    policies: Option<Vec<Policy>>,
}

impl ImportedPackage {
    pub(crate) fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let imported = Self {
            id: crate::entra::organisation::document_id(object)?,
            name: name(object.required_text(&["displayName"])?),
            description: object.text(&["description"])?.map(long_text),
            catalog: catalog(object)?,
            resource_roles: resource_roles(object)?,
            policies: policies(object)?,
        };
        let package = imported.onto(None);
        package.check_policy_ids(&imported.id)?;
        let bytes = serde_json::to_string(&package).map_or(0, |json| json.len());
        if bytes > MAX_BYTES {
            return Err(FieldError::new(
                "",
                format!("is a package of {bytes} bytes; {MAX_BYTES} are the most"),
            ));
        }
        Ok(imported)
    }

    /// The package after the import. Members that the export does not contain keep their value from
    /// `before`.
    pub fn onto(&self, before: Option<Package>) -> Package {
        let Self { id: _, name, description, catalog, resource_roles, policies } = self.clone();
        let before = before.unwrap_or(Package {
            name: String::new(),
            description: None,
            catalog: None,
            owners: Vec::new(),
            resource_roles: Vec::new(),
            policies: Vec::new(),
        });
        Package {
            name,
            description: description.or(before.description),
            catalog: catalog.or(before.catalog),
            owners: before.owners,
            resource_roles: resource_roles.unwrap_or(before.resource_roles),
            policies: policies.unwrap_or(before.policies),
        }
    }
}

fn catalog(object: &Object<'_>) -> Result<Option<String>, FieldError> {
    let catalog = object.object(&["catalog", "accessPackageCatalog"])?;
    let named = catalog.map_or(Ok(None), |catalog| catalog.text(&["displayName", "id"]))?;
    Ok(named.or(object.text(&["catalogId"])?).map(name))
}

fn bounded<T>(
    object: &Object<'_>,
    member: &str,
    list: Vec<T>,
    most: usize,
) -> Result<Vec<T>, FieldError> {
    if list.len() > most {
        return Err(
            object.wrong(member, format!("has {} entries; {most} are the most", list.len()))
        );
    }
    Ok(list)
}

fn resource_roles(object: &Object<'_>) -> Result<Option<Vec<ResourceRole>>, FieldError> {
    const MEMBERS: [&str; 2] = ["resourceRoleScopes", "accessPackageResourceRoleScopes"];
    let Some(list) = object.list(&MEMBERS)? else { return Ok(None) };
    let place = object.member(&MEMBERS).map_or(MEMBERS[0], |(key, _)| key);
    let list = bounded(object, place, list, MOST_RESOURCE_ROLES)?;
    list.iter().map(resource_role).collect::<Result<_, _>>().map(Some)
}

fn resource_role(pair: &Object<'_>) -> Result<ResourceRole, FieldError> {
    let unexpanded = || {
        pair.wrong(
            "role",
            "is required: export with $expand=resourceRoleScopes($expand=role,scope)",
        )
    };
    let role = pair.object(&["role", "accessPackageResourceRole"])?.ok_or_else(unexpanded)?;
    let scope = pair.object(&["scope", "accessPackageResourceScope"])?;
    let resource = match role.object(&["resource", "accessPackageResource"])? {
        Some(resource) => Some(resource),
        None => match &scope {
            Some(scope) => scope.object(&["resource", "accessPackageResource"])?,
            None => None,
        },
    };
    let mut found = Resource { id: None, name: String::new(), kind: None };
    if let Some(resource) = &resource {
        found.id = resource.id(&["originId", "id"])?.map(name);
        found.name = resource.text(&["displayName"])?.map(name).unwrap_or_default();
        found.kind = resource.text(&["originSystem", "resourceType"])?.map(name);
    }
    if let Some(scope) = &scope {
        let id = scope.id(&["originId", "id"])?.map(name);
        // The root scope of a resource has no name of its own.
        let is_root = scope.flag(&["isRootScope"])?.unwrap_or_default();
        let shown = scope.text(&["displayName"])?.filter(|_| !is_root).map(name);
        found.id = found.id.or(id);
        if found.name.is_empty() {
            found.name = shown.unwrap_or_default();
        }
        found.kind = found.kind.or(scope.text(&["originSystem"])?.map(name));
    }
    if found.name.is_empty() {
        found.name = found.id.clone().ok_or_else(|| pair.wrong("scope", "names no resource"))?;
    }
    found.kind = found.kind.or(role.text(&["originSystem"])?.map(name));
    Ok(ResourceRole {
        resource: found,
        role: name(role.required_text(&["displayName", "originId"])?),
    })
}

fn policies(object: &Object<'_>) -> Result<Option<Vec<Policy>>, FieldError> {
    const MEMBERS: [&str; 2] = ["assignmentPolicies", "accessPackageAssignmentPolicies"];
    let Some(list) = object.list(&MEMBERS)? else { return Ok(None) };
    let place = object.member(&MEMBERS).map_or(MEMBERS[0], |(key, _)| key);
    let list = bounded(object, place, list, MOST_POLICIES)?;
    list.iter().map(policy).collect::<Result<_, _>>().map(Some)
}

fn policy(object: &Object<'_>) -> Result<Policy, FieldError> {
    let settings = object.object(&["requestApprovalSettings"])?;
    let mut approvers = Approvers::default();
    let mut approvals_needed = 0;
    if let Some(settings) = &settings {
        let stages = settings.list(&["stages", "approvalStages"])?.unwrap_or_default();
        let is_required = settings.flag(&["isApprovalRequiredForAdd", "isApprovalRequired"])?;
        if is_required.unwrap_or(!stages.is_empty()) {
            // Each stage needs one approval.
            approvals_needed =
                u32::try_from(stages.len()).unwrap_or(u32::MAX).clamp(1, MOST_APPROVALS);
            for stage in &stages {
                let lists = [
                    "primaryApprovers",
                    "fallbackPrimaryApprovers",
                    "escalationApprovers",
                    "fallbackEscalationApprovers",
                ];
                for list in lists {
                    for subject in stage.list(&[list])?.unwrap_or_default() {
                        add_approver(&mut approvers, &subject)?;
                    }
                }
            }
        }
    }
    for (count, what) in [(approvers.users.len(), "users"), (approvers.groups.len(), "groups")] {
        if count > MOST_NAMED {
            return Err(object.wrong(
                "requestApprovalSettings",
                format!("names {count} {what}; {MOST_NAMED} are the most"),
            ));
        }
    }
    Ok(Policy {
        id: name(object.required_text(&["id"])?),
        name: object.text(&["displayName"])?.map(name),
        requestors: requestors(object)?,
        approvals_needed,
        approvers,
        duration: duration(object)?,
    })
}

/// The last part of a subject's type in lower case: `singleuser`, `groupmembers`,
/// `requestormanager` …
fn subject_type(subject: &Object<'_>) -> Result<String, FieldError> {
    let kind = subject.required_text(&["@odata.type"])?;
    Ok(kind.rsplit('.').next().unwrap_or(kind).to_ascii_lowercase())
}

fn add_approver(approvers: &mut Approvers, subject: &Object<'_>) -> Result<(), FieldError> {
    let add = |list: &mut Vec<String>, id: &str| {
        if !list.iter().any(|known| known == id) {
            list.push(name(id));
        }
    };
    match subject_type(subject)?.as_str() {
        "singleuser" => add(&mut approvers.users, subject.required_text(&["userId", "id"])?),
        "groupmembers" => add(&mut approvers.groups, subject.required_text(&["groupId", "id"])?),
        "requestormanager" => approvers.manager = true,
        "internalsponsors" | "externalsponsors" => approvers.sponsors = true,
        // Approvers that only the directory can resolve.
        _ => approvers.others = true,
    }
    Ok(())
}

fn requestors(object: &Object<'_>) -> Result<Requestors, FieldError> {
    let mut requestors = Requestors::default();
    let settings = object.object(&["requestorSettings"])?;
    let flag = |names: &[&str]| settings.as_ref().map_or(Ok(None), |settings| settings.flag(names));
    // If the policy accepts no requests, access can only be assigned by an administrator.
    if flag(&["enableTargetsToSelfAddAccess", "acceptRequests"])? == Some(false) {
        return Ok(requestors);
    }
    // The scope is a member of the policy in v1.0 and of its requestors in beta.
    let (scope, targets) = match object.text(&["allowedTargetScope"])? {
        Some(scope) => (Some(scope), object.list(&["specificAllowedTargets"])?),
        None => match &settings {
            Some(settings) => {
                (settings.text(&["scopeType"])?, settings.list(&["allowedRequestors"])?)
            }
            None => (None, None),
        },
    };
    match scope.unwrap_or_default().to_ascii_lowercase().as_str() {
        "alldirectoryusers"
        | "allexistingdirectorysubjects"
        | "allexternalusers"
        | "allexternalsubjects" => {
            requestors.all = true;
        }
        "allmemberusers" | "allexistingdirectorymemberusers" => requestors.members = true,
        "allconfiguredconnectedorganizationusers"
        | "allconfiguredconnectedorganizationsubjects"
        | "allexistingconnectedorganizationsubjects" => requestors.configured_organisations = true,
        _ => {}
    }
    for subject in targets.unwrap_or_default() {
        let (list, id) = match subject_type(&subject)?.as_str() {
            "singleuser" => (&mut requestors.users, subject.required_text(&["userId", "id"])?),
            "groupmembers" => (&mut requestors.groups, subject.required_text(&["groupId", "id"])?),
            "connectedorganizationmembers" => (
                &mut requestors.organisations,
                subject.required_text(&["connectedOrganizationId", "id"])?,
            ),
            // With an automatic assignment rule nobody can request access.
            _ => continue,
        };
        list.push(name(id));
        if list.len() > MOST_NAMED {
            return Err(object.wrong(
                "specificAllowedTargets",
                format!("names more than {MOST_NAMED} of a kind, the most"),
            ));
        }
    }
    Ok(requestors)
}

fn duration(object: &Object<'_>) -> Result<Option<Length>, FieldError> {
    if let Some(expiration) = object.object(&["expiration"])?
        && let Some(text) = expiration.text(&["duration"])?
    {
        return text.parse().map(Some).map_err(|error: crate::time::duration::NoLength| {
            expiration.wrong("duration", error.to_string())
        });
    }
    let days = object
        .member(&["durationInDays"])
        .and_then(|(_, days)| days.as_u64())
        .filter(|days| *days > 0);
    Ok(days.and_then(|days| format!("P{days}D").parse().ok()))
}
