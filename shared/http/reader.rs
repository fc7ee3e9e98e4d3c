//! A caller who reads the trail, with the key that signs the caller's cursors.

use shared_domain::{identity::caller::Caller, trail::key::Key};

#[derive(Clone, Copy, Debug)]
pub struct Reader<'r> {
    pub caller: &'r Caller,
    pub key: &'r Key,
}
