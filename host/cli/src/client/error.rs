//! What can go wrong with a request: in the words of Vault's client, which scripts and answers on the web know, and with
//! what to try.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use hyper::{Method, StatusCode};
use rustls::InvalidMessage;
use serde::Deserialize;

use super::Settings;
use super::address::{Transport, Url};
use super::tls::TlsError;
use crate::failure::Failure;
use crate::secret::Secret;

/// Why there is no answer to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("{0}")]
    Unreachable(Box<Unreachable>),
    #[error("error reading the answer of {url}: {source}")]
    Unreadable {
        url: String,
        source: serde_json::Error,
    },
    #[error("{0}")]
    Redirect(&'static str),
    #[error("configured Vault token contains non-printable characters and cannot be used")]
    UnprintableToken,
    #[error("failed to setup Headers[{0}]: not a header")]
    Header(String),
    #[error("the network cannot be set up: {0}")]
    Runtime(io::Error),
    #[error("failed to setup TLS config: {0}")]
    Tls(TlsError),
    /// Not an error: what `-output-curl-string` asked for.
    #[error("the request as a curl command")]
    Curl(String),
}

/// The server said no.
#[derive(Debug)]
pub(crate) struct Refusal {
    method: Method,
    url: String,
    pub(crate) status: StatusCode,
    /// The server's reasons, or its body if that was not Vault's JSON.
    pub(crate) errors: Vec<String>,
    pub(crate) is_raw: bool,
    /// What came along: a 404 may hold an answer.
    pub(crate) secret: Option<Secret>,
    token_was_sent: bool,
}

impl Refusal {
    pub(super) fn new(
        method: &Method,
        url: &Url,
        status: StatusCode,
        body: &[u8],
        token_was_sent: bool,
    ) -> Self {
        #[derive(Deserialize)]
        struct Errors {
            #[serde(default)]
            errors: Option<Vec<String>>,
        }
        let (errors, is_raw) = match serde_json::from_slice::<Errors>(body) {
            Ok(parsed) => (parsed.errors.unwrap_or_default(), false),
            Err(_) => (vec![String::from_utf8_lossy(body).into_owned()], true),
        };
        let secret = Secret::parse(body)
            .ok()
            .flatten()
            .filter(Secret::has_content);
        Self {
            method: method.clone(),
            url: url.to_string(),
            status,
            errors,
            is_raw,
            secret,
            token_was_sent,
        }
    }

    pub(crate) fn says(&self, text: &str) -> bool {
        self.errors.iter().any(|error| error.contains(text))
    }

    fn hint(&self) -> Option<String> {
        let path = self.api_path();
        Some(match self.status.as_u16() {
            _ if self.says("Vault is sealed") => "run \"coffer operator unseal\" with one of the unseal shares".to_owned(),
            _ if self.says("Vault is not initialized") => "run \"coffer operator init\" first".to_owned(),
            _ if self.says("Client sent an HTTP request to an HTTPS server") => {
                "the server speaks TLS: the address has to start with https://".to_owned()
            }
            403 if self.says("preflight capability check") => {
                "there is no such mount, or the token may do nothing in it: \"coffer secrets list\" shows the mounts".to_owned()
            }
            403 if !self.token_was_sent => "no token was sent: run \"coffer login\", or set VAULT_TOKEN".to_owned(),
            // Every token may ask about itself.
            403 if self.says("invalid token") || path == "auth/token/lookup-self" => {
                "the token is wrong, expired or revoked: get a new one with \"coffer login\"".to_owned()
            }
            403 if self.says("bad token") => "the token asked about is mistyped, expired or revoked".to_owned(),
            403 => format!("the token's policies do not allow this: \"coffer token capabilities {path}\" shows what they allow"),
            404 if self.says("no handler for route") => not_mounted(path),
            _ => return None,
        })
    }

    /// What follows `/v1/` in the URL.
    fn api_path(&self) -> &str {
        let path = self.url.split_once("/v1/").map_or("", |(_, path)| path);
        path.split('?').next().unwrap_or_default()
    }
}

/// What to try where no engine is.
pub(crate) fn not_mounted(path: &str) -> String {
    let mount = path.split('/').next().unwrap_or_default();
    format!(
        "nothing is mounted there; \"coffer secrets list\" shows the mounts, \"coffer secrets enable -path={mount} TYPE\" adds one"
    )
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_raw { "Raw Message" } else { "Errors" };
        write!(
            f,
            "Error making API request.\n\nURL: {} {}\nCode: {}. {kind}:\n\n",
            self.method,
            self.url,
            self.status.as_u16()
        )?;
        if self.is_raw {
            return f.write_str(&self.errors.concat());
        }
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|error| format!("* {error}"))
            .collect();
        f.write_str(&errors.join("\n"))
    }
}

/// No answer came.
#[derive(Debug)]
pub(crate) struct Unreachable {
    method: Method,
    url: String,
    broken: Broken,
    hint: Option<String>,
}

impl Unreachable {
    pub(super) fn new(method: &Method, url: &Url, broken: Broken, settings: &Settings) -> Self {
        let hint = broken.hint(url, settings);
        Self {
            method: method.clone(),
            url: url.to_string(),
            broken,
            hint,
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_str();
        write!(
            f,
            "{}{} {:?}: {}",
            &method[..1],
            method[1..].to_ascii_lowercase(),
            self.url,
            self.broken
        )
    }
}

/// At which step an exchange broke.
#[derive(Debug)]
pub(super) enum Broken {
    Tls(TlsError),
    Dial { to: String, source: io::Error },
    Handshake(io::Error),
    Request(hyper::http::Error),
    Exchange(hyper::Error),
    Answer(Box<dyn Error + Send + Sync>),
    Timeout(Duration),
}

impl Broken {
    /// Whether the server cannot have acted on the request.
    pub(super) fn was_not_sent(&self) -> bool {
        match self {
            Self::Dial { .. } | Self::Handshake(_) => true,
            Self::Exchange(err) => err.is_canceled(),
            Self::Tls(_) | Self::Request(_) | Self::Answer(_) | Self::Timeout(_) => false,
        }
    }

    fn hint(&self, url: &Url, settings: &Settings) -> Option<String> {
        let at = match settings.address_from {
            "" => format!(
                "{url_root} is the default, VAULT_ADDR is not set",
                url_root = root(url)
            ),
            from => format!("{from} is {}", root(url)),
        };
        let tls = &settings.tls;
        Some(match self {
            Self::Dial { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => format!("is the server running? {at}"),
                io::ErrorKind::PermissionDenied => format!("this user may not open the socket. {at}"),
                _ => format!("can this machine reach the server? {at}"),
            },
            Self::Handshake(err) => match tls_cause(err) {
                Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                    let plain = root(url).replacen("https://", "http://", 1);
                    format!("the server speaks plain HTTP: export VAULT_ADDR='{plain}'")
                }
                Some(rustls::Error::InvalidCertificate(_)) => match (&tls.ca_cert, &tls.ca_path) {
                    (Some(path), _) | (None, Some(path)) => {
                        format!("the server's certificate is not from an authority in {}, or not for this name", path.display())
                    }
                    (None, None) => "name the file with the server's authority: -ca-cert=FILE or VAULT_CACERT".to_owned(),
                },
                Some(rustls::Error::AlertReceived(_)) => {
                    "the server broke off: does it ask for a client certificate? -client-cert, -client-key".to_owned()
                }
                _ => format!("does a server with TLS listen there? {at}"),
            },
            Self::Exchange(err) if err.is_parse() || err.is_incomplete_message() => {
                if matches!(url.address.transport, Transport::Http { .. }) {
                    format!("does the server speak TLS? Then the address has to start with https://. {at}")
                } else {
                    return None;
                }
            }
            Self::Timeout(limit) => format!("no answer within {} seconds; VAULT_CLIENT_TIMEOUT sets how long to wait", limit.as_secs()),
            Self::Tls(_) | Self::Request(_) | Self::Exchange(_) | Self::Answer(_) => return None,
        })
    }
}

/// In Go's words.
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(err) => write!(f, "{err}"),
            Self::Dial { to, source } => match source.kind() {
                io::ErrorKind::ConnectionRefused => write!(f, "dial {to}: connect: connection refused"),
                io::ErrorKind::NotFound => write!(f, "dial {to}: connect: no such file or directory"),
                io::ErrorKind::PermissionDenied => write!(f, "dial {to}: connect: permission denied"),
                _ => write!(f, "dial {to}: {source}"),
            },
            Self::Handshake(err) => match tls_cause(err) {
                Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                    f.write_str("http: server gave HTTP response to HTTPS client")
                }
                // Two authorities may have one name; then it is the signature that tells them apart.
                Some(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
                )) => {
                    f.write_str("tls: failed to verify certificate: x509: certificate signed by unknown authority")
                }
                Some(rustls::Error::InvalidCertificate(reason)) => {
                    write!(f, "tls: failed to verify certificate: x509: {reason}")
                }
                _ => write!(f, "tls: handshake failure: {err}"),
            },
            Self::Request(err) => write!(f, "{err}"),
            Self::Exchange(err) => match err.source() {
                Some(source) => write!(f, "{err}: {source}"),
                None => write!(f, "{err}"),
            },
            Self::Answer(err) => write!(f, "error reading the answer: {err}"),
            Self::Timeout(_) => f.write_str("context deadline exceeded"),
        }
    }
}

impl RequestError {
    /// The failure of a command that was doing something: `Error reading secret/data/a: ...`.
    pub(crate) fn while_doing(self, what: impl fmt::Display) -> Failure {
        self.told(|message| format!("{what}: {message}"))
    }

    /// The failure of a question on the way, which Vault's client tells without saying what it was doing.
    pub(crate) fn alone(self) -> Failure {
        self.told(|message| message)
    }

    /// The server's refusal, if this is one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    fn told(self, message: impl FnOnce(String) -> String) -> Failure {
        let failure = Failure::remote(message(self.to_string()));
        let (failure, hint) = match self {
            Self::Curl(line) => return Failure::Curl(line),
            Self::Tls(_) => return Failure::local(self),
            Self::Refused(refusal) => {
                let hint = refusal.hint();
                (failure.with_answer(refusal.secret), hint)
            }
            Self::Unreachable(unreachable) => (failure, unreachable.hint),
            _ => (failure, None),
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn root(url: &Url) -> String {
    match &url.address.transport {
        Transport::Http { authority, .. } => format!("http://{authority}"),
        Transport::Https { authority, .. } => format!("https://{authority}"),
        Transport::Unix(path) => format!("unix://{}", path.display()),
    }
}

/// The TLS library's reason inside an I/O error.
fn tls_cause(err: &io::Error) -> Option<&rustls::Error> {
    err.get_ref()?.downcast_ref()
}
