//! Calls leave nothing behind: not a descriptor, not a place of the pool after ten thousand that end
//! badly, and not a byte of what a guest held. In a process of its own: what it has is counted.

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_logical::{Engine, EngineError, EngineKind, Engines as _, Operation};
use host_runtime::{EngineHost, RuntimeConfig};
use support::{Grants, Guest, host, read, request};

const TRAPS: usize = 10_000;
/// Until caches, pools and the allocator have what they need.
const WARM_UP: usize = 2_000;
/// What allocators do in 10,000 calls. 400 bytes forgotten at each of them are more.
const SLACK_BYTES: usize = 4 << 20;

/// One test at a time: what another has would be counted.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Each ends in its own way; the last does not even open.
fn guests() -> Vec<(&'static str, Guest)> {
    let made = "(drop (call $from-bytes (i32.const 0) (i32.const 1000)))";
    vec![
        ("unreachable", Guest::new(&format!("{made} (unreachable)"))),
        (
            "out of bounds",
            Guest::new("(drop (i32.load (i32.const -8)))"),
        ),
        (
            "out of memory",
            Guest::new("(drop (memory.grow (i32.const 65000))) (unreachable)"),
        ),
        ("malformed", Guest::new("(return (i32.const 1025))")),
        (
            "host failed",
            Guest::new("(call $get (i32.const {text.0}) (i32.const 6) (i32.const 640))")
                .text(b"broken"),
        ),
        (
            "out of handles",
            Guest::new(&format!("(loop $l {made} (br $l))")),
        ),
        (
            "out of stack",
            Guest::new("(call $deep)").functions("(func $deep (call $deep) (call $deep))"),
        ),
        (
            "printed",
            Guest::new(
                "(i32.store (i32.const 640) (i32.const {text.0}))
                (i32.store (i32.const 644) (i32.const {text.0.len}))
                (drop (call $fd_write (i32.const 2) (i32.const 640) (i32.const 1) (i32.const 652)))
                (unreachable)",
            )
            .text(b"panicked")
            .on_wasi(),
        ),
        (
            "at start",
            Guest::new("").functions("(start $s) (func $s (unreachable))"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_traps_leave_nothing_behind() {
    let _alone = ALONE.lock().await;
    let host = host();
    let mut engines = Vec::new();
    for (name, guest) in guests() {
        engines.push(mount(&host, name, &guest).await);
    }
    let grants = Grants::default();
    let mut after_warm_up = None;
    for n in 0..WARM_UP + TRAPS {
        if n == WARM_UP {
            after_warm_up = Some(Held::count());
        }
        let ended = grants.handle(&engines[n % engines.len()], read()).await;
        let (name, _) = &guests()[n % engines.len()];
        assert!(
            matches!(
                ended,
                Err(EngineError::Trapped { .. }
                    | EngineError::OverLimit(_)
                    | EngineError::Malformed(_)
                    | EngineError::Host(_))
            ),
            "{name}: {ended:?}"
        );
    }
    let before = after_warm_up.expect("it was counted");
    let after = Held::count();
    assert_eq!(before.descriptors, after.descriptors, "descriptors");
    // Fewer are no leak: the runtime ends idle ones.
    assert!(
        after.threads <= before.threads,
        "threads: {} more",
        after.threads - before.threads
    );
    let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
    assert!(grown < SLACK_BYTES, "the process grew by {grown} bytes");
}

/// As many instances as a plugin may have are there at once, after ten times as many have ended
/// badly, and been dropped in all the states that a call has.
#[tokio::test]
async fn every_place_of_the_pool_is_given_back() {
    let _alone = ALONE.lock().await;
    const MOUNTS: usize = 8;
    const CALLS_PER_MOUNT: usize = 16;
    let host = EngineHost::new(RuntimeConfig {
        calls_per_mount: CALLS_PER_MOUNT,
        room_wait: Duration::from_millis(10),
        ..RuntimeConfig::default()
    });
    let host = host.expect("a runtime starts");
    host.set_cache_key(Some(support::KEY));
    let waits_or_traps = "(if (i32.eq (i32.load8_u (i32.load offset={request.path} (local.get $request))) (i32.const 119))
            (then (call $sleep (i32.const -1))))
        (unreachable)";
    let mut mounts = vec![mount(&host, "test", &Guest::new(waits_or_traps)).await];
    while mounts.len() < MOUNTS + 1 {
        let engine = host.engine(EngineKind::Secrets, "test").await;
        mounts.push(engine.expect("it loads").expect("it was registered"));
    }
    let (spare, mounts) = mounts.split_last().expect("there are nine");
    let grants = Grants::default();
    for n in 0..10 * MOUNTS * CALLS_PER_MOUNT {
        let mut call = grants
            .open(&mounts[n % MOUNTS])
            .await
            .expect("there is a place");
        let mut request = read();
        match n % 3 {
            0 => drop(call),
            1 => {
                let ended = call.handle(request).await;
                assert!(
                    matches!(ended, Err(EngineError::Trapped { .. })),
                    "{ended:?}"
                );
            }
            _ => {
                request.path = "waits".to_owned();
                tokio::select! {
                    biased;
                    ended = call.handle(request) => panic!("{ended:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
        }
    }

    let mut held = Vec::new();
    for n in 0..MOUNTS * CALLS_PER_MOUNT {
        let call = grants.open(&mounts[n % MOUNTS]).await;
        held.push(call.unwrap_or_else(|err| panic!("place {n} is lost: {err:?}")));
    }
    for full in [spare, &mounts[0]] {
        let refused = grants.open(full).await.map(drop);
        assert!(
            matches!(refused, Err(EngineError::Busy { .. })),
            "{refused:?}"
        );
    }
    held.clear();
    grants.open(spare).await.expect("it is free again");
}

/// However much of it there was, on its stack too, and however the call ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_held_is_gone_when_its_call_is_over() {
    let _alone = ALONE.lock().await;
    if !cfg!(target_os = "linux") {
        return;
    }
    let host = host();
    let limits = Grants::default();
    for mebibytes in [1, 4, 48] {
        let name = format!("holds-{mebibytes}");
        let engine = mount(&host, &name, &holder(mebibytes)).await;
        // Stacks and slots are as after any call: some of each have been used.
        limits.handle(&engine, read()).await.expect("it answers");
        for path in ["returns", "traps", "is dropped"] {
            let mut call = limits.open(&engine).await.expect("it opens");
            let mut handling = call.handle(request(Operation::Read, path));
            if path == "is dropped" {
                // It sleeps when it has all of it.
                let holds = || marks() >= (mebibytes << 17) + IN_STACK;
                tokio::select! {
                    ended = &mut handling => panic!("it ended: {ended:?}"),
                    () = until(holds) => {}
                }
            } else {
                assert_eq!((&mut handling).await.is_ok(), path == "returns");
            }
            drop(handling);
            drop(call);
            // What a long call had is wiped behind its answer, in the lane.
            until(|| marks() < SCATTERED).await;
        }
    }
}

/// Waits for it, and not for ever.
async fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "it never comes: {} marks",
            marks()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the guest marks what it holds with, over and over.
const MARK: u64 = 0xa7a7_a7a7_a7a7_a7a7;
/// Marks on its stack: so many calls deep, eight in each.
const IN_STACK: usize = DEPTH * 8;
const DEPTH: usize = 2_000;
/// In code, and where signals (a trap is one, and each thread has its own place for them) put the registers of
/// the processor aside: 2 KiB of them at a time.
const SCATTERED: usize = 4_096;

/// Fills so much memory, and its stack, and then does as the first letter of its path says.
fn holder(mebibytes: usize) -> Guest {
    let ends = |letter: char, body: &str| {
        format!(
            "(if (i32.eq (i32.load8_u (i32.load offset={{request.path}} (local.get $request))) (i32.const {}))
                (then {body}))",
            u32::from(letter)
        )
    };
    // Needed after the call, so that they are kept on the stack during it.
    let kept: Vec<String> = (0..8).map(|n| format!("(local.get $m{n})")).collect();
    let locals: String = (0..8).map(|n| format!("(local $m{n} i64)")).collect();
    let marked: String = (0..8)
        .map(|n| {
            let address = 131_072 + 8 * n;
            format!("(local.set $m{n} (i64.load offset={address} (local.get $depth)))")
        })
        .collect();
    let sum = kept.iter().fold("(i64.const 0)".to_owned(), |sum, it| {
        format!("(i64.add {sum} {it})")
    });
    let deep = format!(
        "(func $deep (param $depth i32) (param $request i32) (result i64) {locals} {marked}
            (if (local.get $depth)
                (then (drop (call $deep (i32.sub (local.get $depth) (i32.const 1)) (local.get $request))))
                (else {}))
            {sum})",
        ends('i', "(call $sleep (i32.const -1))")
    );
    Guest::new(&format!(
        "(drop (memory.grow (i32.const {})))
        (memory.fill (i32.const 131072) (i32.const 0xa7) (i32.const {}))
        (drop (call $deep (i32.const {DEPTH}) (local.get $request)))
        {}",
        mebibytes * 16,
        mebibytes << 20,
        ends('t', "(unreachable)")
    ))
    .functions(&deep)
}

/// How often the mark is in this process's memory: all that is there of it and is no file's.
fn marks() -> usize {
    let memory = fs::File::open("/proc/self/mem").expect("our own");
    let pages = fs::File::open("/proc/self/pagemap").expect("our own");
    let mut bytes = vec![0; PAGE];
    let mut count = 0;
    for (start, end) in regions() {
        let mut states = vec![0; (end - start) / PAGE * 8];
        // Some belongs to the kernel.
        let Ok(read) = pages.read_at(&mut states, (start / PAGE * 8) as u64) else {
            continue;
        };
        for (n, state) in states[..read].chunks_exact(8).enumerate() {
            // In memory, or swapped out: reading any other would make it.
            let is_there = state[7] & 0b1100_0000 != 0;
            let at = (start + n * PAGE) as u64;
            if is_there && memory.read_exact_at(&mut bytes, at).is_ok() {
                let words = bytes.chunks_exact(8);
                count += words.filter(|word| *word == MARK.to_ne_bytes()).count();
            }
        }
    }
    // Or it were found here the next time.
    std::hint::black_box(&mut bytes).fill(0);
    count
}

const PAGE: usize = 4096;

fn regions() -> Vec<(usize, usize)> {
    let maps = fs::read_to_string("/proc/self/smaps").expect("our own");
    let mut regions = Vec::new();
    let mut region = None;
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [range, _, _, _, _, ref name @ ..] if range.contains('-') => {
                let (start, end) = range.split_once('-').expect("a range");
                let address = |hex| usize::from_str_radix(hex, 16).expect("an address");
                let is_file = name.first().is_some_and(|name| name.starts_with('/'));
                region = (!is_file).then(|| (address(start), address(end)));
            }
            ["Rss:", kilobytes, _] if kilobytes != "0" => regions.extend(region.take()),
            _ => {}
        }
    }
    regions
}

async fn mount(host: &EngineHost, name: &str, guest: &Guest) -> Arc<dyn Engine> {
    host.register(EngineKind::Secrets, name, "1.0.0", guest.component())
        .expect("the guest is admitted");
    let engine = host.engine(EngineKind::Secrets, name).await;
    engine.expect("it loads").expect("it was registered")
}

/// What the process has, as Linux counts it; elsewhere nothing is counted.
struct Held {
    resident_bytes: usize,
    threads: usize,
    descriptors: usize,
}

impl Held {
    fn count() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().nth(0)?.parse().ok());
            number.unwrap_or(0)
        };
        let held = Self {
            resident_bytes: number("VmRSS:") << 10,
            threads: number("Threads:"),
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        };
        assert!(!cfg!(target_os = "linux") || held.resident_bytes > 0);
        held
    }
}
