//! What whoever can write the file, and has no keys, can do with it.
//!
//! Claimed: a record says what was written in its place, or it is refused. Not claimed: that it is the latest
//! that was written there, nor that it is there at all; for that the file as a whole must be kept from others'
//! hands. The last two tests show where the line is.

use std::collections::BTreeMap;
use std::error::Error;

use bytes::Bytes;

use super::*;
use crate::names::{KeyRange, StoreKey, Table};
use crate::random;
use crate::store::memory::MemoryStore;
use crate::store::{Store, WriteBatch, read_range};
use crate::{KeyStatus, SealStatus, StaticKey};

const OTHER: MountId = MountId::from_bytes([7; 16]);

/// All records of a store.
pub(crate) type Image = BTreeMap<StoreKey, Bytes>;

pub(crate) async fn image(barrier: &Barrier) -> Image {
    let everything = KeyRange {
        first: StoreKey::from_bytes([0; StoreKey::BYTES]),
        last: StoreKey::from_bytes([0xFF; StoreKey::BYTES]),
    };
    let snapshot = barrier.0.store.snapshot().await.unwrap();
    let records = read_range(&*snapshot, everything).await.unwrap();
    records
        .into_iter()
        .map(|(at, record)| (at, record.value))
        .collect()
}

/// A sealed barrier over these records.
pub(crate) async fn over(image: &Image) -> Result<Barrier, crate::OpenError> {
    let store = MemoryStore::new();
    let writes = image
        .iter()
        .map(|(at, value)| (*at, Some(value.clone())))
        .collect();
    let batch = WriteBatch {
        writes,
        ..WriteBatch::default()
    };
    store.commit(batch).await.unwrap();
    Barrier::over(Arc::new(store), "inmem", Arc::new(Counting::new())).await
}

/// What opens a barrier.
enum Keys {
    Shares(Vec<UnsealShare>),
    /// The key, and what gives the recovery key.
    Static(StaticKey, Vec<UnsealShare>),
}

/// Everything that a store says to who has its keys.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    seal: SealStatus,
    keys: KeyStatus,
    values: BTreeMap<(MountId, String), Option<String>>,
}

async fn contents(image: &Image, keys: &Keys) -> Result<Contents, Box<dyn Error>> {
    let barrier = over(image).await?;
    match keys {
        Keys::Shares(shares) => {
            for share in shares {
                barrier.unseal(copy(share)).await?;
            }
        }
        Keys::Static(key, recovery) => {
            barrier.unseal_with_static_key(key).await?;
            let recovery: Vec<UnsealShare> = recovery.iter().map(copy).collect();
            if !barrier.check_recovery(&recovery).await? {
                return Err("the recovery key is not known".into());
            }
        }
    }
    let transaction = barrier.begin().await?;
    let mut values = BTreeMap::new();
    for mount in [MountId::SYSTEM, OTHER] {
        let view = transaction.view(mount).await?;
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            for name in view.list(&directory, None, 0).await?.keys {
                let path = directory.clone() + &name;
                if path.ends_with('/') {
                    directories.push(path);
                } else {
                    let value = view.get(&path).await?.map(text);
                    values.insert((mount, path), value);
                }
            }
        }
    }
    Ok(Contents {
        seal: barrier.seal_status().await?,
        keys: barrier.key_status().await?,
        values,
    })
}

/// A store that has seen a rotation, and what it was before that.
struct Server {
    image: Image,
    older: Image,
    keys: Keys,
}

impl Server {
    /// Servers of different numbers share no randomness.
    async fn new(number: usize, init: Init, names: &[&str]) -> Self {
        let random = Counting::new();
        for _ in 0..number * 10_000 {
            random::bytes::<32>(&random).unwrap();
        }
        let barrier = Barrier::open(StorageConfig::Memory, Arc::new(random))
            .await
            .unwrap();
        let key = match &init {
            Init::Static { key, .. } => Some(key.duplicate()),
            Init::Shamir { .. } => None,
        };
        let mut made = barrier.initialize(init, 1_000).await.unwrap();
        let keys = match key {
            Some(key) => {
                barrier.unseal_with_static_key(&key).await.unwrap();
                Keys::Static(key, made.recovery_shares.drain(..2).collect())
            }
            None => {
                let shares: Vec<UnsealShare> = made.shares.drain(..2).collect();
                for share in &shares {
                    barrier.unseal(copy(share)).await.unwrap();
                }
                Keys::Shares(shares)
            }
        };
        let transaction = barrier.begin().await.unwrap();
        let system = transaction.view(MountId::SYSTEM).await.unwrap();
        let other = transaction.create_mount(OTHER).await.unwrap();
        for name in names {
            system.put(name, name.as_bytes()).await.unwrap();
            other.put(name, name.as_bytes()).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let older = image(&barrier).await;

        barrier.rotate(2_000).await.unwrap();
        let transaction = barrier.begin().await.unwrap();
        let system = transaction.view(MountId::SYSTEM).await.unwrap();
        system.put(names[0], b"newer").await.unwrap();
        transaction.commit().await.unwrap();
        let image = image(&barrier).await;
        Self { image, older, keys }
    }

    async fn with_shares(number: usize) -> Self {
        let init = Init::Shamir {
            shares: 3,
            threshold: 2,
        };
        Self::new(number, init, &["a", "dir/b"]).await
    }

    async fn with_static_key() -> Self {
        let init = Init::Static {
            key: StaticKey::from_slice(&[8; 32]).unwrap(),
            recovery: Some((3, 2)),
        };
        Self::new(0, init, &["a", "dir/b"]).await
    }

    async fn contents(&self) -> Contents {
        contents(&self.image, &self.keys).await.unwrap()
    }

    /// What is read with `value` at this place.
    async fn with(&self, at: StoreKey, value: impl Into<Bytes>) -> Result<Contents, String> {
        let mut image = self.image.clone();
        image.insert(at, value.into());
        contents(&image, &self.keys)
            .await
            .map_err(|error| error.to_string())
    }
}

fn table(at: &StoreKey, table: Table) -> bool {
    at.table_byte() == table as u8
}

/// What a stamp holds is not looked at, only by which commit it was put.
fn is_stamp(at: &StoreKey) -> bool {
    table(at, Table::Stamp) || table(at, Table::MountKeyStamp)
}

fn is_frame(at: &StoreKey) -> bool {
    table(at, Table::Data) || table(at, Table::Dirent)
}

#[tokio::test]
async fn every_flipped_bit_and_every_cut_of_every_record_is_refused() {
    let mut records = BTreeMap::new();
    for server in [
        Server::with_shares(0).await,
        Server::with_static_key().await,
    ] {
        server.contents().await;
        for (at, value) in server.image.iter().filter(|(at, _)| !is_stamp(at)) {
            // Of frames that look alike one will do, and keys look alike under either seal.
            let kind = (
                at.table_byte(),
                table(at, Table::Seal) && matches!(server.keys, Keys::Static(..)),
            );
            if records.insert(kind, value.len()).is_some() {
                continue;
            }
            for bit in 0..value.len() * 8 {
                let mut altered = value.to_vec();
                altered[bit / 8] ^= 1 << (bit % 8);
                let read = server.with(*at, altered).await;
                assert!(read.is_err(), "bit {bit} of {at:?}: {read:?}");
            }
            for length in 0..value.len() {
                let read = server.with(*at, value.slice(..length)).await;
                assert!(read.is_err(), "{at:?} cut to {length}: {read:?}");
            }
            let read = server.with(*at, [value, &[0][..]].concat()).await;
            assert!(read.is_err(), "{at:?} and a byte more: {read:?}");
        }
    }
    // Values, names, both seals, keyring, count and a mount's keys.
    assert_eq!(records.len(), 7, "{records:?}");
}

#[tokio::test]
async fn no_record_opens_in_the_place_of_another() {
    let names: Vec<String> = (0..18).map(|n| format!("d{}/{n}", n % 3)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let init = Init::Shamir {
        shares: 3,
        threshold: 2,
    };
    let server = Server::new(0, init, &names).await;
    assert!(server.image.len() >= 90, "{}", server.image.len());
    let whole = server.contents().await;
    for (from, value) in &server.image {
        for (at, own) in server.image.iter().filter(|(_, own)| *own != value) {
            let read = server.with(*at, value.clone()).await;
            if is_stamp(at) {
                assert_eq!(read.as_ref(), Ok(&whole), "{from:?} at {at:?}");
            } else {
                assert!(
                    read.is_err(),
                    "{from:?} at {at:?}, over {} bytes",
                    own.len()
                );
            }
        }
    }
}

#[tokio::test]
async fn no_record_opens_in_another_server() {
    let (server, stranger) = (Server::with_shares(0).await, Server::with_shares(1).await);
    let mut places = 0;
    for (at, value) in &stranger.image {
        if server.image.contains_key(at) && !is_stamp(at) {
            places += 1;
            let read = server.with(*at, value.clone()).await;
            assert!(read.is_err(), "{at:?}: {read:?}");
        }
    }
    // Names lie elsewhere, so these are the seal, the keyring, the count and the keys of two mounts. Not even all of
    // them together give the stranger's keys to our shares.
    assert_eq!(places, 5);
    let read = contents(&stranger.image, &server.keys).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_record_does_not_open_as_one_of_another_generation() {
    let server = Server::with_shares(0).await;
    let mut frames = 0;
    for (at, value) in server.image.iter().filter(|(at, _)| is_frame(at)) {
        frames += 1;
        for generation in [1_u32, 2, 3] {
            let mut altered = value.to_vec();
            altered[4..8].copy_from_slice(&generation.to_be_bytes());
            if altered[..] != value[..] {
                let read = server.with(*at, altered).await;
                assert!(read.is_err(), "{at:?} as of {generation}: {read:?}");
            }
        }
    }
    assert!(frames > 8, "{frames}");
    // The keys of a mount say in the clear in which term they were wrapped: believed, it would not help.
    for (at, value) in server
        .older
        .iter()
        .filter(|(at, _)| table(at, Table::MountKey))
    {
        let mut altered = value.to_vec();
        altered[..4].copy_from_slice(&2_u32.to_be_bytes());
        let read = server.with(*at, altered).await;
        assert!(read.is_err(), "{at:?}: {read:?}");
    }
}

#[tokio::test]
async fn older_keys_put_back_are_refused() {
    let server = Server::with_shares(0).await;
    let is_key = |at: &StoreKey| {
        [Table::Keyring, Table::TermUse, Table::MountKey]
            .iter()
            .any(|kind| table(at, *kind))
    };
    let mut rolled_back = server.image.clone();
    for (at, value) in server.older.iter().filter(|(at, _)| is_key(at)) {
        rolled_back.insert(*at, value.clone());
        // The old term's count is no more looked at.
        if !table(at, Table::TermUse) {
            let read = server.with(*at, value.clone()).await;
            assert!(read.is_err(), "{at:?}: {read:?}");
        }
    }
    // Nor all of them together: what the newer generation sealed does not open.
    let read = contents(&rolled_back, &server.keys).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn an_older_value_put_back_in_its_place_is_not_told_from_the_latest() {
    let server = Server::with_shares(0).await;
    let newer = server.contents().await;
    let of =
        |contents: &Contents, mount, path: &str| contents.values[&(mount, path.to_owned())].clone();
    assert_eq!(of(&newer, MountId::SYSTEM, "a").as_deref(), Some("newer"));
    let changed: Vec<_> = server
        .older
        .iter()
        .filter(|(at, value)| table(at, Table::Data) && server.image[*at] != **value)
        .collect();
    let [(at, value)] = changed[..] else {
        panic!("one value was changed, not {}", changed.len());
    };
    let read = server.with(*at, value.clone()).await.unwrap();
    assert_eq!(of(&read, MountId::SYSTEM, "a").as_deref(), Some("a"));
    // So with the file as a whole.
    let read = contents(&server.older, &server.keys).await.unwrap();
    assert_eq!((read.keys.term, newer.keys.term), (1, 2));
    assert_eq!(of(&read, MountId::SYSTEM, "a").as_deref(), Some("a"));
}

#[tokio::test]
async fn a_value_taken_away_reads_as_none() {
    let server = Server::with_shares(0).await;
    let whole = server.contents().await;
    for (at, _) in server.image.iter().filter(|(at, _)| table(at, Table::Data)) {
        let mut image = server.image.clone();
        image.remove(at);
        let read = contents(&image, &server.keys).await.unwrap();
        let missing: Vec<_> = read
            .values
            .values()
            .filter(|value| value.is_none())
            .collect();
        assert_eq!(missing.len(), 1, "{at:?}");
        let names = |contents: &Contents| contents.values.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&read), names(&whole));
    }
    // Without its keys a mount is none, and a barrier without any of its own records is none.
    for at in server
        .image
        .keys()
        .filter(|at| !is_frame(at) && !is_stamp(at))
    {
        let mut image = server.image.clone();
        image.remove(at);
        let read = contents(&image, &server.keys).await;
        assert!(read.is_err(), "{at:?}: {read:?}");
    }
}
