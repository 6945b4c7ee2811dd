//! A disk that forgets, tears and fails: two files in memory, that of the data and that of its journal, as
//! storage backends of redb.
//!
//! There are two pictures of each. *Durable* is what a sync of that file has made safe. *Seen* is what reads
//! answer: durable and, over it, whatever was done since. Between the two lie the unsynced operations, in
//! order; a power cut keeps of them what its [`Cut`] says, of each file for itself.
//!
//! Operations that change the disk are numbered from 0, whatever their file; a [`Fault`] makes one of them fail.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host_barrier::{Barrier, OpenError, Random};
use redb::StorageBackend;

use crate::chance::Chance;
use crate::cut::Cut;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Data,
    Journal,
}

impl File {
    pub(crate) const ALL: [Self; 2] = [Self::Data, Self::Journal];
}

/// What is in both.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pub(crate) data: Vec<u8>,
    pub(crate) journal: Vec<u8>,
}

impl Images {
    /// Of a new store. A journal this short is full after a dozen commits: a run meets several checkpoints.
    pub(crate) fn new() -> Self {
        Self {
            data: Vec::new(),
            journal: vec![0; 64 << 10],
        }
    }

    pub(crate) fn of(&self, file: File) -> &Vec<u8> {
        match file {
            File::Data => &self.data,
            File::Journal => &self.journal,
        }
    }

    pub(crate) fn of_mut(&mut self, file: File) -> &mut Vec<u8> {
        match file {
            File::Data => &mut self.data,
            File::Journal => &mut self.journal,
        }
    }
}

/// What changes a disk.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) file: File,
    pub(crate) change: Change,
}

/// What changes a file.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { offset: usize, data: Arc<[u8]> },
    SetLen(usize),
    Sync,
}

impl Change {
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

/// What is safe, and what is not yet.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    durable: Images,
    unsynced: Vec<Operation>,
}

impl Written {
    /// All of this is safe.
    pub(crate) fn new(images: Images) -> Self {
        Self {
            durable: images,
            unsynced: Vec::new(),
        }
    }

    pub(crate) fn perform(&mut self, operation: Operation) {
        match operation.change {
            Change::Sync => {
                let image = self.durable.of_mut(operation.file);
                let (synced, rest) = std::mem::take(&mut self.unsynced)
                    .into_iter()
                    .partition(|done| done.file == operation.file);
                self.unsynced = rest;
                let synced: Vec<Operation> = synced;
                synced.iter().for_each(|done| done.change.apply(image));
            }
            _ => self.unsynced.push(operation),
        }
    }

    /// Whether all is.
    pub(crate) fn is_safe(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// As a power cut leaves it.
    pub(crate) fn cut(&self, cut: Cut, chance: &mut Chance) -> Self {
        match cut {
            // Nor has what a killed process leaves become safe.
            Cut::Kept => self.clone(),
            cut => Self::new(self.images(cut, chance)),
        }
    }

    /// As the system shows it.
    pub(crate) fn seen(&self) -> Images {
        self.images(Cut::Kept, &mut Chance::new(0))
    }

    fn images(&self, cut: Cut, chance: &mut Chance) -> Images {
        let mut left = self.durable.clone();
        for file in File::ALL {
            *left.of_mut(file) = self.cut_file(file, cut, chance);
        }
        left
    }

    fn cut_file(&self, file: File, cut: Cut, chance: &mut Chance) -> Vec<u8> {
        let unsynced = self.unsynced.iter().filter(|done| done.file == file);
        let unsynced: Vec<_> = unsynced.map(|done| &done.change).collect();
        cut.image(file, self.durable.of(file), &unsynced, chance)
    }

    /// A sync of `file` fails: some of it was written, and none will be.
    fn fail_to_sync(&mut self, file: File, chance: &mut Chance) {
        *self.durable.of_mut(file) = self.cut_file(file, Cut::Subset, chance);
        self.unsynced.retain(|done| done.file != file);
    }
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
    written: Written,
    seen: Images,
    /// All, from the first.
    log: Vec<Operation>,
    fault: Option<(Fault, Chance)>,
    failed: Option<usize>,
    reads: usize,
    failing_read: Option<usize>,
    open: bool,
}

impl CrashDisk {
    /// One on which nothing was written yet.
    pub(crate) fn empty() -> Self {
        Self::new(Written::new(Images::new()))
    }

    /// As the system has it, which may not all be safe.
    pub(crate) fn new(written: Written) -> Self {
        Self(Arc::new(Mutex::new(State {
            seen: written.seen(),
            written,
            log: Vec::new(),
            fault: None,
            failed: None,
            reads: 0,
            failing_read: None,
            open: false,
        })))
    }

    /// An empty one that fails.
    pub(crate) fn with_fault(fault: Fault, chance: Chance) -> Self {
        let disk = Self::empty();
        disk.state().fault = Some((fault, chance));
        disk
    }

    /// One whose read number `at` fails, and no other.
    pub(crate) fn with_failing_read(written: Written, at: usize) -> Self {
        let disk = Self::new(written);
        disk.state().failing_read = Some(at);
        disk
    }

    /// A barrier on it.
    pub(crate) async fn open(&self, random: Arc<dyn Random>) -> Result<Barrier, OpenError> {
        self.state().open = true;
        let [data, journal] = File::ALL.map(|file| Backend(self.clone(), file));
        Barrier::open_backend(data, journal, random).await
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

    /// The same, if it was one of the data file: what the journal fails to keep goes there.
    pub(crate) fn failed_data(&self) -> Option<usize> {
        let state = self.state();
        state.failed.filter(|at| state.log[*at].file == File::Data)
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
    pub(crate) fn written(&self) -> Written {
        self.state().written.clone()
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
        operation.change.apply(self.seen.of_mut(operation.file));
        self.written.perform(operation);
        Ok(())
    }

    fn fail(&mut self, fault: Fault, mut chance: Chance, Operation { file, change }: Operation) {
        match change {
            // A part of it may be there.
            Change::Write { offset, data } => {
                let data = data[..chance.within(0..data.len() + 1)].into();
                let change = Change::Write { offset, data };
                change.apply(self.seen.of_mut(file));
                self.written.perform(Operation { file, change });
            }
            Change::SetLen(_) => {}
            Change::Sync => {
                self.written.fail_to_sync(file, &mut chance);
                if fault.pages == Pages::Leave {
                    self.seen = self.written.seen();
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

/// A file as the store has it.
#[derive(Debug)]
struct Backend(CrashDisk, File);

impl Backend {
    fn perform(&self, change: Change) -> io::Result<()> {
        let file = self.1;
        self.0.state().perform(Operation { file, change })
    }
}

impl StorageBackend for Backend {
    /// What is asked first. See [`Pages::Stay`].
    fn len(&self) -> io::Result<u64> {
        let mut state = self.0.state();
        if state.failed.is_some() {
            state.seen = state.written.seen();
        }
        Ok(state.seen.of(self.1).len() as u64)
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
        let stored = state.seen.of(self.1).get(offset..end);
        out.copy_from_slice(stored.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.perform(Change::SetLen(position(length)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.perform(Change::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = position(offset)?;
        let data = data.into();
        self.perform(Change::Write { offset, data })
    }

    /// The store releases its locks with the data file, last of all.
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
