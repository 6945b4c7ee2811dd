//! YAML in the style of Vault's output: keys sorted, lists not indented, quotes only where they are needed.

use serde_json::Value;

/// `value` as a YAML document.
pub(crate) fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0),
        Value::Array(list) if !list.is_empty() => block(&mut out, value, 0),
        // The lines of a text that is the whole document stand in from its margin too: not every reader takes them there.
        _ => scalar(&mut out, value, 1),
    }
    out
}

/// A non-empty map or list; the first line starts where `out` stands, the others at `depth`.
fn block(out: &mut String, value: &Value, depth: usize) {
    let mut first = true;
    let mut start_line = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            for (key, value) in pairs {
                start_line(out);
                out.push_str(&quoted_or_plain(key));
                out.push(':');
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        line_break(out, depth + 1);
                        block(out, value, depth + 1);
                    }
                    // As sigs.k8s.io/yaml writes it: a list stands under its key, not behind it.
                    Value::Array(list) if !list.is_empty() => {
                        line_break(out, depth);
                        block(out, value, depth);
                    }
                    _ => {
                        out.push(' ');
                        scalar(out, value, depth + 1);
                    }
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                start_line(out);
                out.push_str("- ");
                match value {
                    Value::Object(map) if !map.is_empty() => block(out, value, depth + 1),
                    Value::Array(list) if !list.is_empty() => block(out, value, depth + 1),
                    _ => scalar(out, value, depth + 1),
                }
            }
        }
        _ => {}
    }
}

fn line_break(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// A value that fits on its line, or a text of several lines as a literal block at `depth`.
fn scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(text) if is_literal(text) => {
            let body = text.trim_end_matches('\n');
            out.push_str(match text.len() - body.len() {
                0 => "|-",
                1 => "|",
                _ => "|+",
            });
            let lines = if text.ends_with("\n\n") {
                text.strip_suffix('\n').unwrap_or(text)
            } else {
                body
            };
            for line in lines.split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    out.extend(std::iter::repeat_n("  ", depth));
                    out.push_str(line);
                }
            }
        }
        Value::String(text) => out.push_str(&quoted_or_plain(text)),
        other => out.push_str(&other.to_string()),
    }
    out.push('\n');
}

/// Several lines that a literal block can hold: it starts with a letter or so, and has nothing that needs escapes.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.contains(" \n")
        && !text.ends_with(' ')
        && text.chars().all(|c| c == '\n' || c == '\t' || printable(c))
}

fn printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn quoted_or_plain(text: &str) -> String {
    if !text.chars().all(printable) {
        // JSON's escapes are YAML's, in double quotes; what JSON lets stand is escaped the same way.
        let escaped = |c: char| {
            if printable(c) {
                c.to_string()
            } else {
                format!("\\u{:04x}", c as u32)
            }
        };
        Value::from(text).to_string().chars().map(escaped).collect()
    } else if text.is_empty() || reads_as_something_else(text) {
        format!("\"{text}\"")
    } else if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Whether a YAML reader, of version 1.1 too, would take the bare text for a number, a truth value, a date or nothing.
fn reads_as_something_else(text: &str) -> bool {
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "yes"
            | "n"
            | "no"
            | "on"
            | "off"
            | "true"
            | "false"
            | "null"
            | "~"
            | "<<"
            | ".nan"
            | ".inf"
            | "+.inf"
            | "-.inf"
    );
    let number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| {
            c.is_ascii_hexdigit()
                || matches!(c, '+' | '-' | '.' | '_' | ':' | 'x' | 'o' | 'T' | 'Z' | ' ')
        });
    // A time of day in a plain scalar would also need its colons quoted; a date alone is a date.
    word || number
}

fn is_plain(text: &str) -> bool {
    let special = "-?:,[]{}#&*!|>'\"%@`";
    let first = text.chars().next().unwrap_or(' ');
    let may_start = !special.contains(first)
        || (matches!(first, '-' | '?' | ':')
            && text.chars().nth(1).is_some_and(|c| !c.is_whitespace()));
    may_start
        && text.trim() == text
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && text != "---"
        && text != "..."
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(value: Value, expected: Expect) {
        expected.assert_eq(&text(&value));
    }

    #[test]
    fn an_answer_is_sorted_and_lists_stand_under_their_key() {
        check(
            json!({
                "request_id": "r-1", "lease_duration": 0, "warnings": null,
                "data": { "keys": ["a", "b/"], "empty": {}, "none": [], "nested": { "list": [{ "k": "v", "l": 1 }, ["x", "y"]] } },
            }),
            expect![[r#"
                data:
                  empty: {}
                  keys:
                  - a
                  - b/
                  nested:
                    list:
                    - k: v
                      l: 1
                    - - x
                      - "y"
                  none: []
                lease_duration: 0
                request_id: r-1
                warnings: null
            "#]],
        );
    }

    #[test]
    fn texts_come_back_as_texts() {
        let value = json!({
            "bool": "true", "date": "2026-01-01", "empty": "", "hash": "a # b", "int": "007", "float": "1e3", "null": "~",
            "colon": "a: b", "url": "http://h/p", "dash": "- x", "flag": "-x", "quote": "it's", "blank": " x", "tab": "a\tb", "yes": "yes",
            "time": "2026-01-01T00:00:00Z", "percent": "%x", "ip": "10.0.0.1",
        });
        check(
            value,
            expect![[r#"
                blank: ' x'
                bool: "true"
                colon: 'a: b'
                dash: '- x'
                date: "2026-01-01"
                empty: ""
                flag: -x
                float: "1e3"
                hash: 'a # b'
                int: "007"
                ip: "10.0.0.1"
                "null": "~"
                percent: '%x'
                quote: it's
                tab: "a\tb"
                time: "2026-01-01T00:00:00Z"
                url: http://h/p
                "yes": "yes"
            "#]],
        );
    }

    #[test]
    fn several_lines_are_a_block_that_keeps_its_end() {
        check(
            json!({ "keep": "a\n\n\n", "one": "a\nb\n", "none": "a\n\nb", "list": ["x\ny"], "odd": " a\nb" }),
            expect![[r#"
                keep: |+
                  a


                list:
                - |-
                  x
                  y
                none: |-
                  a

                  b
                odd: " a\nb"
                one: |
                  a
                  b
            "#]],
        );
        check(
            json!("a\nb"),
            expect![[r#"
                |-
                  a
                  b
            "#]],
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        check(
            serde_json::from_str("[9007199254740993, 1.0, 1e400, -0]").unwrap(),
            expect![[r#"
            - 9007199254740993
            - 1.0
            - 1e+400
            - -0
        "#]],
        );
        check(
            json!("plain"),
            expect![[r#"
            plain
        "#]],
        );
    }
}
