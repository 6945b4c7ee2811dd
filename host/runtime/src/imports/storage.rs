//! `storage`: the mount's records in the transaction of the call.
//!
//! What the engine did wrong comes back to it as a value. A store that fails ends the call, and
//! the guest never learns of it.

use host_logical::{EngineError, Storage, StorageError};

use crate::bindings::coffer::engine::storage::{self, Error, Page};
use crate::meter::Meter;

pub(crate) struct StorageImports<'a> {
    pub(crate) meter: &'a mut Meter,
    pub(crate) storage: &'a dyn Storage,
    /// In `exists` and `describe`.
    pub(crate) read_only: bool,
}

impl StorageImports<'_> {
    fn answer<T>(&mut self, result: Result<T, StorageError>) -> wasmtime::Result<Result<T, Error>> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(StorageError::InvalidKey(why)) => Ok(Err(Error::InvalidKey(why))),
            Err(StorageError::TooLarge(limit)) => Ok(Err(Error::TooLarge(limit))),
            Err(StorageError::ReadOnly) => Ok(Err(Error::ReadOnly)),
            Err(StorageError::Broken(source)) => Err(self.meter.end(EngineError::Host(source))),
        }
    }
}

impl storage::Host for StorageImports<'_> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let result = self.meter.wait(self.storage.get(&key)).await?;
        self.answer(result)
    }

    async fn get_many(
        &mut self,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, Error>> {
        // One crossing, but as much work for the host as so many.
        for _ in &keys {
            self.meter.count()?;
        }
        let result = self.meter.wait(self.storage.get_many(&keys)).await?;
        self.answer(result)
    }

    async fn put(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        if self.read_only {
            self.meter.count()?;
            return Ok(Err(Error::ReadOnly));
        }
        let result = self.meter.wait(self.storage.put(&key, &value)).await?;
        self.answer(result)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        if self.read_only {
            self.meter.count()?;
            return Ok(Err(Error::ReadOnly));
        }
        let result = self.meter.wait(self.storage.delete(&key)).await?;
        self.answer(result)
    }

    async fn list_keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Page, Error>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let listing = self.storage.list(&prefix, after.as_deref(), limit);
        let result = self.meter.wait(listing).await?;
        self.answer(result.map(|page| Page {
            keys: page.keys,
            next: page.next,
        }))
    }

    async fn uncheck_reads(&mut self) -> wasmtime::Result<()> {
        self.meter.count()?;
        self.storage.uncheck_reads();
        Ok(())
    }
}
