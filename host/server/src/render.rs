//! Every answer becomes an HTTP response here, and every error its status and its words: the one
//! file of the host that names a status code (beside `health`, whose business codes are).
//!
//! Clients and people's scripts match on statuses and words, so both are Vault's: contract `00`
//! sections 5 and 6. Where nobody matches, the text says what to do next. A text never holds
//! what was sent, but for the path of a route that does not exist.

use std::io::ErrorKind;

use axum::body::Body;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use host_barrier::{BarrierError, UnsealShare};
use host_core::{HandleError, SealError};
use host_logical::{EngineError, PathError, Refusal, RequestId};

use crate::limits;
use crate::request::Rejection;
use crate::wire;

/// Exactly this: hvac reads errors only where nothing follows it.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What core answered. `injected`: its data is written at the top level too.
pub(crate) fn response(answer: &host_core::Response, injected: bool) -> Response<Body> {
    let status = answer
        .status
        .and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = match &answer.body {
        host_core::Body::Empty => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status.unwrap_or(StatusCode::NO_CONTENT);
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
        }
        host_core::Body::Envelope(envelope) => {
            let body = envelope_body(envelope, &answer.request_id, injected);
            json(status.unwrap_or(StatusCode::OK), body)
        }
        host_core::Body::Bare(raw) => json(
            status.unwrap_or(StatusCode::OK),
            line(raw.get().as_bytes().to_vec()),
        ),
        host_core::Body::Raw(raw) => {
            let mut response = Response::new(Body::from(raw.body.clone()));
            *response.status_mut() = status.unwrap_or(StatusCode::OK);
            if let Ok(content_type) = HeaderValue::from_str(&raw.content_type) {
                response.headers_mut().insert(CONTENT_TYPE, content_type);
            }
            response
        }
    };
    add_headers(response.headers_mut(), &answer.headers);
    response
}

/// Headers that an engine set. Those that frame the message stay ours.
fn add_headers(headers: &mut HeaderMap, added: &[(String, String)]) {
    for (name, value) in added {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            continue;
        };
        let ours = matches!(
            name.as_str(),
            "content-type"
                | "content-length"
                | "transfer-encoding"
                | "connection"
                | "cache-control"
        );
        if let (false, Ok(value)) = (ours, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
}

fn envelope_body(envelope: &host_core::Envelope, id: &RequestId, injected: bool) -> Vec<u8> {
    let auth = envelope.auth.as_ref().map(|auth| wire::Auth {
        client_token: &auth.client_token,
        accessor: &auth.accessor,
        policies: &auth.policies,
        token_policies: &auth.token_policies,
        identity_policies: &auth.identity_policies,
        metadata: auth.metadata.as_ref(),
        lease_duration: auth.lease_duration,
        renewable: auth.renewable,
        entity_id: &auth.entity_id,
        token_type: auth.token_type,
        orphan: auth.orphan,
        mfa_requirement: None,
        num_uses: auth.num_uses,
    });
    let envelope = wire::Envelope {
        request_id: id.as_str(),
        lease_id: &envelope.lease_id,
        renewable: envelope.renewable,
        lease_duration: envelope.lease_duration,
        data: envelope.data.as_deref(),
        wrap_info: None,
        warnings: (!envelope.warnings.is_empty()).then_some(&envelope.warnings),
        auth,
        mount_type: &envelope.mount_type,
    };
    let size = envelope.data.map_or(0, |data| data.get().len()) + 512;
    let mut body = Vec::with_capacity(size);
    match injected.then(|| top_level(&envelope)).flatten() {
        None => write(&mut body, &envelope),
        Some(members) => {
            body.push(b'{');
            for (name, value) in members.0 {
                write(&mut body, &name);
                body.push(b':');
                body.extend_from_slice(value.get().as_bytes());
                body.push(b',');
            }
            let rest = body.len();
            write(&mut body, &envelope);
            // The envelope's own `{`: its keys go on in the object that is open.
            body.remove(rest);
        }
    }
    line(body)
}

/// What of `data` is written at the top level too: nothing that would hide a key of the envelope.
fn top_level<'a>(envelope: &wire::Envelope<'a>) -> Option<wire::Members<'a>> {
    let mut members: wire::Members<'a> = serde_json::from_str(envelope.data?.get()).ok()?;
    members
        .0
        .retain(|(name, _)| !wire::ENVELOPE_KEYS.contains(&name.as_str()));
    Some(members)
}

/// A body outside the envelope.
pub(crate) fn bare(value: &impl Serialize) -> Response<Body> {
    bare_with(StatusCode::OK, value)
}

/// A body outside the envelope, with a status of its own.
pub(crate) fn bare_with(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut body = Vec::with_capacity(512);
    write(&mut body, value);
    json(status, line(body))
}

/// What a new server hands out, once.
pub(crate) fn initialized(made: &host_core::Initialized) -> Response<Body> {
    let texts = |shares: &[UnsealShare]| {
        let hex: Vec<_> = shares.iter().map(UnsealShare::to_hex).collect();
        let base64: Vec<_> = shares.iter().map(UnsealShare::to_base64).collect();
        (hex, base64)
    };
    let (hex, base64) = texts(&made.shares);
    let (recovery_hex, recovery_base64) = texts(&made.recovery_shares);
    bare(&wire::sys::InitAnswer {
        keys: hex.iter().map(|text| text.as_str()).collect(),
        keys_base64: base64.iter().map(|text| text.as_str()).collect(),
        root_token: &made.root_token,
        recovery_keys: recovery_hex.iter().map(|text| text.as_str()).collect(),
        recovery_keys_base64: recovery_base64.iter().map(|text| text.as_str()).collect(),
    })
}

/// A request that did not reach core.
pub(crate) fn rejection(rejection: &Rejection) -> Response<Body> {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match rejection {
        Rejection::Host => closing(error(BAD, "one Host header is needed, and no more")),
        Rejection::TransferCoding => closing(error(
            StatusCode::NOT_IMPLEMENTED,
            "no Transfer-Encoding but chunked is read",
        )),
        Rejection::ContentCoding => error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "compressed bodies are not read: send it without Content-Encoding",
        ),
        Rejection::NoSuchPage => errors(StatusCode::NOT_FOUND, &[]),
        Rejection::Method => errors(StatusCode::METHOD_NOT_ALLOWED, &[]),
        Rejection::Path(PathError::NotPrintable) => {
            let mut response = json(BAD, Vec::new());
            *response.body_mut() = Body::empty();
            response
        }
        Rejection::Path(err) => error(BAD, &err.to_string()),
        Rejection::PercentEncoding => error(
            BAD,
            "malformed percent-encoding: % is followed by two hexadecimal digits, and is itself written %25",
        ),
        Rejection::Query => error(BAD, "the parameters are not UTF-8, or too many"),
        Rejection::Switch { name } => error(BAD, &format!("{name} must be true or false")),
        Rejection::WriteToFolder => error(BAD, "cannot write to a path ending in '/'"),
        Rejection::Namespace => error(StatusCode::NOT_FOUND, "namespace not found"),
        Rejection::WrapTtl(err) => error(
            BAD,
            &format!("error parsing X-Vault-Wrap-TTL header: {err}"),
        ),
        Rejection::ManyTokens => error(BAD, "X-Vault-Token was sent more than once"),
        Rejection::PatchWithoutType => error(
            BAD,
            "mime: no media type: PATCH requires Content-Type of application/merge-patch+json",
        ),
        Rejection::PatchType(provided) => error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!(
                "PATCH requires Content-Type of application/merge-patch+json, provided {provided}"
            ),
        ),
        Rejection::BodyTooLarge => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!(
                "http: request body too large: at most {} bytes are read",
                limits::BODY_BYTES
            ),
        ),
        Rejection::BodiesTooLarge => retry(
            limits::RETRY_AFTER_SECONDS,
            "too many large requests at a time: try again in a moment",
        ),
        Rejection::BodySlow => closing(error(
            StatusCode::REQUEST_TIMEOUT,
            "the request body took too long to arrive",
        )),
        Rejection::BodyBroken => error(BAD, "the request body ended before its end"),
        Rejection::Json(problem) => error(BAD, &format!("error parsing JSON: {problem}")),
    }
}

/// After an answer to a message whose end is not certain, the connection has no further use.
fn closing(mut response: Response<Body>) -> Response<Body> {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// A request that took longer than any may.
pub(crate) fn timed_out() -> Response<Body> {
    retry(
        limits::RETRY_AFTER_SECONDS,
        "the request took too long; what it had begun to write may still be written",
    )
}

/// A request that core did not serve. What the client is not told goes to the log.
pub(crate) fn handle_error(err: &HandleError, id: &RequestId) -> Response<Body> {
    match err {
        HandleError::Sealed => error(StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed"),
        HandleError::NoToken => error(StatusCode::FORBIDDEN, "permission denied"),
        HandleError::InvalidToken => error(
            StatusCode::FORBIDDEN,
            &list(&["permission denied", "invalid token"]),
        ),
        HandleError::Denied => error(StatusCode::FORBIDDEN, &list(&["permission denied"])),
        HandleError::DeniedPlain(text) => error(StatusCode::FORBIDDEN, text),
        HandleError::NoMount { path } => error(
            StatusCode::NOT_FOUND,
            &format!(
                "no handler for route {}. route entry not found.",
                go_quote(path)
            ),
        ),
        HandleError::Refused {
            refusal: refused,
            plain,
        } => refusal(refused, *plain),
        HandleError::Invalid(text) | HandleError::NotOffered(text) => {
            error(StatusCode::BAD_REQUEST, text)
        }
        HandleError::InvalidListed(text) => error(StatusCode::BAD_REQUEST, &list(&[text])),
        HandleError::Contended | HandleError::Conflict => retry(
            limits::RETRY_AFTER_SECONDS,
            "other requests kept changing the same records: try again in a moment",
        ),
        HandleError::Busy { retry_after } => busy(*retry_after),
        HandleError::Engine {
            source: EngineError::Busy { retry_after },
            ..
        } => busy(*retry_after),
        HandleError::Engine {
            source: EngineError::Refused(refused),
            ..
        } => refusal(refused, false),
        HandleError::Storage {
            nothing_written: true,
            source,
        } => storage(source, id),
        HandleError::Storage {
            nothing_written: false,
            source,
        } => half_written(source, id),
        HandleError::Engine { .. } | HandleError::Internal(_) => internal(err, id),
    }
}

/// The disk failed, and nothing was written.
fn storage(err: &BarrierError, id: &RequestId) -> Response<Body> {
    tracing::error!(request_id = %id, error = %Chain(err), "request failed: the storage");
    let (fault, remedy) = disk(err);
    retry(
        limits::RETRY_AFTER_SECONDS,
        &format!("{fault}: nothing was written; what can be read is still served; {remedy}"),
    )
}

/// The disk failed in a commit. No client may take this for a no: with a 503 it would try again.
fn half_written(err: &BarrierError, id: &RequestId) -> Response<Body> {
    tracing::error!(request_id = %id, error = %Chain(err), "request failed: the storage, in a commit");
    let (fault, remedy) = disk(err);
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!(
            "{fault}: whether this was written is not known, read it before you try again; {remedy}"
        ),
    )
}

/// What is wrong with the disk, and what its owner can do.
fn disk(err: &BarrierError) -> (&'static str, &'static str) {
    match err.disk() {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => (
            "the disk of the storage is full",
            "make room on it, and the server goes on by itself",
        ),
        Some(ErrorKind::FileTooLarge) => (
            "the file of the storage may not grow",
            "raise the limit on the size of files, and the server goes on by itself",
        ),
        Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => (
            "the disk of the storage is read-only",
            "make it writable, and the server goes on by itself",
        ),
        Some(ErrorKind::InvalidData) => (
            "the data of the storage is damaged",
            "restore it from a backup: this does not mend itself",
        ),
        _ => (
            "the disk of the storage fails",
            "see the server's log and the system's; when it works again, the server goes on by itself",
        ),
    }
}

fn refusal(refusal: &Refusal, plain: bool) -> Response<Body> {
    let coded = |status, text: &str| match plain {
        true => error(status, text),
        false => error(status, &list(&[text])),
    };
    match refusal {
        Refusal::InvalidRequest(text) | Refusal::InvalidCredentials(text) => {
            error(StatusCode::BAD_REQUEST, text)
        }
        Refusal::PermissionDenied(text) => coded(StatusCode::FORBIDDEN, text),
        Refusal::NotFound => errors(StatusCode::NOT_FOUND, &[]),
        Refusal::UnsupportedOperation => {
            coded(StatusCode::METHOD_NOT_ALLOWED, "unsupported operation")
        }
        Refusal::UnsupportedPath => coded(StatusCode::NOT_FOUND, "unsupported path"),
        Refusal::RateLimited(seconds) => {
            let seconds = seconds.unwrap_or(limits::RETRY_AFTER_SECONDS);
            let text = format!("rate limit exceeded: try again in {seconds} s");
            let response = error(StatusCode::TOO_MANY_REQUESTS, &text);
            with_retry_after(response, seconds)
        }
        Refusal::Upstream(text) => coded(StatusCode::BAD_GATEWAY, text),
    }
}

/// An error of the seal's routes, in the words that the barrier chose.
pub(crate) fn seal_error(err: &SealError, id: &RequestId) -> Response<Body> {
    match err {
        SealError::Storage(source) => storage(source, id),
        SealError::Internal(_) => internal(err, id),
        _ => error(StatusCode::BAD_REQUEST, &err.to_string()),
    }
}

/// The client gets the request id, the log the whole chain under it.
pub(crate) fn internal(err: &(dyn std::error::Error + 'static), id: &RequestId) -> Response<Body> {
    tracing::error!(request_id = %id, error = %Chain(err), "request failed");
    let text = format!("internal error, request id {id}: the server's log has its cause");
    error(StatusCode::INTERNAL_SERVER_ERROR, &text)
}

/// An error and what caused it, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(err) = source {
            write!(f, ": {err}")?;
            source = err.source();
        }
        Ok(())
    }
}

/// A 400 whose text is at hand.
pub(crate) fn invalid(text: &str) -> Response<Body> {
    error(StatusCode::BAD_REQUEST, text)
}

fn busy(seconds: u64) -> Response<Body> {
    retry(seconds, "the server is busy: try again in a moment")
}

fn retry(seconds: u64, text: &str) -> Response<Body> {
    with_retry_after(error(StatusCode::SERVICE_UNAVAILABLE, text), seconds)
}

fn with_retry_after(mut response: Response<Body>, seconds: u64) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// Several errors as Vault lists them; one is a list, too.
fn list(texts: &[&str]) -> String {
    let noun = if texts.len() == 1 { "error" } else { "errors" };
    let mut text = format!("{} {noun} occurred:\n", texts.len());
    for item in texts {
        text += &format!("\t* {item}\n");
    }
    text + "\n"
}

/// A path as Go's `%q` prints it. Paths are printable, so only these two need a backslash.
fn go_quote(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

fn error(status: StatusCode, text: &str) -> Response<Body> {
    errors(status, &[text])
}

fn errors(status: StatusCode, texts: &[&str]) -> Response<Body> {
    bare_with(status, &wire::Errors { errors: texts })
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn line(mut body: Vec<u8>) -> Vec<u8> {
    body.push(b'\n');
    body
}

fn write(body: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(body, value).expect("wire types have text keys, and memory takes it all");
}

/// What every answer carries, whatever it is.
pub(crate) fn add_common_headers(
    response: &mut Response<Body>,
    tls: bool,
    namespace: Option<HeaderValue>,
) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    if tls {
        let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.insert(hyper::header::STRICT_TRANSPORT_SECURITY, year);
    }
    if let Some(namespace) = namespace {
        headers.insert(crate::request::NAMESPACE, namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use http_body_util::BodyExt;
    use serde_json::value::RawValue;

    fn id() -> RequestId {
        RequestId::from_random([7; 16])
    }

    /// Status, the headers that differ, and the body.
    async fn shown(response: Response<Body>) -> String {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body in memory").to_bytes();
        let mut text = parts.status.as_u16().to_string();
        for (name, value) in &parts.headers {
            if name != CONTENT_TYPE || value != JSON {
                text += &format!(" [{name}: {}]", value.to_str().expect("text"));
            }
        }
        text + " " + &String::from_utf8_lossy(&body)
    }

    async fn check_error(err: HandleError, expected: Expect) {
        expected.assert_eq(&shown(handle_error(&err, &id())).await);
    }

    fn refused(refusal: Refusal, plain: bool) -> HandleError {
        HandleError::Refused { refusal, plain }
    }

    #[tokio::test]
    async fn every_error_of_core_has_its_status_and_vaults_words() {
        check_error(
            HandleError::Sealed,
            expect![[r#"
            503 {"errors":["Vault is sealed"]}
        "#]],
        )
        .await;
        check_error(
            HandleError::NoToken,
            expect![[r#"
            403 {"errors":["permission denied"]}
        "#]],
        )
        .await;
        check_error(
            HandleError::InvalidToken,
            expect![[r#"
            403 {"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}
        "#]],
        )
        .await;
        check_error(
            HandleError::Denied,
            expect![[r#"
            403 {"errors":["1 error occurred:\n\t* permission denied\n\n"]}
        "#]],
        )
        .await;
        check_error(
            HandleError::DeniedPlain("bad token".into()),
            expect![[r#"
            403 {"errors":["bad token"]}
        "#]],
        )
        .await;
        let path = "nope/a\"b\\c".to_owned();
        check_error(
            HandleError::NoMount { path },
            expect![[r#"
            404 {"errors":["no handler for route \"nope/a\\\"b\\\\c\". route entry not found."]}
        "#]],
        )
        .await;
        check_error(
            HandleError::Invalid("missing path".into()),
            expect![[r#"
            400 {"errors":["missing path"]}
        "#]],
        )
        .await;
        check_error(
            HandleError::NotOffered("not offered yet".into()),
            expect![[r#"
            400 {"errors":["not offered yet"]}
        "#]],
        )
        .await;
        check_error(HandleError::Contended, expect![[r#"
            503 [retry-after: 1] {"errors":["other requests kept changing the same records: try again in a moment"]}
        "#]]).await;
        check_error(
            HandleError::Busy { retry_after: 3 },
            expect![[r#"
            503 [retry-after: 3] {"errors":["the server is busy: try again in a moment"]}
        "#]],
        )
        .await;
        let engine = |source| HandleError::Engine {
            mount: "kv/".into(),
            source,
        };
        check_error(
            engine(EngineError::Busy { retry_after: 2 }),
            expect![[r#"
            503 [retry-after: 2] {"errors":["the server is busy: try again in a moment"]}
        "#]],
        )
        .await;
        let trap = EngineError::Trapped {
            reason: "unreachable".into(),
            stderr: "s3cret".into(),
        };
        check_error(engine(trap), expect![[r#"
            500 {"errors":["internal error, request id 07070707-0707-4707-8707-070707070707: the server's log has its cause"]}
        "#]]).await;
        check_error(HandleError::Internal("s3cret".into()), expect![[r#"
            500 {"errors":["internal error, request id 07070707-0707-4707-8707-070707070707: the server's log has its cause"]}
        "#]]).await;
    }

    #[tokio::test]
    async fn a_refusal_is_listed_unless_it_is_a_users_error_or_on_a_login_path() {
        let text = || "text".to_owned();
        check_error(
            refused(Refusal::InvalidRequest(text()), false),
            expect![[r#"
            400 {"errors":["text"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::InvalidCredentials(text()), true),
            expect![[r#"
            400 {"errors":["text"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::PermissionDenied(text()), false),
            expect![[r#"
            403 {"errors":["1 error occurred:\n\t* text\n\n"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::PermissionDenied(text()), true),
            expect![[r#"
            403 {"errors":["text"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::NotFound, false),
            expect![[r#"
            404 {"errors":[]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::UnsupportedOperation, false),
            expect![[r#"
            405 {"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::UnsupportedOperation, true),
            expect![[r#"
            405 {"errors":["unsupported operation"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::UnsupportedPath, false),
            expect![[r#"
            404 {"errors":["1 error occurred:\n\t* unsupported path\n\n"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::RateLimited(Some(5)), false),
            expect![[r#"
            429 [retry-after: 5] {"errors":["rate limit exceeded: try again in 5 s"]}
        "#]],
        )
        .await;
        check_error(
            refused(Refusal::Upstream(text()), false),
            expect![[r#"
            502 {"errors":["1 error occurred:\n\t* text\n\n"]}
        "#]],
        )
        .await;
    }

    #[tokio::test]
    async fn a_request_that_is_none_is_told_why() {
        let mut seen = String::new();
        for refused in [
            Rejection::Host,
            Rejection::TransferCoding,
            Rejection::ContentCoding,
            Rejection::NoSuchPage,
            Rejection::Method,
            Rejection::Path(PathError::Relative),
            Rejection::Path(PathError::NotPrintable),
            Rejection::Path(PathError::NotUtf8),
            Rejection::PercentEncoding,
            Rejection::Query,
            Rejection::Switch { name: "list" },
            Rejection::WriteToFolder,
            Rejection::Namespace,
            Rejection::WrapTtl(host_core::DurationError::Syntax),
            Rejection::ManyTokens,
            Rejection::PatchWithoutType,
            Rejection::PatchType("text/plain".into()),
            Rejection::BodyTooLarge,
            Rejection::BodiesTooLarge,
            Rejection::BodyBroken,
            Rejection::BodySlow,
            Rejection::Json("expected value at line 1 column 1".into()),
        ] {
            seen += shown(rejection(&refused)).await.trim_end();
            seen += "\n";
        }
        expect![[r#"
            400 [connection: close] {"errors":["one Host header is needed, and no more"]}
            501 [connection: close] {"errors":["no Transfer-Encoding but chunked is read"]}
            415 {"errors":["compressed bodies are not read: send it without Content-Encoding"]}
            404 {"errors":[]}
            405 {"errors":[]}
            400 {"errors":["relative paths not supported"]}
            400
            400 {"errors":["path is not valid UTF-8"]}
            400 {"errors":["malformed percent-encoding: % is followed by two hexadecimal digits, and is itself written %25"]}
            400 {"errors":["the parameters are not UTF-8, or too many"]}
            400 {"errors":["list must be true or false"]}
            400 {"errors":["cannot write to a path ending in '/'"]}
            404 {"errors":["namespace not found"]}
            400 {"errors":["error parsing X-Vault-Wrap-TTL header: expected a duration such as \"90s\", \"1h30m\" or \"7d\", or a whole number of seconds"]}
            400 {"errors":["X-Vault-Token was sent more than once"]}
            400 {"errors":["mime: no media type: PATCH requires Content-Type of application/merge-patch+json"]}
            415 {"errors":["PATCH requires Content-Type of application/merge-patch+json, provided text/plain"]}
            413 {"errors":["http: request body too large: at most 33554432 bytes are read"]}
            503 [retry-after: 1] {"errors":["too many large requests at a time: try again in a moment"]}
            400 {"errors":["the request body ended before its end"]}
            408 [connection: close] {"errors":["the request body took too long to arrive"]}
            400 {"errors":["error parsing JSON: expected value at line 1 column 1"]}
        "#]].assert_eq(&seen);
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    fn answer(status: Option<u16>, body: host_core::Body) -> host_core::Response {
        host_core::Response {
            request_id: id(),
            status,
            headers: Vec::new(),
            body,
        }
    }

    async fn check_answer(answer: host_core::Response, injected: bool, expected: Expect) {
        expected.assert_eq(&shown(response(&answer, injected)).await);
    }

    #[tokio::test]
    async fn an_envelope_has_all_its_keys_and_its_data_as_it_was() {
        let envelope = host_core::Envelope {
            data: Some(raw(r#"{ "n": 1.10,"z":1,"a":"<&>" }"#)),
            mount_type: "kv".into(),
            ..host_core::Envelope::default()
        };
        check_answer(answer(None, host_core::Body::Envelope(Box::new(envelope))), false, expect![[r#"
            200 {"request_id":"07070707-0707-4707-8707-070707070707","lease_id":"","renewable":false,"lease_duration":0,"data":{ "n": 1.10,"z":1,"a":"<&>" },"wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}
        "#]]).await;

        let gone = host_core::Envelope {
            data: Some(raw(r#"{"data":null}"#)),
            warnings: vec!["careful".into()],
            lease_id: "db/creds/app/x".into(),
            renewable: true,
            lease_duration: 3600,
            ..host_core::Envelope::default()
        };
        check_answer(answer(Some(404), host_core::Body::Envelope(Box::new(gone))), false, expect![[r#"
            404 {"request_id":"07070707-0707-4707-8707-070707070707","lease_id":"db/creds/app/x","renewable":true,"lease_duration":3600,"data":{"data":null},"wrap_info":null,"warnings":["careful"],"auth":null,"mount_type":""}
        "#]]).await;
    }

    #[tokio::test]
    async fn a_new_token_is_shown_whole() {
        let auth = host_core::Auth {
            client_token: zeroize::Zeroizing::new("hvs.A".into()),
            accessor: "acc".into(),
            policies: vec!["default".into(), "dev".into()],
            token_policies: vec!["default".into(), "dev".into()],
            identity_policies: Vec::new(),
            metadata: None,
            lease_duration: 2_764_800,
            renewable: true,
            entity_id: String::new(),
            token_type: "service",
            orphan: false,
            num_uses: 0,
        };
        let envelope = host_core::Envelope {
            auth: Some(auth),
            ..host_core::Envelope::default()
        };
        check_answer(answer(None, host_core::Body::Envelope(Box::new(envelope))), false, expect![[r#"
            200 {"request_id":"07070707-0707-4707-8707-070707070707","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":"hvs.A","accessor":"acc","policies":["default","dev"],"token_policies":["default","dev"],"identity_policies":[],"metadata":null,"lease_duration":2764800,"renewable":true,"entity_id":"","token_type":"service","orphan":false,"mfa_requirement":null,"num_uses":0},"mount_type":""}
        "#]]).await;
    }

    #[tokio::test]
    async fn old_paths_have_their_data_beside_the_envelope() {
        let envelope = |data| {
            host_core::Body::Envelope(Box::new(host_core::Envelope {
                data: Some(raw(data)),
                mount_type: "system".into(),
                ..host_core::Envelope::default()
            }))
        };
        let mounts = r#"{"secret/":{"type":"kv"},"data":1,"a\"b":2}"#;
        check_answer(answer(None, envelope(mounts)), true, expect![[r#"
            200 {"secret/":{"type":"kv"},"a\"b":2,"request_id":"07070707-0707-4707-8707-070707070707","lease_id":"","renewable":false,"lease_duration":0,"data":{"secret/":{"type":"kv"},"data":1,"a\"b":2},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"system"}
        "#]]).await;
        check_answer(answer(None, envelope("{}")), true, expect![[r#"
            200 {"request_id":"07070707-0707-4707-8707-070707070707","lease_id":"","renewable":false,"lease_duration":0,"data":{},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"system"}
        "#]]).await;
    }

    #[tokio::test]
    async fn what_is_no_envelope_leaves_as_it_is() {
        check_answer(answer(None, host_core::Body::Empty), false, expect!["204 "]).await;
        check_answer(
            answer(Some(404), host_core::Body::Empty),
            false,
            expect!["404 "],
        )
        .await;
        let help = host_core::Body::Bare(raw(r#"{"help":"h"}"#));
        check_answer(
            answer(None, help),
            false,
            expect![[r#"
            200 {"help":"h"}
        "#]],
        )
        .await;
        let pem = host_logical::RawBody {
            content_type: "application/x-pem-file".into(),
            body: b"PEM".to_vec(),
        };
        let mut pem = answer(None, host_core::Body::Raw(pem));
        pem.headers = vec![
            ("Content-Length".into(), "9".into()),
            ("ETag".into(), "x".into()),
        ];
        check_answer(
            pem,
            false,
            expect!["200 [content-type: application/x-pem-file] [etag: x] PEM"],
        )
        .await;
    }
}
