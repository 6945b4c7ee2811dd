//! A disk that fails: at any operation of a run, once or from then on.
//!
//! What failed is answered so, with the disk's reason; reads go on, and writes once the disk works again; and
//! after a restart, or a power cut, nothing acknowledged is missing, what was refused is not there, and what
//! nobody knew of is there as a whole or not at all. No hand is needed.

use crate::barrier;
use crate::chance::Chance;
use crate::cut::Cut;
use crate::disk::{CrashDisk, Fault, Pages};
use crate::history::History;
use crate::replay::{Crashed, Recording, Subject, block_on};
use crate::server;
use crate::watch::guarded;

const FAULTS: [(bool, Pages); 4] = [
    (false, Pages::Stay),
    (true, Pages::Stay),
    (false, Pages::Leave),
    (true, Pages::Leave),
];

/// Of the four, another one for each operation.
pub(crate) fn fault(at: usize) -> Fault {
    let (lasting, pages) = FAULTS[at % FAULTS.len()];
    Fault { at, lasting, pages }
}

/// Runs `steps` on a disk that fails as `fault` says, and looks at what is left.
pub(crate) fn barrier_survives(
    steps: &[barrier::Step],
    seed: u64,
    fault: Fault,
    chance: &Chance,
) -> Result<(), String> {
    let disk = CrashDisk::with_fault(fault, chance.fork(1));
    let run = without_panic(barrier::run(&disk, steps, seed))?;
    let keys = vec![run.shares];
    survives(&barrier::Barriers, &disk, &run.history, &keys, chance)
}

/// As [`barrier_survives`], for a server; `model` is what it does on a disk that works.
pub(crate) fn server_survives(
    steps: &[server::Step],
    seed: u64,
    model: &server::Run,
    fault: Fault,
    chance: &Chance,
) -> Result<(), String> {
    let disk = CrashDisk::with_fault(fault, chance.fork(1));
    let run = without_panic(server::run(&disk, steps, seed, Some(model)))?;
    survives(&run.server, &disk, &run.history, &run.keys, chance)
}

fn survives<S: Subject>(
    subject: &S,
    disk: &CrashDisk,
    history: &History<S::Effect>,
    keys: &[S::Keys],
    chance: &Chance,
) -> Result<(), String> {
    let mut chance = chance.fork(2);
    let cut = *chance.choose(&Cut::ALL);
    let killed = disk.written();
    let left = killed.cut(cut, &mut chance);
    for (how, written) in [("the process is killed", killed), ("the power goes", left)] {
        Crashed::new(written, history.permitted(usize::MAX), keys.to_vec())
            .check(subject)
            .map_err(|error| format!("then {how} ({cut:?}): {error}"))?;
    }
    Ok(())
}

/// The power goes after `at` operations, and of the recovery each read fails once: that may end it, with an
/// error, and the next attempt finds all as it was. Returns how many reads there were.
pub(crate) fn reads_may_fail<S: Subject>(
    recording: &Recording<S>,
    at: usize,
    chance: &Chance,
) -> Result<usize, String> {
    let written = recording.written(at);
    let written = written.cut(Cut::TornSectors, &mut chance.fork(3));
    let (subject, keys) = (&recording.subject, &recording.keys);
    let permitted = recording.history.permitted(at);
    let disk = CrashDisk::new(written.clone());
    without_panic(subject.recover(&disk, permitted.clone(), keys, 1))?;
    let reads = disk.reads();
    for failing in 0..reads {
        let disk = CrashDisk::with_failing_read(written.clone(), failing);
        let recovery = guarded(|| block_on(subject.recover(&disk, permitted.clone(), keys, 1)));
        let (mut permitted, mut keys) = (permitted.clone(), keys.clone());
        match recovery.result {
            _ if !recovery.panics.is_empty() => {
                let panics = recovery.panics.join("; ");
                return Err(format!("read {failing} fails, and it panics: {panics}"));
            }
            // It came as far as to write something.
            Some(Ok(recovered)) => {
                permitted = recovered.history.permitted(usize::MAX);
                keys = recovered.keys;
            }
            _ => {}
        }
        Crashed::new(disk.written(), permitted, keys)
            .check(subject)
            .map_err(|error| format!("read {failing} failed, and later: {error}"))?;
    }
    Ok(reads)
}

fn without_panic<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let guarded = guarded(|| block_on(work));
    match guarded.result {
        Some(result) if guarded.panics.is_empty() => result,
        _ => Err(format!("it panics: {}", guarded.panics.join("; "))),
    }
}
