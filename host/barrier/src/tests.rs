//! What the barrier promises as a whole: sealing, transactions, files.

mod cipher;
mod files;
mod format;
mod histories;
mod lifecycle;
mod model;
mod tampering;
mod transactions;

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::random::Counting;
use crate::{
    Barrier, CommitError, Init, InitError, MountId, StorageConfig, Transaction, UnsealProgress,
    UnsealShare, View,
};

/// How many random cases: as many as CI has time for, times `COFFER_TEST_FACTOR`.
pub(crate) fn cases(in_ci: u32) -> u32 {
    let factor = std::env::var("COFFER_TEST_FACTOR").map_or(1, |factor| factor.parse().unwrap());
    in_ci * factor
}

pub(crate) async fn in_memory() -> Barrier {
    unsealed(StorageConfig::Memory).await.0
}

pub(crate) async fn in_file(directory: &Path) -> Barrier {
    unsealed(StorageConfig::Redb {
        directory: directory.to_owned(),
    })
    .await
    .0
}

/// A barrier with one share, which is returned.
pub(crate) async fn unsealed(config: StorageConfig) -> (Barrier, UnsealShare) {
    let barrier = Barrier::open(config, Arc::new(Counting::new()))
        .await
        .unwrap();
    let share = initialize(&barrier, 1, 1).await.unwrap().remove(0);
    assert_eq!(
        barrier.unseal(copy(&share)).await.unwrap(),
        UnsealProgress::Unsealed
    );
    (barrier, share)
}

pub(crate) async fn initialize(
    barrier: &Barrier,
    shares: u32,
    threshold: u32,
) -> Result<Vec<UnsealShare>, InitError> {
    Ok(barrier
        .initialize(Init::Shamir { shares, threshold }, 1_000)
        .await?
        .shares)
}

pub(crate) fn copy(share: &UnsealShare) -> UnsealShare {
    UnsealShare::parse(&share.to_hex()).unwrap()
}

/// A transaction and its view of the host's own mount.
pub(crate) async fn begin(barrier: &Barrier) -> (Transaction, View) {
    let transaction = barrier.begin().await.unwrap();
    let view = transaction.view(MountId::SYSTEM).await.unwrap();
    (transaction, view)
}

/// Commits the puts, each with its key as its value.
pub(crate) async fn put_all(barrier: &Barrier, keys: &[&str]) {
    let (transaction, view) = begin(barrier).await;
    for key in keys {
        view.put(key, key.as_bytes()).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

pub(crate) async fn delete_all(barrier: &Barrier, keys: &[&str]) {
    let (transaction, view) = begin(barrier).await;
    for key in keys {
        view.delete(key).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

pub(crate) async fn read(barrier: &Barrier, key: &str) -> Option<String> {
    let (_, view) = begin(barrier).await;
    view.get(key).await.unwrap().map(text)
}

pub(crate) async fn list(barrier: &Barrier, prefix: &str) -> Vec<String> {
    let (_, view) = begin(barrier).await;
    view.list(prefix, None, 0).await.unwrap().keys
}

pub(crate) fn text(value: Zeroizing<Vec<u8>>) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

pub(crate) fn is_conflict<T>(result: &Result<T, CommitError>) -> bool {
    matches!(result, Err(CommitError::Conflict(_)))
}
