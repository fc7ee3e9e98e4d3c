//! Places: a limit on how many items of a kind a tenant may have at a time, and their holders.
//!
//! A place is taken in the transaction that uses it. Each kind of place has one item, and each
//! transaction increments its generation. If two callers find the last place free, the second one's
//! transaction fails on the generation, and it counts again.

use serde::{Deserialize, Serialize};

use crate::{
    ReadError, TenantScope,
    attributes::{number, text},
    event_item::Damaged,
    keys,
    transaction::Change,
};
use shared_domain::trail::event::Tenant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// What occupies the places, as it appears in the item's key.
    pub what: &'static str,
    /// The limit of a tenant.
    pub most: usize,
    /// Whether one caller may take at most a fifth of them.
    pub are_shared: bool,
}

/// Why there is no place left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The tenant has reached its limit.
    Tenant(usize),
    /// The caller has reached the limit of one caller.
    Caller(usize),
}

/// The holder of a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The id of the item that occupies the place.
    pub id: String,
    /// The caller that created it, by the token's `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The item of a kind of place, as it was read.
#[derive(Debug)]
pub struct Taken {
    generation: Option<u64>,
    /// The holders that the item lists.
    pub holders: Vec<Holder>,
}

impl Taken {
    /// Whether no place was ever taken.
    pub fn is_new(&self) -> bool {
        self.generation.is_none()
    }
}

impl Places {
    /// The limit of one caller.
    pub fn share(&self) -> usize {
        if self.are_shared { (self.most / 5).max(1) } else { self.most }
    }

    /// Why `by` gets no place, given these holders; none if there is a free place.
    pub fn full(&self, holders: &[Holder], by: &str) -> Option<Full> {
        if holders.len() >= self.most {
            return Some(Full::Tenant(self.most));
        }
        let own = holders.iter().filter(|holder| holder.by.as_deref() == Some(by)).count();
        (own >= self.share()).then_some(Full::Caller(self.share()))
    }

    /// The change that takes a place, for the transaction that uses it. `holders` are stored if no
    /// other item lists them.
    pub fn take(
        &self,
        tenant: &Tenant,
        before: &Taken,
        holders: &[Holder],
    ) -> Result<Change, Damaged> {
        let key = [keys::places(tenant), self.what.to_owned()];
        let holders =
            serde_json::to_string(holders).map_err(|_| Damaged::new(self.what, "holders"))?;
        let generation = before.generation.unwrap_or(0) + 1;
        let set = vec![("holders", text(holders)), ("generation", number(generation))];
        let expected = before.generation.map(|generation| ("generation", number(generation)));
        Ok(Change::step(key, expected, set, &[]))
    }
}

impl TenantScope<'_> {
    pub async fn taken(&self, places: &Places) -> Result<Taken, ReadError> {
        let item = self
            .database
            .state_item(keys::places(&self.tenant), places.what, self.deadline)
            .await?;
        let Some(item) = item else {
            return Ok(Taken { generation: None, holders: Vec::new() });
        };
        let damaged = |attribute| Damaged::new(places.what, attribute);
        let holders = item.text("holders").and_then(|json| serde_json::from_str(json).ok());
        Ok(Taken {
            generation: Some(item.number("generation").ok_or_else(|| damaged("generation"))?),
            holders: holders.ok_or_else(|| damaged("holders"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_gets_a_fifth_and_a_tenant_all() {
        let places = Places { what: "exports", most: 10, are_shared: true };
        let of = |names: &[&str]| -> Vec<Holder> {
            names.iter().map(|by| Holder { id: "x".into(), by: Some((*by).to_owned()) }).collect()
        };
        assert_eq!(places.full(&of(&["ann"]), "ann"), None);
        assert_eq!(places.full(&of(&["ann", "ann"]), "ann"), Some(Full::Caller(2)));
        assert_eq!(places.full(&of(&["ann", "ann", "bob"]), "bob"), None);
        assert_eq!(
            places.full(&of(&["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]), "f"),
            Some(Full::Tenant(10))
        );
        let alone = Places { are_shared: false, ..places };
        assert_eq!(alone.full(&of(&["ann"; 9]), "ann"), None);
        assert_eq!(Places { most: 3, ..places }.share(), 1);
    }
}
