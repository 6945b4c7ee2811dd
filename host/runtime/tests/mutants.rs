//! Components that nobody wrote: changed ones of ours, through registration, loading and calls. None
//! may panic the host or hang it; what else becomes of them is theirs.
//!
//! Two kinds of change. One is blind, to any bytes: it tries the parsers. The other knows where
//! instructions lie, and puts others of the same length there: most of what it makes is valid, is
//! compiled, and runs wild among imports and limits.
//!
//! `COFFER_MUTANTS` sets how many there are, `COFFER_MUTANTS_SEED` where chance begins. A failure
//! names the mutant's own seed; that as `COFFER_MUTANTS_SEED` and one mutant repeat it.

mod support;

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use host_logical::{EngineError, EngineKind, Engines as _, Operation, Options};
use host_runtime::EngineHost;
use support::{Grants, Guest, host, mount, request};
use wasmparser::{Parser, Payload};

const MUTANTS: u64 = 2_000;
/// A hang, not a limit: ours has 20 seconds to be described.
const HANGS: Duration = Duration::from_secs(120);

/// The KV engine as it is built in, which takes longest to compile; and small ones that do something
/// with every import.
fn originals() -> Vec<Vec<u8>> {
    let talks = "(drop (call $now))
        (call $random (i32.const 16) (i32.const 640))
        (call $put (i32.const {text.0}) (i32.const {text.0.len}) (i32.const {text.1}) (i32.const {text.1.len}) (i32.const 640))
        (call $get (i32.const {text.0}) (i32.const {text.0.len}) (i32.const 640))
        (call $list-keys (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 640))
        (call $delete (i32.const {text.0}) (i32.const {text.0.len}) (i32.const 640))
        (call $log (i32.const 1) (i32.const {text.1}) (i32.const {text.1.len}) (i32.const 0) (i32.const 0))
        (local.set $i (call $from-bytes (i32.const {text.1}) (i32.const {text.1.len})))
        (drop (call $length (local.get $i)))
        (call $encode (local.get $i) (i32.const {text.2}) (i32.const {text.2.len}) (i32.const 640))
        (i32.store (i32.const 704) (local.get $i))
        (drop (call $concat (i32.const 704) (i32.const 1)))
        (call $drop-secret (local.get $i))
        (i32.store8 (i32.const {reply.data}) (i32.const 1))
        (i32.store offset=4 (i32.const {reply.data}) (i32.const {text.1}))
        (i32.store offset=8 (i32.const {reply.data}) (i32.const {text.1.len}))";
    let warns = "(i32.store (i32.const 640) (i32.const {text.0}))
        (i32.store (i32.const 644) (i32.const {text.0.len}))"
        .to_owned()
        + &Guest::reply_list("warnings", "640", "1");
    let guest = |body: &str| {
        let guest = Guest::new(body)
            .text(b"a/b")
            .text(br#"{"a":1}"#)
            .text(b"hex");
        guest.component()
    };
    vec![
        include_bytes!(concat!(env!("OUT_DIR"), "/kv.wasm")).to_vec(),
        guest(talks),
        guest(&format!("{talks} {warns}")),
        Guest::new("(if (call $fd_write (i32.const 2) (i32.const 640) (i32.const 1) (i32.const 652)) (then (unreachable)))")
            .on_wasi()
            .component(),
    ]
}

/// How many there were of what.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    not_loaded: usize,
    ran: usize,
    answered: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mutant_panics_or_hangs_the_host() {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    };
    let mutants = number("COFFER_MUTANTS", MUTANTS);
    let seed = number("COFFER_MUTANTS_SEED", 1);
    let originals = originals();
    let code: Vec<_> = originals.iter().map(|wasm| instructions(wasm)).collect();
    let host = host();
    let mut tally = Tally::default();
    for seed in seed..seed + mutants {
        let mut chance = Chance::new(seed);
        // KV one time in thirty-two: it takes as long to compile as all the others.
        let which = match chance.below(32) {
            0 => 0,
            _ => 1 + chance.below(originals.len() - 1),
        };
        let mut wasm = originals[which].clone();
        match chance.below(3) {
            0 => garble(&mut wasm, &mut chance),
            _ => rewrite(&mut wasm, &code[which], &mut chance),
        }
        let run = tokio::time::timeout(HANGS, run(&host, wasm, &mut tally)).await;
        run.unwrap_or_else(|_| panic!("mutant {seed} hangs"))
            .unwrap_or_else(|why| panic!("mutant {seed}: {why}"));
    }
    // Otherwise they would try nothing but the door.
    if mutants >= 100 {
        let tenth = mutants as usize / 10;
        assert!(tally.refused > 0 && tally.not_loaded > 0, "{tally:?}");
        assert!(tally.ran > 3 * tenth && tally.answered > tenth, "{tally:?}");
    }
}

/// A panic of this thread ends the test by itself; one on the compiler's thread is told as a failure
/// of the compiler.
async fn run(host: &EngineHost, wasm: Vec<u8>, tally: &mut Tally) -> Result<(), String> {
    if host
        .register(EngineKind::Secrets, "mutant", "1.0.0", wasm)
        .is_err()
    {
        tally.refused += 1;
        return Ok(());
    }
    let engine = match host.engine(EngineKind::Secrets, "mutant").await {
        Ok(engine) => engine.ok_or("it was registered and is not there")?,
        Err(EngineError::Load(why)) if why.contains("the compiler fails on it") => return Err(why),
        Err(_) => {
            tally.not_loaded += 1;
            return Ok(());
        }
    };
    tally.ran += 1;
    let mut grants = Grants::default();
    grants.limits.wall = Duration::from_millis(200);
    grants.limits.compute = Duration::from_millis(20);
    if let Ok(mut call) = grants.open(&engine).await {
        let mut read = request(Operation::Read, "a/b");
        read.params = vec![("path".to_owned(), "a/b".to_owned())];
        // As core does it; whatever fails is the last.
        if call.initialize(None, &mount()).await.is_ok()
            && call.exists(&read).await.is_ok()
            && call.handle(read).await.is_ok()
        {
            tally.answered += 1;
        }
    }
    // Its limits are ten seconds, so those that loop here are not asked.
    if tally.ran.is_multiple_of(8) && grants.open(&engine).await.is_ok() {
        let options = Options::new();
        let described = engine.describe(&options);
        // Cut off or not: what it says of itself is checked elsewhere.
        let _ = tokio::time::timeout(Duration::from_millis(200), described).await;
    }
    Ok(())
}

/// Where instructions lie, with all that belongs to them.
fn instructions(wasm: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CodeSectionEntry(body) = payload.expect("the original is valid") else {
            continue;
        };
        let mut reader = body.get_operators_reader().expect("the original is valid");
        while !reader.eof() {
            let begins = reader.original_position();
            reader.read().expect("the original is valid");
            found.push(begins..reader.original_position());
        }
    }
    found
}

/// Instructions of one type, so that any may stand for any other: comparisons and arithmetic.
const ALIKE: [RangeInclusive<u8>; 4] = [0x46..=0x4f, 0x51..=0x5a, 0x6a..=0x78, 0x7c..=0x8a];

/// One to three instructions become others of the same length, mostly such that it is still valid.
fn rewrite(wasm: &mut [u8], code: &[Range<usize>], chance: &mut Chance) {
    const UNREACHABLE: u8 = 0x00;
    const NOP: u8 = 0x01;
    for _ in 0..=chance.below(3) {
        let instruction = &mut wasm[code[chance.below(code.len())].clone()];
        let Some((opcode, immediates)) = instruction.split_first_mut() else {
            continue;
        };
        match *opcode {
            // The frame of blocks stays.
            0x02..=0x05 | 0x0b => {}
            // A constant, or where a load or store looks.
            0x41 | 0x42 => renumber(immediates, chance),
            0x28..=0x3e => renumber(&mut immediates[1..], chance),
            // Where to go, what to call, which local or global: seldom of the same type.
            0x0c | 0x0d | 0x10 | 0x20..=0x24 if chance.below(4) == 0 => {
                renumber(immediates, chance);
            }
            old => match ALIKE.iter().find(|alike| alike.contains(&old)) {
                Some(alike) => *opcode = alike.start() + chance.below(alike.len()) as u8,
                None => {
                    *opcode = UNREACHABLE;
                    immediates.fill(NOP);
                }
            },
        }
    }
}

/// Another number in as many bytes: of each, the bit that says that more follow stays.
fn renumber(number: &mut [u8], chance: &mut Chance) {
    for byte in number {
        *byte ^= chance.below(64) as u8;
    }
}

/// Any bytes.
fn garble(wasm: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        if wasm.is_empty() {
            return;
        }
        // The first bytes are names and types of the border, where most can go wrong.
        let reach = match chance.below(2) {
            0 => wasm.len(),
            _ => wasm.len().min(4096),
        };
        let at = chance.below(reach);
        let end = wasm.len().min(at + 1 + chance.below(64));
        match chance.below(6) {
            0 => wasm[at] ^= 1 << chance.below(8),
            1 => wasm[at] = chance.below(256) as u8,
            2 => wasm.truncate(at),
            3 => drop(wasm.drain(at..end)),
            4 => {
                let copy = wasm[at..end].to_vec();
                wasm.splice(at..at, copy);
            }
            _ => wasm[at..end].fill(0xff),
        }
    }
}

/// SplitMix64: the same numbers from the same seed on every machine.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).expect("below a size")
    }
}
