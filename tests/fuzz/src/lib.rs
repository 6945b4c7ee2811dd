//! Fuzzing, on stable Rust: one call of [`fuzz`] is one target.
//!
//! A target stands beside the code that reads what others wrote, in a module `fuzz`, since that code is private. It is
//! a promise about any input. Here is what the targets share: inputs that reach deep, because they are real texts from
//! `corpus/<target>`, changed a little (`mutate.rs`); and a count of those that were accepted, without which
//! a fuzzer that never gets past the first line of a parser looks like a parser without faults.
//!
//! `cargo test` gives each target a second, `cargo xtask test fuzz` ten, and `BOLERO_RANDOM_TEST_TIME_MS` any time:
//!
//! ```text
//! BOLERO_RANDOM_TEST_TIME_MS=600000 cargo test --release -p host-core fuzz:: -- --show-output
//! ```
//!
//! What fails is made small and printed. It becomes a file of the corpus, which is run first ever after, and a test
//! that says in its name what did not hold. If the process itself dies, as from an overflow of its stack, run it again
//! with `COFFER_FUZZ_KEEP=<directory>`: each input is written there before it is tried.

mod mutate;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mutate::Mutations;

/// No input may take longer. The slowest take a third of a second on a quiet machine: what comes near this is a loop, or
/// work that grows faster than its input.
const PATIENCE: Duration = Duration::from_secs(20);

/// Of a hundred inputs so many must be accepted, or the target tests little but the first refusal.
const ACCEPTED_PERCENT: u64 = 5;

/// How long an input that fails is made smaller.
const SHRINK: Duration = Duration::from_secs(5);

/// What is changed to make inputs.
pub struct Source<'s> {
    /// Names the folder below `corpus/`.
    pub target: &'s str,
    /// Inputs that the target makes itself, beside those of its corpus.
    pub seeds: Vec<Vec<u8>>,
    /// What the grammar is made of, with a blank between two.
    pub words: &'s str,
}

/// An input was accepted: what it says went into the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The input is one.
    Accepted,
    /// The input was refused, as most of what is broken must be.
    Refused,
}

impl Verdict {
    /// Of a parser's result.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Verdict::Accepted,
            Err(_) => Verdict::Refused,
        }
    }
}

/// Holds `promise`, which panics if it is broken, against the corpus and then against changed inputs until the time is
/// over. Says how many of them were accepted.
pub fn fuzz(source: Source<'_>, promise: impl Fn(&[u8]) -> Verdict) {
    let corpus = corpus(source.target);
    let tally = Tally::default();
    let keep = std::env::var_os("COFFER_FUZZ_KEEP").map(PathBuf::from);
    // What a broken promise leaves half done is not looked at again.
    let attempt = AssertUnwindSafe(|input: &[u8]| {
        if let Some(folder) = &keep {
            std::fs::write(folder.join(source.target), input)
                .expect("COFFER_FUZZ_KEEP is a folder");
        }
        tally.count(input, || promise(input));
    });
    for (path, input) in &corpus {
        let tried = std::panic::catch_unwind(|| (*attempt)(input));
        if let Err(broken) = tried {
            report(format_args!("{} breaks the promise", path.display()));
            std::panic::resume_unwind(broken);
        }
    }
    let inputs = corpus.into_iter().map(|(_, input)| input);
    let seeds: Vec<Vec<u8>> = inputs.chain(source.seeds).collect();
    assert!(
        !seeds.is_empty(),
        "{}: there is nothing to change",
        source.target
    );
    let mutations = Mutations::new(seeds, source.words);
    bolero::check!(name = source.target)
        .with_generator(mutations)
        .with_shrink_time(SHRINK)
        .for_each(|input| (*attempt)(&input.0));
    tally.conclude(source.target);
}

/// The files of a target's corpus, by name, so that two runs begin alike.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let Ok(files) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut inputs: Vec<_> = files
        .map(|file| {
            let path = file.expect("the corpus can be listed").path();
            let input = std::fs::read(&path).expect("the corpus can be read");
            (path, input)
        })
        .collect();
    inputs.sort();
    inputs
}

#[derive(Default)]
struct Tally {
    tried: AtomicU64,
    accepted: AtomicU64,
    slowest_micros: AtomicU64,
}

impl Tally {
    fn count(&self, input: &[u8], attempt: impl FnOnce() -> Verdict) {
        let begun = Instant::now();
        let verdict = attempt();
        let taken = begun.elapsed();
        assert!(taken < PATIENCE, "{} bytes took {taken:?}", input.len());
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        self.slowest_micros.fetch_max(micros, Ordering::Relaxed);
        self.tried.fetch_add(1, Ordering::Relaxed);
        if verdict == Verdict::Accepted {
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn conclude(&self, target: &str) {
        let [tried, accepted, slowest] = [&self.tried, &self.accepted, &self.slowest_micros]
            .map(|count| count.load(Ordering::Relaxed));
        let percent = accepted * 100 / tried.max(1);
        report(format_args!(
            "{target}: {tried} inputs, {accepted} accepted ({percent} %), the slowest took {} ms",
            slowest / 1000
        ));
        assert!(
            percent >= ACCEPTED_PERCENT,
            "{target}: the inputs do not reach deep"
        );
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the output of a test, shown if it fails or is asked for"
)]
fn report(line: fmt::Arguments<'_>) {
    eprintln!("{line}");
}
