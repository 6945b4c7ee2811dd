//! Key/value secrets, as Vault's `kv`: version 1 keeps one value for a key, version 2 its history.
//!
//! Both versions store the same `record` in the same tree. What version 1 writes is a history of
//! one version, so upgrading a mount rewrites nothing and takes no time; going back is refused by
//! the host, since version 1 would show less than there is.
//!
//! Invariants
//! - What a client stores is never parsed to be stored or read: it goes in and out as its JSON
//!   text, and numbers keep their digits. Only a patch and `subkeys` look inside, and only as far
//!   as they must.
//! - A record has the data of its latest version in it; each older version has a record of its
//!   own. Reading the latest is one read of storage, writing is one read and at most two puts.

mod custom_metadata;
mod key;
mod limits;
mod listing;
mod merge;
mod record;
mod settings;
mod v1;
mod v2;

use coffer_sdk::{Engine, Error, Host, Mount, Options};

coffer_sdk::export!(engine);

/// The engine for a mount with these options: `version=2` has a history, all else has none.
pub fn engine(options: &Options) -> &'static Engine {
    match options.get("version") {
        Some("2") => &v2::ENGINE,
        _ => &v1::ENGINE,
    }
}

/// Refuses a version that there is none of. There is nothing to prepare.
fn initialize(_: &Host, _: Option<u32>, mount: &Mount) -> Result<(), Error> {
    match mount.options.get("version") {
        None | Some("" | "1" | "2") => Ok(()),
        Some(other) => Err(Error::invalid(format!(
            "unknown version {other:?} of the key/value engine: it is \"1\" or \"2\""
        ))),
    }
}
