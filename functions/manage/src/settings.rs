//! The tenant's settings.

use shared::{
    domain::{
        configuration::{
            document::Document,
            read_only::Repeated,
            settings::{Settings, SettingsAnswer, SettingsRequest},
        },
        json::strict_json::FieldError,
        trail::actions::ConfigurationAction,
    },
    http::{input::Body, output::Versioned, problem::Problem},
    services::documents,
    storage::documents::{DocumentChange, StoredDocument},
};

use crate::{Manage, configured, routes::Call};

/// `PUT /v1/settings`: changes the settings that the body contains.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 503.
pub async fn put(
    call: &Call<'_>,
    body: Body<SettingsRequest>,
) -> Result<Versioned<SettingsAnswer>, Problem> {
    let Call { function: Manage { place, foresight, .. }, scope, .. } = call;
    let mut settings = scope.settings.clone();
    // The settings before this request, even if an attempt without an answer has changed them.
    let mut first: Option<Settings> = None;
    // Concurrent requests about different settings both take effect: the other settings are read
    // again.
    let repeated = Repeated::of(body.json(), Settings::READ_ONLY);
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let before: Settings = documents::read(there)?.unwrap_or(scope.settings.clone());
        let refused = |errors| Problem::invalid("the settings were not changed", errors);
        let errors = configured::errors_beside(Settings::ID, &repeated, Some(&before))?;
        settings = match before.changed_by(body.json(), *place, scope.now) {
            Ok(changed) if errors.is_empty() => changed,
            read => {
                let own = read.err().unwrap_or_default();
                return Err(refused(errors.into_iter().chain(own).collect()));
            }
        };
        let errors: Vec<_> = settings
            .alerts
            .iter()
            .enumerate()
            .filter_map(|(at, channel)| {
                let detail = foresight.refuses(&scope.tenant, channel.way.address()?, None)?;
                // A channel that has not changed is not an error of this request.
                (!before.alerts.contains(channel))
                    .then(|| FieldError::new(format!("/alerts/{at}/url"), detail))
            })
            .collect();
        if !errors.is_empty() {
            return Err(refused(errors));
        }
        let (findings, hold) = (settings.weakenings(&before), settings.hold_change(&before));
        let unconfigured =
            serde_json::to_value(&before).map_err(|error| Problem::internal(&error))?;
        first.get_or_insert(before);
        // All settings are stored, even those equal to a default, because defaults may change.
        let content = serde_json::to_value(&settings).map_err(|error| Problem::internal(&error))?;
        let also = hold.map(|(why, details)| (ConfigurationAction::HoldChanged, why, details));
        Ok(DocumentChange {
            content: Some(content),
            unconfigured: Some(unconfigured),
            findings,
            also,
            ..DocumentChange::default()
        })
    };
    let (_, version) = configured::configure::<Settings>(call, Settings::ID, want).await?;
    let notice = first.and_then(|before| settings.retention_notice(&before));
    let body = SettingsAnswer { notice, hold: settings.hold(scope.now), settings };
    Ok(Versioned { body, version })
}
