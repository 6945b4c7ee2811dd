//! JSON as Go's `MarshalIndent` writes it, so that outputs compare byte by byte with Vault's.

use serde_json::Value;

/// Two spaces a level, objects in their own order, numbers digit by digit.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (n, (key, value)) in map.iter().enumerate() {
                next_line(out, n > 0, depth + 1);
                string(out, key);
                out.push_str(": ");
                write(out, value, depth + 1);
            }
            next_line(out, false, depth);
            out.push('}');
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('[');
            for (n, value) in list.iter().enumerate() {
                next_line(out, n > 0, depth + 1);
                write(out, value, depth + 1);
            }
            next_line(out, false, depth);
            out.push(']');
        }
        Value::String(text) => string(out, text),
        other => out.push_str(&other.to_string()),
    }
}

fn next_line(out: &mut String, comma: bool, depth: usize) {
    out.push_str(if comma { ",\n" } else { "\n" });
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Go escapes what could end a script in a web page, too.
fn string(out: &mut String, text: &str) {
    for c in Value::from(text).to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", c as u32))
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn values_look_as_go_writes_them() {
        let value = serde_json::from_str(
            r#"{"b":[],"a":{},"html":"<a href=\"x\">&\u2028","list":[1,9007199254740993,1.0,1e400,null,true],"nested":{"k":{"v":"ü\n"}}}"#,
        )
        .unwrap();
        expect![[r#"
            {
              "b": [],
              "a": {},
              "html": "\u003ca href=\"x\"\u003e\u0026\u2028",
              "list": [
                1,
                9007199254740993,
                1.0,
                1e+400,
                null,
                true
              ],
              "nested": {
                "k": {
                  "v": "ü\n"
                }
              }
            }"#]]
        .assert_eq(&pretty(&value));
    }
}
