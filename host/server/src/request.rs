//! An HTTP request becomes [`host_core::Request`]: path, query, headers and body, each parsed once.
//!
//! The rules are Vault's, in the contract's `00` sections 1 to 3. What breaks one is a
//! [`Rejection`], which `render` puts into words. Nothing here knows a mount or a policy.

#[cfg(test)]
mod fuzz;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING,
};
use hyper::{HeaderMap, Version};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use zeroize::Zeroizing;

use host_core::{ClientToken, DurationError, GoDuration};
use host_logical::{PathError, RequestPath};

use crate::limits;

/// Why a request does not reach core.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// No `Host`, or several: proxies would not agree on whom the request is for.
    Host,
    /// A transfer coding beside `chunked`.
    TransferCoding,
    /// A compressed body.
    ContentCoding,
    /// Nothing lives outside `/v1/`.
    NoSuchPage,
    /// A verb that is none, or not of this path.
    Method,
    /// The path breaks a rule.
    Path(PathError),
    /// `%` in path or query without two hex digits after it.
    PercentEncoding,
    /// The query is not UTF-8, or has too many parameters.
    Query,
    /// `list` or another switch is neither true nor false.
    Switch {
        /// Its name.
        name: &'static str,
    },
    /// A write to `folder/`.
    WriteToFolder,
    /// This server has no namespaces but the root.
    Namespace,
    /// `X-Vault-Wrap-TTL` is no duration.
    WrapTtl(DurationError),
    /// More than one `X-Vault-Token`, and which one counts is anyone's guess.
    ManyTokens,
    /// PATCH without a content type.
    PatchWithoutType,
    /// PATCH with another content type than a merge patch.
    PatchType(String),
    /// The body is larger than a request may be.
    BodyTooLarge,
    /// All bodies together hold as much as they may.
    BodiesTooLarge,
    /// The body ended before its end.
    BodyBroken,
    /// The body took longer to arrive than any may.
    BodySlow,
    /// Not a JSON object; the text says where, and holds nothing of the body.
    Json(String),
}

impl From<PathError> for Rejection {
    fn from(err: PathError) -> Self {
        Rejection::Path(err)
    }
}

/// Reads what stands below `/v1/`, as it came.
pub(crate) fn path(below: &str) -> Result<RequestPath, Rejection> {
    let decoded = percent_decode(below.as_bytes(), Plus::Literal)?;
    Ok(RequestPath::parse(&decoded)?)
}

/// A query or a form: names and values, decoded.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads `a=1&b=2`.
    pub(crate) fn parse(raw: &str) -> Result<Self, Rejection> {
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() == limits::QUERY_PARAMETERS {
                return Err(Rejection::Query);
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((form_decode(name)?, form_decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// Takes `name` out, and its last value, if it is there.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let mut taken = None;
        self.0.retain_mut(|(known, value)| {
            let found = known == name;
            if found {
                taken = Some(std::mem::take(value));
            }
            !found
        });
        taken
    }

    /// Takes a switch such as `list=true` in the spellings that Go takes. Absent or empty is false.
    pub(crate) fn take_switch(&mut self, name: &'static str) -> Result<bool, Rejection> {
        match self.take(name).as_deref() {
            None | Some("") => Ok(false),
            Some(text) => switch(text).ok_or(Rejection::Switch { name }),
        }
    }

    /// As request data: a name that came more than once has a list of its values.
    pub(crate) fn into_data(self) -> Map<String, Value> {
        let mut data = Map::new();
        for (name, value) in self.0 {
            let value = Value::String(value);
            match data.get_mut(&name) {
                None => {
                    data.insert(name, value);
                }
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        data
    }

    /// As the data of a form: a name that came more than once has its values joined by commas.
    fn into_form(self) -> Map<String, Value> {
        let mut data = Map::new();
        for (name, value) in self.0 {
            match data.get_mut(&name) {
                Some(Value::String(values)) => {
                    values.push(',');
                    values.push_str(&value);
                }
                _ => {
                    data.insert(name, Value::String(value));
                }
            }
        }
        data
    }
}

/// True and false as Go's `strconv.ParseBool` reads them; hvac sends `True`.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Checks what says for whom a message is and how it is coded, where hyper takes more than we do:
/// what two servers in a row read differently is how one request is smuggled in another.
pub(crate) fn check_message(version: Version, headers: &HeaderMap) -> Result<(), Rejection> {
    match (version, headers.get_all(HOST).iter().count()) {
        (_, 1) | (Version::HTTP_10 | Version::HTTP_2, 0) => {}
        _ => return Err(Rejection::Host),
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next().map(|coding| coding.as_bytes());
    if codings.next().is_some() || first.is_some_and(|it| !it.eq_ignore_ascii_case(b"chunked")) {
        return Err(Rejection::TransferCoding);
    }
    let is_plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match codings.all(|coding| is_plain(coding.as_bytes())) {
        true => Ok(()),
        false => Err(Rejection::ContentCoding),
    }
}

/// Checks that the request stays in the one namespace there is. The header is echoed elsewhere.
pub(crate) fn check_namespace(headers: &HeaderMap) -> Result<(), Rejection> {
    match headers
        .get(NAMESPACE)
        .map(|value| value.as_bytes().trim_ascii())
    {
        None | Some(b"" | b"/" | b"root" | b"root/") => Ok(()),
        Some(_) => Err(Rejection::Namespace),
    }
}

/// `X-Vault-Namespace`.
pub(crate) const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");

/// The client's token: `X-Vault-Token`, or a bearer if that one is absent or empty.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<ClientToken>, Rejection> {
    let mut sent = headers.get_all(TOKEN).iter();
    let first = sent.next();
    if sent.next().is_some() {
        return Err(Rejection::ManyTokens);
    }
    if let Some(value) = first.filter(|value| !value.as_bytes().trim_ascii().is_empty()) {
        // What cannot be read is no token, and does not make way for another one either.
        return Ok(value.to_str().ok().and_then(ClientToken::parse));
    }
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(bearer.and_then(|(_, text)| ClientToken::parse(text)))
}

/// How long the answer is to stay wrapped, in seconds. Zero asks for no wrapping.
pub(crate) fn wrap_ttl(headers: &HeaderMap) -> Result<Option<u64>, Rejection> {
    let Some(value) = headers.get(WRAP_TTL) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| Rejection::WrapTtl(DurationError::Syntax))?;
    let ttl = GoDuration::parse(text.trim())
        .and_then(Duration::try_from)
        .map_err(Rejection::WrapTtl)?;
    // A part of a second still asks for wrapping, so it counts as a whole one.
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    Ok((seconds > 0).then_some(seconds))
}

/// Headers that a mount's operator may pass through to it: all but those that carry a token.
pub(crate) fn passed(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "x-vault-token" | "authorization" | "cookie"))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// The bare media type of the body, lower-cased: `application/json; charset=utf-8` without the rest.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = text.split(';').next().unwrap_or(text).trim();
    (!bare.is_empty()).then(|| bare.to_ascii_lowercase())
}

/// A PATCH is a JSON merge patch and says so.
pub(crate) fn check_patch(media_type: Option<&str>) -> Result<(), Rejection> {
    match media_type {
        Some("application/merge-patch+json") => Ok(()),
        Some(other) => Err(Rejection::PatchType(other.to_owned())),
        None => Err(Rejection::PatchWithoutType),
    }
}

/// Room for the bodies that are being read or served, all together.
pub(crate) struct BodyRoom(Arc<Semaphore>);

/// A body that has arrived, and its place in the room, which stays taken until this is dropped.
pub(crate) struct Received {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Bytes in one permit of [`BodyRoom`].
const ROOM_UNIT_BYTES: usize = 1024;

impl BodyRoom {
    pub(crate) fn new() -> Self {
        let units = limits::ALL_BODIES_BYTES / ROOM_UNIT_BYTES;
        Self(Arc::new(Semaphore::new(units)))
    }

    /// Reads a whole body, within [`limits::BODY_TIME`]. It never waits for room: whoever comes
    /// when there is none is told to come again.
    pub(crate) async fn read(&self, body: Body) -> Result<Received, Rejection> {
        timeout(limits::BODY_TIME, self.collect(body))
            .await
            .unwrap_or(Err(Rejection::BodySlow))
    }

    async fn collect(&self, mut body: Body) -> Result<Received, Rejection> {
        let announced = body.size_hint().lower();
        if announced > limits::BODY_BYTES as u64 {
            return Err(Rejection::BodyTooLarge);
        }
        // What is announced but not sent does not get memory.
        let capacity = (announced as usize).min(limits::UNCOUNTED_BODY_BYTES);
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        let mut room = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Rejection::BodyBroken)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let size = bytes.len() + data.len();
            if size > limits::BODY_BYTES {
                return Err(Rejection::BodyTooLarge);
            }
            if size > bytes.capacity() && size > limits::UNCOUNTED_BODY_BYTES {
                self.grow(&mut room, &mut bytes, size, announced as usize)?;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes, room })
    }

    /// Makes room for `size` bytes: what was announced if that is more, else twice as much as now.
    fn grow(
        &self,
        room: &mut Option<OwnedSemaphorePermit>,
        bytes: &mut Zeroizing<Vec<u8>>,
        size: usize,
        announced: usize,
    ) -> Result<(), Rejection> {
        let capacity = size.max(bytes.len() * 2).min(limits::BODY_BYTES);
        let capacity = if announced > size {
            capacity.min(announced)
        } else {
            capacity
        };
        let more = (capacity - bytes.len()).div_ceil(ROOM_UNIT_BYTES) as u32;
        let permit = self
            .0
            .clone()
            .try_acquire_many_owned(more)
            .map_err(|_| Rejection::BodiesTooLarge)?;
        match room {
            Some(held) => held.merge(permit),
            None => *room = Some(permit),
        }
        // A vector that grows by itself leaves its old bytes behind unwiped.
        let mut roomy = Zeroizing::new(Vec::with_capacity(capacity));
        roomy.extend_from_slice(bytes);
        *bytes = roomy;
        Ok(())
    }
}

/// Reads a body as data: JSON whatever its type says, a form only if it says so and looks like one.
pub(crate) fn data(body: &[u8], media_type: Option<&str>) -> Result<Map<String, Value>, Rejection> {
    // JSON's own blanks: a form feed, which Rust counts among them, is none.
    let is_text = |byte: &u8| !b" \t\r\n".contains(byte);
    let Some(start) = body.iter().position(is_text) else {
        return Ok(Map::new());
    };
    let text = &body[start..];
    let first = &body[start];
    // curl sends JSON under the name of a form.
    if media_type == Some("application/x-www-form-urlencoded") && !matches!(first, b'{' | b'[') {
        let form = std::str::from_utf8(text.trim_ascii_end()).map_err(|_| Rejection::Query)?;
        return Pairs::parse(form).map(Pairs::into_form);
    }
    json_object(text)
}

/// The body as it came, for paths whose body is more than its fields: where its type is not one
/// that JSON comes under.
pub(crate) fn raw(
    media_type: Option<String>,
    body: Zeroizing<Vec<u8>>,
) -> Option<(String, Vec<u8>)> {
    let media_type = media_type.filter(|media_type| {
        !matches!(
            media_type.as_str(),
            "application/json"
                | "application/merge-patch+json"
                | "application/x-www-form-urlencoded"
        )
    })?;
    Some((media_type, body.to_vec()))
}

/// The first JSON value of `text`, which is an object or null. What follows it is ignored, as by
/// Vault's own decoder.
fn json_object(text: &[u8]) -> Result<Map<String, Value>, Rejection> {
    if !matches!(text.first(), Some(b'{' | b'n')) {
        return Err(Rejection::Json("the body must be a JSON object".to_owned()));
    }
    check_json_size(text).map_err(|problem| Rejection::Json(problem.to_owned()))?;
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(Value::Object(data))) => Ok(data),
        Some(Ok(Value::Null)) => Ok(Map::new()),
        Some(Err(err)) if err.is_syntax() || err.is_eof() => Err(Rejection::Json(err.to_string())),
        // Other errors of the parser may quote what was sent.
        _ => Err(Rejection::Json("the body must be a JSON object".to_owned())),
    }
}

/// Bounds depth and number of values before anything is allocated for them. One pass over the
/// bytes; it need not understand JSON, only what in it nests and separates.
fn check_json_size(text: &[u8]) -> Result<(), &'static str> {
    let (mut depth, mut nodes) = (0usize, 0usize);
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = skip_string(rest)?,
            b'{' | b'[' => {
                depth += 1;
                nodes += 1;
                if depth > limits::JSON_DEPTH {
                    return Err("nested too deeply");
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(());
                }
            }
            b',' | b':' => nodes += 1,
            _ => {}
        }
        if nodes > limits::JSON_NODES {
            return Err("too many values");
        }
    }
    Ok(())
}

/// What follows the string that has just been opened.
fn skip_string(text: &[u8]) -> Result<&[u8], &'static str> {
    if is_reserved(text) {
        return Err("a text starts in a way that is reserved");
    }
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return Ok(&text[at + 1..]),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Ok(&[])
}

/// Whether a string, whose quote is open, starts as serde_json marks exact numbers and raw JSON by
/// keys of its own. A client's key of that form would be taken for one, and the JSON in the string
/// behind it be built without having been counted. Letters may be written as escapes.
fn is_reserved(mut text: &[u8]) -> bool {
    b"$serde_json::private::".iter().all(|wanted| {
        let (letter, length) = match text {
            [b'\\', b'u', digits @ ..] => {
                let digits = digits.get(..4).and_then(|it| std::str::from_utf8(it).ok());
                let code = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                (code.and_then(|code| u8::try_from(code).ok()), 6)
            }
            _ => (text.first().copied(), 1),
        };
        text = text.get(length..).unwrap_or_default();
        letter == Some(*wanted)
    })
}

/// Whether `+` stands for a blank: in queries and forms, not in paths.
#[derive(Clone, Copy, PartialEq)]
enum Plus {
    Literal,
    Blank,
}

fn form_decode(raw: &str) -> Result<String, Rejection> {
    String::from_utf8(percent_decode(raw.as_bytes(), Plus::Blank)?).map_err(|_| Rejection::Query)
}

fn percent_decode(raw: &[u8], plus: Plus) -> Result<Vec<u8>, Rejection> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2).ok_or(Rejection::PercentEncoding)?;
                rest = after;
                let mut value = [0];
                hex::decode_to_slice(digits, &mut value).map_err(|_| Rejection::PercentEncoding)?;
                value[0]
            }
            b'+' if plus == Plus::Blank => b' ',
            _ => byte,
        });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn a_path_is_decoded_once_and_odd_ones_are_refused() {
        let mut seen = String::new();
        for raw in [
            "secret/data/app",
            "secret//data///app",
            "/secret/data/app",
            "secret/data/app/",
            "secret%2Fdata/app",
            "secret/a%252Fb",
            "secret/a+b%20c",
            "secret/%d0%ba",
            "secret/../sys/seal",
            "secret/%2e%2e/sys/seal",
            "secret/%2E./x",
            "secret/.",
            "secret/%00",
            "secret/a%0ab",
            "secret/%ff",
            "secret/%zz",
            "secret/%2",
            "secret/%",
            "secret/...",
            "",
        ] {
            seen += &match path(raw) {
                Ok(path) => format!("{raw:?} -> {:?}\n", path.as_str()),
                Err(err) => format!("{raw:?} -> {err:?}\n"),
            };
        }
        expect![[r#"
            "secret/data/app" -> "secret/data/app"
            "secret//data///app" -> "secret/data/app"
            "/secret/data/app" -> "secret/data/app"
            "secret/data/app/" -> "secret/data/app/"
            "secret%2Fdata/app" -> "secret/data/app"
            "secret/a%252Fb" -> "secret/a%2Fb"
            "secret/a+b%20c" -> "secret/a+b c"
            "secret/%d0%ba" -> "secret/к"
            "secret/../sys/seal" -> Path(Relative)
            "secret/%2e%2e/sys/seal" -> Path(Relative)
            "secret/%2E./x" -> Path(Relative)
            "secret/." -> Path(Relative)
            "secret/%00" -> Path(NotPrintable)
            "secret/a%0ab" -> Path(NotPrintable)
            "secret/%ff" -> Path(NotUtf8)
            "secret/%zz" -> PercentEncoding
            "secret/%2" -> PercentEncoding
            "secret/%" -> PercentEncoding
            "secret/..." -> "secret/..."
            "" -> ""
        "#]]
        .assert_eq(&seen);
    }

    fn check_query(raw: &str, expected: Expect) {
        let seen = match Pairs::parse(raw) {
            Ok(mut pairs) => format!(
                "list {:?}, data {}",
                pairs.take_switch("list"),
                Value::Object(pairs.into_data())
            ),
            Err(err) => format!("{err:?}"),
        };
        expected.assert_eq(&seen);
    }

    #[test]
    fn a_query_is_data_and_says_whether_to_list() {
        check_query("", expect!["list Ok(false), data {}"]);
        check_query(
            "list=True&after=a%2Fb&limit=10",
            expect![[r#"list Ok(true), data {"after":"a/b","limit":"10"}"#]],
        );
        check_query("list=1", expect!["list Ok(true), data {}"]);
        check_query("list=t&list=F", expect!["list Ok(false), data {}"]);
        check_query(
            "list=garbage",
            expect![[r#"list Err(Switch { name: "list" }), data {}"#]],
        );
        check_query("list", expect!["list Ok(false), data {}"]);
        check_query(
            "version=2&a=1&a=2&a=3&&b=x+y",
            expect![[r#"list Ok(false), data {"version":"2","a":["1","2","3"],"b":"x y"}"#]],
        );
        check_query("a=%ff", expect!["Query"]);
        check_query("a=%f", expect!["PercentEncoding"]);
        check_query(&"a=1&".repeat(300), expect!["Query"]);
    }

    fn check_body(media_type: Option<&str>, body: &[u8], expected: Expect) {
        expected.assert_eq(&match data(body, media_type) {
            Ok(data) => Value::Object(data).to_string(),
            Err(err) => format!("{err:?}"),
        });
    }

    #[test]
    fn a_body_is_a_json_object_or_nothing_and_numbers_keep_their_digits() {
        const JSON: Option<&str> = Some("application/json");
        check_body(None, b"", expect!["{}"]);
        check_body(None, b" \n", expect!["{}"]);
        check_body(JSON, b"null", expect!["{}"]);
        check_body(JSON, b"{}", expect!["{}"]);
        check_body(
            None,
            br#"{"n":1.10,"big":123456789012345678901234567890,"z":1,"a":2}"#,
            expect![[r#"{"n":1.10,"big":123456789012345678901234567890,"z":1,"a":2}"#]],
        );
        check_body(JSON, br#"{"a":1} and then some"#, expect![[r#"{"a":1}"#]]);
        check_body(JSON, br#"{"a":1}{"#, expect![[r#"{"a":1}"#]]);
        check_body(JSON, br#"{"a":1,"a":2}"#, expect![[r#"{"a":2}"#]]);
        check_body(
            JSON,
            b"[1]",
            expect![[r#"Json("the body must be a JSON object")"#]],
        );
        check_body(
            JSON,
            br#""text""#,
            expect![[r#"Json("the body must be a JSON object")"#]],
        );
        check_body(
            JSON,
            b"nul",
            expect![[r#"Json("EOF while parsing a value at line 1 column 3")"#]],
        );
        check_body(
            JSON,
            br#"{"a":"s3cret"#,
            expect![[r#"Json("EOF while parsing a string at line 1 column 12")"#]],
        );
        check_body(
            JSON,
            br#"{"a" "s3cret"}"#,
            expect![[r#"Json("expected `:` at line 1 column 6")"#]],
        );
        check_body(
            JSON,
            b"{\"a\":\"\xff\"}",
            expect![[r#"Json("invalid unicode code point at line 1 column 7")"#]],
        );
        check_body(
            JSON,
            br#"{"a":"\ud800"}"#,
            expect![[r#"Json("unexpected end of hex escape at line 1 column 13")"#]],
        );
        check_body(
            JSON,
            br#"{"$serde_json::private::Number":"s3cret"}"#,
            expect![[r#"Json("a text starts in a way that is reserved")"#]],
        );
        for key in [
            r"\u0024serde_json",
            r"$serde\u005fjson",
            r"\u0024\u0073erde_json",
        ] {
            check_body(
                JSON,
                format!(r#"{{"a":{{"{key}::private::RawValue":"[1,2]"}}}}"#).as_bytes(),
                expect![[r#"Json("a text starts in a way that is reserved")"#]],
            );
        }
        check_body(
            JSON,
            br#"{"a":"\u0024serde_json"}"#,
            expect![[r#"{"a":"$serde_json"}"#]],
        );
    }

    #[test]
    fn a_form_is_a_form_only_if_it_says_so_and_looks_like_one() {
        const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
        check_body(
            FORM,
            b"a=1&b=x%20y&a=2",
            expect![[r#"{"a":"1,2","b":"x y"}"#]],
        );
        check_body(
            FORM,
            br#" {"a":"from curl"}"#,
            expect![[r#"{"a":"from curl"}"#]],
        );
        check_body(
            FORM,
            b"[1]",
            expect![[r#"Json("the body must be a JSON object")"#]],
        );
        check_body(FORM, b"a=%f", expect!["PercentEncoding"]);
        check_body(
            Some("text/plain"),
            b"a=1",
            expect![[r#"Json("the body must be a JSON object")"#]],
        );
    }

    #[test]
    fn deep_and_wide_json_is_refused_before_it_is_built() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000));
        check_body(
            None,
            deep.as_bytes(),
            expect![[r#"Json("nested too deeply")"#]],
        );
        let wide = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(300_000));
        check_body(
            None,
            wide.as_bytes(),
            expect![[r#"Json("too many values")"#]],
        );
        let fits = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        assert!(data(fits.as_bytes(), None).is_ok());
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    #[test]
    fn the_token_header_wins_over_a_bearer_and_comes_once() {
        let check = |pairs: &[_], expected: Result<Option<&str>, Rejection>| {
            let seen = token(&headers(pairs));
            let seen = seen
                .as_ref()
                .map(|token| token.as_ref().map(ClientToken::expose));
            assert_eq!(seen, expected.as_ref().map(|token| *token), "{pairs:?}");
        };
        check(&[], Ok(None));
        check(&[("x-vault-token", "hvs.A")], Ok(Some("hvs.A")));
        check(&[("authorization", "Bearer hvs.B")], Ok(Some("hvs.B")));
        check(&[("authorization", "bearer  hvs.B ")], Ok(Some("hvs.B")));
        check(&[("authorization", "Basic aaaa")], Ok(None));
        check(
            &[
                ("x-vault-token", "hvs.A"),
                ("authorization", "Bearer hvs.B"),
            ],
            Ok(Some("hvs.A")),
        );
        check(
            &[("x-vault-token", " "), ("authorization", "Bearer hvs.B")],
            Ok(Some("hvs.B")),
        );
        check(
            &[("x-vault-token", "hvs.A"), ("x-vault-token", "hvs.A")],
            Err(Rejection::ManyTokens),
        );
    }

    #[test]
    fn the_wrap_ttl_is_whole_seconds_and_zero_is_none() {
        for (text, expected) in [
            ("60", Ok(Some(60))),
            ("5m", Ok(Some(300))),
            ("500ms", Ok(Some(1))),
            ("0", Ok(None)),
            ("", Ok(None)),
            ("-5s", Err(Rejection::WrapTtl(DurationError::Negative))),
            ("soon", Err(Rejection::WrapTtl(DurationError::Syntax))),
        ] {
            assert_eq!(
                wrap_ttl(&headers(&[("x-vault-wrap-ttl", text)])),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn only_the_root_namespace_is_there() {
        for (text, expected) in [
            ("", Ok(())),
            ("root", Ok(())),
            ("/", Ok(())),
            ("team", Err(Rejection::Namespace)),
        ] {
            assert_eq!(
                check_namespace(&headers(&[("x-vault-namespace", text)])),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn headers_that_carry_a_token_are_not_passed_on() {
        let sent = headers(&[
            ("x-vault-token", "hvs.A"),
            ("authorization", "Bearer hvs.B"),
            ("cookie", "a=b"),
            ("X-Custom", "kept"),
        ]);
        assert_eq!(passed(&sent), [("x-custom".to_owned(), "kept".to_owned())]);
    }

    fn length(received: Received) -> usize {
        received.bytes.len()
    }

    /// A body of which no byte ever comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = hyper::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
        let room = BodyRoom::new();
        let body = Body::from(vec![b'a'; limits::BODY_BYTES + 1]);
        assert_eq!(
            room.read(body).await.map(length),
            Err(Rejection::BodyTooLarge)
        );
        let body = Body::from(vec![b'a'; limits::BODY_BYTES]);
        assert_eq!(room.read(body).await.map(length), Ok(limits::BODY_BYTES));
        assert_eq!(
            room.0.available_permits(),
            limits::ALL_BODIES_BYTES / ROOM_UNIT_BYTES
        );
    }

    #[tokio::test]
    async fn bodies_share_what_there_is() {
        let room = BodyRoom(Arc::new(Semaphore::new(100)));
        let body = |units: usize| Body::from(vec![b'a'; units * ROOM_UNIT_BYTES]);
        let served = room.read(body(80)).await.expect("there is room");
        assert_eq!(
            room.read(body(80)).await.map(length),
            Err(Rejection::BodiesTooLarge),
            "one that is being served counts"
        );
        assert_eq!(room.read(body(1)).await.map(length), Ok(ROOM_UNIT_BYTES));
        drop(served);
        assert_eq!(
            room.read(body(80)).await.map(length),
            Ok(80 * ROOM_UNIT_BYTES)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let room = BodyRoom::new();
        let began = tokio::time::Instant::now();
        assert_eq!(
            room.read(Body::new(Never)).await.map(length),
            Err(Rejection::BodySlow)
        );
        assert!(began.elapsed() < limits::BODY_TIME * 2);
    }

    #[test]
    fn messages_that_two_servers_might_read_differently_are_refused() {
        let check = |version, names: &[(&'static str, &'static str)], expected| {
            assert_eq!(
                check_message(version, &headers(names)),
                expected,
                "{names:?}"
            );
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        check(new, &[("host", "x")], Ok(()));
        check(old, &[], Ok(()));
        check(Version::HTTP_2, &[], Ok(()));
        check(new, &[], Err(Rejection::Host));
        check(new, &[("host", "x"), ("host", "x")], Err(Rejection::Host));
        check(old, &[("host", "x"), ("host", "y")], Err(Rejection::Host));
        let transfer = |coding| [("host", "x"), ("transfer-encoding", coding)];
        check(new, &transfer("Chunked"), Ok(()));
        for coding in ["gzip, chunked", "chunked, chunked", "identity, chunked", ""] {
            check(new, &transfer(coding), Err(Rejection::TransferCoding));
        }
        let content = |coding| [("host", "x"), ("content-encoding", coding)];
        check(new, &content("identity"), Ok(()));
        for coding in ["gzip", "br", "identity, gzip"] {
            check(new, &content(coding), Err(Rejection::ContentCoding));
        }
    }
}
