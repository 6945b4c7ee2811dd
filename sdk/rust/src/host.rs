//! All that an engine can reach.
//!
//! In a component these are its imports; natively they lead to the fake host of `testing`.
//! A call goes straight to the import of the same name and nothing is dispatched at run time: that
//! is why a component imports only what it calls.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::time::Timestamp;
use crate::{Error, StorageError};

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::guest::{Imports, SecretHandle};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::{Imports, SecretHandle};

/// The host, for the length of one call.
#[derive(Debug)]
pub struct Host {
    pub(crate) imports: Imports,
}

impl Host {
    /// The time at which this call began; stands still within it.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.imports.now())
    }

    /// Waits, within the deadline of the call.
    pub fn sleep(&self, duration: Duration) {
        let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        self.imports.sleep(millis);
    }

    /// Random bytes, at most 4,096.
    pub fn random(&self, length: u32) -> Vec<u8> {
        self.imports.random(length)
    }

    /// A number below `bound`, each as likely as the others; 0 if `bound` is 0.
    pub fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // A draw in the last, incomplete round of `bound` would favour small numbers.
        let last_round = u64::MAX - u64::MAX % bound;
        loop {
            let mut draw = [0; 8];
            draw.copy_from_slice(&self.random(8));
            let draw = u64::from_le_bytes(draw);
            if draw < last_round {
                return draw % bound;
            }
        }
    }

    /// Sealed storage of this mount.
    pub fn storage(&self) -> Storage<'_> {
        Storage {
            imports: &self.imports,
        }
    }

    /// Plaintext that stays in the host.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets {
            imports: &self.imports,
        }
    }

    /// Writes to the server's log, with the mount and the request's id. Never log a secret.
    pub fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        self.imports.log(level, message, fields);
    }
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Sealed storage of this mount: no key can name another mount's data.
///
/// Keys are segments between slashes: none empty, no `.` or `..`, at most 1,024 bytes together.
/// Reads see the state at the start of the call plus the call's own writes. Writes become durable
/// together when the handler returns `Ok`, and not at all otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'h> {
    imports: &'h Imports,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Direct children in byte order; one that has children ends in `/`.
    pub keys: Vec<String>,
    /// Pass as `after` to go on; none at the end.
    pub next: Option<String>,
}

impl Storage<'_> {
    /// The value under `key`, or none.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.imports.get(key)
    }

    /// As [`get`](Self::get) for each key, in one crossing.
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        self.imports.get_many(keys)
    }

    /// Sets the value under `key`.
    pub fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.imports.put(key, value)
    }

    /// Removes `key`. A missing key is no error.
    pub fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.imports.delete(key)
    }

    /// Children of `prefix`, which is empty or ends in `/`; `limit` 0 asks for the host's most.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, StorageError> {
        self.imports.list_keys(prefix, after, limit)
    }

    /// Reads from here on are not checked at commit: for reports, tidying and rebuilt indexes.
    pub fn uncheck_reads(&self) {
        self.imports.uncheck_reads();
    }

    /// The value under `key`, stored as JSON.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key)? else {
            return Ok(None);
        };
        // The parser's own words may repeat what is stored, so only the place is told.
        serde_json::from_slice(&value).map(Some).map_err(|error| {
            let column = error.column();
            Error::internal(format!("a stored record is damaged at column {column}"))
        })
    }

    /// Sets the value under `key` to JSON.
    pub fn put_json(&self, key: &str, value: &impl Serialize) -> Result<(), Error> {
        let value = serde_json::to_vec(value)
            .map_err(|error| Error::internal(format!("cannot serialize a record: {error}")))?;
        Ok(self.put(key, &value)?)
    }
}

/// A plaintext in the host's memory: an engine can pass it on, not read it.
#[derive(Debug)]
pub struct Secret {
    pub(crate) handle: SecretHandle,
}

impl Secret {
    /// Its length in bytes.
    pub fn length(&self) -> u32 {
        self.handle.length()
    }
}

/// Makes and keeps secrets without seeing them.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'h> {
    imports: &'h Imports,
}

impl Secrets<'_> {
    /// A password after the named password policy, or the host's default.
    pub fn generate_password(&self, policy: Option<&str>) -> Result<Secret, Error> {
        self.imports
            .generate_password(policy)
            .map_err(Error::InvalidRequest)
    }

    /// Random text in base62, of this many characters.
    pub fn generate_token(&self, length: u32) -> Secret {
        self.imports.generate_token(length)
    }

    /// Gives the host custody of a value that the engine already has.
    pub fn from_bytes(&self, value: &[u8]) -> Secret {
        self.imports.secret_from_bytes(value)
    }

    /// A sealed form for storage; it opens only in this mount, with the same `context`.
    pub fn seal(&self, secret: &Secret, context: &str) -> Vec<u8> {
        self.imports.seal(secret, context)
    }

    /// Opens what [`seal`](Self::seal) made.
    pub fn unseal(&self, sealed: &[u8], context: &str) -> Result<Secret, Error> {
        self.imports
            .unseal(sealed, context)
            .map_err(Error::Internal)
    }

    /// One after the other, such as a PEM bundle with its private key.
    pub fn concat(&self, parts: &[&Secret]) -> Secret {
        self.imports.concat(parts)
    }

    /// As text: `base64`, `base64url` or `hex`.
    pub fn encode(&self, secret: &Secret, encoding: &str) -> Result<Secret, Error> {
        self.imports
            .encode(secret, encoding)
            .map_err(Error::Internal)
    }
}
