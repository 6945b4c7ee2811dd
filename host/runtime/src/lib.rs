//! Components in, engines out: wasmtime, and nothing that it could give away. Untrusted code stops
//! here.
//!
//! Invariants
//! - One call, one fresh instance in a store of its own. What ended badly is dropped, never entered
//!   again.
//! - A component reaches what `imports.rs` links, and is refused by name when it asks for more.
//! - Every plugin has a pool of memories of its own: no slot is handed from one plugin to another.
//! - Machine code is loaded from disk only after its MAC verified, under a key that the barrier gives
//!   while it is open. While it is sealed, no compiled code is in memory.
//! - Nothing that a guest sends may panic the host, and nothing that the host knows of a failure
//!   reaches a guest.
//! - Each call ends: by its wall deadline when it waits, by its compute budget when it computes.
//! - A call that computes for long does so on threads of its own, behind the server's.
//!
//! A call that has begun is to be awaited to its end: whoever serves a client that may go away runs
//! it in a task of its own. Dropping a `Call` wipes its memory, which takes as long as a small engine's
//! whole answer (7 us): answer first, then drop. A task for each drop costs more than it saves:
//! threads wake up for it, and two of them did 20,000 calls a second in place of 56,000.

mod admission;
mod bindings;
mod cache;
mod clock;
mod convert;
mod describe;
mod embedded;
mod engine;
mod imports;
mod instance;
mod lane;
mod limits;
mod meter;
mod outcome;
mod plugin;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use host_logical::{Engine, EngineError, EngineKind, Engines};
use tokio::sync::Semaphore;

use crate::cache::{CacheKey, CodeCache};
use crate::engine::Ticker;
use crate::lane::Lane;
use crate::plugin::{Mounted, Plugin, Shared};

/// What an operator may set. `Default` is good for a server of any size.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Where compiled code is kept between starts; made with mode 0700 if it is not there. None
    /// compiles at every start.
    pub cache_dir: Option<PathBuf>,
    /// Calls at a time on one mount.
    pub calls_per_mount: usize,
    /// How long a call waits for room before it is told to come back.
    pub room_wait: Duration,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            // A slow engine on one mount leaves most of the pool to the others.
            calls_per_mount: 16,
            room_wait: limits::ROOM_WAIT,
        }
    }
}

/// Why the runtime did not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The directory for compiled code.
    #[error("directory for compiled code cannot be used: {path}")]
    CacheDir {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The thread that ends guests which run too long.
    #[error("thread for the engines' clock cannot be started")]
    Ticker(#[source] std::io::Error),
    /// The threads of calls that compute for long.
    #[error("threads for long calls cannot be started")]
    Lane(#[source] std::io::Error),
    /// A fault of this build.
    #[error("embedded engine {name} is unusable")]
    Embedded {
        /// Of the engine.
        name: &'static str,
        /// Why.
        #[source]
        source: EngineError,
    },
}

/// The engines that this host can run.
pub struct EngineHost {
    calls_per_mount: usize,
    shared: Arc<Shared>,
    catalog: RwLock<Catalog>,
}

type Catalog = BTreeMap<(EngineKind, String), Arc<Plugin>>;

impl EngineHost {
    /// A host with the embedded engines in its catalog. It is sealed: nothing loads before
    /// [`Engines::set_cache_key`].
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>, RuntimeError> {
        let cache = match config.cache_dir {
            None => None,
            Some(path) => match CodeCache::open(path.clone()) {
                Ok(cache) => Some(cache),
                Err(source) => return Err(RuntimeError::CacheDir { path, source }),
            },
        };
        let host = Self {
            calls_per_mount: config.calls_per_mount,
            shared: Arc::new(Shared {
                cache,
                key: Mutex::new(None),
                compiling: Semaphore::new(limits::COMPILATIONS),
                compiled: AtomicU64::new(0),
                plugins: Mutex::default(),
                ticker: Ticker::start().map_err(RuntimeError::Ticker)?,
                lane: Arc::new(Lane::start().map_err(RuntimeError::Lane)?),
                room_wait: config.room_wait,
            }),
            catalog: RwLock::default(),
        };
        for engine in embedded::ENGINES {
            host.add(
                engine.kind,
                engine.name,
                engine.version,
                Cow::Borrowed(engine.wasm),
            )
            .map_err(|source| RuntimeError::Embedded {
                name: engine.name,
                source,
            })?;
        }
        Ok(Arc::new(host))
    }

    /// Puts a component from elsewhere into the catalog, in place of one with the same kind and name;
    /// mounts that run the old one go on with it until they are opened anew. Gives its SHA-256.
    ///
    /// Imports and exports are checked here, and refused by name with what mends it; what only the
    /// compiler finds is found when the engine is first asked for.
    pub fn register(
        &self,
        kind: EngineKind,
        name: &str,
        version: &str,
        component: Vec<u8>,
    ) -> Result<[u8; 32], EngineError> {
        self.add(kind, name, version, Cow::Owned(component))
    }

    /// How many components were compiled since the start: what the cache could not give.
    pub fn compiled(&self) -> u64 {
        self.shared.compiled.load(Ordering::Relaxed)
    }

    fn add(
        &self,
        kind: EngineKind,
        name: &str,
        version: &str,
        wasm: Cow<'static, [u8]>,
    ) -> Result<[u8; 32], EngineError> {
        let plugin = Plugin::admit(&self.shared, kind, name, version, wasm)?;
        let digest = *plugin.digest();
        self.catalog
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((kind, name.to_owned()), plugin);
        Ok(digest)
    }

    fn plugin(&self, kind: EngineKind, name: &str) -> Option<Arc<Plugin>> {
        self.catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(kind, name.to_owned()))
            .cloned()
    }
}

#[async_trait]
impl Engines for EngineHost {
    async fn engine(
        &self,
        kind: EngineKind,
        name: &str,
    ) -> Result<Option<Arc<dyn Engine>>, EngineError> {
        let Some(plugin) = self.plugin(kind, name) else {
            return Ok(None);
        };
        // Now rather than at the first request: whoever mounts it sees why it does not load.
        plugin.ready().await?;
        Ok(Some(Arc::new(Mounted::new(plugin, self.calls_per_mount))))
    }

    fn names(&self, kind: EngineKind) -> Vec<(String, String)> {
        self.catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .filter(|plugin| plugin.kind == kind)
            .map(|plugin| (plugin.name.clone(), plugin.version.clone()))
            .collect()
    }

    fn set_cache_key(&self, key: Option<[u8; 32]>) {
        self.shared.set_key(key.map(|key| CacheKey::new(&key)));
    }
}
