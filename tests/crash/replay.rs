//! Crashes of a recorded run: the power goes after any of its operations, and again while it recovers.

use crate::chance::Chance;
use crate::cut::Cut;
use crate::disk::{Change, CrashDisk, Images, Operation, Written};
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

/// A disk after a crash, and what may be on it.
pub(crate) struct Crashed<S: Subject> {
    written: Written,
    permitted: Vec<<S::Effect as Effect>::State>,
    keys: Vec<S::Keys>,
    depth: u8,
}

/// A recovery that was recorded as well.
struct Recovery<S: Subject> {
    written: Written,
    log: Vec<Operation>,
    recovered: Recovered<S>,
    depth: u8,
}

impl<S: Subject> Crashed<S> {
    pub(crate) fn new(
        written: Written,
        permitted: Vec<<S::Effect as Effect>::State>,
        keys: Vec<S::Keys>,
    ) -> Self {
        let depth = 0;
        Self {
            written,
            permitted,
            keys,
            depth,
        }
    }

    fn recover(self, subject: &S) -> Result<Recovery<S>, String> {
        let disk = CrashDisk::new(self.written.clone());
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
            written: self.written,
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
            &recovery.written,
            0,
            &recovery.log,
            cuts,
            chance,
            |at, cut, written| {
                count += 1;
                recovery
                    .crashed(at, written)
                    .check(subject)
                    .map_err(|error| format!("at operation {at} of the recovery, {cut:?}: {error}"))
            },
        )?;
        Ok(count)
    }
}

impl<S: Subject> Recovery<S> {
    fn crashed(&self, operations: usize, written: Written) -> Crashed<S> {
        Crashed {
            written,
            permitted: self.recovered.history.permitted(operations),
            keys: self.recovered.keys.clone(),
            depth: self.depth,
        }
    }
}

impl<S: Subject> Recording<S> {
    fn crashed(&self, operations: usize, written: Written) -> Crashed<S> {
        let permitted = self.history.permitted(operations);
        Crashed::new(written, permitted, self.keys.clone())
    }

    /// As on a disk that says it has synced, and has not.
    pub(crate) fn forget_syncs(&mut self) {
        for operation in &mut self.log {
            if matches!(operation.change, Change::Sync) {
                let (offset, data) = (0, [].into());
                operation.change = Change::Write { offset, data };
            }
        }
    }

    /// The disk after this many operations.
    pub(crate) fn written(&self, operations: usize) -> Written {
        written_at(&fresh(), &self.log[..operations])
    }

    /// The power goes after every operation, in each of these ways. Returns how often.
    pub(crate) fn crash_everywhere(&self, cuts: &[Cut], chance: &Chance) -> Result<usize, String> {
        let mut count = 0;
        each_crash(
            &fresh(),
            self.start,
            &self.log,
            cuts,
            chance,
            |at, cut, written| {
                count += 1;
                self.crashed(at, written)
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
            &fresh(),
            self.start,
            &self.log,
            cuts,
            chance,
            |at, cut, written| {
                if at % every != 0 {
                    return Ok(());
                }
                let chance = chance.fork(at as u64);
                count += self
                    .crashed(at, written)
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
        let mut crashed = self.crashed(at, self.written(at).cut(cut, chance));
        for _ in 0..chance.within(0..5) {
            let recovery = crashed
                .recover(&self.subject)
                .map_err(|error| format!("{told}: {error}"))?;
            at = chance.within(0..recovery.log.len() + 1);
            cut = *chance.choose(&Cut::ALL);
            told = format!("{told}; at operation {at} of its recovery, {cut:?}");
            let written = written_at(&recovery.written, &recovery.log[..at]);
            crashed = recovery.crashed(at, written.cut(cut, chance));
        }
        crashed
            .check(&self.subject)
            .map_err(|error| format!("{told}: {error}"))
    }
}

/// Walks through `log` and hands out the disk as each cut leaves it, after every operation from `start`.
fn each_crash(
    written: &Written,
    start: usize,
    log: &[Operation],
    cuts: &[Cut],
    chance: &Chance,
    mut check: impl FnMut(usize, Cut, Written) -> Result<(), String>,
) -> Result<(), String> {
    let mut written = written.clone();
    for at in 0..=log.len() {
        if let Some(last) = at.checked_sub(1) {
            written.perform(log[last].clone());
        }
        if at < start {
            continue;
        }
        for (n, cut) in cuts.iter().enumerate() {
            if n > 0 && written.is_safe() {
                // All cuts are the same.
                break;
            }
            let mut chance = chance.fork((at * Cut::ALL.len() + n) as u64);
            check(at, *cut, written.cut(*cut, &mut chance))?;
        }
    }
    Ok(())
}

/// Where every recording begins.
fn fresh() -> Written {
    Written::new(Images::new())
}

fn written_at(written: &Written, log: &[Operation]) -> Written {
    let mut written = written.clone();
    for operation in log {
        written.perform(operation.clone());
    }
    written
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread")
        .block_on(work)
}
