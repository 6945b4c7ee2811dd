//! The declaration of an engine, and how a request finds its handler.
//!
//! A declaration is a `static`: it costs a fresh instance nothing, and a malformed pattern does
//! not compile. The host makes routing, coercion of fields, help, OpenAPI and forms from it.

use std::fmt;

use crate::{Answer, Error, Host, Mount, Operation, Options, Request, pattern};

/// Serves an operation on a path.
pub type Handler = fn(&Host, &Request) -> Answer;
/// Says whether the addressed item is there. It may only read.
pub type Existence = fn(&Host, &Request) -> Result<bool, Error>;
/// Prepares a mount; see [`Engine::initialize`].
pub type Initializer = fn(&Host, Option<u32>, &Mount) -> Result<(), Error>;

/// An engine: a name, and the paths that it serves.
#[derive(Clone, Copy)]
pub struct Engine {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) paths: &'static [Path],
    pub(crate) storage_version: u32,
    initialize: Option<Initializer>,
}

impl Engine {
    /// A secrets engine, mounted by this name.
    pub const fn secrets(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            paths: &[],
            storage_version: 1,
            initialize: None,
        }
    }

    /// Serves these paths.
    #[must_use]
    pub const fn paths(mut self, paths: &'static [Path]) -> Self {
        self.paths = paths;
        self
    }

    /// Stores in this layout. It begins with 1 and grows by one when the layout changes.
    #[must_use]
    pub const fn storage_version(mut self, version: u32) -> Self {
        self.storage_version = version;
        self
    }

    /// Calls this when mounted (`from` is none), when the mount's options are tuned, and when what
    /// is stored has an older layout. An error leaves the mount as it was. It is one call with the
    /// limits of a call: move many records lazily, when they are next written.
    #[must_use]
    pub const fn initialize(mut self, initialize: Initializer) -> Self {
        self.initialize = Some(initialize);
        self
    }

    /// The path that a request goes to.
    pub(crate) fn find(&self, path: &str) -> Option<&'static Path> {
        self.paths
            .iter()
            .filter(|declared| pattern::matches(declared.pattern, path, |_, _| {}))
            .min_by(|a, b| pattern::precedence(a.pattern, b.pattern))
    }

    pub(crate) fn run_initialize(
        &self,
        host: &Host,
        from: Option<u32>,
        mount: &Mount,
    ) -> Result<(), Error> {
        self.initialize.map_or(Ok(()), |run| run(host, from, mount))
    }

    pub(crate) fn run_exists(&self, host: &Host, request: &Request) -> Result<bool, Error> {
        let path = self.find(&request.path).ok_or(Error::NotFound)?;
        path.exists.map_or(Ok(true), |exists| exists(host, request))
    }

    pub(crate) fn run(&self, host: &Host, request: &Request) -> Answer {
        let path = self.find(&request.path).ok_or(Error::NotFound)?;
        let served = path
            .serves(request.operation)
            .ok_or(Error::UnsupportedOperation)?;
        (served.handler)(host, request)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.name)
    }
}

/// Which engine a mount has: always the same [`Engine`], or one by the mount's [`Options`].
pub trait Choose {
    /// The engine for a mount with these options.
    fn choose(&'static self, options: &Options) -> &'static Engine;
}

impl Choose for Engine {
    fn choose(&'static self, _: &Options) -> &'static Engine {
        self
    }
}

impl<F: Fn(&Options) -> &'static Engine> Choose for F {
    fn choose(&'static self, options: &Options) -> &'static Engine {
        self(options)
    }
}

/// A pattern of paths, and what may be done there.
///
/// `roles/{name}` has a name for one segment; `data/{path...}` takes what follows the slash,
/// slashes included, or nothing, and only literals may come after it. At each segment a literal
/// wins over `{name}`, and that over `{path...}`. A slash at the end of a path, which every list
/// has, is passed over but where `{path...}` takes it.
#[derive(Clone, Copy)]
pub struct Path {
    pub(crate) pattern: &'static str,
    pub(crate) help: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) sudo: bool,
    pub(crate) unauthenticated: bool,
    pub(crate) free_form: bool,
    pub(crate) raw_body: bool,
    pub(crate) empty_segments: bool,
    pub(crate) exists: Option<Existence>,
    read: Option<Served>,
    write: Option<Served>,
    patch: Option<Served>,
    delete: Option<Served>,
    list: Option<Served>,
}

/// One operation on a path.
#[derive(Clone, Copy)]
pub(crate) struct Served {
    pub(crate) summary: &'static str,
    pub(crate) returns: &'static [Field],
    handler: Handler,
}

impl Path {
    /// A path with nothing to do there yet. A malformed pattern does not compile.
    pub const fn new(pattern: &'static str, help: &'static str) -> Self {
        pattern::check(pattern);
        Self {
            pattern,
            help,
            fields: &[],
            sudo: false,
            unauthenticated: false,
            free_form: false,
            raw_body: false,
            empty_segments: false,
            exists: None,
            read: None,
            write: None,
            patch: None,
            delete: None,
            list: None,
        }
    }

    /// Takes these fields, of the path or the body.
    #[must_use]
    pub const fn fields(mut self, fields: &'static [Field]) -> Self {
        self.fields = fields;
        self
    }

    /// GET.
    #[must_use]
    pub const fn read(mut self, summary: &'static str, handler: Handler) -> Self {
        self.read = Some(Served::new(summary, handler));
        self
    }

    /// POST and PUT, whether the item is there or not.
    #[must_use]
    pub const fn write(mut self, summary: &'static str, handler: Handler) -> Self {
        self.write = Some(Served::new(summary, handler));
        self
    }

    /// PATCH.
    #[must_use]
    pub const fn patch(mut self, summary: &'static str, handler: Handler) -> Self {
        self.patch = Some(Served::new(summary, handler));
        self
    }

    /// DELETE.
    #[must_use]
    pub const fn delete(mut self, summary: &'static str, handler: Handler) -> Self {
        self.delete = Some(Served::new(summary, handler));
        self
    }

    /// LIST.
    #[must_use]
    pub const fn list(mut self, summary: &'static str, handler: Handler) -> Self {
        self.list = Some(Served::new(summary, handler));
        self
    }

    /// Declares the fields of an operation's answer, for OpenAPI. The operation is declared before.
    #[must_use]
    pub const fn returns(mut self, operation: Operation, fields: &'static [Field]) -> Self {
        let slot = match operation {
            Operation::Read | Operation::Head => &mut self.read,
            Operation::Create | Operation::Update => &mut self.write,
            Operation::Patch => &mut self.patch,
            Operation::Delete => &mut self.delete,
            Operation::List => &mut self.list,
        };
        match slot {
            Some(served) => served.returns = fields,
            None => panic!("`returns` comes after the operation that returns"),
        }
        self
    }

    /// Tells create and update apart by this, so that policies can.
    #[must_use]
    pub const fn exists(mut self, exists: Existence) -> Self {
        self.exists = Some(exists);
        self
    }

    /// A client needs `sudo` here.
    #[must_use]
    pub const fn sudo(mut self) -> Self {
        self.sudo = true;
        self
    }

    /// Served without a token.
    #[must_use]
    pub const fn unauthenticated(mut self) -> Self {
        self.unauthenticated = true;
        self
    }

    /// Fields that are not declared are data too, as they came.
    #[must_use]
    pub const fn free_form(mut self) -> Self {
        self.free_form = true;
        self
    }

    /// The body need not be JSON; it arrives in [`Request::raw_body`].
    #[must_use]
    pub const fn raw_body(mut self) -> Self {
        self.raw_body = true;
        self
    }

    /// `//` in the path stays as it came, elsewhere it is `/`.
    #[must_use]
    pub const fn empty_segments(mut self) -> Self {
        self.empty_segments = true;
        self
    }

    pub(crate) fn serves(&self, operation: Operation) -> Option<Served> {
        match operation {
            Operation::Read => self.read,
            Operation::Create | Operation::Update => self.write,
            Operation::Patch => self.patch,
            Operation::Delete => self.delete,
            Operation::List => self.list,
            Operation::Head => None,
        }
    }
}

impl Served {
    const fn new(summary: &'static str, handler: Handler) -> Self {
        Self {
            summary,
            returns: &[],
            handler,
        }
    }
}

/// A field that a client may send. The host brings what command lines send to its type before
/// the handler sees it, and refuses what does not fit.
#[derive(Clone, Copy)]
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) field_type: FieldType,
    pub(crate) description: &'static str,
    pub(crate) required: bool,
    pub(crate) default: Option<&'static str>,
    pub(crate) allowed: &'static [&'static str],
    pub(crate) secret: bool,
}

/// What the host makes of a field's value; after the arrow, what the handler then finds as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Text -> string.
    Text,
    /// Text in lower case -> string.
    LowercaseText,
    /// A whole number, also as decimal text -> number.
    Integer,
    /// Also `"true"`, `"1"`, 0 -> boolean.
    Boolean,
    /// RFC 3339, or seconds since 1970 -> number of milliseconds since 1970.
    Timestamp,
    /// An object -> object.
    Object,
    /// Anything, as it came.
    Any,
    /// Base64 -> string.
    Bytes,
    /// A number of seconds, or Go's duration text, days too -> number.
    Seconds,
    /// As [`Seconds`](Self::Seconds), and may be negative -> number.
    SignedSeconds,
    /// An array or one string, never split -> array of strings.
    TextList,
    /// Also `a,b` -> array of strings.
    CommaList,
    /// Also `1,2` -> array of numbers.
    IntegerList,
    /// Also `k=v` texts -> object of strings.
    TextMap,
    /// A URL or DSN; a password written in it arrives as a secret -> string with `{{password}}`.
    ConnectionString,
    /// PEM blocks; private keys arrive as secrets -> string.
    Pem,
}

/// Constructors of one type each: a name, and what it is for.
macro_rules! constructors {
    ($($name:ident $variant:ident $text:literal,)*) => {
        impl Field {
            $(
                #[doc = $text]
                pub const fn $name(name: &'static str, description: &'static str) -> Self {
                    Self::new(name, FieldType::$variant, description)
                }
            )*
        }
    };
}

constructors! {
    text Text "Text.",
    lowercase_text LowercaseText "Text that arrives in lower case.",
    integer Integer "A whole number.",
    boolean Boolean "True or false.",
    timestamp Timestamp "A point in time.",
    object Object "A JSON object.",
    any Any "Any JSON.",
    bytes Bytes "Base64.",
    seconds Seconds "A duration, in seconds.",
    signed_seconds SignedSeconds "A duration in seconds that may be negative.",
    text_list TextList "A list of texts, never split at commas.",
    comma_list CommaList "A list of texts, also as `a,b`.",
    integer_list IntegerList "A list of whole numbers, also as `1,2`.",
    text_map TextMap "A map of texts, also as `k=v`.",
    connection_string ConnectionString "A URL or DSN whose password arrives as a secret.",
    pem Pem "PEM blocks whose private keys arrive as secrets.",
}

impl Field {
    /// A field of this type.
    pub const fn new(name: &'static str, field_type: FieldType, description: &'static str) -> Self {
        Self {
            name,
            field_type,
            description,
            required: false,
            default: None,
            allowed: &[],
            secret: false,
        }
    }

    /// Must be there: without it the host refuses the write.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What the engine takes in its place, as JSON text. For help and forms only: an update must
    /// know what was not sent.
    #[must_use]
    pub const fn default(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }

    /// Must be one of these.
    #[must_use]
    pub const fn allowed(mut self, values: &'static [&'static str]) -> Self {
        self.allowed = values;
        self
    }

    /// Arrives as a [`Secret`](crate::Secret), and in clear in no log.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}
