//! The manifest of an export: what was asked for, and name, size and hash of each file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    exports::{
        export_answer::{ExportFileAnswer, ExportRequestAnswer},
        export_files::Place,
        export_job::{Job, Sheet},
        saved_search::Origin,
    },
    time::timestamp::Instant,
    trail::event::{Actor, Tenant},
};

const FORMAT: &str = "jit-audit/export/v1";
const ORDER: &str = "desc";

/// The location and hash of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its key in the bucket.
    pub key: String,
    /// SHA-256 of the manifest, in lower-case hex.
    pub sha256: String,
}

const EVENTS_NOTE: &str = "Rows are the events of the range that were recorded up to the snapshot and match the filters, newest first. The range includes \
    only events that were within the retention at the snapshot. Filters apply if include_filters is true. The service's own events are \
    included if include_service is true. In CSV files a cell that a spreadsheet could read as a formula begins with ', and control \
    characters are written \\u00XX; JSON Lines files contain the events unchanged.";
const REPORT_NOTE: &str = "Rows are those of the report when they were read, after the snapshot. In CSV files a cell that a spreadsheet could read as a \
    formula begins with ', and control characters are written \\u00XX; JSON Lines files contain the rows unchanged.";

/// The manifest of an export: the request, and name, size and hash of each file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ManifestAnswer {
    /// The format of the manifest.
    #[schemars(extend("const" = FORMAT))]
    pub manifest: &'static str,
    pub tenant: Tenant,
    /// The id of the export.
    pub id: String,
    /// The time of the request. Events that are recorded later are not exported.
    pub snapshot: Instant,
    pub created_by: Actor,
    /// The tenant's retention at that time, in days.
    pub retention_days: u32,
    pub range: ManifestRange,
    /// The number of rows in all files of one format.
    pub rows: u64,
    /// The files with their hashes, by which a reader checks what was downloaded.
    pub files: Vec<ExportFileAnswer>,
    /// The order of the rows: the newest first.
    #[schemars(extend("const" = ORDER))]
    pub order: &'static str,
    /// How to read the files.
    pub note: String,
    /// The run of a saved search that created the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<Origin>,
    #[serde(flatten)]
    pub request: ExportRequestAnswer,
    /// The header row of each CSV file.
    pub header: Vec<String>,
}

/// The range that an export covers, defaults included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ManifestRange {
    /// Start of the range, inclusive.
    pub since: Instant,
    /// End of the range, exclusive.
    pub until: Instant,
}

impl ManifestAnswer {
    /// The manifest of a job whose files are complete.
    pub fn new(tenant: &Tenant, job: &Job, place: &Place, sheet: &Sheet) -> Self {
        let (since, until) = job.range();
        let note = match sheet {
            Sheet::Events(_) => EVENTS_NOTE.to_owned(),
            Sheet::Report(_) => {
                let more =
                    job.asked.report.as_ref().and_then(|query| query.report.described().note);
                more.map_or_else(
                    || REPORT_NOTE.to_owned(),
                    |more| format!("{REPORT_NOTE} Of this report: {more}."),
                )
            }
        };
        Self {
            manifest: FORMAT,
            tenant: tenant.clone(),
            id: job.id.clone(),
            snapshot: job.snapshot,
            created_by: job.created_by.clone(),
            retention_days: job.retention_days,
            range: ManifestRange { since, until },
            rows: place.rows(),
            files: place.files.iter().map(ExportFileAnswer::from).collect(),
            order: ORDER,
            note,
            saved: job.saved.clone(),
            request: ExportRequestAnswer::from(&job.asked),
            header: sheet.names(),
        }
    }

    /// The text of the manifest's file. The members are sorted by name: the hash of the file is on
    /// record, so the same manifest must always have the same text.
    pub fn text(&self) -> String {
        serde_json::to_value(self).unwrap_or_default().to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_says_what_was_requested_and_its_members_are_sorted() {
        let at = "2026-11-22T00:26:07.000Z";
        let ann = json!({"type": "user", "email": "ann@acme.example"});
        let query = json!({
            "report": "unused", "since": at, "until": null, "at": null, "person": null,
            "account": null, "target": null, "package": null, "id": null, "by": null,
        });
        let saved = json!({
            "id": "s-1", "name": "Unused", "owner": ann, "cause": "schedule", "at": at, "since": at,
            "tz": "UTC",
        });
        let job = json!({
            "id": "x-1", "snapshot": at, "retention_days": 400, "created_by": ann,
            "recorded_by": {"sub": "s-1"}, "saved": saved,
            "asked": {
                "since": null, "until": null, "filter": null, "q": null, "include_service": false,
                "include_filters": true, "tz": "UTC", "profile": "plain", "columns": ["Roles"],
                "gzip": false, "jsonl": false, "file_name": "unused", "report": query,
            },
        });
        let file = json!({
            "name": "unused-0001.csv", "form": "csv", "key": "k", "rows": 2, "bytes": 30,
            "sha256": "00",
        });
        let place = json!({"after": null, "files": [file], "open": null});
        let job: Job = serde_json::from_value(job).unwrap();
        let (tenant, sheet) = (Tenant::new("acme").unwrap(), job.sheet().unwrap());
        let place = serde_json::from_value(place).unwrap();
        let manifest = ManifestAnswer::new(&tenant, &job, &place, &sheet);
        // The members of a JSON value are sorted.
        let expected = json!({
            "manifest": "jit-audit/export/v1", "tenant": "acme", "id": "x-1", "snapshot": at,
            "created_by": ann, "retention_days": 400,
            "range": {"since": at, "until": job.range().1}, "rows": 2,
            "files": [{
                "name": "unused-0001.csv", "format": "csv", "rows": 2, "bytes": 30, "sha256": "00",
            }],
            "order": "desc", "note": manifest.note, "saved": saved, "include_service": false,
            "include_filters": true, "tz": "UTC", "profile": "plain", "columns": ["Roles"],
            "gzip": false, "jsonl": false, "file_name": "unused", "report": query,
            "header": ["Roles"],
        });
        assert_eq!(manifest.text(), expected.to_string());
    }
}
