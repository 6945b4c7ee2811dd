//! Sealed, transactional storage: everything that touches key material or disk.
//!
//! A [`Barrier`] stores records that nobody reads without its keys. Unsealed, it hands out [`Transaction`]s;
//! a transaction opens [`View`]s, each on the records of one mount; and a commit writes everything or
//! nothing.
//!
//! ```text
//! view.rs          a mount's records                       names.rs     keys, and where records lie
//! transaction.rs   snapshot, read set, write set, commit   directory.rs which names there are
//! envelope.rs      the frame of a sealed value             wrap.rs      keys wrapped by keys
//! seal.rs          states, shares given, unsealing         keyring.rs   terms, mount keys, rotation
//! shamir.rs        unseal shares                           founding.rs  a new barrier, in one commit
//! store.rs         ordered bytes: redb, memory
//! ```
//!
//! Invariants of the crate
//! - While sealed there is no key in memory: only `SealState::Unsealed` owns one, and [`Barrier::seal`]
//!   returns when the last is gone.
//! - Nothing but public numbers, revisions and keyed hashes reaches the store unsealed.
//! - A commit is serializable, all or nothing, and durable when it is answered.
//! - A view reaches no record of another mount, whatever key it is asked for.
//! - Randomness, time and disk are arguments: every run can be replayed.
//!
//! What the file shows to whoever has it without the keys: how many records and directories there are and how
//! many each directory has, buckets of their sizes, and, from several copies of the file, which record
//! changed. While it is open, the journal beside it shows the same of some time past by itself: which records
//! were written together, in which order, and sealed as they were. Not: names, lengths, contents, which
//! mount is which.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")
)]

mod directory;
mod envelope;
mod founding;
mod keyring;
pub mod limits;
mod names;
mod random;
mod seal;
mod shamir;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
mod view;
mod wrap;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::keyring::{KeyGuard, Unsealed};
use crate::names::{KeyRange, StoreKey, Table};
use crate::seal::{Provided, SealRecord, SealState, Sealed};
use crate::store::memory::MemoryStore;
use crate::store::redb::RedbStore;
use crate::store::{ReadError, Store, WriteBatch, WriteError};

pub use crate::founding::Founding;
pub use crate::keyring::KeyStatus;
pub use crate::names::{KeyError, MountId};
pub use crate::random::{Random, RandomError, SystemRandomness};
pub use crate::seal::{
    Init, InitError, Initialized, SealConfigError, SealKind, SealStatus, StaticKey, UnsealError,
    UnsealProgress,
};
pub use crate::shamir::{ShareError, UnsealShare};
pub use crate::store::Revision;
pub use crate::store::files::OpenError;
pub use crate::store::watch::Watch;
pub use crate::transaction::{CommitError, Contested, RecordStamp, Transaction};
pub use crate::view::{Page, View, ViewError};

/// Where the records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageConfig {
    /// In memory, gone with the process: `storage "inmem"`.
    Memory,
    /// In the file `coffer.redb`, with `coffer.journal`: `storage "redb"`.
    Redb {
        /// Where those files are. Made if it is missing.
        directory: PathBuf,
    },
}

/// Sealed storage. A clone is the same one.
#[derive(Clone)]
pub struct Barrier(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    storage_type: &'static str,
    random: Arc<dyn Random>,
    state: Mutex<SealState>,
    /// One change of the state at a time; reading it needs no more than the lock above.
    transition: tokio::sync::Mutex<()>,
}

/// What went wrong below.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// There are no keys in memory.
    #[error("the barrier is sealed")]
    Sealed,
    /// There are no keys of this mount: it never was, or was destroyed.
    #[error("there is no mount {0}")]
    UnknownMount(MountId),
    /// It has keys already.
    #[error("mount {0} exists")]
    MountExists(MountId),
    /// It has keys still: destroy those first. The host's own mount is never destroyed.
    #[error("mount {0} is in use")]
    MountInUse(MountId),
    /// The mount's keys were rotated more often than there is room for.
    #[error("mount {0} has too many key generations")]
    TooManyGenerations(MountId),
    /// The transaction was committed.
    #[error("the transaction was committed before")]
    Finished,
    /// Others were faster, again and again.
    #[error("others kept changing the same records")]
    Contended,
    /// The name of a key to watch is not one.
    #[error("invalid key")]
    InvalidKey(#[from] KeyError),
    /// What is stored is missing, damaged, altered, or not ours.
    #[error("stored data is unusable: {what}")]
    Corrupt {
        /// In general terms.
        what: &'static str,
        /// In detail, where there is more to say.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The store failed. Nothing was written.
    #[error("the store failed")]
    Io(#[source] Box<dyn Error + Send + Sync>),
    /// The store failed in a commit: everything was written or nothing, as later reads show.
    #[error("the store failed in a commit")]
    IoUnknown(#[source] Box<dyn Error + Send + Sync>),
    /// There was no randomness.
    #[error("no randomness")]
    Random(#[from] RandomError),
}

impl BarrierError {
    pub(crate) fn corrupt(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Corrupt {
            what,
            source: Some(source.into()),
        }
    }

    pub(crate) fn missing(what: &'static str) -> Self {
        Self::Corrupt { what, source: None }
    }

    /// What the disk said, if it was the disk.
    pub fn disk(&self) -> Option<std::io::ErrorKind> {
        let mut cause = self.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                return Some(error.kind());
            }
            cause = error.source();
        }
        None
    }
}

impl From<ReadError> for BarrierError {
    fn from(source: ReadError) -> Self {
        Self::Io(source.into())
    }
}

impl From<WriteError> for BarrierError {
    fn from(source: WriteError) -> Self {
        match source {
            WriteError::Unknown(_) => Self::IoUnknown(source.into()),
            WriteError::Conflict(_) | WriteError::Refused(_) => Self::Io(source.into()),
        }
    }
}

impl Barrier {
    /// Opens the storage, sealed. A new file is made only where there is none.
    pub async fn open(config: StorageConfig, random: Arc<dyn Random>) -> Result<Self, OpenError> {
        match config {
            StorageConfig::Memory => {
                Self::over(Arc::new(MemoryStore::new()), "inmem", random).await
            }
            StorageConfig::Redb { directory } => {
                // Opening reads, may repair, and syncs.
                let store = tokio::task::spawn_blocking({
                    let random = random.clone();
                    move || RedbStore::open(&directory, random)
                })
                .await
                .map_err(|source| OpenError::Unusable(source.into()))??;
                Self::over(Arc::new(store), "redb", random).await
            }
        }
    }

    /// Opens redb and its journal over any storage: for tests, and for a simulator of crashes and failing disks.
    /// A journal that has a length but no content keeps its length: a short one is full soon.
    pub async fn open_backend(
        backend: impl ::redb::StorageBackend,
        journal: impl ::redb::StorageBackend,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let store = RedbStore::open_backend(backend, journal, random.clone())?;
        Self::over(Arc::new(store), "redb", random).await
    }

    async fn over(
        store: Arc<dyn Store>,
        storage_type: &'static str,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let read = async {
            let snapshot = store.snapshot().await?;
            let record = snapshot.get(&StoreKey::only(Table::Seal)).await?;
            Ok::<_, BarrierError>(match record {
                None if snapshot.revision() == Revision::default() => SealState::Uninitialized,
                // To take it for new would be to write over what is there.
                None => return Err(BarrierError::missing("the seal record is gone")),
                Some(record) => SealState::Sealed(Sealed::new(SealRecord::parse(&record.value)?)),
            })
        };
        let state = read
            .await
            .map_err(|source| OpenError::Unusable(source.into()))?;
        let (state, transition) = (Mutex::new(state), tokio::sync::Mutex::default());
        Ok(Self(Arc::new(Shared {
            store,
            storage_type,
            random,
            state,
            transition,
        })))
    }

    /// `redb` or `inmem`, as `seal-status` says.
    pub fn storage_type(&self) -> &'static str {
        self.0.storage_type
    }

    /// What anyone may know about the seal.
    pub async fn seal_status(&self) -> Result<SealStatus, BarrierError> {
        self.look_for_record().await?;
        Ok(match &*self.state() {
            SealState::Uninitialized => SealStatus {
                initialized: false,
                sealed: true,
                kind: SealKind::Shamir,
                shares: 0,
                threshold: 0,
                progress: 0,
                nonce: String::new(),
            },
            SealState::Sealed(sealed) => sealed.status(),
            SealState::Unsealed(unsealed) => unsealed.record.status(false),
        })
    }

    /// Makes the root key and all that hangs on it, sealed as asked: in memory, until [`Founding::commit`].
    pub async fn found(&self, init: Init, now_millis: u64) -> Result<Founding, InitError> {
        self.look_for_record().await?;
        match &*self.state() {
            SealState::Uninitialized => {}
            _ => return Err(InitError::AlreadyInitialized),
        }
        Founding::new(self, init, now_millis).await
    }

    /// As [`Barrier::found`], with nothing else in it.
    pub async fn initialize(&self, init: Init, now_millis: u64) -> Result<Initialized, InitError> {
        self.found(init, now_millis).await?.commit().await
    }

    /// Adds a share to the running attempt, or starts one. With enough of them, unseals.
    pub async fn unseal(&self, share: UnsealShare) -> Result<UnsealProgress, UnsealError> {
        self.look_for_record().await?;
        let _one_at_a_time = self.0.transition.lock().await;
        let (root, record) = match &mut *self.state() {
            SealState::Uninitialized => return Err(UnsealError::NotInitialized),
            SealState::Unsealed(_) => return Ok(UnsealProgress::Unsealed),
            SealState::Sealed(sealed) => match sealed.provide(share, &*self.0.random)? {
                Provided::More(progress) => return Ok(progress),
                Provided::Root(root) => (root, sealed.record.clone()),
            },
        };
        self.unseal_with(root, record).await?;
        Ok(UnsealProgress::Unsealed)
    }

    /// Unseals with the key of a static seal.
    pub async fn unseal_with_static_key(&self, key: &StaticKey) -> Result<(), UnsealError> {
        self.look_for_record().await?;
        let _one_at_a_time = self.0.transition.lock().await;
        let (root, record) = match &*self.state() {
            SealState::Uninitialized => return Err(UnsealError::NotInitialized),
            SealState::Unsealed(_) => return Ok(()),
            SealState::Sealed(sealed) => (sealed.open_static(key)?, sealed.record.clone()),
        };
        self.unseal_with(root, record).await
    }

    /// While it is not initialised, the store is asked: a commit of which nobody knew may have come true.
    async fn look_for_record(&self) -> Result<(), BarrierError> {
        if !matches!(&*self.state(), SealState::Uninitialized) {
            return Ok(());
        }
        let record = self.seal_record().await?;
        let mut state = self.state();
        if let (SealState::Uninitialized, Some(record)) = (&*state, record) {
            *state = SealState::Sealed(Sealed::new(record));
        }
        Ok(())
    }

    /// As it is in the store now.
    async fn seal_record(&self) -> Result<Option<SealRecord>, BarrierError> {
        let snapshot = self.0.store.snapshot().await?;
        let record = snapshot.get(&StoreKey::only(Table::Seal)).await?;
        record
            .map(|record| SealRecord::parse(&record.value))
            .transpose()
    }

    async fn unseal_with(
        &self,
        root: keyring::RootKey,
        record: SealRecord,
    ) -> Result<(), UnsealError> {
        let open = async {
            let snapshot = self.0.store.snapshot().await?;
            Unsealed::open(record, root, self.0.random.clone(), &*snapshot).await
        };
        let unsealed = open.await.map_err(UnsealError::Broken)?;
        *self.state() = SealState::Unsealed(Arc::new(unsealed));
        Ok(())
    }

    /// Gives up the running attempt to unseal, if there is one.
    pub async fn reset_unseal(&self) -> Result<(), UnsealError> {
        self.look_for_record().await?;
        let _one_at_a_time = self.0.transition.lock().await;
        match &mut *self.state() {
            SealState::Uninitialized => Err(UnsealError::NotInitialized),
            SealState::Unsealed(_) => Err(UnsealError::AlreadyUnsealed),
            SealState::Sealed(sealed) => {
                sealed.reset();
                Ok(())
            }
        }
    }

    /// Whether these shares give the recovery key that was made with a static seal.
    pub async fn check_recovery(&self, shares: &[UnsealShare]) -> Result<bool, UnsealError> {
        match &*self.state() {
            SealState::Uninitialized => Err(UnsealError::NotInitialized),
            SealState::Sealed(sealed) => sealed.record.opens_recovery(shares),
            SealState::Unsealed(unsealed) => unsealed.record.opens_recovery(shares),
        }
    }

    /// Seals: refuses new transactions at once, waits until the open ones are gone, and drops every key.
    pub async fn seal(&self) -> Result<(), BarrierError> {
        let _one_at_a_time = self.0.transition.lock().await;
        let unsealed = {
            let mut state = self.state();
            let SealState::Unsealed(unsealed) = &*state else {
                return Ok(());
            };
            let unsealed = unsealed.clone();
            *state = SealState::Sealed(Sealed::new(unsealed.record.clone()));
            unsealed
        };
        unsealed.close().await;
        Ok(())
    }

    /// A new transaction, on the state after the last commit.
    pub async fn begin(&self) -> Result<Transaction, BarrierError> {
        let keys = self.enter()?;
        let snapshot = self.0.store.snapshot().await?;
        Ok(Transaction::new(snapshot, self.0.store.clone(), keys))
    }

    /// Begins a new term: every mount gets a new data key, all are wrapped by the new term's key, and the old
    /// term's key is gone. Transactions that are open lose to it and run again.
    pub async fn rotate(&self, now_millis: u64) -> Result<KeyStatus, BarrierError> {
        let keys = self.enter()?;
        keyring::rotate(&keys.unsealed, &*self.0.store, now_millis).await?;
        keys.unsealed
            .key_status(&*self.0.store.snapshot().await?)
            .await
    }

    /// The current term.
    pub async fn key_status(&self) -> Result<KeyStatus, BarrierError> {
        let keys = self.enter()?;
        keys.unsealed
            .key_status(&*self.0.store.snapshot().await?)
            .await
    }

    /// A key for a purpose outside the barrier, such as `aot-cache`: the same for the same label, for as long
    /// as the root key lives.
    pub fn derive(&self, label: &str) -> Result<Zeroizing<[u8; 32]>, BarrierError> {
        let keys = self.enter()?;
        Ok(keys.unsealed.derive(label))
    }

    /// Removes the records of a destroyed mount, some at a time, so that others get in between. Can be cut
    /// short and run again. Needs no keys. Returns how many records there were.
    pub async fn purge(&self, mount: MountId) -> Result<u64, BarrierError> {
        let at = StoreKey::mount_key(mount);
        let mut purged = 0;
        for table in [Table::Data, Table::Dirent, Table::Stamp] {
            loop {
                let snapshot = self.0.store.snapshot().await?;
                if snapshot.get(&at).await?.is_some() {
                    return Err(BarrierError::MountInUse(mount));
                }
                let records = snapshot
                    .range(KeyRange::mount(table, mount), limits::PURGE_RECORDS)
                    .await?;
                if records.is_empty() {
                    break;
                }
                purged += records.len() as u64;
                let batch = WriteBatch {
                    checks: vec![(at, None)],
                    writes: records.into_iter().map(|(key, _)| (key, None)).collect(),
                    ..WriteBatch::default()
                };
                match self.0.store.commit(batch).await {
                    Ok(_) => {}
                    Err(WriteError::Conflict(_)) => return Err(BarrierError::MountInUse(mount)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(purged)
    }

    /// Tells when the record `key` of `mount` is written.
    pub async fn watch_record(&self, mount: MountId, key: &str) -> Result<Watch, BarrierError> {
        let path = names::full_path("", key)?;
        let transaction = self.begin().await?;
        transaction.view(mount).await?;
        let at = transaction.0.keys(mount)?.names.data(mount, &path);
        Ok(self.0.store.watch(&[at.as_bytes()]))
    }

    /// Tells when a record directly in `directory` of `mount` is written or removed, or a directory appears
    /// or vanishes there. `directory` is empty or ends in `/`.
    pub async fn watch_directory(
        &self,
        mount: MountId,
        directory: &str,
    ) -> Result<Watch, BarrierError> {
        let directory = names::full_directory("", directory)?;
        let transaction = self.begin().await?;
        transaction.view(mount).await?;
        let names = &transaction.0.keys(mount)?.names;
        let values = names.within(Table::Data, mount, &directory);
        let entries = names.within(Table::Dirent, mount, &directory);
        Ok(self
            .0
            .store
            .watch(&[values.directory_prefix(), entries.directory_prefix()]))
    }

    /// The right to use the keys.
    fn enter(&self) -> Result<KeyGuard, BarrierError> {
        match &*self.state() {
            SealState::Unsealed(unsealed) => unsealed.enter().ok_or(BarrierError::Sealed),
            SealState::Uninitialized | SealState::Sealed(_) => Err(BarrierError::Sealed),
        }
    }

    fn state(&self) -> MutexGuard<'_, SealState> {
        lock(&self.0.state)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("storage", &self.0.storage_type)
            .finish_non_exhaustive()
    }
}

/// Locks. What is behind our locks is whole at every step, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
