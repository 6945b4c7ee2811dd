//! Reads HCL and JSON into one tree of keys and values.
//!
//! hcl-edit reads the HCL and serde_json the JSON. hcl-edit reads HCL 2 and policies are HCL 1, so a text that it refuses
//! goes through [`Layout`] and to it once more. Only plain values are taken: what HCL 2 would evaluate is refused.
//! No key is lost: HCL with a key twice in one block is refused, but for blocks; JSON keeps both. The second rule for a
//! path must not hide the first, which may be a deny.

use std::iter;

use hcl_edit::expr::{Expression, ObjectKey, ObjectValue};
use hcl_edit::structure::{BlockLabel, Body, Structure};
use hcl_edit::{Decorated, Span};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::PolicyError;
use super::layout::Layout;
use super::limits::{MAX_ASSIGNMENTS, MAX_DEPTH};

/// `keys = value` or `keys { … }`.
#[derive(Debug)]
pub(super) struct Item {
    /// At least one.
    pub(super) keys: Vec<String>,
    pub(super) value: Value,
    /// Where it begins in the text.
    offset: usize,
}

impl Item {
    pub(super) fn line(&self, text: &str) -> usize {
        position(text, self.offset).0
    }
}

#[derive(Debug)]
pub(super) enum Value {
    /// A text, a number, a truth value, or JSON's null.
    Scalar(Json),
    List(Vec<Value>),
    Object(Vec<Item>),
}

impl Value {
    /// The same value as plain JSON. Of a key written twice the last one counts.
    pub(super) fn into_json(self) -> Json {
        match self {
            Value::Scalar(value) => value,
            Value::List(values) => values.into_iter().map(Value::into_json).collect(),
            Value::Object(items) => {
                let entry = |item: Item| (item.keys.join("."), item.value.into_json());
                Json::Object(items.into_iter().map(entry).collect())
            }
        }
    }
}

/// Reads `text`, which is JSON if it starts with `{`: no HCL does.
pub(super) fn read(text: &str) -> Result<Vec<Item>, PolicyError> {
    if text.trim_start().starts_with('{') {
        return read_json(text);
    }
    if let Some((offset, _)) = text.match_indices(['=', ':']).nth(MAX_ASSIGNMENTS) {
        let problem = format!("more than {MAX_ASSIGNMENTS} assignments");
        return Err(error_at(text, offset, problem));
    }
    let read = |layout| HclReader { layout }.read();
    let outcome = read(Layout::as_is(text)).or_else(|as_is| {
        // Layout is never at fault, so where both fail, the error that comes later in the text is the one to mend.
        read(Layout::of(text)).map_err(|laid_out| {
            if laid_out.0 < as_is.0 {
                as_is
            } else {
                laid_out
            }
        })
    });
    outcome.map_err(|(offset, problem)| error_at(text, offset, problem))
}

fn error_at(text: &str, offset: usize, problem: impl Into<String>) -> PolicyError {
    let (line, column) = position(text, offset);
    PolicyError::Syntax {
        line,
        column,
        problem: problem.into(),
    }
}

/// Line and column of a byte offset, both counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// Where in an HCL text, as it was written, and what is wrong there.
type Wrong = (usize, String);

struct HclReader<'t> {
    layout: Layout<'t>,
}

/// Recursion is as deep as the text, which hcl-edit reads to a depth of 64.
impl HclReader<'_> {
    fn read(&self) -> Result<Vec<Item>, Wrong> {
        let body = hcl_edit::parser::parse_body(self.layout.text()).map_err(|error| {
            let offset = self.layout.original(error.location().offset());
            (offset, error.message().to_owned())
        })?;
        self.body(body)
    }

    fn body(&self, body: Body) -> Result<Vec<Item>, Wrong> {
        let item = |structure: Structure| {
            let offset = self.offset(&structure);
            let (keys, value) = match structure {
                Structure::Attribute(attribute) => {
                    let key = attribute.key.to_string();
                    (vec![key], self.value(attribute.value)?)
                }
                Structure::Block(block) => {
                    let labels = block.labels.into_iter().map(|label| match label {
                        BlockLabel::Ident(word) => Ok(word.to_string()),
                        BlockLabel::String(text) => self.text(text),
                    });
                    let keys = iter::once(Ok(block.ident.to_string())).chain(labels);
                    let keys = keys.collect::<Result<_, _>>()?;
                    (keys, Value::Object(self.body(block.body)?))
                }
            };
            Ok(Item {
                keys,
                value,
                offset,
            })
        };
        body.into_iter().map(item).collect()
    }

    fn value(&self, expression: Expression) -> Result<Value, Wrong> {
        let offset = self.offset(&expression);
        let wrong = |problem: &str| (offset, problem.to_owned());
        Ok(match expression {
            Expression::Null(_) => Value::Scalar(Json::Null),
            Expression::Bool(value) => Value::Scalar(Json::Bool(value.into_value())),
            // As written, so that no digit is lost. JSON has no leading zero: HCL 1 means octal by it, and HCL 2 does not.
            Expression::Number(number) => {
                let digits = number.as_repr();
                let number = digits.and_then(|digits| serde_json::from_str(digits).ok());
                Value::Scalar(Json::Number(number.ok_or_else(|| wrong("illegal number"))?))
            }
            Expression::String(text) => Value::Scalar(Json::String(self.text(text)?)),
            Expression::HeredocTemplate(heredoc) => {
                let parts = heredoc.template.iter();
                let literals = parts.map(|part| Some(part.as_literal()?.as_str()));
                let text = literals.collect::<Option<String>>();
                let text = text.ok_or_else(|| wrong("templates are not evaluated"))?;
                // hcl-edit overlooks an end on the first line, and would take the rules that follow for text.
                if text.trim_start().starts_with(heredoc.delimiter.as_str()) {
                    return Err(wrong("a heredoc must not be empty"));
                }
                Value::Scalar(Json::String(text))
            }
            Expression::Array(values) => {
                let values = values.into_iter().map(|value| self.value(value));
                Value::List(values.collect::<Result<_, _>>()?)
            }
            Expression::Object(entries) => {
                let item = |(key, value): (ObjectKey, ObjectValue)| {
                    let offset = self.offset(&key);
                    let key = match key {
                        ObjectKey::Ident(word) => word.to_string(),
                        ObjectKey::Expression(Expression::String(text)) => self.text(text)?,
                        _ => return Err(wrong("a key must be a word or a string")),
                    };
                    Ok(Item {
                        keys: vec![key],
                        value: self.value(value.into_expr())?,
                        offset,
                    })
                };
                Value::Object(entries.into_iter().map(item).collect::<Result<_, _>>()?)
            }
            Expression::Variable(_) => return Err(wrong("a string must be in quotes")),
            _ => return Err(wrong("expressions are not evaluated")),
        })
    }

    /// A text in quotes. hcl-edit lets it go on over line ends, where HCL 1 and 2 see a forgotten quote.
    fn text(&self, text: Decorated<String>) -> Result<String, Wrong> {
        let written = text.span().and_then(|span| self.layout.text().get(span));
        if written.is_some_and(|written| written.contains('\n')) {
            return Err((self.offset(&text), "string is not terminated".to_owned()));
        }
        Ok(text.into_value())
    }

    fn offset(&self, of: &impl Span) -> usize {
        self.layout.original(of.span().map_or(0, |span| span.start))
    }
}

fn read_json(text: &str) -> Result<Vec<Item>, PolicyError> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| PolicyError::Syntax {
        line: error.line(),
        // serde_json counts what it has read of the line: nothing, if the text ends with a line end.
        column: error.column().max(1),
        problem: problem(&error),
    })?;
    match json_value(text, whole.get(), 0)? {
        Value::Object(items) => Ok(items),
        _ => Err(error_at(text, 0, "does not contain a root object")),
    }
}

/// `part` is a piece of `text`, and valid JSON but for what escapes and numbers stand for.
fn json_value(text: &str, part: &str, depth: usize) -> Result<Value, PolicyError> {
    let offset = part.as_ptr() as usize - text.as_ptr() as usize;
    let invalid = |error: serde_json::Error| error_at(text, offset, problem(&error));
    if depth > MAX_DEPTH {
        return Err(error_at(text, offset, "nested too deeply"));
    }
    match part.as_bytes().first() {
        Some(b'{') => {
            let Pairs(pairs) = serde_json::from_str(part).map_err(invalid)?;
            let item = |(key, value): (String, &RawValue)| {
                let value = value.get();
                Ok(Item {
                    keys: vec![key],
                    offset: value.as_ptr() as usize - text.as_ptr() as usize,
                    value: json_value(text, value, depth + 1)?,
                })
            };
            let items: Result<_, PolicyError> = pairs.into_iter().map(item).collect();
            Ok(Value::Object(items?))
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(part).map_err(invalid)?;
            let value = |value: &RawValue| json_value(text, value.get(), depth + 1);
            let values: Result<_, PolicyError> = values.into_iter().map(value).collect();
            Ok(Value::List(values?))
        }
        _ => Ok(Value::Scalar(serde_json::from_str(part).map_err(invalid)?)),
    }
}

/// serde_json's words without the place, which we tell ourselves.
fn problem(error: &serde_json::Error) -> String {
    let words = error.to_string();
    match words.split_once(" at line ") {
        Some((problem, _)) => problem.to_owned(),
        None => words,
    }
}

/// A JSON object whose keys may come twice.
struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}
