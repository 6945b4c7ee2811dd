//! A file that was damaged while nobody had it open: a bit flipped, a page lost or misplaced, an end cut off.
//!
//! What is read from it afterwards is right, or an error. It is never empty, and nothing of it panics as far
//! as to the caller.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use host_barrier::{Barrier, StorageConfig};

use crate::barrier::{self, Look};
use crate::chance::{Chance, Seeded};
use crate::disk::CrashDisk;
use crate::replay::block_on;
use crate::watch::guarded;

/// redb's.
const PAGE: usize = 4096;
/// A damaged tree must not be walked forever; a sound one takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// One bit is another.
    Flip { at: usize, bit: u8 },
    /// The end is gone.
    Cut { length: usize },
    /// A page, or a sector of one, was never written.
    Zero { at: usize, length: usize },
    /// It was written badly.
    Noise { at: usize, length: usize, seed: u64 },
    /// It was written to where another one was.
    Misplaced { from: usize, to: usize },
}

impl Damage {
    pub(crate) fn any(length: usize, chance: &mut Chance) -> Self {
        let pages = length / PAGE;
        let page = chance.within(0..pages) * PAGE;
        let (at, length_) = match chance.coin() {
            true => (page, PAGE),
            false => (page + 512 * chance.within(0..8), 512),
        };
        match chance.within(0..10) {
            0..6 => Self::Flip {
                at: chance.within(0..length),
                bit: 1 << chance.within(0..8),
            },
            6 => Self::Cut {
                length: chance.within(1..length),
            },
            7 => Self::Zero {
                at,
                length: length_,
            },
            8 => Self::Noise {
                at,
                length: length_,
                seed: chance.next(),
            },
            _ => Self::Misplaced {
                from: chance.within(0..pages) * PAGE,
                to: page,
            },
        }
    }

    pub(crate) fn apply(self, image: &mut Vec<u8>) {
        match self {
            Self::Flip { at, bit } => image[at] ^= bit,
            Self::Cut { length } => image.truncate(length),
            Self::Zero { at, length } => image[at..at + length].fill(0),
            Self::Noise { at, length, seed } => {
                Chance::new(seed).fill(&mut image[at..at + length]);
            }
            Self::Misplaced { from, to } => image.copy_within(from..from + PAGE, to),
        }
    }
}

/// A file, what is in it, and what opens it.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) image: Vec<u8>,
    pub(crate) model: barrier::Model,
    pub(crate) shares: Vec<String>,
}

impl File {
    /// As the last step of a run leaves it, closed; or a little before, when it was not.
    pub(crate) fn of(steps: &[barrier::Step], closed: bool) -> Result<Self, String> {
        let recording = block_on(barrier::record(steps, 1))?;
        let operations = match closed {
            true => recording.log.len(),
            false => recording.history.last_acknowledged(),
        };
        let image = recording.image(operations, crate::cut::Cut::Kept, &mut Chance::new(0));
        let model = recording.history.permitted(operations).swap_remove(0);
        let shares = recording.keys[0].clone();
        Ok(Self {
            image,
            model,
            shares,
        })
    }

    /// What shows of it with `damage`.
    pub(crate) fn look(&self, damage: Damage) -> Result<Look, String> {
        let file = self.damaged(damage);
        within_patience(move || async move {
            let disk = CrashDisk::new(file.image);
            let opened = Barrier::open_backend(disk.backend(), Arc::new(Seeded::new(9))).await;
            barrier::look(opened, &file.model, &file.shares).await
        })
    }

    /// The same, of a file in its directory: it is looked at before it is opened for writing.
    pub(crate) fn look_in_a_directory(&self, damage: Damage) -> Result<Look, String> {
        let file = self.damaged(damage);
        within_patience(move || async move {
            let said = |error: std::io::Error| error.to_string();
            let directory = tempfile::tempdir().map_err(said)?;
            let path = directory.path().join("coffer.redb");
            fs::write(&path, &file.image).map_err(said)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(said)?;
            let config = StorageConfig::Redb {
                directory: directory.path().to_owned(),
            };
            let opened = Barrier::open(config, Arc::new(Seeded::new(9))).await;
            barrier::look(opened, &file.model, &file.shares).await
        })
    }

    fn damaged(&self, damage: Damage) -> Self {
        let mut file = self.clone();
        damage.apply(&mut file.image);
        file
    }
}

/// Looks in a thread of its own. A panic that is contained is an error like others; one that comes up here is
/// not.
fn within_patience<F>(look: impl FnOnce() -> F + Send + 'static) -> Result<Look, String>
where
    F: Future<Output = Result<Look, String>>,
{
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody waits any more if it was too late.
        drop(done.send(guarded(|| block_on(look()))));
    });
    let look = is_done
        .recv_timeout(PATIENCE)
        .map_err(|_| "it does not come to an end".to_owned())?;
    look.result
        .ok_or_else(|| format!("it panics: {}", look.panics.join("; ")))?
}
