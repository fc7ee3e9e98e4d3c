//! Reader: who reads the trail, and the key that their cursors are made under.

use shared_domain::{identity::caller::Caller, trail::key::Key};

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'r> {
    /// The caller.
    pub caller: &'r Caller,
    /// The deployment's key.
    pub key: &'r Key,
}
