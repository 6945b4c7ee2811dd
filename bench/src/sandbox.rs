//! What the sandbox costs: KV's component, called as core calls it, against the same code natively.
//!
//! Storage is a map in memory, so that what is left is the sandbox.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::{Map, Value};

use coffer_sdk::testing::TestHost;
use host_logical::{
    Ambient, Call, CallLimits, Engine, EngineError, EngineKind, EngineRequest, Engines as _,
    Imports, Mount, Operation, Page, Peer, RequestId, SecretBytes, Secrets, SecretsError, Storage,
    StorageError,
};
use host_runtime::{EngineHost, RuntimeConfig};

use crate::process::own_cpu;
use crate::report::{Bound, Report};
use crate::sample::{median, micros, micros_awaited, micros_each, ratio};
use crate::server::secret;

/// Calls in a batch.
const CALLS: usize = 100;
/// Turns of what is compared, and how long a turn takes with threads.
const TURNS: usize = 15;
const TURN: Duration = Duration::from_millis(150);

/// Microseconds of a KV 2 read.
pub(crate) struct Reads {
    /// In a fresh instance, as every request is served.
    pub(crate) fresh: f64,
    /// Without a sandbox.
    pub(crate) native: f64,
}

/// The figures, and the targets that stand on them.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    report.part("sandbox, in process (microseconds of CPU time)");
    let kv = Kv::load().await?;
    let reads = reads(&kv).await?;
    let instance = micros_awaited(CALLS, async || kv.open().await.map(drop)).await?;
    let write = micros_awaited(CALLS, async || {
        let mut call = kv.open().await?;
        kv.write(&mut call).await
    });
    let write = write.await?;
    let mut live_in_turns = Vec::new();
    let mut fresh_in_turns = Vec::new();
    for _ in 0..TURNS {
        fresh_in_turns.push(kv.fresh_reads(CALLS).await?);
        live_in_turns.push(kv.live_reads(CALLS).await?);
    }
    let live_ratio = ratio(&fresh_in_turns, &live_in_turns);
    report.figure("fresh instance, no call", instance, "us");
    report.figure("fresh instance and KV v2 read", reads.fresh, "us");
    report.figure("fresh instance and KV v2 write", write, "us");
    report.figure("KV v2 read in a live instance", median(live_in_turns), "us");
    report.figure(
        "KV v2 read natively (the SDK's test host)",
        reads.native,
        "us",
    );

    let mut one = Vec::new();
    let mut two = Vec::new();
    for _ in 0..TURNS {
        one.push(kv.reads_on_threads(1)?);
        two.push(kv.reads_on_threads(2)?);
    }
    report.figure(
        "fresh instance and KV v2 read, one thread",
        median(one.clone()),
        "/s",
    );
    report.figure(
        "fresh instance and KV v2 read, two threads",
        median(two.clone()),
        "/s",
    );
    report.target(
        "KV v2 read, fresh instance / live instance, time",
        Bound::AtMost(3.0),
        live_ratio,
        "",
    );
    report.target(
        "KV v2 read in process, two threads / one, rate",
        Bound::AtLeast(1.6),
        ratio(&two, &one),
        "",
    );
    Ok(())
}

/// What a read costs in the sandbox, and without it.
pub(crate) async fn reads(kv: &Kv) -> Result<Reads> {
    let fresh = micros_awaited(CALLS, async || {
        let mut call = kv.open().await?;
        kv.read(&mut call).await
    });
    let fresh = fresh.await?;
    let mut native = TestHost::with_options(&engines_kv::engine, &[("version", "2")]);
    native.write("data/app", secret());
    let native = micros(CALLS, || {
        std::hint::black_box(native.read("data/app"));
    });
    Ok(Reads { fresh, native })
}

/// KV's component on a mount of its own, with a secret in it.
#[derive(Clone)]
pub(crate) struct Kv {
    engine: Arc<dyn Engine>,
    imports: Imports,
    secret: Map<String, Value>,
}

impl Kv {
    pub(crate) async fn load() -> Result<Self> {
        let host = EngineHost::new(RuntimeConfig::default())?;
        host.set_cache_key(Some([7; 32]));
        let engine = host.engine(EngineKind::Secrets, "kv").await?;
        let options = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
        let mount = Mount {
            path: "secret/".into(),
            options,
            ..Mount::default()
        };
        let Value::Object(secret) = secret() else {
            unreachable!("a secret is an object");
        };
        let kv = Self {
            engine: engine.context("kv is built in")?,
            imports: Imports {
                request_id: RequestId::from_random([1; 16]),
                mount: Arc::new(mount),
                storage: Arc::new(Memory::default()),
                ambient: Arc::new(Still),
                secrets: Arc::new(NoSecrets),
                limits: CallLimits {
                    wall: Duration::from_secs(60),
                    compute: Duration::from_secs(5),
                    memory_bytes: 64 << 20,
                },
            },
            secret,
        };
        kv.engine.describe(&kv.imports.mount.options).await?;
        kv.write(&mut kv.open().await?).await?;
        Ok(kv)
    }

    async fn open(&self) -> Result<Box<dyn Call>, EngineError> {
        self.engine.open(self.imports.clone()).await
    }

    async fn read(&self, call: &mut Box<dyn Call>) -> Result<(), EngineError> {
        let request = self.request(Operation::Read, Map::new());
        call.handle(request).await.map(drop)
    }

    async fn write(&self, call: &mut Box<dyn Call>) -> Result<(), EngineError> {
        let request = self.request(Operation::Update, self.secret.clone());
        call.handle(request).await.map(drop)
    }

    fn request(&self, operation: Operation, data: Map<String, Value>) -> EngineRequest {
        EngineRequest {
            id: self.imports.request_id.clone(),
            operation,
            path: "data/app".into(),
            params: vec![("path".into(), "app".into())],
            data,
            secrets: Vec::new(),
            headers: Vec::new(),
            mount: (*self.imports.mount).clone(),
            caller: None,
            peer: Peer::default(),
            raw: None,
        }
    }

    /// Microseconds for each of `count` reads, each in an instance of its own.
    async fn fresh_reads(&self, count: usize) -> Result<f64> {
        let begun = own_cpu();
        for _ in 0..count {
            self.read(&mut self.open().await?).await?;
        }
        Ok(micros_each(own_cpu() - begun, count))
    }

    /// The same in one instance that is there already, as no request is served.
    async fn live_reads(&self, count: usize) -> Result<f64> {
        let mut call = self.open().await?;
        self.read(&mut call).await?;
        let begun = own_cpu();
        for _ in 0..count {
            self.read(&mut call).await?;
        }
        Ok(micros_each(own_cpu() - begun, count))
    }

    /// Reads a second in fresh instances, on so many threads.
    fn reads_on_threads(&self, threads: usize) -> Result<f64> {
        let work = || -> Result<usize> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let end = Instant::now() + TURN;
                let mut count = 0;
                while Instant::now() < end {
                    self.read(&mut self.open().await?).await?;
                    count += 1;
                }
                Ok(count)
            })
        };
        let count: Result<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let counts = threads.into_iter().map(|thread| {
                let count = thread.join();
                count.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
            });
            counts.sum()
        });
        Ok(count? as f64 / TURN.as_secs_f64())
    }
}

/// Storage without transactions, ciphers and disk.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for Memory {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.map().get(key).cloned())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        Ok(keys
            .iter()
            .map(|key| self.map().get(key).cloned())
            .collect())
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.map().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.map().remove(key);
        Ok(())
    }

    async fn list(&self, _: &str, _: Option<&str>, _: usize) -> Result<Page, StorageError> {
        Ok(Page::default())
    }

    fn uncheck_reads(&self) {}
}

/// A clock that stands still, and chance that is none: neither is measured.
struct Still;

#[async_trait]
impl Ambient for Still {
    fn now_millis(&self) -> u64 {
        1_767_225_600_000
    }

    fn fill_random(&self, buf: &mut [u8]) {
        buf.fill(7);
    }

    async fn sleep(&self, _: Duration) {}
}

/// KV keeps no secrets by handle.
struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn generate_password(&self, _: Option<&str>) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }

    fn generate_token(&self, _: u32) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }

    fn seal(&self, _: &SecretBytes, _: &str) -> Result<Vec<u8>, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }

    fn unseal(&self, _: &[u8], _: &str) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }
}
