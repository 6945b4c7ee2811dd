//! The engines that come with the host. `build.rs` made components of what is in `engines/`.

use host_logical::EngineKind;

pub(crate) struct Embedded {
    pub(crate) kind: EngineKind,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) wasm: &'static [u8],
}

pub(crate) const ENGINES: &[Embedded] = &[Embedded {
    kind: EngineKind::Secrets,
    name: "kv",
    // Host and engines are one workspace, with one version.
    version: env!("CARGO_PKG_VERSION"),
    wasm: include_bytes!(concat!(env!("OUT_DIR"), "/kv.wasm")),
}];
