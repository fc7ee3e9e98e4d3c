//! The applications by which Microsoft's identity governance changes roles on behalf of packages.

use crate::text::case_folding::fold;

/// Their ids. The workbook "Application role assignment activity" recognises the first by its name.
const IDS: [&str; 3] = [
    // Azure AD Identity Governance - User Management, also called Directory Management.
    "ec245c98-4a90-40c2-955a-88b727d97151",
    // Azure AD Identity Governance - Entitlement Management.
    "810dcf14-1858-4bf2-8134-4c369fa3235b",
    // Azure AD Identity Governance.
    "bf26f092-3426-4a99-abfb-97dad74e661a",
];

/// The beginnings of their names, case-folded. What follows a dash is the part of the product.
const NAMES: [&str; 4] = [
    "azure ad identity governance",
    "microsoft entra id governance",
    "microsoft entra identity governance",
    "mim service",
];

/// Whether identity governance is the initiator. The id decides where there is one, because anyone
/// can name an application like Microsoft's.
pub fn is_governance(app_id: Option<&str>, name: Option<&str>) -> bool {
    match (app_id, name) {
        (Some(id), _) => IDS.iter().any(|known| known.eq_ignore_ascii_case(id.trim())),
        (None, Some(name)) => is_name(name),
        (None, None) => false,
    }
}

fn is_name(name: &str) -> bool {
    let folded = fold(name.trim());
    NAMES.iter().any(|known| {
        folded.strip_prefix(known).is_some_and(|rest| {
            let rest = rest.trim_start();
            // Some lists of these applications have an en dash.
            rest.is_empty() || rest.starts_with(['-', '\u{2013}', '\u{2014}'])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_decides_and_otherwise_the_name() {
        for name in [
            "Azure AD Identity Governance",
            "Azure AD Identity Governance - Entitlement Management",
            "azure ad identity governance \u{2013} User Management",
            "Microsoft Entra ID Governance - Directory Management",
            " MIM Service ",
        ] {
            assert!(is_governance(None, Some(name)), "{name}");
            assert!(!is_governance(Some("11111111-1858-4bf2-8134-4c369fa3235b"), Some(name)));
        }
        for name in ["Azure AD Identity Governances", "MIM", "Terraform", "x MIM Service"] {
            assert!(!is_governance(None, Some(name)), "{name}");
        }
        assert!(is_governance(Some("BF26F092-3426-4A99-ABFB-97DAD74E661A"), None));
        assert!(!is_governance(None, None));
    }
}
