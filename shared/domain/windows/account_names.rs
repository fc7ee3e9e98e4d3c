//! The names of an account in events and in a directory.

use crate::{
    identity::matching::names_as_given,
    text::case_folding::fold_identity,
    trail::{
        actions::EntitlementAction,
        event::{Event, Party},
    },
};

/// The key of an account until the directory has resolved it: the first of its names.
pub fn key_of(account: &Party) -> String {
    names_as_given(account).next().map(fold_identity).unwrap_or_default()
}

/// The account that a request asks for: for a session its generated user; for a package its
/// recipient, unless another account is named.
pub fn account_of(event: &Event) -> Party {
    let named = |name: &String| Party { name: Some(name.clone()), ..Party::default() };
    let of_session =
        || event.session.as_ref().map(|it| named(it.username.as_ref().unwrap_or(&it.id)));
    let of_package =
        || event.subject.clone().filter(|_| event.action == EntitlementAction::Fulfilled);
    event.account.clone().or_else(of_package).or_else(of_session).unwrap_or_default()
}
