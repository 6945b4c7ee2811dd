//! The configuration: files in HCL or JSON, with Vault's names, to values, once.
//!
//! A key that this server knows is checked. A key that Vault knows and this server has no use for
//! is read and answered with a note. A key that would leave the server more open than its operator
//! asked for, if it were passed over, is refused. Any other key is a mistake and says so, with its
//! line. What is left out has a usable default.
//!
//! Several files, or a directory of them, are one configuration: listeners add up, a later word
//! replaces an earlier one, but two stores would be two truths and are refused.

#[cfg(test)]
mod fuzz;
mod reader;
mod tree;

use std::io::Read;
use std::path::{Path, PathBuf};

use host_barrier::StaticKey;
use zeroize::Zeroizing;

use reader::Reader;
use tree::{Entry, Value};
pub use tree::{Place, SyntaxError};

use crate::limits;

/// All that an operator can set.
#[derive(Debug)]
pub struct Config {
    /// Where clients come in: one at least.
    pub listeners: Vec<Listener>,
    /// Where sealed data lies.
    pub storage: Storage,
    /// What opens the barrier.
    pub seal: Seal,
    /// Seconds, where nothing else is said.
    pub default_lease_ttl: u64,
    /// Seconds; nothing lasts longer unless its mount says so.
    pub max_lease_ttl: u64,
    /// How much the log says.
    pub log_level: LogLevel,
    /// How the log says it.
    pub log_format: LogFormat,
    /// The address that other nodes and clients are told.
    pub api_addr: Option<String>,
    /// What was read and has no effect, a sentence each: for the log.
    pub notes: Vec<String>,
}

/// One place where clients come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// A TCP port.
    Tcp {
        /// Host and port, such as `127.0.0.1:8200`.
        address: String,
        /// None: plain HTTP.
        tls: Option<TlsFiles>,
    },
    /// A Unix socket.
    Unix {
        /// Where it lies.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// What TLS needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// Whether clients are asked for a certificate. It is passed on, not trusted.
    pub ask_client: bool,
}

/// Where sealed data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory: gone when the server stops.
    Memory,
    /// In a file in this directory.
    Redb {
        /// The directory.
        directory: PathBuf,
    },
}

/// What opens the barrier.
#[derive(Debug)]
pub enum Seal {
    /// People, each with a share.
    Shamir,
    /// A key that the server is given.
    Static(StaticKey),
}

/// How much the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// A line for each request.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What may need a hand.
    Warn,
    /// What went wrong.
    Error,
}

impl LogLevel {
    /// Reads Vault's words.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "info" | "notice" | "" => LogLevel::Info,
            "warn" | "warning" => LogLevel::Warn,
            "err" | "error" => LogLevel::Error,
            _ => return None,
        })
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

/// How the log says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Standard,
    /// One JSON object a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is too large to be a configuration.
    #[error(
        "{path} is larger than {} bytes: is it a configuration?",
        limits::CONFIG_BYTES
    )]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// A directory without a configuration in it.
    #[error("there is no *.hcl and no *.json in {path}")]
    EmptyDirectory {
        /// Which.
        path: PathBuf,
    },
    /// A file is neither HCL nor JSON.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A line says what cannot be.
    #[error("{place}: {problem}")]
    Wrong {
        /// The line.
        place: Place,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// Something that has no default is nowhere.
    #[error("{0}")]
    Missing(&'static str),
}

impl ConfigError {
    fn wrong(place: &Place, problem: impl Into<String>) -> Self {
        ConfigError::Wrong {
            place: place.clone(),
            problem: problem.into(),
        }
    }
}

/// Vault's 768 hours.
const DEFAULT_LEASE_TTL: u64 = 768 * 3600;
/// Vault's port, on the loopback interface only.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8200";
const DEFAULT_PORT: u16 = 8200;

/// Read and passed over, with a note: they steer what this server does not have, or does by itself.
const PASSED_OVER: &[&str] = &[
    "administrative_namespace_path",
    "cache_size",
    "cluster_addr",
    "cluster_name",
    "detect_deadlocks",
    "disable_cache",
    "disable_clustering",
    "disable_mlock",
    "disable_performance_standby",
    "disable_sealwrap",
    "disable_sentinel_trace",
    "enable_post_unseal_trace",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "experiments",
    "ha_storage",
    "ha_backend",
    "imprecise_lease_role_tracking",
    "license_path",
    "log_file",
    "log_requests_level",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "pid_file",
    "plugin_directory",
    "plugin_file_permissions",
    "plugin_file_uid",
    "post_unseal_trace_directory",
    "raw_storage_endpoint",
    "introspection_endpoint",
    "reporting",
    "service_registration",
    "telemetry",
    "ui",
    "unsafe_allow_api_audit_creation",
    "allow_audit_log_prefixing",
    "default_max_request_duration",
];

/// The like for a TCP listener.
const LISTENER_PASSED_OVER: &[&str] = &[
    "cluster_address",
    "custom_response_headers",
    "disable_replication_status_endpoints",
    "disable_unauthed_rekey_endpoints",
    "http_idle_timeout",
    "http_read_header_timeout",
    "http_read_timeout",
    "http_write_timeout",
    "inflight_requests_logging",
    "max_json_depth",
    "max_request_duration",
    "max_request_json_memory",
    "max_request_json_strings",
    "max_request_size",
    "profiling",
    "purpose",
    "telemetry",
    "tls_cipher_suites",
    "tls_max_version",
    "tls_prefer_server_cipher_suites",
    "x_forwarded_for_authorized_addrs",
    "x_forwarded_for_client_cert_header",
    "x_forwarded_for_client_cert_header_decoders",
    "x_forwarded_for_hop_skips",
    "x_forwarded_for_reject_not_authorized",
    "x_forwarded_for_reject_not_present",
];

/// Keys of a TCP listener that may not be passed over, and why.
const LISTENER_REFUSED: &[(&str, &str)] = &[
    (
        "tls_require_and_verify_client_cert",
        "this server does not check client certificates at the listener: let a proxy in front do it",
    ),
    (
        "tls_client_ca_file",
        "this server does not check client certificates at the listener: let a proxy in front do it",
    ),
    (
        "proxy_protocol_behavior",
        "the PROXY protocol is not spoken here: let the proxy speak HTTP",
    ),
    (
        "proxy_protocol_authorized_addrs",
        "the PROXY protocol is not spoken here: let the proxy speak HTTP",
    ),
    ("chroot_namespace", "there are no namespaces here"),
    ("redact_addresses", "answers are not redacted here"),
    ("redact_cluster_name", "answers are not redacted here"),
    ("redact_version", "answers are not redacted here"),
    (
        "tls_acme_domains",
        "certificates are not fetched here: set tls_cert_file and tls_key_file",
    ),
];

impl Config {
    /// Reads files, and the `*.hcl` and `*.json` of directories in the order of their names.
    pub fn load(paths: &[PathBuf]) -> Result<Config, ConfigError> {
        Draft::read(paths)?.finish()
    }

    /// What a development server has: all in memory, plain HTTP on the loopback interface. Files
    /// may say more; a store and a seal that they name are not used.
    pub fn load_dev(paths: &[PathBuf], address: Option<&str>) -> Result<Config, ConfigError> {
        let mut draft = Draft::read(paths)?;
        let address = host_and_port(address.unwrap_or(DEFAULT_ADDRESS));
        draft.listeners.retain(|listener| {
            !matches!(listener, Listener::Tcp { address: taken, .. } if *taken == address)
        });
        draft
            .listeners
            .insert(0, Listener::Tcp { address, tls: None });
        let unused = draft.storage.take().map(|(place, _)| place);
        for place in unused
            .into_iter()
            .chain(draft.seal.take().map(|(place, _)| place))
        {
            draft
                .notes
                .push(format!("{place}: not used by a development server"));
        }
        draft.finish_with(Storage::Memory)
    }

    /// Reads one text, as if it stood in `file`.
    pub fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
        let mut draft = Draft::default();
        draft.add(tree::parse(file, text)?)?;
        draft.finish()
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "hcl" || extension == "json")
        {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(ConfigError::EmptyDirectory {
            path: path.to_owned(),
        }),
        false => Ok(files),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let unreadable = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::new());
    let size = file
        .take(limits::CONFIG_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    match size as u64 > limits::CONFIG_BYTES {
        true => Err(ConfigError::TooLarge {
            path: path.to_owned(),
        }),
        false => Ok(text),
    }
}

/// What the files said so far.
#[derive(Default)]
struct Draft {
    listeners: Vec<Listener>,
    storage: Option<(Place, Storage)>,
    seal: Option<(Place, Seal)>,
    default_lease_ttl: Option<(Place, u64)>,
    max_lease_ttl: Option<(Place, u64)>,
    log_level: Option<LogLevel>,
    log_format: Option<LogFormat>,
    api_addr: Option<String>,
    notes: Vec<String>,
}

impl Draft {
    fn read(paths: &[PathBuf]) -> Result<Self, ConfigError> {
        let mut draft = Draft::default();
        for path in paths {
            for file in files(path)? {
                draft.add(tree::parse(&file, &read(&file)?)?)?;
            }
        }
        Ok(draft)
    }

    /// Adds one file.
    fn add(&mut self, entries: Vec<Entry>) -> Result<(), ConfigError> {
        let mut reader = Reader::new("the configuration", entries);
        for (name, place, table) in reader.stanzas(&["listener"])? {
            let listener = match name.as_str() {
                "tcp" => self.tcp(place, table)?,
                "unix" => self.unix(place, table)?,
                _ => {
                    let problem =
                        format!("there is no listener {name:?}: write \"tcp\" or \"unix\"");
                    return Err(ConfigError::wrong(&place, problem));
                }
            };
            self.listeners.push(listener);
        }
        for (name, place, table) in reader.stanzas(&["storage", "backend"])? {
            let storage = storage(&name, &place, table, &mut self.notes)?;
            if let Some((first, _)) = &self.storage {
                let problem = format!("there is a store already, at {first}: keep one of them");
                return Err(ConfigError::wrong(&place, problem));
            }
            self.storage = Some((place, storage));
        }
        for (name, place, table) in reader.stanzas(&["seal"])? {
            let seal = seal(&name, &place, table, &mut self.notes)?;
            if let Some((first, _)) = &self.seal {
                let problem = format!("there is a seal already, at {first}: keep one of them");
                return Err(ConfigError::wrong(&place, problem));
            }
            self.seal = Some((place, seal));
        }
        for (ttl, name) in [
            (&mut self.default_lease_ttl, "default_lease_ttl"),
            (&mut self.max_lease_ttl, "max_lease_ttl"),
        ] {
            if let Some((place, seconds)) = reader.seconds(name)? {
                if seconds > limits::LEASE_SECONDS {
                    return Err(ConfigError::wrong(
                        &place,
                        format!("{name} is more than ten years"),
                    ));
                }
                // Zero is Vault's word for the default.
                *ttl = (seconds > 0).then_some((place, seconds));
            }
        }
        if let Some((place, word)) = reader.text("log_level")? {
            let level = LogLevel::parse(&word).ok_or_else(|| {
                ConfigError::wrong(
                    &place,
                    format!(
                        "there is no log_level {word:?}: use trace, debug, info, warn or error"
                    ),
                )
            })?;
            self.log_level = Some(level);
        }
        if let Some((place, word)) = reader.text("log_format")? {
            self.log_format = Some(match word.to_ascii_lowercase().as_str() {
                "standard" | "" => LogFormat::Standard,
                "json" => LogFormat::Json,
                _ => {
                    let problem = format!("there is no log_format {word:?}: use standard or json");
                    return Err(ConfigError::wrong(&place, problem));
                }
            });
        }
        if let Some((_, address)) = reader.text("api_addr")? {
            self.api_addr = Some(address);
        }
        reader.pass_over(PASSED_OVER, &mut self.notes);
        reader.finish(&[
            "listener",
            "storage",
            "seal",
            "default_lease_ttl",
            "max_lease_ttl",
            "log_level",
            "log_format",
            "api_addr",
        ])
    }

    fn tcp(&mut self, place: Place, table: Vec<Entry>) -> Result<Listener, ConfigError> {
        let mut reader = Reader::new("listener \"tcp\"", table);
        for (key, why) in LISTENER_REFUSED {
            if let Some((place, on)) = reader.is_set(key)
                && on
            {
                return Err(ConfigError::wrong(&place, format!("{key}: {why}")));
            }
        }
        let address = match reader.text("address")? {
            Some((place, address)) if address.contains("{{") => {
                let problem = "address templates are not evaluated here: write the address itself";
                return Err(ConfigError::wrong(&place, problem));
            }
            Some((_, address)) => host_and_port(&address),
            None => DEFAULT_ADDRESS.to_owned(),
        };
        let disabled = reader.flag("tls_disable")?.unwrap_or(false);
        let certificate = reader.text("tls_cert_file")?;
        let key = reader.text("tls_key_file")?;
        let only_tls13 = match reader.text("tls_min_version")? {
            None => false,
            Some((_, version)) if version == "tls13" => true,
            Some((_, version)) if version == "tls12" => false,
            Some((place, version)) => {
                let problem = format!(
                    "tls_min_version {version:?} is not spoken here: use \"tls12\" or \"tls13\""
                );
                return Err(ConfigError::wrong(&place, problem));
            }
        };
        let ask_client = !reader.flag("tls_disable_client_certs")?.unwrap_or(false);
        reader.pass_over(LISTENER_PASSED_OVER, &mut self.notes);
        reader.finish(&[
            "address",
            "tls_disable",
            "tls_cert_file",
            "tls_key_file",
            "tls_min_version",
            "tls_disable_client_certs",
        ])?;
        let tls = match (disabled, certificate, key) {
            (true, _, _) => None,
            (false, Some((_, certificate)), Some((_, key))) => Some(TlsFiles {
                certificate: certificate.into(),
                key: key.into(),
                only_tls13,
                ask_client,
            }),
            (false, certificate, _) => {
                let missing = if certificate.is_some() {
                    "tls_key_file"
                } else {
                    "tls_cert_file"
                };
                let problem = format!(
                    "the listener has no {missing}: set tls_cert_file and tls_key_file, or \
                     tls_disable = true if TLS ends before this server"
                );
                return Err(ConfigError::wrong(&place, problem));
            }
        };
        Ok(Listener::Tcp { address, tls })
    }

    fn unix(&mut self, place: Place, table: Vec<Entry>) -> Result<Listener, ConfigError> {
        let mut reader = Reader::new("listener \"unix\"", table);
        for key in ["socket_user", "socket_group"] {
            if let Some((place, true)) = reader.is_set(key) {
                let problem = format!(
                    "{key} is not offered: start the server as that user, or let its directory decide"
                );
                return Err(ConfigError::wrong(&place, problem));
            }
        }
        let address = reader.text("address")?;
        let mode = match reader.text("socket_mode")? {
            None => 0o600,
            Some((place, text)) => u32::from_str_radix(&text, 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .ok_or_else(|| {
                    ConfigError::wrong(&place, "socket_mode is not an octal mode such as \"0660\"")
                })?,
        };
        reader.pass_over(&["tls_disable"], &mut self.notes);
        reader.pass_over(LISTENER_PASSED_OVER, &mut self.notes);
        reader.finish(&["address", "socket_mode"])?;
        let Some((_, path)) = address else {
            return Err(ConfigError::wrong(
                &place,
                "the listener has no address: set it to the path of the socket",
            ));
        };
        Ok(Listener::Unix {
            path: path.into(),
            mode,
        })
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        let (_, storage) = self.storage.take().ok_or(ConfigError::Missing(
            "the configuration names no store: add storage \"redb\" { path = \"/where/it/lies\" }",
        ))?;
        self.finish_with(storage)
    }

    fn finish_with(mut self, storage: Storage) -> Result<Config, ConfigError> {
        if self.listeners.is_empty() {
            self.listeners.push(Listener::Tcp {
                address: DEFAULT_ADDRESS.to_owned(),
                tls: None,
            });
            self.notes.push(format!(
                "no listener is configured: listening on {DEFAULT_ADDRESS}, without TLS"
            ));
        }
        let max = self.max_lease_ttl;
        let max_lease_ttl = max
            .as_ref()
            .map_or(DEFAULT_LEASE_TTL, |(_, seconds)| *seconds);
        let default_lease_ttl = match self.default_lease_ttl {
            None => DEFAULT_LEASE_TTL.min(max_lease_ttl),
            Some((place, seconds)) if seconds > max_lease_ttl => {
                let problem =
                    "default_lease_ttl is more than max_lease_ttl, which is 768h if it is not set";
                return Err(ConfigError::wrong(&place, problem));
            }
            Some((_, seconds)) => seconds,
        };
        Ok(Config {
            listeners: self.listeners,
            storage,
            seal: self.seal.map_or(Seal::Shamir, |(_, seal)| seal),
            default_lease_ttl,
            max_lease_ttl,
            log_level: self.log_level.unwrap_or_default(),
            log_format: self.log_format.unwrap_or_default(),
            api_addr: self.api_addr,
            notes: self.notes,
        })
    }
}

fn storage(
    name: &str,
    place: &Place,
    table: Vec<Entry>,
    notes: &mut Vec<String>,
) -> Result<Storage, ConfigError> {
    let mut reader = Reader::new(&format!("storage {name:?}"), table);
    match name {
        "redb" | "inmem" => {}
        "raft"
        | "file"
        | "consul"
        | "etcd"
        | "postgresql"
        | "mysql"
        | "s3"
        | "gcs"
        | "azure"
        | "dynamodb"
        | "zookeeper"
        | "cassandra"
        | "mssql"
        | "inmem_ha"
        | "inmem_transactional" => {
            let problem = format!(
                "storage {name:?} is not offered: use storage \"redb\" {{ path = \"...\" }}"
            );
            return Err(ConfigError::wrong(place, problem));
        }
        _ => {
            let problem = format!("there is no storage {name:?}: use \"redb\" or \"inmem\"");
            return Err(ConfigError::wrong(place, problem));
        }
    }
    let path = reader
        .text("path")?
        .map(|(_, path)| path)
        .filter(|path| !path.is_empty());
    reader.pass_over(
        &[
            "max_parallel",
            "disable_clustering",
            "redirect_addr",
            "cluster_addr",
        ],
        notes,
    );
    reader.finish(&["path"])?;
    match (name, path) {
        ("inmem", _) => Ok(Storage::Memory),
        (_, Some(path)) => Ok(Storage::Redb {
            directory: path.into(),
        }),
        (_, None) => {
            let problem = "the store has no path: set it to a directory of its own";
            Err(ConfigError::wrong(place, problem))
        }
    }
}

fn seal(
    name: &str,
    place: &Place,
    table: Vec<Entry>,
    notes: &mut Vec<String>,
) -> Result<Seal, ConfigError> {
    let mut reader = Reader::new(&format!("seal {name:?}"), table);
    if reader.flag("disabled")?.unwrap_or(false) {
        let problem = "a seal cannot be switched off here: take the stanza out";
        return Err(ConfigError::wrong(place, problem));
    }
    match name {
        "static" => {}
        "shamir" => return reader.finish(&[]).map(|()| Seal::Shamir),
        _ => {
            let problem = format!(
                "there is no seal {name:?}: use seal \"static\", or leave it out and unseal with shares"
            );
            return Err(ConfigError::wrong(place, problem));
        }
    }
    let key = reader.text("current_key")?;
    for earlier in ["previous_key", "previous_key_id"] {
        if let Some((place, true)) = reader.is_set(earlier) {
            let problem =
                format!("{earlier}: changing the key of a static seal is not offered yet");
            return Err(ConfigError::wrong(&place, problem));
        }
    }
    reader.pass_over(&["current_key_id", "priority", "name"], notes);
    reader.finish(&["current_key"])?;
    let Some((place, key)) = key else {
        let problem =
            "the seal has no current_key: 32 bytes as base64 or hex, file:///path or env://NAME";
        return Err(ConfigError::wrong(place, problem));
    };
    static_key(&place, Zeroizing::new(key)).map(Seal::Static)
}

/// The key, from where it lies. No message holds a byte of it.
fn static_key(place: &Place, source: Zeroizing<String>) -> Result<StaticKey, ConfigError> {
    let wrong = |problem: String| ConfigError::wrong(place, problem);
    let bytes = if let Some(path) = source.strip_prefix("file://") {
        let bytes = std::fs::read(path)
            .map_err(|err| wrong(format!("current_key: cannot read {path}: {err}")))?;
        Zeroizing::new(bytes)
    } else if let Some(name) = source.strip_prefix("env://") {
        let text = std::env::var(name)
            .map_err(|_| wrong(format!("current_key: {name} is not set in the environment")))?;
        Zeroizing::new(text.into_bytes())
    } else {
        Zeroizing::new(source.as_bytes().to_vec())
    };
    key_bytes(&bytes).ok_or_else(|| {
        wrong("current_key is not 32 bytes: make one with `openssl rand -base64 32`".to_owned())
    })
}

/// Raw, hexadecimal or base64.
fn key_bytes(bytes: &[u8]) -> Option<StaticKey> {
    StaticKey::from_slice(bytes).or_else(|| StaticKey::parse(std::str::from_utf8(bytes).ok()?))
}

/// An address with its port: Vault's, if there is none. A port alone listens everywhere.
fn host_and_port(address: &str) -> String {
    let address = address.trim();
    if let Some(port) = address.strip_prefix(':').filter(|rest| !rest.contains(':')) {
        return format!("[::]:{port}");
    }
    let has_port = match address.rsplit_once(':') {
        Some((host, port)) => {
            let bare_v6 = host.contains(':') && !host.ends_with(']');
            !bare_v6 && port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty()
        }
        None => false,
    };
    match has_port {
        true => address.to_owned(),
        false if address.contains(':') && !address.starts_with('[') => {
            format!("[{address}]:{DEFAULT_PORT}")
        }
        false => format!("{address}:{DEFAULT_PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        let file = if text.starts_with('{') {
            "c.json"
        } else {
            "c.hcl"
        };
        expected.assert_eq(&match Config::parse(Path::new(file), text) {
            Ok(config) => format!("{config:#?}"),
            Err(err) => err.to_string(),
        });
    }

    const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

    #[test]
    fn a_whole_configuration_is_read_and_what_is_passed_over_is_noted() {
        check(
            &format!(
                r#"
                ui            = true
                disable_mlock = true
                cluster_addr  = "https://127.0.0.1:8201"
                api_addr      = "https://vault.example:8200"
                log_level     = "WARN"
                log_format    = "json"
                default_lease_ttl = "1h"
                max_lease_ttl     = "720h"
                plugin_directory  = "/opt/components"

                listener "tcp" {{
                  address         = "0.0.0.0"
                  tls_cert_file   = "/etc/cert.pem"
                  tls_key_file    = "/etc/key.pem"
                  tls_min_version = "tls13"
                  telemetry {{
                    unauthenticated_metrics_access = true
                  }}
                }}
                listener "unix" {{
                  address     = "/run/coffer.sock"
                  socket_mode = "0660"
                }}
                storage "redb" {{
                  path = "/var/lib/coffer"
                }}
                seal "static" {{
                  current_key_id = "2026"
                  current_key    = "{KEY}"
                }}
                telemetry {{
                  disable_hostname = true
                }}
                "#
            ),
            expect![[r#"
                Config {
                    listeners: [
                        Tcp {
                            address: "0.0.0.0:8200",
                            tls: Some(
                                TlsFiles {
                                    certificate: "/etc/cert.pem",
                                    key: "/etc/key.pem",
                                    only_tls13: true,
                                    ask_client: true,
                                },
                            ),
                        },
                        Unix {
                            path: "/run/coffer.sock",
                            mode: 432,
                        },
                    ],
                    storage: Redb {
                        directory: "/var/lib/coffer",
                    },
                    seal: Static(
                        StaticKey,
                    ),
                    default_lease_ttl: 3600,
                    max_lease_ttl: 2592000,
                    log_level: Warn,
                    log_format: Json,
                    api_addr: Some(
                        "https://vault.example:8200",
                    ),
                    notes: [
                        "c.hcl:17: telemetry has no effect in this server",
                        "c.hcl:29: current_key_id has no effect in this server",
                        "c.hcl:2: ui has no effect in this server",
                        "c.hcl:3: disable_mlock has no effect in this server",
                        "c.hcl:4: cluster_addr has no effect in this server",
                        "c.hcl:10: plugin_directory has no effect in this server",
                        "c.hcl:32: telemetry has no effect in this server",
                    ],
                }"#]],
        );
    }

    #[test]
    fn the_configuration_of_hvacs_own_tests_is_read() {
        check(
            r#"{"backend":{"inmem":{}},"listener":{"tcp":{"tls_cert_file":"c.pem","tls_key_file":"k.pem","address":"127.0.0.1:8200"}},"disable_mlock":true,"default_lease_ttl":"768h","max_lease_ttl":"768h"}"#,
            expect![[r#"
                Config {
                    listeners: [
                        Tcp {
                            address: "127.0.0.1:8200",
                            tls: Some(
                                TlsFiles {
                                    certificate: "c.pem",
                                    key: "k.pem",
                                    only_tls13: false,
                                    ask_client: true,
                                },
                            ),
                        },
                    ],
                    storage: Memory,
                    seal: Shamir,
                    default_lease_ttl: 2764800,
                    max_lease_ttl: 2764800,
                    log_level: Info,
                    log_format: Standard,
                    api_addr: None,
                    notes: [
                        "c.json:1: disable_mlock has no effect in this server",
                    ],
                }"#]],
        );
    }

    #[test]
    fn what_is_left_out_has_a_usable_default() {
        check(
            "storage \"inmem\" {}\n",
            expect![[r#"
            Config {
                listeners: [
                    Tcp {
                        address: "127.0.0.1:8200",
                        tls: None,
                    },
                ],
                storage: Memory,
                seal: Shamir,
                default_lease_ttl: 2764800,
                max_lease_ttl: 2764800,
                log_level: Info,
                log_format: Standard,
                api_addr: None,
                notes: [
                    "no listener is configured: listening on 127.0.0.1:8200, without TLS",
                ],
            }"#]],
        );
        check(
            "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_disable = \"true\"\n}\nmax_lease_ttl = 60\n",
            expect![[r#"
            Config {
                listeners: [
                    Tcp {
                        address: "127.0.0.1:8200",
                        tls: None,
                    },
                ],
                storage: Memory,
                seal: Shamir,
                default_lease_ttl: 60,
                max_lease_ttl: 60,
                log_level: Info,
                log_format: Standard,
                api_addr: None,
                notes: [],
            }"#]],
        );
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_to_write() {
        check(
            "",
            expect![[
                r#"the configuration names no store: add storage "redb" { path = "/where/it/lies" }"#
            ]],
        );
        check(
            "storage \"inmem\" {}\nlog_levl = \"info\"\n",
            expect!["c.hcl:2: the configuration takes no log_levl: did you mean log_level?"],
        );
        check(
            "storage \"inmem\" {}\nzzz = 1\n",
            expect![
                "c.hcl:2: the configuration takes no zzz: it takes listener, storage, seal, default_lease_ttl, max_lease_ttl, log_level, log_format, api_addr"
            ],
        );
        check(
            "storage \"inmem\" {}\nui = true\nui = false\n",
            expect![
                "c.hcl:3: not HCL: invalid attribute; expected unique attribute key; found redefined attribute"
            ],
        );
        check(
            "storage \"raft\" {\n  path = \"/x\"\n}\n",
            expect![[
                r#"c.hcl:1: storage "raft" is not offered: use storage "redb" { path = "..." }"#
            ]],
        );
        check(
            "storage \"reddb\" {\n  path = \"/x\"\n}\n",
            expect![[r#"c.hcl:1: there is no storage "reddb": use "redb" or "inmem""#]],
        );
        check(
            "storage \"redb\" {}\n",
            expect!["c.hcl:1: the store has no path: set it to a directory of its own"],
        );
        check(
            "storage \"redb\" {\n  pth = \"/x\"\n}\n",
            expect![[r#"c.hcl:2: storage "redb" takes no pth: did you mean path?"#]],
        );
        check(
            "storage \"inmem\" {}\nbackend \"inmem\" {}\n",
            expect!["c.hcl:2: there is a store already, at c.hcl:1: keep one of them"],
        );
        check(
            "storage = \"inmem\"\n",
            expect![[r#"c.hcl:1: storage is a block with a name: storage "redb" { ... }"#]],
        );
        check(
            "storage \"inmem\" {}\nlistener \"tcp\" {\n}\n",
            expect![
                "c.hcl:2: the listener has no tls_cert_file: set tls_cert_file and tls_key_file, or tls_disable = true if TLS ends before this server"
            ],
        );
        check(
            "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_cert_file = \"c\"\n}\n",
            expect![
                "c.hcl:2: the listener has no tls_key_file: set tls_cert_file and tls_key_file, or tls_disable = true if TLS ends before this server"
            ],
        );
        check(
            "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_disable = \"maybe\"\n}\n",
            expect!["c.hcl:3: tls_disable is neither true nor false"],
        );
        check(
            "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_disable = 1\n tls_require_and_verify_client_cert = true\n}\n",
            expect![
                "c.hcl:4: tls_require_and_verify_client_cert: this server does not check client certificates at the listener: let a proxy in front do it"
            ],
        );
        check(
            "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_disable = 1\n tls_min_version = \"tls11\"\n}\n",
            expect![[
                r#"c.hcl:4: tls_min_version "tls11" is not spoken here: use "tls12" or "tls13""#
            ]],
        );
        check(
            "storage \"inmem\" {}\nlistener \"udp\" {}\n",
            expect![[r#"c.hcl:2: there is no listener "udp": write "tcp" or "unix""#]],
        );
        check(
            "storage \"inmem\" {}\nlistener \"unix\" {}\n",
            expect!["c.hcl:2: the listener has no address: set it to the path of the socket"],
        );
        check(
            "storage \"inmem\" {}\nlistener \"unix\" {\n address = \"/x\"\n socket_mode = \"rw\"\n}\n",
            expect![[r#"c.hcl:4: socket_mode is not an octal mode such as "0660""#]],
        );
        check(
            "storage \"inmem\" {}\nseal \"awskms\" {}\n",
            expect![[
                r#"c.hcl:2: there is no seal "awskms": use seal "static", or leave it out and unseal with shares"#
            ]],
        );
        check(
            "storage \"inmem\" {}\nseal \"static\" {}\n",
            expect![
                "c.hcl:2: the seal has no current_key: 32 bytes as base64 or hex, file:///path or env://NAME"
            ],
        );
        check(
            "storage \"inmem\" {}\nseal \"static\" {\n current_key = \"s3cret\"\n}\n",
            expect![
                "c.hcl:3: current_key is not 32 bytes: make one with `openssl rand -base64 32`"
            ],
        );
        check(
            "storage \"inmem\" {}\ndefault_lease_ttl = \"soon\"\n",
            expect![[
                r#"c.hcl:2: default_lease_ttl: expected a duration such as "90s", "1h30m" or "7d", or a whole number of seconds"#
            ]],
        );
        check(
            "storage \"inmem\" {}\ndefault_lease_ttl = \"1000h\"\n",
            expect![
                "c.hcl:2: default_lease_ttl is more than max_lease_ttl, which is 768h if it is not set"
            ],
        );
        check(
            "storage \"inmem\" {}\nlog_level = \"loud\"\n",
            expect![[
                r#"c.hcl:2: there is no log_level "loud": use trace, debug, info, warn or error"#
            ]],
        );
        check(
            "storage \"inmem\" {}\nlog_level = 3\n",
            expect![[
                r#"c.hcl:2: there is no log_level "3": use trace, debug, info, warn or error"#
            ]],
        );
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let write =
            |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("a file");
        write(
            "10-base.hcl",
            "storage \"inmem\" {}\nlog_level = \"debug\"\nlistener \"tcp\" {\n tls_disable = true\n}\n",
        );
        write(
            "20-more.json",
            r#"{"log_level":"error","listener":[{"unix":{"address":"/run/x"}}]}"#,
        );
        write("README", "not a configuration");
        let config = Config::load(&[dir.path().to_owned()]).expect("a configuration");
        assert_eq!(config.log_level, LogLevel::Error);
        assert_eq!(config.listeners.len(), 2);

        write("30-second.hcl", "storage \"inmem\" {}\n");
        let err = Config::load(&[dir.path().to_owned()])
            .expect_err("two stores")
            .to_string();
        assert!(
            err.contains("30-second.hcl:1: there is a store already"),
            "{err}"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let err = Config::load(&["/nowhere/coffer.hcl".into()]).expect_err("no file");
        assert_eq!(
            err.to_string(),
            "cannot read the configuration /nowhere/coffer.hcl"
        );
    }

    #[test]
    fn an_address_has_a_port() {
        for (address, expected) in [
            ("127.0.0.1:8300", "127.0.0.1:8300"),
            ("127.0.0.1", "127.0.0.1:8200"),
            ("[::1]:80", "[::1]:80"),
            ("[::1]", "[::1]:8200"),
            ("::1", "[::1]:8200"),
            (":8200", "[::]:8200"),
            ("vault.example", "vault.example:8200"),
        ] {
            assert_eq!(host_and_port(address), expected);
        }
    }

    #[test]
    fn a_static_key_is_taken_in_each_of_its_forms() {
        let expected: Vec<u8> = (1..=32).collect();
        let hex = hex::encode(&expected);
        for form in [
            &expected[..],
            hex.as_bytes(),
            KEY.as_bytes(),
            format!("{KEY}\n").as_bytes(),
        ] {
            assert!(key_bytes(form).is_some(), "{form:?}");
        }
        assert!(key_bytes(b"too short").is_none());
    }
}
