//! Crashes of a recorded run: the power goes after any of its operations, and again while it recovers.

use crate::chance::Chance;
use crate::cut::Cut;
use crate::disk::{CrashDisk, Operation};
use crate::history::{Effect, History};
use crate::watch::guarded;

/// Something that keeps its records on a disk.
pub(crate) trait Subject: Sized {
    type Effect: Effect;
    /// What opens it.
    type Keys: Clone;

    /// Opens what is on `disk` and unseals it with one of `keys`; reads all of it, which must be one of the
    /// states `permitted`; writes something new, and closes it. An error is a promise that was broken.
    async fn recover(
        &self,
        disk: &CrashDisk,
        permitted: Vec<<Self::Effect as Effect>::State>,
        keys: &[Self::Keys],
        depth: u8,
    ) -> Result<Recovered<Self>, String>;
}

/// What somebody knows who has seen a recovery.
pub(crate) struct Recovered<S: Subject> {
    pub(crate) history: History<S::Effect>,
    pub(crate) keys: Vec<S::Keys>,
}

/// A run on a disk that worked.
pub(crate) struct Recording<S: Subject> {
    pub(crate) subject: S,
    /// Operations before the file has its name. Before that there is nothing to lose.
    pub(crate) start: usize,
    pub(crate) log: Vec<Operation>,
    pub(crate) history: History<S::Effect>,
    pub(crate) keys: Vec<S::Keys>,
}

/// A file after a crash, and what may be in it.
pub(crate) struct Crashed<S: Subject> {
    image: Vec<u8>,
    permitted: Vec<<S::Effect as Effect>::State>,
    keys: Vec<S::Keys>,
    depth: u8,
}

/// A recovery that was recorded as well.
struct Recovery<S: Subject> {
    image: Vec<u8>,
    log: Vec<Operation>,
    recovered: Recovered<S>,
    depth: u8,
}

impl<S: Subject> Crashed<S> {
    pub(crate) fn new(
        image: Vec<u8>,
        permitted: Vec<<S::Effect as Effect>::State>,
        keys: Vec<S::Keys>,
    ) -> Self {
        let depth = 0;
        Self {
            image,
            permitted,
            keys,
            depth,
        }
    }

    fn recover(self, subject: &S) -> Result<Recovery<S>, String> {
        let disk = CrashDisk::new(self.image.clone());
        let depth = self.depth + 1;
        let work = async {
            let recovered = subject
                .recover(&disk, self.permitted, &self.keys, depth)
                .await;
            // What runs on behind an answer comes to its end, or is of no use to anybody.
            tokio::task::yield_now().await;
            recovered
        };
        let guarded = guarded(|| block_on(work));
        if !guarded.panics.is_empty() {
            return Err(format!("it panics: {}", guarded.panics.join("; ")));
        }
        let recovered = guarded.result.ok_or("it panics, and nobody saw how")??;
        Ok(Recovery {
            image: self.image,
            log: disk.log(),
            recovered,
            depth,
        })
    }

    /// Opens it, and looks.
    pub(crate) fn check(self, subject: &S) -> Result<(), String> {
        self.recover(subject).map(drop)
    }

    /// Opens it, with the power going again at every operation of that.
    fn check_with_a_second_crash(
        self,
        subject: &S,
        cuts: &[Cut],
        chance: &Chance,
    ) -> Result<usize, String> {
        let recovery = self.recover(subject)?;
        let mut count = 0;
        each_crash(
            &recovery.image,
            0,
            &recovery.log,
            cuts,
            chance,
            |at, cut, image| {
                count += 1;
                recovery
                    .crashed(at, image)
                    .check(subject)
                    .map_err(|error| format!("at operation {at} of the recovery, {cut:?}: {error}"))
            },
        )?;
        Ok(count)
    }
}

impl<S: Subject> Recovery<S> {
    fn crashed(&self, operations: usize, image: Vec<u8>) -> Crashed<S> {
        Crashed {
            image,
            permitted: self.recovered.history.permitted(operations),
            keys: self.recovered.keys.clone(),
            depth: self.depth,
        }
    }
}

impl<S: Subject> Recording<S> {
    fn crashed(&self, operations: usize, image: Vec<u8>) -> Crashed<S> {
        let permitted = self.history.permitted(operations);
        Crashed::new(image, permitted, self.keys.clone())
    }

    /// As on a disk that says it has synced, and has not.
    pub(crate) fn forget_syncs(&mut self) {
        for operation in &mut self.log {
            if matches!(operation, Operation::Sync) {
                let (offset, data) = (0, [].into());
                *operation = Operation::Write { offset, data };
            }
        }
    }

    /// The file if the power goes after this many operations.
    pub(crate) fn image(&self, operations: usize, cut: Cut, chance: &mut Chance) -> Vec<u8> {
        image_at(&[], &self.log[..operations], cut, chance)
    }

    /// The power goes after every operation, in each of these ways. Returns how often.
    pub(crate) fn crash_everywhere(&self, cuts: &[Cut], chance: &Chance) -> Result<usize, String> {
        let mut count = 0;
        each_crash(
            &[],
            self.start,
            &self.log,
            cuts,
            chance,
            |at, cut, image| {
                count += 1;
                self.crashed(at, image)
                    .check(&self.subject)
                    .map_err(|error| format!("at operation {at}, {cut:?}: {error}"))
            },
        )?;
        Ok(count)
    }

    /// The power goes after every `every`th operation, and again at every operation of the recovery.
    pub(crate) fn crash_twice(
        &self,
        every: usize,
        cuts: &[Cut],
        chance: &Chance,
    ) -> Result<usize, String> {
        let mut count = 0;
        each_crash(
            &[],
            self.start,
            &self.log,
            cuts,
            chance,
            |at, cut, image| {
                if at % every != 0 {
                    return Ok(());
                }
                let chance = chance.fork(at as u64);
                count += self
                    .crashed(at, image)
                    .check_with_a_second_crash(&self.subject, cuts, &chance)
                    .map_err(|error| format!("at operation {at}, {cut:?}: {error}"))?;
                Ok(())
            },
        )?;
        Ok(count)
    }

    /// One crash anywhere, and up to four more, each in the recovery from the one before.
    pub(crate) fn crash_anywhere(&self, chance: &mut Chance) -> Result<(), String> {
        let mut at = chance.within(self.start..self.log.len() + 1);
        let mut cut = *chance.choose(&Cut::ALL);
        let mut told = format!("at operation {at}, {cut:?}");
        let mut crashed = self.crashed(at, self.image(at, cut, chance));
        for _ in 0..chance.within(0..5) {
            let recovery = crashed
                .recover(&self.subject)
                .map_err(|error| format!("{told}: {error}"))?;
            at = chance.within(0..recovery.log.len() + 1);
            cut = *chance.choose(&Cut::ALL);
            told = format!("{told}; at operation {at} of its recovery, {cut:?}");
            let image = image_at(&recovery.image, &recovery.log[..at], cut, chance);
            crashed = recovery.crashed(at, image);
        }
        crashed
            .check(&self.subject)
            .map_err(|error| format!("{told}: {error}"))
    }
}

/// Walks through `log` and hands out the file as each cut leaves it, after every operation from `start`.
fn each_crash(
    image: &[u8],
    start: usize,
    log: &[Operation],
    cuts: &[Cut],
    chance: &Chance,
    mut check: impl FnMut(usize, Cut, Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    let mut durable = image.to_vec();
    let mut synced = 0;
    for at in 0..=log.len() {
        if let Some(Operation::Sync) = at.checked_sub(1).map(|last| &log[last]) {
            log[synced..at]
                .iter()
                .for_each(|done| done.apply(&mut durable));
            synced = at;
        }
        if at < start {
            continue;
        }
        let unsynced = &log[synced..at];
        for (n, cut) in cuts.iter().enumerate() {
            if n > 0 && unsynced.is_empty() {
                // All cuts are the same.
                break;
            }
            let mut chance = chance.fork((at * Cut::ALL.len() + n) as u64);
            check(at, *cut, cut.image(&durable, unsynced, &mut chance))?;
        }
    }
    Ok(())
}

fn image_at(image: &[u8], log: &[Operation], cut: Cut, chance: &mut Chance) -> Vec<u8> {
    let is_sync = |done: &Operation| matches!(done, Operation::Sync);
    let synced = log.iter().rposition(is_sync).map_or(0, |last| last + 1);
    let mut durable = image.to_vec();
    log[..synced]
        .iter()
        .for_each(|done| done.apply(&mut durable));
    cut.image(&durable, &log[synced..], chance)
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread")
        .block_on(work)
}
