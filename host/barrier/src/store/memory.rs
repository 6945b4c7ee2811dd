//! The store in memory: for the dev server and for tests. Gone with the process.
//!
//! The records are a persistent tree: a snapshot is a pointer to its root, and a commit copies the paths it
//! changes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use rpds::RedBlackTreeMapSync;

use crate::lock;
use crate::names::{KeyRange, StoreKey};
use crate::store::watch::{Watch, Watchers};
use crate::store::{ReadError, Record, Records, Revision, Snapshot, Store, WriteBatch, WriteError};

/// See the module.
pub(crate) struct MemoryStore {
    state: Mutex<State>,
    watchers: Watchers,
}

#[derive(Clone)]
struct State {
    revision: Revision,
    records: RedBlackTreeMapSync<StoreKey, Record>,
}

impl MemoryStore {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                revision: Revision(0),
                records: RedBlackTreeMapSync::new_sync(),
            }),
            watchers: Watchers::new(Revision(0)),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        Ok(Arc::new(lock(&self.state).clone()))
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Revision, WriteError> {
        let mut state = lock(&self.state);
        for (key, expected) in &batch.checks {
            if state.records.get(key).map(|record| record.revision) != *expected {
                return Err(WriteError::Conflict(*key));
            }
        }
        let revision = Revision(state.revision.0 + 1);
        state.revision = revision;
        let record = |value: &Bytes| Record {
            revision,
            value: value.clone(),
        };
        for (key, value) in &batch.writes {
            match value {
                Some(value) => state.records.insert_mut(*key, record(value)),
                None => drop(state.records.remove_mut(key)),
            }
        }
        for (key, value) in &batch.ensures {
            if !state.records.contains_key(key) {
                state.records.insert_mut(*key, record(value));
            }
        }
        // Within the lock, so that watchers hear of commits in their order.
        self.watchers.tell(revision, batch.written());
        Ok(revision)
    }

    fn watch(&self, prefixes: &[&[u8]]) -> Watch {
        self.watchers.watch(prefixes)
    }
}

#[async_trait]
impl Snapshot for State {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn get(&self, key: &StoreKey) -> Result<Option<Record>, ReadError> {
        Ok(self.records.get(key).cloned())
    }

    async fn get_many(&self, keys: &[StoreKey]) -> Result<Vec<Option<Record>>, ReadError> {
        Ok(keys
            .iter()
            .map(|key| self.records.get(key).cloned())
            .collect())
    }

    async fn range(&self, range: KeyRange, limit: usize) -> Result<Records, ReadError> {
        let records = self.records.range(range.first..=range.last);
        Ok(records
            .take(limit)
            .map(|(key, record)| (*key, record.clone()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::conformance::{check_script, check_store, scripts};

    #[tokio::test]
    async fn it_is_a_store() {
        check_store(&MemoryStore::new()).await;
    }

    proptest! {
        #[test]
        fn random_batches_leave_what_a_map_would(script in scripts()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(check_script(&MemoryStore::new(), script));
        }
    }
}
