//! `key=value` arguments become the body or the query of a request.
//!
//! - `k=v` is a string, whatever it looks like; a key given twice becomes a list.
//! - `k=@file` and `k=-` take the bytes of a file or of standard input as they are; `k=\@v` is the text `@v`.
//! - `@file` and `-` alone are a whole JSON object, merged into what was given before; its numbers keep their digits.

use std::io::{self, Read};

use serde_json::{Map, Value};

use crate::limits::INPUT_MAX_BYTES;

/// Why arguments could not become data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    #[error("invalid key/value pair {0:?}: format must be key=value")]
    NotAPair(String),
    #[error("stdin already consumed")]
    StdinTwice,
    #[error("error reading {from}: {source}")]
    Read { from: String, source: io::Error },
    #[error("{from} is larger than {INPUT_MAX_BYTES} bytes")]
    TooLarge { from: String },
    /// A JSON string cannot hold it, and to guess an encoding would change the secret.
    #[error("{from} is not UTF-8 text; encode it first, for example with base64")]
    NotText { from: String },
    #[error("{from} is not a JSON object: {source}")]
    NotJson {
        from: String,
        source: serde_json::Error,
    },
}

/// The JSON object that `args` describe, or `None` where there are none.
pub(crate) fn parse(
    args: &[String],
    stdin: impl Read,
) -> Result<Option<Map<String, Value>>, DataError> {
    let mut stdin = Some(stdin);
    let mut take_stdin = || stdin.take().ok_or(DataError::StdinTwice);
    let mut data = Map::new();
    for arg in args.iter().filter(|arg| !arg.is_empty()) {
        match arg.split_once('=') {
            Some((key, value)) => {
                let value = match value {
                    "-" => text(take_stdin()?, "stdin")?,
                    _ if value.starts_with('@') => file(&value[1..])?,
                    _ if value.starts_with("\\@") => value[1..].to_owned(),
                    _ => value.to_owned(),
                };
                add(&mut data, key, Value::String(value));
            }
            None if arg == "-" => data.extend(object(&text(take_stdin()?, "stdin")?, "stdin")?),
            None if arg.starts_with('@') => data.extend(object(&file(&arg[1..])?, &arg[1..])?),
            None => return Err(DataError::NotAPair(arg.clone())),
        }
    }
    Ok((!args.is_empty()).then_some(data))
}

/// The same as query parameters: lists repeat their key, and everything is text.
pub(crate) fn parse_query(
    args: &[String],
    stdin: impl Read,
) -> Result<Vec<(String, String)>, DataError> {
    let mut query = Vec::new();
    for (key, value) in parse(args, stdin)?.unwrap_or_default() {
        match value {
            Value::Array(values) => {
                query.extend(values.into_iter().map(|value| (key.clone(), plain(value))))
            }
            value => query.push((key, plain(value))),
        }
    }
    // Go's client sorts them, and recorded requests compare.
    query.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(query)
}

/// All of `from` as text.
pub(crate) fn text(source: impl Read, from: &str) -> Result<String, DataError> {
    let mut bytes = Vec::new();
    source
        .take(INPUT_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| DataError::Read {
            from: from.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > INPUT_MAX_BYTES {
        return Err(DataError::TooLarge {
            from: from.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|_| DataError::NotText {
        from: from.to_owned(),
    })
}

/// All of the file at `path` as text.
pub(crate) fn file(path: &str) -> Result<String, DataError> {
    let file = std::fs::File::open(path).map_err(|source| DataError::Read {
        from: path.to_owned(),
        source,
    })?;
    text(file, path)
}

fn object(text: &str, from: &str) -> Result<Map<String, Value>, DataError> {
    serde_json::from_str(text).map_err(|source| DataError::NotJson {
        from: from.to_owned(),
        source,
    })
}

fn add(data: &mut Map<String, Value>, key: &str, value: Value) {
    match data.get_mut(key) {
        None => {
            data.insert(key.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => {
            let first_value = first.take();
            *first = Value::Array(vec![first_value, value]);
        }
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], stdin: &str, expected: &str) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let answer = match parse(&args, stdin.as_bytes()) {
            Ok(data) => serde_json::to_string(&data).unwrap(),
            Err(err) => err.to_string(),
        };
        assert_eq!(answer, expected);
    }

    #[test]
    fn pairs_are_strings_and_repeated_keys_are_lists() {
        check(&[], "", "null");
        check(
            &["a=1", "b=", "c=x=y", "d=-v"],
            "",
            r#"{"a":"1","b":"","c":"x=y","d":"-v"}"#,
        );
        check(&["a=1", "a=2", "a=3"], "", r#"{"a":["1","2","3"]}"#);
        check(
            &[r"a=\@handle", r"b=\n"],
            "",
            r#"{"a":"@handle","b":"\\n"}"#,
        );
    }

    #[test]
    fn stdin_is_a_value_or_the_whole_object_and_is_read_once() {
        check(&["a=-"], "line\n", r#"{"a":"line\n"}"#);
        check(
            &["-"],
            r#"{"n":9007199254740993,"f":1.0}"#,
            r#"{"n":9007199254740993,"f":1.0}"#,
        );
        check(&["a=1", "-"], r#"{"b":2}"#, r#"{"a":"1","b":2}"#);
        check(&["a=-", "b=-"], "x", "stdin already consumed");
        check(
            &["-"],
            "[1]",
            "stdin is not a JSON object: invalid type: sequence, expected a map at line 1 column 0",
        );
    }

    #[test]
    fn files_come_as_they_are() {
        let path = std::env::temp_dir().join(format!("coffer-data-{}", std::process::id()));
        let arg = |prefix: &str| vec![format!("{prefix}@{}", path.display())];
        let pem = "-----BEGIN X-----\r\nAA==\n-----END X-----\n\n";
        std::fs::write(&path, pem).unwrap();
        assert_eq!(
            parse(&arg("key="), io::empty()).unwrap().unwrap()["key"],
            pem
        );
        std::fs::write(&path, r#"{"n":1.50}"#).unwrap();
        assert_eq!(
            parse(&arg(""), io::empty()).unwrap().unwrap()["n"].to_string(),
            "1.50"
        );
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(
            parse(&arg("key="), io::empty())
                .unwrap_err()
                .to_string()
                .contains("is not UTF-8 text")
        );
        std::fs::remove_file(&path).unwrap();
        assert!(
            parse(&arg("key="), io::empty())
                .unwrap_err()
                .to_string()
                .contains("No such file")
        );
    }

    #[test]
    fn what_is_no_pair_is_named() {
        check(
            &["a=1", "oops"],
            "",
            r#"invalid key/value pair "oops": format must be key=value"#,
        );
    }

    #[test]
    fn a_query_repeats_lists_and_is_sorted() {
        let args = ["b=2", "a=x", "a=y"].map(str::to_owned);
        let query = parse_query(&args, io::empty()).unwrap();
        assert_eq!(
            query,
            [("a", "x"), ("a", "y"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }
}
