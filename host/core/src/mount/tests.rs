//! The table against one that is read segment by segment, as the contract tells it.

use std::sync::Arc;

use proptest::prelude::*;

use host_barrier::{Barrier, Init, MountId, RecordStamp, StorageConfig, SystemRandomness};
use host_logical::MountPath;

use super::*;
use crate::tests::cases;

/// Any stamp will do: nobody commits.
fn stamp() -> RecordStamp {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let random = Arc::new(SystemRandomness::new());
        let barrier = Barrier::open(StorageConfig::Memory, random).await;
        let barrier = barrier.expect("storage in memory");
        let init = Init::Shamir {
            shares: 1,
            threshold: 1,
        };
        let mut made = barrier.initialize(init, 0).await.expect("keys");
        barrier
            .unseal(made.shares.remove(0))
            .await
            .expect("unsealed");
        let transaction = barrier.begin().await.expect("a transaction");
        let view = transaction.view(MountId::SYSTEM).await.expect("a view");
        view.get_stamped("none").await.expect("a read").1
    })
}

fn entry(path: &MountPath, stamp: RecordStamp) -> MountEntry {
    let record = MountRecord {
        path: path.to_string(),
        auth: path.as_str().starts_with("auth/"),
        engine: "none".into(),
        description: String::new(),
        accessor: String::new(),
        uuid: path.to_string(),
        config: MountConfig::default(),
        options: None,
        local: false,
        seal_wrap: false,
        external_entropy_access: false,
        storage_version: 1,
    };
    MountEntry {
        seen: Arc::new(Mount {
            path: path.to_string(),
            accessor: String::new(),
            default_lease_ttl: 0,
            max_lease_ttl: 0,
            options: BTreeMap::new(),
        }),
        record,
        id: MountId::SYSTEM,
        stamp,
        serves: Serves::Missing,
        described: OnceCell::new(),
    }
}

/// A mount's path, without slashes at its ends.
fn mount() -> impl Strategy<Value = String> {
    prop::collection::vec(segment(), 1..4).prop_map(|segments| segments.join("/"))
}

/// As [`host_logical::RequestPath`] lets them through.
fn request() -> impl Strategy<Value = String> {
    let end = prop::sample::select(vec!["", "/"]);
    (prop::collection::vec(segment(), 0..6), end).prop_map(|(segments, end)| {
        match segments.is_empty() {
            true => String::new(),
            false => segments.join("/") + end,
        }
    })
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ab", "a b", "é", "auth", "sys"])
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

/// Whether a request for `path` is the mount's: what is written first is the mount, segment by segment.
fn serves(mount: &str, path: &str) -> bool {
    segments(path).starts_with(&segments(mount))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(20_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_request_reaches_the_one_mount_that_it_begins_with(
        mounts in prop::collection::vec(mount(), 0..12),
        requests in prop::collection::vec(request(), 8),
    ) {
        thread_local!(static STAMP: RecordStamp = stamp());
        let stamp = STAMP.with(|stamp| *stamp);
        let mut table = MountTable { generation: 1, by_path: BTreeMap::new() };
        let mut known: Vec<String> = Vec::new();
        for mount in mounts {
            let path = MountPath::parse(&mount).expect("a mount's path");
            let stands_in_the_way = |other: &String| serves(other, &mount) || serves(&mount, other);
            let found = table.in_the_way(&path).map(|entry| entry.record.path.clone());
            prop_assert_eq!(found.is_some(), known.iter().any(stands_in_the_way), "{} among {:?}", mount, known);
            if let Some(found) = found {
                let found = found.trim_end_matches('/').to_owned();
                prop_assert!(stands_in_the_way(&found), "{} is not in the way of {}", found, mount);
                prop_assert_eq!(table.get(&path).is_some(), known.contains(&mount));
                continue;
            }
            table.by_path.insert(path.to_string(), Arc::new(entry(&path, stamp)));
            known.push(mount);
        }
        prop_assert_eq!(table.len(), known.len());
        for request in requests {
            let wanted: Vec<&String> = known.iter().filter(|mount| serves(mount, &request)).collect();
            prop_assert!(wanted.len() <= 1, "{:?} are one above another", wanted);
            let found = table.find(&request).map(|entry| entry.record.path.trim_end_matches('/'));
            prop_assert_eq!(found, wanted.first().map(|mount| mount.as_str()), "{} among {:?}", request, known);
            if let Some(entry) = table.find(&request) {
                let path = MountPath::parse(&entry.record.path).expect("a mount's path");
                let below = segments(&request)[segments(path.trimmed()).len()..].join("/");
                prop_assert_eq!(path.strip(&request), Some(below.as_str()), "{} under {}", request, path);
            }
        }
    }
}
