//! A host to test with, and guests made of WebAssembly text.

#![expect(dead_code, reason = "each test binary needs a part of it")]

mod guest;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use host_logical::{
    Ambient, Call, CallLimits, Engine, EngineError, EngineKind, EngineRequest, EngineResponse,
    Engines as _, Imports, Mount, Operation, Options, Page, Peer, RequestId, SecretBytes, Secrets,
    SecretsError, Storage, StorageError,
};
use host_runtime::{EngineHost, RuntimeConfig};
use serde_json::Map;

pub(crate) use guest::Guest;

pub(crate) const KEY: [u8; 32] = [7; 32];

/// A host that is open, without a cache.
pub(crate) fn host() -> Arc<EngineHost> {
    host_with(RuntimeConfig::default())
}

pub(crate) fn host_with(config: RuntimeConfig) -> Arc<EngineHost> {
    let host = EngineHost::new(config).expect("a runtime starts");
    host.set_cache_key(Some(KEY));
    host
}

/// `guest`, registered and mounted.
pub(crate) async fn mounted(host: &EngineHost, guest: &Guest) -> Arc<dyn Engine> {
    host.register(EngineKind::Secrets, "test", "1.0.0", guest.component())
        .expect("the guest is admitted");
    let engine = host.engine(EngineKind::Secrets, "test").await;
    engine.expect("the guest loads").expect("it was registered")
}

/// What a test grants its calls, and sees of them afterwards.
#[derive(Clone)]
pub(crate) struct Grants {
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) limits: CallLimits,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            storage: Arc::default(),
            limits: CallLimits {
                wall: Duration::from_secs(30),
                compute: Duration::from_secs(10),
                memory_bytes: 64 << 20,
            },
        }
    }
}

impl Grants {
    pub(crate) fn imports(&self) -> Imports {
        Imports {
            request_id: RequestId::from_random([1; 16]),
            mount: Arc::new(mount()),
            storage: Arc::clone(&self.storage) as Arc<dyn Storage>,
            ambient: Arc::new(TestAmbient),
            secrets: Arc::new(TestSecrets),
            limits: self.limits,
        }
    }

    pub(crate) async fn open(
        &self,
        engine: &Arc<dyn Engine>,
    ) -> Result<Box<dyn Call>, EngineError> {
        engine.open(self.imports()).await
    }

    pub(crate) async fn handle(
        &self,
        engine: &Arc<dyn Engine>,
        request: EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        self.open(engine).await?.handle(request).await
    }
}

pub(crate) fn mount() -> Mount {
    Mount {
        path: "test/".to_owned(),
        accessor: "test_00000000".to_owned(),
        default_lease_ttl: 3600,
        max_lease_ttl: 7200,
        options: Options::new(),
    }
}

pub(crate) fn request(operation: Operation, path: &str) -> EngineRequest {
    EngineRequest {
        id: RequestId::from_random([1; 16]),
        operation,
        path: path.to_owned(),
        params: Vec::new(),
        data: Map::new(),
        secrets: Vec::new(),
        headers: Vec::new(),
        mount: mount(),
        caller: None,
        peer: Peer::default(),
        raw: None,
    }
}

pub(crate) fn read() -> EngineRequest {
    request(Operation::Read, "anything")
}

/// Records in memory. A key named `broken` stands for a disk that fails.
#[derive(Default)]
pub(crate) struct MemoryStorage(Mutex<BTreeMap<String, Vec<u8>>>);

impl MemoryStorage {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().expect("no test panics with it locked")
    }

    pub(crate) fn records(&self) -> BTreeMap<String, Vec<u8>> {
        self.locked().clone()
    }
}

fn checked(key: &str) -> Result<(), StorageError> {
    match key {
        "broken" => Err(StorageError::Broken("the disk is on fire".into())),
        key if key.is_empty() || key.contains("..") => {
            Err(StorageError::InvalidKey("no such segment".to_owned()))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        checked(key)?;
        Ok(self.locked().get(key).cloned())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let records = self.locked();
        Ok(keys.iter().map(|key| records.get(key).cloned()).collect())
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        checked(key)?;
        self.locked().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        checked(key)?;
        self.locked().remove(key);
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        _limit: usize,
    ) -> Result<Page, StorageError> {
        let records = self.locked();
        let mut keys: Vec<String> = records
            .keys()
            .filter_map(|key| key.strip_prefix(prefix))
            .map(|rest| match rest.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => rest.to_owned(),
            })
            .filter(|name| after.is_none_or(|after| name.as_str() > after))
            .collect();
        keys.dedup();
        Ok(Page { keys, next: None })
    }

    fn uncheck_reads(&self) {}
}

struct TestAmbient;

#[async_trait]
impl Ambient for TestAmbient {
    fn now_millis(&self) -> u64 {
        1_700_000_000_123
    }

    fn fill_random(&self, buf: &mut [u8]) {
        buf.fill(0xd1);
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Seals by naming the context: enough to see that the right thing was asked for.
struct TestSecrets;

#[async_trait]
impl Secrets for TestSecrets {
    async fn generate_password(&self, policy: Option<&str>) -> Result<SecretBytes, SecretsError> {
        match policy {
            None => Ok(SecretBytes::new(b"generated".to_vec())),
            Some(policy) => Err(SecretsError::NoSuchPolicy(policy.to_owned())),
        }
    }

    fn generate_token(&self, length: u32) -> Result<SecretBytes, SecretsError> {
        Ok(SecretBytes::new(vec![b't'; length as usize]))
    }

    fn seal(&self, secret: &SecretBytes, context: &str) -> Result<Vec<u8>, SecretsError> {
        Ok([context.as_bytes(), b":", secret.expose()].concat())
    }

    fn unseal(&self, sealed: &[u8], context: &str) -> Result<SecretBytes, SecretsError> {
        let prefix = format!("{context}:");
        match sealed.strip_prefix(prefix.as_bytes()) {
            Some(plain) => Ok(SecretBytes::new(plain.to_vec())),
            None => Err(SecretsError::DoesNotOpen),
        }
    }
}
