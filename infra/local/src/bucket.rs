//! S3: an embedded server on a directory, with the template's buckets in it.

use std::{collections::HashSet, fs, io, path::Path, sync::Arc};

use http::Response;
use s3s::{Body, auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{StartError, data::Store, http_server, stop::Stop};

const DIRECTORY: &str = "s3";

/// The directory that files are kept in; without a data directory it lives as long as this.
pub(crate) enum Files {
    /// In the data directory.
    Kept(std::path::PathBuf),
    /// Gone at the end.
    Passing(TempDir),
}

impl Files {
    /// Makes the directories of the buckets that are missing.
    pub(crate) fn open(store: &Store, buckets: &[String]) -> Result<Self, StartError> {
        let files = match store.file(DIRECTORY) {
            Some(path) => Self::Kept(path),
            None => Self::Passing(TempDir::new().map_err(bucket_error)?),
        };
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

/// The server completes an upload by forgetting it first. Killed meanwhile, it leaves parts that nothing leads to.
fn remove_orphans(root: &Path) -> io::Result<()> {
    let names = fs::read_dir(root)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: HashSet<String> = names.collect::<io::Result<_>>()?;
    for name in &names {
        let Some((upload, _)) = name.strip_prefix(".upload_id-").and_then(|rest| rest.split_once(".part-")) else {
            continue;
        };
        if !names.contains(&format!(".upload-{upload}.json")) {
            fs::remove_file(root.join(name))?;
        }
    }
    Ok(())
}

/// Answers S3's API to who signs with those keys.
pub(crate) fn serve(
    files: &Files,
    listener: TcpListener,
    access_key: &str,
    secret_key: &str,
    stop: Stop,
) -> Result<(), StartError> {
    let system = FileSystem::new(files.path()).map_err(|error| StartError::Bucket(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(system);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    let service = Arc::new(builder.build());
    http_server::serve(listener, stop, move |request, _| {
        let service = service.clone();
        async move {
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

fn bucket_error(error: impl std::fmt::Display) -> StartError {
    StartError::Bucket(error.to_string())
}
