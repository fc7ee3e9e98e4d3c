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
    governance,
    graph::{Object, long_text, party},
    pim,
};

/// The activity of records that `ACTIVITIES` does not list.
const ANY: Activity = Activity {
    name: "",
    action: Action::Directory(DirectoryAction::DirectoryActivity),
    says: Says::Nothing,
};

/// The members of a record that had other names in the first versions of the log.
pub const NAMES: [&str; 2] = ["activityDisplayName", "activity"];
pub const TIMES: [&str; 2] = ["activityDateTime", "activityDate"];
pub const RESULTS: [&str; 3] = ["result", "activityResultStatus", "activityResult"];
pub const INITIATORS: [&str; 2] = ["initiatedBy", "actor"];
const TARGETS: [&str; 2] = ["targetResources", "targets"];
const CHANGES: [&str; 2] = ["modifiedProperties", "targetUpdatedProperties"];
const REASONS: [&str; 2] = ["resultReason", "activityResultDescription"];

pub const SUCCESS: &str = "success";
/// The results of a record, in the order of their numbers.
const RESULT_WORDS: [&str; 4] = [SUCCESS, "failure", "timeout", "unknownFutureValue"];

/// Keys of `additionalDetails` that contain the id of a request.
const REQUEST_KEYS: [&str; 3] =
    ["RequestId", "AssignmentRequestId", "AccessPackageAssignmentRequestId"];

/// What the delivery of a record adds to it.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// The id for a record that has none.
    pub id: Option<String>,
    /// The members around the record.
    pub envelope: Option<Value>,
}

pub fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    read_delivered(object, intake, Delivery::default())
}

/// Like [`read`] for a record that another service delivered.
pub fn read_delivered(
    object: &Object<'_>,
    intake: &Intake<'_>,
    delivery: Delivery,
) -> Result<Vec<Draft>, FieldError> {
    let name = object.required_text(&NAMES)?;
    let id = match delivery.id {
        Some(id) => id,
        None => object.required_text(&["id"])?.to_owned(),
    };
    let envelope = delivery.envelope.as_ref();
    let unlinked = match pim::audit::read(object, &id, envelope, intake)? {
        pim::audit::Read::Steps(steps) => return Ok(steps),
        pim::audit::Read::Unlinked(why) => Some(why),
        pim::audit::Read::NotOfPim => None,
    };
    let record = Record::read(object, id)?;
    let activity = activities::find(name).unwrap_or(&ANY);
    let named = record.draft(activity, name, intake)?;
    // A record that lacks a field of the action's sentence is stored whole, as a
    // `directory.activity`. No value is guessed.
    let lacks = named.lacks(&activity.action);
    let mut draft = match lacks {
        None => named.draft,
        Some(lacks) => {
            let mut draft = record.draft(&ANY, name, intake)?.draft;
            let detail = format!("the record has no {lacks}, which {} needs", activity.action);
            draft.detail("incomplete", Some(detail.into()));
            draft
        }
    };
    draft.detail("incomplete", unlinked.map(Value::from));
    draft.detail("envelope", delivery.envelope);
    // Members that start with `@` come from the export, not from the record.
    let graph = object.members.iter().filter(|(key, _)| !key.starts_with('@'));
    draft.keep(graph.map(|(key, value)| (key.clone(), value.clone())).collect());
    Ok(vec![draft])
}

/// The parts of a record that do not depend on its activity.
struct Record<'v> {
    object: &'v Object<'v>,
    id: String,
    user: Option<Object<'v>>,
    app: Option<Object<'v>>,
    targets: Vec<Object<'v>>,
    additional: Vec<(&'v str, &'v str)>,
}

/// A draft and the parties that it names.
struct NamedDraft {
    draft: Draft,
    subject: Option<Value>,
    target: Option<Value>,
}

impl NamedDraft {
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
    fn read(object: &'v Object<'v>, id: String) -> Result<Self, FieldError> {
        let initiator = object.object(&INITIATORS)?;
        let of =
            |name: &str| initiator.as_ref().map_or(Ok(None), |initiator| initiator.object(&[name]));
        let (mut user, mut app) = (of("user")?, of("app")?);
        // The first versions of the log have one actor with a type.
        if let Some(actor) = object.object(&["actor"])?
            && user.is_none()
            && app.is_none()
        {
            let kind = actor.text(&["actorType", "type", "@odata.type"])?.unwrap_or_default();
            let is_user =
                fold(kind).contains("user") || actor.text(&["userPrincipalName"])?.is_some();
            *(if is_user { &mut user } else { &mut app }) = Some(actor);
        }
        let mut additional = Vec::new();
        for pair in object.list(&["additionalDetails"])?.unwrap_or_default() {
            additional.extend(pair.text(&["key", "name"])?.zip(pair.text(&["value"])?));
        }
        let targets = object.list(&TARGETS)?.unwrap_or_default();
        Ok(Self { object, id, user, app, targets, additional })
    }

    fn draft(
        &self,
        activity: &Activity,
        name: &str,
        intake: &Intake<'_>,
    ) -> Result<NamedDraft, FieldError> {
        let object = self.object;
        let action = &activity.action;
        let id = event_id(intake.tenant, "audit", &[&self.id]);
        let mut draft = Draft::new(id, action.clone(), object, &TIMES)?;
        let category = object.text(&["category", "activityType"])?;
        draft.source_names(category, name);
        draft.detail("activity", Some(long_text(name).into()));
        draft.detail("category", category.map(|category| long_text(category).into()));

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

        let assigned = match action {
            Action::Directory(DirectoryAction::ApplicationRoleAssignmentChanged) => {
                self.assigned(named.as_ref())?
            }
            _ => None,
        };
        let target = self.target(action, assigned.as_ref())?;
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
                assigned.or(self.other_principal(target.as_ref())?)
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
        Ok(NamedDraft { draft, subject, target })
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
        let given = object.text(&REASONS)?.map(long_text);
        let result = result_of(object)?.unwrap_or(SUCCESS.into());
        let is_partial = activity.says == Says::Partly;
        let failed = is_partial
            || activity.action == EntitlementAction::Failed
            || ["failure", "timeout"].iter().any(|word| word.eq_ignore_ascii_case(&result));
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
        let unsaid = || match is_partial {
            true => activity.name.to_owned(),
            false => format!("the directory says {result:?} and no reason"),
        };
        let reason = match (failed, cause) {
            (true, _) => Some(given.unwrap_or_else(unsaid)),
            (false, Some(cause)) => {
                draft.end_cause(cause);
                Some(cause.reason().to_owned())
            }
            (false, None) => given,
        };
        draft.set("outcome", failed.then(|| "failure".into()));
        draft.set_from("reason", reason.map(Value::from), object.place(REASONS[0]));
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
            None => app.id(&["servicePrincipalId", "objectId"])?,
        };
        let name = app.text(&["displayName", "appDisplayName", "name", "servicePrincipalName"])?;
        Ok(party(None, id, name, None).map(|app| typed("service", app)))
    }

    /// Whether a package made the change. It did if the record names an access package, or if identity
    /// governance is the initiator. A person whose id or address is known is not identity governance.
    fn is_by_package(&self) -> Result<bool, FieldError> {
        let name =
            |initiator: &Object<'v>| initiator.text(&["displayName", "appDisplayName", "name"]);
        let is_governance = match (&self.app, &self.user) {
            (Some(app), _) => governance::is_governance(app.id(&["appId"])?, name(app)?),
            (None, Some(user)) => {
                let is_person = user.id(&["id", "objectId"])?.is_some()
                    || user.text(&["userPrincipalName"])?.is_some();
                !is_person && governance::is_governance(None, name(user)?)
            }
            (None, None) => false,
        };
        let names_package = self.additional.iter().any(|(key, _)| key.starts_with("AccessPackage"))
            || self.target_of(&["AccessPackage"])?.is_some();
        Ok(is_governance || names_package)
    }

    /// The first target of one of these types, in the order of the types.
    fn target_of(&self, types: &[&str]) -> Result<Option<&Object<'v>>, FieldError> {
        for wanted in types {
            for target in &self.targets {
                if target.target_kind()?.is_some_and(|kind| kind.eq_ignore_ascii_case(wanted)) {
                    return Ok(Some(target));
                }
            }
        }
        Ok(None)
    }

    /// The target of the event. `assigned` got or lost an application's role.
    fn target(
        &self,
        action: &Action,
        assigned: Option<&Value>,
    ) -> Result<Option<Value>, FieldError> {
        if let Some(package) = self.target_of(&["AccessPackage"])? {
            return named("package", package);
        }
        if *action == DirectoryAction::ApplicationRoleAssignmentChanged {
            let application = self.application(assigned)?;
            return application.map_or(Ok(None), |application| named("application", application));
        }
        if matches!(action, Action::Entitlement(_)) {
            // A step of an approval names the request, but not the package.
            return Ok(self
                .request_id()?
                .and_then(|id| party(Some("request"), Some(id), None, None)));
        }
        for target in &self.targets {
            let kind = target.target_kind()?.unwrap_or("object");
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
            return request.id(&["id", "objectId"]);
        }
        let is_key = |key: &str| REQUEST_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
        Ok(self.additional.iter().find(|(key, _)| is_key(key)).map(|(_, value)| *value))
    }

    /// The new value of one of these properties, without the quotes that the log adds.
    fn changed(&self, names: &[&str]) -> Result<Option<String>, FieldError> {
        for name in names {
            for target in &self.targets {
                for property in target.list(&CHANGES)?.unwrap_or_default() {
                    if property
                        .text(&["displayName", "name"])?
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

    /// The party that got or lost an application's role, if the record says which: a person, a group
    /// or a service principal.
    fn assigned(&self, named: Option<&Value>) -> Result<Option<Value>, FieldError> {
        let (id, upn) = (self.changed(&["User.ObjectID"])?, self.changed(&["User.UPN"])?);
        if id.is_some() || upn.is_some() {
            return Ok(party(None, id.as_deref(), None, upn.as_deref()));
        }
        let changed = |kind: &str, id: &str, name: &str| {
            let (id, name) = (self.changed(&[id])?, self.changed(&[name])?);
            Ok::<_, FieldError>(party(Some(kind), id.as_deref(), name.as_deref(), None))
        };
        if let Some(group) = changed("group", "Group.ObjectID", "Group.DisplayName")? {
            return Ok(Some(group));
        }
        if named.is_some() {
            return Ok(named.cloned());
        }
        changed("service", "ServicePrincipal.ObjectID", "ServicePrincipal.DisplayName")
    }

    /// The application whose role was given or taken: the target with the changed properties. The
    /// principal, which may be a service principal as well, is another target.
    fn application(&self, assigned: Option<&Value>) -> Result<Option<&Object<'v>>, FieldError> {
        const KINDS: [&str; 3] = ["ServicePrincipal", "Application", "App"];
        let (mut changed, mut other, mut own, mut any) = (None, None, None, None);
        for target in &self.targets {
            let id = target.id(&["id", "objectId"])?;
            let is_assigned = id.is_some() && assigned.and_then(|it| it["id"].as_str()) == id;
            let kind = target.target_kind()?;
            let is_application =
                kind.is_some_and(|kind| KINDS.iter().any(|it| it.eq_ignore_ascii_case(kind)));
            let has_changes = target.list(&CHANGES)?.is_some_and(|list| !list.is_empty());
            match (is_application, has_changes, is_assigned) {
                (true, true, false) => changed = changed.or(Some(target)),
                (true, false, false) => other = other.or(Some(target)),
                // A service principal may get a role of its own application.
                (true, _, true) => own = own.or(Some(target)),
                (false, true, _) => any = any.or(Some(target)),
                (false, false, _) => {}
            }
        }
        Ok(changed.or(other).or(any).or(own))
    }

    /// A group or service principal among the targets that is not the application.
    fn other_principal(&self, application: Option<&Value>) -> Result<Option<Value>, FieldError> {
        for target in &self.targets {
            let kind = match target.target_kind()?.map(fold).as_deref() {
                Some("group") => "group",
                Some("serviceprincipal") => "service",
                _ => continue,
            };
            let found = named(kind, target)?;
            let is_application =
                found.as_ref().zip(application).is_some_and(|(found, it)| found["id"] == it["id"]);
            if found.is_some() && !is_application {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// A target resource as a party.
fn named(kind: &str, target: &Object<'_>) -> Result<Option<Value>, FieldError> {
    let name = target.text(&["displayName", "name", "userPrincipalName"])?;
    Ok(party(Some(kind), target.id(&["id", "objectId"])?, name, None))
}

/// The result of a record, in a word.
pub fn result_of(record: &Object<'_>) -> Result<Option<String>, FieldError> {
    let Some(result) = record.word(&RESULTS)? else { return Ok(None) };
    let word = result.parse::<usize>().ok().and_then(|number| RESULT_WORDS.get(number));
    Ok(Some(word.map_or_else(|| result.clone().into_owned(), |word| (*word).to_owned())))
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
