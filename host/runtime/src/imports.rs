//! The host side of each interface that an engine may import: one file each, on a struct of borrows
//! that holds that interface's state and nothing else.
//!
//! An interface that is not linked here cannot be called, whatever a component says.

mod ambient;
mod log;
mod secrets;
mod storage;
mod wasi;

use wasmtime::component::{HasData, Linker};

use crate::bindings::coffer::engine as wit;
use crate::instance::CallState;

pub(crate) use ambient::AmbientImports;
pub(crate) use log::{LogBudget, LogImports, printable, printable_lines};
pub(crate) use secrets::SecretsImports;
pub(crate) use storage::StorageImports;
pub(crate) use wasi::Wasi;

/// What is linked for every component. `types` has no functions, so it needs no host.
pub(crate) const OFFERED: &[&str] = &["types", "ambient", "storage", "secrets", "log"];
/// In the WIT, and linked once the host has what stands behind them.
pub(crate) const NOT_YET: &[&str] = &[
    "reveal",
    "keys",
    "passwords",
    "intents",
    "timers",
    "sql",
    "http",
];
/// WASI 0.2 as toolchains import it unasked: there, and closed.
pub(crate) const WASI: &[&str] = &["cli", "clocks", "filesystem", "io", "random"];

/// Links everything in [`OFFERED`], and closed WASI for a component that imports some of it.
pub(crate) fn link(linker: &mut Linker<CallState>, with_wasi: bool) -> wasmtime::Result<()> {
    wit::ambient::add_to_linker::<_, HasAmbient>(linker, CallState::ambient)?;
    wit::storage::add_to_linker::<_, HasStorage>(linker, CallState::storage)?;
    wit::secrets::add_to_linker::<_, HasSecrets>(linker, CallState::secrets)?;
    wit::log::add_to_linker::<_, HasLog>(linker, CallState::log)?;
    if with_wasi {
        wasi::link(linker)?;
    }
    Ok(())
}

struct HasAmbient;
impl HasData for HasAmbient {
    type Data<'a> = AmbientImports<'a>;
}

struct HasStorage;
impl HasData for HasStorage {
    type Data<'a> = StorageImports<'a>;
}

struct HasSecrets;
impl HasData for HasSecrets {
    type Data<'a> = SecretsImports<'a>;
}

struct HasLog;
impl HasData for HasLog {
    type Data<'a> = LogImports<'a>;
}
