//! The manifest of an export: what was asked for, and name, size and hash of each file.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    exports::{
        export_files::{Place, described},
        export_job::{Job, Sheet, merge},
    },
    trail::event::Tenant,
};

/// The location and hash of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its key in the bucket.
    pub key: String,
    /// SHA-256 of the manifest, in lower-case hex.
    pub sha256: String,
}

const EVENTS_NOTE: &str = "Rows are the events of the range, which ends where the retention ended at the snapshot, that were recorded up to the snapshot \
    and meet the filters, the newest first. Filters count where include_filters is true; the service's own events are there where \
    include_service is true. In CSV files a cell that a spreadsheet could take for a formula begins with ', and control characters are written \
    \\u00XX; JSON Lines files hold the events as they are.";
const REPORT_NOTE: &str = "Rows are those of the report as it stood when they were read, after the snapshot. In CSV files a cell that a spreadsheet \
    could take for a formula begins with ', and control characters are written \\u00XX; JSON Lines files hold the rows as they are.";

/// The manifest: the request in words, and name, size and hash of each file.
pub fn manifest(tenant: &Tenant, job: &Job, place: &Place, sheet: &Sheet) -> Value {
    let (first, end) = job.range();
    let note = match sheet {
        Sheet::Events(_) => EVENTS_NOTE.to_owned(),
        Sheet::Report(_) => {
            let more = job.asked.report.as_ref().and_then(|query| query.report.described().note);
            more.map_or_else(
                || REPORT_NOTE.to_owned(),
                |more| format!("{REPORT_NOTE} Of this report: {more}."),
            )
        }
    };
    let mut manifest = json!({
        "manifest": "jit-audit/export/v1",
        "tenant": tenant, "id": job.id, "snapshot": job.snapshot, "created_by": job.created_by,
        "retention_days": job.retention_days,
        "range": {"since": first, "until": end},
        "rows": place.rows(),
        "files": place.files.iter().map(described).collect::<Vec<_>>(),
        "order": "desc",
        "note": note,
    });
    if let Some(saved) = &job.saved {
        manifest["saved"] = json!(saved);
    }
    merge(&mut manifest, json!(job.asked));
    manifest["header"] = sheet.names().into();
    manifest
}
