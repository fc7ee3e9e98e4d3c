//! Whether an item fits. DynamoDB rejects keys and items that are too large. They are rejected here
//! first, with a clear message, whatever the engine.

use aws_sdk_dynamodb::types::AttributeValue;

/// Longest partition key of a table or index, in bytes.
const PARTITION_BYTES: usize = 2048;
/// Longest sort key, in bytes.
pub const SORT_BYTES: usize = 1024;
/// Largest item, in bytes: 400 KB, with room for differences in counting.
const ITEM_BYTES: usize = 400_000;

const PARTITIONS: [&str; 9] = [
    "pk",
    "day",
    "recorded_day",
    "actor_key",
    "subject_key",
    "account_key",
    "target_key",
    "session_key",
    "due",
];
const SORTS: [&str; 4] = ["sk", "at", "recorded", "due_at"];

/// The reason why no item can contain something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TooLarge(String);

/// Checks the attributes against the limits of keys and items.
pub fn check<'a>(
    attributes: impl IntoIterator<Item = &'a (&'static str, AttributeValue)>,
) -> Result<(), TooLarge> {
    let mut bytes = 0;
    for (name, value) in attributes {
        let size = size(value);
        let most = match name {
            name if PARTITIONS.contains(name) => PARTITION_BYTES,
            name if SORTS.contains(name) => SORT_BYTES,
            _ => ITEM_BYTES,
        };
        if size > most && most < ITEM_BYTES {
            return Err(TooLarge(format!(
                "its ids or names make a key of {size} bytes, but the maximum is {most}; use shorter ones"
            )));
        }
        bytes += name.len() + size;
    }
    if bytes > ITEM_BYTES {
        return Err(TooLarge(format!(
            "it needs {bytes} bytes of storage, but the maximum is {ITEM_BYTES}; send less data"
        )));
    }
    Ok(())
}

/// Whether an item can have that key.
pub fn is_key(pk: &str, sk: &str) -> bool {
    pk.len() <= PARTITION_BYTES && sk.len() <= SORT_BYTES
}

fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + size(value)).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_items_are_bounded_as_the_engine_bounds_them() {
        let text = |name: &'static str, bytes: usize| (name, AttributeValue::S("x".repeat(bytes)));
        assert_eq!(check(&[text("pk", 2048), text("sk", 1024), text("content", 300_000)]), Ok(()));
        for (attributes, part) in [
            (vec![text("pk", 2049)], "the maximum is 2048"),
            (vec![text("sk", 1025)], "the maximum is 1024"),
            (vec![text("account_key", 2049)], "the maximum is 2048"),
            (vec![text("content", 399_994)], "the maximum is 400000"),
            (
                vec![("l", AttributeValue::L(vec![text("", 200_000).1, text("", 200_000).1]))],
                "the maximum is 400000",
            ),
        ] {
            assert!(check(&attributes).unwrap_err().to_string().contains(part), "{part}");
        }
    }
}
