//! Bodies that are deep, wide, long, or not what they say they are.

use super::attack::{MIB, attack};
use crate::support::TestVault;

/// Each with what it is told.
fn bodies() -> Vec<(&'static str, String, u16)> {
    let data = |inner: &str| format!("{{\"data\":{inner}}}");
    let nested = |open: &str, close: &str, depth: usize| {
        data(&format!("{}1{}", open.repeat(depth), close.repeat(depth)))
    };
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|at| format!("\"{at}\":0")).collect();
        data(&format!("{{{}}}", keys.join(",")))
    };
    let list = |count: usize| data(&format!("{{\"k\":[{}0]}}", "0,".repeat(count)));
    let value = |value: &str| data(&format!("{{\"k\":{value}}}"));
    vec![
        ("as deep as may be", nested("{\"a\":", "}", 98), 200),
        ("too deep", nested("{\"a\":", "}", 100), 400),
        (
            "deep beyond measure",
            nested("{\"a\":", "}", 1_000_000),
            400,
        ),
        (
            "deep lists, left open",
            format!("{{\"a\":{}", "[".repeat(10_000_000)),
            400,
        ),
        ("deep, closed only", "}".repeat(1_000_000), 400),
        ("10,000 keys", keys(10_000), 200),
        ("too many keys", keys(200_000), 400),
        ("too many items", list(200_000), 400),
        ("items beyond measure", list(10_000_000), 400),
        (
            "lists of nothing",
            data(&format!("{{\"k\":[{}[]]}}", "[],".repeat(300_000))),
            400,
        ),
        (
            "a text of 4 MiB",
            value(&format!("\"{}\"", "x".repeat(4 << 20))),
            200,
        ),
        (
            "a text of 31 MiB",
            value(&format!("\"{}\"", "x".repeat(31 << 20))),
            400,
        ),
        (
            "escapes of 12 MiB",
            value(&format!("\"{}\"", "\\u0000".repeat(2 << 20))),
            400,
        ),
        (
            "a key of 1 MiB",
            data(&format!("{{\"{}\":1}}", "k".repeat(1 << 20))),
            200,
        ),
        ("a number of 1 MiB", value(&"9".repeat(1 << 20)), 200),
        ("an exponent beyond measure", value("1e999999999999"), 200),
        ("a negative one", value("-1e-999999999999"), 200),
        (
            "a fraction of 1 MiB",
            value(&format!("0.{}", "1".repeat(1 << 20))),
            200,
        ),
        ("no number", value("NaN"), 400),
        ("hexadecimal", value("0x10"), 400),
        ("leading zero", value("010"), 400),
        ("half a surrogate", value("\"\\ud800\""), 400),
        ("an escape that is none", value("\"\\x\""), 400),
        ("a line break in a text", value("\"\n\""), 400),
        (
            "a mark of the parser",
            value("{\"$serde_json::private::Number\":\"1\"}"),
            400,
        ),
        (
            "the same, escaped",
            value("{\"\\u0024serde_json::private::RawValue\":\"[]\"}"),
            400,
        ),
        (
            "a comment",
            "{\"data\":{}} // x".replace("{}", "{/*x*/}"),
            400,
        ),
        ("a byte order mark", format!("\u{feff}{}", data("{}")), 400),
        ("blanks", " ".repeat(1 << 20), 400),
        ("nothing but a quote", "{\"".to_owned(), 400),
        ("an escape at the end", "{\"\\".to_owned(), 400),
    ]
}

#[test]
fn json_beyond_measure_is_refused_and_costs_little() {
    let (vault, root) = TestVault::with_kv();
    attack(&vault, &root, 256 * MIB, || {
        for (name, body, expected) in bodies() {
            let told = root.send("PUT", "secret/data/a", Some(&body));
            let text = &told.text[..told.text.len().min(300)];
            assert_eq!(told.status, expected, "{name}: {text}");
        }
    });
}

#[test]
fn a_compressed_body_is_refused_whatever_it_holds() {
    let (_vault, root) = TestVault::with_kv();
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, identity"] {
        let client = root.with_header("Content-Encoding", coding);
        // Even one that could be read as it is: it would not be what was meant.
        let refused = client.send("PUT", "secret/data/a", Some("{\"data\":{}}"));
        assert_eq!(refused.status, 415, "{coding}: {refused:?}");
        assert!(refused.error().contains("compressed"), "{refused:?}");
    }
    assert_eq!(root.get("secret/data/a").status, 404, "nothing was written");
    let plain = root.with_header("Content-Encoding", "identity");
    let taken = plain.send("PUT", "secret/data/a", Some("{\"data\":{}}"));
    assert_eq!(taken.status, 200, "{taken:?}");
    // Nor does an answer come compressed: its length would tell of secrets beside what was sent.
    let asked = root.with_header("Accept-Encoding", "gzip, br, zstd");
    assert_eq!(asked.get("secret/data/a").header("content-encoding"), "");
}
