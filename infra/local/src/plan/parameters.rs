//! The parameters of the template. Values of the command line come first, then those for one machine, then defaults.

use regex_lite::Regex;

use super::Machine;
use crate::{
    known,
    template::{At, TemplateError, UNKNOWN, intrinsics::Scope},
};

/// Adds the value of every parameter to the scope, with CloudFormation's checks.
pub(super) fn read(
    template: &At,
    machine: &Machine<'_>,
    scope: &mut Scope,
) -> Result<(), TemplateError> {
    let parameters = template.get("Parameters");
    let declared = parameters.as_ref().map_or(Ok(Vec::new()), At::entries)?;
    if let Some(name) =
        machine.parameters.keys().find(|name| !declared.iter().any(|(known, _)| known == *name))
    {
        let known = declared.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let at = parameters.as_ref().unwrap_or(template);
        return Err(at.error(format!("there is no parameter {name}; the parameters are {known}")));
    }
    for (name, parameter) in &declared {
        let known = [
            "AllowedPattern",
            "AllowedValues",
            "ConstraintDescription",
            "Default",
            "Description",
            "MaxLength",
            "MaxValue",
            "MinLength",
            "MinValue",
            "NoEcho",
            "Type",
        ];
        parameter.entries_of(&known)?;
        let text = value(name, parameter, machine)?;
        // A value for one machine need not be among those that the template allows for deployments.
        let is_own = !machine.parameters.contains_key(name)
            && known::ONE_MACHINE_PARAMETERS.iter().any(|(known, _)| known == name);
        if !is_own {
            check(parameter, &text)?;
        }
        let kind = parameter.need("Type")?;
        match kind.text()? {
            "String" | "Number" => scope.parameter(name, text),
            "CommaDelimitedList" => scope.list_parameter(name, &text),
            other => return Err(kind.error(format!("{other}: {UNKNOWN}"))),
        }
    }
    Ok(())
}

fn value(name: &str, parameter: &At, machine: &Machine<'_>) -> Result<String, TemplateError> {
    if let Some(given) = machine.parameters.get(name) {
        return Ok(given.clone());
    }
    if name == "Issuer" {
        return Ok(machine.issuer.to_owned());
    }
    // The page has the address of the API, which is known here before the template is read.
    if name == "PublicUrl" {
        return Ok(machine.url.to_owned());
    }
    if let Some((_, text)) = known::ONE_MACHINE_PARAMETERS.iter().find(|(known, _)| *known == name)
    {
        return Ok((*text).to_owned());
    }
    match parameter.get("Default") {
        Some(default) => Ok(default.text()?.to_owned()),
        None => Err(parameter.error(format!("has no default value: set it with --set {name}=…"))),
    }
}

fn check(parameter: &At, text: &str) -> Result<(), TemplateError> {
    if parameter.need("Type")?.text()? == "Number" && text.parse::<f64>().is_err() {
        return Err(parameter.error(format!("{text:?} must be a number")));
    }
    if let Some(allowed) = parameter.get("AllowedValues") {
        let allowed = allowed.texts()?;
        if !allowed.iter().any(|value| value == text) {
            return Err(parameter.error(format!("{text:?} must be one of {}", allowed.join(", "))));
        }
    }
    if let Some(pattern) = parameter.get("AllowedPattern") {
        // CloudFormation compares the whole value.
        let whole = Regex::new(&format!("^(?:{})$", pattern.text()?));
        let whole = whole.map_err(|error| pattern.error(format!("is no pattern: {error}")))?;
        if !whole.is_match(text) {
            let constraint = parameter.get("ConstraintDescription");
            let constraint = constraint.as_ref().map_or_else(|| pattern.text(), At::text)?;
            return Err(parameter.error(format!("{text:?} must be {constraint}")));
        }
    }
    let limit = |name: &str| parameter.get(name).map(|at| at.parsed::<f64>("a number")).transpose();
    // Texts for number parameters are refused above. Lengths are counted in characters.
    let number = text.parse::<f64>().unwrap_or_default();
    let length = text.chars().count() as f64;
    for (least, most, size, what) in [
        ("MinValue", "MaxValue", number, "be"),
        ("MinLength", "MaxLength", length, "have a length"),
    ] {
        if let Some(least) = limit(least)?.filter(|least| size < *least) {
            return Err(parameter.error(format!("{text:?} must {what} at least {least}")));
        }
        if let Some(most) = limit(most)?.filter(|most| size > *most) {
            return Err(parameter.error(format!("{text:?} must {what} at most {most}")));
        }
    }
    Ok(())
}
