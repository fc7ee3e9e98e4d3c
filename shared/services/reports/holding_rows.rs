//! One row for each package that a person holds, although a request, its assignment and records of the
//! log may each have an access record.

use std::collections::{BTreeMap, BTreeSet};

use shared_domain::{
    access::{access_record::Access, holding},
    identity::matching,
    reports::report::Query,
};
use shared_storage::{ReadError, TenantScope, keys};

use super::{Line, access_rows::is_meant, boxed_row, package_rows};
use crate::access_projection::holdings;

/// What has been read of a list of holdings.
#[derive(Default)]
pub(super) struct Holdings {
    /// The access records that are part of a row already.
    shown: BTreeSet<String>,
    /// Rows whose access record stands further down in the list, by its key.
    ahead: BTreeMap<String, Access>,
    /// The place that was read last.
    last: Option<String>,
}

impl Holdings {
    /// The line of an access record. It has a row if no other access record of the holding has it.
    /// `lists` are those of the holding, and `after` is where an earlier page ended.
    ///
    /// An import may add access records while the list is read. So the row of a record that is not in
    /// the list yet is kept for the end.
    pub(super) async fn line(
        &mut self,
        scope: &TenantScope<'_>,
        query: &Query,
        (access, place): (Access, String),
        lists: &[String],
        after: Option<&str>,
    ) -> Result<Line, ReadError> {
        self.last = Some(place.clone());
        if self.shown.contains(&access.id) || !is_meant(scope, query, &[], &access) {
            return Ok((None, place));
        }
        let mut group = holdings::in_lists(scope, lists, &access.id).await?;
        group.retain(|other| is_meant(scope, query, &[], other));
        if group.iter().any(|other| self.shown.contains(&other.id)) {
            self.shown.insert(access.id);
            return Ok((None, place));
        }
        let id = access.id.clone();
        let members: Vec<String> =
            group.iter().map(|other| other.id.clone()).chain([id.clone()]).collect();
        group.push(access);
        let Some(whole) = holding::joined(group) else { return Ok((None, place)) };
        let whole_place = keys::list_place(whole.at(), &whole.id);
        if whole.id != id && whole_place < place {
            self.ahead.insert(whole.id.clone(), whole);
            return Ok((None, place));
        }
        self.ahead.remove(&whole.id);
        self.shown.extend(members);
        // It stands on an earlier page.
        if whole.id != id && after.is_some_and(|after| after <= whole_place.as_str()) {
            return Ok((None, place));
        }
        let row = package_rows::package_user(scope, query, &[], &whole).await?;
        Ok((row.map(boxed_row), place))
    }

    /// The rows whose access records were not in the list when it was read.
    pub(super) async fn rest(
        &mut self,
        scope: &TenantScope<'_>,
        query: &Query,
    ) -> Result<Vec<Line>, ReadError> {
        let Some(last) = self.last.clone() else { return Ok(Vec::new()) };
        let mut lines = Vec::new();
        for (id, whole) in std::mem::take(&mut self.ahead) {
            if self.shown.insert(id) {
                let row = package_rows::package_user(scope, query, &[], &whole).await?;
                lines.push((row.map(boxed_row), last.clone()));
            }
        }
        Ok(lines)
    }
}

/// The holdings of one person, each as one access record.
pub(super) fn of_person(accesses: Vec<Access>) -> Vec<Access> {
    let mut groups: Vec<Vec<Access>> = Vec::new();
    for access in accesses {
        let is_same = |other: &Access| {
            let targets = other.target.as_ref().zip(access.target.as_ref());
            targets.is_some_and(|(a, b)| matching::is_same_thing(a, b))
        };
        match groups.iter_mut().find(|group| group.iter().any(is_same)) {
            Some(group) => group.push(access),
            None => groups.push(vec![access]),
        }
    }
    groups.into_iter().filter_map(holding::joined).collect()
}
