//! The files of a store: `coffer.redb`, `coffer.journal` and `coffer.lock`.
//!
//! They are never initialised over something else. A new one is made under another name, synced, and renamed,
//! while a lock on `coffer.lock` keeps other processes out; so a file under our name is always a whole one. The
//! data file comes first, and has the id of its store, which the journal repeats: neither opens with that of
//! another store, nor without it, but for a data file that stands alone.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend, StorageError};

use crate::random::Random;
use crate::store::contained::{Contained, builder, contained};
use crate::store::disk::Disk;
use crate::store::journal::{self, Journal, JournalError};
use crate::store::overlay::Overlay;
use crate::store::redb::{
    ALONE, Header, JOURNALED, check_format, identify, stand_alone, write_header,
};

const FILE: &str = "coffer.redb";
const JOURNAL_FILE: &str = "coffer.journal";
/// Of a file that is not finished.
const NEW: &str = "new";
const LOCK_FILE: &str = "coffer.lock";
/// How every redb file begins.
const REDB_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Why a store did not open. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is there, but not one of ours.
    #[error(
        "{path} is not a data file of this program ({reason}); \
         nothing was changed: move it away, or choose another storage path"
    )]
    ForeignFile {
        /// Which file.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
    },
    /// Others than the owner may read or write the file.
    #[error("{path} is open to others than its owner (mode {mode:04o}); run: chmod 600 {path}")]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process has it.
    #[error(
        "the data in {directory} is in use by another process; stop it first, or choose another storage path"
    )]
    Locked {
        /// Which directory.
        directory: PathBuf,
    },
    /// Written by a newer version of this program.
    #[error(
        "the data file has format {found}, and this version knows formats up to {JOURNALED}; use a newer version"
    )]
    NewerFormat {
        /// Its format.
        found: u64,
    },
    /// The journal is not what belongs to the data file, or is damaged.
    #[error(
        "{path}: {reason}; nothing was given up. A data file and its journal belong together: \
         bring back both as they were at one time; or, to go on from the data file alone, \
         without what was written last, run: truncate --size 0 {path}"
    )]
    Journal {
        /// Which file.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
    },
    /// There is a journal and no data file.
    #[error(
        "{path} is the journal of a data file that is not there; nothing was changed: \
         bring that back, or move the journal away for a new store"
    )]
    DataFileMissing {
        /// The journal.
        path: PathBuf,
    },
    /// The file system or the file failed.
    #[error("could not {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is in the file makes no sense to the barrier.
    #[error("the data file cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a store is made of, opened.
pub(super) struct Files {
    pub(super) database: Contained,
    pub(super) disk: Disk,
    pub(super) journal: Journal,
    /// For errors.
    pub(super) journal_path: PathBuf,
    /// On the directory, if there is one.
    pub(super) lock: Option<File>,
}

/// Opens `coffer.redb` and its journal in `directory`; makes what there is not.
pub(super) fn open(directory: &Path, random: Arc<dyn Random>) -> Result<Files, OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed("create the directory", directory))?;

    let lock_path = directory.join(LOCK_FILE);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(failed("open the lock file", &lock_path))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Locked {
            directory: directory.to_owned(),
        },
        TryLockError::Error(source) => failed("lock", &lock_path)(source),
    })?;

    let path = directory.join(FILE);
    let journal_path = directory.join(JOURNAL_FILE);
    let (database, disk) = match exists(&path)? {
        true => open_file(directory, &path)?,
        false if exists(&journal_path)? => {
            return Err(OpenError::DataFileMissing { path: journal_path });
        }
        false => create_file(directory, &path)?,
    };
    let written = |source| OpenError::Io {
        action: "write to",
        path: path.clone(),
        source,
    };
    let header = identify(&database, &*random).map_err(written)?;
    let journal = match journal_at(&journal_path, header.format)? {
        Some(file) => file,
        None => {
            if header.format != ALONE {
                tracing::warn!(
                    "the journal was emptied by hand: what was written last is given up, back to the last checkpoint"
                );
                stand_alone(&database).map_err(written)?;
            }
            create(&journal_path, |new, file| {
                let same = file.try_clone().map_err(failed("open", new))?;
                let backend = FileBackend::new(same).map_err(|e| opening(directory, new, e))?;
                journal::create(&backend, header.store).map_err(failed("fill", new))?;
                backend.close().map_err(failed("close", new))?;
                Ok(file)
            })?
        }
    };
    let journal = journal_on(directory, &journal_path, journal).and_then(|backend| {
        Journal::open(backend, header.store, random).map_err(|e| unfit(&journal_path, e))
    })?;
    Ok(Files {
        database,
        disk,
        journal,
        journal_path,
        lock: Some(lock),
    })
}

/// The same over any backends of redb.
pub(super) fn open_backend(
    data: impl StorageBackend,
    journal: impl StorageBackend,
    random: Arc<dyn Random>,
) -> Result<Files, OpenError> {
    let unusable = |source: io::Error| OpenError::Unusable(source.into());
    let empty = data.len().map_err(unusable)? == 0;
    let disk = Disk::new(data, None);
    let database =
        Contained::over(disk.clone()).map_err(|source| OpenError::Unusable(source.into()))?;
    if empty {
        write_header(&database).map_err(OpenError::Unusable)?;
    }
    let header = Header::read(&*database).map_err(|source| OpenError::Unusable(source.into()))?;
    check_format(header, || {
        OpenError::Unusable("it has no header of ours".into())
    })?;
    let header = identify(&database, &*random).map_err(OpenError::Unusable)?;
    if header.format == ALONE {
        // There are no names, so that it may have been made by halves.
        journal::create(&journal, header.store).map_err(unusable)?;
    }
    let journal_path = PathBuf::from("the journal");
    let journal = Journal::open(Box::new(journal), header.store, random)
        .map_err(|error| unfit(&journal_path, error))?;
    Ok(Files {
        database,
        disk,
        journal,
        journal_path,
        lock: None,
    })
}

/// Why the journal at `path` is of no use.
pub(super) fn unfit(path: &Path, error: JournalError) -> OpenError {
    match error {
        JournalError::Io(source) => failed("use", path)(source),
        JournalError::Unfit(reason) => OpenError::Journal {
            path: path.to_owned(),
            reason,
        },
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        action,
        path,
        source: source.into(),
    }
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Makes the file `path`: `make` makes it under another name, and syncs it.
fn create<T>(
    path: &Path,
    make: impl FnOnce(&Path, File) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let new = path.with_added_extension(NEW);
    // Left over from a start that was cut short; it never held anything that was acknowledged.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("remove the unfinished file", &new)(error));
        }
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(failed("create", &new))?;
    let made = make(&new, file)?;
    std::fs::rename(&new, path).map_err(failed("rename the new file to", path))?;
    let directory = path.parent().unwrap_or(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync the directory", directory))?;
    Ok(made)
}

fn create_file(directory: &Path, path: &Path) -> Result<(Contained, Disk), OpenError> {
    create(path, |new, file| {
        let (database, disk) = open_disk(directory, new, file)?;
        write_header(&database).map_err(|source| OpenError::Io {
            action: "initialise",
            path: new.to_owned(),
            source,
        })?;
        Ok((database, disk))
    })
}

/// The journal of a data file of this format. `None` if a new one is to be made: the data file stands alone,
/// or was told to by whoever emptied the journal.
fn journal_at(path: &Path, format: u64) -> Result<Option<File>, OpenError> {
    if !exists(path)? {
        return match format {
            ALONE => Ok(None),
            _ => Err(OpenError::Journal {
                path: path.to_owned(),
                reason: "it is missing, and has what was written last",
            }),
        };
    }
    let metadata = path.metadata().map_err(failed("open", path))?;
    if metadata.is_file() && metadata.len() == 0 {
        return Ok(None);
    }
    check_file(path)?;
    let file = OpenOptions::new().read(true).write(true).open(path);
    Ok(Some(file.map_err(failed("open", path))?))
}

fn journal_on(
    directory: &Path,
    path: &Path,
    file: File,
) -> Result<Box<dyn StorageBackend>, OpenError> {
    let same = file.try_clone().map_err(failed("open", path))?;
    let backend = FileBackend::new(file).map_err(|error| opening(directory, path, error))?;
    Ok(Box::new(Disk::new(backend, Some(same))))
}

/// Whether what is there is a file, and its owner's only.
fn check_file(path: &Path) -> Result<(), OpenError> {
    let metadata = path.metadata().map_err(failed("open", path))?;
    if !metadata.is_file() {
        return Err(OpenError::ForeignFile {
            path: path.to_owned(),
            reason: "not a file",
        });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(OpenError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Opens a file that is there. Looks at it without writing first: a foreign one stays as it is.
fn open_file(directory: &Path, path: &Path) -> Result<(Contained, Disk), OpenError> {
    let foreign = |reason| OpenError::ForeignFile {
        path: path.to_owned(),
        reason,
    };
    let check = |header: Result<_, redb::Error>| {
        let header = header.map_err(|source| OpenError::Io {
            action: "read",
            path: path.to_owned(),
            source: source.into(),
        });
        check_format(header?, || foreign("a database of another program"))
    };
    check_file(path)?;
    let mut magic = Vec::new();
    File::open(path)
        .and_then(|file| file.take(REDB_MAGIC.len() as u64).read_to_end(&mut magic))
        .map_err(failed("open", path))?;
    if magic.is_empty() {
        return Err(foreign("it is empty"));
    }
    if magic != REDB_MAGIC {
        return Err(foreign("it does not begin like one"));
    }

    match contained(|| builder().open_read_only(path)) {
        Ok(database) => check(Header::read(&database))?,
        // It was not closed. Only writing mends that: in memory first, since it may be a foreign file.
        Err(DatabaseError::RepairAborted) => {
            let overlay = Overlay::open(path).map_err(failed("open", path))?;
            let database =
                Contained::over(overlay).map_err(|error| opening(directory, path, error))?;
            check(Header::read(&*database))?;
        }
        Err(error) => return Err(opening(directory, path, error)),
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed("open", path))?;
    let (database, disk) = open_disk(directory, path, file)?;
    check(Header::read(&*database))?;
    Ok((database, disk))
}

/// A database on `file`, which is empty or one already.
fn open_disk(directory: &Path, path: &Path, file: File) -> Result<(Contained, Disk), OpenError> {
    let open = || {
        let same = file.try_clone().map_err(StorageError::Io)?;
        let disk = Disk::new(FileBackend::new(file)?, Some(same));
        let database = Contained::over(disk.clone())?;
        Ok((database, disk))
    };
    open().map_err(|error| opening(directory, path, error))
}

fn opening(directory: &Path, path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Locked {
                directory: directory.to_owned(),
            }
        }
        source => OpenError::Io {
            action: "open",
            path: path.to_owned(),
            source: source.into(),
        },
    }
}
