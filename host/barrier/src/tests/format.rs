//! What the first version wrote is read for ever.

use crate::names::StoreKey;
use crate::store::WriteBatch;

use super::*;

/// All records of a store that the first version made, in the order of their keys: a Shamir seal of 2 of 3, three
/// values written before a rotation and one after. Made when the formats were fixed; never to be made again.
const RECORDS: &str = include_str!("first_version.hex");

#[tokio::test]
async fn a_store_of_the_first_version_opens() {
    let store = Arc::new(crate::store::memory::MemoryStore::new());
    let writes = RECORDS.lines().map(|line| {
        let (key, value) = line.split_once(' ').unwrap();
        let key = StoreKey::from_bytes(hex::decode(key).unwrap().try_into().unwrap());
        (key, Some(hex::decode(value).unwrap().into()))
    });
    let batch = WriteBatch {
        writes: writes.collect(),
        ..WriteBatch::default()
    };
    crate::store::Store::commit(&*store, batch).await.unwrap();
    let barrier = Barrier::over(store, "inmem", Arc::new(Counting::new()))
        .await
        .unwrap();

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
