//! Power cuts and failing disks, at every operation of recorded runs.
//!
//! ```text
//! disk.rs     a disk that forgets, tears and fails         barrier.rs  runs of the barrier alone
//! cut.rs      what a power cut leaves                      server.rs   runs of a whole server, without network
//! history.rs  what may be seen after a crash               engine.rs   the engine of those servers
//! replay.rs   crashes of a recorded run                    seeds.rs    the random part
//! faults.rs   runs on a disk that fails                    damage.rs   files that were damaged at rest
//! watch.rs    panics                                       chance.rs   chance that repeats
//! ```
//!
//! A run is recorded once: what it did to the disk, and when each of its steps was acknowledged. Then the disk
//! is stopped after each of its operations, in each of the ways of `cut.rs`, and what is left is opened with
//! the shares that were handed out. What must hold each time:
//! - nothing acknowledged is missing; of what was under way, each commit is there as a whole or not at all;
//! - where there was a store there is one, and every read of it works;
//! - it takes a new write, which shows;
//! - nothing panics, also where somebody would catch it;
//! - all of this holds again if the power goes while it recovers.
//!
//! The files' first moments are left out: until they are whole, they have other names (`files.rs`).
//!
//! The random part has 500 seeds. Another number, in whatever time it takes, and one seed alone:
//!
//! ```text
//! COFFER_CRASH_SEEDS=20000 cargo test --release -p tests-crash random
//! COFFER_CRASH_SEED=1234   cargo test --release -p tests-crash random
//! ```

mod barrier;
mod chance;
mod cut;
mod damage;
mod disk;
mod engine;
mod faults;
mod history;
mod replay;
mod seeds;
mod server;
mod watch;

use crate::chance::Chance;
use crate::cut::Cut;
use crate::damage::{Damage, Stored};
use crate::disk::{CrashDisk, Fault, File};
use crate::replay::block_on;

/// Of the exhaustive parts. Which sectors are torn is drawn, the operations are not.
const SEED: u64 = 7;

/// Bytes of redb's own header.
const HEADER: usize = 320;

#[test]
fn the_power_may_go_after_every_operation_of_the_barrier() {
    for steps in [barrier::everyday(), barrier::large()] {
        let recording = block_on(barrier::record(&steps, SEED)).unwrap();
        let crashes = recording.crash_everywhere(&Cut::ALL, &Chance::new(SEED));
        assert!(crashes.unwrap() > 1_000);
    }
}

#[test]
fn the_power_may_go_after_every_operation_of_a_server() {
    let recording = block_on(server::record(&server::everything(), SEED)).unwrap();
    let cuts = [Cut::Lost, Cut::Kept, Cut::TornSectors, Cut::GrowthLost];
    let crashes = recording.crash_everywhere(&cuts, &Chance::new(SEED));
    assert!(crashes.unwrap() > 1_000);
}

#[test]
fn the_power_may_go_again_after_every_operation_of_a_recovery() {
    let cuts = [Cut::Lost, Cut::Kept, Cut::TornSectors];
    let chance = Chance::new(SEED);
    let recording = block_on(barrier::record(&barrier::everyday(), SEED)).unwrap();
    assert!(recording.crash_twice(23, &cuts, &chance).unwrap() > 1_000);
    let recording = block_on(barrier::record(&barrier::large(), SEED)).unwrap();
    assert!(recording.crash_twice(41, &cuts, &chance).unwrap() > 1_000);
    let recording = block_on(server::record(&server::everything(), SEED)).unwrap();
    assert!(recording.crash_twice(97, &cuts, &chance).unwrap() > 500);
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let mut recording = block_on(barrier::record(&barrier::everyday(), SEED)).unwrap();
    recording.forget_syncs();
    let chance = Chance::new(SEED);
    for cut in [Cut::Lost, Cut::Subset, Cut::TornSectors] {
        assert!(recording.crash_everywhere(&[cut], &chance).is_err());
    }
    // One that keeps everything has nothing to hide.
    recording.crash_everywhere(&[Cut::Kept], &chance).unwrap();
}

#[test]
fn any_operation_of_the_barrier_may_fail() {
    let steps = barrier::everyday();
    let recording = block_on(barrier::record(&steps, SEED)).unwrap();
    let chance = Chance::new(SEED);
    for at in recording.start..recording.log.len() {
        let fault = faults::fault(at);
        faults::barrier_survives(&steps, SEED, fault, &chance.fork(at as u64))
            .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
}

#[test]
fn a_disk_that_failed_once_is_written_again_by_itself() {
    let steps = barrier::patient();
    let recording = block_on(barrier::record(&barrier::everyday(), SEED)).unwrap();
    let chance = Chance::new(SEED);
    for at in (recording.start..recording.log.len()).step_by(41) {
        let fault = Fault {
            lasting: false,
            ..faults::fault(at)
        };
        faults::barrier_survives(&steps, SEED, fault, &chance.fork(at as u64))
            .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
}

#[test]
fn any_operation_of_a_server_may_fail() {
    let steps = server::everything();
    let disk = CrashDisk::empty();
    let model = block_on(server::run(&disk, &steps, SEED, None)).unwrap();
    let chance = Chance::new(SEED);
    // Not all of them: 7 has no factor in common with the four ways to fail.
    for at in (model.start..disk.operations()).step_by(7) {
        let fault = faults::fault(at);
        faults::server_survives(&steps, SEED, &model, fault, &chance.fork(at as u64))
            .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
}

#[test]
fn any_read_of_a_recovery_may_fail() {
    let recording = block_on(barrier::record(&barrier::everyday(), SEED)).unwrap();
    let chance = Chance::new(SEED);
    for at in (recording.start..recording.log.len()).step_by(37) {
        let reads = faults::reads_may_fail(&recording, at, &chance)
            .unwrap_or_else(|error| panic!("after operation {at}: {error}"));
        assert!(reads > 0);
    }
}

#[test]
fn random_runs_crash_and_recover() {
    for seed in seeds::wanted() {
        seeds::try_seed(seed).unwrap_or_else(|error| {
            panic!(
                "seed {seed}: {error}\n\
                 again: COFFER_CRASH_SEED={seed} cargo test --release -p tests-crash random"
            )
        });
    }
}

#[test]
fn damaged_files_answer_rightly_or_with_an_error() {
    let name = "damaged_files_answer_rightly_or_with_an_error";
    for (closed, file) in stores_and_files() {
        let damages = |image: &[u8]| {
            let mut chance = Chance::new(SEED);
            let mut flip = |at| Damage::Flip {
                at,
                bit: 1 << chance.within(0..8),
            };
            let header: Vec<_> = (0..HEADER).map(&mut flip).collect();
            // An empty file is a new one, or in its directory a foreign one: nothing to look at here.
            let ends = (512..image.len())
                .step_by(512)
                .map(|length| Damage::Cut { length });
            let drawn = (0..1_000).map(|_| Damage::any(image.len(), &mut chance));
            header.into_iter().chain(ends).chain(drawn).collect()
        };
        let Ok(tally) = damage::look_at_all(name, closed, file, Stored::look, damages) else {
            continue;
        };
        // Much of a file is of no use to anybody; but not all of it. Of a closed store's journal nothing is.
        let harmed = if file == File::Data { 400 } else { 0 };
        assert!(
            tally.unharmed > 100 && tally.harmed >= harmed && tally.ended < 100,
            "closed {closed}, {file:?}: {tally:?}"
        );
    }
}

#[test]
fn damaged_files_in_their_directory_answer_rightly_or_with_an_error() {
    let name = "damaged_files_in_their_directory_answer_rightly_or_with_an_error";
    for (closed, file) in stores_and_files() {
        let damages = |image: &[u8]| {
            let mut chance = Chance::new(SEED);
            (0..40)
                .map(|_| Damage::any(image.len(), &mut chance))
                .collect()
        };
        // A child looks at one of them.
        drop(damage::look_at_all(
            name,
            closed,
            file,
            Stored::look_in_a_directory,
            damages,
        ));
    }
}

fn stores_and_files() -> impl Iterator<Item = (bool, File)> {
    [true, false]
        .into_iter()
        .flat_map(|closed| File::ALL.map(|file| (closed, file)))
}
