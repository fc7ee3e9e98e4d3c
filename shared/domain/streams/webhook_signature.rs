//! The signature of requests to a stream's target, by Standard Webhooks 1.0.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signing key from the text of a secret: `whsec_` and 24 to 64 bytes in base64, as in Standard
/// Webhooks ("Signature scheme").
///
/// # Errors
/// A sentence that does not contain the secret.
pub fn signing_key(secret: &str) -> Result<Vec<u8>, String> {
    let key =
        secret.trim().strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
    key.filter(|key| (24..=64).contains(&key.len())).ok_or_else(|| {
        "must be whsec_ and the base64 of 24 to 64 bytes; create one with: echo whsec_$(openssl rand -base64 32)".to_owned()
    })
}

/// The header `webhook-signature` of Standard Webhooks 1.0: for each key `v1,` and the base64 of
/// the HMAC-SHA256 over id, timestamp (seconds since 1970) and body, separated by spaces.
pub fn signature(keys: &[Vec<u8>], id: &str, timestamp: i64, body: &str) -> String {
    let signed = keys.iter().filter_map(|key| {
        // HMAC accepts keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // The example of the specification's reference libraries.
        let key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(
            signature(
                std::slice::from_ref(&key),
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                body
            ),
            expected
        );
        let two =
            signature(&[vec![1; 24], key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert!(two.ends_with(&format!(" {expected}")), "{two}");
        for wrong in ["", "secret", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        {
            assert!(signing_key(wrong).is_err(), "{wrong}");
        }
    }
}
