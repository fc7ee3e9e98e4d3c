//! The actions of just-in-time access to computers and to accounts in Microsoft Entra.

use super::{
    Category, Definition, Source, When, Writer, action, actions,
    ocsf_class::{self, Ocsf},
    of_device,
};

const fn computer(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Definition {
    of_device(action(name, ocsf, label, Source::S1, Category::JitForComputers, sentence, failed))
}

const fn entra(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Definition {
    action(name, ocsf, label, Source::S1, Category::JitForEntra, sentence, failed)
}

actions! {
    /// Just-in-time access to computers, accounts in Entra and other targets.
    pub enum JitAction {
        ComputerAccessed = computer("computer.accessed", ocsf_class::LOGON, "Computer access", "{actor} logged into the Desktop {target} with account {account}.", "{actor} failed to log into the Desktop {target} with account {account}.[ Reason: {reason}]"),
        ComputerLeft = computer("computer.left", ocsf_class::LOGOFF, "Log off or lock", "{actor} has logged off the Desktop {target} with account {account}.", "{actor} failed to log off the Desktop {target} with account {account}.[ Reason: {reason}]"),
        ComputerOfflineCodeRetrieved = computer("computer.offline_code.retrieved", ocsf_class::READ, "Offline code retrieval", "{actor} accessed offline code for Desktop machine {target}.", "{actor} failed to access the offline code for Desktop machine {target}.[ Reason: {reason}]"),
        EntraAccountRequested = Definition {
            opens_window: true,
            variants: &[(When::NotProvisioned, "{actor} requested access to application {target}. User account {account} enabled.")],
            ..entra("entra.account.requested", ocsf_class::ACCOUNT_CREATED, "Entra account request", "{actor} requested access to application {target}. User account {account} created.", "{actor} requested access to application {target} and did not get it.[ User account {account} was not enabled.][ Reason: {reason}]")
        },
        EntraAccountDisabled = Definition {
            writer: Writer::CallersAndSystem,
            ..entra("entra.account.disabled", ocsf_class::ACCOUNT_DISABLED, "Entra account disabled", "{actor} disabled user account {account} in application {target}.", "{actor} failed to disable user account {account} in application {target}.[ Reason: {reason}]")
        },
        EntraCredentialsAccessed = of_device(entra("entra.credentials.accessed", ocsf_class::READ, "Entra account credentials access", "{actor} accessed {target} credentials.", "{actor} failed to access {target} credentials.[ Reason: {reason}]")),
        // Any use other than a log-on to a desktop: of a database, a shell or a cluster. `details`
        // contains the operation.
        AccessUsed = of_device(action("access.used", ocsf_class::READ, "Access used", Source::Users, Category::JitForComputers, "{actor} used {target} with account {account}.", "{actor} failed to use {target} with account {account}.[ Reason: {reason}]")),
    }
}
