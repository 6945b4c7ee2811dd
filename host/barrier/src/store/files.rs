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

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageError};

use crate::random::Random;
use crate::store::contained::{Contained, builder, contained};
use crate::store::disk::Disk;
use crate::store::journal::{self, Whose};
use crate::store::overlay::Overlay;
use crate::store::redb::{ALONE, Header, JOURNALED, check_format, identify, write_header};

const FILE: &str = "coffer.redb";
const JOURNAL_FILE: &str = "coffer.journal";
/// Of a file that is not finished.
const NEW: &str = "new";
const LOCK_FILE: &str = "coffer.lock";
/// How every redb file begins.
const REDB_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Why a store did not open. Nothing was changed.
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
    /// The journal is not the one of the data file.
    #[error(
        "{path}: {reason}; nothing was changed: \
         the data file and its journal belong together, bring back the one that is missing"
    )]
    Journal {
        /// Which file.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
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

/// Opens `coffer.redb` and its journal in `directory`; makes what there is not.
pub(super) fn open(
    directory: &Path,
    random: &dyn Random,
) -> Result<(Contained, Disk, FileBackend, File), OpenError> {
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
    let (database, disk) = match exists(&path)? {
        true => open_file(directory, &path)?,
        false if exists(&directory.join(JOURNAL_FILE))? => {
            return Err(OpenError::Journal {
                path: directory.join(JOURNAL_FILE),
                reason: "a journal without its data file",
            });
        }
        false => create_file(directory, &path)?,
    };
    let header = identify(&database, random).map_err(|source| OpenError::Io {
        action: "write to",
        path,
        source,
    })?;
    let journal = open_journal(directory, &header)?;
    Ok((database, disk, journal, lock))
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

/// The journal that belongs to the data file with this header. One that stands alone may get a new one.
fn open_journal(directory: &Path, header: &Header) -> Result<FileBackend, OpenError> {
    let path = directory.join(JOURNAL_FILE);
    let refused = |reason| OpenError::Journal {
        path: path.clone(),
        reason,
    };
    let backend = |path: &Path, file: File| {
        FileBackend::new(file).map_err(|error| opening(directory, path, error))
    };
    if !exists(&path)? {
        if header.format != ALONE {
            return Err(refused("it is missing, and has what was written last"));
        }
        return create(&path, |new, file| {
            let made = backend(new, file)?;
            journal::create(&made, header.store).map_err(failed("fill", new))?;
            Ok(made)
        });
    }
    check_file(&path)?;
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let found = backend(&path, file.map_err(failed("open", &path))?)?;
    match journal::whose(&found, header.store).map_err(failed("read", &path))? {
        Whose::Ours => Ok(found),
        Whose::Others => Err(refused("the journal of another data file")),
        Whose::Nobodys => Err(refused("not a journal, or not all of it")),
    }
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
