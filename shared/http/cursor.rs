//! Cursors: the position where a page ended. A MAC with the deployment's key binds each cursor to
//! its tenant, caller and query.
//!
//! Only this service can create a cursor, so a caller cannot read from a position of its choice.

use std::{fmt::Display, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::reader::Reader;
use shared_domain::trail::{event::Tenant, key::Key};

const VERSION: u8 = 2;
const MAC: usize = 16;
const LABEL: &str = "jit-audit/cursor/v2";

/// The error of a cursor that this service did not create, or created for another tenant, caller or
/// query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cursor does not belong to this query: send the value of next unchanged, as the same caller, with every parameter of the first page (limit may differ), or start again without a cursor"
)]
pub struct NoCursor {
    /// Whether it has the form of a cursor, so that it may be one of another query.
    pub is_readable: bool,
}

/// What a cursor is bound to: tenant, caller and query (without `limit` and `cursor`).
#[derive(Clone, Debug)]
pub struct Binding<'k> {
    key: &'k Key,
    query: [u8; 32],
}

impl<'k> Binding<'k> {
    /// Binds to `tenant`, the caller, the `route` and the query's parameters in a fixed order.
    pub fn new(
        tenant: &Tenant,
        reader: &Reader<'k>,
        route: &str,
        parameters: &[(&str, &str)],
    ) -> Self {
        let mut hash = Sha256::new();
        let parts = [tenant.as_str(), &reader.caller.sub, route].into_iter();
        for part in parts.chain(parameters.iter().flat_map(|(name, value)| [*name, *value])) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self { key: reader.key, query: hash.finalize().into() }
    }

    /// The cursor for the page after `position`.
    pub fn cursor(&self, position: &impl Display) -> String {
        let position = position.to_string();
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.mac(position.as_bytes()));
        bytes.extend_from_slice(position.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies a cursor and returns its position.
    ///
    /// # Errors
    /// It is not a cursor of this query.
    pub fn position<P: FromStr>(&self, cursor: &str) -> Result<P, NoCursor> {
        let read = || {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (version, rest) = bytes.split_first()?;
            let (mac, position) = rest.split_at_checked(MAC)?;
            // Compare in constant time.
            let differs = mac.iter().zip(self.mac(position)).fold(0, |all, (a, b)| all | (a ^ b));
            let position = std::str::from_utf8(position).ok()?.parse::<P>().ok()?;
            (*version == VERSION).then_some((position, differs == 0))
        };
        match read() {
            Some((position, true)) => Ok(position),
            Some((_, false)) => Err(NoCursor { is_readable: true }),
            None => Err(NoCursor { is_readable: false }),
        }
    }

    fn mac(&self, position: &[u8]) -> [u8; MAC] {
        let mut mac = [0; MAC];
        mac.copy_from_slice(&self.key.mac(LABEL, &[&self.query, position])[..MAC]);
        mac
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use shared_domain::{
        identity::caller::Caller,
        time::timestamp::Instant,
        trail::{event::EventId, position::Position},
    };

    fn caller(sub: &str) -> Caller {
        Caller {
            tenants: Vec::new(),
            permissions: Vec::new(),
            sub: sub.to_owned(),
            email: None,
            is_machine: true,
            names: Vec::new(),
            client_id: None,
        }
    }

    #[test]
    fn a_cursor_is_good_for_its_tenant_caller_and_query_alone() {
        let (acme, other) = (Tenant::new("acme").unwrap(), Tenant::new("other").unwrap());
        let (ann, bob) = (caller("ann"), caller("bob"));
        let (key, others) = (Key::new("k".repeat(32)), Key::new("l".repeat(32)));
        let (by_ann, by_bob) =
            (Reader { caller: &ann, key: &key }, Reader { caller: &bob, key: &key });
        let elsewhere = Reader { caller: &ann, key: &others };
        let position = Position {
            at: Instant::from_millis(1_763_771_167_000),
            id: EventId::new("a-1").unwrap(),
        };
        let binding = Binding::new(&acme, &by_ann, "events", &[("since", "2026-01-01")]);
        let cursor = binding.cursor(&position);
        assert_eq!(binding.position::<Position>(&cursor).unwrap(), position);
        for foreign in [
            Binding::new(&other, &by_ann, "events", &[("since", "2026-01-01")]),
            Binding::new(&acme, &by_bob, "events", &[("since", "2026-01-01")]),
            Binding::new(&acme, &elsewhere, "events", &[("since", "2026-01-01")]),
            Binding::new(&acme, &by_ann, "feed", &[("since", "2026-01-01")]),
            Binding::new(&acme, &by_ann, "events", &[("since", "2026-01-02")]),
            Binding::new(&acme, &by_ann, "events", &[("until", "2026-01-01")]),
            Binding::new(&acme, &by_ann, "events", &[]),
        ] {
            let refused = foreign.position::<Position>(&cursor).unwrap_err();
            assert_eq!(refused, NoCursor { is_readable: true });
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            let forged = BASE64_URL_SAFE_NO_PAD.encode(forged);
            assert!(binding.position::<Position>(&forged).is_err(), "{place}");
        }
        for text in
            ["", "x", "AAAA", &cursor[1..], &cursor[..cursor.len() - 3], &format!("{cursor}A"), "é"]
        {
            assert!(binding.position::<Position>(text).is_err(), "{text}");
        }
    }
}
