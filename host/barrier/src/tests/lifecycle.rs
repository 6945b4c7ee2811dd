//! Initialising, unsealing, sealing, rotating, and the life of a mount.

use std::sync::Arc;

use super::*;
use crate::names::{KeyRange, StoreKey, Table};
use crate::seal::SealState;
use crate::store::Record;
use crate::{BarrierError, OpenError, SealKind, StaticKey, UnsealError, ViewError, limits};

async fn sealed(shares: u32, threshold: u32) -> (Barrier, Vec<UnsealShare>) {
    let barrier = Barrier::open(StorageConfig::Memory, Arc::new(Counting::new()))
        .await
        .unwrap();
    let shares = initialize(&barrier, shares, threshold).await.unwrap();
    (barrier, shares)
}

#[tokio::test]
async fn a_new_barrier_is_initialised_once_and_unsealed_by_its_shares() {
    let barrier = Barrier::open(StorageConfig::Memory, Arc::new(Counting::new()))
        .await
        .unwrap();
    let status = barrier.seal_status().await.unwrap();
    assert_eq!(
        (status.initialized, status.sealed, status.kind),
        (false, true, SealKind::Shamir)
    );
    let (_, foreign) = sealed(1, 1).await;
    assert!(matches!(
        barrier.unseal(copy(&foreign[0])).await,
        Err(UnsealError::NotInitialized)
    ));
    assert!(matches!(
        barrier.reset_unseal().await,
        Err(UnsealError::NotInitialized)
    ));

    let shares = initialize(&barrier, 5, 3).await.unwrap();
    assert!(matches!(
        initialize(&barrier, 5, 3).await,
        Err(InitError::AlreadyInitialized)
    ));
    let status = barrier.seal_status().await.unwrap();
    assert_eq!(
        (
            status.initialized,
            status.sealed,
            status.shares,
            status.threshold
        ),
        (true, true, 5, 3)
    );

    for (given, share) in [(1, &shares[4]), (1, &shares[4]), (2, &shares[0])] {
        match barrier.unseal(copy(share)).await.unwrap() {
            UnsealProgress::InProgress {
                progress,
                threshold,
                nonce,
            } => {
                assert_eq!((progress, threshold), (given, 3));
                assert_eq!(nonce, barrier.seal_status().await.unwrap().nonce);
            }
            UnsealProgress::Unsealed => panic!("too early"),
        }
    }
    assert!(matches!(barrier.begin().await, Err(BarrierError::Sealed)));
    assert_eq!(
        barrier.unseal(copy(&shares[2])).await.unwrap(),
        UnsealProgress::Unsealed
    );
    assert_eq!(
        barrier.unseal(copy(&shares[2])).await.unwrap(),
        UnsealProgress::Unsealed
    );
    assert!(matches!(
        barrier.reset_unseal().await,
        Err(UnsealError::AlreadyUnsealed)
    ));
    let status = barrier.seal_status().await.unwrap();
    assert_eq!(
        (status.sealed, status.progress, status.nonce.as_str()),
        (false, 0, "")
    );
    put_all(&barrier, &["a"]).await;
}

#[tokio::test]
async fn foreign_shares_cost_an_attempt_nothing() {
    let (barrier, shares) = sealed(3, 2).await;
    barrier.unseal(copy(&shares[0])).await.unwrap();
    let (other, _) = sealed(2, 2).await;
    let strangers = {
        // Another split by the same source of randomness, so of another set.
        let barrier = Barrier::open(StorageConfig::Memory, other.0.random.clone())
            .await
            .unwrap();
        initialize(&barrier, 3, 2).await.unwrap()
    };
    assert!(matches!(
        barrier.unseal(copy(&strangers[1])).await,
        Err(UnsealError::ForeignShare)
    ));
    assert_eq!(barrier.seal_status().await.unwrap().progress, 1);
    assert_eq!(
        barrier.unseal(copy(&shares[1])).await.unwrap(),
        UnsealProgress::Unsealed
    );
}

#[tokio::test]
async fn sealing_waits_for_open_transactions_and_leaves_no_key() {
    let (barrier, share) = unsealed(StorageConfig::Memory).await;
    put_all(&barrier, &["a"]).await;
    let keys = match &*barrier.state() {
        SealState::Unsealed(unsealed) => Arc::downgrade(unsealed),
        _ => panic!("not unsealed"),
    };
    let (transaction, view) = begin(&barrier).await;
    let sealing = tokio::spawn({
        let barrier = barrier.clone();
        async move { barrier.seal().await }
    });
    while !barrier.seal_status().await.unwrap().sealed {
        tokio::task::yield_now().await;
    }
    // New ones are refused at once; the open one goes on, and its commit counts.
    assert!(matches!(barrier.begin().await, Err(BarrierError::Sealed)));
    assert!(matches!(barrier.derive("x"), Err(BarrierError::Sealed)));
    view.put("b", b"b").await.unwrap();
    transaction.commit().await.unwrap();
    assert!(!sealing.is_finished());
    drop(view);
    sealing.await.unwrap().unwrap();
    assert!(keys.upgrade().is_none());

    barrier.seal().await.unwrap();
    barrier.unseal(share).await.unwrap();
    assert_eq!(list(&barrier, "").await, ["a", "b"]);
}

#[tokio::test]
async fn a_static_seal_unseals_without_people() {
    let key = || StaticKey::from_slice(&[8; 32]).unwrap();
    let barrier = Barrier::open(StorageConfig::Memory, Arc::new(Counting::new()))
        .await
        .unwrap();
    assert!(matches!(
        barrier.unseal_with_static_key(&key()).await,
        Err(UnsealError::NotInitialized)
    ));
    let init = Init::Static {
        key: key(),
        recovery: Some((3, 2)),
    };
    let handed_out = barrier.initialize(init, 1_000).await.unwrap();
    let status = barrier.seal_status().await.unwrap();
    assert_eq!(
        (status.kind, status.sealed, status.shares, status.threshold),
        (SealKind::Static, true, 3, 2)
    );
    let wrong = StaticKey::from_slice(&[9; 32]).unwrap();
    assert!(matches!(
        barrier.unseal_with_static_key(&wrong).await,
        Err(UnsealError::WrongKey)
    ));
    barrier.unseal_with_static_key(&key()).await.unwrap();
    put_all(&barrier, &["a"]).await;

    let recovery = &handed_out.recovery_shares;
    assert!(
        barrier
            .check_recovery(&[copy(&recovery[0]), copy(&recovery[1])])
            .await
            .unwrap()
    );
    assert!(!barrier.check_recovery(&[copy(&recovery[0])]).await.unwrap());
}

#[tokio::test]
async fn derived_keys_stay_the_same_and_differ_by_label() {
    let (barrier, share) = unsealed(StorageConfig::Memory).await;
    let key = barrier.derive("aot-cache").unwrap();
    assert_ne!(key, barrier.derive("token-hash").unwrap());
    barrier.rotate(2_000).await.unwrap();
    barrier.seal().await.unwrap();
    barrier.unseal(share).await.unwrap();
    assert_eq!(key, barrier.derive("aot-cache").unwrap());
}

async fn raw(barrier: &Barrier, table: Table) -> Vec<(StoreKey, Record)> {
    barrier
        .0
        .store
        .snapshot()
        .await
        .unwrap()
        .range(KeyRange::table(table), 1_000)
        .await
        .unwrap()
}

#[tokio::test]
async fn rotation_keeps_everything_readable_and_seals_anew() {
    let (barrier, share) = unsealed(StorageConfig::Memory).await;
    put_all(&barrier, &["old", "dir/old"]).await;
    let before = barrier.key_status().await.unwrap();
    assert_eq!(
        (before.term, before.install_time_millis, before.encryptions),
        (1, 1_000, 5)
    );

    let after = barrier.rotate(2_000).await.unwrap();
    assert_eq!(
        (after.term, after.install_time_millis, after.encryptions),
        (2, 2_000, 0)
    );
    put_all(&barrier, &["new", "dir/new"]).await;
    for key in ["old", "dir/old", "new", "dir/new"] {
        assert_eq!(read(&barrier, key).await.as_deref(), Some(key));
    }
    assert_eq!(list(&barrier, "dir/").await, ["new", "old"]);
    let generations: Vec<u8> = raw(&barrier, Table::Data)
        .await
        .iter()
        .map(|(_, record)| record.value[7])
        .collect();
    assert_eq!(
        generations
            .iter()
            .filter(|generation| **generation == 2)
            .count(),
        2
    );
    // The count of the term before is gone with its key.
    assert_eq!(raw(&barrier, Table::TermUse).await.len(), 1);

    barrier.seal().await.unwrap();
    barrier.unseal(share).await.unwrap();
    assert_eq!(barrier.rotate(3_000).await.unwrap().term, 3);
    assert_eq!(read(&barrier, "old").await.as_deref(), Some("old"));
}

#[tokio::test]
async fn a_transaction_that_rotation_overtook_runs_again() {
    let barrier = in_memory().await;
    let (writer, view) = begin(&barrier).await;
    view.put("a", b"1").await.unwrap();
    let creator = barrier.begin().await.unwrap();
    creator
        .create_mount(MountId::from_bytes([1; 16]))
        .await
        .unwrap();
    // One that read its keys only afterwards, from its older snapshot.
    let late = barrier.begin().await.unwrap();
    barrier.rotate(2_000).await.unwrap();
    assert!(is_conflict(&writer.commit().await));
    assert!(is_conflict(&creator.commit().await));
    let view = late.view(MountId::SYSTEM).await.unwrap();
    view.put("a", b"2").await.unwrap();
    assert!(is_conflict(&late.commit().await));
    put_all(&barrier, &["a"]).await;
}

#[tokio::test]
async fn encryptions_are_reserved_in_blocks_and_never_undercounted() {
    let (barrier, share) = unsealed(StorageConfig::Memory).await;
    put_all(&barrier, &["a"]).await;
    assert_eq!(barrier.key_status().await.unwrap().encryptions, 2);
    put_all(&barrier, &["a"]).await;
    assert_eq!(barrier.key_status().await.unwrap().encryptions, 3);
    // Whoever opens it next does not know how much of the block was used.
    barrier.seal().await.unwrap();
    barrier.unseal(share).await.unwrap();
    assert_eq!(
        barrier.key_status().await.unwrap().encryptions,
        limits::ENCRYPTION_BLOCK
    );
    put_all(&barrier, &["a"]).await;
    let status = barrier.key_status().await.unwrap();
    assert_eq!(status.encryptions, limits::ENCRYPTION_BLOCK + 1);
    assert!(!status.wants_rotation());
}

#[tokio::test]
async fn a_term_that_is_used_up_refuses_to_seal_until_it_is_rotated() {
    let (barrier, share) = unsealed(StorageConfig::Memory).await;
    put_all(&barrier, &["a"]).await;
    barrier.seal().await.unwrap();
    barrier.unseal(share).await.unwrap();
    let unsealed = barrier.enter().unwrap().unsealed;
    unsealed
        .reserve(
            &*barrier.0.store,
            1,
            limits::TERM_ENCRYPTIONS - 2 * limits::ENCRYPTION_BLOCK,
        )
        .await
        .unwrap();
    assert!(barrier.key_status().await.unwrap().wants_rotation());
    for n in 0..=limits::ENCRYPTION_BLOCK / 4 {
        match unsealed.reserve(&*barrier.0.store, 1, 4).await {
            Ok(()) => assert!(n < limits::ENCRYPTION_BLOCK / 4),
            Err(_) => assert_eq!(n, limits::ENCRYPTION_BLOCK / 4),
        }
    }
    let (transaction, view) = begin(&barrier).await;
    view.put("a", b"1").await.unwrap();
    assert!(matches!(
        transaction.commit().await,
        Err(CommitError::Exhausted { term: 1 })
    ));
    // Deleting seals nothing.
    delete_all(&barrier, &["a"]).await;
    drop((unsealed, view));
    barrier.rotate(2_000).await.unwrap();
    put_all(&barrier, &["a"]).await;
}

#[tokio::test]
async fn a_destroyed_mount_is_unreadable_at_once_and_its_records_go_later() {
    let barrier = in_memory().await;
    let mount = MountId::random(&Counting::new()).unwrap();
    let creator = barrier.begin().await.unwrap();
    let view = creator.create_mount(mount).await.unwrap();
    assert!(matches!(
        creator.create_mount(mount).await,
        Err(BarrierError::MountExists(_))
    ));
    view.put("a/b", b"1").await.unwrap();
    creator.commit().await.unwrap();
    assert!(matches!(
        barrier.purge(mount).await,
        Err(BarrierError::MountInUse(_))
    ));
    assert!(matches!(
        barrier.begin().await.unwrap().create_mount(mount).await,
        Err(BarrierError::MountExists(_))
    ));

    let writer = barrier.begin().await.unwrap();
    let late = writer.view(mount).await.unwrap();
    late.put("c", b"2").await.unwrap();

    let destroyer = barrier.begin().await.unwrap();
    let own = destroyer.view(mount).await.unwrap();
    own.put("c", b"3").await.unwrap();
    destroyer.destroy_mount(mount).await.unwrap();
    assert!(matches!(
        own.get("a/b").await,
        Err(ViewError::Broken(BarrierError::UnknownMount(_)))
    ));
    assert!(matches!(
        destroyer.view(mount).await,
        Err(BarrierError::UnknownMount(_))
    ));
    destroyer.commit().await.unwrap();

    // Who held a view keeps its snapshot, but writes nothing any more.
    assert_eq!(
        late.get("a/b").await.unwrap().map(text).as_deref(),
        Some("1")
    );
    assert!(is_conflict(&writer.commit().await));
    assert!(matches!(
        barrier.begin().await.unwrap().view(mount).await,
        Err(BarrierError::UnknownMount(_))
    ));
    // Value, two entries and two stamps.
    assert_eq!(raw(&barrier, Table::Data).await.len(), 1);
    assert_eq!(barrier.purge(mount).await.unwrap(), 5);
    assert_eq!(barrier.purge(mount).await.unwrap(), 0);
    assert_eq!(raw(&barrier, Table::Data).await.len(), 0);
    assert!(matches!(
        barrier
            .begin()
            .await
            .unwrap()
            .destroy_mount(MountId::SYSTEM)
            .await,
        Err(BarrierError::MountInUse(_))
    ));
}

#[tokio::test]
async fn mounts_do_not_see_each_other() {
    let barrier = in_memory().await;
    let mount = MountId::from_bytes([1; 16]);
    let transaction = barrier.begin().await.unwrap();
    transaction
        .create_mount(mount)
        .await
        .unwrap()
        .put("a", b"theirs")
        .await
        .unwrap();
    transaction
        .view(MountId::SYSTEM)
        .await
        .unwrap()
        .put("a", b"ours")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let transaction = barrier.begin().await.unwrap();
    let theirs = transaction.view(mount).await.unwrap();
    assert_eq!(
        theirs.get("a").await.unwrap().map(text).as_deref(),
        Some("theirs")
    );
    for key in ["../a", "/a", "..", "a/../../a", ""] {
        assert!(
            matches!(theirs.get(key).await, Err(ViewError::InvalidKey(_))),
            "{key}"
        );
    }
    assert_eq!(read(&barrier, "a").await.as_deref(), Some("ours"));
}

#[tokio::test]
async fn a_record_moved_in_the_store_does_not_open() {
    let barrier = in_memory().await;
    put_all(&barrier, &["a", "b"]).await;
    let records = raw(&barrier, Table::Data).await;
    let swapped = crate::store::WriteBatch {
        writes: vec![
            (records[0].0, Some(records[1].1.value.clone())),
            (records[1].0, Some(records[0].1.value.clone())),
        ],
        ..Default::default()
    };
    barrier.0.store.commit(swapped).await.unwrap();
    let (_, view) = begin(&barrier).await;
    for key in ["a", "b"] {
        assert!(
            matches!(
                view.get(key).await,
                Err(ViewError::Broken(BarrierError::Corrupt { .. }))
            ),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_store_whose_seal_is_lost_is_not_taken_for_a_new_one() {
    let barrier = in_memory().await;
    let lost = crate::store::WriteBatch {
        writes: vec![(StoreKey::only(Table::Seal), None)],
        ..Default::default()
    };
    barrier.0.store.commit(lost).await.unwrap();
    let store = barrier.0.store.clone();
    let opened = Barrier::over(store, "inmem", Arc::new(Counting::new())).await;
    assert!(matches!(opened, Err(OpenError::Unusable(_))));
}
