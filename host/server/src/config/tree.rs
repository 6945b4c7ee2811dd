//! A configuration file in HCL or JSON, as one tree whose every value knows its line.
//!
//! A block with labels is a table in a table, so that `listener "tcp" {}` in HCL and
//! `{"listener": {"tcp": {}}}` in JSON are the same tree. Order and repetition are kept: what they
//! mean is for the reader.

use std::path::Path;
use std::sync::Arc;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Block, Body, Structure};
use serde_json::value::RawValue;

use crate::limits;
use crate::wire::Members;

/// Where something stands: shown as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: Arc<str>,
    line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// `key = value`, or a block.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a configuration can say.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<(Place, Value)>),
    Table(Vec<Entry>),
}

impl Value {
    /// In a sentence about what was expected.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Table(_) => "a block",
        }
    }
}

/// A text that is not HCL, or not JSON, or asks for what a configuration cannot do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SyntaxError {
    /// The line.
    pub place: Place,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

/// Reads the text of `file`: JSON if it is named so or begins so, else HCL.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Entry>, SyntaxError> {
    let source = Source {
        file: file.display().to_string().into(),
        text,
    };
    let named_json = file
        .extension()
        .is_some_and(|extension| extension == "json");
    if named_json || text.trim_start().starts_with('{') {
        source.json()
    } else {
        source.hcl()
    }
}

struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl<'a> Source<'a> {
    fn line(&self, line: usize) -> Place {
        Place {
            file: self.file.clone(),
            line,
        }
    }

    fn at(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        self.line(1 + before.filter(|byte| **byte == b'\n').count())
    }

    fn hcl(&self) -> Result<Vec<Entry>, SyntaxError> {
        let body = hcl_edit::parser::parse_body(self.text).map_err(|err| SyntaxError {
            place: self.line(err.location().line()),
            problem: format!("not HCL: {}", err.message()),
        })?;
        self.hcl_body(&body, &self.line(1))
    }

    fn hcl_body(&self, body: &Body, above: &Place) -> Result<Vec<Entry>, SyntaxError> {
        body.iter()
            .map(|structure| {
                let place = self.span(structure, above);
                match structure {
                    Structure::Attribute(attribute) => Ok(Entry {
                        key: attribute.key.as_str().to_owned(),
                        value: self.hcl_value(&attribute.value, &place)?,
                        place,
                    }),
                    Structure::Block(block) => self.hcl_block(block, place),
                }
            })
            .collect()
    }

    fn hcl_block(&self, block: &Block, place: Place) -> Result<Entry, SyntaxError> {
        let mut value = Value::Table(self.hcl_body(&block.body, &place)?);
        for label in block.labels.iter().rev() {
            let key = label.as_str().to_owned();
            value = Value::Table(vec![Entry {
                key,
                place: place.clone(),
                value,
            }]);
        }
        Ok(Entry {
            key: block.ident.as_str().to_owned(),
            place,
            value,
        })
    }

    fn hcl_value(&self, expression: &Expression, above: &Place) -> Result<Value, SyntaxError> {
        let place = self.span(expression, above);
        let refuse = |problem: &str| {
            Err(SyntaxError {
                place: place.clone(),
                problem: problem.to_owned(),
            })
        };
        Ok(match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Bool(*value.value()),
            Expression::Number(value) => Value::Number(value.value().to_string()),
            Expression::String(value) => Value::Text(value.value().clone()),
            Expression::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| Ok((self.span(item, &place), self.hcl_value(item, &place)?)))
                    .collect::<Result<_, SyntaxError>>()?,
            ),
            Expression::Object(members) => Value::Table(
                members
                    .iter()
                    .map(|(key, value)| {
                        let place = self.span(value.expr(), &place);
                        let key = match key {
                            ObjectKey::Ident(ident) => ident.as_str().to_owned(),
                            ObjectKey::Expression(Expression::String(text)) => text.value().clone(),
                            ObjectKey::Expression(_) => {
                                let problem = "a key is a word or a text in quotes".to_owned();
                                return Err(SyntaxError { place, problem });
                            }
                        };
                        let value = self.hcl_value(value.expr(), &place)?;
                        Ok(Entry { key, place, value })
                    })
                    .collect::<Result<_, SyntaxError>>()?,
            ),
            // The word is not repeated: it may be a key.
            Expression::Variable(_) => return refuse("put the text in quotes"),
            Expression::StringTemplate(_) | Expression::HeredocTemplate(_) => {
                return refuse(
                    "templates are not evaluated here: write $${ for ${, or the value itself",
                );
            }
            _ => return refuse("expressions are not evaluated here: write the value itself"),
        })
    }

    fn span(&self, of: &impl Span, above: &Place) -> Place {
        of.span()
            .map_or_else(|| above.clone(), |span| self.at(span.start))
    }

    fn json(&self) -> Result<Vec<Entry>, SyntaxError> {
        let raw: &RawValue = serde_json::from_str(self.text).map_err(|err| SyntaxError {
            place: self.line(err.line().max(1)),
            problem: format!("not JSON: {err}"),
        })?;
        match self.json_value(raw, 0)? {
            Value::Table(entries) => Ok(entries),
            _ => Err(SyntaxError {
                place: self.line(1),
                problem: "expected a JSON object".to_owned(),
            }),
        }
    }

    fn json_value(&self, raw: &'a RawValue, depth: usize) -> Result<Value, SyntaxError> {
        let text = raw.get();
        if depth > limits::CONFIG_DEPTH {
            return Err(SyntaxError {
                place: self.json_place(raw),
                problem: "nested too deeply".to_owned(),
            });
        }
        let wrong = |err: serde_json::Error| SyntaxError {
            place: self.json_place(raw),
            problem: format!("not JSON: {err}"),
        };
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let members: Members<'a> = serde_json::from_str(text).map_err(wrong)?;
                let entries = members.0.into_iter().map(|(key, value)| {
                    Ok(Entry {
                        key,
                        place: self.json_place(value),
                        value: self.json_value(value, depth + 1)?,
                    })
                });
                Value::Table(entries.collect::<Result<_, SyntaxError>>()?)
            }
            Some(b'[') => {
                let items: Vec<&'a RawValue> = serde_json::from_str(text).map_err(wrong)?;
                let items = items
                    .into_iter()
                    .map(|item| Ok((self.json_place(item), self.json_value(item, depth + 1)?)));
                Value::List(items.collect::<Result<_, SyntaxError>>()?)
            }
            Some(b'"') => Value::Text(serde_json::from_str(text).map_err(wrong)?),
            Some(b't' | b'f') => Value::Bool(text == "true"),
            Some(b'n') | None => Value::Null,
            Some(_) => Value::Number(text.to_owned()),
        })
    }

    /// A raw value is a slice of the text, so its address tells its line.
    fn json_place(&self, raw: &RawValue) -> Place {
        self.at(raw
            .get()
            .as_ptr()
            .addr()
            .saturating_sub(self.text.as_ptr().addr()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(file: &str, text: &str, expected: Expect) {
        let mut shown = String::new();
        match parse(Path::new(file), text) {
            Ok(entries) => show(&entries, 0, &mut shown),
            Err(err) => shown = err.to_string(),
        }
        expected.assert_eq(&shown);
    }

    fn show(entries: &[Entry], depth: usize, shown: &mut String) {
        for entry in entries {
            *shown += &format!("{}{} {}", "  ".repeat(depth), entry.place.line, entry.key);
            match &entry.value {
                Value::Table(entries) => {
                    shown.push('\n');
                    show(entries, depth + 1, shown);
                }
                value => *shown += &format!(" = {value:?}\n"),
            }
        }
    }

    #[test]
    fn hcl_and_json_make_the_same_tree() {
        check(
            "a.hcl",
            "# a server\nui = true\nlistener \"tcp\" {\n  address = \"[::]:8200\"\n  tls_disable = 1\n}\n\
             storage \"inmem\" {}\n// that is all\ntelemetry {\n  x = [\"a\", 2]\n}\nseal = { static = { key = \"x\" } }\n",
            expect![[r#"
                2 ui = Bool(true)
                3 listener
                  3 tcp
                    4 address = Text("[::]:8200")
                    5 tls_disable = Number("1")
                7 storage
                  7 inmem
                9 telemetry
                  10 x = List([(Place { file: "a.hcl", line: 10 }, Text("a")), (Place { file: "a.hcl", line: 10 }, Number("2"))])
                12 seal
                  12 static
                    12 key = Text("x")
            "#]],
        );
        check(
            "a.json",
            "{\n \"ui\": true,\n \"listener\": {\"tcp\": {\n  \"address\": \"[::]:8200\",\n  \"tls_disable\": 1}},\n\
             \"storage\": [{\"inmem\": {}}],\n\"x\": null}",
            expect![[r#"
                2 ui = Bool(true)
                3 listener
                  3 tcp
                    4 address = Text("[::]:8200")
                    5 tls_disable = Number("1")
                6 storage = List([(Place { file: "a.json", line: 6 }, Table([Entry { key: "inmem", place: Place { file: "a.json", line: 6 }, value: Table([]) }]))])
                7 x = Null
            "#]],
        );
        check(
            "stdin",
            "  {\"ui\": false}",
            expect![[r#"
            1 ui = Bool(false)
        "#]],
        );
        check("empty.hcl", "", expect![[r#""#]]);
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        check(
            "a.hcl",
            "ui = true\nlistener \"tcp\" {\n",
            expect!["a.hcl:2: not HCL: invalid block body; expected `}`, newline or identifier"],
        );
        check(
            "a.hcl",
            "ui = true\nlog_level = info\n",
            expect!["a.hcl:2: put the text in quotes"],
        );
        check(
            "a.hcl",
            "\n\nlog_level = \"${x}\"\n",
            expect![
                "a.hcl:3: templates are not evaluated here: write $${ for ${, or the value itself"
            ],
        );
        check(
            "a.hcl",
            "x = 1 + 1\n",
            expect!["a.hcl:1: expressions are not evaluated here: write the value itself"],
        );
        check(
            "a.json",
            "{\n \"ui\": true\n \"x\": 1}",
            expect!["a.json:3: not JSON: expected `,` or `}` at line 3 column 2"],
        );
        check("a.json", "[1]", expect!["a.json:1: expected a JSON object"]);
        check(
            "a.json",
            "",
            expect!["a.json:1: not JSON: EOF while parsing a value at line 1 column 0"],
        );
    }
}
