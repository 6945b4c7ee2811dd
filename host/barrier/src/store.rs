//! Ordered bytes on disk. Private to the barrier, so plaintext has no other way there.
//!
//! Invariants of every store
//! - A snapshot never changes. It shows every commit up to its revision and none after it.
//! - A commit applies all of its batch or nothing. Each one that applies raises the store's revision by one,
//!   and the records it puts carry that revision: a record that is still there with the same revision has not
//!   been written in between.
//! - A commit that was answered is durable, and a snapshot taken afterwards shows it.
//! - A watcher knows of a commit before whoever made it is answered.
//!
//! The trait is small and its reads come in batches so that it can be served over the network: etcd has the
//! same revisions (`mod_revision`), compares them in its transactions, and has prefix watches.

mod contained;
mod disk;
pub(crate) mod files;
mod journal;
pub(crate) mod memory;
mod overlay;
pub(crate) mod redb;
pub(crate) mod watch;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::limits;
use crate::names::{KeyRange, StoreKey};
use crate::store::watch::Watch;

/// How many commits the store has seen; on a record, which of them wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub(crate) u64);

impl Revision {
    /// For logs and metrics.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) revision: Revision,
    pub(crate) value: Bytes,
}

/// What to commit, if what was read is still so.
#[derive(Debug, Default)]
pub(crate) struct WriteBatch {
    /// Each record must still have been written by this commit, or still be absent.
    pub(crate) checks: Vec<(StoreKey, Option<Revision>)>,
    /// Puts, and deletes where there is no value. Each key at most once. Deleting what is absent is no error.
    pub(crate) writes: Vec<(StoreKey, Option<Bytes>)>,
    /// Puts where there is nothing; what is there stays, and keeps its revision. Other keys than in `writes`.
    pub(crate) ensures: Vec<(StoreKey, Bytes)>,
}

impl WriteBatch {
    /// The keys that the batch writes, or may write.
    pub(crate) fn written(&self) -> impl Iterator<Item = &StoreKey> {
        let writes = self.writes.iter().map(|(key, _)| key);
        writes.chain(self.ensures.iter().map(|(key, _)| key))
    }

    pub(crate) fn bytes(&self) -> usize {
        let puts = self.writes.iter().filter_map(|(_, value)| value.as_ref());
        let values = puts.chain(self.ensures.iter().map(|(_, value)| value));
        let keys = self.checks.len() + self.writes.len() + self.ensures.len();
        values.map(Bytes::len).sum::<usize>() + StoreKey::BYTES * keys
    }
}

/// The source of a fault of the store, of whatever kind.
pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// A read that failed.
#[derive(Debug, thiserror::Error)]
#[error("the store could not be read")]
pub(crate) struct ReadError(#[source] pub(crate) Fault);

/// A commit that did not happen, or of which that is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// This record is not as it was read. Nothing was written.
    #[error("a record has changed")]
    Conflict(StoreKey),
    /// Nothing was written.
    #[error("the store refused a commit")]
    Refused(#[source] Fault),
    /// It failed midway. All of it is there or nothing: snapshots show which, once commits succeed again.
    #[error("a commit failed midway")]
    Unknown(#[source] Fault),
}

/// Records in order of their keys.
pub(crate) type Records = Vec<(StoreKey, Record)>;

/// A store. See the invariants above.
#[async_trait]
pub(crate) trait Store: Send + Sync + 'static {
    /// The state after the last commit.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError>;

    /// All of `batch` or, if something it checks has changed, nothing. Durable when this is done.
    async fn commit(&self, batch: WriteBatch) -> Result<Revision, WriteError>;

    /// The latest commit that wrote a key beginning with one of `prefixes`.
    fn watch(&self, prefixes: &[&[u8]]) -> Watch;
}

/// A consistent view; later commits do not show in it.
#[async_trait]
pub(crate) trait Snapshot: Send + Sync + 'static {
    /// The last commit it shows.
    fn revision(&self) -> Revision;

    /// One record.
    async fn get(&self, key: &StoreKey) -> Result<Option<Record>, ReadError>;

    /// Several, in the order of `keys`.
    async fn get_many(&self, keys: &[StoreKey]) -> Result<Vec<Option<Record>>, ReadError>;

    /// The first `limit` records of `range`.
    async fn range(&self, range: KeyRange, limit: usize) -> Result<Records, ReadError>;
}

/// All records of a range that is known to be small enough to hold.
pub(crate) async fn read_range(
    snapshot: &dyn Snapshot,
    range: KeyRange,
) -> Result<Records, ReadError> {
    let mut all = Records::new();
    let mut rest = Some(range);
    while let Some(range) = rest {
        let mut part = snapshot.range(range, limits::SCAN_RECORDS).await?;
        rest = match part.last() {
            Some((last, _)) if part.len() == limits::SCAN_RECORDS => range.after(*last),
            _ => None,
        };
        all.append(&mut part);
    }
    Ok(all)
}

/// What every store must do. One test for all of them.
#[cfg(test)]
pub(crate) mod conformance {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::names::{MountId, Table};

    /// Keys of one mount, in the order of `n`.
    pub(crate) fn key(n: u8) -> StoreKey {
        let mut bytes = *KeyRange::mount(Table::Data, MountId::from_bytes([1; 16]))
            .first
            .as_bytes();
        bytes[StoreKey::BYTES - 1] = n;
        StoreKey::from_bytes(bytes)
    }

    fn everything() -> KeyRange {
        KeyRange::table(Table::Data)
    }

    fn put(n: u8, value: &str) -> (StoreKey, Option<Bytes>) {
        (key(n), Some(Bytes::copy_from_slice(value.as_bytes())))
    }

    fn batch(
        checks: &[(u8, Option<Revision>)],
        writes: Vec<(StoreKey, Option<Bytes>)>,
    ) -> WriteBatch {
        WriteBatch {
            checks: checks
                .iter()
                .map(|(n, revision)| (key(*n), *revision))
                .collect(),
            writes,
            ensures: vec![],
        }
    }

    async fn values(store: &dyn Store) -> Vec<String> {
        let snapshot = store.snapshot().await.unwrap();
        let records = snapshot.range(everything(), 100).await.unwrap();
        records
            .iter()
            .map(|(_, record)| String::from_utf8_lossy(&record.value).into_owned())
            .collect()
    }

    /// `store` is new.
    pub(crate) async fn check_store(store: &dyn Store) {
        // A commit raises the revision by one, and its records carry it.
        let start = store.snapshot().await.unwrap();
        let first = store
            .commit(batch(&[], vec![put(1, "one"), put(2, "two")]))
            .await
            .unwrap();
        assert_eq!(first.0, start.revision().0 + 1);
        let snapshot = store.snapshot().await.unwrap();
        assert_eq!(snapshot.revision(), first);
        let one = snapshot.get(&key(1)).await.unwrap().unwrap();
        assert_eq!((one.revision, &one.value[..]), (first, b"one".as_slice()));

        // A snapshot does not see later commits.
        assert_eq!(start.get(&key(1)).await.unwrap(), None);
        let second = store
            .commit(batch(&[(1, Some(first)), (3, None)], vec![put(1, "ONE")]))
            .await
            .unwrap();
        assert_eq!(snapshot.get(&key(1)).await.unwrap(), Some(one));
        assert_eq!(values(store).await, ["ONE", "two"]);

        // A batch whose check fails writes nothing and raises nothing; the record is named.
        for (checks, culprit) in [
            (vec![(2, Some(first)), (1, Some(first))], 1),
            (vec![(1, None)], 1),
            (vec![(3, Some(first))], 3),
        ] {
            match store
                .commit(batch(&checks, vec![put(3, "three"), (key(2), None)]))
                .await
            {
                Err(WriteError::Conflict(named)) => assert_eq!(named, key(culprit)),
                other => panic!("{checks:?} gave {other:?}"),
            }
        }
        assert_eq!(values(store).await, ["ONE", "two"]);
        assert_eq!(store.snapshot().await.unwrap().revision(), second);

        // Deletes: of what is there, of what is not, and back again. An empty value is a value.
        store
            .commit(batch(&[], vec![(key(2), None), (key(9), None), put(4, "")]))
            .await
            .unwrap();
        assert_eq!(values(store).await, ["ONE", ""]);
        store
            .commit(batch(&[(2, None)], vec![put(2, "again")]))
            .await
            .unwrap();

        // Batched reads keep the order asked for; ranges are in the order of keys, limited, with both ends.
        let snapshot = store.snapshot().await.unwrap();
        let many = snapshot.get_many(&[key(4), key(9), key(1)]).await.unwrap();
        assert_eq!(
            many.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, false, true]
        );
        let range = KeyRange {
            first: key(1),
            last: key(2),
        };
        assert_eq!(snapshot.range(range, 9).await.unwrap().len(), 2);
        let part = snapshot.range(everything(), 2).await.unwrap();
        assert_eq!(
            part.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [key(1), key(2)]
        );
        let rest = snapshot
            .range(everything().after(key(2)).unwrap(), 9)
            .await
            .unwrap();
        assert_eq!(rest.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [key(4)]);

        // What is ensured is put where there is nothing, and otherwise left alone.
        let ensured = store
            .commit(WriteBatch {
                ensures: vec![(key(1), "no".into()), (key(5), "five".into())],
                ..batch(&[(5, None)], vec![put(4, "four")])
            })
            .await
            .unwrap();
        assert_eq!(values(store).await, ["ONE", "again", "four", "five"]);
        let snapshot = store.snapshot().await.unwrap();
        let kept = snapshot.get(&key(1)).await.unwrap().unwrap();
        let new = snapshot.get(&key(5)).await.unwrap().unwrap();
        assert_eq!((kept.revision, new.revision), (second, ensured));

        check_watch(store).await;
    }

    async fn check_watch(store: &dyn Store) {
        let one = store.watch(&[key(1).as_bytes()]);
        let all = store.watch(&[key(1).directory_prefix()]);
        let before = store.snapshot().await.unwrap().revision();
        assert!(one.revision() <= before && all.revision() <= before);

        let other = store.commit(batch(&[], vec![put(2, "x")])).await.unwrap();
        assert!(one.revision() <= before);
        assert_eq!(all.revision(), other);
        let mut waiting = one.clone();
        let (changed, committed) = tokio::join!(
            waiting.changed(),
            store.commit(batch(&[], vec![(key(1), None)]))
        );
        assert_eq!(changed, one.revision());
        assert_eq!(one.revision(), committed.unwrap());

        // A refused commit is not news.
        let known = all.revision();
        assert!(
            store
                .commit(batch(&[(1, Some(before))], vec![put(1, "y")]))
                .await
                .is_err()
        );
        assert_eq!(all.revision(), known);
    }

    /// What a batch does, in numbers: whether the checks are made to hold, which keys get which value or none,
    /// and which is ensured.
    pub(crate) type Script = Vec<(bool, Vec<(u8, Option<u8>)>, u8)>;

    pub(crate) fn scripts() -> impl Strategy<Value = Script> {
        let writes =
            prop::collection::vec((0..12u8, prop::option::weighted(0.7, any::<u8>())), 1..6);
        prop::collection::vec((prop::bool::weighted(0.8), writes, 0..24u8), 1..30)
    }

    /// Random batches leave what they would leave in a `BTreeMap`.
    pub(crate) async fn check_script(store: &dyn Store, script: Script) {
        let mut model: BTreeMap<StoreKey, Record> = BTreeMap::new();
        for (holds, writes, ensured) in script {
            let writes: BTreeMap<StoreKey, Option<Bytes>> = writes
                .into_iter()
                .map(|(n, value)| {
                    (
                        key(n),
                        value.map(|byte| Bytes::from(vec![byte; usize::from(byte)])),
                    )
                })
                .collect();
            let checks = writes
                .keys()
                .map(|at| (*at, model.get(at).map(|record| record.revision)))
                .map(|(at, revision)| {
                    (
                        at,
                        if holds {
                            revision
                        } else {
                            Some(Revision(u64::MAX))
                        },
                    )
                })
                .collect();
            let ensured = Some(key(ensured)).filter(|at| !writes.contains_key(at));
            let batch = WriteBatch {
                checks,
                writes: writes.clone().into_iter().collect(),
                ensures: ensured
                    .map(|at| (at, "ensured".into()))
                    .into_iter()
                    .collect(),
            };
            match store.commit(batch).await {
                Ok(revision) => {
                    assert!(holds);
                    for (at, value) in writes {
                        match value {
                            Some(value) => drop(model.insert(at, Record { revision, value })),
                            None => drop(model.remove(&at)),
                        }
                    }
                    if let Some(at) = ensured {
                        let value = "ensured".into();
                        model.entry(at).or_insert(Record { revision, value });
                    }
                }
                Err(WriteError::Conflict(_)) => assert!(!holds),
                Err(err) => panic!("{err:?}"),
            }
            let snapshot = store.snapshot().await.unwrap();
            let records = snapshot.range(everything(), 100).await.unwrap();
            assert_eq!(records, model.clone().into_iter().collect::<Vec<_>>());
        }
    }
}
