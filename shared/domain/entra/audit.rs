//! A record of the directory's audit log (`directoryAudit`). It becomes one event.

use serde_json::{Value, json};

use crate::{
    identity::matching::is_same_directory_object,
    json::strict_json::FieldError,
    text::case_folding::fold,
    trail::{
        actions::{Action, DirectoryAction, EntitlementAction, message_template},
        event::Party,
        event_validation::Intake,
    },
};

use crate::entra::{
    activities::{self, Activity, Removal, Says},
    draft::{Draft, event_id},
    graph::{Object, long_text, party},
    pim,
};

/// The activity of records that `ACTIVITIES` does not list.
const ANY: Activity = Activity {
    name: "",
    action: Action::Directory(DirectoryAction::DirectoryActivity),
    says: Says::Nothing,
};

/// The applications by which entitlement management changes roles, with their ids. The workbook
/// "Application role assignment activity" recognises these changes by the first application's name.
const OF_PACKAGES: [(&str, &str); 2] = [
    ("Azure AD Identity Governance - User Management", "ec245c98-4a90-40c2-955a-88b727d97151"),
    (
        "Azure AD Identity Governance - Entitlement Management",
        "810dcf14-1858-4bf2-8134-4c369fa3235b",
    ),
];

/// Keys of `additionalDetails` that contain the id of a request.
const REQUEST_KEYS: [&str; 3] =
    ["RequestId", "AssignmentRequestId", "AccessPackageAssignmentRequestId"];

pub fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    let name = object.required_text(&["activityDisplayName"])?;
    let unlinked = match pim::audit::read(object, intake)? {
        pim::audit::Read::Steps(steps) => return Ok(steps),
        pim::audit::Read::Unlinked(why) => Some(why),
        pim::audit::Read::NotOfPim => None,
    };
    let record = Record::read(object)?;
    let activity = activities::find(name).unwrap_or(&ANY);
    let told = record.draft(activity, name, intake)?;
    // A record that lacks a field of the action's sentence is stored whole, as a
    // `directory.activity`. No value is guessed.
    let lacks = told.lacks(&activity.action);
    let mut draft = match lacks {
        None => told.draft,
        Some(lacks) => {
            let mut draft = record.draft(&ANY, name, intake)?.draft;
            let detail = format!("the record has no {lacks}, which {} needs", activity.action);
            draft.detail("incomplete", Some(detail.into()));
            draft
        }
    };
    draft.detail("incomplete", unlinked.map(Value::from));
    // Members that start with `@` come from the export, not from the record.
    let graph = object.members.iter().filter(|(key, _)| !key.starts_with('@'));
    draft.keep(graph.map(|(key, value)| (key.clone(), value.clone())).collect());
    Ok(vec![draft])
}

/// The parts of a record that do not depend on its activity.
struct Record<'v> {
    object: &'v Object<'v>,
    id: &'v str,
    user: Option<Object<'v>>,
    app: Option<Object<'v>>,
    targets: Vec<Object<'v>>,
    additional: Vec<(&'v str, &'v str)>,
}

/// A draft and the parties that it names.
struct Told {
    draft: Draft,
    subject: Option<Value>,
    target: Option<Value>,
}

impl Told {
    /// The first field that the action's sentence needs and the record lacks.
    fn lacks(&self, action: &Action) -> Option<&'static str> {
        message_template::required(action.definition()?.sentence).find_map(|field| match field {
            "subject" if self.subject.is_none() => Some("recipient"),
            "target" if self.target.is_none() => Some("target"),
            _ => None,
        })
    }
}

impl<'v> Record<'v> {
    fn read(object: &'v Object<'v>) -> Result<Self, FieldError> {
        let initiator = object.object(&["initiatedBy"])?;
        let of =
            |name: &str| initiator.as_ref().map_or(Ok(None), |initiator| initiator.object(&[name]));
        let mut additional = Vec::new();
        for pair in object.list(&["additionalDetails"])?.unwrap_or_default() {
            additional.extend(pair.text(&["key"])?.zip(pair.text(&["value"])?));
        }
        Ok(Self {
            object,
            id: object.required_text(&["id"])?,
            user: of("user")?,
            app: of("app")?,
            targets: object.list(&["targetResources"])?.unwrap_or_default(),
            additional,
        })
    }

    fn draft(
        &self,
        activity: &Activity,
        name: &str,
        intake: &Intake<'_>,
    ) -> Result<Told, FieldError> {
        let object = self.object;
        let action = &activity.action;
        let id = event_id(intake.tenant, "audit", &[self.id]);
        let mut draft = Draft::new(id, action.clone(), object, &["activityDateTime"])?;
        draft.detail("activity", Some(name.into()));
        draft.detail("category", object.text(&["category"])?.map(Value::from));

        let initiator = self.user()?;
        let named = self.target_of(&["User"])?.map(|user| user.party()).transpose()?.flatten();
        // For a fulfilled assignment the log names the recipient as the initiator.
        let is_recipient = *action == EntitlementAction::Fulfilled;
        let actor = match &initiator {
            Some(user)
                if !(is_recipient && named.as_ref().is_none_or(|named| is_same(named, user))) =>
            {
                Some(typed("user", user.clone()))
            }
            _ => self.app()?,
        };
        let of_nobody = if matches!(action, Action::Entitlement(_)) {
            json!({"type": "system"})
        } else {
            let service = object.text(&["loggedByService"])?.unwrap_or("Microsoft Entra ID");
            typed("service", party(None, None, Some(service), None).unwrap_or_default())
        };
        let actor = actor.unwrap_or(of_nobody);

        let target = self.target(action)?;
        let subject = match action {
            Action::Entitlement(EntitlementAction::ApproverAdded) => None,
            Action::Entitlement(EntitlementAction::Fulfilled) => {
                named.clone().or(initiator.clone())
            }
            Action::Entitlement(EntitlementAction::Removed)
                if activity.says == Says::Cause(Removal::Canceled) =>
            {
                named.clone().or(initiator.clone())
            }
            // A person who requests for themselves is the actor only, not also the subject.
            Action::Entitlement(EntitlementAction::Requested) => {
                named.clone().filter(|named| !is_same(named, &actor))
            }
            Action::Directory(DirectoryAction::ApplicationRoleAssignmentChanged) => {
                self.assigned()?.or(named.clone())
            }
            Action::Directory(DirectoryAction::DirectoryActivity) => named
                .clone()
                .filter(|named| target.as_ref().is_none_or(|target| !is_same(named, target))),
            _ => named.clone(),
        };
        if *action == EntitlementAction::ApproverAdded {
            draft.set("approver", named.clone());
        }
        self.say(activity, &mut draft, subject.as_ref(), initiator.as_ref())?;
        draft.set_from("actor", Some(actor), object.place("initiatedBy"));
        draft.set_from("subject", subject.clone(), object.place("targetResources"));
        draft.set_from("target", target.clone(), object.place("targetResources"));
        draft.set_from(
            "request_id",
            self.request_id()?.map(Value::from),
            object.place("targetResources"),
        );
        let ip = self.user.as_ref().map_or(Ok(None), |user| user.text(&["ipAddress"]))?;
        draft.set("source", ip.map(|ip| json!({"ip": crate::entra::graph::name(ip)})));
        Ok(Told { draft, subject, target })
    }

    /// Sets what depends on the activity: outcome, reason and details.
    fn say(
        &self,
        activity: &Activity,
        draft: &mut Draft,
        subject: Option<&Value>,
        initiator: Option<&Value>,
    ) -> Result<(), FieldError> {
        let object = self.object;
        let given = object.text(&["resultReason"])?.map(long_text);
        let result = object.text(&["result"])?.unwrap_or("success");
        let failed = activity.action == EntitlementAction::Failed
            || ["failure", "timeout"].iter().any(|word| word.eq_ignore_ascii_case(result));
        let cause = match activity.says {
            Says::Cause(cause) => Some(cause),
            Says::CauseByInitiator => Some(match (initiator, subject) {
                (Some(initiator), Some(subject)) if is_same(initiator, subject) => {
                    Removal::Canceled
                }
                (Some(_), _) => Removal::ByAdministrator,
                (None, _) => Removal::Expired,
            }),
            Says::Nothing | Says::Partly | Says::Change(_) => None,
        };
        let unsaid = || format!("the directory says {result:?} and no reason");
        let reason = match (failed, cause) {
            (true, _) => Some(given.unwrap_or_else(unsaid)),
            (false, Some(cause)) => {
                draft.end_cause(cause);
                Some(cause.reason().to_owned())
            }
            (false, None) => given,
        };
        draft.set("outcome", failed.then(|| "failure".into()));
        draft.set_from("reason", reason.map(Value::from), object.place("resultReason"));
        if let Some(policy) =
            self.target_of(&["AccessPackageAssignmentPolicy", "AssignmentPolicy", "Policy"])?
        {
            draft.detail(
                "policy",
                party(None, policy.id(&["id"])?, policy.text(&["displayName"])?, None),
            );
        }
        match activity.says {
            Says::Partly => draft.detail("partial", Some(true.into())),
            Says::Change(change) => {
                draft.detail("change", Some(change.into()));
                draft.detail("via_package", Some(self.is_by_package()?.into()));
                draft.detail(
                    "role",
                    self.changed(&["AppRole.DisplayName", "AppRole.Value"])?.map(Value::from),
                );
            }
            Says::Nothing | Says::Cause(_) | Says::CauseByInitiator => {}
        }
        Ok(())
    }

    fn user(&self) -> Result<Option<Value>, FieldError> {
        Ok(self.user.as_ref().map(Object::party).transpose()?.flatten())
    }

    fn app(&self) -> Result<Option<Value>, FieldError> {
        let Some(app) = &self.app else { return Ok(None) };
        let id = match app.id(&["appId"])? {
            Some(id) => Some(id),
            None => app.id(&["servicePrincipalId"])?,
        };
        let name = app.text(&["displayName", "servicePrincipalName"])?;
        Ok(party(None, id, name, None).map(|app| typed("service", app)))
    }

    /// Whether entitlement management made the change. It did if the record has its application's
    /// id, or its application's name without an id, or names an access package.
    fn is_by_package(&self) -> Result<bool, FieldError> {
        let is_its_own = match &self.app {
            None => false,
            Some(app) => match (app.id(&["appId"])?, app.text(&["displayName"])?) {
                (Some(id), _) => {
                    OF_PACKAGES.iter().any(|(_, known)| known.eq_ignore_ascii_case(id))
                }
                (None, Some(name)) => {
                    OF_PACKAGES.iter().any(|(known, _)| fold(known) == fold(name))
                }
                (None, None) => false,
            },
        };
        Ok(is_its_own || self.additional.iter().any(|(key, _)| key.starts_with("AccessPackage")))
    }

    /// The first target of one of these types, in the order of the types.
    fn target_of(&self, types: &[&str]) -> Result<Option<&Object<'v>>, FieldError> {
        for wanted in types {
            for target in &self.targets {
                if target.text(&["type"])?.is_some_and(|kind| kind.eq_ignore_ascii_case(wanted)) {
                    return Ok(Some(target));
                }
            }
        }
        Ok(None)
    }

    /// The target of the event.
    fn target(&self, action: &Action) -> Result<Option<Value>, FieldError> {
        let named = |kind: &str, target: &Object<'v>| {
            let name = target.text(&["displayName", "userPrincipalName"])?;
            Ok::<_, FieldError>(party(Some(kind), target.id(&["id"])?, name, None))
        };
        if let Some(package) = self.target_of(&["AccessPackage"])? {
            return named("package", package);
        }
        if *action == DirectoryAction::ApplicationRoleAssignmentChanged {
            // The object whose roles changed: the target with the changed properties.
            let changed = |target: &&Object<'v>| {
                target
                    .list(&["modifiedProperties"])
                    .is_ok_and(|list| list.is_some_and(|list| !list.is_empty()))
            };
            let application = match self.target_of(&["ServicePrincipal", "Application", "App"])? {
                Some(application) => Some(application),
                None => self.targets.iter().find(changed),
            };
            return application.map_or(Ok(None), |application| named("application", application));
        }
        if matches!(action, Action::Entitlement(_)) {
            // A step of an approval names the request, but not the package.
            return Ok(self
                .request_id()?
                .and_then(|id| party(Some("request"), Some(id), None, None)));
        }
        for target in &self.targets {
            let kind = target.text(&["type"])?.unwrap_or("object");
            if let Some(target) = named(&crate::entra::graph::name(kind), target)? {
                return Ok(Some(target));
            }
        }
        Ok(None)
    }

    /// The id of the assignment request. An approval has the id of its request.
    fn request_id(&self) -> Result<Option<&'v str>, FieldError> {
        let types = [
            "AccessPackageAssignmentRequest",
            "AssignmentRequest",
            "Request",
            "AccessPackageAssignmentApproval",
            "Approval",
        ];
        if let Some(request) = self.target_of(&types)? {
            return request.id(&["id"]);
        }
        let is_key = |key: &str| REQUEST_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
        Ok(self.additional.iter().find(|(key, _)| is_key(key)).map(|(_, value)| *value))
    }

    /// The new value of one of these properties, without the quotes that the log adds.
    fn changed(&self, names: &[&str]) -> Result<Option<String>, FieldError> {
        for name in names {
            for target in &self.targets {
                for property in target.list(&["modifiedProperties"])?.unwrap_or_default() {
                    if property
                        .text(&["displayName"])?
                        .is_some_and(|known| known.eq_ignore_ascii_case(name))
                        && let Some(value) =
                            property.text(&["newValue"])?.or(property.text(&["oldValue"])?)
                        && !value.trim_matches('"').is_empty()
                    {
                        return Ok(Some(value.trim_matches('"').to_owned()));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The party that got or lost an application's role.
    fn assigned(&self) -> Result<Option<Value>, FieldError> {
        let (id, upn) = (self.changed(&["User.ObjectID"])?, self.changed(&["User.UPN"])?);
        if id.is_some() || upn.is_some() {
            return Ok(party(None, id.as_deref(), None, upn.as_deref()));
        }
        let (id, name) =
            (self.changed(&["Group.ObjectID"])?, self.changed(&["Group.DisplayName"])?);
        Ok(party(Some("group"), id.as_deref(), name.as_deref(), None))
    }
}

fn typed(kind: &str, mut party: Value) -> Value {
    party["type"] = kind.into();
    party
}

/// Whether two parties are one object of the directory.
fn is_same(a: &Value, b: &Value) -> bool {
    let member = |party: &Value, name: &str| party[name].as_str().map(str::to_owned);
    let object = |party| Party {
        id: member(party, "id"),
        email: member(party, "email"),
        ..Party::default()
    };
    is_same_directory_object(&object(a), &object(b))
}
