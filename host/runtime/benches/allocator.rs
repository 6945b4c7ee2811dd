//! What wasmtime's ways to allocate an instance cost: a fresh instance of the KV engine, one read in
//! it, and its end, on one thread and on two, for each option that `src/engine.rs` decides.
//!
//! The first line is what the product has set; each other line differs from it in what it says. The
//! rounds of all lines are interleaved, and the best of each counts: what else the machine does
//! comes and goes, and only ever takes.
//!
//! `cargo bench -p host-runtime --bench allocator [milliseconds of one round] [part of a name]`

#[path = "../src/bindings.rs"]
mod bindings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use host_logical::SecretBytes;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, Resource, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    UpdateDeadline,
};

use bindings::coffer::engine::{ambient, log, secrets, storage, types};
use bindings::exports::coffer::engine::backend;

const KV: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kv.wasm"));
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const ROUNDS: usize = 5;
const INSTANCES: u32 = 128;

/// The options that are varied.
#[derive(Clone)]
struct Options {
    pooled: bool,
    memory_keep: usize,
    table_keep: usize,
    stack_keep: usize,
    stack_size: usize,
    stack_zeroing: bool,
    batch: usize,
    copy_on_write: bool,
    warm_slots: u32,
    pagemap: bool,
    guard_bytes: Option<u64>,
    reservation: Option<u64>,
}

/// As `src/limits.rs` has them.
const SET: Options = Options {
    pooled: true,
    memory_keep: 2 * MIB,
    table_keep: 64 * KIB,
    stack_keep: 64 * KIB,
    stack_size: 2 * MIB,
    stack_zeroing: true,
    batch: 1,
    copy_on_write: true,
    warm_slots: 16,
    pagemap: false,
    guard_bytes: None,
    reservation: None,
};

fn variants() -> Vec<(&'static str, Options)> {
    vec![
        ("as set", SET),
        (
            "memory keep 0",
            Options {
                memory_keep: 0,
                ..SET
            },
        ),
        (
            "memory keep 256 KiB",
            Options {
                memory_keep: 256 * KIB,
                ..SET
            },
        ),
        (
            "table keep 0",
            Options {
                table_keep: 0,
                ..SET
            },
        ),
        (
            "stack not zeroed",
            Options {
                stack_zeroing: false,
                ..SET
            },
        ),
        (
            "stack keep 0",
            Options {
                stack_keep: 0,
                ..SET
            },
        ),
        (
            "stack keep 32 KiB",
            Options {
                stack_keep: 32 * KIB,
                ..SET
            },
        ),
        (
            "stack keep 128 KiB",
            Options {
                stack_keep: 128 * KIB,
                ..SET
            },
        ),
        ("batches of 16", Options { batch: 16, ..SET }),
        (
            "stack of 1 MiB",
            Options {
                stack_size: MIB,
                ..SET
            },
        ),
        (
            "stack of 640 KiB",
            Options {
                stack_size: 640 * KIB,
                ..SET
            },
        ),
        (
            "stack of 640 KiB, all kept",
            Options {
                stack_size: 640 * KIB,
                stack_keep: 640 * KIB,
                ..SET
            },
        ),
        (
            "memory image copied",
            Options {
                copy_on_write: false,
                ..SET
            },
        ),
        (
            "no warm slots",
            Options {
                warm_slots: 0,
                ..SET
            },
        ),
        (
            "guard of 64 KiB",
            Options {
                guard_bytes: Some(64 << 10),
                ..SET
            },
        ),
        (
            "reservation of 256 MiB",
            Options {
                reservation: Some(256 << 20),
                ..SET
            },
        ),
        (
            "on demand",
            Options {
                pooled: false,
                ..SET
            },
        ),
        // Not to be used: it was seen to leak another component's memory under swap.
        (
            "pagemap scan",
            Options {
                pagemap: true,
                ..SET
            },
        ),
    ]
}

fn engine(options: &Options) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.gc_support(false);
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    config.wasm_threads(false);
    config.shared_memory(false);
    config.wasm_memory64(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(512 * KIB);
    config.async_stack_size(options.stack_size);
    config.async_stack_zeroing(options.stack_zeroing);
    config.memory_init_cow(options.copy_on_write);
    config.memory_guaranteed_dense_image_size(64 * MIB as u64);
    if let Some(bytes) = options.guard_bytes {
        config.memory_guard_size(bytes);
    }
    if let Some(bytes) = options.reservation {
        config.memory_reservation(bytes);
    }
    config.allocation_strategy(match options.pooled {
        false => InstanceAllocationStrategy::OnDemand,
        true => {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_component_instances(INSTANCES)
                .total_stacks(INSTANCES)
                .total_core_instances(INSTANCES * 64)
                .total_memories(INSTANCES)
                .total_tables(INSTANCES * 16)
                .max_component_instance_size(4 * MIB)
                .max_core_instance_size(4 * MIB)
                .max_memory_size(256 * MIB)
                .table_elements(100_000)
                .max_tables_per_module(16)
                .max_unused_warm_slots(options.warm_slots)
                .linear_memory_keep_resident(options.memory_keep)
                .table_keep_resident(options.table_keep)
                .async_stack_keep_resident(options.stack_keep)
                .decommit_batch_size(options.batch)
                .pagemap_scan(match options.pagemap {
                    true => Enabled::Yes,
                    false => Enabled::No,
                });
            InstanceAllocationStrategy::Pooling(pool)
        }
    });
    Engine::new(&config)
}

/// A line of the table.
struct Line {
    name: &'static str,
    kv: Arc<Kv>,
    /// Calls a second, the best so far.
    one: f64,
    two: f64,
}

fn main() -> wasmtime::Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let millis = arguments
        .first()
        .and_then(|word| word.parse().ok())
        .unwrap_or(100);
    let part = arguments.get(1).map_or("", String::as_str);
    let round = Duration::from_millis(millis);

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut lines = Vec::new();
    for (name, options) in variants() {
        if !name.contains(part) {
            continue;
        }
        match Kv::new(&options).and_then(|kv| runtime.block_on(kv.write()).map(|()| kv)) {
            Ok(kv) => lines.push(Line {
                name,
                kv: Arc::new(kv),
                one: 0.0,
                two: 0.0,
            }),
            Err(error) => say(&format!("{name}: not to be had here: {error:#}")),
        }
    }
    for _ in 0..ROUNDS {
        for line in &mut lines {
            line.one = line.one.max(rate(&line.kv, 1, round)?);
            line.two = line.two.max(rate(&line.kv, 2, round)?);
        }
    }
    say(&format!(
        "{:<28} {:>9} {:>9} {:>9} {:>8}",
        "", "us each", "1 thread", "2 threads", "scaling"
    ));
    for Line { name, one, two, .. } in lines {
        say(&format!(
            "{name:<28} {:>9.1} {one:>9.0} {two:>9.0} {:>8.2}",
            1e6 / one,
            two / one
        ));
    }
    Ok(())
}

fn say(line: &str) {
    use std::io::Write as _;
    // Nobody is left to be told if it fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Reads a second on so many threads.
fn rate(kv: &Arc<Kv>, threads: usize, round: Duration) -> wasmtime::Result<f64> {
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let kv = Arc::clone(kv);
            std::thread::spawn(move || -> wasmtime::Result<u32> {
                let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                runtime.block_on(async {
                    let mut reads = 0;
                    while begun.elapsed() < round {
                        for _ in 0..16 {
                            kv.read().await?;
                        }
                        reads += 16;
                    }
                    Ok(reads)
                })
            })
        })
        .collect();
    let mut reads = 0;
    for worker in workers {
        reads += worker.join().expect("no panic")?;
    }
    Ok(f64::from(reads) / begun.elapsed().as_secs_f64())
}

/// The KV engine, prepared as the product prepares it.
struct Kv {
    engine: Engine,
    pre: InstancePre<State>,
    backend: backend::GuestIndices,
    records: Records,
}

type Records = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

impl Kv {
    fn new(options: &Options) -> wasmtime::Result<Self> {
        let engine = engine(options)?;
        let component = Component::from_binary(&engine, KV)?;
        let mut linker = Linker::new(&engine);
        ambient::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        storage::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        secrets::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        let pre = linker.instantiate_pre(&component)?;
        let backend = backend::GuestIndices::new(&pre)?;
        Ok(Self {
            engine,
            pre,
            backend,
            records: Arc::default(),
        })
    }

    async fn write(&self) -> wasmtime::Result<()> {
        let password = "x".repeat(250);
        let data = format!(r#"{{"data":{{"username":"app","password":"{password}"}}}}"#);
        self.call(types::Operation::Update, data.into_bytes()).await
    }

    async fn read(&self) -> wasmtime::Result<()> {
        self.call(types::Operation::Read, b"{}".to_vec()).await
    }

    async fn call(&self, operation: types::Operation, data: Vec<u8>) -> wasmtime::Result<()> {
        let state = State {
            records: Arc::clone(&self.records),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let instance = self.pre.instantiate_async(&mut store).await?;
        let backend = self.backend.load(&mut store, &instance)?;
        let answer = backend
            .call_handle(&mut store, &request(operation, data))
            .await?;
        answer
            .map(drop)
            .map_err(|error| wasmtime::Error::msg(format!("{error:?}")))
    }
}

fn request(operation: types::Operation, data: Vec<u8>) -> backend::Request {
    backend::Request {
        id: "00000000-0000-0000-0000-000000000000".to_owned(),
        operation,
        path: "data/app".to_owned(),
        params: vec![("path".to_owned(), "app".to_owned())],
        data,
        secrets: Vec::new(),
        headers: Vec::new(),
        mount: backend::Mount {
            path: "secret/".to_owned(),
            accessor: "kv_00000000".to_owned(),
            default_lease_ttl: 3600,
            max_lease_ttl: 7200,
            options: vec![("version".to_owned(), "2".to_owned())],
        },
        caller: None,
        peer: backend::Peer {
            address: None,
            certificates: Vec::new(),
        },
        raw: None,
    }
}

/// Records in memory, and what KV never asks for.
struct State {
    records: Records,
    table: ResourceTable,
}

impl types::Host for State {}

impl ambient::Host for State {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(1_767_225_600_000)
    }

    async fn sleep(&mut self, _: u32) -> wasmtime::Result<()> {
        Ok(())
    }

    async fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        Ok(vec![7; length as usize])
    }
}

impl storage::Host for State {
    async fn get(
        &mut self,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, storage::Error>> {
        Ok(Ok(self.locked().get(&key).cloned()))
    }

    async fn get_many(
        &mut self,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, storage::Error>> {
        let records = self.locked();
        Ok(Ok(keys
            .iter()
            .map(|key| records.get(key).cloned())
            .collect()))
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), storage::Error>> {
        self.locked().insert(key, value);
        Ok(Ok(()))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), storage::Error>> {
        self.locked().remove(&key);
        Ok(Ok(()))
    }

    async fn list_keys(
        &mut self,
        _: String,
        _: Option<String>,
        _: u32,
    ) -> wasmtime::Result<Result<storage::Page, storage::Error>> {
        Err(unasked())
    }

    async fn uncheck_reads(&mut self) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl State {
    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.records.lock().expect("nobody panics with it")
    }
}

impl log::Host for State {
    async fn log(
        &mut self,
        _: log::Level,
        _: String,
        _: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl secrets::Host for State {
    async fn generate_password(
        &mut self,
        _: Option<String>,
    ) -> wasmtime::Result<Result<Resource<SecretBytes>, String>> {
        Err(unasked())
    }

    async fn generate_token(&mut self, _: u32) -> wasmtime::Result<Resource<SecretBytes>> {
        Err(unasked())
    }

    async fn from_bytes(&mut self, _: Vec<u8>) -> wasmtime::Result<Resource<SecretBytes>> {
        Err(unasked())
    }

    async fn seal(&mut self, _: Resource<SecretBytes>, _: String) -> wasmtime::Result<Vec<u8>> {
        Err(unasked())
    }

    async fn unseal(
        &mut self,
        _: Vec<u8>,
        _: String,
    ) -> wasmtime::Result<Result<Resource<SecretBytes>, String>> {
        Err(unasked())
    }

    async fn concat(
        &mut self,
        _: Vec<Resource<SecretBytes>>,
    ) -> wasmtime::Result<Resource<SecretBytes>> {
        Err(unasked())
    }

    async fn encode(
        &mut self,
        _: Resource<SecretBytes>,
        _: String,
    ) -> wasmtime::Result<Result<Resource<SecretBytes>, String>> {
        Err(unasked())
    }
}

impl secrets::HostSecret for State {
    async fn length(&mut self, secret: Resource<SecretBytes>) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.table.get(&secret)?.len()).unwrap_or(u32::MAX))
    }

    async fn drop(&mut self, secret: Resource<SecretBytes>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}

fn unasked() -> wasmtime::Error {
    wasmtime::Error::msg("KV does not ask for it")
}
