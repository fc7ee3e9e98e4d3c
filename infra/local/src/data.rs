//! The data directory: the files that survive a restart, and the lock that excludes a second run.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Where a stack stores its data.
#[derive(Clone, Debug)]
pub enum Data {
    /// In memory. The data is lost when the stack stops.
    Memory,
    /// In this directory, which is created if it is missing.
    Directory(PathBuf),
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another process uses it.
    #[error(
        "{0}: another stack runs on this data directory. Stop it, or choose another directory with --data DIR, or use --memory"
    )]
    Locked(PathBuf),
    /// A file in it cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

/// An open data directory, which holds the lock until it is dropped.
pub(crate) enum Store {
    Memory,
    Directory { path: PathBuf, _lock: File },
}

impl Store {
    pub(crate) fn open(data: &Data) -> Result<Self, DataError> {
        let Data::Directory(path) = data else { return Ok(Self::Memory) };
        let failed = |error| DataError::File { path: path.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = private(&path.join("lock"), OpenOptions::new().create(true).truncate(false))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self::Directory { path: path.clone(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataError::Locked(path.clone())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The path of a file in the directory, or `None` in memory.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Memory => None,
            Self::Directory { path, .. } => Some(path.join(name)),
        }
    }

    /// The contents of a file, or `None` if it does not exist.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, DataError> {
        let Some(path) = self.file(name) else { return Ok(None) };
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataError::File { path, error }),
        }
    }

    /// Writes a file atomically, readable only by its owner. Does nothing in memory.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), DataError> {
        let Some(path) = self.file(name) else { return Ok(()) };
        let written = path.with_added_extension("new");
        let write = || {
            private(&written, OpenOptions::new().create(true).truncate(true))?
                .write_all(content)?;
            fs::rename(&written, &path)
        };
        write().map_err(|error| DataError::File { path: path.clone(), error })
    }
}

fn private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.write(true).mode(0o600).open(path)
}
