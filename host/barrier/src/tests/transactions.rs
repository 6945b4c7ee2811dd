//! Isolation, conflicts, limits, caches.

use super::*;
use crate::{ViewError, limits};

#[tokio::test]
async fn a_transaction_reads_its_snapshot_and_its_own_writes() {
    let barrier = in_memory().await;
    put_all(&barrier, &["a", "dir/x"]).await;
    let (transaction, view) = begin(&barrier).await;
    put_all(&barrier, &["b"]).await;
    delete_all(&barrier, &["a"]).await;

    assert_eq!(view.get("a").await.unwrap().map(text).as_deref(), Some("a"));
    assert_eq!(view.get("b").await.unwrap(), None);
    assert_eq!(view.list("", None, 0).await.unwrap().keys, ["a", "dir/"]);
    assert!(!transaction.has_writes());
    view.put("c", b"1").await.unwrap();
    view.put("c", b"2").await.unwrap();
    view.delete("dir/x").await.unwrap();
    assert!(transaction.has_writes());
    assert_eq!(view.list("", None, 0).await.unwrap().keys, ["a", "c"]);
    let many = view.get_many(&["c", "dir/x", "a", "b"]).await.unwrap();
    let many: Vec<_> = many.into_iter().map(|value| value.map(text)).collect();
    assert_eq!(
        many,
        [Some("2".to_owned()), None, Some("a".to_owned()), None]
    );
    assert!(is_conflict(&transaction.commit().await));
    assert_eq!(list(&barrier, "").await, ["b", "dir/"]);
}

#[tokio::test]
async fn write_skew_is_refused() {
    // Two doctors on call, each leaves because the other is there.
    let barrier = in_memory().await;
    put_all(&barrier, &["alice", "bob"]).await;
    let (first, of_first) = begin(&barrier).await;
    let (second, of_second) = begin(&barrier).await;
    assert!(of_first.get("bob").await.unwrap().is_some());
    of_first.put("alice", b"off").await.unwrap();
    assert!(of_second.get("alice").await.unwrap().is_some());
    of_second.put("bob", b"off").await.unwrap();
    first.commit().await.unwrap();
    assert!(is_conflict(&second.commit().await));
}

#[tokio::test]
async fn an_absence_that_was_read_is_checked() {
    let barrier = in_memory().await;
    let (transaction, view) = begin(&barrier).await;
    assert_eq!(view.get("a").await.unwrap(), None);
    view.put("b", b"1").await.unwrap();
    put_all(&barrier, &["a"]).await;
    assert!(is_conflict(&transaction.commit().await));

    let (transaction, view) = begin(&barrier).await;
    view.delete("missing").await.unwrap();
    view.put("b", b"1").await.unwrap();
    put_all(&barrier, &["missing"]).await;
    assert!(is_conflict(&transaction.commit().await));
}

#[tokio::test]
async fn a_name_that_appears_or_vanishes_in_a_listed_directory_conflicts() {
    let barrier = in_memory().await;
    put_all(&barrier, &["d/a", "d/e/f", "other/x"]).await;
    type Change = (&'static str, bool, bool);
    let changes: [Change; 7] = [
        ("d/new", true, true),
        ("d/a", false, true),
        ("d/g/h", true, true),
        // Overwriting changes no name, and what is below a directory is not in it.
        ("d/a", true, false),
        ("d/e/k", true, false),
        ("other/y", true, false),
        ("d", true, false),
    ];
    for (key, put, conflicts) in changes {
        put_all(&barrier, &["d/a"]).await;
        let (transaction, view) = begin(&barrier).await;
        view.list("d/", None, 0).await.unwrap();
        view.put("result", b"1").await.unwrap();
        if put {
            put_all(&barrier, &[key]).await
        } else {
            delete_all(&barrier, &[key]).await
        }
        assert_eq!(
            is_conflict(&transaction.commit().await),
            conflicts,
            "{key} {put}"
        );
    }
    // An empty directory is read as well.
    let (transaction, view) = begin(&barrier).await;
    assert!(view.list("none/", None, 0).await.unwrap().keys.is_empty());
    view.put("result", b"1").await.unwrap();
    put_all(&barrier, &["none/a"]).await;
    assert!(is_conflict(&transaction.commit().await));
}

#[tokio::test]
async fn what_is_read_unchecked_does_not_conflict_but_what_writing_needs_does() {
    let barrier = in_memory().await;
    put_all(&barrier, &["a", "d/x"]).await;
    let (transaction, view) = begin(&barrier).await;
    transaction.uncheck_reads();
    view.get("a").await.unwrap();
    view.list("", None, 0).await.unwrap();
    view.put("report", b"1").await.unwrap();
    put_all(&barrier, &["a", "b"]).await;
    transaction.commit().await.unwrap();

    let (transaction, view) = begin(&barrier).await;
    transaction.uncheck_reads();
    view.put("d/y", b"1").await.unwrap();
    delete_all(&barrier, &["d/x"]).await;
    assert!(is_conflict(&transaction.commit().await));
}

/// Two transactions on `d/a`, `d/b` side by side: does the second to commit conflict?
async fn check_pair(
    before: &[&str],
    first: (&str, bool),
    second: (&str, bool),
    conflicts: bool,
    after: &[&str],
) {
    let barrier = in_memory().await;
    put_all(&barrier, before).await;
    let mut pair = Vec::new();
    for (key, put) in [first, second] {
        let (transaction, view) = begin(&barrier).await;
        if put {
            view.put(key, b"1").await.unwrap()
        } else {
            view.delete(key).await.unwrap()
        }
        pair.push(transaction);
    }
    let second_transaction = pair.pop().unwrap();
    pair.pop().unwrap().commit().await.unwrap();
    let outcome = second_transaction.commit().await;
    assert_eq!(
        is_conflict(&outcome),
        conflicts,
        "{before:?} {first:?} {second:?}"
    );
    assert_eq!(
        list(&barrier, "d/").await,
        after,
        "{before:?} {first:?} {second:?}"
    );
    let root = if after.is_empty() {
        vec![]
    } else {
        vec!["d/".to_owned()]
    };
    assert_eq!(
        list(&barrier, "").await,
        root,
        "{before:?} {first:?} {second:?}"
    );
}

#[tokio::test]
async fn writers_of_one_directory_conflict_only_where_it_would_become_empty() {
    const PUT: bool = true;
    const DELETE: bool = false;
    // Creators, also of the directory itself.
    check_pair(
        &["d/a"],
        ("d/b", PUT),
        ("d/c", PUT),
        false,
        &["a", "b", "c"],
    )
    .await;
    check_pair(&[], ("d/a", PUT), ("d/b", PUT), false, &["a", "b"]).await;
    check_pair(&[], ("d/a", PUT), ("d/a", PUT), false, &["a"]).await;
    // Deletion of one among several beside anything.
    check_pair(
        &["d/a", "d/b", "d/c"],
        ("d/a", DELETE),
        ("d/z", PUT),
        false,
        &["b", "c", "z"],
    )
    .await;
    check_pair(
        &["d/a", "d/b", "d/c"],
        ("d/z", PUT),
        ("d/a", DELETE),
        false,
        &["b", "c", "z"],
    )
    .await;
    // Deletion of the last against creation, whoever comes first.
    check_pair(&["d/a"], ("d/a", DELETE), ("d/b", PUT), true, &[]).await;
    check_pair(&["d/a"], ("d/b", PUT), ("d/a", DELETE), true, &["a", "b"]).await;
    // Two that would leave nothing together.
    check_pair(
        &["d/a", "d/b"],
        ("d/a", DELETE),
        ("d/b", DELETE),
        true,
        &["b"],
    )
    .await;
    // Overwriting what vanishes.
    check_pair(&["d/a", "d/b"], ("d/a", DELETE), ("d/a", PUT), true, &["b"]).await;
    check_pair(
        &["d/a", "d/b"],
        ("d/a", PUT),
        ("d/a", DELETE),
        false,
        &["b"],
    )
    .await;
}

#[tokio::test]
async fn a_late_creator_is_not_in_the_way_of_those_who_saw_the_directory() {
    let barrier = in_memory().await;
    // Began before the directory was there.
    let (late, of_late) = begin(&barrier).await;
    of_late.put("d/e/a", b"1").await.unwrap();
    put_all(&barrier, &["d/e/a"]).await;
    let (overwriter, of_overwriter) = begin(&barrier).await;
    of_overwriter.put("d/e/a", b"2").await.unwrap();
    let (creator, of_creator) = begin(&barrier).await;
    of_creator.put("d/e/b", b"2").await.unwrap();
    late.commit().await.unwrap();
    overwriter.commit().await.unwrap();
    creator.commit().await.unwrap();
    assert_eq!(list(&barrier, "d/e/").await, ["a", "b"]);
    assert_eq!(read(&barrier, "d/e/a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn directories_appear_and_vanish_with_their_names() {
    let barrier = in_memory().await;
    put_all(&barrier, &["a/b/c/d", "a/b/e", "f"]).await;
    assert_eq!(list(&barrier, "").await, ["a/", "f"]);
    assert_eq!(list(&barrier, "a/b/").await, ["c/", "e"]);
    delete_all(&barrier, &["a/b/e"]).await;
    assert_eq!(list(&barrier, "a/b/").await, ["c/"]);
    // A name may be a record and a directory.
    put_all(&barrier, &["a/b"]).await;
    assert_eq!(list(&barrier, "a/").await, ["b", "b/"]);
    delete_all(&barrier, &["a/b/c/d"]).await;
    assert_eq!(list(&barrier, "a/").await, ["b"]);
    delete_all(&barrier, &["a/b"]).await;
    assert_eq!(list(&barrier, "").await, ["f"]);

    // Within one transaction: emptied, filled again, and made for nothing.
    let (transaction, view) = begin(&barrier).await;
    view.put("x/y", b"1").await.unwrap();
    view.put("x/z", b"1").await.unwrap();
    assert_eq!(view.list("x/", None, 0).await.unwrap().keys, ["y", "z"]);
    view.delete("x/y").await.unwrap();
    assert_eq!(view.list("x/", None, 0).await.unwrap().keys, ["z"]);
    view.delete("x/z").await.unwrap();
    assert!(view.list("x/", None, 0).await.unwrap().keys.is_empty());
    assert_eq!(view.list("", None, 0).await.unwrap().keys, ["f"]);
    view.delete("f").await.unwrap();
    view.put("f", b"again").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(list(&barrier, "").await, ["f"]);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let barrier = in_memory().await;
    put_all(&barrier, &["c", "a", "b/x", "d"]).await;
    let (_, view) = begin(&barrier).await;
    let page = view.list("", None, 2).await.unwrap();
    assert_eq!(
        (page.keys, page.next.as_deref()),
        (vec!["a".to_owned(), "b/".to_owned()], Some("b/"))
    );
    let page = view.list("", Some("b/"), 2).await.unwrap();
    assert_eq!(
        (page.keys, page.next),
        (vec!["c".to_owned(), "d".to_owned()], None)
    );
    // Also from the middle, and after a name that is not there.
    let (_, view) = begin(&barrier).await;
    assert_eq!(
        view.list("", Some("bb"), 1).await.unwrap().next.as_deref(),
        Some("c")
    );
    assert_eq!(view.list("", None, 0).await.unwrap().keys.len(), 4);
    assert!(view.list("", Some("z"), 0).await.unwrap().keys.is_empty());
    assert!(matches!(
        view.list("b", None, 0).await,
        Err(ViewError::InvalidKey(_))
    ));
}

#[tokio::test]
async fn a_child_view_stays_below_its_prefix() {
    let barrier = in_memory().await;
    put_all(&barrier, &["a/b/c", "a/d"]).await;
    let (_, view) = begin(&barrier).await;
    let child = view.child("a").child("b/");
    assert_eq!(child.list("", None, 0).await.unwrap().keys, ["c"]);
    assert_eq!(
        child.get("c").await.unwrap().map(text).as_deref(),
        Some("a/b/c")
    );
    for key in ["../d", "..", "/c"] {
        assert!(
            matches!(child.get(key).await, Err(ViewError::InvalidKey(_))),
            "{key}"
        );
    }
    for prefix in ["..", "", "a//b", "a\n"] {
        assert!(
            matches!(
                view.child(prefix).get("c").await,
                Err(ViewError::InvalidKey(_))
            ),
            "{prefix:?}"
        );
    }
}

#[tokio::test]
async fn a_transaction_without_writes_is_never_checked_and_commits_once() {
    let barrier = in_memory().await;
    let (transaction, view) = begin(&barrier).await;
    view.get("a").await.unwrap();
    put_all(&barrier, &["a"]).await;
    let again = transaction.clone();
    assert_eq!(again.revision(), transaction.commit().await.unwrap());
    assert!(matches!(again.commit().await, Err(CommitError::Finished)));
    assert!(view.get("a").await.is_err());
    assert!(view.put("a", b"1").await.is_err());
}

#[tokio::test]
async fn what_a_cache_was_loaded_from_is_checked() {
    let barrier = in_memory().await;
    put_all(&barrier, &["policy"]).await;
    let (_, view) = begin(&barrier).await;
    let (_, stamp) = view.get_stamped("policy").await.unwrap();
    let (_, absent) = view.get_stamped("absent").await.unwrap();

    let write = async |stamps: &[_]| {
        let (transaction, view) = begin(&barrier).await;
        for stamp in stamps {
            transaction.expect(stamp);
        }
        view.put("result", b"1").await.unwrap();
        transaction.commit().await
    };
    write(&[stamp, absent]).await.unwrap();
    put_all(&barrier, &["absent"]).await;
    write(&[stamp]).await.unwrap();
    let first = write(&[absent]).await;
    put_all(&barrier, &["policy"]).await;
    let second = write(&[stamp]).await;
    match (&first, &second, write(&[stamp]).await) {
        (
            Err(CommitError::Conflict(absent)),
            Err(CommitError::Conflict(policy)),
            Err(CommitError::Conflict(again)),
        ) => {
            // The contested record can be told, for who wants to queue for it.
            assert_ne!(absent, policy);
            assert_eq!(*policy, again);
        }
        other => panic!("{other:?}"),
    }
    // What this transaction reads now and what a cache had before cannot both be right.
    let (transaction, view) = begin(&barrier).await;
    view.get("policy").await.unwrap();
    transaction.expect(&stamp);
    view.put("result", b"1").await.unwrap();
    assert!(is_conflict(&transaction.commit().await));
}

#[tokio::test]
async fn watches_tell_when_a_cached_copy_is_stale() {
    let barrier = in_memory().await;
    put_all(&barrier, &["policy/a", "policy/sub/x"]).await;
    let record = barrier
        .watch_record(MountId::SYSTEM, "policy/a")
        .await
        .unwrap();
    let directory = barrier
        .watch_directory(MountId::SYSTEM, "policy/")
        .await
        .unwrap();
    let loaded = barrier.begin().await.unwrap().revision();
    assert!(record.revision() <= loaded && directory.revision() <= loaded);
    put_all(&barrier, &["other", "policy/sub/y"]).await;
    assert!(record.revision() <= loaded && directory.revision() <= loaded);
    put_all(&barrier, &["policy/b"]).await;
    assert!(record.revision() <= loaded && directory.revision() > loaded);
    let loaded = directory.revision();
    put_all(&barrier, &["policy/a"]).await;
    assert!(record.revision() > loaded && directory.revision() > loaded);
    let loaded = directory.revision();
    delete_all(&barrier, &["policy/sub/x", "policy/sub/y"]).await;
    assert!(directory.revision() > loaded);
    assert!(
        barrier
            .watch_directory(MountId::SYSTEM, "policy")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn too_much_is_refused_and_nothing_of_it_kept() {
    let barrier = in_memory().await;
    let (transaction, view) = begin(&barrier).await;
    let most = vec![7; limits::VALUE_BYTES];
    let too_large = |result| matches!(result, Err(ViewError::TooLarge(_)));
    assert!(too_large(
        view.put("a", &vec![7; limits::VALUE_BYTES + 1]).await
    ));
    assert!(!transaction.has_writes());
    view.put("a", &most).await.unwrap();
    assert!(too_large(view.put("b", &most).await));
    view.put("c", b"1").await.unwrap();
    transaction.commit().await.unwrap();
    let (_, view) = begin(&barrier).await;
    assert_eq!(
        view.get("a").await.unwrap().unwrap().len(),
        limits::VALUE_BYTES
    );
    assert_eq!(view.list("", None, 0).await.unwrap().keys, ["a", "c"]);
}

#[tokio::test]
async fn an_empty_value_is_a_value() {
    let barrier = in_memory().await;
    let (transaction, view) = begin(&barrier).await;
    view.put("a", b"").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(read(&barrier, "a").await.as_deref(), Some(""));
}

#[tokio::test]
async fn large_directories_are_listed_in_order_page_by_page() {
    let barrier = in_memory().await;
    let count = 3 * limits::SCAN_RECORDS + 17;
    let (transaction, view) = begin(&barrier).await;
    for n in 0..count {
        view.put(&format!("d/{n:06}"), b"").await.unwrap();
    }
    transaction.commit().await.unwrap();
    let (_, view) = begin(&barrier).await;
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = view.list("d/", after.as_deref(), 1_000).await.unwrap();
        names.extend(page.keys);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(
        names,
        (0..count).map(|n| format!("{n:06}")).collect::<Vec<_>>()
    );
    // And emptied in one go.
    let (transaction, view) = begin(&barrier).await;
    for name in &names {
        view.delete(&format!("d/{name}")).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert!(list(&barrier, "").await.is_empty());
}
