//! A body is read as serde_json reads it, within limits that hold before anything is built.

use serde_json::Value;
use tests_fuzz::{Source, Verdict, fuzz};

use crate::limits;
use crate::request::{Rejection, data};

const WORDS: &str = "\
    { } [ ] \" : , \\\" \\\\ \\u0024 \\ud800 \\ud83d\\ude00 null true false 0 -1 1.10 1e400 \
    -0.0 123456789012345678901234567890 01 1. {\"a\": [[ {} [] \"a\":1, \
    \"$serde_json::private::Number\" \"$serde_json::private::RawValue\" $serde_json \
    \"options\":{\"cas\":0} \n \t";

#[test]
fn a_body_is_read_as_serde_json_reads_it_within_limits() {
    let source = Source {
        target: "json",
        seeds: Vec::new(),
        words: WORDS,
    };
    fuzz(source, |input| {
        check_form(input);
        check_json(input)
    });
}

fn check_json(input: &[u8]) -> Verdict {
    let ours = data(input, Some("application/json"));
    let theirs = serde_json::Deserializer::from_slice(input)
        .into_iter::<Value>()
        .next();
    match (ours, theirs) {
        (Ok(data), None) => {
            assert!(data.is_empty() && input.iter().all(|byte| b" \t\r\n".contains(byte)));
            Verdict::Refused
        }
        (Ok(data), Some(Ok(Value::Null))) => {
            assert!(data.is_empty());
            Verdict::Accepted
        }
        (Ok(data), Some(Ok(value))) => {
            let data = Value::Object(data);
            // As text too: numbers keep their digits and members their order.
            assert_eq!((data.to_string(), &data), (value.to_string(), &value));
            assert!(depth(&value) <= limits::JSON_DEPTH);
            assert!(values(&value) <= limits::JSON_NODES);
            Verdict::Accepted
        }
        (Ok(data), Some(Err(error))) => panic!("{data:?}, but {error}"),
        (Err(refused), Some(Ok(value))) => {
            check_refusal(&refused, input, &value);
            Verdict::Refused
        }
        (Err(refused), _) => {
            assert!(matches!(refused, Rejection::Json(_)), "{refused:?}");
            Verdict::Refused
        }
    }
}

/// What serde_json takes is refused for one of four reasons, and each is true.
fn check_refusal(refused: &Rejection, input: &[u8], value: &Value) {
    let Rejection::Json(words) = refused else {
        panic!("{refused:?}")
    };
    let is_true = match words.as_str() {
        "the body must be a JSON object" => !value.is_object(),
        "nested too deeply" => !value.is_object() || depth(value) > limits::JSON_DEPTH,
        // Members count twice, for their key and for their value.
        "too many values" => !value.is_object() || values(value) * 2 > limits::JSON_NODES,
        "a text starts in a way that is reserved" => !value.is_object() || marks_itself(input),
        _ => false,
    };
    assert!(is_true, "{words}");
}

/// Whether the letters that serde_json marks its own keys with are there, if escapes are read.
fn marks_itself(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let plain = (0x20..0x7f_u8).fold(text.into_owned(), |text, byte| {
        let escapes = [format!("\\u{byte:04x}"), format!("\\u{byte:04X}")];
        let letter = char::from(byte).to_string();
        escapes
            .iter()
            .fold(text, |text, escape| text.replace(escape, &letter))
    });
    plain.contains("$serde_json::private::")
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Values below this one.
fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(|item| 1 + values(item)).sum(),
        Value::Object(members) => members.values().map(|member| 1 + values(member)).sum(),
        _ => 0,
    }
}

/// A form is texts, and as many as it has parameters at most.
fn check_form(input: &[u8]) {
    let Ok(data) = data(input, Some("application/x-www-form-urlencoded")) else {
        return;
    };
    let is_json = matches!(input.trim_ascii_start().first(), Some(b'{' | b'['));
    if !is_json {
        assert!(data.len() <= limits::QUERY_PARAMETERS && data.values().all(Value::is_string));
    }
}

// ---- What was found ----------------------------------------------------------------------------

/// It counted as a blank before the body, and a body of it alone as none.
#[test]
fn a_form_feed_is_no_blank_of_json() {
    for body in [&b"\x0c"[..], b"\x0c{}"] {
        assert!(matches!(data(body, None), Err(Rejection::Json(_))));
    }
}
