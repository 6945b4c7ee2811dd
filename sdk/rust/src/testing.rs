//! A fake host, so that an engine's tests run natively and in one process.
//!
//! It does for an engine what the real host does: routes, checks that fields have their declared
//! types, tells create from update, keeps what a call wrote only if it returned `Ok`, and refuses
//! the keys that the real storage refuses. Its clock stands still until it is moved, and its chance
//! is the same in every run.
//!
//! It is strict where the real host helps: a test sends fields as the host would hand them on
//! (a number of seconds, not `"1h"`), and a test that does not panics.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::request::Parts;
use crate::time::Timestamp;
use crate::{
    Caller, Choose, Engine, Error, Field, FieldType, Host, LogLevel, Mount, Operation, Options,
    Page, Path, Peer, Request, Response, Secret, StorageError, pattern,
};

/// As the real host.
const MAX_KEY_BYTES: usize = 1024;
/// As the real host.
const MAX_VALUE_BYTES: usize = 8 << 20;
/// As the real host.
const MAX_WRITE_SET_BYTES: usize = 16 << 20;
/// 2026-01-01T00:00:00Z, so that tests can name the times that they see.
const FIRST_MORNING_MILLIS: u64 = 1_767_225_600_000;

/// An engine mounted on a fake host.
pub struct TestHost {
    engine: &'static dyn Choose,
    host: Host,
    mount: Mount,
    calls: u64,
}

/// What the client would see.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The answer's data; null if there is none.
    pub data: Value,
    /// The text of the answer's data as the engine gave it, digit by digit; empty if there is none.
    pub text: String,
    /// The answer's warnings.
    pub warnings: Vec<String>,
    /// The text of the refusal; empty if it was none, or says nothing.
    pub error: String,
    /// The lease's time, or that after which to read again; 0 if there is neither.
    pub lease_duration: u64,
}

impl TestHost {
    /// Mounts `engine` at `test/`, with no options.
    pub fn new(engine: &'static dyn Choose) -> Self {
        Self::with_options(engine, &[])
    }

    /// Mounts `engine` at `test/`.
    ///
    /// # Panics
    /// If the engine refuses these options; see [`tune`](Self::tune).
    pub fn with_options(engine: &'static dyn Choose, options: &[(&str, &str)]) -> Self {
        let mut host = Self {
            engine,
            host: Host {
                imports: Imports::default(),
            },
            mount: Mount {
                path: "test/".into(),
                accessor: "test_00000000".into(),
                default_lease_ttl: Duration::from_secs(2_764_800),
                max_lease_ttl: Duration::from_secs(2_764_800),
                options: Options::default(),
            },
            calls: 0,
        };
        if let Err(error) = host.initialize(None, options) {
            panic!("the engine refuses to be mounted: {error}");
        }
        host
    }

    /// Sets the mount's options as an operator's `tune` does.
    pub fn tune(&mut self, options: &[(&str, &str)]) -> Result<(), Error> {
        let from = self.engine().storage_version;
        self.initialize(Some(from), options)
    }

    fn initialize(&mut self, from: Option<u32>, options: &[(&str, &str)]) -> Result<(), Error> {
        let mut mount = self.mount.clone();
        mount.options = Options(
            options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        );
        let engine = self.engine.choose(&mount.options);
        self.transaction(|host| engine.run_initialize(host, from, &mount))?;
        self.mount = mount;
        Ok(())
    }

    /// GET.
    pub fn read(&mut self, path: &str) -> Reply {
        self.call(Operation::Read, path, Value::Null)
    }

    /// POST or PUT: a create or an update, as the engine says.
    pub fn write(&mut self, path: &str, data: Value) -> Reply {
        self.call(Operation::Update, path, data)
    }

    /// PATCH.
    pub fn patch(&mut self, path: &str, data: Value) -> Reply {
        self.call(Operation::Patch, path, data)
    }

    /// DELETE.
    pub fn delete(&mut self, path: &str) -> Reply {
        self.call(Operation::Delete, path, Value::Null)
    }

    /// LIST.
    pub fn list(&mut self, path: &str) -> Reply {
        self.call(Operation::List, path, Value::Null)
    }

    /// Any operation. `data` is an object, or null for none; the fields of a GET go there too.
    ///
    /// # Panics
    /// If a field does not have the JSON type that the host would have brought it to.
    pub fn call(&mut self, operation: Operation, path: &str, data: Value) -> Reply {
        let mut path = path.to_owned();
        let writes = matches!(
            operation,
            Operation::Create | Operation::Update | Operation::Patch
        );
        if operation == Operation::List && !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        if writes && path.ends_with('/') {
            return refusal(400, "cannot write to a path ending in '/'");
        }
        let engine = self.engine();
        let Some(declared) = engine.find(&path) else {
            return refusal(404, "unsupported path");
        };
        if declared.serves(operation).is_none() {
            return refusal(405, "unsupported operation");
        }
        let request = match self.request(declared, operation, path, data) {
            Ok(request) => request,
            Err(missing) => return refusal(400, &missing),
        };
        let answer = self.transaction(|host| handle(engine, declared, host, request));
        reply(operation, answer)
    }

    /// Moves the clock on.
    pub fn advance(&mut self, duration: Duration) {
        let now = self.host.now().plus(duration);
        self.set_now(now);
    }

    /// Sets the clock, also back.
    pub fn set_now(&mut self, now: Timestamp) {
        self.host.imports.world.now.set(now.millis());
    }

    /// What the clock says.
    pub fn now(&self) -> Timestamp {
        self.host.now()
    }

    /// Lists at most so many names at once, so that a test sees more than one page.
    pub fn page_limit(&mut self, names: usize) {
        self.host.imports.world.page_limit.set(names.max(1));
    }

    /// All that is stored.
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        self.host.imports.world.records.borrow().clone()
    }

    /// What the engine has logged, a line each.
    pub fn logged(&self) -> Vec<String> {
        self.host.imports.world.log.borrow().clone()
    }

    /// How often the engine has called storage since the last time this was asked.
    pub fn storage_calls(&mut self) -> usize {
        self.host.imports.world.storage_calls.take()
    }

    /// The engine's interface, a line for each thing that it declares, for a test to pin.
    pub fn interface(&self) -> String {
        let engine = self.engine();
        let mut lines = format!("{}: {}\n", engine.name, engine.help);
        for path in engine.paths {
            let traits = [
                (path.sudo, "sudo"),
                (path.unauthenticated, "unauthenticated"),
                (path.exists.is_some(), "existence check"),
                (path.free_form, "free form"),
                (path.raw_body, "raw body"),
                (path.empty_segments, "empty segments"),
            ];
            let traits: Vec<&str> = traits
                .iter()
                .filter_map(|(has, name)| has.then_some(*name))
                .collect();
            lines += &format!("{:?} {traits:?}: {}\n", path.pattern, path.help);
            for operation in [
                Operation::Read,
                Operation::Update,
                Operation::Patch,
                Operation::Delete,
                Operation::List,
            ] {
                if let Some(served) = path.serves(operation) {
                    let returns: Vec<&str> =
                        served.returns.iter().map(|field| field.name).collect();
                    lines += &format!("  {operation:?} {returns:?}: {}\n", served.summary);
                }
            }
            for field in path.fields {
                lines += &format!("  {}\n", outline(field));
            }
        }
        lines
    }

    fn engine(&self) -> &'static Engine {
        self.engine.choose(&self.mount.options)
    }

    fn request(
        &mut self,
        declared: &Path,
        operation: Operation,
        path: String,
        data: Value,
    ) -> Result<Request, String> {
        self.calls += 1;
        let fields = match data {
            Value::Null => serde_json::Map::new(),
            Value::Object(fields) => fields,
            other => panic!("a request's data is an object, not {other}"),
        };
        let mut params = Vec::new();
        pattern::matches(declared.pattern, &path, |name, text| {
            params.push((name.to_owned(), text.to_owned()));
        });
        let mut sent = serde_json::Map::new();
        let mut secrets = Vec::new();
        for (name, value) in fields {
            let field = declared.fields.iter().find(|field| field.name == name);
            let captured = params.iter().any(|(param, _)| *param == name);
            match field {
                None if declared.free_form => {
                    sent.insert(name, value);
                }
                Some(field) if !captured && hands_on(field, operation, &value) => {
                    assert!(
                        fits(field.field_type, &value),
                        "the host hands {name:?} on as {:?}, not as {value}",
                        field.field_type
                    );
                    if field.secret {
                        let text = value.as_str().map(str::to_owned);
                        let text = text.unwrap_or_else(|| value.to_string());
                        secrets.push((name, secret(text.as_bytes())));
                    } else {
                        sent.insert(name, value);
                    }
                }
                // The host answers these with a warning.
                _ => {}
            }
        }
        for (name, text) in &params {
            if let Some(field) = declared.fields.iter().find(|field| field.name == name) {
                let value = captured_value(field.field_type, text).ok_or_else(|| {
                    format!("Field validation failed: error converting input for field {name:?}")
                })?;
                sent.insert(name.clone(), value);
            }
        }
        let writes = matches!(operation, Operation::Create | Operation::Update);
        let missing = declared.fields.iter().find(|field| {
            let given = sent.contains_key(field.name)
                || secrets.iter().any(|(secret, _)| secret == field.name);
            writes && field.required && !given
        });
        if let Some(field) = missing {
            return Err(format!("missing {}", field.name));
        }
        let data = serde_json::to_vec(&Value::Object(sent)).expect("a JSON value serializes");
        let request = Request::new(Parts {
            id: format!("00000000-0000-4000-8000-{:012}", self.calls),
            operation,
            path,
            params,
            data,
            secrets,
            headers: Vec::new(),
            mount: self.mount.clone(),
            caller: (!declared.unauthenticated).then(|| Caller {
                entity_id: None,
                display_name: "test".into(),
                metadata: Vec::new(),
            }),
            peer: Peer::default(),
            raw_body: None,
        });
        Ok(request.expect("what was serialized parses"))
    }

    /// Keeps what `call` writes only if it returns `Ok`.
    fn transaction<T>(&self, call: impl FnOnce(&Host) -> Result<T, Error>) -> Result<T, Error> {
        let world = &self.host.imports.world;
        let before = world.records.borrow().clone();
        world.written_bytes.set(0);
        let answer = call(&self.host);
        if answer.is_err() {
            *world.records.borrow_mut() = before;
        }
        answer
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHost")
            .field("mount", &self.mount)
            .finish_non_exhaustive()
    }
}

fn handle(
    engine: &Engine,
    declared: &Path,
    host: &Host,
    mut request: Request,
) -> Result<Response, Error> {
    if request.operation == Operation::Update && declared.exists.is_some() {
        host.imports.world.read_only.set(true);
        let exists = engine.run_exists(host, &request);
        host.imports.world.read_only.set(false);
        if !exists? {
            request.operation = Operation::Create;
        }
    }
    engine.run(host, &request)
}

fn reply(operation: Operation, answer: Result<Response, Error>) -> Reply {
    let response = match answer {
        Ok(response) => response,
        Err(error) => {
            let status = match &error {
                Error::InvalidRequest(_) | Error::InvalidCredentials(_) => 400,
                Error::PermissionDenied(_) => 403,
                Error::NotFound => return refusal(404, ""),
                Error::UnsupportedOperation => 405,
                Error::RateLimited(_) => 429,
                Error::Upstream(_) => 502,
                Error::Internal(_) => 500,
            };
            return refusal(status, &error.to_string());
        }
    };
    let text = match response.data {
        None => String::new(),
        Some(Err(error)) => return refusal(500, &error.to_string()),
        Some(Ok(data)) => String::from_utf8(data).expect("an answer's data is UTF-8"),
    };
    let mut data = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).expect("an answer's data is JSON"),
    };
    assert!(
        data.is_null() || data.is_object(),
        "an answer's data is an object"
    );
    for (pointer, secret) in &response.secrets {
        let plain = String::from_utf8(secret.handle.plaintext.clone())
            .expect("a secret in an answer is UTF-8");
        let (parent, member) = pointer
            .rsplit_once('/')
            .expect("a pointer starts with a slash");
        let parent = data
            .pointer_mut(parent)
            .expect("a secret's parent is there");
        parent[member] = Value::String(plain);
    }
    let empty = data.is_null() && response.warnings.is_empty() && response.raw.is_none();
    let status = response.status.unwrap_or(match operation {
        _ if !empty => 200,
        Operation::Read | Operation::List | Operation::Head => 404,
        _ => 204,
    });
    let lease = response.lease.as_ref().and_then(|lease| lease.ttl);
    Reply {
        status,
        data,
        text,
        warnings: response.warnings,
        error: String::new(),
        lease_duration: lease
            .or(response.refresh_after)
            .unwrap_or_default()
            .as_secs(),
    }
}

fn refusal(status: u16, error: &str) -> Reply {
    Reply {
        status,
        data: Value::Null,
        text: String::new(),
        warnings: Vec::new(),
        error: error.to_owned(),
        lease_duration: 0,
    }
}

fn outline(field: &Field) -> String {
    let mut line = format!("{} {:?}", field.name, field.field_type);
    if field.required {
        line += ", required";
    }
    if field.secret {
        line += ", secret";
    }
    if let Some(default) = field.default {
        line += &format!(", default {default}");
    }
    if !field.allowed.is_empty() {
        line += &format!(", one of {:?}", field.allowed);
    }
    line + ": " + field.description
}

/// Null counts as not sent, but where it says something.
fn hands_on(field: &Field, operation: Operation, value: &Value) -> bool {
    !value.is_null()
        || operation == Operation::Patch
        || matches!(field.field_type, FieldType::Object | FieldType::Any)
}

/// What the path captured, as a field of this type.
fn captured_value(field_type: FieldType, text: &str) -> Option<Value> {
    match field_type {
        FieldType::LowercaseText => Some(text.to_lowercase().into()),
        FieldType::Integer | FieldType::SignedSeconds => text.parse::<i64>().ok().map(Value::from),
        FieldType::Seconds => text.parse::<u64>().ok().map(Value::from),
        FieldType::Boolean => text.parse::<bool>().ok().map(Value::from),
        _ => Some(text.into()),
    }
}

/// Whether a value has the JSON type that the host brings it to, or is null.
fn fits(field_type: FieldType, value: &Value) -> bool {
    let all = |value: &Value, fits: fn(&Value) -> bool| {
        value.as_array().is_some_and(|list| list.iter().all(fits))
    };
    let typed = match field_type {
        FieldType::Any => true,
        FieldType::Text
        | FieldType::LowercaseText
        | FieldType::Bytes
        | FieldType::ConnectionString
        | FieldType::Pem => value.is_string(),
        FieldType::Integer | FieldType::SignedSeconds | FieldType::Timestamp => value.is_i64(),
        FieldType::Seconds => value.is_u64(),
        FieldType::Boolean => value.is_boolean(),
        FieldType::Object => value.is_object(),
        FieldType::TextList | FieldType::CommaList => all(value, Value::is_string),
        FieldType::IntegerList => all(value, Value::is_i64),
        FieldType::TextMap => value.as_object().is_some_and(|map| {
            map.values()
                .all(|value| value.is_string() || value.is_null())
        }),
    };
    typed || value.is_null()
}

/// What the host's side of the imports holds.
struct World {
    records: RefCell<BTreeMap<String, Vec<u8>>>,
    now: Cell<u64>,
    chance: Cell<u64>,
    page_limit: Cell<usize>,
    read_only: Cell<bool>,
    written_bytes: Cell<usize>,
    storage_calls: Cell<usize>,
    log: RefCell<Vec<String>>,
}

/// The imports, as functions on a world in memory.
#[derive(Clone)]
pub(crate) struct Imports {
    world: Rc<World>,
}

impl Default for Imports {
    fn default() -> Self {
        Self {
            world: Rc::new(World {
                records: RefCell::default(),
                now: Cell::new(FIRST_MORNING_MILLIS),
                chance: Cell::new(0),
                page_limit: Cell::new(100_000),
                read_only: Cell::new(false),
                written_bytes: Cell::new(0),
                storage_calls: Cell::new(0),
                log: RefCell::default(),
            }),
        }
    }
}

impl fmt::Debug for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Imports(fake)")
    }
}

impl Imports {
    pub(crate) fn now(&self) -> u64 {
        self.world.now.get()
    }

    pub(crate) fn sleep(&self, _millis: u32) {}

    pub(crate) fn random(&self, length: u32) -> Vec<u8> {
        assert!(length <= 4096, "at most 4,096 random bytes at once");
        (0..length).map(|_| self.chance() as u8).collect()
    }

    /// SplitMix64: even, and the same in every run.
    fn chance(&self) -> u64 {
        let state = self.world.chance.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.world.chance.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let mut line = format!("{level:?} {message}");
        for (name, value) in fields {
            line += &format!(" {name}={value}");
        }
        self.world.log.borrow_mut().push(line);
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.count();
        check_key(key)?;
        Ok(self.world.records.borrow().get(key).cloned())
    }

    pub(crate) fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        self.count();
        keys.iter()
            .map(|key| {
                check_key(key)?;
                Ok(self.world.records.borrow().get(key).cloned())
            })
            .collect()
    }

    pub(crate) fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.count();
        check_key(key)?;
        self.check_write(key.len() + value.len())?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(StorageError::TooLarge(MAX_VALUE_BYTES as u64));
        }
        let mut records = self.world.records.borrow_mut();
        records.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.count();
        check_key(key)?;
        self.check_write(key.len())?;
        self.world.records.borrow_mut().remove(key);
        Ok(())
    }

    pub(crate) fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, StorageError> {
        self.count();
        if let Some(folder) = prefix.strip_suffix('/') {
            check_key(folder)?;
        } else if !prefix.is_empty() {
            return Err(StorageError::InvalidKey(
                "a prefix is empty or ends in '/'".into(),
            ));
        }
        let most = self.world.page_limit.get();
        let limit = match limit {
            0 => most,
            limit => most.min(limit as usize),
        };
        let records = self.world.records.borrow();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let mut names: Vec<&str> = records
            .range::<str, _>(from)
            .map_while(|(key, _)| key.strip_prefix(prefix))
            .map(|rest| &rest[..rest.find('/').map_or(rest.len(), |slash| slash + 1)])
            .collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| after.is_none_or(|after| *name > after));
        let more = names.len() > limit;
        names.truncate(limit);
        Ok(Page {
            next: names.last().filter(|_| more).map(|name| (*name).to_owned()),
            keys: names.into_iter().map(str::to_owned).collect(),
        })
    }

    pub(crate) fn uncheck_reads(&self) {}

    pub(crate) fn generate_password(&self, policy: Option<&str>) -> Result<Secret, String> {
        match policy {
            None => Ok(self.generate_token(20)),
            Some(policy) => Err(format!("no password policy {policy:?}")),
        }
    }

    pub(crate) fn generate_token(&self, length: u32) -> Secret {
        const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let text: Vec<u8> = (0..length)
            .map(|_| BASE62[(self.chance() % 62) as usize])
            .collect();
        secret(&text)
    }

    pub(crate) fn secret_from_bytes(&self, value: &[u8]) -> Secret {
        secret(value)
    }

    /// Nothing is hidden from a test: the context, a NUL, the plaintext.
    pub(crate) fn seal(&self, secret: &Secret, context: &str) -> Vec<u8> {
        [context.as_bytes(), b"\0", &secret.handle.plaintext].concat()
    }

    pub(crate) fn unseal(&self, sealed: &[u8], context: &str) -> Result<Secret, String> {
        let plaintext = sealed
            .strip_prefix(context.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"\0"))
            .ok_or("the secret was not sealed here, or in another context")?;
        Ok(secret(plaintext))
    }

    pub(crate) fn concat(&self, parts: &[&Secret]) -> Secret {
        let parts: Vec<&[u8]> = parts
            .iter()
            .map(|part| part.handle.plaintext.as_slice())
            .collect();
        secret(&parts.concat())
    }

    pub(crate) fn encode(&self, plain: &Secret, encoding: &str) -> Result<Secret, String> {
        let plain = &plain.handle.plaintext;
        let text = match encoding {
            "base64" => STANDARD.encode(plain),
            "base64url" => URL_SAFE_NO_PAD.encode(plain),
            "hex" => hex::encode(plain),
            other => return Err(format!("no encoding {other:?}")),
        };
        Ok(secret(text.as_bytes()))
    }

    fn count(&self) {
        let calls = &self.world.storage_calls;
        calls.set(calls.get() + 1);
    }

    fn check_write(&self, bytes: usize) -> Result<(), StorageError> {
        if self.world.read_only.get() {
            return Err(StorageError::ReadOnly);
        }
        let written = self.world.written_bytes.get() + bytes;
        if written > MAX_WRITE_SET_BYTES {
            return Err(StorageError::TooLarge(MAX_WRITE_SET_BYTES as u64));
        }
        self.world.written_bytes.set(written);
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), StorageError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(StorageError::InvalidKey(format!(
            "key is longer than {MAX_KEY_BYTES} bytes"
        )));
    }
    match key.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some(part) => Err(StorageError::InvalidKey(format!("key segment {part:?}"))),
        None => Ok(()),
    }
}

fn secret(plaintext: &[u8]) -> Secret {
    Secret {
        handle: SecretHandle {
            plaintext: plaintext.to_owned(),
        },
    }
}

/// A secret of the fake host.
pub(crate) struct SecretHandle {
    plaintext: Vec<u8>,
}

impl SecretHandle {
    pub(crate) fn length(&self) -> u32 {
        self.plaintext.len() as u32
    }
}

impl fmt::Debug for SecretHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHandle")
    }
}
