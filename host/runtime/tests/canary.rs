//! No instance sees a byte of an earlier one.
//!
//! The guest looks at all that it has, before anything has touched it and again when it is called: its
//! whole memory, what its memory grows by, its table, its globals. Then it fills all of it, and ends in
//! one of many ways. A byte that is not as a new instance has it makes the next guest divide by
//! zero. Pools wipe a part of a memory by writing and the rest by giving pages back; the two sizes
//! of guest here meet both.
//!
//! That the guest would find something is shown on an instance that serves two calls: there,
//! what the first call left must be found by the second, place by place.

mod support;

use std::sync::Arc;
use std::time::Duration;

use host_logical::{Engine, EngineError, EngineKind, Engines as _, Operation};
use host_runtime::EngineHost;
use support::{Grants, Guest, host, request};

/// All together. `COFFER_CANARY_CALLS` sets another number.
const CALLS: usize = 100_000;

/// A guest of `pages` that grows by `grows`. Its request's path says how to end, and what to fill.
fn canary(pages: u32, grows: u32, table: u32) -> Guest {
    let ends = |letter: char, body: &str| {
        let letter = u32::from(letter);
        format!("(if (i32.eq (local.get $i) (i32.const {letter})) (then {body}))")
    };
    let fills = |letter: char, body: &str| {
        let (all, letter) = (u32::from('a'), u32::from(letter));
        format!(
            "(if (i32.or (i32.eq (local.get $j) (i32.const {all})) (i32.eq (local.get $j) (i32.const {letter})))
                (then {body}))"
        )
    };
    let path = "(i32.load offset={request.path} (local.get $request))";
    let handle = [
        format!("(local.set $i (i32.load8_u {path})) (local.set $j (i32.load8_u offset=1 {path}))"),
        "(call $look)".to_owned(),
        format!(
            "(if (i32.eq (memory.grow (i32.const {grows})) (i32.const -1)) (then (unreachable)))
            (call $is-new (i32.sub (call $size) (i32.const {})) (call $size))",
            grows << 16
        ),
        // The reply, from 1024 to 2048, stays: of zeros it is an empty answer.
        fills('0', "(call $fill (i32.const 0) (i32.const 1024))"),
        fills('1', "(call $fill (i32.const 4160) (i32.const 65536))"),
        // Far enough for the next request to lie before it.
        fills(
            '2',
            "(call $fill (i32.add (call $free) (i32.const 4096)) (i32.add (call $free) (i32.const 4160)))",
        ),
        fills(
            '3',
            "(call $fill (i32.sub (call $size) (i32.const 64)) (call $size))",
        ),
        fills('a', "(call $fill (call $free) (call $size))"),
        fills('g', "(global.set $global (i64.const 0xcacacacacacacaca))"),
        fills('v', "(global.set $vector (i8x16.splat (i32.const 0xca)))"),
        fills(
            't',
            "(table.fill $table (i32.const 0) (ref.func $found) (table.size $table))",
        ),
        fills(
            'u',
            "(table.set $table (i32.sub (table.size $table) (i32.const 1)) (ref.func $found))",
        ),
        ends('u', "(unreachable)"),
        ends('w', "(i32.store (i32.const -8) (i32.const 0xcacacaca))"),
        ends('f', "(drop (i32.trunc_f32_s (f32.const nan)))"),
        ends('c', "(call_indirect $table (i32.const 100000))"),
        ends('s', "(call $deep)"),
        ends(
            'm',
            "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) (unreachable)",
        ),
        ends('e', "(return (i32.const 1025))"),
        ends(
            'h',
            "(call $get (i32.const {text.0}) (i32.const {text.0.len}) (i32.const 640))",
        ),
        ends('p', "(call $sleep (i32.const -1))"),
        ends('l', "(loop $l (br $l))"),
    ];
    let functions = format!(
        "(table $table {table} funcref) (elem declare func $found)
        (global $global (mut i64) (i64.const 0))
        (global $vector (mut v128) (v128.const i64x2 0 0))
        (start $look)
        (func $found (drop (i32.div_u (i32.const 1) (i32.const 0))))
        (func $deep (call $deep) (call $deep))
        (func $size (result i32) (i32.mul (memory.size) (i32.const 65536)))
        (func $free (result i32)
            (i32.and (i32.add (global.get $next) (i32.const 63)) (i32.const -64)))
        (func $fill (param $from i32) (param $to i32)
            (memory.fill (local.get $from) (i32.const 0xca) (i32.sub (local.get $to) (local.get $from))))
        (func $look (local $at i32)
            (call $is-new (i32.const 0) (i32.const 2048))
            (call $is-new (i32.const 3072) (i32.const 4096))
            (call $is-new (i32.const 4160) (i32.const 65536))
            (call $is-new (call $free) (call $size))
            (if (i64.ne (global.get $global) (i64.const 0)) (then (call $found)))
            (if (v128.any_true (global.get $vector)) (then (call $found)))
            (loop $l
                (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then (call $found)))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $at) (table.size $table)))))
        (func $is-new (param $at i32) (param $end i32)
            (block $done (loop $l
                (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
                (if (v128.any_true (v128.or
                        (v128.or (v128.load (local.get $at)) (v128.load offset=16 (local.get $at)))
                        (v128.or (v128.load offset=32 (local.get $at)) (v128.load offset=48 (local.get $at)))))
                    (then (call $found)))
                (local.set $at (i32.add (local.get $at) (i32.const 64)))
                (br $l))))"
    );
    Guest::new(&handle.concat())
        .memory(&pages.to_string())
        .functions(&functions)
        .text(b"broken")
}

/// 256 KiB that become one MiB: wiped by writing.
fn small() -> Guest {
    canary(4, 12, 256)
}

/// Four MiB that become six, with a table of 80 KiB: half of it is given back.
fn large() -> Guest {
    canary(64, 32, 10_000)
}

async fn mounts(
    host: &EngineHost,
    name: &str,
    guest: &Guest,
    count: usize,
) -> Vec<Arc<dyn Engine>> {
    host.register(EngineKind::Secrets, name, "1.0.0", guest.component())
        .expect("the guest is admitted");
    let mut mounts = Vec::new();
    for _ in 0..count {
        let engine = host.engine(EngineKind::Secrets, name).await;
        mounts.push(engine.expect("it loads").expect("it was registered"));
    }
    mounts
}

fn grants() -> Grants {
    let mut grants = Grants::default();
    // Over at the first tick of the clock.
    grants.limits.compute = Duration::from_millis(1);
    grants
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Returns,
    Unreachable,
    OutOfBounds,
    NoNumber,
    NoFunction,
    Malformed,
    HostFails,
    StackOverflows,
    OutOfMemory,
    /// Ended by the epoch.
    Interrupted,
    /// The future is dropped while the guest waits for the host.
    DroppedWaiting,
    /// The future is dropped while the guest computes.
    DroppedComputing,
    /// No call is made in it.
    NeverCalled,
}

use End::{
    DroppedComputing, DroppedWaiting, HostFails, Interrupted, Malformed, NeverCalled, NoFunction,
    NoNumber, OutOfBounds, OutOfMemory, Returns, StackOverflows, Unreachable,
};

/// Those that take microseconds, and those that take milliseconds.
const FAST: [End; 9] = [
    Returns,
    Unreachable,
    OutOfBounds,
    NoNumber,
    DroppedWaiting,
    NoFunction,
    Malformed,
    HostFails,
    NeverCalled,
];
const SLOW: [End; 4] = [StackOverflows, OutOfMemory, Interrupted, DroppedComputing];

fn end(n: usize) -> End {
    match n % 100 {
        99 => SLOW[n / 100 % SLOW.len()],
        _ => FAST[n % FAST.len()],
    }
}

/// One call that fills all and ends so. An error says that something was found, or that it ended in
/// another way.
async fn fill_and_end(engine: &Arc<dyn Engine>, end: End) -> Result<(), String> {
    let mut grants = grants();
    let path = match end {
        Returns | NeverCalled => "-a",
        Unreachable => "ua",
        OutOfBounds => "wa",
        NoNumber => "fa",
        NoFunction => "ca",
        Malformed => "ea",
        HostFails => "ha",
        StackOverflows => "sa",
        OutOfMemory => "ma",
        DroppedWaiting => "pa",
        Interrupted | DroppedComputing => "la",
    };
    if !matches!(end, Interrupted) {
        grants.limits.compute = Duration::from_secs(10);
    }
    let mut call = match (grants.open(engine).await, end) {
        (Ok(call), _) => call,
        // While it looked: on a busy machine a millisecond is soon over.
        (Err(EngineError::OverLimit(limit)), Interrupted) if limit.contains("computing") => {
            return Ok(());
        }
        (Err(error), _) => return Err(format!("at its start: {error:?}")),
    };
    let handling = call.handle(request(Operation::Read, path));
    let ended = match end {
        NeverCalled => return Ok(()),
        DroppedWaiting => {
            tokio::select! {
                biased;
                ended = handling => Err(format!("it did not wait: {ended:?}"))?,
                () = tokio::task::yield_now() => return Ok(()),
            }
        }
        DroppedComputing => {
            tokio::select! {
                biased;
                ended = handling => Err(format!("it did not compute: {ended:?}"))?,
                () = tokio::time::sleep(Duration::from_millis(15)) => return Ok(()),
            }
        }
        _ => handling.await,
    };
    let text = match (&ended, end) {
        (Ok(_), _) => String::new(),
        (Err(EngineError::Trapped { reason, .. }), _) => reason.clone(),
        (Err(error), _) => error.to_string(),
    };
    let expected = match end {
        Unreachable => "unreachable",
        OutOfBounds => "out of bounds memory access",
        NoNumber => "invalid conversion to integer",
        NoFunction => "undefined element",
        Malformed => "not aligned",
        HostFails => "host failed under an engine",
        StackOverflows => "out of stack",
        OutOfMemory => "more memory than",
        Interrupted => "out of computing time",
        Returns | DroppedWaiting | DroppedComputing | NeverCalled => "",
    };
    match text.contains(expected) && ended.is_ok() == matches!(end, Returns) {
        true => Ok(()),
        false => Err(format!("it ended as {ended:?}")),
    }
}

/// Three plugins on six mounts; those of one plugin share its pool. Half of the calls on each mount
/// follow one on another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_instance_sees_a_byte_of_an_earlier_one() {
    let calls = match std::env::var("COFFER_CANARY_CALLS") {
        Ok(number) => number.parse().expect("a number of calls"),
        Err(_) => CALLS,
    };
    let host = host();
    let first = mounts(&host, "first", &small(), 2).await;
    let second = mounts(&host, "second", &small(), 2).await;
    let large = mounts(&host, "large", &large(), 2).await;
    let mut tasks = Vec::new();
    // Three at a time, so that slots change hands; large ones take as long as twenty small ones.
    for (engines, share) in [(first, 48), (second, 48), (large, 4)] {
        for task in 0..3 {
            let engines = engines.clone();
            tasks.push(tokio::spawn(async move {
                for n in 0..calls * share / 100 / 3 {
                    let engine = &engines[(n / 3 + task) % engines.len()];
                    let end = end(n + task);
                    let ended = fill_and_end(engine, end).await;
                    ended.unwrap_or_else(|why| panic!("call {n} of task {task}, {end:?}: {why}"));
                }
            }));
        }
    }
    for task in tasks {
        task.await.expect("nothing is found");
    }
}

/// The positive control: an instance that serves a second call finds there what the first call left.
#[tokio::test]
async fn what_one_call_leaves_in_its_own_instance_is_found_wherever_it_is() {
    let host = host();
    for guest in [small(), large()] {
        let engine = mounts(&host, "control", &guest, 1).await.remove(0);
        let twice = async |first: &str| {
            let mut grants = grants();
            grants.limits.compute = Duration::from_secs(10);
            let mut call = grants.open(&engine).await.expect("a new instance is new");
            let left = call.handle(request(Operation::Read, first)).await;
            left.expect("it fills and returns");
            call.handle(request(Operation::Read, "--")).await.map(drop)
        };
        for place in ["-0", "-1", "-2", "-3", "-g", "-v", "-t", "-u", "-a"] {
            match twice(place).await {
                Err(EngineError::Trapped { reason, .. }) if reason.contains("divide by zero") => {}
                other => panic!("what was left at {place} is not found: {other:?}"),
            }
        }
        twice("--")
            .await
            .expect("where nothing is left, nothing is found");
    }
}
