//! What the sandbox promises, to those who call it and against those whom it runs.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use host_logical::{
    EngineError, EngineKind, Engines as _, Operation, Options, Refusal, SecretBytes,
};
use host_runtime::{EngineHost, RuntimeConfig};
use support::{Grants, Guest, KEY, host, host_with, mount, mounted, read, request};

// ---- Friendly guests

/// Writes a list or text into the reply: where in the guest's memory it is, and how long.
fn data(address: &str, length: &str) -> String {
    format!(
        "(i32.store8 (i32.const {{reply.data}}) (i32.const 1))
         (i32.store offset=4 (i32.const {{reply.data}}) (i32.const {address}))
         (i32.store offset=8 (i32.const {{reply.data}}) (i32.const {length}))"
    )
}

/// Answers `count` secrets, each the handle in `$i` at the pointer in text 1.
fn secrets(count: u32) -> String {
    let mut body = format!(
        "(i32.store (i32.const {{reply.secrets}}) (i32.const 512))
         (i32.store offset=4 (i32.const {{reply.secrets}}) (i32.const {count}))"
    );
    for index in 0..count {
        let at = 512 + 12 * index;
        body += &format!(
            "(i32.store (i32.const {at}) (i32.const {{text.1}}))
             (i32.store offset=4 (i32.const {at}) (i32.const {{text.1.len}}))
             (i32.store offset=8 (i32.const {at}) (local.get $i))"
        );
    }
    body
}

#[tokio::test]
async fn a_secret_passes_through_an_engine_that_cannot_read_it() {
    let body = "(local.set $i (i32.load offset=8 (i32.load offset={request.secrets} (local.get $request))))"
        .to_owned()
        + &data("{text.0}", "{text.0.len}")
        + &secrets(1);
    let guest = Guest::new(&body)
        .text(br#"{"n":1.10,"password":null}"#)
        .text(b"/password");
    let host = host();
    let engine = mounted(&host, &guest).await;

    let mut request = read();
    request.secrets = vec![("password".to_owned(), SecretBytes::new(b"hunter2".to_vec()))];
    let answer = Grants::default().handle(&engine, request).await.unwrap();
    assert_eq!(answer.data.unwrap().get(), r#"{"n":1.10,"password":null}"#);
    let (pointer, secret) = &answer.secrets[0];
    assert_eq!(pointer, "/password");
    assert_eq!(secret.expose(), b"hunter2");
}

#[tokio::test]
async fn a_secret_is_encoded_in_the_host() {
    let body = "(local.set $i (call $from-bytes (i32.const {text.2}) (i32.const {text.2.len})))
        (call $encode (local.get $i) (i32.const {text.3}) (i32.const {text.3.len}) (i32.const 640))
        (local.set $i (i32.load (i32.const 644)))"
        .to_owned()
        + &data("{text.0}", "{text.0.len}")
        + &secrets(1);
    let guest = Guest::new(&body)
        .text(b"{}")
        .text(b"/key")
        .text(b"\xff\xfe")
        .text(b"base64url");
    let host = host();
    let engine = mounted(&host, &guest).await;
    let answer = Grants::default().handle(&engine, read()).await.unwrap();
    assert_eq!(answer.secrets[0].1.expose(), b"__4");
}

/// Puts text 1 under the key in text 0; the result is at 640, and the case of an error at 648.
const PUT: &str = "(call $put (i32.const {text.0}) (i32.const {text.0.len})
    (i32.const {text.1}) (i32.const {text.1.len}) (i32.const 640))";

#[tokio::test]
async fn exists_may_read_and_handle_may_write() {
    let refused_as_read_only = "(i32.store8 offset=8 (i32.const {reply})
        (i32.and (i32.load8_u (i32.const 640)) (i32.eq (i32.load8_u (i32.const 648)) (i32.const 2))))";
    let guest = Guest::new(&format!("(i64.store (i32.const {{reply}}) (i64.const 0)) (i64.store offset=8 (i32.const {{reply}}) (i64.const 0)) {PUT}"))
        .exists(&format!("{PUT} {refused_as_read_only}"))
        .text(b"app/key")
        .text(b"value");
    let host = host();
    let engine = mounted(&host, &guest).await;
    let grants = Grants::default();

    let mut call = grants.open(&engine).await.unwrap();
    assert!(
        call.exists(&read()).await.unwrap(),
        "put was not refused as read-only"
    );
    assert!(grants.storage.records().is_empty());
    call.handle(read()).await.unwrap();
    assert_eq!(grants.storage.records()["app/key"], b"value");
    call.initialize(None, &mount()).await.unwrap();
}

#[tokio::test]
async fn an_engine_is_described_with_nothing_granted_and_once() {
    let reads_and_forgets = "(call $get (i32.const 4096) (i32.const 1) (i32.const 640))";
    let guest = Guest::new("").describe(reads_and_forgets).text(b"k");
    let host = host();
    let engine = mounted(&host, &guest).await;
    let first = engine.describe(&Options::new()).await.unwrap();
    assert_eq!(first.name, "test");
    assert_eq!(first.paths[0].pattern, "{path...}");
    assert!(first.paths[0].serves(Operation::Read));
    let again = engine.describe(&Options::new()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let other = Options::from([("version".to_owned(), "2".to_owned())]);
    assert!(!Arc::ptr_eq(
        &first,
        &engine.describe(&other).await.unwrap()
    ));
}

#[tokio::test]
async fn an_engine_is_in_the_catalog_under_its_kind_and_name() {
    let host = host();
    let guest = Guest::new("");
    mounted(&host, &guest).await;
    let named = ("test".to_owned(), "1.0.0".to_owned());
    assert!(host.names(EngineKind::Secrets).contains(&named));
    assert!(!host.names(EngineKind::Auth).contains(&named));
    assert!(
        host.engine(EngineKind::Auth, "test")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        host.engine(EngineKind::Secrets, "nothing")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn the_embedded_kv_engine_keeps_what_it_is_given() {
    let host = host();
    let engine = host
        .engine(EngineKind::Secrets, "kv")
        .await
        .unwrap()
        .unwrap();
    let described = engine.describe(&Options::new()).await.unwrap();
    assert_eq!(described.name, "kv");

    let grants = Grants::default();
    let of = |operation: Operation| {
        let mut request = request(operation, "app/key");
        request.params = vec![("path".to_owned(), "app/key".to_owned())];
        request
    };
    let mut write = of(Operation::Update);
    write.data =
        serde_json::from_str(r#"{"n":1.10000000000000000001,"password":"hunter2"}"#).unwrap();
    grants.handle(&engine, write).await.unwrap();
    let answer = grants.handle(&engine, of(Operation::Read)).await.unwrap();
    assert_eq!(
        answer.data.unwrap().get(),
        r#"{"n":1.10000000000000000001,"password":"hunter2"}"#
    );
    grants.handle(&engine, of(Operation::Delete)).await.unwrap();
    let gone = grants.handle(&engine, of(Operation::Read)).await;
    assert!(
        matches!(gone, Err(EngineError::Refused(Refusal::NotFound))),
        "{gone:?}"
    );
}

// ---- Hostile guests

/// Runs `guest` and says how it ended; then a friendly guest of the same host still answers.
async fn ends(guest: Guest, grants: Grants) -> String {
    let host = host();
    let engine = mounted(&host, &guest).await;
    let ended = match grants.handle(&engine, read()).await {
        Ok(answer) => panic!("it answered {answer:?}"),
        Err(error) => error.to_string(),
    };
    let friendly = mounted(&host, &Guest::new("")).await;
    grants
        .handle(&friendly, read())
        .await
        .expect("others are unharmed");
    ended
}

fn grants(change: impl FnOnce(&mut Grants)) -> Grants {
    let mut grants = Grants::default();
    change(&mut grants);
    grants
}

#[tokio::test]
async fn a_guest_that_loops_runs_out_of_computing_time() {
    let short = grants(|grants| grants.limits.compute = Duration::from_millis(50));
    let ended = ends(Guest::new("(loop $l (br $l))"), short).await;
    assert_eq!(ended, "engine ran over a limit: out of computing time");
}

#[tokio::test]
async fn a_guest_that_waits_ends_at_the_deadline() {
    let short = grants(|grants| grants.limits.wall = Duration::from_millis(200));
    let ended = ends(Guest::new("(call $sleep (i32.const 600000))"), short).await;
    assert_eq!(
        ended,
        "engine ran over a limit: past the deadline of the call"
    );
}

#[tokio::test]
async fn a_guest_that_hoards_memory_is_named_for_it() {
    let bomb =
        "(loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) (unreachable)";
    let ended = ends(Guest::new(bomb), Grants::default()).await;
    assert_eq!(
        ended,
        "engine ran over a limit: more memory than 67108864 bytes"
    );

    let small = grants(|grants| grants.limits.memory_bytes = 65_536);
    let host = host();
    let engine = mounted(&host, &Guest::new("")).await;
    let refused = small.handle(&engine, read()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "engine ran over a limit: more memory than 65536 bytes"
    );
}

#[tokio::test]
async fn a_guest_that_recurses_runs_out_of_stack() {
    let deep = Guest::new("(drop (call $deep))")
        .functions("(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))");
    let ended = ends(deep, Grants::default()).await;
    assert_eq!(
        ended,
        "engine ran over a limit: out of stack: calls nest too deep"
    );
}

#[tokio::test]
async fn a_trap_ends_the_call_and_says_which() {
    let ended = ends(Guest::new("(unreachable)"), Grants::default()).await;
    assert!(
        ended.contains("engine trapped: wasm trap: wasm `unreachable`"),
        "{ended}"
    );
    let wild = "(drop (i32.load (i32.const -8)))";
    let ended = ends(Guest::new(wild), Grants::default()).await;
    assert!(ended.contains("out of bounds memory access"), "{ended}");
}

#[tokio::test]
async fn a_guest_calls_the_host_so_often_and_no_more() {
    let chatty = "(loop $l (drop (call $now)) (br $l))";
    let ended = ends(Guest::new(chatty), Grants::default()).await;
    assert_eq!(
        ended,
        "engine ran over a limit: more than 65536 calls to the host"
    );
}

#[tokio::test]
async fn a_guest_holds_so_many_handles_and_no_more() {
    let hoarder = "(loop $l (drop (call $from-bytes (i32.const 0) (i32.const 16))) (br $l))";
    let ended = ends(Guest::new(hoarder), Grants::default()).await;
    assert_eq!(ended, "engine ran over a limit: more than 512 handles");
}

#[tokio::test]
async fn a_guest_keeps_so_much_in_custody_and_no_more() {
    let hoarder = "(drop (memory.grow (i32.const 16)))
        (loop $l (drop (call $from-bytes (i32.const 65536) (i32.const 1000000))) (br $l))";
    let ended = ends(Guest::new(hoarder), Grants::default()).await;
    assert_eq!(
        ended,
        "engine ran over a limit: the secrets of a call are at most 16777216 bytes"
    );
}

#[tokio::test]
async fn a_huge_answer_is_refused_before_or_after_it_is_copied() {
    let of = |megabytes: u32| {
        let grow = "(drop (memory.grow (i32.const 600)))".to_owned();
        Guest::new(&(grow + &data("65536", &(megabytes << 20).to_string())))
    };
    let ended = ends(of(17), Grants::default()).await;
    assert_eq!(
        ended,
        "engine ran over a limit: the answer is larger than 16777216 bytes"
    );
    let ended = ends(of(33), Grants::default()).await;
    assert_eq!(
        ended,
        "engine ran over a limit: more than 33554432 bytes handed to the host at once"
    );
}

#[tokio::test]
async fn an_answer_that_the_world_does_not_allow_is_malformed() {
    let no_json = Guest::new(&data("{text.0}", "{text.0.len}")).text(b"{\"a\":");
    let beyond_memory = Guest::new(&data("262000", "1000"));
    let no_such_case = Guest::new("(i32.store8 (i32.const {reply}) (i32.const 7))");
    let no_text = Guest::new(
        "(call $put (i32.const {text.0}) (i32.const {text.0.len}) (i32.const 0) (i32.const 0) (i32.const 640))",
    )
    .text(b"\xff\xff");
    let informational = Guest::new(
        "(i32.store16 (i32.const {reply.status}) (i32.const 1))
         (i32.store16 offset=2 (i32.const {reply.status}) (i32.const 101))",
    );
    for guest in [no_json, beyond_memory, no_such_case, no_text, informational] {
        let ended = ends(guest, Grants::default()).await;
        assert!(
            ended.starts_with("engine answered what it may not: "),
            "{ended}"
        );
    }
}

#[tokio::test]
async fn a_handle_given_twice_ends_the_call() {
    let body = "(local.set $i (call $from-bytes (i32.const {text.1}) (i32.const {text.1.len})))"
        .to_owned()
        + &data("{text.0}", "{text.0.len}")
        + &secrets(2);
    let guest = Guest::new(&body).text(b"{}").text(b"/a");
    let ended = ends(guest, Grants::default()).await;
    assert!(
        ended.starts_with("engine answered what it may not: "),
        "{ended}"
    );
}

#[tokio::test]
async fn a_store_that_fails_ends_the_call_and_the_guest_never_learns_of_it() {
    let body = format!("{PUT} (unreachable)");
    let guest = Guest::new(&body).text(b"broken").text(b"v");
    let host = host();
    let engine = mounted(&host, &guest).await;
    match Grants::default().handle(&engine, read()).await {
        Err(EngineError::Host(source)) => assert_eq!(source.to_string(), "the disk is on fire"),
        other => panic!("it ended as {other:?}"),
    }
}

#[tokio::test]
async fn a_log_line_is_cut_and_counted_but_never_ends_a_call() {
    let body = "(loop $l
        (call $log (i32.const 3) (i32.const 131072) (i32.const 60000) (i32.const 0) (i32.const 0))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))";
    let host = host();
    let engine = mounted(&host, &Guest::new(body)).await;
    Grants::default().handle(&engine, read()).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_failed_serves_no_further_call() {
    let host = host();
    let engine = mounted(&host, &Guest::new("(unreachable)")).await;
    let mut call = Grants::default().open(&engine).await.unwrap();
    assert!(matches!(
        call.handle(read()).await,
        Err(EngineError::Trapped { .. })
    ));
    assert!(matches!(
        call.handle(read()).await,
        Err(EngineError::Internal(_))
    ));
}

/// On one thread: without yielding, the second call would wait for the end of the first.
#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_computes_lets_others_have_their_turn() {
    let host = host();
    let hog = mounted(&host, &Guest::new("(loop $l (br $l))")).await;
    let friendly = mounted(&host, &Guest::new("")).await;
    let long = grants(|grants| grants.limits.compute = Duration::from_millis(500));
    let hogging = tokio::spawn(async move { long.handle(&hog, read()).await.map(drop) });
    tokio::task::yield_now().await;

    Grants::default().handle(&friendly, read()).await.unwrap();
    assert!(
        !hogging.is_finished(),
        "the friendly guest waited for the hog"
    );
    assert!(matches!(
        hogging.await.unwrap(),
        Err(EngineError::OverLimit(_))
    ));
}

#[tokio::test]
async fn what_asks_for_more_is_refused_by_name() {
    let host = host();
    let register = |text: &str| {
        let component = wat::parse_str(text).unwrap();
        let refused = host.register(EngineKind::Secrets, "bad", "1.0.0", component);
        refused.unwrap_err().to_string()
    };
    let refused = register(r#"(component (import "coffer:engine/sql@0.1.0" (instance)))"#);
    assert!(
        refused.starts_with("engine cannot be loaded: it imports coffer:engine/sql@0.1.0, which this host does not offer yet"),
        "{refused}"
    );
    assert!(register("(module)").contains("core module"));
    assert!(
        !host
            .names(EngineKind::Secrets)
            .iter()
            .any(|(name, _)| name == "bad")
    );

    // The right names with the wrong types pass the first look and not the second.
    let hollow = wat::parse_str(
        r#"(component (instance $i)
            (export "coffer:engine/metadata@0.1.0" (instance $i))
            (export "coffer:engine/backend@0.1.0" (instance $i)))"#,
    );
    host.register(EngineKind::Secrets, "hollow", "1.0.0", hollow.unwrap())
        .unwrap();
    match host.engine(EngineKind::Secrets, "hollow").await {
        Err(EngineError::Load(why)) => {
            assert!(why.contains("does not export what an engine must"), "{why}")
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was loaded"),
    }
}

// ---- Instances

/// A fresh instance sees no byte of an earlier one, however that ended: six MiB of memory, of which
/// the pool wipes a part by writing and the rest by giving it back.
#[tokio::test]
async fn a_fresh_instance_sees_nothing_of_earlier_ones() {
    let fill_and_scan = "(drop (memory.grow (i32.const 92)))
        (local.set $i (i32.const 98304))
        (loop $scan
            (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then (unreachable)))
            (i64.store (local.get $i) (i64.const 0xcacacacacacacaca))
            (local.set $i (i32.add (local.get $i) (i32.const 8)))
            (br_if $scan (i32.lt_u (local.get $i) (i32.const 6291456))))
        (if (i32.eq (i32.load8_u (i32.load offset={request.path} (local.get $request))) (i32.const 116))
            (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
        (if (i32.eq (i32.load8_u (i32.load offset={request.path} (local.get $request))) (i32.const 108))
            (then (loop $l (br $l))))";
    let host = host();
    let engine = mounted(&host, &Guest::new(fill_and_scan)).await;
    let brief = grants(|grants| grants.limits.compute = Duration::from_millis(200));
    for round in 0..60 {
        let path = ["returns", "traps", "returns", "returns", "traps", "loops"][round % 6];
        let ended = brief.handle(&engine, request(Operation::Read, path)).await;
        match (path, ended) {
            ("returns", Ok(_)) | ("loops", Err(EngineError::OverLimit(_))) => {}
            ("traps", Err(EngineError::Trapped { reason, .. })) if reason.contains("divide") => {}
            (path, ended) => panic!("round {round}, which {path}: {ended:?}"),
        }
    }
}

#[tokio::test]
async fn a_mount_with_all_its_places_taken_says_come_back() {
    let host = host_with(RuntimeConfig {
        calls_per_mount: 1,
        room_wait: Duration::from_millis(10),
        ..RuntimeConfig::default()
    });
    let engine = mounted(&host, &Guest::new("")).await;
    let grants = Grants::default();
    let held = grants.open(&engine).await.unwrap();
    let refused = grants.open(&engine).await.map(drop);
    assert!(
        matches!(refused, Err(EngineError::Busy { retry_after: 1 })),
        "{refused:?}"
    );
    drop(held);
    grants.handle(&engine, read()).await.unwrap();
}

#[tokio::test]
async fn while_sealed_no_engine_is_loaded() {
    let host = EngineHost::new(RuntimeConfig::default()).unwrap();
    let guest = Guest::new("");
    host.register(EngineKind::Secrets, "test", "1.0.0", guest.component())
        .unwrap();
    assert!(matches!(
        host.engine(EngineKind::Secrets, "test").await,
        Err(EngineError::Load(_))
    ));

    host.set_cache_key(Some(KEY));
    let engine = host
        .engine(EngineKind::Secrets, "test")
        .await
        .unwrap()
        .unwrap();
    Grants::default().handle(&engine, read()).await.unwrap();
    host.set_cache_key(None);
    let refused = Grants::default().open(&engine).await.map(drop);
    assert!(matches!(refused, Err(EngineError::Load(_))), "{refused:?}");
}

// ---- Compiled code on disk

fn fresh_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    match fs::remove_dir_all(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => panic!("{error}"),
    }
    dir
}

/// Starts a host on `dir` and runs the guest; says how many components it compiled.
async fn compiled_with(dir: &Path, key: [u8; 32]) -> u64 {
    let config = RuntimeConfig {
        cache_dir: Some(dir.to_owned()),
        ..RuntimeConfig::default()
    };
    let host = EngineHost::new(config).expect("a runtime starts");
    host.set_cache_key(Some(key));
    let engine = mounted(&host, &Guest::new("")).await;
    let answer = Grants::default().handle(&engine, read()).await;
    answer.expect("the guest answers");
    host.compiled()
}

fn code_file(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).expect("the cache is there");
    files
        .map(|entry| entry.expect("the cache can be read").path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "code")
        })
        .expect("compiled code is in the cache")
}

#[tokio::test]
async fn compiled_code_is_loaded_again_and_not_compiled() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = fresh_dir("cache-again");
    assert_eq!(compiled_with(&dir, KEY).await, 1);
    assert_eq!(compiled_with(&dir, KEY).await, 0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&code_file(&dir)), 0o600);
}

#[tokio::test]
async fn compiled_code_of_another_key_is_not_loaded() {
    let dir = fresh_dir("cache-key");
    assert_eq!(compiled_with(&dir, KEY).await, 1);
    assert_eq!(compiled_with(&dir, [8; 32]).await, 1);
    assert_eq!(compiled_with(&dir, [8; 32]).await, 0);
}

#[tokio::test]
async fn compiled_code_with_a_flipped_bit_or_a_missing_mac_is_not_loaded() {
    let dir = fresh_dir("cache-flip");
    assert_eq!(compiled_with(&dir, KEY).await, 1);
    let file = code_file(&dir);
    let mut code = fs::read(&file).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::write(&file, code).unwrap();
    assert_eq!(compiled_with(&dir, KEY).await, 1);
    fs::remove_file(file.with_extension("mac")).unwrap();
    assert_eq!(compiled_with(&dir, KEY).await, 1);
    assert_eq!(compiled_with(&dir, KEY).await, 0);
}

// ---- WASI

#[tokio::test]
async fn what_a_guest_printed_before_it_trapped_is_in_the_error() {
    let body = "(i32.store (i32.const 640) (i32.const {text.0}))
        (i32.store (i32.const 644) (i32.const {text.0.len}))
        (drop (call $fd_write (i32.const 2) (i32.const 640) (i32.const 1) (i32.const 652)))
        (unreachable)";
    let guest = Guest::new(body).text(b"panicked at src/lib.rs:7").on_wasi();
    let host = host();
    let engine = mounted(&host, &guest).await;
    match Grants::default().handle(&engine, read()).await {
        Err(EngineError::Trapped { stderr, .. }) => assert_eq!(stderr, "panicked at src/lib.rs:7"),
        other => panic!("it ended as {other:?}"),
    }
}

#[tokio::test]
async fn an_exit_is_no_answer() {
    let ended = ends(
        Guest::new("(call $proc_exit (i32.const 3))").on_wasi(),
        Grants::default(),
    )
    .await;
    assert_eq!(ended, "engine trapped: exited with status 1");
}

/// Each thing that WASI could give is asked for; what differs from nothing traps.
#[tokio::test]
async fn wasi_is_there_and_nothing_is_behind_it() {
    let expect = |expression: &str| format!("(if (i32.eqz {expression}) (then (unreachable)))");
    let body = [
        // No variable in the environment.
        expect("(i32.eqz (call $environ_sizes_get (i32.const 640) (i32.const 644)))"),
        expect("(i32.eqz (i32.load (i32.const 640)))"),
        // No directory is open: descriptor 3 is bad.
        expect(
            "(i32.eq (call $path_open (i32.const 3) (i32.const 0) (i32.const 640) (i32.const 1) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 648)) (i32.const 8))",
        ),
        // Chance is the host's, which in this test always shows one side.
        expect("(i32.eqz (call $random_get (i32.const 640) (i32.const 8)))"),
        expect("(i64.eq (i64.load (i32.const 640)) (i64.const 0xd1d1d1d1d1d1d1d1))"),
        // The wall clock is the host's, to the millisecond.
        expect("(i32.eqz (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 640)))"),
        expect("(i64.eq (i64.load (i32.const 640)) (i64.const 1700000000123000000))"),
        // The monotonic clock stands until the guest sleeps: 20 ms, on clock 1.
        expect("(i32.eqz (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 640)))"),
        expect("(i64.eq (i64.load (i32.const 640)) (i64.const 1000000000))"),
        "(i32.store offset=16 (i32.const 704) (i32.const 1))
         (i64.store offset=24 (i32.const 704) (i64.const 20000000))"
            .to_owned(),
        expect("(i32.eqz (call $poll_oneoff (i32.const 704) (i32.const 768) (i32.const 1) (i32.const 832)))"),
        expect("(i32.eqz (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 640)))"),
        expect("(i64.eq (i64.load (i32.const 640)) (i64.const 1020000000))"),
    ]
    .join("\n");
    let host = host();
    let engine = mounted(&host, &Guest::new(&body).on_wasi()).await;
    Grants::default().handle(&engine, read()).await.unwrap();
}

#[tokio::test]
async fn a_guest_that_polls_ends_at_the_deadline() {
    let nap = "(i32.store offset=16 (i32.const 704) (i32.const 1))
        (i64.store offset=24 (i32.const 704) (i64.const 600000000000))
        (drop (call $poll_oneoff (i32.const 704) (i32.const 768) (i32.const 1) (i32.const 832)))";
    let short = grants(|grants| grants.limits.wall = Duration::from_millis(200));
    let ended = ends(Guest::new(nap).on_wasi(), short).await;
    assert_eq!(
        ended,
        "engine ran over a limit: past the deadline of the call"
    );
}
