//! A secret of a template.

use crate::{
    known,
    template::{At, TemplateError, intrinsics::Scope},
};

use super::{STACK, names::secret_arn, resource_properties};

/// A secret that is generated at the first start of the stack.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) logical: String,
    pub(crate) arn: String,
    /// The number of its letters and digits.
    pub(crate) length: usize,
}

pub(super) fn secret(scope: &Scope, logical: &str, resource: &At) -> Result<Secret, TemplateError> {
    let properties = resource_properties(scope, resource, known::SECRET)?;
    let generated = properties.get("GenerateSecretString").ok_or_else(|| {
        resource
            .error("GenerateSecretString is missing: the local runner supports no other secrets")
    })?;
    generated.entries_of(&["ExcludePunctuation", "PasswordLength"])?;
    let plain = generated.need("ExcludePunctuation")?;
    if !plain.boolean()? {
        return Err(plain.error("the local runner generates only letters and digits"));
    }
    let length = generated.need("PasswordLength")?.parsed("a whole number")?;
    Ok(Secret {
        logical: logical.to_owned(),
        arn: secret_arn(&format!("{STACK}-{logical}")),
        length,
    })
}
