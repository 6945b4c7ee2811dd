//! Core's side of the barrier: the host's own records, and the adapter through which an engine
//! sees the records of its mount.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use host_barrier::{BarrierError, CommitError, MountId, Transaction, View, ViewError};
use host_logical::{Page, Storage, StorageError};

use crate::error::HandleError;

/// The host's own records.
pub(crate) async fn system(txn: &Transaction) -> Result<View, HandleError> {
    txn.view(MountId::SYSTEM).await.map_err(from_barrier)
}

/// All children of a directory, however many pages they fill.
pub(crate) async fn list_all(view: &View, prefix: &str) -> Result<Vec<String>, HandleError> {
    let mut keys = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = view
            .list(prefix, after.as_deref(), 0)
            .await
            .map_err(from_view)?;
        keys.extend(page.keys);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(keys),
        }
    }
}

/// Removes what is below `prefix`, which ends in `/`: at most `room` records, which it counts down.
/// Whether all is gone.
pub(crate) async fn delete_tree(
    view: &View,
    prefix: &str,
    room: &mut usize,
) -> Result<bool, HandleError> {
    let mut folders = vec![prefix.to_owned()];
    while let Some(folder) = folders.pop() {
        for key in list_all(view, &folder).await? {
            let key = format!("{folder}{key}");
            if key.ends_with('/') {
                folders.push(key);
                continue;
            }
            if *room == 0 {
                return Ok(false);
            }
            *room -= 1;
            view.delete(&key).await.map_err(from_view)?;
        }
    }
    Ok(true)
}

/// A record of core's own, as it is stored.
pub(crate) fn to_json(record: &impl Serialize) -> Result<Vec<u8>, HandleError> {
    serde_json::to_vec(record).map_err(HandleError::internal)
}

/// What [`to_json`] wrote. That it does not parse is damage that the seal did not see: a bug.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HandleError> {
    serde_json::from_slice(bytes).map_err(HandleError::internal)
}

pub(crate) fn from_view(err: ViewError) -> HandleError {
    match err {
        ViewError::Broken(err) => err.into(),
        err => HandleError::internal(err),
    }
}

pub(crate) fn from_barrier(err: BarrierError) -> HandleError {
    match err {
        // A mount that was there when the table was read, and is gone in the snapshot, or the
        // other way round: the call runs again.
        BarrierError::UnknownMount(_) => HandleError::Conflict,
        err => err.into(),
    }
}

pub(crate) fn from_commit(err: CommitError) -> HandleError {
    match err {
        CommitError::Conflict(_) => HandleError::Conflict,
        CommitError::Broken(err) | CommitError::Unknown(err) => err.into(),
        err => HandleError::internal(err),
    }
}

/// An error with all that caused it, for the log.
pub(crate) fn chain(err: &(dyn std::error::Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(": ");
        text.push_str(&err.to_string());
        cause = err.source();
    }
    text
}

/// A mount's records, as its engine sees them.
pub(crate) struct EngineStorage {
    view: View,
    txn: Transaction,
}

impl EngineStorage {
    pub(crate) fn new(txn: Transaction, view: View) -> Self {
        Self { view, txn }
    }
}

#[async_trait]
impl Storage for EngineStorage {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let value = self.view.get(key).await.map_err(to_engine)?;
        Ok(value.map(|mut value| std::mem::take(&mut *value)))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(self.get(key).await?);
        }
        Ok(values)
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.view.put(key, value).await.map_err(to_engine)
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.view.delete(key).await.map_err(to_engine)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, StorageError> {
        let page = self
            .view
            .list(prefix, after, limit)
            .await
            .map_err(to_engine)?;
        Ok(Page {
            keys: page.keys,
            next: page.next,
        })
    }

    fn uncheck_reads(&self) {
        self.txn.uncheck_reads();
    }
}

fn to_engine(err: ViewError) -> StorageError {
    match err {
        ViewError::InvalidKey(reason) => StorageError::InvalidKey(reason.to_string()),
        ViewError::TooLarge(limit) => StorageError::TooLarge(limit),
        err => StorageError::Broken(Box::new(err)),
    }
}
