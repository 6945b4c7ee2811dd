//! Between the types of `wit/engine.wit` and those of `host_logical`: requests on their way in, and
//! answers on their way out, which are not trusted.
//!
//! Another version of the WIT is another file like this one.

#[cfg(test)]
mod fuzz;

use std::collections::BTreeSet;

use host_logical::{
    AuthGrant, EngineError, EngineRequest, EngineResponse, LeaseWanted, Mount, Operation, RawBody,
    SecretBytes,
};
use serde_json::value::RawValue;
use wasmtime::component::{Resource, ResourceTable};

use crate::bindings::coffer::engine::types;
use crate::bindings::exports::coffer::engine::backend as wit;
use crate::imports::printable_lines;
use crate::limits;

/// A mount, as its engine sees it.
pub(crate) fn mount(mount: &Mount) -> wit::Mount {
    wit::Mount {
        path: mount.path.clone(),
        accessor: mount.accessor.clone(),
        default_lease_ttl: mount.default_lease_ttl,
        max_lease_ttl: mount.max_lease_ttl,
        options: pairs(&mount.options),
    }
}

/// A request; its secrets go into `table`, and the guest gets the handles.
pub(crate) fn request(
    table: &mut ResourceTable,
    request: &EngineRequest,
) -> Result<wit::Request, EngineError> {
    let mut secrets = Vec::with_capacity(request.secrets.len());
    for (name, secret) in &request.secrets {
        let handle = table.push(secret.clone()).map_err(|_| {
            EngineError::OverLimit(format!("more than {} secrets sent", limits::HANDLES))
        })?;
        secrets.push((name.clone(), handle));
    }
    let data =
        serde_json::to_vec(&request.data).map_err(|error| EngineError::Host(Box::new(error)))?;
    let raw_bytes = request.raw.as_ref().map_or(0, |(_, body)| body.len());
    if data.len().max(raw_bytes) > limits::REQUEST_BYTES {
        return Err(EngineError::invalid(format!(
            "the request is too large: an engine takes at most {} bytes",
            limits::REQUEST_BYTES
        )));
    }
    Ok(wit::Request {
        id: request.id.to_string(),
        operation: operation(request.operation),
        path: request.path.clone(),
        params: request.params.clone(),
        data,
        secrets,
        headers: request.headers.clone(),
        mount: mount(&request.mount),
        caller: request.caller.as_ref().map(|caller| wit::Caller {
            entity_id: caller.entity_id.clone(),
            display_name: caller.display_name.clone(),
            metadata: pairs(&caller.metadata),
        }),
        peer: wit::Peer {
            address: request.peer.address.clone(),
            certificates: request.peer.certificates.clone(),
        },
        raw: request.raw.clone(),
    })
}

/// An answer, checked: sizes, shapes, and each handle once.
pub(crate) fn response(
    table: &mut ResourceTable,
    answer: wit::Response,
) -> Result<EngineResponse, EngineError> {
    let mut tally = Tally {
        bytes_left: limits::REPLY_BYTES,
    };
    if let Some(status) = answer.status
        && !(200..600).contains(&status)
    {
        return Err(malformed(format!("status {status}")));
    }
    tally.pairs("headers", &answer.headers, limits::HEADERS)?;
    for (name, value) in &answer.headers {
        check_header(name, value)?;
    }
    tally.texts("warnings", &answer.warnings, limits::WARNINGS)?;
    if answer
        .warnings
        .iter()
        .any(|text| text.len() > limits::WARNING_BYTES)
    {
        return Err(over("a warning", limits::WARNING_BYTES));
    }
    let data = match answer.data {
        None => None,
        Some(data) => {
            tally.bytes(data.len())?;
            Some(json_object(data)?)
        }
    };
    if data.is_none() && !answer.secrets.is_empty() {
        return Err(malformed(
            "secrets without `data` to put them in".to_owned(),
        ));
    }
    let raw = match answer.raw {
        None => None,
        Some((content_type, body)) => {
            tally.bytes(content_type.len())?;
            tally.bytes(body.len())?;
            check_header("content-type", &content_type)?;
            Some(RawBody { content_type, body })
        }
    };
    Ok(EngineResponse {
        status: answer.status,
        headers: answer.headers,
        data,
        secrets: secrets(table, &mut tally, answer.secrets)?,
        // Clients show them as they are, on terminals too.
        warnings: answer
            .warnings
            .iter()
            .map(|text| printable_lines(text, limits::WARNING_BYTES))
            .collect(),
        lease: answer
            .lease
            .map(|lease| self::lease(&mut tally, lease))
            .transpose()?,
        refresh_after: answer.refresh_after,
        auth: answer
            .auth
            .map(|auth| self::auth(&mut tally, auth))
            .transpose()?,
        raw,
    })
}

pub(crate) fn operation(operation: Operation) -> types::Operation {
    match operation {
        Operation::Create => types::Operation::Create,
        Operation::Read => types::Operation::Read,
        Operation::Update => types::Operation::Update,
        Operation::Patch => types::Operation::Patch,
        Operation::Delete => types::Operation::Delete,
        Operation::List => types::Operation::List,
        Operation::Head => types::Operation::Head,
    }
}

/// JSON text that every parser on its way will read: valid, and not nested too deep.
pub(crate) fn check_json(text: &[u8]) -> Result<(), String> {
    check_before_parsing(text)?;
    serde_json::from_slice::<&RawValue>(text)
        .map(|_| ())
        .map_err(|error| format!("not JSON: {error}"))
}

/// What serde_json takes where it only looks, and other parsers may not.
fn check_before_parsing(text: &[u8]) -> Result<(), String> {
    if deepest(text) > limits::JSON_DEPTH {
        return Err(format!("nested deeper than {}", limits::JSON_DEPTH));
    }
    if has_lone_surrogate(text) {
        return Err("not JSON: half of a surrogate pair".to_owned());
    }
    Ok(())
}

fn secrets(
    table: &mut ResourceTable,
    tally: &mut Tally,
    answered: Vec<(String, Resource<SecretBytes>)>,
) -> Result<Vec<(String, SecretBytes)>, EngineError> {
    tally.list("secrets", answered.len(), limits::HANDLES)?;
    let mut pointers = BTreeSet::new();
    let mut secrets = Vec::with_capacity(answered.len());
    for (pointer, handle) in answered {
        let secret = table
            .delete(handle)
            .map_err(|_| malformed(format!("the secret for {pointer:?} was given twice")))?;
        tally.bytes(pointer.len())?;
        tally.bytes(secret.len())?;
        if !is_pointer(&pointer) {
            return Err(malformed(format!(
                "{pointer:?} is no JSON pointer to a member"
            )));
        }
        if std::str::from_utf8(secret.expose()).is_err() {
            return Err(malformed(format!(
                "the secret for {pointer:?} is not UTF-8: `secrets.encode` it"
            )));
        }
        if !pointers.insert(pointer.clone()) {
            return Err(malformed(format!("two secrets for {pointer:?}")));
        }
        secrets.push((pointer, secret));
    }
    Ok(secrets)
}

fn lease(tally: &mut Tally, lease: wit::Lease) -> Result<LeaseWanted, EngineError> {
    tally.bytes(lease.kind.len())?;
    internal(tally, &lease.internal)?;
    Ok(LeaseWanted {
        ttl: lease.ttl,
        max_ttl: lease.max_ttl,
        renewable: lease.renewable,
        kind: lease.kind,
        internal: lease.internal,
    })
}

fn auth(tally: &mut Tally, auth: wit::AuthGrant) -> Result<AuthGrant, EngineError> {
    tally.bytes(auth.display_name.len())?;
    tally.bytes(auth.alias.len())?;
    tally.pairs("alias metadata", &auth.alias_metadata, limits::REPLY_ITEMS)?;
    tally.texts("group aliases", &auth.group_aliases, limits::REPLY_ITEMS)?;
    tally.pairs("metadata", &auth.metadata, limits::REPLY_ITEMS)?;
    tally.texts("policies", &auth.policies, limits::REPLY_ITEMS)?;
    tally.texts("bound CIDRs", &auth.bound_cidrs, limits::REPLY_ITEMS)?;
    internal(tally, &auth.internal)?;
    if !matches!(auth.token_type.as_str(), "service" | "batch" | "default") {
        return Err(malformed(format!("token type {:?}", auth.token_type)));
    }
    Ok(AuthGrant {
        display_name: auth.display_name,
        alias: auth.alias,
        alias_metadata: auth.alias_metadata.into_iter().collect(),
        group_aliases: auth.group_aliases,
        metadata: auth.metadata.into_iter().collect(),
        policies: auth.policies,
        no_default_policy: auth.no_default_policy,
        ttl: auth.ttl,
        max_ttl: auth.max_ttl,
        explicit_max_ttl: auth.explicit_max_ttl,
        period: auth.period,
        num_uses: auth.num_uses,
        bound_cidrs: auth.bound_cidrs,
        token_type: auth.token_type,
        renewable: auth.renewable,
        internal: auth.internal,
    })
}

fn internal(tally: &mut Tally, json: &[u8]) -> Result<(), EngineError> {
    tally.bytes(json.len())?;
    if json.len() > limits::INTERNAL_BYTES {
        return Err(over("`internal`", limits::INTERNAL_BYTES));
    }
    check_json(json).map_err(|why| malformed(format!("`internal` is {why}")))
}

fn json_object(data: Vec<u8>) -> Result<Box<RawValue>, EngineError> {
    check_before_parsing(&data).map_err(|why| malformed(format!("`data` is {why}")))?;
    let object = String::from_utf8(data)
        .map_err(|error| error.to_string())
        .and_then(|text| RawValue::from_string(text).map_err(|error| error.to_string()))
        .map_err(|why| malformed(format!("`data` is not JSON: {why}")))?;
    if !object.get().starts_with('{') {
        return Err(malformed("`data` is JSON, but no object".to_owned()));
    }
    Ok(object)
}

/// How deep brackets nest, strings left out. Wrong for what is not JSON, which the parser then refuses.
fn deepest(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Whether a text of JSON has half of a pair of `\u` escapes. serde_json refuses one only where it
/// builds the text that it stands in.
fn has_lone_surrogate(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = &rest[at..];
        let after = escape.get(6..).unwrap_or_default();
        let is_pair = matches!(code_unit(after), Some(0xDC00..=0xDFFF));
        rest = match code_unit(escape) {
            Some(0xD800..=0xDBFF) if is_pair => &after[6..],
            Some(0xD800..=0xDFFF) => return true,
            _ => escape.get(2..).unwrap_or_default(),
        };
    }
    false
}

fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// RFC 6901, and not the whole document.
fn is_pointer(text: &str) -> bool {
    let escapes_are_known = text
        .split('~')
        .skip(1)
        .all(|rest| rest.starts_with(['0', '1']));
    text.starts_with('/') && escapes_are_known
}

/// A header that cannot end its line: a token, and printable ASCII.
fn check_header(name: &str, value: &str) -> Result<(), EngineError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(malformed(format!("header name {name:?}")));
    }
    if !value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
    {
        return Err(malformed(format!("value of header {name:?}")));
    }
    if name.len() + value.len() > limits::HEADER_BYTES {
        return Err(over("a header", limits::HEADER_BYTES));
    }
    Ok(())
}

/// Counts an answer down to its limit.
struct Tally {
    bytes_left: usize,
}

impl Tally {
    fn bytes(&mut self, count: usize) -> Result<(), EngineError> {
        match self.bytes_left.checked_sub(count) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => Err(over("the answer", limits::REPLY_BYTES)),
        }
    }

    fn list(&self, what: &str, count: usize, limit: usize) -> Result<(), EngineError> {
        if count > limit {
            return Err(EngineError::OverLimit(format!(
                "{count} {what}, of {limit} at most"
            )));
        }
        Ok(())
    }

    fn texts(&mut self, what: &str, texts: &[String], limit: usize) -> Result<(), EngineError> {
        self.list(what, texts.len(), limit)?;
        texts.iter().try_for_each(|text| self.bytes(text.len()))
    }

    fn pairs(
        &mut self,
        what: &str,
        pairs: &[(String, String)],
        limit: usize,
    ) -> Result<(), EngineError> {
        self.list(what, pairs.len(), limit)?;
        pairs
            .iter()
            .try_for_each(|(name, value)| self.bytes(name.len() + value.len()))
    }
}

fn pairs<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<(String, String)> {
    map.into_iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn malformed(what: String) -> EngineError {
    EngineError::Malformed(what)
}

fn over(what: &str, limit_bytes: usize) -> EngineError {
    EngineError::OverLimit(format!("{what} is larger than {limit_bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> wit::Response {
        wit::Response {
            status: None,
            headers: Vec::new(),
            data: None,
            secrets: Vec::new(),
            warnings: Vec::new(),
            lease: None,
            refresh_after: None,
            auth: None,
            raw: None,
        }
    }

    fn check(answer: wit::Response) -> Result<EngineResponse, String> {
        response(&mut ResourceTable::new(), answer).map_err(|error| error.to_string())
    }

    fn with_data(data: &[u8]) -> wit::Response {
        wit::Response {
            data: Some(data.to_vec()),
            ..empty()
        }
    }

    #[test]
    fn data_is_a_json_object_and_keeps_its_digits() {
        let answer = check(with_data(br#" {"n": 1.10000000000000000001} "#)).unwrap();
        assert_eq!(
            answer.data.unwrap().get(),
            r#"{"n": 1.10000000000000000001}"#
        );
        for bad in ["", "[]", "1", "{", "{}{}", r#"{"a":}"#, "\"{}\""] {
            let refused = check(with_data(bad.as_bytes())).unwrap_err();
            assert!(
                refused.starts_with("engine answered what it may not: `data` is"),
                "{bad}: {refused}"
            );
        }
        assert!(check(with_data(b"{\"a\":\"\xff\"}")).is_err());
    }

    #[test]
    fn data_nests_no_deeper_than_parsers_go() {
        let nested =
            |depth: usize| format!("{}1{}", r#"{"[\"{":"#.repeat(depth), "}".repeat(depth));
        assert!(check(with_data(nested(limits::JSON_DEPTH).as_bytes())).is_ok());
        assert!(check(with_data(nested(limits::JSON_DEPTH + 1).as_bytes())).is_err());
    }

    #[test]
    fn a_header_cannot_end_its_line() {
        let with = |name: &str, value: &str| wit::Response {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..empty()
        };
        assert!(check(with("Link", "<https://example.test>; rel=\"up\"")).is_ok());
        for (name, value) in [
            ("Link", "a\r\nSet-Cookie: b"),
            ("a b", "c"),
            ("", "c"),
            ("a", "é"),
        ] {
            assert!(check(with(name, value)).is_err(), "{name:?}: {value:?}");
        }
    }

    #[test]
    fn a_secret_goes_to_one_member_as_text() {
        let answer = |secrets: &[(&str, &[u8])]| {
            let mut table = ResourceTable::new();
            let secrets = secrets.iter().map(|(pointer, bytes)| {
                let handle = table.push(SecretBytes::new(bytes.to_vec())).unwrap();
                ((*pointer).to_owned(), handle)
            });
            let answer = wit::Response {
                secrets: secrets.collect(),
                ..with_data(b"{}")
            };
            response(&mut table, answer).map_err(|error| error.to_string())
        };
        assert_eq!(
            answer(&[("/a~1b", b"x"), ("/c", b"y")])
                .unwrap()
                .secrets
                .len(),
            2
        );
        for bad in [
            &[("", b"x".as_slice())][..],
            &[("a", b"x")],
            &[("/a~2", b"x")],
            &[("/a", b"\xff")],
            &[("/a", b"x"), ("/a", b"y")],
        ] {
            assert!(answer(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_has_a_size() {
        let many = wit::Response {
            warnings: vec!["w".to_owned(); limits::WARNINGS + 1],
            ..empty()
        };
        assert!(
            check(many)
                .unwrap_err()
                .contains("33 warnings, of 32 at most")
        );
        let raw = |size: usize| wit::Response {
            raw: Some(("text/plain".to_owned(), vec![b'x'; size])),
            ..empty()
        };
        assert!(check(raw(limits::REPLY_BYTES - 10)).is_ok());
        assert!(check(raw(limits::REPLY_BYTES - 9)).is_err());
        assert!(
            check(wit::Response {
                status: Some(101),
                ..empty()
            })
            .is_err()
        );
    }
}
