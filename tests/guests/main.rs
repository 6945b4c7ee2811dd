//! The same promises of every language's notes engine, through the real runtime: what `notes.wit`
//! says that it does. The components are those of `COFFER_GUESTS`, a folder that xtask fills.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use host_logical::{
    Ambient, Call, CallLimits, Engine, EngineError, EngineKind, EngineRequest, EngineResponse,
    Engines as _, Imports, Mount, Operation, Options, Page, PathTrait, Peer, Refusal, RequestId,
    SecretBytes, Secrets, SecretsError, Storage, StorageError,
};
use host_runtime::{EngineHost, RuntimeConfig};
use serde_json::{Value, json};

#[tokio::test]
async fn python_keeps_notes() {
    check("notes-python", "python").await;
}

#[tokio::test]
async fn javascript_on_spidermonkey_keeps_notes() {
    check("notes-javascript-spidermonkey", "javascript").await;
}

#[tokio::test]
async fn javascript_on_quickjs_keeps_notes() {
    check("notes-javascript-quickjs", "javascript").await;
}

#[tokio::test]
async fn go_keeps_notes() {
    check("notes-go", "go").await;
}

#[tokio::test]
async fn c_keeps_notes() {
    check("notes-c", "c").await;
}

async fn check(name: &str, language: &str) {
    let notes = Notes::mounted(name).await;
    notes.is_described().await;

    // Nothing is there.
    assert_eq!(notes.data(Operation::List, "notes/").await, Value::Null);
    assert_eq!(
        notes.refusal(Operation::Read, "notes/a").await,
        Refusal::NotFound
    );
    assert!(!notes.exists("notes/a").await);
    assert_eq!(
        notes.refusal(Operation::Create, "notes/a").await,
        Refusal::InvalidRequest("missing text".to_owned()),
    );

    // A note comes back as it went in, whatever is in it.
    let text = "é \"q\" \\ \n € 😀 {,}[] \u{1}";
    assert_eq!(
        notes.write("a", json!({ "text": text }), None).await,
        Value::Null
    );
    let note = json!({ "text": text, "language": language });
    assert_eq!(notes.data(Operation::Read, "notes/a").await, note);
    assert!(notes.exists("notes/a").await);

    // A pin passes through sealed, and what is not sent stays.
    notes.write("a", json!({}), Some("1234")).await;
    let note = json!({ "text": text, "language": language, "pin": "1234" });
    assert_eq!(notes.data(Operation::Read, "notes/a").await, note);
    notes.write("a", json!({ "text": "" }), None).await;
    let note = json!({ "text": "", "language": language, "pin": "1234" });
    assert_eq!(notes.data(Operation::Read, "notes/a").await, note);

    // They are listed, and gone when they are deleted.
    for name in ["b\"\\", "c", "ç"] {
        notes.write(name, json!({ "text": name }), None).await;
    }
    let keys = json!({ "keys": ["a", "b\"\\", "c", "ç"] });
    assert_eq!(notes.data(Operation::List, "notes/").await, keys);
    assert_eq!(notes.data(Operation::Delete, "notes/a").await, Value::Null);
    assert_eq!(
        notes.refusal(Operation::Read, "notes/a").await,
        Refusal::NotFound
    );

    // Time and chance are the host's.
    let now = json!({ "now": 1_700_000_000_123_u64, "random": "d1d1d1d1d1d1d1d1" });
    assert_eq!(notes.data(Operation::Read, "time").await, now);

    // Three ways not to answer.
    assert_eq!(
        notes.refusal(Operation::Read, "fail").await,
        Refusal::InvalidRequest("this path always fails".to_owned()),
    );
    assert_eq!(
        notes.refusal(Operation::Patch, "time").await,
        Refusal::UnsupportedOperation
    );
    let trapped = notes.handle(Operation::Read, "trap", json!({}), None).await;
    assert!(
        matches!(trapped, Err(EngineError::Trapped { .. })),
        "{trapped:?}"
    );

    // And it serves on.
    assert_eq!(notes.data(Operation::Read, "time").await, now);
}

/// One of the guests, mounted on records in memory.
struct Notes {
    engine: Arc<dyn Engine>,
    storage: Arc<Records>,
}

impl Notes {
    async fn mounted(name: &str) -> Self {
        let folder = std::env::var_os("COFFER_GUESTS")
            .expect("COFFER_GUESTS names the folder of the guests: `cargo xtask test` builds them");
        let file = PathBuf::from(folder).join(name).with_extension("wasm");
        let component = std::fs::read(file).expect("xtask built the guest");
        let host = EngineHost::new(RuntimeConfig::default()).expect("a runtime starts");
        host.set_cache_key(Some([7; 32]));
        host.register(EngineKind::Secrets, name, "0.1.0", component)
            .expect("the guest is admitted");
        let engine = host.engine(EngineKind::Secrets, name).await;
        let notes = Self {
            engine: engine.expect("the guest loads").expect("it was registered"),
            storage: Arc::default(),
        };
        let initialized = notes.open().await.initialize(None, &mount()).await;
        initialized.expect("it mounts");
        notes
    }

    /// A fresh instance, as the host has one for each call.
    async fn open(&self) -> Box<dyn Call> {
        let imports = Imports {
            request_id: RequestId::from_random([1; 16]),
            mount: Arc::new(mount()),
            storage: Arc::clone(&self.storage) as Arc<dyn Storage>,
            ambient: Arc::new(Frozen),
            secrets: Arc::new(Custody),
            limits: CallLimits {
                wall: Duration::from_secs(60),
                compute: Duration::from_secs(30),
                memory_bytes: 64 << 20,
            },
        };
        self.engine.open(imports).await.expect("there is room")
    }

    async fn is_described(&self) {
        let description = self.engine.describe(&Options::new()).await;
        let description = description.expect("it describes itself");
        assert_eq!(description.name, "notes");
        assert_eq!(description.kind, EngineKind::Secrets);
        let patterns: Vec<_> = (description.paths.iter())
            .map(|path| path.pattern.as_str())
            .collect();
        assert_eq!(patterns, ["notes/{name}", "notes", "time", "fail", "trap"]);
        let note = &description.paths[0];
        assert_eq!(note.traits, [PathTrait::ExistenceCheck]);
        let fields: Vec<_> = (note.fields.iter())
            .map(|field| (field.name.as_str(), field.secret))
            .collect();
        assert_eq!(fields, [("text", false), ("pin", true)]);
    }

    async fn exists(&self, path: &str) -> bool {
        let request = request(Operation::Create, path);
        let exists = self.open().await.exists(&request).await;
        exists.expect("it says whether there is one")
    }

    async fn write(&self, name: &str, data: Value, pin: Option<&str>) -> Value {
        let path = format!("notes/{name}");
        let answer = self.handle(Operation::Update, &path, data, pin).await;
        shown(answer.expect("an answer"))
    }

    async fn data(&self, operation: Operation, path: &str) -> Value {
        let answer = self.handle(operation, path, json!({}), None).await;
        shown(answer.expect("an answer"))
    }

    async fn refusal(&self, operation: Operation, path: &str) -> Refusal {
        match self.handle(operation, path, json!({}), None).await {
            Err(EngineError::Refused(refusal)) => refusal,
            other => panic!("no refusal: {other:?}"),
        }
    }

    async fn handle(
        &self,
        operation: Operation,
        path: &str,
        data: Value,
        pin: Option<&str>,
    ) -> Result<EngineResponse, EngineError> {
        let mut request = request(operation, path);
        request.data = data.as_object().expect("data is an object").clone();
        if let Some(pin) = pin {
            request.secrets = vec![("pin".to_owned(), SecretBytes::new(pin.into()))];
        }
        self.open().await.handle(request).await
    }
}

fn request(operation: Operation, path: &str) -> EngineRequest {
    EngineRequest {
        id: RequestId::from_random([1; 16]),
        operation,
        path: path.to_owned(),
        params: vec![("name".to_owned(), path.to_owned())],
        data: serde_json::Map::new(),
        secrets: Vec::new(),
        headers: Vec::new(),
        mount: mount(),
        caller: None,
        peer: Peer::default(),
        raw: None,
    }
}

fn mount() -> Mount {
    Mount {
        path: "notes/".to_owned(),
        accessor: "notes_00000000".to_owned(),
        default_lease_ttl: 3600,
        max_lease_ttl: 7200,
        options: Options::new(),
    }
}

/// The data with its secrets in their places; null where there is none.
fn shown(response: EngineResponse) -> Value {
    let mut data = match response.data {
        Some(text) => serde_json::from_str(text.get()).expect("data is JSON"),
        None => Value::Null,
    };
    for (pointer, secret) in response.secrets {
        let name = pointer.strip_prefix('/').expect("at the top level");
        data[name] = String::from_utf8_lossy(secret.expose()).into();
    }
    data
}

/// Records in memory, committed as they are written. A page of a listing has two names, so that a
/// guest which asks for one page only is found out.
#[derive(Default)]
struct Records(Mutex<BTreeMap<String, Vec<u8>>>);

impl Records {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().expect("no test panics with the records")
    }
}

#[async_trait]
impl Storage for Records {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.lock().get(key).cloned())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let records = self.lock();
        Ok(keys.iter().map(|key| records.get(key).cloned()).collect())
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.lock().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.lock().remove(key);
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        _limit: usize,
    ) -> Result<Page, StorageError> {
        let records = self.lock();
        let mut names = (records.keys())
            .filter_map(|key| key.strip_prefix(prefix))
            .filter(|name| after.is_none_or(|after| *name > after))
            .map(str::to_owned);
        let keys: Vec<String> = names.by_ref().take(2).collect();
        let next = names.next().and_then(|_| keys.last().cloned());
        Ok(Page { keys, next })
    }

    fn uncheck_reads(&self) {}
}

/// A clock that stands, and chance that repeats itself.
struct Frozen;

#[async_trait]
impl Ambient for Frozen {
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

/// Seals by naming the context: enough to see that what is opened was sealed, and as what.
struct Custody;

#[async_trait]
impl Secrets for Custody {
    async fn generate_password(&self, _policy: Option<&str>) -> Result<SecretBytes, SecretsError> {
        Ok(SecretBytes::new(b"generated".to_vec()))
    }

    fn generate_token(&self, length: u32) -> Result<SecretBytes, SecretsError> {
        Ok(SecretBytes::new(vec![b't'; length as usize]))
    }

    fn seal(&self, secret: &SecretBytes, context: &str) -> Result<Vec<u8>, SecretsError> {
        Ok([b"sealed for ", context.as_bytes(), b":", secret.expose()].concat())
    }

    fn unseal(&self, sealed: &[u8], context: &str) -> Result<SecretBytes, SecretsError> {
        let prefix = format!("sealed for {context}:");
        match sealed.strip_prefix(prefix.as_bytes()) {
            Some(plain) => Ok(SecretBytes::new(plain.to_vec())),
            None => Err(SecretsError::DoesNotOpen),
        }
    }
}
