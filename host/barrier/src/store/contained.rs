//! redb's database, contained.
//!
//! redb checks most of what it reads from a file, and asserts the rest: over a page that is damaged it may panic.
//! Whatever calls it does so through [`contained`], which makes of that an error of the call that met it.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, DatabaseError, StorageBackend, StorageError};

use crate::limits;

/// Does what calls redb. A panic in it is the same as damage that redb has seen.
pub(super) fn contained<T, E: From<StorageError>>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    // What the work holds is dropped with it, and redb poisons what it has half done.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = "redb panicked over the data file; its words are on stderr";
        Err(StorageError::Corrupted(what.to_owned()).into())
    })
}

/// A database whose closing is contained, too: once something in it has panicked, that may as well.
pub(super) struct Contained(Option<Database>);

impl Contained {
    /// On `backend`, which is empty or has a database.
    pub(super) fn over(backend: impl StorageBackend) -> Result<Self, DatabaseError> {
        contained(|| Ok(Self(Some(builder().create_with_backend(backend)?))))
    }
}

impl Deref for Contained {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("it is taken when it is dropped")
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let database = self.0.take();
        // What could not be closed is opened as after a crash.
        drop(contained(|| {
            drop(database);
            Ok::<_, StorageError>(())
        }));
    }
}

/// How every database of ours is opened.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(limits::CACHE_BYTES);
    builder
}
