//! How wasmtime is set up, and the clock tick that ends guests which run too long.
//!
//! Each plugin has a wasmtime engine of its own, with its own pool of memories: no plugin ever gets
//! a slot that another has used.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use host_logical::EngineError;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig, Strategy, WasmBacktraceDetails,
};

use crate::limits;
use crate::outcome;

/// An engine for one plugin. Where the address space for its pool cannot be had (a container with a
/// limit on it, or very many plugins), memories are made on demand: slower, and as safe.
pub(crate) fn new_engine(plugin: &str) -> Result<Engine, EngineError> {
    match Engine::new(&config(pool())) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(
                plugin,
                error = format!("{error:#}"),
                "no address space for a pool of instances; making each on demand"
            );
            Engine::new(&config(InstanceAllocationStrategy::OnDemand))
                .map_err(|error| outcome::not_loaded("cannot be set up", &error))
        }
    }
}

fn config(allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    // One compiler, the one that is fuzzed and audited most: Winch had several escapes.
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    config.wasm_component_model(true);
    // The async ABI and its tables are where most advisories of this release line are, and
    // a call without it is twice as fast. Host functions are async all the same.
    config.concurrency_support(false);
    // GHSA-cfhf, GHSA-hw8m, GHSA-43j2, GHSA-wvgq: the collector, exceptions and typed references.
    config.gc_support(false);
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    // RUSTSEC-2025-0118; and a guest that serves one call has no use for them.
    config.wasm_threads(false);
    config.shared_memory(false);
    // 32 bits: guard pages catch every stray pointer, without a check for it.
    config.wasm_memory64(false);
    // `wasm_multi_memory` stays on: where one component is made of several (QuickJS is), wasmtime
    // joins them by modules of its own that reach two memories, and panics without it.
    // Results may differ between processors: a call could not be replayed.
    config.wasm_relaxed_simd(false);

    config.epoch_interruption(true);
    config.max_wasm_stack(limits::WASM_STACK_BYTES);
    config.async_stack_size(limits::ASYNC_STACK_BYTES);
    // A stack that is used again still holds what host functions left on it.
    config.async_stack_zeroing(true);
    config.memory_init_cow(true);
    config.memory_guaranteed_dense_image_size(limits::DENSE_IMAGE_BYTES);

    // Said here, or an environment variable decides. Frames of a guest go to the log only.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(16));
    config.allocation_strategy(allocation);
    config
}

fn pool() -> InstanceAllocationStrategy {
    let instances = limits::INSTANCES_PER_PLUGIN;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances * limits::CORE_INSTANCES_PER_COMPONENT)
        .total_memories(instances)
        .total_tables(instances * limits::TABLES_PER_COMPONENT)
        .max_core_instances_per_component(limits::CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(limits::MEMORIES_PER_COMPONENT)
        .max_tables_per_component(limits::TABLES_PER_COMPONENT)
        .max_component_instance_size(limits::INSTANCE_BYTES)
        .max_core_instance_size(limits::INSTANCE_BYTES)
        .max_memory_size(limits::MEMORY_BYTES)
        .table_elements(limits::TABLE_ELEMENTS)
        .max_tables_per_module(limits::TABLES_PER_COMPONENT)
        .max_unused_warm_slots(limits::WARM_SLOTS)
        .linear_memory_keep_resident(limits::MEMORY_KEEP_RESIDENT)
        .table_keep_resident(limits::TABLE_KEEP_RESIDENT)
        .async_stack_keep_resident(limits::STACK_KEEP_RESIDENT)
        // Given back as the call ends, not when some others have: until then it holds what the guest,
        // and host functions on its stack, had in memory.
        .decommit_batch_size(1)
        // The scan looks at present pages only: one that was swapped out dirty is not wiped, and the
        // next guest reads it (wasmtime#14357; seen here on 48.0.8). Off until that is mended.
        .pagemap_scan(Enabled::No);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Advances the epoch of every engine. One thread for all; it ends with the last handle.
pub(crate) struct Ticker {
    engines: Arc<Mutex<Vec<EngineWeak>>>,
}

impl Ticker {
    pub(crate) fn start() -> std::io::Result<Self> {
        let engines = Arc::new(Mutex::new(Vec::new()));
        let watched = Arc::downgrade(&engines);
        std::thread::Builder::new()
            .name("engine-ticks".to_owned())
            .spawn(move || while tick(&watched) {})?;
        Ok(Self { engines })
    }

    pub(crate) fn watch(&self, engine: &Engine) {
        self.engines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(engine.weak());
    }
}

fn tick(engines: &Weak<Mutex<Vec<EngineWeak>>>) -> bool {
    std::thread::sleep(limits::EPOCH_TICK);
    let Some(engines) = engines.upgrade() else {
        return false;
    };
    engines
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|engine| match engine.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                true
            }
            None => false,
        });
    true
}
