//! The secret key of a deployment. It authenticates cursors and derives event ids that nobody else
//! can compute.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

#[derive(Clone)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
}

impl Key {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// HMAC-SHA256 with the key. `label` is the purpose, so that a value made for one purpose is
    /// useless for another. Each part is hashed with its length.
    pub fn mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC accepts keys of any length.
        #[allow(clippy::expect_used)]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        for part in [label.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_depends_on_key_label_and_the_parts_with_their_bounds() {
        let key = Key::new("k".repeat(32));
        let mac = key.mac("ids", &[b"a", b"bc"]);
        assert_eq!(mac, key.mac("ids", &[b"a", b"bc"]));
        for other in [
            Key::new("l".repeat(32)).mac("ids", &[b"a", b"bc"]),
            key.mac("cursor", &[b"a", b"bc"]),
            key.mac("ids", &[b"ab", b"c"]),
            key.mac("ids", &[b"abc"]),
            key.mac("ids", &[b"a", b"bc", b""]),
        ] {
            assert_ne!(mac, other);
        }
        assert_eq!(format!("{key:?}"), "a key");
    }
}
