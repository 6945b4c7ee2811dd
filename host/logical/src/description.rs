//! What an engine says of itself. The host makes routing, coercion, help and OpenAPI of it.
//! The same shapes as `interface metadata` in `wit/engine.wit`; the meaning is written there.

use serde_json::Value;

use crate::Operation;

/// Whether an engine hands out secrets or logs people in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EngineKind {
    /// Mounted under `sys/mounts`.
    Secrets,
    /// Mounted under `sys/auth`.
    Auth,
}

/// An engine, described.
#[derive(Clone, Debug)]
pub struct Description {
    /// The type by which it is mounted, such as `kv`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// What it is for.
    pub kind: EngineKind,
    /// A paragraph for `path-help`.
    pub help: String,
    /// All that it serves.
    pub paths: Vec<PathDescription>,
    /// Grows when the layout of stored data changes.
    pub storage_version: u32,
}

/// One pattern and what may be done there.
#[derive(Clone, Debug)]
pub struct PathDescription {
    /// `roles/{name}`; `data/{path...}` takes the rest, slashes included, and may be empty.
    pub pattern: String,
    /// What is special about it.
    pub traits: Vec<PathTrait>,
    /// What may be done.
    pub operations: Vec<OperationHelp>,
    /// What may be sent.
    pub fields: Vec<Field>,
    /// For people.
    pub help: String,
    /// On a login path, the field or parameter that says who logs in.
    pub login_name: Option<String>,
}

impl PathDescription {
    /// Whether it carries `wanted`.
    pub fn has(&self, wanted: PathTrait) -> bool {
        self.traits.contains(&wanted)
    }

    /// Whether it serves `operation`. Create and update are one where they are not told apart.
    pub fn serves(&self, operation: Operation) -> bool {
        self.operations.iter().any(|served| {
            served.operation == operation
                || matches!(
                    (served.operation, operation),
                    (Operation::Update, Operation::Create) | (Operation::Create, Operation::Update)
                )
        })
    }
}

/// What is special about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathTrait {
    /// A client needs `sudo` on the path.
    Sudo,
    /// Served without a token, such as a login.
    Unauthenticated,
    /// Create and update are told apart by asking the engine.
    ExistenceCheck,
    /// Fields that are not declared are data too, as they came.
    FreeForm,
    /// The body need not be JSON.
    RawBody,
    /// `//` in the path stays as it came: an OCSP request in a URL is base64.
    EmptySegments,
}

/// One operation on a path.
#[derive(Clone, Debug)]
pub struct OperationHelp {
    /// Which.
    pub operation: Operation,
    /// In a few words.
    pub summary: String,
    /// Fields of the answer; may be empty.
    pub returns: Vec<Field>,
}

/// One field of a request or an answer.
#[derive(Clone, Debug)]
pub struct Field {
    /// As it is sent.
    pub name: String,
    /// What it is coerced to.
    pub field_type: FieldType,
    /// For people.
    pub description: String,
    /// Missing is a 400.
    pub required: bool,
    /// For help and forms; the host does not fill it in.
    pub default: Option<Value>,
    /// Empty allows anything.
    pub allowed: Vec<String>,
    /// Handed over as a secret, never in clear in the audit.
    pub secret: bool,
}

/// What a field is coerced to; the contract's `00` section 2 has the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Text; numbers and booleans become text.
    Text,
    /// Text in lower case.
    LowercaseText,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// RFC 3339, or seconds since 1970.
    Timestamp,
    /// A JSON object.
    Object,
    /// Any JSON.
    Any,
    /// Base64.
    Bytes,
    /// Go's duration text or seconds, days too.
    Seconds,
    /// As `Seconds`, and may be negative.
    SignedSeconds,
    /// An array or one string, never split.
    TextList,
    /// Also `a,b`.
    CommaList,
    /// Whole numbers, also as `1,2`.
    IntegerList,
    /// An object of texts; also `k=v` texts.
    TextMap,
    /// A URL or DSN whose password arrives apart.
    ConnectionString,
    /// PEM blocks whose private keys arrive apart.
    Pem,
}
