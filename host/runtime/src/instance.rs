//! One call: a fresh wasmtime store, one instance in it, and its end.
//!
//! A store that trapped, was cut off or was left in the middle of a call is never entered again: it
//! is taken out before each call and comes back only when the guest has returned in order. The call owns
//! it, so that it can go on in the [`Lane`] if it becomes a long one.

use std::sync::Arc;

use async_trait::async_trait;
use host_logical::{Call, EngineError, EngineRequest, EngineResponse, Imports, Mount};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wasmtime::component::{
    self, ComponentExportIndex, ComponentNamedList, Lift, Lower, ResourceTable, TypedFunc,
};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::bindings::coffer::engine::types;
use crate::bindings::exports::coffer::engine::backend as wit;
use crate::convert;
use crate::imports::{AmbientImports, LogBudget, LogImports, SecretsImports, StorageImports, Wasi};
use crate::lane::Lane;
use crate::limits;
use crate::meter::{Habit, Meter, Turns};
use crate::outcome;
use crate::plugin::Prepared;

/// Room that a call has been given: one place of its mount, one of its plugin's pool.
pub(crate) struct Room {
    pub(crate) _mount: Option<OwnedSemaphorePermit>,
    pub(crate) _pool: OwnedSemaphorePermit,
}

/// A component, instantiated for one call.
pub(crate) struct Instance {
    /// None from the moment a call begins until it has ended well.
    guest: Option<Guest>,
    instance: component::Instance,
    turns: Arc<Turns>,
    lane: Arc<Lane>,
}

/// What goes with the guest to whichever thread it runs on.
pub(crate) struct Guest {
    pub(crate) store: Store<CallState>,
    /// Given back after the store, which occupies the pool.
    _room: Room,
}

impl Guest {
    /// What the guest returned; or how it failed, which is the end of its store.
    pub(crate) fn end<T>(mut self, result: wasmtime::Result<T>) -> Result<(T, Self), EngineError> {
        match result {
            Ok(value) => Ok((value, self)),
            Err(error) => Err(outcome::failure(&error, self.store.data_mut())),
        }
    }
}

impl Instance {
    /// `opened` is when the call was asked for: its deadline counts from there.
    pub(crate) async fn open(
        prepared: &Arc<Prepared>,
        imports: Imports,
        opened: Instant,
        room: Room,
        habit: Habit,
    ) -> Result<Self, EngineError> {
        let mut store = Store::new(&prepared.engine, CallState::new(imports, opened, habit));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits::HOSTCALL_FUEL);
        store.set_max_component_handles(limits::HANDLES);
        store.set_epoch_deadline(1);
        // Host data only: the store itself must not be touched from here (CVE-2026-104855).
        store.epoch_deadline_callback(|mut store| -> wasmtime::Result<UpdateDeadline> {
            Ok(store.data_mut().meter.tick())
        });
        let turns = Arc::clone(store.data().meter.turns());
        let mut guest = Guest { store, _room: room };
        let pre = prepared.pre.clone();
        let work = async move {
            let result = pre.instantiate_async(&mut guest.store).await;
            guest.end(result)
        };
        let (instance, guest) = prepared.lane.run(&turns, work).await??;
        Ok(Self {
            guest: Some(guest),
            instance,
            turns,
            lane: Arc::clone(&prepared.lane),
        })
    }

    /// The component's exports, looked up once an instance.
    pub(crate) fn exports(
        &mut self,
    ) -> Result<(&mut Store<CallState>, &component::Instance), EngineError> {
        match &mut self.guest {
            Some(guest) => Ok((&mut guest.store, &self.instance)),
            None => Err(spent()),
        }
    }

    /// Takes the guest for one call into it.
    pub(crate) fn begin(&mut self) -> Result<Guest, EngineError> {
        let mut guest = self.guest.take().ok_or_else(spent)?;
        // The epoch went on while the guest did not run.
        guest.store.set_epoch_deadline(1);
        Ok(guest)
    }

    /// As [`Instance::begin`], with the export that is to be called. Checking its type takes a
    /// microsecond, so only this one is looked up.
    fn begin_with<Params, Return>(
        &mut self,
        export: &ComponentExportIndex,
    ) -> Result<(Guest, TypedFunc<Params, Return>), EngineError>
    where
        Params: ComponentNamedList + Lower,
        Return: ComponentNamedList + Lift,
    {
        let mut guest = self.begin()?;
        match self.instance.get_typed_func(&mut guest.store, export) {
            Ok(function) => Ok((guest, function)),
            Err(error) => Err(outcome::not_loaded(
                "does not export `backend` as it should",
                &error,
            )),
        }
    }

    /// Awaits a call into the guest, and puts the guest back if it returned.
    pub(crate) async fn run<T: Send>(
        &mut self,
        call: impl Future<Output = Result<(T, Guest), EngineError>> + Send + 'static,
    ) -> Result<(T, &mut CallState), EngineError> {
        let (value, guest) = self.lane.run(&self.turns, call).await??;
        Ok((value, self.guest.insert(guest).store.data_mut()))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(guest) = self.guest.take()
            && self.turns.are_long()
        {
            self.lane.discard(guest);
        }
    }
}

fn spent() -> EngineError {
    EngineError::Internal("the instance has already failed and serves no further call".to_owned())
}

/// An engine's `backend`, in an instance of its own.
pub(crate) struct InstanceCall {
    instance: Instance,
    prepared: Arc<Prepared>,
}

impl InstanceCall {
    pub(crate) async fn open(
        prepared: &Arc<Prepared>,
        imports: Imports,
        opened: Instant,
        room: Room,
        habit: Habit,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            instance: Instance::open(prepared, imports, opened, room, habit).await?,
            prepared: prepared.clone(),
        })
    }
}

/// What every export of `backend` returns.
type Answer<T> = (Result<T, types::Error>,);

#[async_trait]
impl Call for InstanceCall {
    async fn initialize(&mut self, from: Option<u32>, mount: &Mount) -> Result<(), EngineError> {
        let export = &self.prepared.backend.initialize;
        let (mut guest, initialize) =
            (self.instance).begin_with::<(Option<u32>, &wit::Mount), Answer<()>>(export)?;
        let mount = convert::mount(mount);
        let call = async move {
            let result = initialize
                .call_async(&mut guest.store, (from, &mount))
                .await;
            guest.end(result)
        };
        let ((result,), _) = self.instance.run(call).await?;
        result.map_err(outcome::refusal)
    }

    async fn exists(&mut self, request: &EngineRequest) -> Result<bool, EngineError> {
        let export = &self.prepared.backend.exists;
        let (mut guest, exists) =
            (self.instance).begin_with::<(&wit::Request,), Answer<bool>>(export)?;
        let state = guest.store.data_mut();
        state.read_only = true;
        let request = convert::request(&mut state.table, request)?;
        let call = async move {
            let result = exists.call_async(&mut guest.store, (&request,)).await;
            guest.end(result)
        };
        let ((result,), state) = self.instance.run(call).await?;
        state.read_only = false;
        result.map_err(outcome::refusal)
    }

    async fn handle(&mut self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        let export = &self.prepared.backend.handle;
        let (mut guest, handle) =
            (self.instance).begin_with::<(&wit::Request,), Answer<wit::Response>>(export)?;
        let request = convert::request(&mut guest.store.data_mut().table, &request)?;
        let call = async move {
            let result = handle.call_async(&mut guest.store, (&request,)).await;
            guest.end(result)
        };
        let ((result,), state) = self.instance.run(call).await?;
        convert::response(&mut state.table, result.map_err(outcome::refusal)?)
    }
}

/// What a store holds: all that one call can reach, and what it has used of it.
pub(crate) struct CallState {
    pub(crate) imports: Imports,
    pub(crate) table: ResourceTable,
    pub(crate) meter: Meter,
    pub(crate) memory: MemoryLimit,
    /// While `exists` or `describe` runs.
    pub(crate) read_only: bool,
    pub(crate) wasi: Option<Wasi>,
    custody_bytes_left: usize,
    log: LogBudget,
}

impl CallState {
    fn new(imports: Imports, opened: Instant, habit: Habit) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES);
        Self {
            table,
            meter: Meter::new(opened, imports.limits, habit),
            memory: MemoryLimit::new(imports.limits.memory_bytes),
            read_only: false,
            wasi: None,
            custody_bytes_left: limits::CUSTODY_BYTES,
            log: LogBudget::new(),
            imports,
        }
    }

    pub(crate) fn ambient(&mut self) -> AmbientImports<'_> {
        AmbientImports {
            meter: &mut self.meter,
            ambient: &*self.imports.ambient,
        }
    }

    pub(crate) fn storage(&mut self) -> StorageImports<'_> {
        StorageImports {
            meter: &mut self.meter,
            storage: &*self.imports.storage,
            read_only: self.read_only,
        }
    }

    pub(crate) fn secrets(&mut self) -> SecretsImports<'_> {
        SecretsImports {
            meter: &mut self.meter,
            secrets: &*self.imports.secrets,
            table: &mut self.table,
            custody_bytes_left: &mut self.custody_bytes_left,
        }
    }

    pub(crate) fn log(&mut self) -> LogImports<'_> {
        LogImports {
            meter: &mut self.meter,
            budget: &mut self.log,
            mount: &self.imports.mount,
            request_id: &self.imports.request_id,
        }
    }
}

/// Caps a call's memories, all together, and remembers a denial: a guest out of memory ends in
/// `unreachable`, like any panic, and only this tells the two apart.
pub(crate) struct MemoryLimit {
    limit_bytes: usize,
    used_bytes: usize,
    denied: bool,
}

impl MemoryLimit {
    fn new(granted_bytes: usize) -> Self {
        Self {
            limit_bytes: granted_bytes.min(limits::MEMORY_BYTES),
            used_bytes: 0,
            denied: false,
        }
    }

    /// The limit, if the guest asked for more.
    pub(crate) fn denied_above(&self) -> Option<usize> {
        self.denied.then_some(self.limit_bytes)
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self
            .used_bytes
            .saturating_add(desired.saturating_sub(current));
        if used > self.limit_bytes {
            self.denied = true;
            return Ok(false);
        }
        self.used_bytes = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_PER_COMPONENT as usize
    }

    fn tables(&self) -> usize {
        limits::TABLES_PER_COMPONENT as usize
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_PER_COMPONENT as usize
    }
}
