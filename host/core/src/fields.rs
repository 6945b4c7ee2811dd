//! Fields: what a client sent, made into what the engine declared.
//!
//! Vault's clients are weakly typed: a command line sends every value as text, and each field
//! takes the forms below. An engine sees one form for each type, in `request.data`:
//!
//! | declared | a client may send | the engine gets |
//! |---|---|---|
//! | text | text, number, boolean | text; a number keeps its digits, a boolean is `1` or `0` as in Vault |
//! | lowercase-text | as text | text in lower case |
//! | integer | whole number, decimal text, `0x10`, `010` | number within 64 signed bits; `""` is 0 |
//! | boolean | `true`, `false`, `1`, `0`, texts of these, `t`, `f` | boolean; `""` is false |
//! | timestamp | RFC 3339, seconds since 1970 | number of milliseconds since 1970, as `ambient.now` |
//! | object | object | the object as it came |
//! | any | anything | as it came |
//! | bytes | base64, of either alphabet, padded or not | base64, standard alphabet, padded |
//! | seconds | whole number, `"3600"`, `"1h30m"`, `"7d"` | number of whole seconds, not negative; `""` is 0 |
//! | signed-seconds | as seconds, also negative | number of whole seconds |
//! | text-list | array, or one text | array of trimmed texts; a text is never split, `""` is `[]` |
//! | comma-list | array, or one text `a,b` | array of trimmed texts; `""` is `[]` |
//! | integer-list | array, or one text `1,2` | array of numbers; `""` is `[]` |
//! | text-map | object, array of `k=v`, one `k=v` | object of texts; `""` is `{}` |
//! | connection-string | text | text with `{{password}}`; the password is a secret |
//! | pem | text | the blocks that are no private keys; each private key is a secret |
//!
//! What always holds:
//! - A field declared `secret` is in `secrets` under its name and not in `data`: its text, the
//!   decoded bytes of a `bytes` field, or the JSON text of anything with a structure.
//! - What the path captured wins over what was sent under the same name, and has the field's
//!   type where there is such a field. It stays in `request.params` as text.
//! - `null` counts as not sent, but for the types `object` and `any`, in a PATCH, and in
//!   undeclared fields of a free-form path, where it says something.
//! - A declared default is never filled in.
//! - An error names the field and never repeats what was sent.

mod connection;
mod pem;
mod timestamp;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use host_logical::{Field, FieldType, Operation, PathDescription, PathTrait, SecretBytes};
use serde_json::{Map, Number, Value};

use crate::duration::{DurationError, GoDuration};

/// How many names a warning lists: enough to see a mistake, and no way to make answers large.
const WARNED_NAMES: usize = 100;

/// What an engine gets of what was sent.
#[derive(Default)]
pub(crate) struct Coerced {
    /// The declared fields in their types, and on free-form paths all others as they came.
    pub(crate) data: Map<String, Value>,
    /// Fields declared `secret`, and what was taken out of connection strings and PEM. A `pem`
    /// field may give several under its name.
    pub(crate) secrets: Vec<(String, SecretBytes)>,
    /// For the client, in Vault's words.
    pub(crate) warnings: Vec<String>,
}

/// What was sent does not fit the description. The text is for the client: a 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldError {
    /// A value is not of its field's type.
    #[error("Field validation failed: error converting input for field {field:?}: {fault}")]
    Conversion {
        /// As declared.
        field: String,
        /// Without the value.
        fault: Fault,
    },
    /// A required field was not sent. Vault's own engines say it with these words.
    #[error("missing {field}")]
    Missing {
        /// As declared.
        field: String,
    },
}

/// Why a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Of another kind, or not readable as this one.
    #[error("expected {0}")]
    Expected(&'static str),
    /// As Vault says it, in whole seconds.
    #[error("cannot provide negative value '{0}'")]
    Negative(i64),
    /// No duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The field allows these only.
    #[error("expected one of {0}")]
    NotAllowed(String),
    /// A password may be where it cannot be taken out with certainty.
    #[error(
        "the password in the connection string cannot be told apart: percent-encode it, or send it in its own field"
    )]
    PasswordUnclear,
    /// A private key begins and does not end.
    #[error("a private key in PEM has no proper end")]
    PemUnclosed,
}

/// Makes `data`, as it was sent to `path`, into what its engine gets. `params` is what the
/// pattern of the path captured.
pub(crate) fn coerce(
    path: &PathDescription,
    operation: Operation,
    params: &[(String, String)],
    data: Map<String, Value>,
) -> Result<Coerced, FieldError> {
    let mut coerced = Coerced::default();
    let (mut ignored, mut replaced) = (Vec::new(), Vec::new());
    let free_form = path.has(PathTrait::FreeForm);
    for (name, value) in data {
        let field = path.fields.iter().find(|field| field.name == name);
        let captured = params.iter().any(|(param, _)| *param == name);
        match field {
            Some(field) if !captured => coerced.take(field, operation, value)?,
            None if free_form => {
                coerced.data.insert(name, value);
            }
            _ if !captured => ignored.push(name),
            _ if !value.is_null() => replaced.push(name),
            _ => {}
        }
    }
    for (name, text) in params {
        if let Some(field) = path.fields.iter().find(|field| field.name == *name) {
            coerced.take(field, operation, Value::String(text.clone()))?;
        }
    }
    // A read or a delete sends no fields, and a PATCH only those that change.
    if matches!(operation, Operation::Create | Operation::Update)
        && let Some(field) = path
            .fields
            .iter()
            .find(|field| field.required && !coerced.holds(&field.name))
    {
        return Err(FieldError::Missing {
            field: field.name.clone(),
        });
    }
    coerced.warn("Endpoint ignored these unrecognized parameters", ignored);
    coerced.warn(
        "Endpoint replaced the value of these parameters with the values captured from the endpoint's path",
        replaced,
    );
    Ok(coerced)
}

impl Coerced {
    fn take(
        &mut self,
        field: &Field,
        operation: Operation,
        value: Value,
    ) -> Result<(), FieldError> {
        let says_something = operation == Operation::Patch
            || matches!(field.field_type, FieldType::Object | FieldType::Any);
        if value.is_null() {
            if says_something {
                self.data.insert(field.name.clone(), value);
            }
            return Ok(());
        }
        self.take_value(field, operation, value)
            .map_err(|fault| FieldError::Conversion {
                field: field.name.clone(),
                fault,
            })
    }

    fn take_value(
        &mut self,
        field: &Field,
        operation: Operation,
        value: Value,
    ) -> Result<(), Fault> {
        if is_left_open(field, &value) {
            return Ok(());
        }
        let name = field.name.clone();
        match (field.field_type, value) {
            // Decoded here, so that no second copy in clear is left behind.
            (FieldType::Bytes, Value::String(text)) if field.secret => {
                self.secrets
                    .push((name, SecretBytes::new(decode_base64(&text)?)));
            }
            (FieldType::ConnectionString, Value::String(text)) if !field.secret => {
                let (text, password) = connection::take_password(text)?;
                self.secrets
                    .extend(password.map(|password| (name.clone(), password)));
                self.data.insert(name, Value::String(text));
            }
            (FieldType::Pem, Value::String(text)) if !field.secret => {
                let (text, keys) = pem::take_private_keys(text)?;
                self.secrets
                    .extend(keys.into_iter().map(|key| (name.clone(), key)));
                self.data.insert(name, Value::String(text));
            }
            (field_type, value) => {
                let value = convert(field_type, operation, value)?;
                check_allowed(field, &value)?;
                if field.secret {
                    let bytes = match value {
                        Value::String(text) => text.into_bytes(),
                        other => other.to_string().into_bytes(),
                    };
                    self.secrets.push((name, SecretBytes::new(bytes)));
                } else {
                    self.data.insert(name, value);
                }
            }
        }
        Ok(())
    }

    fn holds(&self, name: &str) -> bool {
        self.data.contains_key(name) || self.secrets.iter().any(|(secret, _)| secret == name)
    }

    fn warn(&mut self, what: &str, mut names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        names.sort_unstable();
        let more = if names.len() > WARNED_NAMES {
            " ..."
        } else {
            ""
        };
        names.truncate(WARNED_NAMES);
        self.warnings
            .push(format!("{what}: [{}{more}]", names.join(" ")));
    }
}

/// Clients send `""` for what their user left open. Where that is no value of the field, it
/// counts as not sent.
fn is_left_open(field: &Field, value: &Value) -> bool {
    let has_no_empty_value = matches!(field.field_type, FieldType::Timestamp)
        || (!field.allowed.is_empty() && !field.allowed.iter().any(String::is_empty));
    has_no_empty_value && value.as_str() == Some("")
}

fn convert(field_type: FieldType, operation: Operation, value: Value) -> Result<Value, Fault> {
    match field_type {
        FieldType::Any => Ok(value),
        FieldType::Object if value.is_object() => Ok(value),
        FieldType::Object => Err(Fault::Expected("an object")),
        FieldType::Text | FieldType::ConnectionString | FieldType::Pem => {
            text(value).map(Value::String)
        }
        FieldType::LowercaseText => Ok(Value::String(text(value)?.to_lowercase())),
        FieldType::Integer => integer(&value).map(number),
        FieldType::Boolean => boolean(&value).map(Value::Bool),
        FieldType::Timestamp => timestamp::unix_millis(&value).map(number),
        FieldType::Bytes => match value {
            Value::String(text) => Ok(Value::String(BASE64.encode(decode_base64(&text)?))),
            _ => Err(Fault::Expected("base64 text")),
        },
        FieldType::Seconds => match seconds(&value)? {
            negative @ ..0 => Err(Fault::Negative(negative)),
            seconds => Ok(number(seconds)),
        },
        FieldType::SignedSeconds => seconds(&value).map(number),
        FieldType::TextList => list(value, |text| vec![text], text_element),
        FieldType::CommaList => list(value, split_at_commas, text_element),
        FieldType::IntegerList => list(value, split_at_commas, |element| {
            integer(&trimmed(element)?).map(number)
        }),
        FieldType::TextMap => text_map(value, operation),
    }
}

fn number(value: i64) -> Value {
    Value::Number(Number::from(value))
}

fn text(value: Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        // As Vault, whose decoder writes a boolean so.
        Value::Bool(value) => Ok(if value { "1" } else { "0" }.to_owned()),
        _ => Err(Fault::Expected("text")),
    }
}

fn integer(value: &Value) -> Result<i64, Fault> {
    let parsed = match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) if text.is_empty() => Some(0),
        Value::String(text) => parse_integer(text),
        _ => None,
    };
    parsed.ok_or(Fault::Expected("a whole number"))
}

/// As Go reads a number of which it is not told the base.
fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take a second sign.
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, base).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn boolean(value: &Value) -> Result<bool, Fault> {
    let parsed = match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => parse_boolean(&number.to_string()),
        Value::String(text) => parse_boolean(text),
        _ => None,
    };
    parsed.ok_or(Fault::Expected("true or false"))
}

/// The texts that Go takes, and the empty one.
fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" | "" => Some(false),
        _ => None,
    }
}

fn seconds(value: &Value) -> Result<i64, Fault> {
    match value {
        // `1.5` is no number of seconds, written as text or not.
        Value::Number(number) => Ok(GoDuration::parse(&number.to_string())?.seconds()),
        Value::String(text) => Ok(GoDuration::parse(text)?.seconds()),
        _ => Err(DurationError::Syntax.into()),
    }
}

/// A list of what `element` makes. One value alone is a list of one; a text is first cut by `split`.
fn list(
    value: Value,
    split: impl Fn(String) -> Vec<String>,
    element: impl Fn(Value) -> Result<Value, Fault>,
) -> Result<Value, Fault> {
    let values = match value {
        Value::Array(values) => values,
        Value::String(text) if text.is_empty() => vec![],
        Value::String(text) => split(text).into_iter().map(Value::String).collect(),
        Value::Number(_) | Value::Bool(_) => vec![value],
        Value::Object(_) | Value::Null => return Err(Fault::Expected("a list")),
    };
    values
        .into_iter()
        .map(element)
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

fn split_at_commas(text: String) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn text_element(value: Value) -> Result<Value, Fault> {
    trimmed(value).and_then(text).map(Value::String)
}

fn trimmed(value: Value) -> Result<Value, Fault> {
    match value {
        Value::String(text) if text.trim().len() != text.len() => {
            Ok(Value::String(text.trim().to_owned()))
        }
        other => Ok(other),
    }
}

fn text_map(value: Value, operation: Operation) -> Result<Value, Fault> {
    let expected = || Fault::Expected("an object of texts, or texts such as \"key=value\"");
    let pairs = match value {
        Value::Object(map) => {
            let texts = map.into_iter().map(|(key, value)| match value {
                // In a merge patch it takes the key away.
                Value::Null if operation == Operation::Patch => Ok((key, Value::Null)),
                value => Ok((key, Value::String(text(value).map_err(|_| expected())?))),
            });
            return texts.collect::<Result<_, _>>().map(Value::Object);
        }
        Value::String(text) if text.is_empty() => vec![],
        Value::String(_) => vec![value],
        Value::Array(values) => values,
        _ => return Err(expected()),
    };
    let texts =
        pairs.iter().map(
            |pair| match pair.as_str().and_then(|pair| pair.split_once('=')) {
                Some((key, value)) if !key.is_empty() => {
                    Ok((key.to_owned(), Value::String(value.to_owned())))
                }
                _ => Err(expected()),
            },
        );
    texts.collect::<Result<_, _>>().map(Value::Object)
}

/// Encodes with padding; decodes without asking for it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn decode_base64(text: &str) -> Result<Vec<u8>, Fault> {
    // Line breaks are passed over as in Go; the two letters of the URL alphabet are made standard.
    let standard: zeroize::Zeroizing<Vec<u8>> = text
        .bytes()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        })
        .collect::<Vec<u8>>()
        .into();
    BASE64
        .decode(&*standard)
        .map_err(|_| Fault::Expected("base64 text"))
}

fn check_allowed(field: &Field, value: &Value) -> Result<(), Fault> {
    let is_allowed = |value: &Value| match value {
        Value::String(text) => field.allowed.contains(text),
        other => field.allowed.contains(&other.to_string()),
    };
    let fits = match value {
        _ if field.allowed.is_empty() => true,
        Value::Array(values) => values.iter().all(is_allowed),
        value => is_allowed(value),
    };
    if fits {
        return Ok(());
    }
    let allowed: Vec<String> = field
        .allowed
        .iter()
        .map(|text| format!("{text:?}"))
        .collect();
    Err(Fault::NotAllowed(allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(name: &str, field_type: FieldType) -> Field {
        Field {
            name: name.to_owned(),
            field_type,
            description: String::new(),
            required: false,
            default: None,
            allowed: vec![],
            secret: false,
        }
    }

    fn path(fields: Vec<Field>) -> PathDescription {
        PathDescription {
            pattern: "x/{name}".to_owned(),
            traits: vec![],
            operations: vec![],
            fields,
            help: String::new(),
            login_name: None,
        }
    }

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    /// What comes of it, in one line of JSON each: data, secrets, warnings; or the error's text.
    fn outcome(
        path: &PathDescription,
        operation: Operation,
        params: &[(&str, &str)],
        data: Value,
    ) -> Value {
        let params: Vec<_> = params
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        match coerce(path, operation, &params, object(data)) {
            Ok(Coerced {
                data,
                secrets,
                warnings,
            }) => {
                let secrets: Vec<Value> = secrets
                    .iter()
                    .map(|(name, secret)| json!([name, String::from_utf8_lossy(secret.expose())]))
                    .collect();
                json!({ "data": data, "secrets": secrets, "warnings": warnings })
            }
            Err(err) => json!(err.to_string()),
        }
    }

    /// A field of `field_type` makes each of the first out of the second.
    #[track_caller]
    fn check(field_type: FieldType, cases: &[(Value, Value)]) {
        let path = path(vec![field("f", field_type)]);
        for (sent, expected) in cases {
            let made = outcome(&path, Operation::Update, &[], json!({ "f": sent }));
            let expected = json!({ "data": { "f": expected }, "secrets": [], "warnings": [] });
            assert_eq!(made.to_string(), expected.to_string(), "{sent}");
        }
    }

    /// A field of `field_type` refuses each, with `reason` and without repeating it.
    #[track_caller]
    fn check_refused(field_type: FieldType, reason: &str, cases: &[Value]) {
        let path = path(vec![field("f", field_type)]);
        for sent in cases {
            let made = outcome(&path, Operation::Update, &[], json!({ "f": sent }));
            let expected = format!(
                r#"Field validation failed: error converting input for field "f": {reason}"#
            );
            assert_eq!(made, json!(expected), "{sent}");
        }
    }

    fn raw(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|err| panic!("{text}: {err}"))
    }

    #[test]
    fn text_is_made_of_scalars() {
        check(
            FieldType::Text,
            &[
                (json!("a, B "), json!("a, B ")),
                (json!(""), json!("")),
                (
                    raw("12345678901234567890.10"),
                    json!("12345678901234567890.10"),
                ),
                (json!(true), json!("1")),
                (json!(false), json!("0")),
            ],
        );
        check_refused(
            FieldType::Text,
            "expected text",
            &[json!([]), json!(["a"]), json!({})],
        );
        check(
            FieldType::LowercaseText,
            &[(json!("ALICE"), json!("alice")), (json!("É"), json!("é"))],
        );
    }

    #[test]
    fn an_integer_is_a_whole_number_however_it_is_written() {
        check(
            FieldType::Integer,
            &[
                (json!(5), json!(5)),
                (json!("5"), json!(5)),
                (json!("-5"), json!(-5)),
                (json!("+5"), json!(5)),
                (json!("0x10"), json!(16)),
                (json!("010"), json!(8)),
                (json!("0"), json!(0)),
                (json!(""), json!(0)),
                (json!(i64::MAX), json!(i64::MAX)),
                (json!("-9223372036854775808"), json!(i64::MIN)),
            ],
        );
        check_refused(
            FieldType::Integer,
            "expected a whole number",
            &[
                json!(1.5),
                json!("1.5"),
                raw("1.0"),
                raw("1e3"),
                raw("9223372036854775808"),
                json!("9223372036854775808"),
                json!("0x"),
                json!("0x-1"),
                json!("--1"),
                json!("-"),
                json!("08"),
                json!("five"),
                json!(" 5"),
                json!(true),
                json!([5]),
            ],
        );
    }

    #[test]
    fn a_boolean_is_read_as_go_reads_it() {
        check(
            FieldType::Boolean,
            &[
                (json!(true), json!(true)),
                (json!("true"), json!(true)),
                (json!("True"), json!(true)),
                (json!("1"), json!(true)),
                (json!("t"), json!(true)),
                (json!(1), json!(true)),
                (json!(0), json!(false)),
                (json!("f"), json!(false)),
                (json!(""), json!(false)),
            ],
        );
        let refused = [
            json!("yes"),
            json!("tRUE"),
            json!(2),
            json!(1.0),
            json!([true]),
        ];
        check_refused(FieldType::Boolean, "expected true or false", &refused);
    }

    #[test]
    fn a_timestamp_arrives_in_milliseconds() {
        check(
            FieldType::Timestamp,
            &[
                (
                    json!("2026-01-02T03:04:05.678Z"),
                    json!(1_767_323_045_678_i64),
                ),
                (json!(1_767_323_045), json!(1_767_323_045_000_i64)),
                (json!("1767323045"), json!(1_767_323_045_000_i64)),
            ],
        );
    }

    #[test]
    fn objects_and_any_json_stay_as_they_came() {
        let deep = raw(r#"{"n":1.0,"big":123456789012345678901234567890,"null":null,"l":[{}]}"#);
        check(
            FieldType::Object,
            &[
                (deep.clone(), deep.clone()),
                (json!({}), json!({})),
                (json!(null), json!(null)),
            ],
        );
        check_refused(
            FieldType::Object,
            "expected an object",
            &[json!("{}"), json!([]), json!(1)],
        );
        check(
            FieldType::Any,
            &[
                (deep.clone(), deep),
                (json!("a"), json!("a")),
                (json!(null), json!(null)),
            ],
        );
    }

    #[test]
    fn bytes_arrive_in_one_form_of_base64() {
        check(
            FieldType::Bytes,
            &[
                (json!("+/+/AQ=="), json!("+/+/AQ==")),
                (json!("-_-_AQ"), json!("+/+/AQ==")),
                (json!("+/+/\r\nAQ==\n"), json!("+/+/AQ==")),
                (json!("AR=="), json!("AQ==")),
                (json!(""), json!("")),
            ],
        );
        let refused = [
            json!("not base64!"),
            json!("A"),
            json!("AQ=A"),
            json!(1),
            json!(["AQ=="]),
        ];
        check_refused(FieldType::Bytes, "expected base64 text", &refused);
    }

    #[test]
    fn seconds_are_read_from_every_form_of_a_duration() {
        check(
            FieldType::Seconds,
            &[
                (json!(3600), json!(3600)),
                (json!("3600"), json!(3600)),
                (json!("1h30m"), json!(5400)),
                (json!("90s"), json!(90)),
                (json!("500ms"), json!(0)),
                (json!("-500ms"), json!(0)),
                (json!("7d"), json!(604_800)),
                (json!(""), json!(0)),
            ],
        );
        let syntax = DurationError::Syntax.to_string();
        check_refused(
            FieldType::Seconds,
            &syntax,
            &[
                json!(1.5),
                json!("1.5"),
                json!("abc"),
                raw("1e3"),
                json!([1]),
            ],
        );
        check_refused(
            FieldType::Seconds,
            "duration is out of range",
            &[raw("9223372037"), json!("1000000d")],
        );
        check_refused(
            FieldType::Seconds,
            "cannot provide negative value '-5'",
            &[json!(-5), json!("-5"), json!("-5s")],
        );
        check(
            FieldType::SignedSeconds,
            &[
                (json!("-1h"), json!(-3600)),
                (json!(-5), json!(-5)),
                (json!("5m"), json!(300)),
            ],
        );
    }

    #[test]
    fn a_text_list_is_never_split_and_a_comma_list_is() {
        check(
            FieldType::TextList,
            &[
                (json!(["a,b", " c "]), json!(["a,b", "c"])),
                (json!("SELECT a, b;"), json!(["SELECT a, b;"])),
                (json!([1, true]), json!(["1", "1"])),
                (json!(""), json!([])),
                (json!([]), json!([])),
            ],
        );
        check(
            FieldType::CommaList,
            &[
                (json!("a, b ,c"), json!(["a", "b", "c"])),
                (json!("a"), json!(["a"])),
                (json!(["a,b", "c"]), json!(["a,b", "c"])),
                (json!(""), json!([])),
                (json!(5), json!(["5"])),
            ],
        );
        check_refused(FieldType::CommaList, "expected a list", &[json!({})]);
        check_refused(
            FieldType::CommaList,
            "expected text",
            &[json!(["a", null]), json!([["a"]])],
        );
    }

    #[test]
    fn an_integer_list_takes_numbers_and_texts() {
        check(
            FieldType::IntegerList,
            &[
                (json!([1, "2"]), json!([1, 2])),
                (json!("1, 2"), json!([1, 2])),
                (json!(3), json!([3])),
                (json!(""), json!([])),
            ],
        );
        check_refused(
            FieldType::IntegerList,
            "expected a whole number",
            &[json!("1,b"), json!([1.5]), json!([[1]])],
        );
    }

    #[test]
    fn a_text_map_is_an_object_or_pairs() {
        check(
            FieldType::TextMap,
            &[
                (json!({"a": 1, "b": "x=y"}), json!({"a": "1", "b": "x=y"})),
                (
                    json!(["a=1", "b=x=y", "c="]),
                    json!({"a": "1", "b": "x=y", "c": ""}),
                ),
                (json!("a=1,b=2"), json!({"a": "1,b=2"})),
                (json!(""), json!({})),
                (json!([]), json!({})),
            ],
        );
        let reason = "expected an object of texts, or texts such as \"key=value\"";
        let refused = [
            json!("a"),
            json!(["=1"]),
            json!([1]),
            json!({"a": {}}),
            json!({"a": null}),
            json!(5),
        ];
        check_refused(FieldType::TextMap, reason, &refused);
    }

    #[test]
    fn null_is_not_sent_but_where_it_says_something() {
        let mut path = path(vec![
            field("t", FieldType::Text),
            field("m", FieldType::TextMap),
        ]);
        let sent = json!({"t": null, "m": null, "free": null});
        let plain = outcome(&path, Operation::Update, &[], sent.clone());
        assert_eq!(plain["data"], json!({}));

        let patch = outcome(
            &path,
            Operation::Patch,
            &[],
            json!({"t": null, "m": {"a": null}}),
        );
        assert_eq!(patch["data"], json!({"t": null, "m": {"a": null}}));

        path.traits = vec![PathTrait::FreeForm];
        assert_eq!(
            outcome(&path, Operation::Update, &[], sent)["data"],
            json!({"free": null})
        );
    }

    #[test]
    fn a_secret_is_not_among_the_data() {
        let secret = |name: &str, field_type| Field {
            secret: true,
            ..field(name, field_type)
        };
        let path = path(vec![
            secret("password", FieldType::Text),
            secret("key", FieldType::Bytes),
            secret("document", FieldType::Object),
            secret("pin", FieldType::Integer),
            secret("url", FieldType::ConnectionString),
            field("user", FieldType::Text),
        ]);
        let sent = json!({
            "user": "alice", "password": "hunter2", "key": "aGk", "document": {"a": 1.0}, "pin": "7",
            "url": "postgres://u:p@h/d",
        });
        assert_eq!(
            outcome(&path, Operation::Update, &[], sent),
            json!({
                "data": {"user": "alice"},
                "secrets": [
                    ["password", "hunter2"], ["key", "hi"], ["document", r#"{"a":1.0}"#], ["pin", "7"],
                    ["url", "postgres://u:p@h/d"],
                ],
                "warnings": [],
            })
        );
        let refused = outcome(
            &path,
            Operation::Update,
            &[],
            json!({"password": ["hunter2"], "user": "a"}),
        );
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }

    #[test]
    fn a_secret_inside_a_field_is_taken_out() {
        let path = path(vec![
            field("connection_url", FieldType::ConnectionString),
            field("bundle", FieldType::Pem),
        ]);
        let key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----";
        let sent = json!({
            "connection_url": "postgresql://root:hunter2@db:5432/app",
            "bundle": format!("{key}\n-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"),
        });
        assert_eq!(
            outcome(&path, Operation::Update, &[], sent),
            json!({
                "data": {
                    "connection_url": "postgresql://root:{{password}}@db:5432/app",
                    "bundle": "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n",
                },
                "secrets": [["connection_url", "hunter2"], ["bundle", key]],
                "warnings": [],
            })
        );
    }

    #[test]
    fn what_the_path_captured_wins_over_the_body() {
        let path = path(vec![
            field("name", FieldType::LowercaseText),
            field("version", FieldType::Integer),
        ]);
        let params = [
            ("name", "Alice"),
            ("version", "07"),
            ("other", "kept in params"),
        ];
        assert_eq!(
            outcome(
                &path,
                Operation::Update,
                &params,
                json!({"name": "bob", "version": null, "other": "x"})
            ),
            json!({
                "data": {"name": "alice", "version": 7},
                "secrets": [],
                "warnings": ["Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [name other]"],
            })
        );
        let refused = outcome(&path, Operation::Read, &[("version", "latest")], json!({}));
        let expected = r#"Field validation failed: error converting input for field "version": expected a whole number"#;
        assert_eq!(refused, json!(expected));
    }

    #[test]
    fn unknown_fields_are_dropped_with_a_warning() {
        let mut path = path(vec![field("a", FieldType::Integer)]);
        let sent = json!({"foo": 1, "a": "1", "bar": {"x": null}});
        assert_eq!(
            outcome(&path, Operation::Update, &[], sent.clone()),
            json!({
                "data": {"a": 1},
                "secrets": [],
                "warnings": ["Endpoint ignored these unrecognized parameters: [bar foo]"],
            })
        );

        path.traits = vec![PathTrait::FreeForm];
        assert_eq!(
            outcome(&path, Operation::Update, &[("foo", "captured")], sent).to_string(),
            json!({"data": {"foo": 1, "a": 1, "bar": {"x": null}}, "secrets": [], "warnings": []})
                .to_string(),
            "what a free-form path captures under an undeclared name leaves the data alone"
        );
    }

    #[test]
    fn a_warning_stays_short_however_much_was_sent() {
        let sent: Map<String, Value> = (0..1000).map(|i| (format!("k{i:03}"), json!(i))).collect();
        let made = outcome(&path(vec![]), Operation::Update, &[], Value::Object(sent));
        let warning = made["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.ends_with("k098 k099 ...]"), "{warning}");
    }

    #[test]
    fn a_required_field_must_be_written() {
        let required = Field {
            required: true,
            ..field("role_id", FieldType::Text)
        };
        let path = path(vec![required]);
        for operation in [Operation::Create, Operation::Update] {
            assert_eq!(
                outcome(&path, operation, &[], json!({})),
                json!("missing role_id")
            );
            assert_eq!(
                outcome(&path, operation, &[], json!({"role_id": null})),
                json!("missing role_id")
            );
            assert_eq!(
                outcome(&path, operation, &[], json!({"role_id": ""}))["data"],
                json!({"role_id": ""})
            );
            assert_eq!(
                outcome(&path, operation, &[("role_id", "r")], json!({}))["data"],
                json!({"role_id": "r"})
            );
        }
        for operation in [
            Operation::Read,
            Operation::Delete,
            Operation::List,
            Operation::Patch,
        ] {
            assert_eq!(outcome(&path, operation, &[], json!({}))["data"], json!({}));
        }
    }

    #[test]
    fn only_allowed_values_pass() {
        let allowed = |name: &str, field_type, allowed: &[&str]| Field {
            allowed: allowed.iter().map(|&text| text.to_owned()).collect(),
            ..field(name, field_type)
        };
        let path = path(vec![
            allowed("type", FieldType::LowercaseText, &["rsa", "ec"]),
            allowed("bits", FieldType::Integer, &["256", "384"]),
            allowed("usage", FieldType::CommaList, &["sign", "crl"]),
        ]);
        let made = outcome(
            &path,
            Operation::Update,
            &[],
            json!({"type": "RSA", "bits": "256", "usage": "sign,crl"}),
        );
        assert_eq!(
            made["data"],
            json!({"type": "rsa", "bits": 256, "usage": ["sign", "crl"]})
        );
        let left_open = outcome(&path, Operation::Update, &[], json!({"type": ""}));
        assert_eq!(
            left_open["data"],
            json!({}),
            "clients send empty texts for what was left open"
        );

        for (sent, reason) in [
            (
                json!({"type": "dsa"}),
                r#""type": expected one of "rsa", "ec""#,
            ),
            (
                json!({"bits": 512}),
                r#""bits": expected one of "256", "384""#,
            ),
            (
                json!({"usage": ["sign", "x"]}),
                r#""usage": expected one of "sign", "crl""#,
            ),
        ] {
            let expected =
                format!("Field validation failed: error converting input for field {reason}");
            assert_eq!(
                outcome(&path, Operation::Update, &[], sent),
                json!(expected)
            );
        }
    }
}
