//! What the sandbox costs: KV's component, called as core calls it, against the same code natively.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::{Map, json};

use coffer_sdk::testing::TestHost;
use host_logical::{
    Ambient, CallLimits, EngineKind, EngineRequest, Engines as _, Imports, Mount, Operation, Page,
    Peer, RequestId, SecretBytes, Secrets, SecretsError, Storage, StorageError,
};
use host_runtime::{EngineHost, RuntimeConfig};

/// Batches of which the median is taken, and calls in each.
const BATCHES: usize = 50;
const CALLS: usize = 100;

/// Names and microseconds.
pub(crate) async fn measure() -> Result<Vec<(&'static str, f64)>> {
    let host = EngineHost::new(RuntimeConfig::default())?;
    host.set_cache_key(Some([7; 32]));
    let engine = host
        .engine(EngineKind::Secrets, "kv")
        .await?
        .context("kv is built in")?;
    let options = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
    engine.describe(&options).await?;
    let mount = Arc::new(Mount {
        path: "secret/".into(),
        options,
        ..Mount::default()
    });
    let imports = Imports {
        request_id: RequestId::from_random([1; 16]),
        mount: mount.clone(),
        storage: Arc::new(Memory::default()),
        ambient: Arc::new(Still),
        secrets: Arc::new(NoSecrets),
        limits: CallLimits {
            wall: Duration::from_secs(60),
            compute: Duration::from_secs(5),
            memory_bytes: 64 << 20,
        },
    };
    let secret = json!({ "username": "app", "password": "x".repeat(250) });
    let mut data = Map::new();
    data.insert("data".into(), secret.clone());
    let request = |operation, data: &Map<_, _>| EngineRequest {
        id: RequestId::from_random([1; 16]),
        operation,
        path: "data/app".into(),
        params: vec![("path".into(), "app".into())],
        data: data.clone(),
        secrets: Vec::new(),
        headers: Vec::new(),
        mount: (*mount).clone(),
        caller: None,
        peer: Peer::default(),
        raw: None,
    };
    let mut call = engine.open(imports.clone()).await?;
    call.handle(request(Operation::Update, &data)).await?;
    drop(call);

    let mut empty = Vec::new();
    let mut read = Vec::new();
    let mut write = Vec::new();
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 0..CALLS {
            drop(engine.open(imports.clone()).await?);
        }
        empty.push(begun.elapsed());
        let begun = Instant::now();
        for _ in 0..CALLS {
            let mut call = engine.open(imports.clone()).await?;
            call.handle(request(Operation::Read, &Map::new())).await?;
        }
        read.push(begun.elapsed());
        let begun = Instant::now();
        for _ in 0..CALLS {
            let mut call = engine.open(imports.clone()).await?;
            call.handle(request(Operation::Update, &data)).await?;
        }
        write.push(begun.elapsed());
    }

    let mut native = TestHost::with_options(&engines_kv::engine, &[("version", "2")]);
    native.write("data/app", json!({ "data": secret }));
    let mut native_read = Vec::new();
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(native.read("data/app"));
        }
        native_read.push(begun.elapsed());
    }
    Ok(vec![
        ("sandbox: fresh instance, no call", each(empty)),
        ("sandbox: fresh instance and KV v2 read", each(read)),
        ("sandbox: fresh instance and KV v2 write", each(write)),
        (
            "native: KV v2 read (the SDK's test host)",
            each(native_read),
        ),
    ])
}

/// Microseconds a call: the median of the batches.
fn each(mut batches: Vec<Duration>) -> f64 {
    batches.sort_unstable();
    batches[batches.len() / 2].as_secs_f64() * 1e6 / CALLS as f64
}

/// Storage without transactions, ciphers and disk: what is left is the sandbox.
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
