//! A user of a directory, as the pages of delta queries describe it bit by bit, and the person that
//! the user is.
//!
//! A page has what changed: a member that is absent is unchanged, and one that is null is gone
//! ("Use delta query to track changes in Microsoft Graph data").

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    identity::person::{MOST, Person},
    json::object_reader::NAME_BYTES,
    text::case_folding::fold_identity,
    time::timestamp::Instant,
};

/// Maximum number of groups of a person that are stored, each by name and id.
pub const MOST_GROUPS: usize = 100;
/// The type of a member that is a user.
const USER: &str = "#microsoft.graph.user";

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DirectoryUser {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upn: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    other_mails: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proxy_addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    department: Option<String>,
    /// The manager's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manager: Option<String>,
    /// The ids of the groups, each with the epoch in which the membership was last read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, u32>,
    /// The epoch in which the user was last read; 0 if only memberships are known.
    #[serde(default)]
    epoch: u32,
    /// When the directory was found to have the user no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_at: Option<Instant>,
}

/// An object of `/users/delta`.
#[derive(Clone, Debug, PartialEq)]
pub struct UserChange {
    pub id: String,
    members: Map<String, Value>,
}

/// An object of `/groups/delta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    pub id: String,
    /// The name, if the object has one.
    pub name: Option<String>,
    /// Whether the group was deleted.
    pub is_removed: bool,
    /// The users that are members now, or no longer.
    pub members: Vec<(String, bool)>,
}

fn id_of(members: &Map<String, Value>) -> Result<String, String> {
    let id = members.get("id").and_then(Value::as_str).unwrap_or_default();
    let is_id = (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_id { Ok(id.to_ascii_lowercase()) } else { Err("an object has no id".to_owned()) }
}

fn is_removed(members: &Map<String, Value>) -> bool {
    members.get("@removed").is_some_and(|removed| !removed.is_null())
}

fn object(json: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(json).map_err(|_| "an object is no JSON object".to_owned())
}

impl UserChange {
    /// Reads an object.
    ///
    /// # Errors
    /// Why it is no user.
    pub fn read(json: &str) -> Result<Self, String> {
        let members = object(json)?;
        Ok(Self { id: id_of(&members)?, members })
    }
}

impl GroupChange {
    /// Reads an object.
    ///
    /// # Errors
    /// Why it is no group.
    pub fn read(json: &str) -> Result<Self, String> {
        let group = object(json)?;
        let mut members = Vec::new();
        let listed = group.get("members@delta").and_then(Value::as_array);
        for member in listed.into_iter().flatten().filter_map(Value::as_object) {
            let kind = member.get("@odata.type").and_then(Value::as_str);
            if kind.is_none_or(|kind| kind == USER) {
                members.push((id_of(member)?, !is_removed(member)));
            }
        }
        let name = group.get("displayName").and_then(Value::as_str).filter(|name| is_name(name));
        Ok(Self {
            id: id_of(&group)?,
            name: name.map(str::to_owned),
            is_removed: is_removed(&group),
            members,
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= NAME_BYTES && !text.chars().any(char::is_control)
}

impl DirectoryUser {
    /// Changes the user as an object says that was read in an epoch.
    pub fn change(&mut self, change: &UserChange, epoch: u32, now: Instant) {
        if is_removed(&change.members) {
            // The name and addresses stay: events still have them.
            self.epoch = epoch;
            self.left_at.get_or_insert(now);
            return;
        }
        // A whole collection leaves out members that were never set.
        if self.epoch != epoch {
            *self = Self { groups: std::mem::take(&mut self.groups), ..Self::default() };
        }
        (self.epoch, self.left_at) = (epoch, None);
        for (key, value) in &change.members {
            let text = || value.as_str().filter(|text| is_name(text)).map(str::to_owned);
            let texts = || -> Vec<String> {
                let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                texts.filter(|text| is_name(text)).map(str::to_owned).collect()
            };
            match key.as_str() {
                "displayName" => self.name = text(),
                "mail" => self.mail = text(),
                "userPrincipalName" => self.upn = text(),
                "otherMails" => self.other_mails = texts(),
                "proxyAddresses" => self.proxy_addresses = texts(),
                "department" => self.department = text(),
                "manager@delta" => {
                    for manager in value.as_array().into_iter().flatten() {
                        let Some(manager) = manager.as_object() else { continue };
                        let Ok(id) = id_of(manager) else { continue };
                        if !is_removed(manager) {
                            self.manager = Some(id);
                        } else if self.manager.as_ref() == Some(&id) {
                            self.manager = None;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds the user to a group, or takes the user out of it.
    pub fn member(&mut self, group: &str, is_member: bool, epoch: u32) {
        match is_member {
            true => drop(self.groups.insert(group.to_owned(), epoch)),
            false => drop(self.groups.remove(group)),
        }
    }

    /// Whether the directory was found to have the user no more.
    pub fn has_left(&self) -> bool {
        self.left_at.is_some()
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Marks a user who was not in the whole collection of an epoch. Returns whether that is new.
    pub fn leave_unless_read(&mut self, epoch: u32, now: Instant) -> bool {
        let is_gone = self.epoch != 0 && self.epoch != epoch && self.left_at.is_none();
        if is_gone {
            self.left_at = Some(now);
        }
        is_gone
    }

    /// Takes the user out of the groups that were not read in an epoch. Returns whether there were
    /// any.
    pub fn keep_groups_read(&mut self, epoch: u32) -> bool {
        let before = self.groups.len();
        self.groups.retain(|_, read| *read == epoch);
        self.groups.len() != before
    }

    /// The person that the user is, with the connection and the names of groups. None if only
    /// memberships are known.
    pub fn person(
        &self,
        id: &str,
        source: &str,
        group_name: impl Fn(&str) -> Option<String>,
    ) -> Option<Person> {
        if self.epoch == 0 {
            return None;
        }
        let proxies = self.proxy_addresses.iter().filter_map(|address| {
            let (scheme, address) = address.split_once(':')?;
            scheme.eq_ignore_ascii_case("smtp").then(|| address.to_owned())
        });
        let mut seen = BTreeSet::new();
        let emails = self.mail.iter().chain(&self.other_mails).cloned().chain(proxies);
        let emails = emails.filter(|email| seen.insert(fold_identity(email))).take(MOST);
        let groups = self
            .groups
            .keys()
            .take(MOST_GROUPS)
            .flat_map(|group| group_name(group).into_iter().chain([group.clone()]));
        let mut groups: Vec<_> = groups.collect();
        groups.sort();
        groups.dedup();
        Some(Person {
            name: self.name.clone(),
            emails: emails.collect(),
            upns: self.upn.iter().cloned().collect(),
            object_ids: vec![id.to_owned()],
            scm_names: Vec::new(),
            team: self.department.clone(),
            manager: self.manager.clone(),
            groups,
            source: Some(source.to_owned()),
            left_at: self.left_at,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_764_000_000_000;

    fn changed(user: &mut DirectoryUser, object: Value, epoch: u32) {
        let change = UserChange::read(&object.to_string()).unwrap();
        user.change(&change, epoch, Instant::from_millis(NOW));
    }

    fn name(group: &str) -> Option<String> {
        (group == "g-1").then(|| "Technicians".to_owned())
    }

    #[test]
    fn a_user_is_put_together_from_changes() {
        let mut user = DirectoryUser::default();
        assert_eq!(user.person("u-1", "acme", name), None);
        user.member("g-1", true, 1);
        user.member("g-2", true, 1);
        assert_eq!(user.person("u-1", "acme", name), None);
        changed(
            &mut user,
            json!({
                "id": "U-1", "displayName": "Alex", "mail": "alex@acme.example",
                "userPrincipalName": "alex@acme.onmicrosoft.com", "department": "MSP",
                "otherMails": ["a@home.example", "ALEX@acme.example"],
                "proxyAddresses": ["SMTP:alex@acme.example", "smtp:al@acme.example", "x500:/o=A"],
                "manager@delta": [{"@odata.type": USER, "id": "U-9"}]
            }),
            1,
        );
        let person = user.person("u-1", "acme", name).unwrap();
        let expected = json!({
            "name": "Alex", "emails": ["alex@acme.example", "a@home.example", "al@acme.example"],
            "upns": ["alex@acme.onmicrosoft.com"], "object_ids": ["u-1"], "team": "MSP",
            "manager": "u-9", "groups": ["Technicians", "g-1", "g-2"], "source": "acme"
        });
        assert_eq!(serde_json::to_value(&person).unwrap(), expected);
        // What is absent is unchanged, and what is null is gone.
        changed(
            &mut user,
            json!({"id": "u-1", "department": null, "manager@delta": [
                {"id": "u-9", "@removed": {"reason": "deleted"}}, {"id": "u-8"}]}),
            1,
        );
        user.member("g-2", false, 1);
        let person = user.person("u-1", "acme", name).unwrap();
        assert_eq!((person.team, person.manager.as_deref()), (None, Some("u-8")));
        assert_eq!((person.name.as_deref(), person.groups.len()), (Some("Alex"), 2));
        changed(
            &mut user,
            json!({"id": "u-1", "manager@delta": [{"id": "u-8", "@removed": {"reason": "changed"}}]}),
            1,
        );
        assert_eq!(user.person("u-1", "acme", name).unwrap().manager, None);
    }

    #[test]
    fn a_leaver_is_marked_and_may_come_back() {
        let mut user = DirectoryUser::default();
        changed(&mut user, json!({"id": "u-1", "mail": "alex@acme.example"}), 1);
        let removed = json!({"id": "u-1", "@removed": {"reason": "changed"}});
        changed(&mut user, removed.clone(), 1);
        let left = user.person("u-1", "acme", name).unwrap();
        assert_eq!(left.left_at, Some(Instant::from_millis(NOW)));
        assert_eq!(left.emails, ["alex@acme.example"]);
        // The same page again.
        let change = UserChange::read(&removed.to_string()).unwrap();
        user.change(&change, 1, Instant::from_millis(NOW + 1));
        assert_eq!(user.person("u-1", "acme", name).unwrap(), left);
        changed(&mut user, json!({"id": "u-1", "mail": "alex@acme.example"}), 1);
        assert_eq!(user.person("u-1", "acme", name).unwrap().left_at, None);
    }

    #[test]
    fn a_whole_collection_replaces_what_was_known() {
        let mut user = DirectoryUser::default();
        changed(&mut user, json!({"id": "u-1", "mail": "a@x.example", "department": "MSP"}), 1);
        user.member("g-1", true, 1);
        user.member("g-2", true, 2);
        changed(&mut user, json!({"id": "u-1", "mail": "a@x.example"}), 2);
        let person = user.person("u-1", "acme", name).unwrap();
        assert_eq!((person.team, person.groups.len()), (None, 3));
        let at = Instant::from_millis(NOW);
        assert!(!user.leave_unless_read(2, at));
        assert!(user.leave_unless_read(3, at) && !user.leave_unless_read(3, at));
        assert!(user.keep_groups_read(2) && !user.keep_groups_read(2));
        assert!(user.is_in("g-2") && !user.is_in("g-1"));
        assert!(!DirectoryUser::default().leave_unless_read(3, at));
    }

    #[test]
    fn a_group_names_its_users_only() {
        let group = json!({
            "id": "G-1", "displayName": "Technicians", "members@delta": [
                {"@odata.type": USER, "id": "U-1"},
                {"@odata.type": "#microsoft.graph.group", "id": "g-9"},
                {"@odata.type": USER, "id": "u-2", "@removed": {"reason": "deleted"}}
            ]
        });
        let read = GroupChange::read(&group.to_string()).unwrap();
        assert_eq!(read.members, [("u-1".to_owned(), true), ("u-2".to_owned(), false)]);
        assert_eq!(
            (read.id.as_str(), read.name.as_deref(), read.is_removed),
            ("g-1", Some("Technicians"), false)
        );
        let removed = json!({"id": "g-1", "@removed": {"reason": "deleted"}});
        assert!(GroupChange::read(&removed.to_string()).unwrap().is_removed);
        for wrong in ["[]", "{}", r#"{"id": "a#b"}"#] {
            assert!(
                GroupChange::read(wrong).is_err() && UserChange::read(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
