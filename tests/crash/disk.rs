//! A disk that forgets, tears and fails: a storage backend of redb in memory.
//!
//! It keeps two pictures of the file. *Durable* is what a sync has made safe. *Seen* is what reads answer:
//! durable and, over it, whatever was done since. Between the two lie the unsynced operations, in order; a
//! power cut keeps of them what its [`Cut`](crate::cut::Cut) says.
//!
//! Operations that change the disk are numbered from 0; a [`Fault`] makes one of them fail.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::chance::Chance;
use crate::cut::Cut;

/// What changes a disk.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Write { offset: usize, data: Arc<[u8]> },
    SetLen(usize),
    Sync,
}

impl Operation {
    /// Does it to `image`. A write over the end extends it, as files do.
    pub(crate) fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => write_at(image, *offset, data),
            Self::SetLen(length) => image.resize(*length, 0),
            Self::Sync => {}
        }
    }
}

pub(crate) fn write_at(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

/// An operation that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Which.
    pub(crate) at: usize,
    /// Whether all that follow fail, too, or the disk works again.
    pub(crate) lasting: bool,
    /// What a sync that fails leaves behind.
    pub(crate) pages: Pages,
}

/// The cached pages that a failed sync could not write. Some of them reached the disk, nobody knows which;
/// the system takes all of them for clean and never writes them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// They stay in the cache: reads show what is not on disk (ext4). But the store lets go of them before it
    /// opens the file again.
    Stay,
    /// They leave it: reads show what is on disk, old data among it (XFS, or a cache under pressure).
    Leave,
}

/// A clone is the same disk.
#[derive(Clone, Debug)]
pub(crate) struct CrashDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    durable: Vec<u8>,
    seen: Vec<u8>,
    unsynced: Vec<Operation>,
    /// All, from the first.
    log: Vec<Operation>,
    fault: Option<(Fault, Chance)>,
    failed: Option<usize>,
    reads: usize,
    failing_read: Option<usize>,
    open: bool,
}

impl CrashDisk {
    pub(crate) fn new(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            durable: image.clone(),
            seen: image,
            unsynced: Vec::new(),
            log: Vec::new(),
            fault: None,
            failed: None,
            reads: 0,
            failing_read: None,
            open: false,
        })))
    }

    /// One that fails.
    pub(crate) fn with_fault(image: Vec<u8>, fault: Fault, chance: Chance) -> Self {
        let disk = Self::new(image);
        disk.state().fault = Some((fault, chance));
        disk
    }

    /// One whose read number `at` fails, and no other.
    pub(crate) fn with_failing_read(image: Vec<u8>, at: usize) -> Self {
        let disk = Self::new(image);
        disk.state().failing_read = Some(at);
        disk
    }

    /// For redb.
    pub(crate) fn backend(&self) -> Backend {
        self.state().open = true;
        Backend(self.clone())
    }

    /// Whether redb has it.
    pub(crate) fn is_open(&self) -> bool {
        self.state().open
    }

    /// How many there were.
    pub(crate) fn operations(&self) -> usize {
        self.state().log.len()
    }

    pub(crate) fn log(&self) -> Vec<Operation> {
        self.state().log.clone()
    }

    /// The operation that failed first.
    pub(crate) fn failed(&self) -> Option<usize> {
        self.state().failed
    }

    /// Whether it has failed, and still does.
    pub(crate) fn is_broken(&self) -> bool {
        let state = self.state();
        let lasting = |(fault, _): &(Fault, Chance)| fault.lasting;
        state.failed.is_some() && state.fault.as_ref().is_some_and(lasting)
    }

    /// Reads so far.
    pub(crate) fn reads(&self) -> usize {
        self.state().reads
    }

    /// As a process that is killed leaves it: the system still has all that was written.
    pub(crate) fn killed(&self) -> Vec<u8> {
        self.state().seen.clone()
    }

    /// As a power cut leaves it.
    pub(crate) fn cut(&self, cut: Cut, chance: &mut Chance) -> Vec<u8> {
        let state = self.state();
        cut.image(&state.durable, &state.unsynced, chance)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn perform(&mut self, operation: Operation) -> io::Result<()> {
        let number = self.log.len();
        self.log.push(operation.clone());
        if let Some((fault, chance)) = &self.fault {
            if number == fault.at {
                let (fault, chance) = (*fault, chance.clone());
                self.fail(fault, chance, operation);
                self.failed = Some(number);
                return Err(failed());
            }
            if number > fault.at && fault.lasting {
                return Err(failed());
            }
        }
        operation.apply(&mut self.seen);
        match operation {
            Operation::Sync => {
                for operation in self.unsynced.drain(..) {
                    operation.apply(&mut self.durable);
                }
            }
            _ => self.unsynced.push(operation),
        }
        Ok(())
    }

    fn fail(&mut self, fault: Fault, mut chance: Chance, operation: Operation) {
        match operation {
            // A part of it may be there.
            Operation::Write { offset, data } => {
                let data = data[..chance.within(0..data.len() + 1)].into();
                let part = Operation::Write { offset, data };
                part.apply(&mut self.seen);
                self.unsynced.push(part);
            }
            Operation::SetLen(_) => {}
            Operation::Sync => {
                self.durable = Cut::Subset.image(&self.durable, &self.unsynced, &mut chance);
                self.unsynced.clear();
                if fault.pages == Pages::Leave {
                    self.seen.clone_from(&self.durable);
                }
            }
        }
    }
}

/// Whether it says that the disk failed.
pub(crate) fn tells_why(error: &str) -> bool {
    error.contains(REASON) || error.contains("the disk failed before")
}

const REASON: &str = "the disk fails, as it was told to";

fn failed() -> io::Error {
    io::Error::other(REASON)
}

/// A disk as redb has it.
#[derive(Debug)]
pub(crate) struct Backend(CrashDisk);

impl StorageBackend for Backend {
    /// What redb asks first. See [`Pages::Stay`].
    fn len(&self) -> io::Result<u64> {
        let mut state = self.0.state();
        if state.failed.is_some() {
            state.seen = Cut::Kept.image(&state.durable, &state.unsynced, &mut Chance::new(0));
        }
        Ok(state.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.reads += 1;
        if state.failing_read == Some(state.reads - 1) {
            return Err(failed());
        }
        let offset = position(offset)?;
        let end = offset
            .checked_add(out.len())
            .ok_or(io::ErrorKind::InvalidInput)?;
        let stored = state.seen.get(offset..end);
        out.copy_from_slice(stored.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = position(length)?;
        self.0.state().perform(Operation::SetLen(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.state().perform(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = position(offset)?;
        let data = data.into();
        self.0.state().perform(Operation::Write { offset, data })
    }

    fn close(&self) -> io::Result<()> {
        self.0.state().open = false;
        Ok(())
    }
}

/// Places that no image here reaches are an error, as on a full disk.
fn position(offset: u64) -> io::Result<usize> {
    const MOST: u64 = 1 << 30;
    match offset <= MOST {
        true => Ok(usize::try_from(offset).map_err(io::Error::other)?),
        false => Err(io::ErrorKind::StorageFull.into()),
    }
}
