//! The disk under redb, in a form that a second database can take over from a first one that gave it up.
//!
//! After an error of its backend redb uses that backend no more: every read that its cache does not answer
//! fails, and every write. What it needs then is to be opened anew, as after a crash. Here that takes neither
//! a restart nor the path (which may lead elsewhere by now): the same open file goes to a new database.
//!
//! Invariants
//! - One database at a time uses the disk. Who gave it up gets errors, once what it had begun is done: its
//!   snapshots know nothing of the pages that its successor writes over.
//! - Locks are taken once, by the first database, and released by [`Disk::close`] only. redb would release
//!   them with each database, and another process could come between two of ours.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{BackendError, StorageBackend};

/// See the module. A clone is the same one, for the same database.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Arc<dyn StorageBackend>,
    /// The file behind the backend, unless it is simulated.
    file: Option<Arc<File>>,
    /// Whether the locks were taken by a database before this one.
    inherited: bool,
    /// Held shared by whatever uses the backend.
    given_up: RwLock<bool>,
}

impl Disk {
    /// `file` is what `backend` is stored in, if it is a file.
    pub(super) fn new(backend: impl StorageBackend, file: Option<File>) -> Self {
        if let Some(file) = &file {
            // A process before this one may have met a failing sync.
            forget_cached_pages(file);
        }
        Self(Arc::new(Inner {
            backend: Arc::new(backend),
            file: file.map(Arc::new),
            inherited: false,
            given_up: RwLock::new(false),
        }))
    }

    /// The same disk for another database. This one's has it no more.
    pub(super) fn hand_over(&self) -> Self {
        *self
            .0
            .given_up
            .write()
            .unwrap_or_else(PoisonError::into_inner) = true;
        if let Some(file) = &self.0.file {
            forget_cached_pages(file);
        }
        Self(Arc::new(Inner {
            backend: self.0.backend.clone(),
            file: self.0.file.clone(),
            inherited: true,
            given_up: RwLock::new(false),
        }))
    }

    /// Releases the locks: the last database was closed.
    pub(super) fn close(&self) {
        // The system releases them with the file, if not now.
        drop(self.0.backend.close());
    }

    fn with<T>(&self, use_it: impl FnOnce(&dyn StorageBackend) -> io::Result<T>) -> io::Result<T> {
        let given_up = self
            .0
            .given_up
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if *given_up {
            return Err(io::Error::other("another database uses the disk now"));
        }
        use_it(&*self.0.backend)
    }
}

/// After a failed sync Linux may hold pages that it takes for written and that are not on the disk. Without
/// them what is read next is what is there. It is advice: pages of which the system will not let go stay.
fn forget_cached_pages(file: &File) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.with(|backend| backend.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|backend| backend.read(offset, out))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|backend| backend.set_len(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|backend| backend.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|backend| backend.write(offset, data))
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        match self.0.inherited {
            true => Ok(true),
            false => self.0.backend.try_lock_range(start, end),
        }
    }

    /// Called where a backend turns out to have no locks.
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        match self.0.inherited {
            true => Ok(()),
            false => self.0.backend.unlock_range(start, end),
        }
    }
}
