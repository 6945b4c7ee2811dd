//! Requests that are none, and requests that two servers in a row would read differently.
//!
//! Each is sent on a connection of its own, with one more whole request after it. What comes back
//! is all statuses until the connection closes: `400` is a refusal that closed it at once,
//! `200 404` a request that was served and the one after it. What hides in a request asks for
//! something that nobody else here asks for: were it ever served, there would be a 403.

use std::io::Write as _;

use super::attack::{MIB, attack};
use super::wire::{answers, connect};
use crate::support::TestVault;

/// Asked in earnest: 404, and the end.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// What hides in others: 403 if it is ever taken for a request.
const HIDDEN: &str = "GET /v1/cubbyhole/hidden HTTP/1.1\r\nHost: x\r\n\r\n";

/// A body of 14 bytes.
const BODY: &str = "{\"reset\":true}";

/// The same in chunks.
const CHUNKS: &str = "e\r\n{\"reset\":true}\r\n0\r\n\r\n";

/// A request with this first line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: x\r\n\r\n")
}

/// A good request with these header lines in it, unless they spoil it: 200.
fn get(lines: &str) -> String {
    format!("GET /v1/sys/leader HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n")
}

/// A good request with these header lines and this body, unless they spoil it: 204.
fn post(lines: &str, body: &str) -> String {
    format!(
        "PUT /v1/cubbyhole/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: TOKEN\r\n{lines}\r\n\r\n{body}"
    )
}

/// A body in chunks that are not quite.
fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

/// Sends `cases` and looks at what comes back.
fn check(cases: Vec<(&str, Vec<u8>, &str)>) {
    let (vault, root) = TestVault::with_kv();
    attack(&vault, &root, 32 * MIB, || {
        let mut wrong = String::new();
        for (name, request, expected) in cases {
            let mut stream = connect(&vault);
            let request = with_token(&request, root.token());
            // The server may have closed before it has all: that is one of its answers.
            let _ = stream.write_all(&request);
            let _ = stream.write_all(LAST.as_bytes());
            let statuses: Vec<String> = answers(&mut stream)
                .iter()
                .map(|answer| answer.status.to_string())
                .collect();
            let statuses = statuses.join(" ");
            if statuses != expected {
                wrong += &format!("{name}: {statuses:?}, not {expected:?}\n");
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
    });
}

/// The root token where a request has the word for it.
fn with_token(request: &[u8], token: &str) -> Vec<u8> {
    const WORD: &[u8] = b"TOKEN";
    match request.windows(WORD.len()).position(|it| it == WORD) {
        None => request.to_vec(),
        Some(at) => {
            let (before, after) = request.split_at(at);
            [before, token.as_bytes(), &after[WORD.len()..]].concat()
        }
    }
}

fn texts<'a, const N: usize>(
    cases: [(&'a str, String, &'a str); N],
) -> Vec<(&'a str, Vec<u8>, &'a str)> {
    let bytes = cases.map(|(name, text, expected)| (name, text.into_bytes(), expected));
    bytes.into()
}

#[test]
fn a_length_is_one_plain_number() {
    let length = |text: &str| post(&format!("Content-Length:{text}"), BODY);
    check(texts([
        ("as it should be", length(" 14"), "204 404"),
        ("blanks around it", length(" \t 14 \t"), "204 404"),
        ("leading zeros", length(" 0014"), "204 404"),
        ("none", length(""), "400"),
        ("blank", length("  "), "400"),
        ("plus", length(" +14"), "400"),
        ("minus", length(" -14"), "400"),
        ("minus zero", length(" -0"), "400"),
        ("hexadecimal", length(" 0x0e"), "400"),
        ("hexadecimal digits", length(" e"), "400"),
        ("exponent", length(" 1e1"), "400"),
        ("fraction", length(" 14.0"), "400"),
        ("blank within", length(" 1 4"), "400"),
        ("tab within", length(" 1\t4"), "400"),
        ("quoted", length(" \"14\""), "400"),
        ("list of one", length(" 14,"), "400"),
        ("list of two", length(" 14,14"), "400"),
        ("list of two that differ", length(" 14, 0"), "400"),
        ("with a parameter", length(" 14;x"), "400"),
        ("other digits", length(" \u{ff11}\u{ff14}"), "400"),
        ("beyond what is read", length(" 33554433"), "413"),
        (
            "beyond a signed word",
            length(" 9223372036854775808"),
            "413",
        ),
        ("two below 2^64", length(" 18446744073709551614"), "431"),
        ("one below 2^64", length(" 18446744073709551615"), "431"),
        ("2^64 and 14", length(" 18446744073709551630"), "400"),
        (
            "two that differ",
            post("Content-Length: 14\r\nContent-Length: 0", BODY),
            "400",
        ),
        (
            "two that differ, the other way",
            post("Content-Length: 0\r\nContent-Length: 14", BODY),
            "400",
        ),
        // RFC 9110, 8.6: the same length twice is that length.
        (
            "two that agree",
            post("Content-Length: 14\r\nContent-Length: 14", BODY),
            "204 404",
        ),
        (
            "a name that is nearly it",
            post("Content_Length: 0\r\nContent-Length: 14", BODY),
            "204 404",
        ),
    ]));
}

#[test]
fn a_body_has_one_end() {
    let hidden = format!("0\r\n\r\n{HIDDEN}");
    let both = |first: &str, second: &str| post(&format!("{first}\r\n{second}"), &hidden);
    let (te, cl) = ("Transfer-Encoding: chunked", "Content-Length: 51");
    let coding = |text: &str| post(&format!("Transfer-Encoding:{text}"), CHUNKS);
    check(texts([
        // RFC 9112, 6.1: the chunks count, and the connection ends with the answer.
        ("length, then chunks", both(cl, te), "400"),
        ("chunks, then length", both(te, cl), "400"),
        (
            "chunks, then a length that is none",
            both(te, "Content-Length: x"),
            "400",
        ),
        ("as it should be", coding(" chunked"), "204 404"),
        ("capitals", coding(" CHUNKED"), "204 404"),
        ("blanks around it", coding(" \t chunked \t"), "204 404"),
        ("none", coding(""), "400"),
        ("another", coding(" xchunked"), "400"),
        ("identity", coding(" identity"), "400"),
        ("gzip", coding(" gzip"), "400"),
        ("chunked first", coding(" chunked, identity"), "400"),
        ("gzip first", coding(" gzip, chunked"), "501"),
        ("identity first", coding(" identity, chunked"), "501"),
        ("chunked twice", coding(" chunked, chunked"), "501"),
        ("a comma first", coding(" ,chunked"), "501"),
        ("with a parameter", coding(" chunked;q=1"), "400"),
        ("quoted", coding(" \"chunked\""), "400"),
        ("a vertical tab", coding(" \u{b}chunked"), "400"),
        (
            "a letter that looks like one",
            coding(" \u{441}hunked"),
            "400",
        ),
        ("a line break in it", coding("\r\n chunked"), "400"),
        (
            "two lines",
            post(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                CHUNKS,
            ),
            "501",
        ),
        (
            "two lines, the last another",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", CHUNKS),
            "400",
        ),
        (
            "blank before the colon",
            post("Transfer-Encoding : chunked\r\nContent-Length: 14", BODY),
            "400",
        ),
        (
            "tab before the colon",
            post("Transfer-Encoding\t: chunked\r\nContent-Length: 14", BODY),
            "400",
        ),
        (
            "a name that is nearly it",
            post("Transfer_Encoding: chunked\r\nContent-Length: 14", BODY),
            "204 404",
        ),
        (
            "an old client",
            format!("PUT /v1/cubbyhole/a HTTP/1.0\r\n{te}\r\n\r\n{CHUNKS}"),
            "400",
        ),
        // Its length takes the hidden request for a body; it stays one.
        (
            "a request in a body",
            post(&format!("Content-Length: {}", hidden.len()), &hidden),
            "400 404",
        ),
        (
            "a request in the body of a read",
            format!(
                "GET /v1/sys/leader HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
                HIDDEN.len()
            ),
            "200 404",
        ),
    ]));
}

#[test]
fn chunks_have_plain_sizes() {
    let of = |first: &str| chunked(&format!("{first}\r\n{BODY}\r\n0\r\n\r\n"));
    let trailer = |lines: &str| chunked(&format!("e\r\n{BODY}\r\n0\r\n{lines}\r\n\r\n"));
    check(texts([
        ("as it should be", of("e"), "204 404"),
        ("capital", of("E"), "204 404"),
        ("leading zeros", of("000e"), "204 404"),
        ("an extension", of("e;name=\"value\""), "204 404"),
        ("none", of(""), "400"),
        ("no digit", of("g"), "400"),
        ("hexadecimal with its mark", of("0xe"), "400"),
        ("plus", of("+e"), "400"),
        ("minus", of("-e"), "400"),
        ("blank before", of(" e"), "400"),
        ("blank within", of("e e"), "400"),
        ("a comma", of("e,e"), "400"),
        ("more than a word holds", of("10000000000000000"), "400"),
        ("a word and the size", of("1000000000000000e"), "400"),
        (
            "an extension beyond measure",
            of(&format!("e;{}", "x".repeat(20_000))),
            "400",
        ),
        (
            "a line feed for its end",
            chunked(&format!("e\n{BODY}\r\n0\r\n\r\n")),
            "400",
        ),
        (
            "a carriage return for its end",
            chunked(&format!("e\r{BODY}\r\n0\r\n\r\n")),
            "400",
        ),
        ("a line feed in an extension", of("e;x\ny"), "400"),
        ("longer than it says", of("d"), "400"),
        (
            "no line end behind it",
            chunked(&format!("e\r\n{BODY}0\r\n\r\n")),
            "400",
        ),
        ("a trailer", trailer("X-Sum: 1"), "204 404"),
        (
            "a length as a trailer",
            trailer("Content-Length: 40"),
            "204 404",
        ),
        (
            "a coding as a trailer",
            trailer("Transfer-Encoding: chunked"),
            "204 404",
        ),
        (
            "a token as a trailer",
            trailer("X-Vault-Token: x"),
            "204 404",
        ),
        (
            "a trailer beyond measure",
            trailer(&format!("X: {}", "x".repeat(100_000))),
            "400",
        ),
        (
            "trailers beyond measure",
            trailer(&"X: x\r\n".repeat(5_000)),
            "400",
        ),
        ("a trailer that is none", trailer("X"), "400"),
        ("a trailer with a blank", trailer("X : x"), "400"),
    ]));
}

#[test]
fn header_lines_are_lines() {
    let mut cases = texts([
        ("blank before the colon", get("X : a"), "400"),
        ("tab before the colon", get("X\t: a"), "400"),
        ("blank in the name", get("X Y: a"), "400"),
        ("no name", get(": a"), "400"),
        ("no colon", get("X"), "400"),
        ("no value", get("X:"), "200 404"),
        ("blank in front", get(" X: a"), "400"),
        ("folded", get("X: a\r\n b"), "400"),
        ("folded by a tab", get("X: a\r\n\tb"), "400"),
        ("folded, empty", get("X: a\r\n "), "400"),
        ("NUL in a name", get("X\0: a"), "400"),
        ("NUL in a value", get("X: a\0b"), "400"),
        ("control in a name", get("X\u{1}: a"), "400"),
        ("control in a value", get("X: a\u{1}b"), "400"),
        ("escape in a value", get("X: a\u{1b}[2Jb"), "400"),
        ("delete in a value", get("X: a\u{7f}b"), "400"),
        ("delete in a name", get("X\u{7f}: a"), "400"),
        ("tab in a value", get("X: a\tb"), "200 404"),
        ("carriage return in a value", get("X: a\rb"), "400"),
        ("carriage return in a name", get("X\rY: a"), "400"),
        ("two carriage returns", get("X: a\r"), "400"),
        ("parenthesis in a name", get("X(a): a"), "400"),
        ("slash in a name", get("X/a: a"), "400"),
        ("quote in a name", get("\"X\": a"), "400"),
        (
            "no host",
            "GET /v1/sys/leader HTTP/1.1\r\n\r\n".into(),
            "400",
        ),
        ("two hosts", get("Host: x"), "400"),
        ("two hosts that differ", get("Host: y"), "400"),
        ("blank before a host's colon", get("Host : y"), "400"),
        (
            "an old client without a host",
            "GET /v1/sys/leader HTTP/1.0\r\n\r\n".into(),
            "200",
        ),
        (
            "two tokens",
            format!(
                "GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "X-Vault-Token: x\r\n".repeat(2)
            ),
            "400 404",
        ),
        ("compressed", get("Content-Encoding: gzip"), "415 404"),
        (
            "compressed twice",
            get("Content-Encoding: identity, br"),
            "415 404",
        ),
        (
            "not compressed",
            get("Content-Encoding: identity"),
            "200 404",
        ),
        (
            "a length that is a hop's own",
            get("Connection: Content-Length"),
            "200 404",
        ),
        (
            "keep, and close",
            get("Connection: keep-alive\r\nConnection: close"),
            "200",
        ),
        (
            "close, and keep",
            get("Connection: close\r\nConnection: keep-alive"),
            "200",
        ),
        (
            "HTTP/2 in clear",
            get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"),
            "200 404",
        ),
        (
            "a web socket",
            get("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x"),
            "200 404",
        ),
        (
            "waits to be asked",
            post("Expect: 100-continue\r\nContent-Length: 14", BODY),
            "100 204 404",
        ),
        (
            "expects something else",
            post("Expect: 200-ok\r\nContent-Length: 14", BODY),
            "204 404",
        ),
        ("many", get(&"X: a\r\n".repeat(101)), "431"),
        ("very many", get(&"X: a\r\n".repeat(100_000)), "431"),
        ("large", get(&format!("X: {}", "a".repeat(100_000))), "431"),
        (
            "a large name",
            get(&format!("{}: a", "a".repeat(100_000))),
            "431",
        ),
        // RFC 9112, 2.2 lets a server take it, and hyper does.
        (
            "line feeds for line ends",
            "GET /v1/sys/leader HTTP/1.1\nHost: x\n\n".into(),
            "200 404",
        ),
        (
            "carriage returns for line ends",
            "GET /v1/sys/leader HTTP/1.1\rHost: x\r\r".into(),
            "400",
        ),
    ]);
    let not_utf8 = |lines: &[u8]| {
        let head = b"GET /v1/sys/leader HTTP/1.1\r\nHost: x\r\n";
        [head, lines, b"\r\n\r\n"].concat()
    };
    cases.push(("not UTF-8 in a value", not_utf8(b"X: \xff\xfe"), "200 404"));
    cases.push(("not UTF-8 in a name", not_utf8(b"\xff\xfe: x"), "400"));
    cases.push(("overlong in a name", not_utf8(b"\xc0\xaf: x"), "400"));
    check(cases);
}

#[test]
fn first_lines_are_method_target_and_version() {
    let target = |target: &str| line(&format!("GET {target} HTTP/1.1"));
    let version = |version: &str| line(&format!("GET /v1/sys/leader{version}"));
    let mut cases = texts([
        ("as it should be", version(" HTTP/1.1"), "200 404"),
        (
            "empty lines before",
            format!("\r\n\r\n{}", version(" HTTP/1.1")),
            "200 404",
        ),
        ("blank before", format!(" {}", version(" HTTP/1.1")), "400"),
        ("HTTP/0.9", "GET /v1/sys/leader\r\n".into(), "400"),
        ("HTTP/0.9, written out", version(" HTTP/0.9"), "400"),
        ("HTTP/1.2", version(" HTTP/1.2"), "400"),
        ("HTTP/2.0", version(" HTTP/2.0"), "400"),
        ("HTTP/1", version(" HTTP/1"), "400"),
        ("HTTP/1.10", version(" HTTP/1.10"), "400"),
        ("HTTP/01.1", version(" HTTP/01.1"), "400"),
        ("small letters", version(" http/1.1"), "400"),
        ("another protocol", version(" RTSP/1.0"), "400"),
        ("more behind it", version(" HTTP/1.1 x"), "400"),
        ("a blank behind it", version(" HTTP/1.1 "), "400"),
        ("two blanks", version("  HTTP/1.1"), "400"),
        ("a tab", version("\tHTTP/1.1"), "400"),
        (
            "a small method",
            line("get /v1/sys/leader HTTP/1.1"),
            "405 404",
        ),
        (
            "a method that nobody knows",
            line("BREW /v1/sys/leader HTTP/1.1"),
            "405 404",
        ),
        (
            "a long method",
            line(&format!("{} / HTTP/1.1", "A".repeat(10_000))),
            "404 404",
        ),
        ("no method", line(" /v1/sys/leader HTTP/1.1"), "400"),
        (
            "NUL in a method",
            line("G\0T /v1/sys/leader HTTP/1.1"),
            "400",
        ),
        (
            "colon in a method",
            line("GE:T /v1/sys/leader HTTP/1.1"),
            "400",
        ),
        ("TRACE", line("TRACE /v1/sys/leader HTTP/1.1"), "405 404"),
        ("a tunnel", line("CONNECT x:80 HTTP/1.1"), "404 404"),
        (
            "a tunnel to a path",
            line("CONNECT /v1/sys/leader HTTP/1.1"),
            "405 404",
        ),
        (
            "an absolute target",
            target("http://x/v1/sys/leader"),
            "200 404",
        ),
        (
            "an absolute target elsewhere",
            target("http://y:81/v1/sys/leader"),
            "200 404",
        ),
        (
            "an absolute target without a path",
            target("http://x"),
            "404 404",
        ),
        (
            "a target with a user",
            target("http://a:b@x/v1/sys/leader"),
            "200 404",
        ),
        ("an authority as a target", target("x:80"), "404 404"),
        ("a star", line("OPTIONS * HTTP/1.1"), "404 404"),
        ("a star to read", target("*"), "404 404"),
        ("no target", line("GET  HTTP/1.1"), "400"),
        ("a target without a slash", target("v1/sys/leader"), "400"),
        ("a blank in a target", target("/v1/sys/ leader"), "400"),
        ("a fragment", target("/v1/sys/leader#x"), "200 404"),
        ("NUL in a target", target("/v1/sys/leader\0"), "400"),
        ("control in a target", target("/v1/sys/leader\u{1}"), "400"),
        ("delete in a target", target("/v1/sys/leader\u{7f}"), "400"),
        ("an escaped NUL", target("/v1/sys/leader%00"), "400 404"),
        (
            "an escaped line end",
            target("/v1/sys/leader%0d%0aX:%20y"),
            "400 404",
        ),
        (
            "an escape that is none",
            target("/v1/sys/leader%zz"),
            "400 404",
        ),
        ("half an escape", target("/v1/sys/leader%2"), "400 404"),
        (
            "out of the folder",
            target("/v1/sys/../sys/leader"),
            "400 404",
        ),
        (
            "out of it, escaped",
            target("/v1/sys/%2e%2E/sys/leader"),
            "400 404",
        ),
        ("out of the API", target("/v1/../v1/sys/leader"), "400 404"),
        ("two slashes", target("/v1//sys//leader"), "200 404"),
        ("a slash, escaped", target("/v1/sys%2fleader"), "200 404"),
        ("escaped twice", target("/v1/sys%252fleader"), "403 404"),
        ("a backslash", target("/v1/sys\\leader"), "403 404"),
        (
            "a parameter in a segment",
            target("/v1/sys/leader;x"),
            "403 404",
        ),
        ("overlong slash", target("/v1/sys%c0%afleader"), "400 404"),
        (
            "a long target",
            target(&format!("/v1/{}", "a".repeat(3_000))),
            "400 404",
        ),
        (
            "a very long target",
            target(&format!("/v1/{}", "a".repeat(100_000))),
            "431",
        ),
        (
            "a long query",
            target(&format!("/v1/sys/leader?{}", "a=1&".repeat(300))),
            "400 404",
        ),
        (
            "HTTP/2 on a plain port",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".into(),
            "",
        ),
        ("a greeting of SSH", "SSH-2.0-OpenSSH_9.9\r\n".into(), "400"),
        ("a greeting of mail", "EHLO x\r\n".into(), "400"),
        ("NULs", "\0".repeat(100), "400"),
    ]);
    let client_hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x03\r\n\r\n";
    cases.push(("TLS on a plain port", client_hello.to_vec(), "400"));
    cases.push(("SOCKS", b"\x05\x02\x00\x02\r\n\r\n".to_vec(), "400"));
    let mut bytes = b"GET /v1/sys/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    cases.push(("not UTF-8 in a target", bytes.clone(), "400"));
    bytes.reverse();
    cases.push(("backwards", bytes, "400"));
    check(cases);
}
