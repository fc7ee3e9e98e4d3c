//! S3: an embedded server on a directory, with the template's buckets.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Extensions, HeaderMap, Method, Response, Uri};
use s3s::{
    Body, S3Request, S3Response, S3Result, auth::SimpleAuth, route::S3Route,
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{StartError, data::Store, gate, http_server, stop::Stop};

const DIRECTORY: &str = "s3";

/// The directory with the files of all buckets.
pub(crate) enum Files {
    /// In the data directory.
    Kept(PathBuf),
    /// A temporary directory, which is deleted at the end.
    Passing(TempDir),
}

impl Files {
    /// Opens the directory and creates missing buckets.
    pub(crate) fn open(store: &Store, buckets: &[String]) -> Result<Self, StartError> {
        let files = match store.file(DIRECTORY) {
            Some(path) => Self::Kept(path),
            None => Self::Passing(TempDir::new().map_err(bucket_error)?),
        };
        fs::create_dir_all(files.path()).map_err(bucket_error)?;
        for bucket in buckets {
            fs::create_dir_all(files.path().join(bucket)).map_err(bucket_error)?;
        }
        remove_orphans(files.path()).map_err(bucket_error)?;
        Ok(files)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(directory) => directory.path(),
        }
    }
}

/// Removes files that a killed server left. An upload has its own file, its parts, and attributes that name its key. Without the
/// first or the last, the rest is unreachable. Attributes of a deleted file are removed too.
fn remove_orphans(root: &Path) -> io::Result<()> {
    let names =
        fs::read_dir(root)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<io::Result<_>>()?;
    let uploads: HashSet<&str> = names.iter().filter_map(|name| upload_of(name)).collect();
    let named: HashSet<String> = names.iter().filter_map(|name| attributes_of(name)?.2).collect();
    for name in &names {
        let is_orphan = match (upload_of(name), part_of(name), attributes_of(name)) {
            (Some(upload), _, _) => !named.contains(upload),
            (_, Some(upload), _) => !uploads.contains(upload) || !named.contains(upload),
            (_, _, Some((_, _, Some(upload)))) => !uploads.contains(upload.as_str()),
            (_, _, Some((bucket, key, None))) => !root.join(bucket).join(key).exists(),
            _ => false,
        };
        if is_orphan {
            fs::remove_file(root.join(name))?;
        }
    }
    Ok(())
}

/// The upload id, if the file is the upload's own file.
fn upload_of(name: &str) -> Option<&str> {
    name.strip_prefix(".upload-")?.strip_suffix(".json")
}

/// The upload id, if the file is a part of an upload.
fn part_of(name: &str) -> Option<&str> {
    Some(name.strip_prefix(".upload_id-")?.split_once(".part-")?.0)
}

/// Bucket, key and upload id, if the file holds attributes.
fn attributes_of(name: &str) -> Option<(String, String, Option<String>)> {
    let (bucket, rest) = name.strip_prefix(".bucket-")?.split_once(".object-")?;
    let (key, kind) = rest.split_once('.')?;
    let upload = kind.strip_prefix("upload-").and_then(|kind| kind.strip_suffix(".metadata.json"));
    let decoded = |text: &str| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    Some((decoded(bucket)?, decoded(key)?, upload.map(str::to_owned)))
}

/// Serves the S3 API to requests signed with these keys. Presigned links are signed too, and a browser sends no origin with them.
pub(crate) fn serve(
    files: &Files,
    listener: TcpListener,
    access_key: &str,
    secret_key: &str,
    stop: Stop,
) -> Result<(), StartError> {
    let system =
        FileSystem::new(files.path()).map_err(|error| StartError::Bucket(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(system);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    builder.set_route(Uploads(files.path().to_owned()));
    let service = Arc::new(builder.build());
    http_server::serve(listener, stop, move |request, _| {
        let service = service.clone();
        async move {
            if let Err(message) = gate::is_from_here(request.uri(), request.headers()) {
                let mut response = Response::new(Body::from(format!(
                    "<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
                )));
                *response.status_mut() = http::StatusCode::FORBIDDEN;
                return response;
            }
            service.call(request.map(Body::from)).await.unwrap_or_else(|error| {
                tracing::error!("the embedded S3 failed: {error:?}");
                let mut response = Response::new(Body::empty());
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                response
            })
        }
    });
    Ok(())
}

/// Implements `ListMultipartUploads`, which the embedded server lacks.
struct Uploads(PathBuf);

impl Uploads {
    /// Key and id of a bucket's uploads whose key starts with `prefix`, from the names of their attribute files.
    fn under_way(&self, bucket: &str, prefix: &str) -> io::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some((of, key, Some(id))) = attributes_of(&name) else { continue };
            if of == bucket
                && key.starts_with(prefix)
                && self.0.join(format!(".upload-{id}.json")).exists()
            {
                found.push((key, id));
            }
        }
        Ok(found)
    }
}

#[async_trait::async_trait]
impl S3Route for Uploads {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        let is_bucket = !uri.path().trim_matches('/').contains('/');
        let mut names = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .map(|pair| pair.split('=').next().unwrap_or_default());
        method == Method::GET && is_bucket && names.any(|name| name == "uploads")
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let pairs = request
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let prefix = pairs
            .filter(|(name, _)| *name == "prefix")
            .map(|(_, value)| value)
            .next()
            .unwrap_or_default();
        let prefix = percent_encoding::percent_decode_str(prefix).decode_utf8_lossy();
        let bucket = request.uri.path().trim_matches('/');
        let uploads = self.under_way(bucket, &prefix).map_err(s3s::S3Error::internal_error)?;
        // The keys and ids of this service contain no characters that XML must escape.
        let uploads = uploads
            .iter()
            .map(|(key, id)| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>"));
        let answer = format!(
            "<ListMultipartUploadsResult>{}</ListMultipartUploadsResult>",
            uploads.collect::<String>()
        );
        Ok(S3Response::new(Body::from(answer)))
    }
}

fn bucket_error(error: impl std::fmt::Display) -> StartError {
    StartError::Bucket(error.to_string())
}
