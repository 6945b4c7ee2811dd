//! The random part: each seed is a run of its own and a few crashes of it.

use std::env;
use std::sync::OnceLock;

use crate::barrier;
use crate::chance::Chance;
use crate::faults;
use crate::replay::{Recording, Subject, block_on};
use crate::server::{self, Server};

/// In CI. `COFFER_CRASH_SEEDS` asks for another number.
const SEEDS: u64 = 500;

/// Crashes of each recorded run: recording costs as much as several of them.
const CRASHES: usize = 3;

/// The seeds to try: `COFFER_CRASH_SEED` alone, or the first so many.
pub(crate) fn wanted() -> Vec<u64> {
    let number = |name| {
        let text = env::var(name).ok()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")),
        )
    };
    match number("COFFER_CRASH_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("COFFER_CRASH_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// A run, and crashes of it, all of them from `seed`.
pub(crate) fn try_seed(seed: u64) -> Result<(), String> {
    let mut chance = Chance::new(seed);
    match chance.within(0..4) {
        0 => crash_repeatedly(server()?, &mut chance),
        1 => {
            let steps = barrier::any(&mut chance);
            let recording = block_on(barrier::record(&steps, seed))?;
            let operations = recording.start..recording.log.len();
            let fault = faults::fault(chance.within(operations));
            faults::barrier_survives(&steps, seed, fault, &chance)
                .map_err(|error| format!("{fault:?}: {error}"))
        }
        _ => {
            let steps = barrier::any(&mut chance);
            let recording = block_on(barrier::record(&steps, seed))?;
            crash_repeatedly(&recording, &mut chance)
        }
    }
}

fn crash_repeatedly<S: Subject>(
    recording: &Recording<S>,
    chance: &mut Chance,
) -> Result<(), String> {
    (0..CRASHES).try_for_each(|_| recording.crash_anywhere(chance))
}

/// One for all seeds: core's steps are not drawn.
fn server() -> Result<&'static Recording<Server>, String> {
    static SERVER: OnceLock<Result<Recording<Server>, String>> = OnceLock::new();
    SERVER
        .get_or_init(|| block_on(server::record(&server::everything(), 1)))
        .as_ref()
        .map_err(String::clone)
}
