//! Writes one file in parts. Each part is uploaded while the next one is collected, so memory is
//! bounded, whatever the file's length.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{
    Digest, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};
use shared::{
    domain::exports::export_files::{File, Form, Output, Part, Upload},
    platform::{
        aws_client::CallError,
        s3::{Bucket, SMALLEST_PART},
    },
};
use tokio::{task::JoinHandle, time::Instant as Deadline};

/// Size of a part, in bytes. S3 accepts at most ten thousand parts, each of at least five
/// megabytes.
const PART: usize = SMALLEST_PART;
/// Extra room for the last row and for what the encoder returns at once.
const ROOM: usize = 128 * 1024;

/// A file that is being written.
#[derive(Debug)]
pub struct Writing {
    form: Form,
    gathered: Gathered,
    /// The hash of the bytes that were passed to the upload.
    hash: Sha256,
    bytes: u64,
    upload: Option<Upload>,
    /// The part that is being uploaded.
    pending: Option<JoinHandle<Result<Part, CallError>>>,
}

/// The bytes that are not uploaded yet.
#[derive(Debug)]
enum Gathered {
    Plain(Vec<u8>),
    /// A gzip member (RFC 1952). An encoder's state cannot be stored, so a new member starts when
    /// work continues from a checkpoint. Readers treat several members as one file.
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Gathered {
    fn new(is_gzip: bool, rest: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(PART + ROOM);
        bytes.extend_from_slice(rest);
        if is_gzip {
            Self::Gzip(Box::new(GzEncoder::new(bytes, Compression::default())))
        } else {
            Self::Plain(bytes)
        }
    }

    fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }
}

impl Writing {
    /// A new file.
    pub fn begin(form: Form, is_gzip: bool) -> Self {
        let gathered = Gathered::new(is_gzip, &[]);
        Self { form, gathered, hash: Sha256::new(), bytes: 0, upload: None, pending: None }
    }

    /// A file from a checkpoint, with the bytes that were not uploaded.
    ///
    /// # Errors
    /// The stored state of its hash is invalid.
    pub fn resume(output: Output, is_gzip: bool, rest: &[u8]) -> Result<Self, String> {
        let Output { form, upload, bytes, hash, .. } = output;
        let hash =
            hash.as_deref().and_then(hash_of).ok_or("the stored state of a hash cannot be read")?;
        Ok(Self {
            form,
            gathered: Gathered::new(is_gzip, rest),
            hash,
            bytes,
            upload,
            pending: None,
        })
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Its length so far, in bytes.
    pub fn length(&mut self) -> u64 {
        self.bytes + self.gathered.bytes().len() as u64
    }

    pub fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }

    /// Whether enough bytes are collected for a part.
    pub fn is_full(&mut self) -> bool {
        self.gathered.bytes().len() >= PART
    }

    /// Calls `write` with a buffer to append to. `scratch` must be empty and is empty afterwards.
    pub fn write(
        &mut self,
        scratch: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        match &mut self.gathered {
            Gathered::Plain(bytes) => write(bytes),
            Gathered::Gzip(encoder) => {
                write(scratch);
                encoder.write_all(scratch)?;
                scratch.clear();
            }
        }
        Ok(())
    }

    /// Starts the upload of this file.
    pub async fn begin_upload(
        &mut self,
        bucket: &Bucket,
        key: String,
        end: Deadline,
    ) -> Result<(), CallError> {
        let id = bucket.begin_upload(&key, self.media_type(), end).await?;
        self.upload = Some(Upload { key, id, parts: Vec::new() });
        Ok(())
    }

    /// Starts uploading the collected bytes in the background, after the previous part is done.
    ///
    /// # Errors
    /// S3 refused the previous part.
    pub async fn hand_over(&mut self, bucket: &Bucket, end: Deadline) -> Result<(), CallError> {
        self.wait().await?;
        let Some(Upload { key, id, parts }) = &self.upload else { return Ok(()) };
        let part = std::mem::replace(self.gathered.bytes(), Vec::with_capacity(PART + ROOM));
        self.hash.update(&part);
        self.bytes += part.len() as u64;
        let (bucket, key, id, number) = (bucket.clone(), key.clone(), id.clone(), parts.len() + 1);
        self.pending = Some(tokio::spawn(async move {
            bucket.upload_part(&key, &id, number, Bytes::from(part), end).await
        }));
        Ok(())
    }

    /// Waits for the part that is being uploaded.
    async fn wait(&mut self) -> Result<(), CallError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        match pending.await {
            Ok(part) => {
                let part = part?;
                if let Some(upload) = &mut self.upload {
                    upload.parts.push(part);
                }
                Ok(())
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Ends a gzip member, so that the collected bytes are complete.
    fn end_member(&mut self) -> io::Result<()> {
        if let Gathered::Gzip(encoder) = &mut self.gathered {
            encoder.try_finish()?;
            let bytes = std::mem::take(encoder.get_mut());
            self.gathered = Gathered::Plain(bytes);
        }
        Ok(())
    }

    /// Completes the file.
    pub async fn complete(
        mut self,
        bucket: &Bucket,
        key: String,
        name: String,
        rows: u64,
        end: Deadline,
    ) -> Result<File, CallError> {
        let media_type = self.media_type();
        self.end_member().map_err(|error| broken(&error))?;
        let key = match self.upload.is_some() {
            false => {
                let bytes = std::mem::take(self.gathered.bytes());
                self.hash.update(&bytes);
                self.bytes += bytes.len() as u64;
                bucket.put(&key, media_type, bytes.into(), end).await?;
                key
            }
            true => {
                if !self.gathered.bytes().is_empty() {
                    self.hand_over(bucket, end).await?;
                }
                self.wait().await?;
                let Some(Upload { key, id, parts }) = self.upload else {
                    return Err(broken(&"it has no upload"));
                };
                bucket.complete_upload(&key, &id, &parts, end).await?;
                key
            }
        };
        let sha256 = shared::domain::trail::event::Digest(self.hash.finalize().into()).to_string();
        Ok(File { name, form: self.form, key, rows, bytes: self.bytes, sha256 })
    }

    /// Prepares a checkpoint: the collected bytes become a part or, if they are too few, an object
    /// of their own with the key `rest`.
    pub async fn put_down(
        mut self,
        bucket: &Bucket,
        rest: String,
        end: Deadline,
    ) -> Result<Output, CallError> {
        self.end_member().map_err(|error| broken(&error))?;
        let is_part = self.upload.is_some() && self.gathered.bytes().len() >= SMALLEST_PART;
        if is_part {
            self.hand_over(bucket, end).await?;
        }
        self.wait().await?;
        let gathered = std::mem::take(self.gathered.bytes());
        let rest = match gathered.is_empty() {
            true => None,
            false => {
                bucket.put(&rest, "application/octet-stream", gathered.into(), end).await?;
                Some(rest)
            }
        };
        let hash = self.hash.serialize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Output {
            form: self.form,
            upload: self.upload,
            rest,
            bytes: self.bytes,
            hash: Some(hash),
        })
    }

    fn media_type(&self) -> &'static str {
        match self.gathered {
            Gathered::Plain(_) => self.form.media_type(),
            Gathered::Gzip(_) => "application/gzip",
        }
    }
}

/// The hash with that state in hex.
fn hash_of(hex: &str) -> Option<Sha256> {
    let digits: Vec<u8> = hex
        .bytes()
        .map(|digit| char::from(digit).to_digit(16))
        .map(|it| it.map(|it| it as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    let state = SerializedState::<Sha256>::try_from(bytes.as_slice()).ok()?;
    Sha256::deserialize(&state).ok()
}

/// This cannot happen in memory; it is handled like any failed call.
fn broken(error: &dyn std::fmt::Display) -> CallError {
    CallError {
        detail: format!("the file could not be written: {error}"),
        code: String::new(),
        is_final: false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_goes_on_from_its_state() {
        for length in [0, 1, 55, 64, 100, 1000] {
            let bytes = vec![7; length];
            let mut whole = Sha256::new();
            whole.update(&bytes);
            let hex: String = whole.serialize().iter().map(|byte| format!("{byte:02x}")).collect();
            let mut resumed = hash_of(&hex).unwrap();
            resumed.update(b"and on");
            whole.update(b"and on");
            assert_eq!(resumed.finalize(), whole.finalize());
        }
        assert!(hash_of("00").is_none() && hash_of("zz").is_none());
    }
}
