//! What the first version wrote is read for ever; and with the same randomness the same bytes are written today.
//!
//! The files beside this one were made when the formats were fixed, and are never to be made again: where a test
//! here fails, the code is wrong, or a new version of the format has come, which gets files of its own.

use super::tampering::{Image, image, over};
use super::*;
use crate::StaticKey;
use crate::envelope::{self, DataKey, Nonces};
use crate::keyring::SecretKey;
use crate::names::{NamesKey, StoreKey, Table};

/// All records of a store, in the order of their keys: a Shamir seal of 2 of 3, three values written before a
/// rotation and one after.
const RECORDS: &str = include_str!("first_version.hex");

/// Frames of 0 to 780 bytes, in several places, generations and versions.
const FRAMES: &str = include_str!("first_frames.hex");

/// Of a store with a static seal and a recovery key of 2 of 3: what its keys lie in, in each of ten terms. The seal
/// only in the first.
const KEYRINGS: &str = include_str!("first_keyrings.hex");

fn parse(lines: &str) -> Image {
    let records = lines.lines().map(|line| {
        let (key, value) = line.split_once(' ').unwrap();
        let key = StoreKey::from_bytes(hex::decode(key).unwrap().try_into().unwrap());
        (key, hex::decode(value).unwrap().into())
    });
    records.collect()
}

fn print<'r>(records: impl IntoIterator<Item = (&'r StoreKey, &'r bytes::Bytes)>) -> String {
    let lines = records
        .into_iter()
        .map(|(at, value)| format!("{} {}\n", hex::encode(at.as_bytes()), hex::encode(value)));
    lines.collect()
}

#[tokio::test]
async fn a_store_of_the_first_version_opens() {
    let barrier = over(&parse(RECORDS)).await.unwrap();
    for share in SHARES {
        barrier
            .unseal(UnsealShare::parse(share).unwrap())
            .await
            .unwrap();
    }
    let status = barrier.key_status().await.unwrap();
    assert_eq!((status.term, status.install_time_millis), (2, 2_000));
    assert_eq!(list(&barrier, "").await, ["a", "after", "dir/"]);
    assert_eq!(list(&barrier, "dir/").await, ["b", "c"]);
    for key in ["a", "dir/b", "dir/c", "after"] {
        assert_eq!(read(&barrier, key).await.as_deref(), Some(key));
    }
    assert_eq!(hex::encode(*barrier.derive("token-hash").unwrap()), DERIVED);
}

/// One in hex, one in base64.
const SHARES: [&str; 2] = [
    "01d5688a5202014d59b0d608c16d6667be4ab9aebc441fdd855ede431cbbff953608f3ac0d3277d01433cb",
    "AdVoilICAta+jCjcKuF7Cp/QiB5CqTK7ptA3i+aNObLD0Mk8KOV+Pl1+NQ==",
];

const DERIVED: &str = "3f7e91a6693d0516fc7ffb1d79d100a1891ef8ea42c60e7423cb386b20a8058a";

#[tokio::test]
async fn the_store_of_the_first_version_is_made_again_byte_for_byte() {
    let barrier = Barrier::open(StorageConfig::Memory, Arc::new(Counting::new()))
        .await
        .unwrap();
    let shares = initialize(&barrier, 3, 2).await.unwrap();
    assert_eq!(*shares[0].to_hex(), SHARES[0]);
    assert_eq!(*shares[1].to_base64(), SHARES[1]);
    for share in &shares[..2] {
        barrier.unseal(copy(share)).await.unwrap();
    }
    put_all(&barrier, &["a", "dir/b", "dir/c"]).await;
    barrier.rotate(2_000).await.unwrap();
    put_all(&barrier, &["after"]).await;
    assert_eq!(print(&image(&barrier).await), RECORDS);
}

#[test]
fn frames_of_the_first_version_are_made_again_byte_for_byte_and_open() {
    let names = NamesKey::new(&SecretKey::from([1; 32]));
    let key = DataKey::new(&SecretKey::from([2; 32]));
    let nonces = Nonces::new(&SecretKey::from([3; 32]), Arc::new(Counting::new()));
    let frozen: Vec<&str> = FRAMES.lines().collect();
    assert_eq!(frozen.len(), 40);
    for (n, frozen) in (0..40_u8).zip(frozen) {
        let mount = MountId::from_bytes([n % 3; 16]);
        let path = format!("dir{}/name{n}", n % 5);
        let at = match n % 4 {
            0 => names.dirent(mount, &path),
            _ => names.data(mount, &path),
        };
        let (generation, version) = (u32::from(n) * 1_000 + 1, u64::from(n) << 33 | 7);
        let length = usize::from(n) * (usize::from(n) + 1) / 2;
        let plaintext: Vec<u8> = (0..length)
            .map(|i| (i * 7 + usize::from(n)) as u8)
            .collect();

        let made = envelope::seal(&nonces, &key, generation, version, &at, &plaintext).unwrap();
        assert_eq!(hex::encode(made), frozen, "{n}");
        let key_of = |asked| (asked == generation).then_some(&key);
        let opened = envelope::open(key_of, &at, &hex::decode(frozen).unwrap()).unwrap();
        assert_eq!(*opened, plaintext, "{n}");
    }
}

fn static_key() -> StaticKey {
    StaticKey::from_slice(&[8; 32]).unwrap()
}

const OTHER: MountId = MountId::from_bytes([7; 16]);

/// Of a mount's keys, whatever term and generation: the key for this use.
async fn mount_key(barrier: &Barrier, mount: MountId) -> String {
    let transaction = barrier.begin().await.unwrap();
    let view = transaction.view(mount).await.unwrap();
    hex::encode(*view.derive("use").unwrap())
}

#[tokio::test]
async fn keyrings_of_the_first_version_are_made_again_byte_for_byte_and_open() {
    let barrier = Barrier::open(StorageConfig::Memory, Arc::new(Counting::new()))
        .await
        .unwrap();
    let init = Init::Static {
        key: static_key(),
        recovery: Some((3, 2)),
    };
    let recovery = barrier
        .initialize(init, 1_000)
        .await
        .unwrap()
        .recovery_shares;
    barrier.unseal_with_static_key(&static_key()).await.unwrap();
    let transaction = barrier.begin().await.unwrap();
    transaction.create_mount(OTHER).await.unwrap();
    transaction.commit().await.unwrap();

    let frozen: Vec<&str> = KEYRINGS.split("\n\n").collect();
    assert_eq!(frozen.len(), 10);
    let seal = StoreKey::only(Table::Seal);
    let seal_record = parse(frozen[0])[&seal].clone();
    for (term, frozen) in (1..).zip(frozen) {
        let records = image(&barrier).await;
        let keys = records
            .iter()
            .filter(|(at, _)| at.table_byte() > Table::Seal as u8 || (term == 1 && **at == seal));
        assert_eq!(print(keys).trim_end(), frozen.trim_end(), "{term}");

        let mut records = parse(frozen);
        records.insert(seal, seal_record.clone());
        let opened = over(&records).await.unwrap();
        opened.unseal_with_static_key(&static_key()).await.unwrap();
        let status = opened.key_status().await.unwrap();
        assert_eq!(
            (status.term, status.install_time_millis),
            (term, u64::from(term) * 1_000)
        );
        for mount in [MountId::SYSTEM, OTHER] {
            assert_eq!(
                mount_key(&opened, mount).await,
                mount_key(&barrier, mount).await
            );
        }
        let shares: Vec<UnsealShare> = recovery[1..].iter().map(copy).collect();
        assert!(opened.check_recovery(&shares).await.unwrap());

        put_all(&barrier, &["a value of each term"]).await;
        barrier.rotate(u64::from(term + 1) * 1_000).await.unwrap();
    }
}
