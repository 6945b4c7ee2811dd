//! A new barrier, from its first key to the commit that makes it: one, with all that its owner writes first.
//!
//! It is made in memory, where it is open, and goes to the store as a whole. So the answer that carries the
//! shares is the answer of that one commit: where there are keys, somebody has the shares for them, or was
//! told that this is not known.

use std::sync::{Arc, Mutex};

use crate::keyring::{self, Unsealed};
use crate::names::{KeyRange, StoreKey, Table};
use crate::seal::{self, Init, InitError, Initialized, SealRecord, SealState, Sealed};
use crate::store::memory::MemoryStore;
use crate::store::{Store, WriteBatch, WriteError, read_range};
use crate::{Barrier, BarrierError, Shared};

/// See the module. Dropped, it leaves nothing behind.
pub struct Founding {
    target: Barrier,
    draft: Barrier,
    record: SealRecord,
    handed_out: Initialized,
}

impl Founding {
    /// Makes the keys of what `target` is to be.
    pub(crate) async fn new(
        target: &Barrier,
        init: Init,
        now_millis: u64,
    ) -> Result<Self, InitError> {
        let random = target.0.random.clone();
        let (record, root, handed_out) = seal::create(init, &*random)?;
        let mut first = WriteBatch {
            writes: keyring::first_records(&*random, &root, now_millis)?,
            ..WriteBatch::default()
        };
        let at = StoreKey::only(Table::Seal);
        first.writes.push((at, Some(record.to_bytes().into())));
        let store = Arc::new(MemoryStore::new());
        store.commit(first).await?;
        let snapshot = store.snapshot().await.map_err(BarrierError::from)?;
        let unsealed = Unsealed::open(record.clone(), root, random.clone(), &*snapshot).await?;
        let draft = Barrier(Arc::new(Shared {
            store,
            storage_type: target.0.storage_type,
            random,
            state: Mutex::new(SealState::Unsealed(Arc::new(unsealed))),
            transition: tokio::sync::Mutex::default(),
        }));
        Ok(Self {
            target: target.clone(),
            draft,
            record,
            handed_out,
        })
    }

    /// Open, and in memory: what is written here becomes part of the new barrier.
    pub fn barrier(&self) -> &Barrier {
        &self.draft
    }

    /// Writes all of it, and hands out the shares. The barrier is sealed then. Nothing was written if this
    /// fails, but for [`BarrierError::IoUnknown`].
    pub async fn commit(self) -> Result<Initialized, InitError> {
        let snapshot = self.draft.0.store.snapshot().await;
        let snapshot = snapshot.map_err(BarrierError::from)?;
        let records = read_range(&*snapshot, KeyRange::everything()).await;
        let records = records.map_err(BarrierError::from)?.into_iter();
        let batch = WriteBatch {
            checks: vec![(StoreKey::only(Table::Seal), None)],
            writes: records
                .map(|(key, record)| (key, Some(record.value)))
                .collect(),
            ..WriteBatch::default()
        };
        let target = &self.target;
        let _one_at_a_time = target.0.transition.lock().await;
        match target.0.store.commit(batch).await {
            Ok(_) => {}
            Err(WriteError::Conflict(_)) => return Err(InitError::AlreadyInitialized),
            // The store has opened its files again, if it could: what it shows is what is there.
            Err(error @ WriteError::Unknown(_)) => match target.seal_record().await {
                Ok(Some(record)) if record.to_bytes() == self.record.to_bytes() => {}
                _ => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
        *target.state() = SealState::Sealed(Sealed::new(self.record));
        Ok(self.handed_out)
    }
}
