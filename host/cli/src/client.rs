//! The HTTP client: one connection, one request after the other, Vault's conventions on the wire.
//!
//! - Reads are GET, lists GET with `list=true`, writes PUT; `X-Vault-Request: true` goes with every request.
//! - A body has no Content-Type, as from Go's client; only PATCH names its own.
//! - One redirect is followed, never from TLS to plaintext.
//! - Nothing is set up before it is needed: the runtime at the first request, certificates at the first TLS connection.

mod address;
mod connect;
mod curl;
mod error;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::limits::{ANSWER_MAX_BYTES, RETRY_AFTER_MAX, RETRY_WAIT};
use crate::secret::{Secret, Token};

pub(crate) use address::Address;
pub(crate) use error::{RequestError, not_mounted};
pub(crate) use tls::TlsSettings;

use address::Url;
use error::{Broken, Refusal, Unreachable};

/// How to reach a server, and what goes with every request.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    /// Where the address comes from, for hints: `VAULT_ADDR`, `-address`, or nothing at all.
    pub(crate) address_from: &'static str,
    pub(crate) tls: TlsSettings,
    pub(crate) token: Option<Token>,
    pub(crate) namespace: Option<String>,
    /// Asks for wrapped answers: a Go duration.
    pub(crate) wrap_ttl: Option<String>,
    pub(crate) mfa: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) follow_redirects: bool,
    /// Print requests instead of sending them.
    pub(crate) output_curl: bool,
}

/// One request to make.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Bytes>,
    purpose: Purpose,
}

/// Whether a request is the command itself or a question on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Command,
    /// Always sent and never wrapped: the command needs the answer to go on.
    Preliminary,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            body: None,
            purpose: Purpose::Command,
        }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get(path)
        }
    }

    pub(crate) fn put(path: impl Into<String>, body: &Value) -> Self {
        Self {
            method: Method::PUT,
            body: Some(Bytes::from(body.to_string())),
            ..Self::get(path)
        }
    }

    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self {
            method: Method::POST,
            ..Self::put(path, body)
        }
    }

    /// A merge patch.
    pub(crate) fn patch(path: impl Into<String>, body: &Value) -> Self {
        Self {
            method: Method::PATCH,
            ..Self::put(path, body)
        }
    }

    pub(crate) fn list(path: impl Into<String>) -> Self {
        Self::get(path).query([("list".to_owned(), "true".to_owned())])
    }

    /// A write without a body.
    pub(crate) fn put_nothing(path: impl Into<String>) -> Self {
        Self {
            method: Method::PUT,
            ..Self::get(path)
        }
    }

    pub(crate) fn query(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.query.extend(pairs);
        self
    }

    /// Makes this a question on the way to the command's own request.
    pub(crate) fn preliminary(mut self) -> Self {
        self.purpose = Purpose::Preliminary;
        self
    }

    /// Whether sending it twice does what sending it once does, as far as anyone can tell from here.
    fn only_reads(&self) -> bool {
        self.method == Method::GET
    }
}

/// What a successful or empty answer holds.
#[derive(Debug)]
pub(crate) enum Found {
    Secret(Box<Secret>),
    /// No content, or 404 with nothing but these errors.
    Nothing {
        errors: Vec<String>,
    },
}

impl Found {
    pub(crate) fn secret(self) -> Option<Secret> {
        match self {
            Self::Secret(secret) => Some(*secret),
            Self::Nothing { .. } => None,
        }
    }
}

/// An answer as it came.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// A client for the time of one command.
pub(crate) struct Client {
    settings: Settings,
    runtime: Option<Runtime>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            runtime: None,
            connection: None,
        }
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.settings.token.as_ref()
    }

    pub(crate) fn set_token(&mut self, token: Option<Token>) {
        self.settings.token = token;
    }

    /// From here on, answers come unwrapped.
    pub(crate) fn stop_wrapping(&mut self) {
        self.settings.wrap_ttl = None;
    }

    /// From here on, no namespace is named: the seal belongs to the whole server.
    pub(crate) fn leave_namespace(&mut self) {
        self.settings.namespace = None;
    }

    /// Reads or lists: what is not there is [`Found::Nothing`], and a 404 that says something is an answer.
    pub(crate) fn read(&mut self, call: Call) -> Result<Found, RequestError> {
        match self.write(call) {
            Err(RequestError::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                Ok(match refusal.secret {
                    Some(secret) => Found::Secret(Box::new(secret)),
                    None => Found::Nothing {
                        errors: if refusal.is_raw {
                            Vec::new()
                        } else {
                            refusal.errors
                        },
                    },
                })
            }
            other => other,
        }
    }

    /// Writes, patches or deletes: a 404 is an error like any other.
    pub(crate) fn write(&mut self, call: Call) -> Result<Found, RequestError> {
        let url = self.url(&call);
        let body = self.send(call)?;
        let secret =
            Secret::parse(&body).map_err(|source| RequestError::Unreadable { url, source })?;
        Ok(match secret {
            Some(secret) => Found::Secret(Box::new(secret)),
            None => Found::Nothing { errors: Vec::new() },
        })
    }

    /// A bare answer, without the envelope.
    pub(crate) fn bare<T: DeserializeOwned>(&mut self, call: Call) -> Result<T, RequestError> {
        let url = self.url(&call);
        let body = self.send(call)?;
        serde_json::from_slice(&body).map_err(|source| RequestError::Unreadable { url, source })
    }

    /// The body of a successful answer.
    pub(crate) fn send(&mut self, call: Call) -> Result<Bytes, RequestError> {
        let url = self.settings.address.url(&call.path, &call.query);
        let headers = self.headers(&call)?;
        if self.settings.output_curl && call.purpose == Purpose::Command {
            return Err(RequestError::Curl(curl::command(
                &self.settings,
                &call,
                &url,
                &headers,
            )));
        }
        let mut runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(RequestError::Runtime)?,
        };
        let answer = self.send_on(&mut runtime, &call, url, &headers);
        self.runtime = Some(runtime);
        answer
    }

    fn send_on(
        &mut self,
        runtime: &mut Runtime,
        call: &Call,
        url: Url,
        headers: &HeaderMap,
    ) -> Result<Bytes, RequestError> {
        let (reply, url) = runtime.block_on(async {
            let reply = self.persist(call, &url, headers).await?;
            match self.redirect(&reply, &url)? {
                Some(target) => Ok((self.persist(call, &target, headers).await?, target)),
                None => Ok((reply, url)),
            }
        })?;
        if reply.status.as_u16() < 400 {
            return Ok(reply.body);
        }
        Err(RequestError::Refused(Box::new(Refusal::new(
            &call.method,
            &url,
            reply.status,
            &reply.body,
            self.token().is_some(),
        ))))
    }

    /// Sends until there is an answer worth showing, as often as the settings say.
    async fn persist(
        &mut self,
        call: &Call,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Reply, RequestError> {
        let mut attempt = 0;
        loop {
            let answer = self.attempt(call, url, headers).await;
            let wait = match &answer {
                Ok(reply) if is_passing(reply.status) => {
                    retry_after(&reply.headers).unwrap_or(RETRY_WAIT * (attempt + 1))
                }
                // A write that was sent may have happened; only the server could tell.
                Err(broken) if broken.was_not_sent() || call.only_reads() => {
                    RETRY_WAIT * (attempt + 1)
                }
                _ => Duration::MAX,
            };
            if attempt >= self.settings.retries || wait == Duration::MAX {
                return answer.map_err(|broken| match broken {
                    Broken::Tls(err) => RequestError::Tls(err),
                    broken => RequestError::Unreachable(Box::new(Unreachable::new(
                        &call.method,
                        url,
                        broken,
                        &self.settings,
                    ))),
                });
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &mut self,
        call: &Call,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Reply, Broken> {
        let timeout = self.settings.timeout;
        match tokio::time::timeout(timeout, self.exchange(call, url, headers)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.connection = None;
                Err(Broken::Timeout(timeout))
            }
        }
    }

    async fn exchange(
        &mut self,
        call: &Call,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Reply, Broken> {
        let is_home = url.address == self.settings.address;
        let mut open = self.connection.take().filter(|_| is_home);
        if let Some(connection) = &mut open
            && connection.ready().await.is_err()
        {
            open = None;
        }
        let mut connection = match open {
            Some(connection) => connection,
            None => connect::open(&url.address, &self.settings.tls).await?,
        };
        let mut request = Request::builder()
            .method(&call.method)
            .uri(url.path_and_query())
            .header(header::HOST, url.address.authority())
            .body(Full::new(call.body.clone().unwrap_or_default()))
            .map_err(Broken::Request)?;
        request.headers_mut().extend(headers.clone());

        let (head, body) = connection
            .send_request(request)
            .await
            .map_err(Broken::Exchange)?
            .into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES)
            .collect()
            .await
            .map_err(Broken::Answer)?
            .to_bytes();
        if is_home {
            self.connection = Some(connection);
        }
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn redirect(&self, reply: &Reply, from: &Url) -> Result<Option<Url>, RequestError> {
        let follows =
            matches!(reply.status.as_u16(), 301 | 302 | 307) && self.settings.follow_redirects;
        let Some(location) = reply.headers.get(header::LOCATION).filter(|_| follows) else {
            return Ok(None);
        };
        let target = location
            .to_str()
            .ok()
            .and_then(|location| from.resolve(location));
        match target {
            None => Err(RequestError::Redirect(
                "redirect to an address that cannot be read",
            )),
            Some(target) if from.address.is_private() && !target.address.is_private() => Err(
                RequestError::Redirect("redirect would cause protocol downgrade"),
            ),
            Some(target) => Ok(Some(target)),
        }
    }

    fn headers(&self, call: &Call) -> Result<HeaderMap, RequestError> {
        let settings = &self.settings;
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &str| -> Result<(), RequestError> {
            let bad = || RequestError::Header(name.to_owned());
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            headers.append(name, HeaderValue::from_str(value).map_err(|_| bad())?);
            Ok(())
        };
        add("X-Vault-Request", "true")?;
        if let Some(token) = &settings.token {
            if !token.is_printable() {
                return Err(RequestError::UnprintableToken);
            }
            add("X-Vault-Token", token.expose())?;
        }
        if let Some(namespace) = &settings.namespace {
            add("X-Vault-Namespace", namespace)?;
        }
        if call.purpose == Purpose::Command {
            // Wrapping something on the server is pointless without a time to live.
            let default = (call.path == "sys/wrapping/wrap" && !call.only_reads()).then_some("5m");
            if let Some(ttl) = settings.wrap_ttl.as_deref().or(default) {
                add("X-Vault-Wrap-TTL", ttl)?;
            }
        }
        for code in &settings.mfa {
            add("X-Vault-MFA", code)?;
        }
        for (name, value) in &settings.headers {
            add(name, value)?;
        }
        if call.method == Method::PATCH {
            add("Content-Type", "application/merge-patch+json")?;
        }
        Ok(headers)
    }

    fn url(&self, call: &Call) -> String {
        self.settings
            .address
            .url(&call.path, &call.query)
            .to_string()
    }
}

/// Whether an answer may change without our doing: Vault's client tries these again.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 412 | 429)
        || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
