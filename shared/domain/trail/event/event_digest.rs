//! The facts of an event, and their digest.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{AskedWindow, Event};

/// A SHA-256 digest, shown in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Event {
    /// The facts as JSON, from which the digest is computed.
    pub fn facts(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Facts<'e> {
            #[serde(flatten)]
            event: &'e Event,
            #[serde(skip_serializing_if = "Option::is_none")]
            window: &'e Option<AskedWindow>,
        }
        Facts { event: self, window: &self.window }
    }

    /// The digest of the facts: SHA-256 of `jit-audit/event/v1\n` and their RFC 8785 form. It
    /// distinguishes a duplicate from a conflict. Anyone can recompute it from an event in an API
    /// response: remove the members that the server added, replace `window` by the value of
    /// `window.asked` or remove it if there is none, and replace a session user name `TBD` by
    /// `sent_username` or remove it if there is none.
    ///
    /// These rules must keep working for stored items. Other rules may only be added under a new
    /// first line.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(b"jit-audit/event/v1\n");
        // Canonical JSON only rejects NaN and keys that are no strings, and facts contain neither.
        #[allow(clippy::expect_used)]
        serde_json_canonicalizer::to_writer(&self.facts(), &mut bytes).expect("facts are JSON");
        Digest(Sha256::digest(&bytes).into())
    }
}
