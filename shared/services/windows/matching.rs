//! Whether two events name the same target or person.

use shared_domain::{
    text::case_folding::fold_identity, trail::event::Party, windows::account_names,
};

/// Whether two name the same thing.
pub(super) fn is_same(a: Option<&Party>, b: Option<&Party>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    account_names::names(a).any(|name| account_names::names(b).any(|other| other == name))
}

/// Whether a target is an application, by its id or name.
pub(super) fn is_application(target: Option<&Party>, id: &str, name: &str) -> bool {
    target.is_some_and(|target| {
        target.id.as_deref() == Some(id)
            || account_names::names(target).any(|target| target == fold_identity(name))
    })
}
