//! Transactions: one snapshot to read, one set of writes, one commit.
//!
//! Isolation is serializable. A transaction remembers every record that it read, by the revision it had or as
//! absent, and the commit applies only if all of them are still so: then it is as if the whole transaction
//! had run at the moment of its commit. Nothing is locked, nobody waits, and who loses runs again on a new
//! snapshot. What a LIST read is remembered by the stamp of its directory: see `directory`.
//!
//! Invariants
//! - A transaction that wrote nothing commits without a check: a snapshot is consistent in itself.
//! - The record with the mount's keys is among what a view has read, so that a write after the mount was
//!   destroyed conflicts.
//! - Values are sealed when they are committed, under keys from the transaction's own snapshot.
//! - The guard of the keys lives as long as anything of the transaction: sealing waits for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::directory::Listing;
use crate::envelope;
use crate::keyring::{KeyGuard, MountKeys, ReserveError};
use crate::names::{MountId, StoreKey, Table};
use crate::random::RandomError;
use crate::store::{Record, Revision, Snapshot, Store, WriteBatch, WriteError};
use crate::view::{View, ViewError};
use crate::{BarrierError, limits, lock};

/// One call's transaction. A clone is the same transaction: the host and the imports of one call share it.
#[derive(Clone)]
pub struct Transaction(pub(crate) Arc<Inner>);

/// A record as it was read: what a cache remembers, so that a transaction that used the cached copy can be
/// checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordStamp {
    pub(crate) key: StoreKey,
    pub(crate) revision: Option<Revision>,
}

/// The record that stood in the way of a commit. Says nothing but whether it is the same one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Contested(StoreKey);

/// Why a transaction did not commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something that was read has changed. Nothing was written: run again on a new snapshot.
    #[error("a record that was read has changed")]
    Conflict(Contested),
    /// It was committed before.
    #[error("the transaction was committed before")]
    Finished,
    /// The term's allowance of encryptions is used up. Nothing was written: rotate.
    #[error("the keys of term {term} have sealed all they may; rotate the keyring")]
    Exhausted {
        /// Which term.
        term: u32,
    },
    /// Nothing was written.
    #[error("the commit failed, nothing was written")]
    Broken(#[source] BarrierError),
    /// Everything was written or nothing; later reads show which.
    #[error("the commit failed midway")]
    Unknown(#[source] BarrierError),
}

impl From<RandomError> for CommitError {
    fn from(source: RandomError) -> Self {
        Self::Broken(source.into())
    }
}

/// What all clones and views share.
pub(crate) struct Inner {
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) state: Mutex<State>,
    /// Taken by whatever reads, decides and writes: changing the names of a directory, listing it.
    pub(crate) structure: tokio::sync::Mutex<()>,
    store: Arc<dyn Store>,
    /// The last field: it goes when the keys in the state have gone.
    keys: KeyGuard,
}

#[derive(Default)]
pub(crate) struct State {
    /// In order, so that a run can be replayed to the same conflict.
    reads: BTreeMap<StoreKey, Option<Revision>>,
    pub(crate) writes: BTreeMap<StoreKey, Write>,
    write_bytes: usize,
    /// Keys of the mounts in use.
    mounts: HashMap<MountId, Arc<MountKeys>>,
    destroyed: HashSet<MountId>,
    /// Directories that were listed, until a name in them changes.
    pub(crate) listings: HashMap<StoreKey, Arc<Listing>>,
    /// Reads of the caller are not remembered any more.
    unchecked: bool,
    /// Two reads of one record differ: no commit can succeed.
    stale: Option<StoreKey>,
    finished: bool,
}

/// What the commit will do with a record.
pub(crate) enum Write {
    /// Seal and put.
    Value(Zeroizing<Vec<u8>>),
    /// Seal, and put if there is still nothing.
    Name(Zeroizing<Vec<u8>>),
    /// Put as it is: stamps, wrapped keys.
    Plain(Bytes),
    Delete,
}

/// A record as this transaction sees it.
pub(crate) enum Seen {
    /// Written here.
    Own(Option<Zeroizing<Vec<u8>>>),
    /// As in the snapshot.
    Stored(Option<Record>),
}

impl Transaction {
    pub(crate) fn new(snapshot: Arc<dyn Snapshot>, store: Arc<dyn Store>, keys: KeyGuard) -> Self {
        let (state, structure) = Default::default();
        Self(Arc::new(Inner {
            snapshot,
            state,
            structure,
            store,
            keys,
        }))
    }

    /// The records of `mount`. Loads its keys, which are cached.
    pub async fn view(&self, mount: MountId) -> Result<View, BarrierError> {
        let inner = &self.0;
        {
            let state = lock(&inner.state);
            if state.mounts.contains_key(&mount) {
                return Ok(View::new(self.clone(), mount));
            }
            if state.destroyed.contains(&mount) {
                return Err(BarrierError::UnknownMount(mount));
            }
        }
        let at = StoreKey::mount_key(mount);
        let record = inner
            .snapshot
            .get(&at)
            .await?
            .ok_or(BarrierError::UnknownMount(mount))?;
        let keys = inner
            .keys
            .unsealed
            .mount_keys(mount, &record, &*inner.snapshot)
            .await?;
        let mut state = lock(&inner.state);
        state.remember(at, Some(record.revision));
        state.mounts.insert(mount, keys);
        Ok(View::new(self.clone(), mount))
    }

    /// New keys for a new mount, written in this transaction.
    pub async fn create_mount(&self, mount: MountId) -> Result<View, BarrierError> {
        let inner = &self.0;
        let at = StoreKey::mount_key(mount);
        if inner.snapshot.get(&at).await?.is_some() {
            return Err(BarrierError::MountExists(mount));
        }
        let (keys, record, keyring) = inner
            .keys
            .unsealed
            .create_mount(mount, &*inner.snapshot)
            .await?;
        let mut state = lock(&inner.state);
        if state.mounts.contains_key(&mount) || state.destroyed.contains(&mount) {
            return Err(BarrierError::MountExists(mount));
        }
        state.remember(at, None);
        // Wrapped by this term: if another begins first, the commit must fail.
        state.remember(StoreKey::only(Table::Keyring), Some(keyring));
        state.write(at, Write::Plain(record));
        state.write(
            StoreKey::only(Table::MountKeyStamp),
            Write::Plain(Bytes::new()),
        );
        state.mounts.insert(mount, keys);
        Ok(View::new(self.clone(), mount))
    }

    /// Destroys the keys of `mount`: with this commit its records are noise, whoever holds the file. An older
    /// copy of the file still holds the wrapped keys. [`crate::Barrier::purge`] then removes the records.
    pub async fn destroy_mount(&self, mount: MountId) -> Result<(), BarrierError> {
        if mount == MountId::SYSTEM {
            return Err(BarrierError::MountInUse(mount));
        }
        // For the read that the commit checks.
        self.view(mount).await?;
        let mut state = lock(&self.0.state);
        state.mounts.remove(&mount);
        state.destroyed.insert(mount);
        state.writes.retain(|key, _| key.mount() != mount);
        state.write(StoreKey::mount_key(mount), Write::Delete);
        Ok(())
    }

    /// The revision of the snapshot.
    pub fn revision(&self) -> Revision {
        self.0.snapshot.revision()
    }

    /// From here on what the caller reads is not checked at commit. What writing needs to know still is.
    pub fn uncheck_reads(&self) {
        lock(&self.0.state).unchecked = true;
    }

    /// Whether a commit would write anything.
    pub fn has_writes(&self) -> bool {
        !lock(&self.0.state).writes.is_empty()
    }

    /// Checks at commit that `record` is still what a cache was loaded from.
    pub fn expect(&self, record: &RecordStamp) {
        lock(&self.0.state).remember(record.key, record.revision);
    }

    /// Writes everything, if everything that was read is still so. Durable when this is done. Whoever drops the
    /// future before that does not know whether it was written.
    ///
    /// Whatever is left of the transaction, its clones and views, is of no use afterwards.
    pub async fn commit(self) -> Result<Revision, CommitError> {
        let inner = &self.0;
        let _nobody_writes = inner.structure.lock().await;
        let state = {
            let mut state = lock(&inner.state);
            if state.finished {
                return Err(CommitError::Finished);
            }
            std::mem::replace(
                &mut *state,
                State {
                    finished: true,
                    ..State::default()
                },
            )
        };
        if state.writes.is_empty() {
            return Ok(self.revision());
        }
        if let Some(key) = state.stale {
            return Err(CommitError::Conflict(Contested(key)));
        }
        self.reserve(&state).await?;
        let destroyed = state.destroyed.clone();
        match inner.store.commit(self.seal(state)?).await {
            Ok(revision) => {
                for mount in destroyed {
                    inner.keys.unsealed.forget(mount);
                }
                Ok(revision)
            }
            Err(WriteError::Conflict(key)) => Err(CommitError::Conflict(Contested(key))),
            Err(error @ WriteError::Refused(_)) => Err(CommitError::Broken(error.into())),
            Err(error @ WriteError::Unknown(_)) => Err(CommitError::Unknown(error.into())),
        }
    }

    /// The right to seal all of it. The mounts of one snapshot are of one term.
    async fn reserve(&self, state: &State) -> Result<(), CommitError> {
        let count = state
            .writes
            .values()
            .filter(|write| matches!(write, Write::Value(_) | Write::Name(_)))
            .count() as u64;
        let Some(term) = state
            .mounts
            .values()
            .map(|keys| keys.term)
            .next()
            .filter(|_| count > 0)
        else {
            return Ok(());
        };
        let keyring = StoreKey::only(Table::Keyring);
        self.0
            .keys
            .unsealed
            .reserve(&*self.0.store, term, count)
            .await
            .map_err(|error| match error {
                ReserveError::Exhausted { term } => CommitError::Exhausted { term },
                ReserveError::Ended => CommitError::Conflict(Contested(keyring)),
                ReserveError::Broken(source) => CommitError::Broken(source),
            })
    }

    fn seal(&self, state: State) -> Result<WriteBatch, CommitError> {
        let version = self.revision().0 + 1;
        let seal = |key: &StoreKey, plaintext: &[u8]| -> Result<Bytes, CommitError> {
            let mount = key.mount();
            let keys = state
                .mounts
                .get(&mount)
                .ok_or(CommitError::Broken(BarrierError::UnknownMount(mount)))?;
            let (generation, data_key) = keys.sealing();
            let nonces = &self.0.keys.unsealed.nonces;
            Ok(envelope::seal(nonces, data_key, generation, version, key, plaintext)?.into())
        };
        let mut batch = WriteBatch {
            checks: state.reads.into_iter().collect(),
            ..WriteBatch::default()
        };
        for (key, write) in state.writes {
            match write {
                Write::Value(value) => batch.writes.push((key, Some(seal(&key, &value)?))),
                Write::Name(name) => batch.ensures.push((key, seal(&key, &name)?)),
                Write::Plain(value) => batch.writes.push((key, Some(value))),
                Write::Delete => batch.writes.push((key, None)),
            }
        }
        Ok(batch)
    }
}

impl Inner {
    /// The keys of a mount of which there is a view.
    pub(crate) fn keys(&self, mount: MountId) -> Result<Arc<MountKeys>, BarrierError> {
        let state = lock(&self.state);
        if state.finished {
            return Err(BarrierError::Finished);
        }
        state
            .mounts
            .get(&mount)
            .cloned()
            .ok_or(BarrierError::UnknownMount(mount))
    }

    /// A record with this transaction's own writes. Remembers nothing.
    pub(crate) async fn look(&self, key: &StoreKey) -> Result<Seen, BarrierError> {
        if let Some(own) = lock(&self.state).own(key) {
            return Ok(Seen::Own(own));
        }
        Ok(Seen::Stored(self.snapshot.get(key).await?))
    }

    /// Opens what the snapshot holds under `key`.
    pub(crate) fn open(
        &self,
        keys: &MountKeys,
        key: &StoreKey,
        record: &Record,
    ) -> Result<Zeroizing<Vec<u8>>, BarrierError> {
        envelope::open(|generation| keys.opening(generation), key, &record.value)
            .map_err(|source| BarrierError::corrupt("a record does not open", source))
    }
}

impl State {
    /// What this transaction wrote under `key`, if anything.
    pub(crate) fn own(&self, key: &StoreKey) -> Option<Option<Zeroizing<Vec<u8>>>> {
        self.writes.get(key).map(|write| match write {
            Write::Value(value) | Write::Name(value) => Some(value.clone()),
            Write::Plain(value) => Some(Zeroizing::new(value.to_vec())),
            Write::Delete => None,
        })
    }

    /// The commit checks that `key` is still as in `revision`.
    pub(crate) fn remember(&mut self, key: StoreKey, revision: Option<Revision>) {
        if self
            .reads
            .insert(key, revision)
            .is_some_and(|before| before != revision)
        {
            self.stale = Some(key);
        }
    }

    /// As [`State::remember`], unless the caller's reads are not to be checked.
    pub(crate) fn remember_read(
        &mut self,
        key: StoreKey,
        revision: Option<Revision>,
    ) -> Result<(), ViewError> {
        if self.unchecked {
            return Ok(());
        }
        if self.reads.len() >= limits::READ_SET_BYTES / limits::READ_BYTES {
            return Err(ViewError::TooLarge(limits::READ_SET_BYTES as u64));
        }
        self.remember(key, revision);
        Ok(())
    }

    /// Whether `bytes` more may be written.
    pub(crate) fn admit(&mut self, bytes: usize) -> Result<(), ViewError> {
        let total = self.write_bytes + bytes + limits::WRITE_OVERHEAD_BYTES;
        if total > limits::WRITE_SET_BYTES {
            return Err(ViewError::TooLarge(limits::WRITE_SET_BYTES as u64));
        }
        self.write_bytes = total;
        Ok(())
    }

    pub(crate) fn write(&mut self, key: StoreKey, write: Write) {
        self.writes.insert(key, write);
    }
}
