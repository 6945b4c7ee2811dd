//! The small shared language of the host: what a request is, what an engine is, and what the
//! host offers one. Core speaks it to both kinds of engine, the components that
//! `host-runtime` runs and the native ones of `host-core`.
//!
//! Nothing here reaches outside: no network, no disk, no cipher. It holds types, the rules
//! that make them valid, and the traits at the joints.

mod description;
mod engine;
mod error;
mod imports;
mod path;
mod request;
mod response;
mod secret;
mod storage;

pub use description::{
    Description, EngineKind, Field, FieldType, OperationHelp, PathDescription, PathTrait,
};
pub use engine::{Call, Engine, Engines};
pub use error::{EngineError, Refusal};
pub use imports::{Ambient, CallLimits, Imports, Secrets, SecretsError};
pub use path::{MountPath, PathError, RequestPath};
pub use request::{Caller, EngineRequest, Mount, Operation, Options, Peer, RequestId};
pub use response::{AuthGrant, EngineResponse, LeaseWanted, RawBody};
pub use secret::SecretBytes;
pub use storage::{Page, Storage, StorageError};
