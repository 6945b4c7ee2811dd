//! The border: the generated bindings, and what turns their types into ours and back. The only
//! place that knows the version of the WIT.

mod arena;

use std::time::Duration;

use bindings::coffer::engine::{ambient, log, secrets, storage, types};
use bindings::exports::coffer::engine::{backend, metadata};

use crate::request::Parts;
use crate::{
    Caller, Engine, Error, Field, FieldType, Host, Lease, LogLevel, Mount, Operation, Options,
    Page, Path, Peer, RawBody, Request, Response, Secret, StorageError,
};
pub use bindings::export_secrets_engine;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "secrets-engine",
        pub_export_macro: true,
        export_macro_name: "export_secrets_engine",
        default_bindings_module: "coffer_sdk::guest::bindings",
    });
}

/// What [`export!`](crate::export) writes for an engine's crate.
pub trait Component {
    /// The version of the engine's crate.
    const VERSION: &'static str;

    /// The engine for a mount with these options.
    fn engine(options: &Options) -> &'static Engine;
}

impl<C: Component> metadata::Guest for C {
    fn describe(options: Vec<(String, String)>) -> metadata::Description {
        log_panics();
        let engine = C::engine(&Options(options));
        metadata::Description {
            name: engine.name.to_owned(),
            version: C::VERSION.to_owned(),
            type_: metadata::EngineType::Secrets,
            help: engine.help.to_owned(),
            paths: engine.paths.iter().map(describe_path).collect(),
            storage_version: engine.storage_version,
        }
    }
}

impl<C: Component> backend::Guest for C {
    fn initialize(from: Option<u32>, mount: backend::Mount) -> Result<(), types::Error> {
        log_panics();
        let mount = Mount::from(mount);
        let engine = C::engine(&mount.options);
        Ok(engine.run_initialize(&HOST, from, &mount)?)
    }

    fn exists(request: backend::Request) -> Result<bool, types::Error> {
        log_panics();
        let request = Request::new(request.into())?;
        let engine = C::engine(&request.mount.options);
        Ok(engine.run_exists(&HOST, &request)?)
    }

    fn handle(request: backend::Request) -> Result<backend::Response, types::Error> {
        log_panics();
        let request = Request::new(request.into())?;
        let engine = C::engine(&request.mount.options);
        Ok(engine.run(&HOST, &request)?.try_into()?)
    }
}

const HOST: Host = Host { imports: Imports };

/// A panic ends the call as a trap, which has no text: the log is told where it was. A message
/// that was formatted may hold a secret and is left out.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let said = panic.payload().downcast_ref::<&str>();
        let fields = [("at".to_owned(), at.unwrap_or_default())];
        log::log(log::Level::Error, said.unwrap_or(&"panic"), &fields);
    }));
}

fn describe_path(path: &Path) -> metadata::Path {
    let traits = [
        (path.sudo, metadata::PathTrait::Sudo),
        (path.unauthenticated, metadata::PathTrait::Unauthenticated),
        (path.exists.is_some(), metadata::PathTrait::ExistenceCheck),
        (path.free_form, metadata::PathTrait::FreeForm),
        (path.raw_body, metadata::PathTrait::RawBody),
        (path.empty_segments, metadata::PathTrait::EmptySegments),
    ];
    let operations = [
        Operation::Create,
        Operation::Read,
        Operation::Update,
        Operation::Patch,
        Operation::Delete,
        Operation::List,
    ];
    metadata::Path {
        pattern: path.pattern.to_owned(),
        traits: traits
            .into_iter()
            .filter_map(|(has, name)| has.then_some(name))
            .collect(),
        operations: operations
            .into_iter()
            // Without an existence check every write is an update.
            .filter(|operation| *operation != Operation::Create || path.exists.is_some())
            .filter_map(|operation| {
                let served = path.serves(operation)?;
                Some(metadata::OperationHelp {
                    operation: operation.into(),
                    summary: served.summary.to_owned(),
                    returns: served.returns.iter().map(describe_field).collect(),
                })
            })
            .collect(),
        fields: path.fields.iter().map(describe_field).collect(),
        help: path.help.to_owned(),
        login_name: None,
    }
}

fn describe_field(field: &Field) -> metadata::Field {
    use metadata::FieldType as Wit;
    metadata::Field {
        name: field.name.to_owned(),
        type_: match field.field_type {
            FieldType::Text => Wit::Text,
            FieldType::LowercaseText => Wit::LowercaseText,
            FieldType::Integer => Wit::Integer,
            FieldType::Boolean => Wit::Boolean,
            FieldType::Timestamp => Wit::Timestamp,
            FieldType::Object => Wit::Object,
            FieldType::Any => Wit::Any,
            FieldType::Bytes => Wit::Bytes,
            FieldType::Seconds => Wit::Seconds,
            FieldType::SignedSeconds => Wit::SignedSeconds,
            FieldType::TextList => Wit::TextList,
            FieldType::CommaList => Wit::CommaList,
            FieldType::IntegerList => Wit::IntegerList,
            FieldType::TextMap => Wit::TextMap,
            FieldType::ConnectionString => Wit::ConnectionString,
            FieldType::Pem => Wit::Pem,
        },
        description: field.description.to_owned(),
        required: field.required,
        default: field.default.map(|json| json.as_bytes().to_owned()),
        allowed: field.allowed.iter().map(ToString::to_string).collect(),
        secret: field.secret,
    }
}

impl From<backend::Request> for Parts {
    fn from(request: backend::Request) -> Self {
        Self {
            id: request.id,
            operation: request.operation.into(),
            path: request.path,
            params: request.params,
            data: request.data,
            secrets: request
                .secrets
                .into_iter()
                .map(|(name, handle)| (name, secret(handle)))
                .collect(),
            headers: request.headers,
            mount: request.mount.into(),
            caller: request.caller.map(|caller| Caller {
                entity_id: caller.entity_id,
                display_name: caller.display_name,
                metadata: caller.metadata,
            }),
            peer: Peer {
                address: request.peer.address,
                certificates: request.peer.certificates,
            },
            raw_body: request.raw.map(|(content_type, bytes)| RawBody {
                content_type,
                bytes,
            }),
        }
    }
}

impl From<backend::Mount> for Mount {
    fn from(mount: backend::Mount) -> Self {
        Self {
            path: mount.path,
            accessor: mount.accessor,
            default_lease_ttl: Duration::from_secs(mount.default_lease_ttl),
            max_lease_ttl: Duration::from_secs(mount.max_lease_ttl),
            options: Options(mount.options),
        }
    }
}

impl TryFrom<Response> for backend::Response {
    type Error = Error;

    fn try_from(response: Response) -> Result<Self, Error> {
        Ok(Self {
            status: response.status,
            headers: response.headers,
            data: response.data.transpose()?,
            secrets: response
                .secrets
                .into_iter()
                .map(|(pointer, secret)| (pointer, secret.handle.0))
                .collect(),
            warnings: response.warnings,
            lease: response.lease.map(Into::into),
            refresh_after: response.refresh_after.map(|duration| duration.as_secs()),
            auth: None,
            raw: response.raw,
        })
    }
}

impl From<Lease> for backend::Lease {
    fn from(lease: Lease) -> Self {
        Self {
            ttl: lease.ttl.map(|duration| duration.as_secs()),
            max_ttl: lease.max_ttl.map(|duration| duration.as_secs()),
            renewable: lease.renewable,
            kind: lease.kind,
            internal: lease.internal.to_string().into_bytes(),
        }
    }
}

impl From<types::Operation> for Operation {
    fn from(operation: types::Operation) -> Self {
        match operation {
            types::Operation::Create => Self::Create,
            types::Operation::Read => Self::Read,
            types::Operation::Update => Self::Update,
            types::Operation::Patch => Self::Patch,
            types::Operation::Delete => Self::Delete,
            types::Operation::List => Self::List,
            types::Operation::Head => Self::Head,
        }
    }
}

impl From<Operation> for types::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Read => Self::Read,
            Operation::Update => Self::Update,
            Operation::Patch => Self::Patch,
            Operation::Delete => Self::Delete,
            Operation::List => Self::List,
            Operation::Head => Self::Head,
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidRequest(text) => Self::InvalidRequest(text),
            Error::PermissionDenied(text) => Self::PermissionDenied(text),
            Error::NotFound => Self::NotFound,
            Error::InvalidCredentials(text) => Self::InvalidCredentials(text),
            Error::UnsupportedOperation => Self::UnsupportedOperation,
            Error::RateLimited(after) => Self::RateLimited(after.map(|after| after.as_secs())),
            Error::Upstream(text) => Self::Upstream(text),
            Error::Internal(text) => Self::Internal(text),
        }
    }
}

impl From<storage::Error> for StorageError {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::InvalidKey(text) => Self::InvalidKey(text),
            storage::Error::TooLarge(limit) => Self::TooLarge(limit),
            storage::Error::ReadOnly => Self::ReadOnly,
        }
    }
}

/// A handle to a plaintext in the host.
#[derive(Debug)]
pub(crate) struct SecretHandle(secrets::Secret);

impl SecretHandle {
    pub(crate) fn length(&self) -> u32 {
        self.0.length()
    }
}

fn secret(handle: secrets::Secret) -> Secret {
    Secret {
        handle: SecretHandle(handle),
    }
}

/// The imports of the component.
#[derive(Debug)]
pub(crate) struct Imports;

#[expect(
    clippy::unused_self,
    reason = "the fake host's imports have the same functions, and a self"
)]
impl Imports {
    pub(crate) fn now(&self) -> u64 {
        ambient::now()
    }

    pub(crate) fn sleep(&self, millis: u32) {
        ambient::sleep(millis);
    }

    pub(crate) fn random(&self, length: u32) -> Vec<u8> {
        ambient::random(length)
    }

    pub(crate) fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let level = match level {
            LogLevel::Debug => log::Level::Debug,
            LogLevel::Info => log::Level::Info,
            LogLevel::Warn => log::Level::Warn,
            LogLevel::Error => log::Level::Error,
        };
        log::log(level, message, fields);
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(storage::get(key)?)
    }

    pub(crate) fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        Ok(storage::get_many(keys)?)
    }

    pub(crate) fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        Ok(storage::put(key, value)?)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), StorageError> {
        Ok(storage::delete(key)?)
    }

    pub(crate) fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, StorageError> {
        let page = storage::list_keys(prefix, after, limit)?;
        Ok(Page {
            keys: page.keys,
            next: page.next,
        })
    }

    pub(crate) fn uncheck_reads(&self) {
        storage::uncheck_reads();
    }

    pub(crate) fn generate_password(&self, policy: Option<&str>) -> Result<Secret, String> {
        secrets::generate_password(policy).map(secret)
    }

    pub(crate) fn generate_token(&self, length: u32) -> Secret {
        secret(secrets::generate_token(length))
    }

    pub(crate) fn secret_from_bytes(&self, value: &[u8]) -> Secret {
        secret(secrets::from_bytes(value))
    }

    pub(crate) fn seal(&self, secret: &Secret, context: &str) -> Vec<u8> {
        secrets::seal(&secret.handle.0, context)
    }

    pub(crate) fn unseal(&self, sealed: &[u8], context: &str) -> Result<Secret, String> {
        secrets::unseal(sealed, context).map(secret)
    }

    pub(crate) fn concat(&self, parts: &[&Secret]) -> Secret {
        let parts: Vec<&secrets::Secret> = parts.iter().map(|part| &part.handle.0).collect();
        secret(secrets::concat(&parts))
    }

    pub(crate) fn encode(&self, plain: &Secret, encoding: &str) -> Result<Secret, String> {
        secrets::encode(&plain.handle.0, encoding).map(secret)
    }
}
