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
//! When the disk fails, redb gives it up: it writes no more, and reads only what it has cached. The writer then
//! opens the file again by itself, as a start after a crash would (`disk.rs`), and what is on disk is the truth.
//! If the commit that failed is not there, nothing of it was written; if it is, whoever waits is told that
//! the outcome is unknown, since its sync is what failed. Watchers are told that anything may have changed.
//! For a while after a failure writes are refused without trying, and the file is opened again no more often
//! than that: opening costs the cache.
//!
//! Damage: redb checks most of what it reads from a file, and asserts the rest. Whatever calls it is
//! therefore `contained`: a panic over a damaged page is an error of the call that met it.
//!
//! Reads run on the caller's thread: a point read from redb's cache takes about a microsecond, a hop to a
//! blocking thread ten. A read that misses the cache waits for the disk; on the machines this is made for
//! that is some 100 us.
//!
//! Beginning a read costs redb three times what a point read does, and takes a lock of the writer's. So readers
//! share one snapshot, which the writer replaces after each commit. It keeps nothing from being reclaimed
//! for longer than until the next commit.
//!
//! The file: never initialised over something else. A new one is made under another name, synced, and
//! renamed, while a lock on `coffer.lock` keeps other processes out; so a file under our name is always a
//! whole one.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTable,
    StorageBackend, StorageError, TableDefinition, TableError,
};
use tokio::sync::{mpsc, oneshot};

use crate::limits;
use crate::names::{KeyRange, StoreKey};
use crate::store::disk::Disk;
use crate::store::overlay::Overlay;
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
    /// Closed first when dropped, which ends the writer.
    queue: Option<mpsc::Sender<Order>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Released after the database was closed.
    _locks: Locks,
    /// Held as long as the store is open; released when it is closed.
    _lock: Option<File>,
}

/// What readers and the writer share.
struct Shared {
    /// As of the last commit. None if the writer could not take one: then readers do.
    latest: RwLock<Option<Arc<RedbSnapshot>>>,
    /// Replaced when it has given up its disk.
    database: RwLock<Arc<Opened>>,
    watchers: Watchers,
    /// Whether the writer was asked to mend, and has not come to it.
    asked: AtomicBool,
}

impl Shared {
    fn database(&self) -> Arc<Opened> {
        let database = self.database.read();
        database.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Before anybody is told of a commit, so that whoever was told sees it.
    fn show(&self, snapshot: Option<RedbSnapshot>) {
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = snapshot.map(Arc::new);
    }

    fn latest(&self) -> Option<Arc<RedbSnapshot>> {
        let latest = self.latest.read();
        latest.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Opened {
    database: Closing,
    /// Whether the disk has failed under this database: it will not use it again. Snapshots outlive the
    /// database and tell of it, too.
    gave_up: Arc<AtomicBool>,
}

/// redb's locks of the file.
struct Locks(Disk);

impl Drop for Locks {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the writer is asked for.
enum Order {
    Commit(Job),
    /// To open the file again: a read has failed.
    Mend,
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
        match path.symlink_metadata() {
            Ok(_) => {
                let (database, disk) = open_file(directory, &path)?;
                Self::start(database, disk, Some(lock))
            }
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
                let (database, disk) = open_disk(directory, &new, file)?;
                write_header(&database).map_err(|source| OpenError::Io {
                    action: "initialise",
                    path: new.clone(),
                    source,
                })?;
                std::fs::rename(&new, &path).map_err(failed("rename the new file to", &path))?;
                File::open(directory)
                    .and_then(|directory| directory.sync_all())
                    .map_err(failed("sync the directory", directory))?;
                Self::start(database, disk, Some(lock))
            }
            Err(error) => Err(failed("look at", &path)(error)),
        }
    }

    /// A store on any backend of redb: how crashes and failing disks are simulated. An empty one is
    /// initialised.
    pub(crate) fn open_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let unusable = |source: Fault| OpenError::Unusable(source);
        let empty = backend.len().map_err(|source| unusable(source.into()))? == 0;
        let disk = Disk::new(backend, None);
        let database = Closing::over(disk.clone()).map_err(|source| unusable(source.into()))?;
        if empty {
            write_header(&database).map_err(unusable)?;
        }
        match format(&*database) {
            Ok(Some(FORMAT)) => Self::start(database, disk, None),
            Ok(Some(found)) => Err(OpenError::NewerFormat { found }),
            Ok(None) => Err(OpenError::Unusable("it has no header of ours".into())),
            Err(source) => Err(unusable(source)),
        }
    }

    fn start(database: Closing, disk: Disk, lock: Option<File>) -> Result<Self, OpenError> {
        let opened = Opened::new(database);
        let snapshot =
            RedbSnapshot::take(&opened).map_err(|error| OpenError::Unusable(error.into()))?;
        let shared = Arc::new(Shared {
            watchers: Watchers::new(snapshot.revision),
            latest: RwLock::new(Some(Arc::new(snapshot))),
            database: RwLock::new(Arc::new(opened)),
            asked: AtomicBool::new(false),
        });
        let (queue, orders) = mpsc::channel(limits::QUEUED_BATCHES);
        let writer = Writer {
            shared: shared.clone(),
            disk: disk.clone(),
            trouble: None,
        };
        let writer = std::thread::Builder::new()
            .name("barrier-writer".to_owned())
            .spawn(move || writer.run(orders))
            .map_err(|source| OpenError::Unusable(source.into()))?;
        Ok(Self {
            queue: Some(queue),
            writer: Some(writer),
            shared,
            _locks: Locks(disk),
            _lock: lock,
        })
    }

    /// Has the writer open the file again, unless it was asked already.
    fn ask_to_mend(&self) {
        if let Some(queue) = &self.queue
            && !self.shared.asked.swap(true, Ordering::Relaxed)
            && queue.try_send(Order::Mend).is_err()
        {
            self.shared.asked.store(false, Ordering::Relaxed);
        }
    }
}

impl Opened {
    fn new(database: Closing) -> Self {
        Self {
            database,
            gave_up: Arc::default(),
        }
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
        let snapshot = match self.shared.latest() {
            Some(snapshot) => snapshot,
            None => {
                let opened = self.shared.database();
                let snapshot = RedbSnapshot::take(&opened);
                Arc::new(snapshot.map_err(|error| failed_read(&opened.gave_up, error))?)
            }
        };
        if snapshot.gave_up.load(Ordering::Relaxed) {
            // What is cached is still good.
            self.ask_to_mend();
        }
        Ok(snapshot)
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Revision, WriteError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || "the writer has stopped";
        let queue = self
            .queue
            .as_ref()
            .ok_or_else(|| WriteError::Refused(stopped().into()))?;
        queue
            .send(Order::Commit(Job { batch, answer }))
            .await
            .map_err(|_| WriteError::Refused(stopped().into()))?;
        answered
            .await
            .map_err(|_| WriteError::Unknown(stopped().into()))?
    }

    fn watch(&self, prefixes: &[&[u8]]) -> Watch {
        self.shared.watchers.watch(prefixes)
    }
}

/// The writer's thread.
struct Writer {
    shared: Arc<Shared>,
    /// As the database that is in use has it.
    disk: Disk,
    /// From a failure until a commit succeeds.
    trouble: Option<Trouble>,
}

/// What the disk said last.
struct Trouble {
    cause: Cause,
    /// Before this, nothing is tried.
    retry_at: Instant,
}

impl Writer {
    /// Until the queue is closed and empty.
    fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(first) = orders.blocking_recv() {
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Commit(job) => {
                        bytes += job.batch.bytes();
                        group.push(job);
                    }
                    Order::Mend => self.shared.asked.store(false, Ordering::Relaxed),
                }
                let full = group.len() >= limits::GROUP_BATCHES || bytes >= limits::GROUP_BYTES;
                next = if full { None } else { orders.try_recv().ok() };
            }
            self.serve(group);
        }
    }

    fn serve(&mut self, group: Vec<Job>) {
        if let Some(trouble) = &self.trouble
            && Instant::now() < trouble.retry_at
        {
            return refuse(group, &trouble.cause);
        }
        if self.shared.database().gave_up.load(Ordering::Relaxed)
            && let Err(cause) = self.mend()
        {
            return refuse(group, &cause);
        }
        if group.is_empty() {
            return;
        }
        let before = self.shared.watchers.latest();
        let opened = self.shared.database();
        match commit_group(&opened.database, &group) {
            Ok(verdicts) => {
                self.shared.show(RedbSnapshot::take(&opened).ok());
                if self.trouble.take().is_some() {
                    tracing::info!("the storage takes writes again");
                }
                for (job, verdict) in group.iter().zip(&verdicts) {
                    if let Ok(revision) = verdict {
                        self.shared.watchers.tell(*revision, job.batch.written());
                    }
                }
                // Conflicts are answered only now, too: who runs again then sees what was in the way.
                for (job, verdict) in group.into_iter().zip(verdicts) {
                    // Whoever no longer waits has lost nothing but the answer.
                    drop(job.answer.send(verdict.map_err(WriteError::Conflict)));
                }
            }
            Err(failure) => {
                let (GroupFailure::Refused(error) | GroupFailure::Unknown(error)) = &failure;
                let cause = Cause::of(error);
                let mut known = matches!(failure, GroupFailure::Refused(_));
                if gives_up(error) {
                    tracing::error!(
                        error = %cause.text,
                        "the storage could not be written; reads go on, and writes are tried again from time to time"
                    );
                    opened.gave_up.store(true, Ordering::Relaxed);
                    drop(opened);
                    self.trouble_begins(cause.clone());
                    // Reads need it in any case, and it shows whether the commit is there.
                    known |= matches!(self.mend(), Ok(revision) if revision == before);
                }
                match known {
                    true => refuse(group, &cause),
                    false => {
                        for job in group {
                            drop(job.answer.send(Err(WriteError::Unknown(cause.fault()))));
                        }
                    }
                }
            }
        }
    }

    /// Opens the file again, as after a crash. Returns the revision that is on it.
    fn mend(&mut self) -> Result<Revision, Cause> {
        let disk = self.disk.hand_over();
        let opened = (|| {
            let database = Closing::over(disk.clone())?;
            let opened = Opened::new(database);
            let snapshot = RedbSnapshot::take(&opened)?;
            Ok::<_, redb::Error>((opened, snapshot))
        })();
        let told = self.shared.watchers.latest();
        let cause = match opened {
            Ok((opened, snapshot)) if snapshot.revision >= told => {
                let revision = snapshot.revision;
                self.disk = disk;
                self.shared.show(Some(snapshot));
                // The former one goes with whoever is just taking a snapshot of it.
                *self
                    .shared
                    .database
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = Arc::new(opened);
                self.shared.watchers.tell_all(revision);
                tracing::info!(revision = revision.get(), "the data file was opened again");
                return Ok(revision);
            }
            Ok((_, RedbSnapshot { revision, .. })) => Cause {
                kind: ErrorKind::InvalidData,
                text: format!(
                    "the disk has lost commits that were durable: it is at revision {revision}, and {told} was answered"
                ),
            },
            Err(error) => Cause::of(&error),
        };
        tracing::error!(error = %cause.text, "the data file could not be opened again; reads go on from memory only");
        self.trouble_begins(cause.clone());
        Err(cause)
    }

    fn trouble_begins(&mut self, cause: Cause) {
        self.trouble = Some(Trouble {
            cause,
            retry_at: Instant::now() + limits::RETRY_WRITES,
        });
    }
}

/// Answers that nothing was written.
fn refuse(group: Vec<Job>, cause: &Cause) {
    for job in group {
        drop(job.answer.send(Err(WriteError::Refused(cause.fault()))));
    }
}

/// Why a whole group failed.
enum GroupFailure {
    Refused(redb::Error),
    Unknown(redb::Error),
}

/// Whether redb uses its disk no more after this.
fn gives_up(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}

/// An error that each of many is told.
#[derive(Clone)]
struct Cause {
    kind: ErrorKind,
    text: String,
}

impl Cause {
    fn of(error: &redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self {
                kind: error.kind(),
                text: error.to_string(),
            },
            redb::Error::PreviousIo => Self {
                kind: ErrorKind::Other,
                text: "the disk failed before; until the data file could be opened again, \
                       what is not in memory cannot be read"
                    .to_owned(),
            },
            error => Self {
                kind: ErrorKind::Other,
                text: error.to_string(),
            },
        }
    }

    fn fault(&self) -> Fault {
        io::Error::new(self.kind, self.text.clone()).into()
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
    let transaction = contained(|| {
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
    })
    .map_err(GroupFailure::Refused)?;

    if verdicts.iter().all(Result::is_err) {
        // Nothing to sync. If it cannot even be taken back, the next transaction will say so.
        drop(contained(|| transaction.abort()));
    } else {
        contained(|| Ok(transaction.commit()?)).map_err(GroupFailure::Unknown)?;
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
    gave_up: Arc<AtomicBool>,
    records: ReadOnlyTable<&'static [u8; StoreKey::BYTES], &'static [u8]>,
}

impl RedbSnapshot {
    fn take(opened: &Opened) -> Result<Self, redb::Error> {
        contained(|| {
            let transaction = opened.database.begin_read()?;
            let header = transaction.open_table(HEADER)?;
            let revision = header
                .get(HEADER_REVISION)?
                .map_or(0, |guard| guard.value());
            Ok(Self {
                revision: Revision(revision),
                gave_up: opened.gave_up.clone(),
                records: transaction.open_table(RECORDS)?,
            })
        })
    }

    fn read(&self, key: &StoreKey) -> Result<Option<Record>, redb::Error> {
        contained(|| {
            let Some(guard) = self.records.get(key.as_bytes())? else {
                return Ok(None);
            };
            let (revision, value) = split(guard.value())?;
            Ok(Some(Record {
                revision,
                value: Bytes::copy_from_slice(value),
            }))
        })
    }
}

#[async_trait]
impl Snapshot for RedbSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn get(&self, key: &StoreKey) -> Result<Option<Record>, ReadError> {
        self.read(key)
            .map_err(|error| failed_read(&self.gave_up, error))
    }

    async fn get_many(&self, keys: &[StoreKey]) -> Result<Vec<Option<Record>>, ReadError> {
        let found: Result<_, _> = keys.iter().map(|key| self.read(key)).collect();
        found.map_err(|error| failed_read(&self.gave_up, error))
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
        contained(read).map_err(|error: redb::Error| failed_read(&self.gave_up, error))
    }
}

/// Notes a failure after which the file has to be opened again.
fn failed_read(gave_up: &AtomicBool, error: redb::Error) -> ReadError {
    if gives_up(&error) {
        gave_up.store(true, Ordering::Relaxed);
    }
    ReadError(Cause::of(&error).fault())
}

/// A database whose closing is contained, too: once something in it has panicked, that may as well.
struct Closing(Option<Database>);

impl Closing {
    fn over(backend: impl StorageBackend) -> Result<Self, DatabaseError> {
        contained(|| Ok(Self(Some(builder().create_with_backend(backend)?))))
    }
}

impl Deref for Closing {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("it is taken when it is dropped")
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let database = self.0.take();
        // What could not be closed is opened as after a crash.
        drop(contained(|| {
            drop(database);
            Ok::<_, StorageError>(())
        }));
    }
}

/// Does what calls redb. A panic in it is the same as damage that redb has seen.
fn contained<T, E: From<StorageError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    // What the work holds is dropped with it, and redb poisons what it has half done.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = "redb panicked over the data file; its words are on stderr";
        Err(StorageError::Corrupted(what.to_owned()).into())
    })
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
    contained(|| match database.begin_read()?.open_table(HEADER) {
        Ok(header) => Ok(header.get(HEADER_FORMAT)?.map(|guard| guard.value())),
        Err(TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    })
}

/// Opens a file that is there. Looks at it without writing first: a foreign one stays as it is.
fn open_file(directory: &Path, path: &Path) -> Result<(Closing, Disk), OpenError> {
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

    match contained(|| builder().open_read_only(path)) {
        Ok(database) => check_format(format(&database))?,
        // It was not closed. Only writing mends that: in memory first, since it may be a foreign file.
        Err(DatabaseError::RepairAborted) => {
            let overlay = Overlay::open(path).map_err(failed)?;
            let database =
                Closing::over(overlay).map_err(|error| opening(directory, path, error))?;
            check_format(format(&*database))?;
        }
        Err(error) => return Err(opening(directory, path, error)),
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed)?;
    let (database, disk) = open_disk(directory, path, file)?;
    check_format(format(&*database))?;
    Ok((database, disk))
}

/// A database on `file`, which is empty or one already.
fn open_disk(directory: &Path, path: &Path, file: File) -> Result<(Closing, Disk), OpenError> {
    let open = || {
        let same = file.try_clone().map_err(StorageError::Io)?;
        let disk = Disk::new(FileBackend::new(file)?, Some(same));
        let database = Closing::over(disk.clone())?;
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
