//! A guest that behaves well a thousand times, and then does not (H48). It counts in storage, where
//! alone anything lasts, and does what its request's path says once it has counted far enough.

use std::sync::Arc;
use std::time::Duration;

use host_logical::{Engine, EngineError, EngineKind, Engines as _, Operation};

use crate::support::{Grants, Guest, host, mounted, request};

const GOOD_CALLS: usize = 1000;

/// Its memory, too, would tell: `$calls` counts what one instance has served.
fn turncoat() -> Guest {
    let ends = |letter: char, body: &str| {
        format!(
            "(if (i32.eq (local.get $j) (i32.const {})) (then {body}))",
            u32::from(letter)
        )
    };
    let goes_bad = [
        ends('t', "(unreachable)"),
        ends('l', "(loop $l (br $l))"),
        ends('s', "(call $deep)"),
        ends('m', "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)"),
        ends('w', "(drop (i32.load (i32.const -8)))"),
        ends('r', "(return (i32.const 1025))"),
        ends('d', "(call $drop-secret (i32.const 5))"),
    ]
    .concat();
    let handle = format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.ne (global.get $calls) (i32.const 1)) (then (unreachable)))
        (local.set $j (i32.load8_u (i32.load offset={{request.path}} (local.get $request))))
        (call $get (i32.const {{text.0}}) (i32.const {{text.0.len}}) (i32.const 640))
        (if (i32.load8_u (i32.const 648))
            (then (local.set $i (i32.load (i32.load (i32.const 652))))))
        (i32.store (i32.const 704) (i32.add (local.get $i) (i32.const 1)))
        (call $put (i32.const {{text.0}}) (i32.const {{text.0.len}})
            (i32.const 704) (i32.const 4) (i32.const 640))
        (if (i32.ge_u (local.get $i) (i32.const {GOOD_CALLS})) (then {goes_bad}))"
    );
    Guest::new(&handle)
        .functions("(global $calls (mut i32) (i32.const 0)) (func $deep (call $deep) (call $deep))")
        .text(b"calls")
}

#[tokio::test]
async fn a_guest_that_has_behaved_well_is_trusted_no_more_than_a_new_one_h48() {
    let host = host();
    let engine = mounted(&host, &turncoat()).await;
    let (patient, mut brief) = (Grants::default(), Grants::default());
    brief.storage = Arc::clone(&patient.storage);
    brief.limits.compute = Duration::from_millis(50);
    let call = async |grants: &Grants, path: &str| {
        let ended = grants.handle(&engine, request(Operation::Read, path)).await;
        ended.map(drop)
    };
    for n in 0..GOOD_CALLS {
        let path = ["t", "l", "s", "m", "w", "r", "d"][n % 7];
        call(&patient, path)
            .await
            .unwrap_or_else(|err| panic!("call {n}: {err:?}"));
    }
    for (path, expected) in [
        ("t", "engine trapped: wasm trap: wasm `unreachable`"),
        ("l", "engine ran over a limit: out of computing time"),
        ("s", "engine ran over a limit: out of stack"),
        (
            "m",
            "engine ran over a limit: more memory than 67108864 bytes",
        ),
        (
            "w",
            "engine trapped: wasm trap: out of bounds memory access",
        ),
        ("r", "engine answered what it may not: "),
        ("d", "engine answered what it may not: "),
    ] {
        let grants = if path == "l" { &brief } else { &patient };
        let ended = call(grants, path).await.expect_err(path).to_string();
        assert!(ended.starts_with(expected), "{path}: {ended}");
        // It is well-behaved as soon as nothing is asked of it: nothing of the trap remains.
        call(&patient, "-").await.expect("it answers");
    }
}

/// A mount goes on with what it was opened with; whoever opens it anew gets the new one.
#[tokio::test]
async fn another_component_of_the_same_name_does_not_reach_open_mounts_h48() {
    let host = host();
    let before = mounted(&host, &Guest::new("")).await;
    let digest = |guest: &Guest| {
        let registered = host.register(EngineKind::Secrets, "test", "1.0.1", guest.component());
        registered.expect("the guest is admitted")
    };
    let bad = Guest::new("(unreachable)");
    assert_ne!(digest(&Guest::new("")), digest(&bad));
    let after = host.engine(EngineKind::Secrets, "test").await;
    let after = after.expect("it loads").expect("it was registered");

    let ended = async |engine: &Arc<dyn Engine>| {
        Grants::default()
            .handle(engine, request(Operation::Read, "x"))
            .await
            .map(drop)
    };
    assert!(matches!(ended(&before).await, Ok(())));
    assert!(matches!(
        ended(&after).await,
        Err(EngineError::Trapped { .. })
    ));
    let named = ("test".to_owned(), "1.0.1".to_owned());
    assert!(host.names(EngineKind::Secrets).contains(&named));
}
