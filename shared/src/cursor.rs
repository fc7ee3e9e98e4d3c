//! Cursors: where a page ended, bound to the tenant and query it belongs to.

use std::{fmt::Display, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{event::Tenant, problem::Problem};

const VERSION: u8 = 1;
const BINDING: usize = 9;
const CHECK: usize = 6;

/// What a cursor is good for: one tenant and one query, `limit` and the cursor itself apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding([u8; BINDING]);

impl Binding {
    /// Binds to `tenant`, the `route` and the query's parameters, which stand in a fixed order.
    pub fn new(tenant: &Tenant, route: &str, parameters: &[(&str, &str)]) -> Self {
        let mut hash = Sha256::new();
        let parts =
            [tenant.as_str(), route].into_iter().chain(parameters.iter().flat_map(|(name, value)| [*name, *value]));
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut binding = [0; BINDING];
        binding.copy_from_slice(&hash.finalize()[..BINDING]);
        Self(binding)
    }

    /// The cursor for what follows `position`.
    pub fn cursor(&self, position: &impl Display) -> String {
        let mut bytes = vec![VERSION];
        let position = position.to_string();
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(&check(position.as_bytes()));
        bytes.extend_from_slice(position.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position of a cursor.
    ///
    /// # Errors
    /// 400: it is no cursor, or one of another query.
    pub fn position<P: FromStr>(&self, cursor: &str) -> Result<P, Problem> {
        let read = || {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (version, rest) = bytes.split_first()?;
            let (binding, position) = rest.split_at_checked(BINDING)?;
            let (sum, position) = position.split_at_checked(CHECK)?;
            let sound = *version == VERSION && sum == check(position);
            let position = std::str::from_utf8(position).ok()?.parse::<P>().ok()?;
            sound.then_some((binding.to_vec(), position))
        };
        match read() {
            Some((binding, position)) if binding == self.0 => Ok(position),
            Some(_) => Err(Problem::bad_request(
                "the cursor belongs to another query; repeat every parameter of the first page (limit may differ) or start again without it",
            )),
            None => {
                Err(Problem::bad_request("the cursor is not one of this service; pass on what next held, unchanged"))
            }
        }
    }
}

/// A cut cursor would be a cursor for another place, and skip what lies between: the check makes it none at all.
fn check(position: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&Sha256::digest(position)[..CHECK]);
    check
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{event::EventId, instant::Instant, store::keys::Position};

    #[test]
    fn a_cursor_is_good_for_its_tenant_and_query_alone() {
        let (acme, other) = (Tenant::new("acme").unwrap(), Tenant::new("other").unwrap());
        let position = Position { at: Instant::from_millis(1_763_771_167_000), id: EventId::new("a-1").unwrap() };
        let binding = Binding::new(&acme, "GET /v1/events", &[("since", "2026-01-01")]);
        let cursor = binding.cursor(&position);
        assert_eq!(binding.position::<Position>(&cursor).unwrap(), position);
        for foreign in [
            Binding::new(&other, "GET /v1/events", &[("since", "2026-01-01")]),
            Binding::new(&acme, "GET /v1/feed", &[("since", "2026-01-01")]),
            Binding::new(&acme, "GET /v1/events", &[("since", "2026-01-02")]),
            Binding::new(&acme, "GET /v1/events", &[("until", "2026-01-01")]),
            Binding::new(&acme, "GET /v1/events", &[]),
        ] {
            assert!(foreign.position::<Position>(&cursor).unwrap_err().detail.contains("another query"));
        }
        for text in ["", "x", "AAAA", &cursor[1..], &cursor[..cursor.len() - 3], &format!("{cursor}A"), "é"] {
            assert_eq!(binding.position::<Position>(text).unwrap_err().status, 400, "{text}");
        }
    }
}
