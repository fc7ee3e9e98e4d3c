//! The files of an export: the complete ones, those that are being written, and the checkpoint from
//! which work continues.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use strum::Display;

use crate::trail::{event::Tenant, position::Position};

/// The prefix of a job's files. Keys are short, because the embedded S3 puts each one into a file
/// name, twice as long.
pub fn prefix(tenant: &Tenant, job: &str) -> String {
    format!("{tenant}/{}/", job.replace('-', ""))
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ExportFormat")]
#[derive(Display)]
#[strum(serialize_all = "snake_case")]
pub enum Form {
    /// A table with a header row.
    Csv,
    /// The same rows without loss: each line is one event or report row as the API returns it.
    Jsonl,
}

impl Form {
    /// The media type of an uncompressed file.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/jsonl; charset=utf-8",
        }
    }
}

/// A checkpoint from which work continues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The last event that was written to a complete or an open file.
    #[serde(serialize_with = "shown", deserialize_with = "read_position")]
    pub after: Option<Position>,
    /// The same for a report: the key of the last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_row: Option<String>,
    pub files: Vec<File>,
    /// Files that are being written.
    pub open: Option<Open>,
}

pub(super) fn shown<S: Serializer>(
    position: &Option<Position>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    position.as_ref().map(ToString::to_string).serialize(serializer)
}

pub(super) fn read_position<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Position>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let read = |text: String| text.parse().map_err(|()| serde::de::Error::custom("no position"));
    text.map(read).transpose()
}

impl Place {
    /// Rows in complete files.
    pub fn rows(&self) -> u64 {
        self.files.iter().filter(|file| file.form == Form::Csv).map(|file| file.rows).sum()
    }

    /// Bytes of complete files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The checkpoint at which the open files were started, and their uploads, which are to be
    /// aborted.
    pub fn rewound(mut self) -> (Self, Vec<Upload>) {
        let Some(open) = self.open.take() else { return (self, Vec::new()) };
        self.after = open.begun_after;
        self.after_row = open.begun_after_row;
        let uploads = open.outputs.into_iter().filter_map(|output| output.upload).collect();
        (self, uploads)
    }
}

/// A complete file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub name: String,
    pub form: Form,
    /// Its key in the bucket.
    pub key: String,
    pub rows: u64,
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: String,
}

/// The files that are being written, one of each form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The last event before these files.
    #[serde(serialize_with = "shown", deserialize_with = "read_position")]
    pub begun_after: Option<Position>,
    /// The same for a report: the key of the last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_after_row: Option<String>,
    /// Rows in each of them.
    pub rows: u64,
    /// Whether this checkpoint was stored as a whole by a run that then stopped. Otherwise that run
    /// may still be working, or may have crashed. The next run then restarts these files, in new
    /// uploads that no other run writes to.
    pub is_settled: bool,
    pub outputs: Vec<Output>,
}

/// A file that is being written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub form: Form,
    /// The multipart upload, once a first part was sent.
    pub upload: Option<Upload>,
    /// The key of the object with the bytes that are too few for a part.
    pub rest: Option<String>,
    /// Bytes written, uploaded or not.
    pub bytes: u64,
    /// The state of SHA-256 after the uploaded bytes, in hex.
    pub hash: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// The key of the resulting file.
    pub key: String,
    /// The upload's id in S3.
    pub id: String,
    /// Its parts in order.
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub etag: String,
    /// SHA-256 of the part in base64, as S3 expects it.
    pub sha256: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was_written() {
        let position: Position = "2026-11-22T00:26:07.000Z#a-1".parse().unwrap();
        let place = Place {
            after: Some(position.clone()),
            after_row: None,
            files: vec![File {
                name: "a-0001.csv".into(),
                form: Form::Csv,
                key: "exports/acme/1/x/a-0001.csv".into(),
                rows: 2,
                bytes: 3,
                sha256: "00".into(),
            }],
            open: Some(Open {
                begun_after: None,
                begun_after_row: None,
                rows: 7,
                is_settled: true,
                outputs: vec![Output {
                    form: Form::Jsonl,
                    upload: Some(Upload {
                        key: "k".into(),
                        id: "u".into(),
                        parts: vec![Part { etag: "\"e\"".into(), sha256: "s".into() }],
                    }),
                    rest: Some("r".into()),
                    bytes: 9,
                    hash: Some("ff".into()),
                }],
            }),
        };
        let read: Place = serde_json::from_str(&serde_json::to_string(&place).unwrap()).unwrap();
        assert_eq!(read, place);
        let (rewound, uploads) = place.rewound();
        assert_eq!((rewound.after, rewound.open, uploads.len()), (None, None, 1));
    }
}
