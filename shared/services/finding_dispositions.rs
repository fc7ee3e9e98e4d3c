//! Who may resolve a finding: any operator except the people that the finding is about.

use crate::access_projection::Follower;
use shared_domain::{
    access::{access_record::Access, kept_events::is_use},
    findings::{checkpoints::is_shortened, finding::Finding},
    identity::{caller::Caller, matching, person::Person},
    text::case_folding::fold_identity,
    trail::event::{ActorType, EventId, Party},
};
use shared_storage::{ReadError, TenantScope, projections::ProjectionKind};

/// Maximum number of evidence events whose people are checked.
const MOST_EVENTS: usize = 200;

/// Why a caller may not resolve a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The caller cannot be distinguished from the people that the finding is about.
    Unknown(String),
    Concerned(String),
}

/// The caller's folded names. They decide about people of whom the trail knows only a name.
fn called(by: &Caller, known: Option<&Person>) -> Vec<String> {
    let email = by.email.as_deref();
    // Some sources use the part before the @ as a name.
    let local = email.and_then(|email| email.split_once('@')).map(|(local, _)| local);
    let recorded = known
        .into_iter()
        .flat_map(|it| it.name.as_deref().into_iter().chain(it.aliases().map(|it| it.1)));
    let names = by
        .names
        .iter()
        .map(String::as_str)
        .chain([by.sub.as_str()])
        .chain(email)
        .chain(local)
        .chain(recorded);
    names.map(fold_identity).collect()
}

/// Why the caller may not resolve the finding; none if they may. A finding is about its subject,
/// the owner of its account, the requestor and the recipient of the access, and the people in its
/// evidence.
pub async fn disposition_refusal(
    scope: &TenantScope<'_>,
    finding: &Finding,
    by: &Caller,
) -> Result<Option<Refusal>, ReadError> {
    let mut concerned: Vec<Party> =
        finding.subject.iter().chain(&finding.account).cloned().collect();
    // If the evidence is only an excerpt, the other people are among the users of the access
    // record.
    let mut used: Vec<EventId> = Vec::new();
    if let Some(id) = &finding.access
        && let Some(access) = scope.projection(ProjectionKind::Access, id).await?
    {
        let access: Access = access.read()?;
        if is_shortened(&finding.evidence) {
            used.extend(access.events.iter().filter(|id| !finding.evidence.contains(id)).cloned());
        }
        concerned.extend(
            access
                .requester
                .as_ref()
                .filter(|it| it.kind != ActorType::Service)
                .map(matching::party_of),
        );
        concerned.extend(access.subject.into_iter().chain(access.account));
    }
    let shown = &finding.evidence[..finding.evidence.len().min(MOST_EVENTS)];
    for recorded in scope.events_of(&[shown, &used].concat()).await? {
        let event = recorded.event;
        if !shown.contains(&event.id) && !is_use(&event) {
            continue;
        }
        let is_somebody = matches!(event.actor.kind, ActorType::User | ActorType::Scm);
        concerned.extend(Some(&event.actor).filter(|_| is_somebody).map(matching::party_of));
        concerned.extend(event.subject.into_iter().chain(event.account));
    }
    concerned.retain(|party| party.id.is_some() || party.email.is_some() || party.name.is_some());
    concerned.sort_by(|a, b| (&a.email, &a.id, &a.name).cmp(&(&b.email, &b.id, &b.name)));
    concerned.dedup();
    if concerned.is_empty() {
        return Ok(None);
    }
    let caller = by.actor();
    let party = matching::party_of(&caller);
    concerned.push(party.clone());
    let people = Follower::of(scope).people_behind(&concerned).await?;
    concerned.pop();
    let called = called(by, people.find(&party).map(|known| &known.document));
    if concerned
        .iter()
        .any(|other| people.may_be_same(other, &party) || matching::goes_by(other, &called))
    {
        let why = format!(
            "the finding is about {}, and people cannot resolve findings about themselves; ask a colleague with the permission audit:operate",
            caller.shown()
        );
        return Ok(Some(Refusal::Concerned(why)));
    }
    if by.email.is_none() && people.find(&party).is_none() {
        let why = "the service cannot check that the finding is not about you: your token has no verified e-mail address, and no person's record has its sub in object_ids";
        return Ok(Some(Refusal::Unknown(why.to_owned())));
    }
    Ok(None)
}
