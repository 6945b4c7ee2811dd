//! The store in a file, with redb.
//!
//! Durability: every redb commit is `Immediate`, in two phases, and saves the allocator state (quick-repair),
//! so that an open after a crash takes no scan.
//!
//! Group commit: redb has one writer, and a sync costs far more than a put. So one thread owns the writing.
//! It takes what has queued up, checks and applies each batch in order within one redb transaction, commits
//! that once, tells the watchers, and answers everybody. With 64 clients that is fifteen times the commits of
//! a transaction each, and alone it costs a client nothing.
//!
//! When a commit fails midway, everyone in the group is told that the outcome is unknown: it shows when the
//! file is opened again. From then on redb refuses to write, and so does this store; reads go on from what is
//! cached, and what is not cached fails. The way out is a restart.
//!
//! Reads run on the caller's thread: a point read from redb's cache takes about a microsecond, a hop to a
//! blocking thread ten. A read that misses the cache waits for the disk; on the machines this is made for
//! that is some 100 us.
//!
//! The file: never initialised over something else. A new one is made under another name, synced, and
//! renamed, while a lock on `coffer.lock` keeps other processes out; so a file under our name is always a
//! whole one.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTable,
    StorageBackend, TableDefinition, TableError,
};
use tokio::sync::{mpsc, oneshot};

use crate::limits;
use crate::names::{KeyRange, StoreKey};
use crate::store::watch::{Watch, Watchers};
use crate::store::{
    Fault, ReadError, Record, Records, Revision, Snapshot, Store, WriteBatch, WriteError,
};

const FILE: &str = "coffer.redb";
const NEW_FILE: &str = "coffer.redb.new";
const LOCK_FILE: &str = "coffer.lock";
/// How every redb file begins.
const REDB_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// That the file is ours, in which format, and the revision of the last commit.
const HEADER: TableDefinition<'static, &'static str, u64> = TableDefinition::new("coffer");
const HEADER_FORMAT: &str = "format";
const HEADER_REVISION: &str = "revision";
const FORMAT: u64 = 1;

/// Each value is preceded by the revision that wrote it, 8 bytes.
const RECORDS: TableDefinition<'static, &'static [u8; StoreKey::BYTES], &'static [u8]> =
    TableDefinition::new("records");
const REVISION_BYTES: usize = 8;
type Table<'t> = redb::Table<'t, &'static [u8; StoreKey::BYTES], &'static [u8]>;

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
        "the data file has format {found}, and this version knows formats up to {FORMAT}; use a newer version"
    )]
    NewerFormat {
        /// Its format.
        found: u64,
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

/// See the module.
pub(crate) struct RedbStore {
    database: Arc<Database>,
    watchers: Arc<Watchers>,
    /// Closed first when dropped, which ends the writer.
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as the store is open; released when it is closed.
    _lock: Option<File>,
}

/// A batch, and who waits for it.
struct Job {
    batch: WriteBatch,
    answer: oneshot::Sender<Result<Revision, WriteError>>,
}

impl RedbStore {
    /// Opens `coffer.redb` in `directory`; makes both if there is no such file.
    pub(crate) fn open(directory: &Path) -> Result<Self, OpenError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| OpenError::Io {
                action,
                path,
                source: source.into(),
            }
        };
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
        let database = match path.symlink_metadata() {
            Ok(_) => open_file(directory, &path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Left over from a first start that was cut short; it never held anything that was
                // acknowledged.
                let new = directory.join(NEW_FILE);
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
                let backend =
                    FileBackend::new(file).map_err(|error| opening(directory, &new, error))?;
                let database = builder()
                    .create_with_backend(backend)
                    .map_err(|error| opening(directory, &new, error))?;
                write_header(&database).map_err(|source| OpenError::Io {
                    action: "initialise",
                    path: new.clone(),
                    source,
                })?;
                std::fs::rename(&new, &path).map_err(failed("rename the new file to", &path))?;
                File::open(directory)
                    .and_then(|directory| directory.sync_all())
                    .map_err(failed("sync the directory", directory))?;
                database
            }
            Err(error) => return Err(failed("look at", &path)(error)),
        };
        Self::start(database, Some(lock))
    }

    /// A store on any backend of redb: how crashes and failing disks are simulated. An empty one is
    /// initialised.
    pub(crate) fn open_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let unusable = |source: Fault| OpenError::Unusable(source);
        let empty = backend.len().map_err(|source| unusable(source.into()))? == 0;
        let database = builder()
            .create_with_backend(backend)
            .map_err(|source| unusable(source.into()))?;
        if empty {
            write_header(&database).map_err(unusable)?;
        }
        match format(&database) {
            Ok(Some(FORMAT)) => Self::start(database, None),
            Ok(Some(found)) => Err(OpenError::NewerFormat { found }),
            Ok(None) => Err(OpenError::Unusable("it has no header of ours".into())),
            Err(source) => Err(unusable(source)),
        }
    }

    fn start(database: Database, lock: Option<File>) -> Result<Self, OpenError> {
        let database = Arc::new(database);
        let revision = RedbSnapshot::take(&database)
            .map_err(|error| OpenError::Unusable(error.into()))?
            .revision;
        let watchers = Arc::new(Watchers::new(revision));
        let (queue, jobs) = mpsc::channel(limits::QUEUED_BATCHES);
        let writer = std::thread::Builder::new()
            .name("barrier-writer".to_owned())
            .spawn({
                let (database, watchers) = (database.clone(), watchers.clone());
                move || write(&database, &watchers, jobs)
            })
            .map_err(|source| OpenError::Unusable(source.into()))?;
        Ok(Self {
            database,
            watchers,
            queue: Some(queue),
            writer: Some(writer),
            _lock: lock,
        })
    }
}

/// Waits for the commit that is under way, so that the file is closed when this is done.
impl Drop for RedbStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked was reported by whoever waited for it.
            drop(writer.join());
        }
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        Ok(Arc::new(RedbSnapshot::take(&self.database)?))
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Revision, WriteError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || "the writer has stopped";
        let queue = self
            .queue
            .as_ref()
            .ok_or_else(|| WriteError::Refused(stopped().into()))?;
        queue
            .send(Job { batch, answer })
            .await
            .map_err(|_| WriteError::Refused(stopped().into()))?;
        answered
            .await
            .map_err(|_| WriteError::Unknown(stopped().into()))?
    }

    fn watch(&self, prefixes: &[&[u8]]) -> Watch {
        self.watchers.watch(prefixes)
    }
}

/// The writer: until the queue is closed and empty.
fn write(database: &Database, watchers: &Watchers, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut bytes = first.batch.bytes();
        let mut group = vec![first];
        while group.len() < limits::GROUP_BATCHES && bytes < limits::GROUP_BYTES {
            let Ok(next) = jobs.try_recv() else { break };
            bytes += next.batch.bytes();
            group.push(next);
        }
        match commit_group(database, &group) {
            Ok(verdicts) => {
                for (job, verdict) in group.iter().zip(&verdicts) {
                    if let Ok(revision) = verdict {
                        watchers.tell(*revision, job.batch.written());
                    }
                }
                // Conflicts are answered only now, too: who runs again then sees what was in the way.
                for (job, verdict) in group.into_iter().zip(verdicts) {
                    // Whoever no longer waits has lost nothing but the answer.
                    drop(job.answer.send(verdict.map_err(WriteError::Conflict)));
                }
            }
            Err(failure) => {
                for job in group {
                    drop(job.answer.send(Err(failure.for_one_of_many())));
                }
            }
        }
    }
}

/// Why a whole group failed. Each of its members gets the text.
enum GroupFailure {
    Refused(redb::Error),
    Unknown(redb::Error),
}

impl GroupFailure {
    fn for_one_of_many(&self) -> WriteError {
        match self {
            Self::Refused(error) => WriteError::Refused(error.to_string().into()),
            Self::Unknown(error) => WriteError::Unknown(error.to_string().into()),
        }
    }
}

/// Each batch of `group` in its order, in one redb transaction: its revision, or the record that stood in the
/// way.
fn commit_group(
    database: &Database,
    group: &[Job],
) -> Result<Vec<Result<Revision, StoreKey>>, GroupFailure> {
    let mut verdicts = Vec::with_capacity(group.len());
    // Until the commit, an error drops the transaction, and nothing of it is written.
    let transaction = (|| {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        {
            let mut header = transaction.open_table(HEADER)?;
            let mut records = transaction.open_table(RECORDS)?;
            let mut revision = header
                .get(HEADER_REVISION)?
                .map_or(0, |guard| guard.value());
            for Job { batch, .. } in group {
                if let Some(key) = first_conflict(&records, batch)? {
                    verdicts.push(Err(key));
                    continue;
                }
                revision += 1;
                apply(&mut records, batch, Revision(revision))?;
                verdicts.push(Ok(Revision(revision)));
            }
            header.insert(HEADER_REVISION, revision)?;
        }
        Ok::<_, redb::Error>(transaction)
    })()
    .map_err(GroupFailure::Refused)?;

    if verdicts.iter().all(Result::is_err) {
        // Nothing to sync. If it cannot even be taken back, the next transaction will say so.
        drop(transaction.abort());
    } else {
        transaction
            .commit()
            .map_err(|error| GroupFailure::Unknown(error.into()))?;
    }
    Ok(verdicts)
}

fn apply(
    records: &mut Table<'_>,
    batch: &WriteBatch,
    revision: Revision,
) -> Result<(), redb::Error> {
    let put = |records: &mut Table<'_>, key: &StoreKey, value: &Bytes| {
        let mut place = records.insert_reserve(key.as_bytes(), REVISION_BYTES + value.len())?;
        let (at, rest) = place.as_mut().split_at_mut(REVISION_BYTES);
        at.copy_from_slice(&revision.0.to_be_bytes());
        rest.copy_from_slice(value);
        Ok::<_, redb::Error>(())
    };
    for (key, value) in &batch.writes {
        match value {
            Some(value) => put(records, key, value)?,
            None => drop(records.remove(key.as_bytes())?),
        }
    }
    for (key, value) in &batch.ensures {
        if records.get(key.as_bytes())?.is_none() {
            put(records, key, value)?;
        }
    }
    Ok(())
}

fn first_conflict(
    records: &Table<'_>,
    batch: &WriteBatch,
) -> Result<Option<StoreKey>, redb::Error> {
    for (key, expected) in &batch.checks {
        let found = records.get(key.as_bytes())?;
        let revision = match &found {
            Some(guard) => Some(split(guard.value())?.0),
            None => None,
        };
        if revision != *expected {
            return Ok(Some(*key));
        }
    }
    Ok(None)
}

/// Revision and value of a stored record.
fn split(stored: &[u8]) -> Result<(Revision, &[u8]), redb::Error> {
    match stored.split_first_chunk::<REVISION_BYTES>() {
        Some((revision, value)) => Ok((Revision(u64::from_be_bytes(*revision)), value)),
        None => Err(redb::Error::Corrupted(
            "a record without a revision".to_owned(),
        )),
    }
}

/// A read transaction of redb.
struct RedbSnapshot {
    revision: Revision,
    records: ReadOnlyTable<&'static [u8; StoreKey::BYTES], &'static [u8]>,
}

impl RedbSnapshot {
    fn take(database: &Database) -> Result<Self, ReadError> {
        (|| {
            let transaction = database.begin_read()?;
            let header = transaction.open_table(HEADER)?;
            let revision = Revision(
                header
                    .get(HEADER_REVISION)?
                    .map_or(0, |guard| guard.value()),
            );
            Ok(Self {
                revision,
                records: transaction.open_table(RECORDS)?,
            })
        })()
        .map_err(|error: redb::Error| ReadError(error.into()))
    }

    fn read(&self, key: &StoreKey) -> Result<Option<Record>, redb::Error> {
        let Some(guard) = self.records.get(key.as_bytes())? else {
            return Ok(None);
        };
        let (revision, value) = split(guard.value())?;
        Ok(Some(Record {
            revision,
            value: Bytes::copy_from_slice(value),
        }))
    }
}

#[async_trait]
impl Snapshot for RedbSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn get(&self, key: &StoreKey) -> Result<Option<Record>, ReadError> {
        self.read(key).map_err(|error| ReadError(error.into()))
    }

    async fn get_many(&self, keys: &[StoreKey]) -> Result<Vec<Option<Record>>, ReadError> {
        let read = |key| self.read(key).map_err(|error| ReadError(error.into()));
        keys.iter().map(read).collect()
    }

    async fn range(&self, range: KeyRange, limit: usize) -> Result<Records, ReadError> {
        let read = || {
            let mut found = Records::new();
            let records = self
                .records
                .range::<&[u8; StoreKey::BYTES]>(range.first.as_bytes()..=range.last.as_bytes())?;
            for record in records.take(limit) {
                let (key, stored) = record?;
                let (revision, value) = split(stored.value())?;
                let record = Record {
                    revision,
                    value: Bytes::copy_from_slice(value),
                };
                found.push((StoreKey::from_bytes(*key.value()), record));
            }
            Ok(found)
        };
        read().map_err(|error: redb::Error| ReadError(error.into()))
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(limits::CACHE_BYTES);
    builder
}

fn write_header(database: &Database) -> Result<(), Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    {
        let mut header = transaction.open_table(HEADER)?;
        header.insert(HEADER_FORMAT, FORMAT)?;
        header.insert(HEADER_REVISION, 0)?;
        transaction.open_table(RECORDS)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The format in the header; `None` if there is no header of ours.
fn format(database: &impl redb::ReadableDatabase) -> Result<Option<u64>, Fault> {
    match database.begin_read()?.open_table(HEADER) {
        Ok(header) => Ok(header.get(HEADER_FORMAT)?.map(|guard| guard.value())),
        Err(TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Opens a file that is there. Looks at it without writing first: a foreign one stays as it is.
fn open_file(directory: &Path, path: &Path) -> Result<Database, OpenError> {
    let failed = |source: io::Error| OpenError::Io {
        action: "open",
        path: path.to_owned(),
        source: source.into(),
    };
    let foreign = |reason| OpenError::ForeignFile {
        path: path.to_owned(),
        reason,
    };
    let check_format = |found: Result<Option<u64>, Fault>| match found {
        Ok(Some(FORMAT)) => Ok(()),
        Ok(Some(found)) => Err(OpenError::NewerFormat { found }),
        Ok(None) => Err(foreign("a database of another program")),
        Err(source) => Err(OpenError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    };

    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(foreign("not a file"));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(OpenError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    let mut magic = Vec::new();
    File::open(path)
        .and_then(|file| file.take(REDB_MAGIC.len() as u64).read_to_end(&mut magic))
        .map_err(failed)?;
    if magic.is_empty() {
        return Err(foreign("it is empty"));
    }
    if magic != REDB_MAGIC {
        return Err(foreign("it does not begin like one"));
    }

    match builder().open_read_only(path) {
        Ok(database) => check_format(format(&database))?,
        // It was not closed. Only opening it for writing mends that, and a foreign file would be mended, too.
        Err(DatabaseError::RepairAborted) => {}
        Err(error) => return Err(opening(directory, path, error)),
    }
    let database = builder()
        .open(path)
        .map_err(|error| opening(directory, path, error))?;
    check_format(format(&database))?;
    Ok(database)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::store::conformance::{check_script, check_store, scripts};

    fn store() -> RedbStore {
        RedbStore::open_backend(InMemoryBackend::new()).unwrap()
    }

    #[tokio::test]
    async fn it_is_a_store() {
        check_store(&store()).await;
        let directory = tempfile::tempdir().unwrap();
        check_store(&RedbStore::open(directory.path()).unwrap()).await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn random_batches_leave_what_a_map_would(script in scripts()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(check_script(&store(), script));
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(RedbStore::open(directory.path()).unwrap());
        let database = Database::open(directory.path().join(FILE)).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(HEADER)
            .unwrap()
            .insert(HEADER_FORMAT, 2)
            .unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert!(matches!(
            RedbStore::open(directory.path()),
            Err(OpenError::NewerFormat { found: 2 })
        ));
    }
}
