//! Views: one mount's records in one transaction. Nobody leaves the prefix.

use std::fmt;

use zeroize::Zeroizing;

use crate::directory::Directories;
use crate::names::{self, KeyError, MountId, StoreKey};
use crate::store::{Record, Revision};
use crate::transaction::{RecordStamp, Seen, Transaction, Write};
use crate::{BarrierError, limits, lock};

/// The records of a mount, or those under a prefix of it, in one transaction.
///
/// Reads see the transaction's snapshot and its own writes. A key is segments with `/` between them, none
/// empty, none `.` or `..`, at most 1,024 bytes. The record `a` and the directory `a/` may both exist.
#[derive(Clone)]
pub struct View {
    transaction: Transaction,
    mount: MountId,
    /// Empty, or ends in `/`.
    base: String,
}

/// What a view cannot do.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The key breaks a rule.
    #[error("invalid key: {0}")]
    InvalidKey(KeyError),
    /// The value, or all that the transaction writes or reads, exceeds this many bytes.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// The host's fault; no engine sees it.
    #[error("the storage failed")]
    Broken(#[source] BarrierError),
}

impl From<KeyError> for ViewError {
    fn from(error: KeyError) -> Self {
        Self::InvalidKey(error)
    }
}

impl From<BarrierError> for ViewError {
    fn from(source: BarrierError) -> Self {
        Self::Broken(source)
    }
}

/// A part of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Direct children in byte order; one that has children ends in `/`.
    pub keys: Vec<String>,
    /// Pass as `after` to go on; none at the end.
    pub next: Option<String>,
}

impl View {
    pub(crate) fn new(transaction: Transaction, mount: MountId) -> Self {
        Self {
            transaction,
            mount,
            base: String::new(),
        }
    }

    /// Whose records.
    pub fn mount(&self) -> MountId {
        self.mount
    }

    /// The transaction it is part of.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// A key of this mount for a purpose outside the barrier: the same for the same label, whatever is
    /// rotated, until the mount is destroyed.
    pub fn derive(&self, label: &str) -> Result<Zeroizing<[u8; 32]>, BarrierError> {
        Ok(self
            .transaction
            .0
            .keys(self.mount)?
            .derive(label)
            .into_inner())
    }

    /// The same, narrowed to what is under `prefix`, with or without its `/` at the end. Of a prefix that
    /// cannot be one every use is refused.
    pub fn child(&self, prefix: &str) -> Self {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Self {
            base: format!("{}{prefix}/", self.base),
            ..self.clone()
        }
    }

    /// The value under `key`, or none.
    pub async fn get(&self, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, ViewError> {
        Ok(self.get_stamped(key).await?.0)
    }

    /// As [`View::get`], and what a cache needs to have the copy checked later, by [`Transaction::expect`].
    /// Of a value that this transaction wrote itself the stamp is one that no commit meets.
    pub async fn get_stamped(
        &self,
        key: &str,
    ) -> Result<(Option<Zeroizing<Vec<u8>>>, RecordStamp), ViewError> {
        let inner = &self.transaction.0;
        let keys = inner.keys(self.mount)?;
        let at = keys.names.data(self.mount, &self.path(key)?);
        match inner.look(&at).await? {
            Seen::Own(value) => Ok((
                value,
                RecordStamp {
                    key: at,
                    revision: Some(Revision(u64::MAX)),
                },
            )),
            Seen::Stored(record) => {
                let revision = self.read(at, record.as_ref())?;
                let value = record
                    .map(|record| inner.open(&keys, &at, &record))
                    .transpose()?;
                Ok((value, RecordStamp { key: at, revision }))
            }
        }
    }

    /// As [`View::get`] for each key, in one read of the store.
    pub async fn get_many<K: AsRef<str> + Sync>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<Zeroizing<Vec<u8>>>>, ViewError> {
        let inner = &self.transaction.0;
        let mount_keys = inner.keys(self.mount)?;
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            places.push(mount_keys.names.data(self.mount, &self.path(key.as_ref())?));
        }
        let mut values = Vec::with_capacity(keys.len());
        for places in places.chunks(limits::SCAN_RECORDS) {
            if !values.is_empty() {
                // Opening that many takes some milliseconds: others have waited.
                tokio::task::yield_now().await;
            }
            let records = inner.snapshot.get_many(places).await;
            for (at, record) in places.iter().zip(records.map_err(BarrierError::from)?) {
                let own = lock(&inner.state).own(at);
                values.push(match own {
                    Some(value) => value,
                    None => {
                        self.read(*at, record.as_ref())?;
                        record
                            .map(|record| inner.open(&mount_keys, at, &record))
                            .transpose()?
                    }
                });
            }
        }
        Ok(values)
    }

    /// Writes `value` under `key` when the transaction commits.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<(), ViewError> {
        let inner = &self.transaction.0;
        let _structure = inner.structure.lock().await;
        let keys = inner.keys(self.mount)?;
        let path = self.path(key)?;
        if value.len() > limits::VALUE_BYTES {
            return Err(ViewError::TooLarge(limits::VALUE_BYTES as u64));
        }
        lock(&inner.state).admit(value.len())?;
        Directories {
            inner,
            keys: &keys,
            mount: self.mount,
        }
        .add(&path)
        .await?;
        let at = keys.names.data(self.mount, &path);
        lock(&inner.state).write(at, Write::Value(value.to_vec().into()));
        Ok(())
    }

    /// Removes `key`; a missing one is no error.
    pub async fn delete(&self, key: &str) -> Result<(), ViewError> {
        let inner = &self.transaction.0;
        let _structure = inner.structure.lock().await;
        let keys = inner.keys(self.mount)?;
        let path = self.path(key)?;
        if (Directories {
            inner,
            keys: &keys,
            mount: self.mount,
        })
        .remove(&path)
        .await?
        {
            let at = keys.names.data(self.mount, &path);
            lock(&inner.state).write(at, Write::Delete);
        }
        Ok(())
    }

    /// Direct children of `prefix`, which is empty or ends in `/`. `limit` 0 asks for the most there can be
    /// in a page.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, ViewError> {
        let inner = &self.transaction.0;
        let _structure = inner.structure.lock().await;
        let keys = inner.keys(self.mount)?;
        let directory = self.directory(prefix)?;
        Directories {
            inner,
            keys: &keys,
            mount: self.mount,
        }
        .list(&directory, after, limit)
        .await
    }

    /// Remembers a record of the snapshot as read.
    fn read(&self, at: StoreKey, record: Option<&Record>) -> Result<Option<Revision>, ViewError> {
        let revision = record.map(|record| record.revision);
        lock(&self.transaction.0.state).remember_read(at, revision)?;
        Ok(revision)
    }

    fn path(&self, key: &str) -> Result<String, KeyError> {
        names::full_path(&self.base, key)
    }

    fn directory(&self, prefix: &str) -> Result<String, KeyError> {
        names::full_directory(&self.base, prefix)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("mount", &self.mount)
            .finish_non_exhaustive()
    }
}
