//! Whatever headers come, at most one token is taken from them, and none is passed on to an engine.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use tests_fuzz::{Source, Verdict, fuzz};

use crate::limits;
use crate::request::{check_namespace, media_type, passed, token, wrap_ttl};

const WORDS: &str = "\
    X-Vault-Token x-vault-token Authorization Bearer Basic Cookie X-Vault-Wrap-TTL \
    X-Vault-Namespace Content-Type application/json : ; hvs. hvb. root 5m -1s 1.5h \
    9223372036854775807 99999999999h \t \u{a0}";

#[test]
fn at_most_one_token_is_taken_and_none_is_passed_on() {
    let source = Source {
        target: "token",
        seeds: Vec::new(),
        words: WORDS,
    };
    fuzz(source, |input| {
        let headers = headers(input);
        let _ = (check_namespace(&headers), media_type(&headers));
        for (name, _) in passed(&headers) {
            assert!(!["x-vault-token", "authorization", "cookie"].contains(&name.as_str()));
        }
        if let Ok(Some(seconds)) = wrap_ttl(&headers) {
            assert!((1..=i64::MAX as u64 / 1_000_000_000 + 1).contains(&seconds));
        }
        check_token(&headers)
    });
}

fn check_token(headers: &HeaderMap) -> Verdict {
    let taken = token(headers);
    let sent: Vec<&[u8]> = headers
        .get_all("x-vault-token")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    assert_eq!(
        taken.is_err(),
        sent.len() > 1,
        "which of two tokens counts is anyone's guess"
    );
    let Ok(Some(taken)) = taken else {
        return Verdict::Refused;
    };
    let text = taken.expose();
    assert!(!text.is_empty() && text.len() <= host_core::ClientToken::MAX_BYTES);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    let again = host_core::ClientToken::parse(text);
    assert_eq!(again.as_ref().map(|again| again.expose()), Some(text));

    let bearer = headers
        .get("authorization")
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    match sent.first().filter(|sent| !sent.trim_ascii().is_empty()) {
        Some(header) => assert_eq!(header.trim_ascii(), text.as_bytes()),
        None => {
            assert!(bearer.to_ascii_lowercase().starts_with(b"bearer "));
            assert!(bearer.trim_ascii_end().ends_with(text.as_bytes()));
        }
    }
    Verdict::Accepted
}

/// The lines that are headers, as hyper has them.
fn headers(input: &[u8]) -> HeaderMap {
    let lines = input.split(|byte| *byte == b'\n').take(limits::HEADERS);
    lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
            Some((name, value))
        })
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

// ---- What was found ----------------------------------------------------------------------------

/// The bearer was taken, with whatever it may do, where the client had named another token.
#[test]
fn a_token_that_cannot_be_read_does_not_make_way_for_a_bearer() {
    let headers = headers(b"X-Vault-Token: \xc3(\nAuthorization: Bearer hvs.B");
    assert!(matches!(token(&headers), Ok(None)));
}
