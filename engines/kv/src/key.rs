//! The path of a secret, parsed once, and where its records are.

use coffer_sdk::{Error, Host, Request};

use crate::limits;

/// The path of a secret below the mount (and below `data/` and the like).
///
/// Invariant: one or more segments, none of them empty, `.` or `..`; short enough for storage.
pub(crate) struct Key<'r>(&'r str);

impl<'r> Key<'r> {
    /// The key that a write is for.
    pub(crate) fn to_write(request: &'r Request) -> Result<Self, Error> {
        Self::find(request)?.ok_or_else(|| Error::invalid("missing path"))
    }

    /// The key that a request names; none where no key can be: at the root, or in a folder.
    pub(crate) fn find(request: &'r Request) -> Result<Option<Self>, Error> {
        let path = request.param("path");
        if path.is_empty() || path.ends_with('/') {
            return Ok(None);
        }
        if path.len() > limits::PATH_BYTES {
            return Err(Error::invalid(format!(
                "the path of a secret has at most {} bytes",
                limits::PATH_BYTES
            )));
        }
        match path
            .split('/')
            .find(|part| matches!(*part, "" | "." | ".."))
        {
            Some(part) => Err(Error::invalid(format!(
                "the path of a secret has no segment {part:?}"
            ))),
            None => Ok(Some(Self(path))),
        }
    }

    /// Where the key's record is; the children of `key/` are what a listing shows.
    pub(crate) fn record(&self) -> String {
        format!("{}{}", RECORDS, self.0)
    }

    /// Where the data of one of its older versions is.
    pub(crate) fn version(&self, number: u64) -> String {
        format!("version/{}/{number}", self.0)
    }
}

/// The folder of all records.
pub(crate) const RECORDS: &str = "key/";

/// Whether the key that a request names is there: to tell an update from a create.
pub(crate) fn exists(host: &Host, request: &Request) -> Result<bool, Error> {
    match Key::find(request)? {
        Some(key) => Ok(host.storage().get(&key.record())?.is_some()),
        None => Ok(false),
    }
}
