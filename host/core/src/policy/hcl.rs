//! Reads HCL 1 and JSON into one tree of keys and values.
//!
//! Policies are HCL 1. The kept crates read HCL 2, which gives line ends a meaning and refuses much of what people have:
//! a brace on the next line (as HashiCorp's own example policies have it), two attributes or two blocks on a line,
//! quoted and repeated keys, commas between attributes, `${` and `%{` in a text. HCL 1 is small enough to read here;
//! its grammar is: items, each of keys and then `= value` or `{ items }`. JSON is read by serde_json. Both keep keys that
//! are written twice, since the second rule for a path must not hide the first, which may be a deny.
//!
//! Compared with HashiCorp's own parser (hashicorp/hcl, version 1) on 60,000 random texts, valid and broken, it reads
//! the same but for these: that one drops a key at the end that has no value, takes `[,]` for `[]` and `.5` for a number,
//! reads `a = 1b = 2` as two items, and keeps the blanks before the last line of a `<<END`.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::PolicyError;
use super::limits::MAX_DEPTH;

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
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    reader.items(Token::End)
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

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Identifier(String),
    Text(String),
    /// A number, a truth value, or a text over several lines: what can be a value but not a key.
    Literal(Json),
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    Comma,
    Assign,
    End,
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::Identifier(_) => "a word",
            Token::Text(_) => "a string",
            Token::Literal(_) => "a literal",
            Token::OpenBrace => "'{'",
            Token::CloseBrace => "'}'",
            Token::OpenBracket => "'['",
            Token::CloseBracket => "']'",
            Token::Comma => "','",
            Token::Assign => "'='",
            Token::End => "the end",
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    /// The byte to read next; always between two characters.
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// Reads items up to and with `closing`. Commas between them are optional.
    fn items(&mut self, closing: Token) -> Result<Vec<Item>, PolicyError> {
        let mut items = Vec::new();
        loop {
            let (offset, token) = self.token()?;
            let first_key = match token {
                token if token == closing => return Ok(items),
                Token::Identifier(key) | Token::Text(key) => key,
                token => return Err(self.unexpected(offset, "a key", &token)),
            };
            let mut keys = vec![first_key];
            let value = loop {
                match self.token()? {
                    (_, Token::Identifier(key) | Token::Text(key)) => keys.push(key),
                    (_, Token::OpenBrace) => break self.object()?,
                    (at, Token::Assign) if keys.len() > 1 => {
                        return Err(self.unexpected(at, "'{'", &Token::Assign));
                    }
                    (_, Token::Assign) => break self.value()?,
                    (at, token) => return Err(self.unexpected(at, "'{' or '='", &token)),
                }
            };
            items.push(Item {
                keys,
                value,
                offset,
            });
            self.skip(&Token::Comma)?;
        }
    }

    fn value(&mut self) -> Result<Value, PolicyError> {
        match self.token()? {
            (_, Token::Text(text)) => Ok(Value::Scalar(Json::String(text))),
            (_, Token::Literal(value)) => Ok(Value::Scalar(value)),
            (_, Token::OpenBrace) => self.object(),
            (_, Token::OpenBracket) => self.list(),
            (at, token) => Err(self.unexpected(at, "a value", &token)),
        }
    }

    /// What follows a `{`.
    fn object(&mut self) -> Result<Value, PolicyError> {
        self.deeper(|reader| Ok(Value::Object(reader.items(Token::CloseBrace)?)))
    }

    /// What follows a `[`. A comma may follow the last value.
    fn list(&mut self) -> Result<Value, PolicyError> {
        self.deeper(|reader| {
            let mut values = Vec::new();
            loop {
                if reader.skip(&Token::CloseBracket)? {
                    return Ok(Value::List(values));
                }
                values.push(reader.value()?);
                if !reader.skip(&Token::Comma)? {
                    let (at, token) = reader.token()?;
                    if token != Token::CloseBracket {
                        return Err(reader.unexpected(at, "',' or ']'", &token));
                    }
                    return Ok(Value::List(values));
                }
            }
        })
    }

    fn deeper(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, PolicyError>,
    ) -> Result<Value, PolicyError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error_at(self.text, self.at, "nested too deeply"));
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Steps over `wanted` if it comes next.
    fn skip(&mut self, wanted: &Token) -> Result<bool, PolicyError> {
        let before = self.at;
        let is_next = self.token()?.1 == *wanted;
        if !is_next {
            self.at = before;
        }
        Ok(is_next)
    }

    fn unexpected(&self, offset: usize, wanted: &str, found: &Token) -> PolicyError {
        error_at(
            self.text,
            offset,
            format!("expected {wanted}, found {}", found.name()),
        )
    }

    /// The next token and where it begins.
    fn token(&mut self) -> Result<(usize, Token), PolicyError> {
        self.skip_blanks()?;
        let offset = self.at;
        let Some(first) = self.rest().chars().next() else {
            return Ok((offset, Token::End));
        };
        let sign = match first {
            '{' => Some(Token::OpenBrace),
            '}' => Some(Token::CloseBrace),
            '[' => Some(Token::OpenBracket),
            ']' => Some(Token::CloseBracket),
            ',' => Some(Token::Comma),
            '=' => Some(Token::Assign),
            _ => None,
        };
        let token = match sign {
            Some(sign) => {
                self.at += 1;
                sign
            }
            None if first == '"' => Token::Text(self.quoted()?),
            None if first == '<' => Token::Literal(Json::String(self.heredoc()?)),
            None if first == '-' || first.is_ascii_digit() => Token::Literal(self.number()?),
            None if first.is_alphabetic() || first == '_' => {
                match self.take(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
                    "true" => Token::Literal(Json::Bool(true)),
                    "false" => Token::Literal(Json::Bool(false)),
                    word => Token::Identifier(word.to_owned()),
                }
            }
            None => return Err(error_at(self.text, offset, "illegal character")),
        };
        Ok((offset, token))
    }

    /// Blanks, line ends and comments.
    fn skip_blanks(&mut self) -> Result<(), PolicyError> {
        loop {
            self.take(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.take(|c| c != '\n');
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else {
                    return Err(error_at(self.text, self.at, "comment is not terminated"));
                };
                self.at += "/*".len() + length + "*/".len();
            } else {
                return Ok(());
            }
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Takes the longest run of characters that are `wanted`.
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let start = self.at;
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        &self.text[start..self.at]
    }

    fn next_char(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// A text in quotes, on one line. What stands in `${…}` is kept as it is, quotes and all.
    fn quoted(&mut self) -> Result<String, PolicyError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut braces = 0_usize;
        loop {
            let Some(c) = self.next_char() else {
                return Err(error_at(self.text, start, "string is not terminated"));
            };
            match c {
                '"' if braces == 0 => return Ok(text),
                '\n' if braces == 0 => {
                    return Err(error_at(self.text, start, "string is not terminated"));
                }
                '\\' if braces == 0 => text.push(self.escaped()?),
                '$' if braces == 0 && self.rest().starts_with('{') => {
                    self.at += 1;
                    braces = 1;
                    text.push_str("${");
                }
                c => {
                    match c {
                        '{' if braces > 0 => braces += 1,
                        '}' if braces > 0 => braces -= 1,
                        _ => {}
                    }
                    text.push(c);
                }
            }
        }
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Result<char, PolicyError> {
        let start = self.at;
        let escaped = match self.next_char() {
            Some('a') => Some('\x07'),
            Some('b') => Some('\x08'),
            Some('f') => Some('\x0c'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('v') => Some('\x0b'),
            Some(c @ ('\\' | '"')) => Some(c),
            Some('0'..='7') => {
                self.at = start;
                self.code(3, 8).filter(char::is_ascii)
            }
            Some('x') => self.code(2, 16).filter(char::is_ascii),
            Some('u') => self.code(4, 16),
            Some('U') => self.code(8, 16),
            _ => None,
        };
        escaped.ok_or_else(|| error_at(self.text, start, "illegal escape"))
    }

    /// A character by its number, written in so many digits.
    fn code(&mut self, digits: usize, radix: u32) -> Option<char> {
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit = self.next_char()?.to_digit(radix)?;
            code = code.checked_mul(radix)?.checked_add(digit)?;
        }
        char::from_u32(code)
    }

    /// A decimal, hexadecimal or octal integer, or a decimal fraction.
    fn number(&mut self) -> Result<Json, PolicyError> {
        let start = self.at;
        self.take(|c| c == '-');
        let digits = self.take(|c| c.is_ascii_alphanumeric() || c == '.');
        if digits.ends_with(['e', 'E']) && !digits.starts_with("0x") {
            self.take(|c| matches!(c, '+' | '-' | '0'..='9'));
        }
        let text = &self.text[start..self.at];
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text),
        };
        let integer = |digits: &str, radix| i64::from_str_radix(&format!("{sign}{digits}"), radix);
        let number = if let Some(digits) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            integer(digits, 16).ok().map(Json::from)
        } else if digits.bytes().all(|b| b.is_ascii_digit()) {
            let radix = if digits.starts_with('0') { 8 } else { 10 };
            integer(digits, radix).ok().map(Json::from)
        } else {
            let fraction = text.parse().ok().filter(|number: &f64| number.is_finite());
            fraction.map(Json::from)
        };
        number.ok_or_else(|| error_at(self.text, start, "illegal number"))
    }

    /// `<<END`, lines, and a line with `END`. After `<<-` the lines lose the indentation of the last one, if all have it.
    fn heredoc(&mut self) -> Result<String, PolicyError> {
        let start = self.at;
        let unterminated = |reader: &Self| error_at(reader.text, start, "string is not terminated");
        let Some(head) = self.rest().strip_prefix("<<") else {
            return Err(error_at(self.text, start, "illegal character"));
        };
        let (anchor, body) = head.split_once('\n').ok_or_else(|| unterminated(self))?;
        let anchor = anchor.trim_end_matches('\r');
        let (is_indented, anchor) = match anchor.strip_prefix('-') {
            Some(anchor) => (true, anchor),
            None => (false, anchor),
        };
        if anchor.is_empty() || !anchor.chars().all(char::is_alphanumeric) {
            return Err(error_at(self.text, start, "illegal character"));
        }
        let mut lines = Vec::new();
        let mut end = self.text.len() - body.len();
        for line in body.split_inclusive('\n') {
            end += line.len();
            if line.trim() != anchor {
                lines.push(line);
                continue;
            }
            self.at = end;
            let indent = &line[..line.len() - line.trim_start().len()];
            let unindented = lines.iter().map(|line| line.strip_prefix(indent));
            return Ok(match unindented.collect::<Option<String>>() {
                Some(text) if is_indented => text,
                _ => lines.concat(),
            });
        }
        Err(unterminated(self))
    }
}

fn read_json(text: &str) -> Result<Vec<Item>, PolicyError> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| PolicyError::Syntax {
        line: error.line(),
        column: error.column(),
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
