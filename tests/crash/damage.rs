//! Files that were damaged while nobody had them open: a bit flipped, a page lost or misplaced, an end cut off.
//!
//! What is read from them afterwards is right, or an error. They are never empty, and nothing of it panics as
//! far as to the caller. Only the last entry of the journal may be missing without a word: where it is
//! damaged, it looks like one that the power cut short, for which nobody was answered (`journal.rs`).
//!
//! Over some damage redb panics while it unwinds from a panic, which nobody can contain: the process ends. That
//! is an answer, too, since it has shown and written nothing wrong. So they are looked at in child processes.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use host_barrier::{Barrier, OpenError, StorageConfig};

use crate::barrier::{self, Look, Model};
use crate::chance::{Chance, Seeded};
use crate::disk::{Change, CrashDisk, File, Images, Operation, Written};
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

/// What became of many looks.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) unharmed: usize,
    pub(crate) harmed: usize,
    /// The process has ended.
    pub(crate) ended: usize,
}

/// Tells a child process what to look at: which file of which store, from which damage on.
const PART: &str = "COFFER_CRASH_DAMAGE";
const LOOKED: &str = "looked:";

/// Looks at all of `damages` to `file`, for the test `name`: in child processes, which run that test again and
/// in it come here. `Err` if this is one of them.
pub(crate) fn look_at_all(
    name: &str,
    closed: bool,
    file: File,
    look: fn(&Stored, File, Damage) -> Result<Look, String>,
    damages: impl Fn(&[u8]) -> Vec<Damage>,
) -> Result<Tally, InChild> {
    let part = format!("{closed} {file:?}");
    if let Ok(asked) = env::var(PART) {
        if let Some(from) = asked.strip_prefix(&part) {
            let from = from.trim().parse().expect("a number");
            look_in_this_process(closed, file, look, &damages, from);
        }
        return Err(InChild);
    }
    let mut tally = Tally::default();
    let mut from = 0;
    loop {
        let child = Command::new(env::current_exe().expect("the path of this test"))
            .args([name, "--exact", "--nocapture"])
            .env(PART, format!("{part} {from}"))
            .output()
            .expect("a child process");
        let told = String::from_utf8_lossy(&child.stdout);
        for look in told.lines().filter_map(|line| line.strip_prefix(LOOKED)) {
            match look {
                "unharmed" => tally.unharmed += 1,
                _ => tally.harmed += 1,
            }
            from += 1;
        }
        let errors = String::from_utf8_lossy(&child.stderr);
        if child.status.success() {
            return Ok(tally);
        }
        assert!(
            errors.contains("non-unwinding panic") && child.status.code().is_none(),
            "{part}, damage {from}: {}: {told}{errors}",
            child.status
        );
        tally.ended += 1;
        from += 1;
    }
}

/// The test has nothing more to do here.
pub(crate) struct InChild;

fn look_in_this_process(
    closed: bool,
    file: File,
    look: fn(&Stored, File, Damage) -> Result<Look, String>,
    damages: &impl Fn(&[u8]) -> Vec<Damage>,
    from: usize,
) {
    let stored = Stored::of(&barrier::everyday(), closed).expect("a store");
    let untouched = Look::Open {
        errors: 0,
        missing: 0,
        writes: true,
    };
    for damage in damages(stored.images.of(file)).into_iter().skip(from) {
        let seen = look(&stored, file, damage)
            .unwrap_or_else(|error| panic!("{file:?}, {damage:?}: {error}"));
        let seen = if seen == untouched {
            "unharmed"
        } else {
            "harmed"
        };
        writeln!(io::stdout(), "{LOOKED}{seen}").expect("the parent reads");
    }
}

/// A store at rest, what is in it, and what opens it.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) images: Images,
    model: Model,
    /// Without the last entry of the journal.
    before: Model,
    shares: Vec<String>,
}

impl Stored {
    /// As a run leaves it, closed; or when it was not closed, and the journal had something.
    pub(crate) fn of(steps: &[barrier::Step], closed: bool) -> Result<Self, String> {
        let recording = block_on(barrier::record(steps, 1))?;
        let (now, before) = match closed {
            true => (recording.log.len(), recording.log.len()),
            false => {
                let last = last_entry(&recording.log).ok_or("nothing is in the journal")?;
                (last + 1, last - 1)
            }
        };
        let state = |operations| match &recording.history.permitted(operations)[..] {
            [model] => Ok(model.clone()),
            models => Err(format!("{} states at {operations}", models.len())),
        };
        Ok(Self {
            images: recording.written(now).seen(),
            model: state(now)?,
            before: state(before)?,
            shares: recording.keys[0].clone(),
        })
    }

    /// What shows of it with `damage` to `file`.
    pub(crate) fn look(&self, file: File, damage: Damage) -> Result<Look, String> {
        self.look_through(file, damage, |images| async {
            let disk = CrashDisk::new(Written::new(images));
            Ok(disk.open(Arc::new(Seeded::new(9))).await)
        })
    }

    /// The same, of files in a directory: they are looked at before they are opened for writing.
    pub(crate) fn look_in_a_directory(&self, file: File, damage: Damage) -> Result<Look, String> {
        self.look_through(file, damage, |images| async move {
            let said = |error: io::Error| error.to_string();
            let directory = tempfile::tempdir().map_err(said)?;
            for (name, image) in [
                ("coffer.redb", images.data),
                ("coffer.journal", images.journal),
            ] {
                let path = directory.path().join(name);
                fs::write(&path, image).map_err(said)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(said)?;
            }
            let config = StorageConfig::Redb {
                directory: directory.path().to_owned(),
            };
            Ok(Barrier::open(config, Arc::new(Seeded::new(9))).await)
        })
    }

    /// Looks in a thread of its own. A panic that is contained is an error like others; one that comes up here
    /// is not.
    fn look_through<O, F>(&self, file: File, damage: Damage, open: O) -> Result<Look, String>
    where
        O: Fn(Images) -> F + Copy + Send + 'static,
        F: Future<Output = Result<Result<Barrier, OpenError>, String>>,
    {
        let mut images = self.images.clone();
        damage.apply(images.of_mut(file));
        let look = |model: &Model| {
            let (images, model, shares) = (images.clone(), model.clone(), self.shares.clone());
            within_patience(move || async move {
                barrier::look(open(images).await?, &model, &shares).await
            })
        };
        match (look(&self.model), file) {
            (Err(_), File::Journal) => look(&self.before),
            (seen, _) => seen,
        }
    }
}

/// The last operation that made an entry durable which was not the first since a checkpoint: there is one to
/// lose and one to keep.
fn last_entry(log: &[Operation]) -> Option<usize> {
    let mut entries = 0;
    let mut last = None;
    for (at, operation) in log.iter().enumerate() {
        match (operation.file, &operation.change) {
            (File::Data, _) => entries = 0,
            (File::Journal, Change::Sync) => {
                entries += 1;
                if entries >= 3 {
                    last = Some(at);
                }
            }
            _ => {}
        }
    }
    last
}

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
