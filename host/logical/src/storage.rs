//! Storage as an engine has it: keys relative to its mount, inside the transaction of the call.

use async_trait::async_trait;

/// The records of one mount in one transaction.
///
/// Reads see the state at the start of the call plus the call's own writes. Keys are
/// `/`-separated segments: none empty, none `.` or `..`, at most 1,024 bytes.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The value under `key`, or none.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// As `get` for each key, in one crossing.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError>;

    /// Writes `value` under `key` when the call commits.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError>;

    /// Removes `key`; a missing one is no error.
    async fn delete(&self, key: &str) -> Result<(), StorageError>;

    /// Direct children of `prefix`, which is empty or ends in `/`; `limit` 0 asks for the most.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, StorageError>;

    /// Reads from here on are not checked at commit.
    fn uncheck_reads(&self);
}

/// A part of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In byte order; one that has children ends in `/`.
    pub keys: Vec<String>,
    /// Pass as `after` to go on; none at the end.
    pub next: Option<String>,
}

/// How storage answers what it will not do.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The key breaks a rule; the text says which.
    #[error("invalid key: {0}")]
    InvalidKey(String),
    /// The value, or all writes of the call, exceed this many bytes.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// `exists` and `describe` may only read.
    #[error("this call may only read")]
    ReadOnly,
    /// The host's fault: it ends the call, and no engine sees it.
    #[error("storage failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}
