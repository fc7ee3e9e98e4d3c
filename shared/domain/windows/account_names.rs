//! The names by which an event and a directory call an account.

use crate::{
    text::case_folding::fold_identity,
    trail::event::{Event, Party},
};

/// The names of an account, folded: its e-mail address, name and id. The first is what it is known by.
pub fn names(account: &Party) -> impl Iterator<Item = String> {
    names_as_given(account).map(fold_identity)
}

/// The same as they were given.
pub fn names_as_given(account: &Party) -> impl Iterator<Item = &str> {
    [&account.email, &account.name, &account.id].into_iter().flatten().map(String::as_str)
}

/// What an account is identified by until its directory says more: the first of its names.
pub fn key_of(account: &Party) -> String {
    names(account).next().unwrap_or_default()
}

/// The account that a request asks for: in a session its generated user, in a package its recipient where none is named.
pub fn account_of(event: &Event) -> Party {
    let named = |name: &String| Party { name: Some(name.clone()), ..Party::default() };
    let of_session =
        || event.session.as_ref().map(|it| named(it.username.as_ref().unwrap_or(&it.id)));
    let of_package = || event.subject.clone().filter(|_| event.action == "entitlement.fulfilled");
    event.account.clone().or_else(of_package).or_else(of_session).unwrap_or_default()
}
