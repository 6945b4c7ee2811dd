//! The store in a file, with redb, and a journal beside it.
//!
//! Group commit: redb has one writer, and a sync costs far more than a put. So one thread owns the writing.
//! It takes what has queued up, checks and applies each batch in order within one redb transaction, appends what
//! applied to the journal (`journal.rs`), which is one write and one sync, and only then commits to redb, shows
//! the new state to readers, tells the watchers, and answers everybody. Nobody sees what is not durable.
//!
//! Checkpoints: that commit to redb is in memory only, since a durable one writes every page that it touched,
//! wherever it lies, and syncs twice. redb is made durable when the journal has no room for a group (then the
//! group goes with it, and not into the journal), when nothing was written for a while, and when the store is
//! closed. A durable commit of redb goes in two phases and saves the allocator state (quick-repair), so that an
//! open after a crash takes no scan. It says in the file's header which round of the journal comes next.
//!
//! Opening: the state as of the last checkpoint, and what the journal has since, applied by the function that
//! applied it before. That is in memory, so that a full disk keeps nobody from reading; the first commit is a
//! checkpoint. Format 1 is a file that stands alone, as one that was closed does: earlier versions read it, and
//! it may be copied by itself. In format 2 the newest commits are in the journal.
//!
//! Memory: pages of commits that are not durable stay in redb's write buffer, up to half of its cache. More go
//! to the file early, where nothing points to them yet.
//!
//! When the disk fails, redb gives it up: it writes no more, and reads only what it has cached. The writer then
//! opens the file again by itself, as a start after a crash would (`disk.rs`), and applies what the journal has of
//! what was answered. If the commit that failed is neither there nor in the journal, nothing of it was written;
//! otherwise whoever waits is told that the outcome is unknown. Watchers are told that anything may have
//! changed. The next commit is a checkpoint, which voids what the journal may have of the one that failed.
//! For a while after a failure writes are refused without trying, and the file is opened again no more often
//! than that: opening costs the cache.
//! If it is the journal that fails, its group becomes a checkpoint, as do all that follow: slower, and safe.
//!
//! Reads run on the caller's thread: a point read from redb's cache takes about a microsecond, a hop to a
//! blocking thread ten. A read that misses the cache waits for the disk; on the machines this is made for
//! that is some 100 us.
//!
//! Beginning a read costs redb three times what a point read does, and takes a lock of the writer's. So readers
//! share one snapshot, which the writer replaces after each commit. It keeps nothing from being reclaimed
//! for longer than until the next commit.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, TableError, WriteTransaction,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::limits;
use crate::names::{KeyRange, StoreKey};
use crate::random::{self, Random};
use crate::store::contained::{Contained, contained};
use crate::store::disk::Disk;
use crate::store::files::{self, Files, OpenError};
use crate::store::journal::{Journal, JournalError};
use crate::store::watch::{Watch, Watchers};
use crate::store::{
    Fault, ReadError, Record, Records, Revision, Snapshot, Store, WriteBatch, WriteError,
};

/// That the file is ours, in which format, and the revision of the last commit; the id of the store, and the
/// epoch of the journal's round.
const HEADER: TableDefinition<'static, &'static str, u64> = TableDefinition::new("coffer");
const HEADER_FORMAT: &str = "format";
const HEADER_REVISION: &str = "revision";
const HEADER_STORE: &str = "store";
const HEADER_EPOCH: &str = "epoch";
/// The file has everything.
pub(super) const ALONE: u64 = 1;
/// The journal has what is newer.
pub(super) const JOURNALED: u64 = 2;

/// Each value is preceded by the revision that wrote it, 8 bytes.
const RECORDS: TableDefinition<'static, &'static [u8; StoreKey::BYTES], &'static [u8]> =
    TableDefinition::new("records");
const REVISION_BYTES: usize = 8;
type Table<'t> = redb::Table<'t, &'static [u8; StoreKey::BYTES], &'static [u8]>;

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
    database: Contained,
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
    /// Opens the files in `directory`; makes what there is not.
    pub(crate) fn open(directory: &Path, random: Arc<dyn Random>) -> Result<Self, OpenError> {
        let files = files::open(directory, random)?;
        Self::start(files)
    }

    /// A store on any backends of redb: how crashes and failing disks are simulated. An empty one is
    /// initialised. A journal that has a length but no content keeps its length.
    pub(crate) fn open_backend(
        data: impl StorageBackend,
        journal: impl StorageBackend,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        Self::start(files::open_backend(data, journal, random)?)
    }

    fn start(files: Files) -> Result<Self, OpenError> {
        let Files {
            database,
            disk,
            mut journal,
            journal_path,
            lock,
        } = files;
        let unusable = |error: redb::Error| OpenError::Unusable(Cause::of(&error).fault());
        let header = Header::read(&*database).map_err(unusable)?;
        let replayed = match header {
            Some(header) if header.format == ALONE => journal.blank().map_err(JournalError::from),
            _ => replay(&database, &mut journal, Revision(u64::MAX)).map_err(unusable)?,
        };
        replayed.map_err(|error| files::unfit(&journal_path, error))?;
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
            journal,
            trouble: None,
        };
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| OpenError::Unusable(source.into()))?;
        let writer = std::thread::Builder::new()
            .name("barrier-writer".to_owned())
            .spawn(move || writer.run(orders, &clock))
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
    fn new(database: Contained) -> Self {
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
    journal: Journal,
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
    fn run(mut self, mut orders: mpsc::Receiver<Order>, clock: &tokio::runtime::Runtime) {
        loop {
            let first = match !self.journal.wants_checkpoint() || self.trouble.is_some() {
                true => orders.blocking_recv(),
                false => {
                    let next = async { timeout(limits::IDLE, orders.recv()).await };
                    let Ok(first) = clock.block_on(next) else {
                        if let Err(error) = self.checkpoint(JOURNALED) {
                            // What was answered is in the journal.
                            drop(self.give_up(&Cause::of(&error)));
                        }
                        continue;
                    };
                    first
                }
            };
            let Some(first) = first else {
                return self.close();
            };
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
        let failure = match commit_group(&opened.database, &mut self.journal, &group) {
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
                return;
            }
            Err(failure) => failure,
        };
        drop(opened);
        let (GroupFailure::Refused(error) | GroupFailure::Commit { error, .. }) = &failure;
        let cause = Cause::of(error);
        // redb takes no write any more. Reads need it opened in any case, and it shows whether the commit is there.
        let there = self.give_up(&cause);
        let known = match failure {
            GroupFailure::Refused(_) => true,
            GroupFailure::Commit { journaled, .. } => {
                !journaled && matches!(there, Ok(revision) if revision == before)
            }
        };
        match known {
            true => refuse(group, &cause),
            false => {
                for job in group {
                    drop(job.answer.send(Err(WriteError::Unknown(cause.fault()))));
                }
            }
        }
    }

    /// Makes redb durable as it is in memory, and begins the journal anew.
    fn checkpoint(&mut self, format: u64) -> Result<(), redb::Error> {
        let opened = self.shared.database();
        let transaction = contained(|| begin_in_memory(&opened.database))?;
        checkpoint(transaction, &mut self.journal, format)
    }

    /// Leaves a file that stands alone, and a journal that is blank.
    fn close(mut self) {
        if self.shared.database().gave_up.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.checkpoint(ALONE) {
            let error = Cause::of(&error).text;
            tracing::error!(%error, "the data file could not be closed; the journal has what was written last");
        } else if let Err(error) = self.journal.blank() {
            tracing::warn!(%error, "the journal could not be cleared; the next start does that");
        }
    }

    /// The database has failed, for this cause. Returns the revision that another one shows.
    fn give_up(&mut self, cause: &Cause) -> Result<Revision, Cause> {
        tracing::error!(
            error = %cause.text,
            "the storage could not be written; reads go on, and writes are tried again from time to time"
        );
        let opened = self.shared.database();
        opened.gave_up.store(true, Ordering::Relaxed);
        drop(opened);
        self.trouble_begins(cause.clone());
        self.mend()
    }

    /// Opens the file again, as after a crash, but leaves out what nobody was told of: the journal may have it, and
    /// the disk not. Returns the revision that this shows.
    fn mend(&mut self) -> Result<Revision, Cause> {
        let disk = self.disk.hand_over();
        let told = self.shared.watchers.latest();
        let opened = (|| {
            let database = Contained::over(disk.clone())?;
            let replayed = replay(&database, &mut self.journal, told)?;
            replayed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            let opened = Opened::new(database);
            let snapshot = RedbSnapshot::take(&opened)?;
            Ok::<_, redb::Error>((opened, snapshot))
        })();
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
    /// Nothing was written.
    Refused(redb::Error),
    /// redb has it or not. If it went to the journal, that may have it until the next checkpoint.
    Commit { error: redb::Error, journaled: bool },
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
            redb::Error::Corrupted(text) => Self {
                kind: ErrorKind::InvalidData,
                text: text.clone(),
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
/// way. Durable when this is done: in the journal or, if that has no room or fails, with a checkpoint.
fn commit_group(
    database: &Database,
    journal: &mut Journal,
    group: &[Job],
) -> Result<Vec<Result<Revision, StoreKey>>, GroupFailure> {
    let journaled = journal.has_room(group.iter().map(|job| &job.batch));
    let mut verdicts = Vec::with_capacity(group.len());
    // Until the commit, an error drops the transaction, and nothing of it is written.
    let transaction = contained(|| {
        let transaction = begin_in_memory(database)?;
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

    let Some(first) = verdicts.iter().flatten().next() else {
        // Nothing to sync. If it cannot even be taken back, the next transaction will say so.
        drop(contained(|| transaction.abort()));
        return Ok(verdicts);
    };
    let jobs = group.iter().zip(&verdicts);
    let applied = jobs.filter_map(|(job, verdict)| verdict.is_ok().then_some(&job.batch));
    if journaled && append(journal, *first, applied) {
        contained(|| Ok(transaction.commit()?))
    } else {
        checkpoint(transaction, journal, JOURNALED)
    }
    .map_err(|error| GroupFailure::Commit { error, journaled })?;
    Ok(verdicts)
}

/// Whether it is in the journal.
fn append<'b>(
    journal: &mut Journal,
    first: Revision,
    batches: impl Iterator<Item = &'b WriteBatch>,
) -> bool {
    let appended = journal.append(first, batches);
    if let Err(error) = &appended {
        tracing::error!(
            %error,
            "the journal could not be written; until a restart every commit goes to the data file at once, which is slower"
        );
    }
    appended.is_ok()
}

/// Commits `transaction` durably, with all that was committed in memory, and begins the journal anew.
fn checkpoint(
    mut transaction: WriteTransaction,
    journal: &mut Journal,
    format: u64,
) -> Result<(), redb::Error> {
    let epoch = journal.draw_epoch()?;
    contained(|| {
        make_durable(&mut transaction)?;
        {
            let mut header = transaction.open_table(HEADER)?;
            header.insert(HEADER_FORMAT, format)?;
            header.insert(HEADER_EPOCH, epoch)?;
        }
        Ok::<_, redb::Error>(transaction.commit()?)
    })?;
    journal.begin(epoch);
    Ok(())
}

fn make_durable(transaction: &mut WriteTransaction) -> Result<(), redb::Error> {
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(())
}

fn begin_in_memory(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::None)?;
    Ok(transaction)
}

/// Brings `database` from its last checkpoint to where the journal ends, but not beyond `until`. In memory: the
/// next commit must be a checkpoint, and the journal takes no other.
fn replay(
    database: &Database,
    journal: &mut Journal,
    until: Revision,
) -> Result<Result<(), JournalError>, redb::Error> {
    let Some(header) = Header::read(database)? else {
        return Err(redb::Error::Corrupted("it has no header".to_owned()));
    };
    if header.format == ALONE {
        return Ok(Ok(()));
    }
    let entries = match journal.read(header.epoch, header.revision) {
        Ok(entries) => entries,
        Err(error) => return Ok(Err(error)),
    };
    let known = entries.iter().take_while(|entry| entry.last() <= until);
    contained(|| {
        let transaction = begin_in_memory(database)?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            let mut revision = header.revision;
            for batch in known.flat_map(|entry| &entry.batches) {
                revision.0 += 1;
                apply(&mut records, batch, revision)?;
            }
            transaction
                .open_table(HEADER)?
                .insert(HEADER_REVISION, revision.0)?;
        }
        Ok(Ok(transaction.commit()?))
    })
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

/// What [`HEADER`] says.
pub(super) struct Header {
    pub(super) format: u64,
    revision: Revision,
    /// 0 if it has none yet.
    pub(super) store: u64,
    epoch: u64,
}

impl Header {
    /// `None` if there is no header of ours.
    pub(super) fn read(database: &impl ReadableDatabase) -> Result<Option<Self>, redb::Error> {
        contained(|| {
            let header = match database.begin_read()?.open_table(HEADER) {
                Ok(header) => header,
                Err(TableError::Storage(error)) => return Err(error.into()),
                Err(_) => return Ok(None),
            };
            let number = |name| Ok::<_, redb::Error>(header.get(name)?.map(|guard| guard.value()));
            let Some(format) = number(HEADER_FORMAT)? else {
                return Ok(None);
            };
            Ok(Some(Self {
                format,
                revision: Revision(number(HEADER_REVISION)?.unwrap_or_default()),
                store: number(HEADER_STORE)?.unwrap_or_default(),
                epoch: number(HEADER_EPOCH)?.unwrap_or_default(),
            }))
        })
    }
}

/// Whether this program knows the format; `foreign` if there is none.
pub(super) fn check_format(
    header: Option<Header>,
    foreign: impl FnOnce() -> OpenError,
) -> Result<(), OpenError> {
    match header.ok_or_else(foreign)?.format {
        ALONE | JOURNALED => Ok(()),
        found => Err(OpenError::NewerFormat { found }),
    }
}

/// Makes an empty store.
pub(super) fn write_header(database: &Database) -> Result<(), Fault> {
    write_durably(database, |transaction| {
        let mut header = transaction.open_table(HEADER)?;
        header.insert(HEADER_FORMAT, ALONE)?;
        header.insert(HEADER_REVISION, 0)?;
        transaction.open_table(RECORDS)?;
        Ok(())
    })
}

/// The header, with an id of the store: the file has one before its journal does.
pub(super) fn identify(database: &Database, random: &dyn Random) -> Result<Header, Fault> {
    let mut header = Header::read(database)?.ok_or("it has no header")?;
    while header.store == 0 {
        header.store = u64::from_be_bytes(*random::bytes(random)?);
        write_durably(database, |transaction| {
            let mut table = transaction.open_table(HEADER)?;
            table.insert(HEADER_STORE, header.store)?;
            Ok(())
        })?;
    }
    Ok(header)
}

/// Goes on from the last checkpoint, without the journal.
pub(super) fn stand_alone(database: &Database) -> Result<(), Fault> {
    write_durably(database, |transaction| {
        transaction
            .open_table(HEADER)?
            .insert(HEADER_FORMAT, ALONE)?;
        Ok(())
    })
}

fn write_durably(
    database: &Database,
    write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), Fault> {
    contained(|| {
        let mut transaction = database.begin_write()?;
        make_durable(&mut transaction)?;
        write(&transaction)?;
        Ok::<_, redb::Error>(transaction.commit()?)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::random::Counting;
    use crate::store::conformance::{check_script, check_store, scripts};

    fn store() -> RedbStore {
        let (file, journal) = (InMemoryBackend::new(), InMemoryBackend::new());
        // Some commits find it full.
        journal.set_len(64 << 10).unwrap();
        RedbStore::open_backend(file, journal, Arc::new(Counting::new())).unwrap()
    }

    #[tokio::test]
    async fn it_is_a_store() {
        check_store(&store()).await;
        let directory = tempfile::tempdir().unwrap();
        check_store(&RedbStore::open(directory.path(), Arc::new(Counting::new())).unwrap()).await;
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
        drop(RedbStore::open(directory.path(), Arc::new(Counting::new())).unwrap());
        let database = Database::open(directory.path().join("coffer.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(HEADER)
            .unwrap()
            .insert(HEADER_FORMAT, 3)
            .unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert!(matches!(
            RedbStore::open(directory.path(), Arc::new(Counting::new())),
            Err(OpenError::NewerFormat { found: 3 })
        ));
    }
}
