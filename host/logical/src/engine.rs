//! The one joint: what an engine is. Components (`host-runtime`) and the native built-ins of
//! `host-core` both answer as a [`Call`].

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Description, EngineError, EngineKind, EngineRequest, EngineResponse, Imports, Mount, Options,
};

/// A loaded engine, ready to serve one mount.
#[async_trait]
pub trait Engine: Send + Sync {
    /// What it serves on a mount with these options. Asked often: an implementation remembers.
    async fn describe(&self, options: &Options) -> Result<Arc<Description>, EngineError>;

    /// A fresh instance for one call. It waits for room, then says [`EngineError::Busy`].
    async fn open(&self, imports: Imports) -> Result<Box<dyn Call>, EngineError>;
}

/// One call, one instance. Dropped afterwards, whatever happened.
#[async_trait]
pub trait Call: Send {
    /// When mounted (`from` is none), tuned, or when the stored layout is older.
    async fn initialize(&mut self, from: Option<u32>, mount: &Mount) -> Result<(), EngineError>;

    /// Whether the addressed item is there; `handle` follows on the same instance. May only read.
    async fn exists(&mut self, request: &EngineRequest) -> Result<bool, EngineError>;

    /// Serves the request.
    async fn handle(&mut self, request: EngineRequest) -> Result<EngineResponse, EngineError>;
}

/// Which engines there are.
#[async_trait]
pub trait Engines: Send + Sync {
    /// A handle of its own for one mount, with its own limit on calls at a time.
    /// None: no engine of that name and kind is in the catalog.
    async fn engine(
        &self,
        kind: EngineKind,
        name: &str,
    ) -> Result<Option<Arc<dyn Engine>>, EngineError>;

    /// Names in the catalog with their versions, sorted.
    fn names(&self, kind: EngineKind) -> Vec<(String, String)>;

    /// Called when the barrier opens, with a key to authenticate cached machine code by, and
    /// with none when it seals: then compiled code and instances are let go.
    fn set_cache_key(&self, key: Option<[u8; 32]>);
}
