//! A component in the catalog: its bytes always, its compiled code while the barrier is open.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use host_logical::{Call, Description, Engine, EngineError, EngineKind, Imports, Options};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::admission::{self, Admitted};
use crate::bindings::exports::coffer::engine::{backend, metadata};
use crate::cache::{CacheKey, CodeCache, Digest};
use crate::describe;
use crate::engine::{Ticker, new_engine};
use crate::imports;
use crate::instance::{CallState, Instance, InstanceCall, Room};
use crate::lane::Lane;
use crate::limits;
use crate::meter::Habit;
use crate::outcome;

/// What all plugins of a host share.
pub(crate) struct Shared {
    pub(crate) cache: Option<CodeCache>,
    /// None while sealed.
    pub(crate) key: Mutex<Option<Arc<CacheKey>>>,
    pub(crate) compiling: Semaphore,
    pub(crate) compiled: AtomicU64,
    /// All that were admitted and are still in use, in the catalog or on a mount.
    pub(crate) plugins: Mutex<Vec<Weak<Plugin>>>,
    pub(crate) ticker: Ticker,
    pub(crate) lane: Arc<Lane>,
    pub(crate) room_wait: Duration,
}

impl Shared {
    /// Without a key every plugin lets its compiled code go. Calls that run keep it until they end.
    pub(crate) fn set_key(&self, key: Option<CacheKey>) {
        let sealing = key.is_none();
        let mut current = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        *current = key.map(Arc::new);
        if sealing {
            // Still under the lock: what is being loaded now will find that it may not stay.
            let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
            for plugin in plugins.iter().filter_map(Weak::upgrade) {
                *plugin.prepared() = None;
            }
        }
    }

    fn watch(&self, plugin: &Arc<Plugin>) {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|plugin| plugin.strong_count() > 0);
        plugins.push(Arc::downgrade(plugin));
    }

    fn key(&self) -> Result<Arc<CacheKey>, EngineError> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        key.clone().ok_or_else(sealed)
    }
}

fn sealed() -> EngineError {
    EngineError::Load("the barrier is sealed, and no engine is loaded while it is".to_owned())
}

/// A component by name and version.
pub(crate) struct Plugin {
    pub(crate) kind: EngineKind,
    pub(crate) name: String,
    pub(crate) version: String,
    wasm: Cow<'static, [u8]>,
    digest: Digest,
    admitted: Admitted,
    shared: Arc<Shared>,
    prepared: Mutex<Option<Arc<Prepared>>>,
    /// One compiles, the others wait for it.
    loading: tokio::sync::Mutex<()>,
    descriptions: Mutex<HashMap<Options, Arc<Description>>>,
    /// When it describes itself.
    habit: Habit,
}

/// Compiled, linked and looked up: everything of a call that does not change between calls.
pub(crate) struct Prepared {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) pre: InstancePre<CallState>,
    pub(crate) backend: BackendExports,
    all_of_backend: backend::GuestIndices,
    metadata: metadata::GuestIndices,
    pub(crate) lane: Arc<Lane>,
    /// As many as the pool has places.
    room: Arc<Semaphore>,
}

/// Where a component exports what calls need.
pub(crate) struct BackendExports {
    pub(crate) initialize: ComponentExportIndex,
    pub(crate) exists: ComponentExportIndex,
    pub(crate) handle: ComponentExportIndex,
}

impl BackendExports {
    fn find(component: &Component) -> Option<Self> {
        let backend = component.get_export_index(None, "coffer:engine/backend@0.1.0")?;
        let export = |name| component.get_export_index(Some(&backend), name);
        Some(Self {
            initialize: export("initialize")?,
            exists: export("exists")?,
            handle: export("handle")?,
        })
    }
}

impl Plugin {
    /// Refuses what may not run here; compiles nothing yet.
    pub(crate) fn admit(
        shared: &Arc<Shared>,
        kind: EngineKind,
        name: &str,
        version: &str,
        wasm: Cow<'static, [u8]>,
    ) -> Result<Arc<Self>, EngineError> {
        let admitted = admission::admit(&wasm)?;
        let hash = digest::digest(&digest::SHA256, &wasm);
        let mut digest = Digest::default();
        digest.copy_from_slice(hash.as_ref());
        let plugin = Arc::new(Self {
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            wasm,
            digest,
            admitted,
            shared: Arc::clone(shared),
            prepared: Mutex::new(None),
            loading: tokio::sync::Mutex::new(()),
            descriptions: Mutex::new(HashMap::new()),
            habit: Habit::default(),
        });
        shared.watch(&plugin);
        Ok(plugin)
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The compiled component: from memory, from the cache, or compiled now.
    pub(crate) async fn ready(self: &Arc<Self>) -> Result<Arc<Prepared>, EngineError> {
        if let Some(prepared) = self.in_memory()? {
            return Ok(prepared);
        }
        let _alone = self.loading.lock().await;
        if let Some(prepared) = self.in_memory()? {
            return Ok(prepared);
        }
        let key = self.shared.key()?;
        let _permit = self.shared.compiling.acquire().await.map_err(host)?;
        let plugin = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || plugin.prepare(&key))
            .await
            .map_err(|error| EngineError::Load(format!("the compiler fails on it: {error}")))??;
        self.keep(Arc::new(prepared))
    }

    async fn describe(
        self: &Arc<Self>,
        options: &Options,
    ) -> Result<Arc<Description>, EngineError> {
        if let Some(known) = self.descriptions().get(options) {
            return Ok(Arc::clone(known));
        }
        let opened = Instant::now();
        let prepared = self.ready().await?;
        let room = Room {
            _mount: None,
            _pool: place(&prepared.room, self.shared.room_wait).await?,
        };
        let imports = describe::nothing_granted(options);
        let mut instance =
            Instance::open(&prepared, imports, opened, room, self.habit.clone()).await?;
        let (store, exports) = instance.exports()?;
        let metadata = prepared
            .metadata
            .load(&mut *store, exports)
            .map_err(|error| {
                outcome::not_loaded("does not export `metadata` as it should", &error)
            })?;

        // Calls look at the types of what they call only; all of them are looked at here, once.
        prepared
            .all_of_backend
            .load(&mut *store, exports)
            .map_err(|error| {
                outcome::not_loaded("does not export `backend` as it should", &error)
            })?;

        let mut guest = instance.begin()?;
        guest.store.data_mut().read_only = true;
        let options_sent: Vec<_> = options.clone().into_iter().collect();
        let work = async move {
            let result = metadata
                .call_describe(&mut guest.store, &options_sent)
                .await;
            guest.end(result)
        };
        let (described, _) = instance.run(work).await?;
        let description = Arc::new(describe::description(self.kind, described)?);

        let mut known = self.descriptions();
        if known.len() >= limits::DESCRIPTIONS {
            known.clear();
        }
        known.insert(options.clone(), Arc::clone(&description));
        Ok(description)
    }

    fn descriptions(&self) -> MutexGuard<'_, HashMap<Options, Arc<Description>>> {
        self.descriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn prepared(&self) -> MutexGuard<'_, Option<Arc<Prepared>>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_memory(&self) -> Result<Option<Arc<Prepared>>, EngineError> {
        let key = self
            .shared
            .key
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if key.is_none() {
            return Err(sealed());
        }
        Ok(self.prepared().clone())
    }

    /// Keeps what was loaded, unless the barrier was sealed meanwhile.
    fn keep(&self, prepared: Arc<Prepared>) -> Result<Arc<Prepared>, EngineError> {
        let key = self
            .shared
            .key
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if key.is_none() {
            return Err(sealed());
        }
        *self.prepared() = Some(Arc::clone(&prepared));
        Ok(prepared)
    }

    /// On a blocking thread: reserves a pool, loads or compiles, links.
    fn prepare(&self, key: &CacheKey) -> Result<Prepared, EngineError> {
        let engine = new_engine(&self.name)?;
        let component = self.component(key, &engine)?;
        let memories = component
            .resources_required()
            .map_or(1, |required| required.num_memories.max(1));
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker, self.admitted.wants_wasi)
            .map_err(|error| outcome::not_loaded("cannot be linked", &error))?;
        let pre = linker.instantiate_pre(&component).map_err(|error| {
            outcome::not_loaded("does not fit the imports of this host", &error)
        })?;
        let exports = |error| outcome::not_loaded("does not export what an engine must", &error);
        let metadata = metadata::GuestIndices::new(&pre).map_err(exports)?;
        let all_of_backend = backend::GuestIndices::new(&pre).map_err(exports)?;
        let backend = BackendExports::find(&component)
            .ok_or_else(|| EngineError::Load("does not export `backend`".to_owned()))?;
        self.shared.ticker.watch(&engine);
        Ok(Prepared {
            engine,
            pre,
            backend,
            all_of_backend,
            metadata,
            lane: Arc::clone(&self.shared.lane),
            room: Arc::new(Semaphore::new(
                (limits::INSTANCES_PER_PLUGIN / memories).max(1) as usize,
            )),
        })
    }

    fn component(
        &self,
        key: &CacheKey,
        engine: &wasmtime::Engine,
    ) -> Result<Component, EngineError> {
        let refused = |error| outcome::not_loaded("does not compile", &error);
        let Some(cache) = &self.shared.cache else {
            self.shared.compiled.fetch_add(1, Ordering::Relaxed);
            return Component::from_binary(engine, &self.wasm).map_err(refused);
        };
        if let Some(component) = cache.load(key, engine, &self.digest) {
            return Ok(component);
        }
        self.shared.compiled.fetch_add(1, Ordering::Relaxed);
        let component = Component::from_binary(engine, &self.wasm).map_err(refused)?;
        let code = component.serialize().map_err(refused)?;
        if let Err(error) = cache.store(key, engine, &self.digest, &code) {
            tracing::warn!(plugin = self.name, %error, "compiled code cannot be cached; the next start compiles again");
        }
        Ok(component)
    }
}

/// A plugin on one mount: the mount's own limit on calls at a time stands before the plugin's.
pub(crate) struct Mounted {
    plugin: Arc<Plugin>,
    room: Arc<Semaphore>,
    habit: Habit,
}

impl Mounted {
    pub(crate) fn new(plugin: Arc<Plugin>, calls: usize) -> Self {
        Self {
            plugin,
            room: Arc::new(Semaphore::new(calls)),
            habit: Habit::default(),
        }
    }
}

#[async_trait]
impl Engine for Mounted {
    async fn describe(&self, options: &Options) -> Result<Arc<Description>, EngineError> {
        self.plugin.describe(options).await
    }

    async fn open(&self, imports: Imports) -> Result<Box<dyn Call>, EngineError> {
        let opened = Instant::now();
        let prepared = self.plugin.ready().await?;
        let patience = self.plugin.shared.room_wait.min(imports.limits.wall);
        let mount = place(&self.room, patience).await?;
        let patience = patience.saturating_sub(opened.elapsed());
        let room = Room {
            _mount: Some(mount),
            _pool: place(&prepared.room, patience).await?,
        };
        Ok(Box::new(
            InstanceCall::open(&prepared, imports, opened, room, self.habit.clone()).await?,
        ))
    }
}

/// A place, waited for in turn.
async fn place(
    room: &Arc<Semaphore>,
    patience: Duration,
) -> Result<tokio::sync::OwnedSemaphorePermit, EngineError> {
    if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
        return Ok(permit);
    }
    match tokio::time::timeout(patience, Arc::clone(room).acquire_owned()).await {
        Ok(permit) => permit.map_err(host),
        Err(_) => Err(EngineError::Busy {
            retry_after: limits::RETRY_AFTER,
        }),
    }
}

fn host(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Host(Box::new(error))
}
