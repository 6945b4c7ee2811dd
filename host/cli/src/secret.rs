//! An answer of the server: Vault's envelope, read leniently and printed in the order that Vault's client prints it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// A token. Neither shown nor logged by accident: reading it is the visible call `expose`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// `None` for a blank text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it can stand in a header.
    pub(crate) fn is_printable(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Data of an answer, every object in it sorted by key.
pub(crate) type Data = Map<String, Value>;

/// The envelope. Fields that are absent or null read as empty, as in Vault's client.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Secret {
    #[serde(deserialize_with = "or_default")]
    pub(crate) request_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) lease_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) lease_duration: i64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) renewable: bool,
    pub(crate) data: Option<Data>,
    pub(crate) warnings: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<Auth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrap_info: Option<WrapInfo>,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) mount_type: String,
}

/// A token that was granted.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Auth {
    #[serde(serialize_with = "exposed", deserialize_with = "token")]
    pub(crate) client_token: Token,
    #[serde(deserialize_with = "or_default")]
    pub(crate) accessor: String,
    pub(crate) policies: Option<Vec<String>>,
    pub(crate) token_policies: Option<Vec<String>>,
    pub(crate) identity_policies: Option<Vec<String>>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) orphan: bool,
    #[serde(deserialize_with = "or_default")]
    pub(crate) entity_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) lease_duration: i64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) renewable: bool,
    pub(crate) mfa_requirement: Option<Value>,
}

/// Where the real answer waits.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WrapInfo {
    #[serde(serialize_with = "exposed", deserialize_with = "token")]
    pub(crate) token: Token,
    #[serde(deserialize_with = "or_default")]
    pub(crate) accessor: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ttl: i64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) creation_time: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) creation_path: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) wrapped_accessor: String,
}

impl Secret {
    /// Reads an answer's body. `None` if there is nothing in it: an empty body, or errors and nothing else.
    ///
    /// A body without any field of the envelope (`sys/seal-status` and its like) becomes the data as a whole.
    pub(crate) fn parse(body: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        let mut secret: Self = serde_json::from_slice(body)?;
        if secret == Self::default() {
            let bare: Data = serde_json::from_slice(body)?;
            if bare.contains_key("errors") {
                return Ok(None);
            }
            secret.data = (!bare.is_empty()).then_some(bare);
        }
        if let Some(data) = &mut secret.data {
            data.sort_keys();
            data.values_mut().for_each(Value::sort_all_objects);
        }
        Ok(Some(secret))
    }

    /// Whether it says anything beside its envelope.
    pub(crate) fn has_content(&self) -> bool {
        self.data.as_ref().is_some_and(|data| !data.is_empty())
            || self.warnings.as_ref().is_some_and(|w| !w.is_empty())
    }

    /// A field of the data.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.data.as_ref()?.get(key)
    }

    /// The keys, if this answers a list.
    pub(crate) fn keys(&self) -> Option<&Vec<Value>> {
        self.get("keys")?.as_array()
    }

    /// Whether the real answer has to be unwrapped.
    pub(crate) fn is_wrapped(&self) -> bool {
        self.wrap_info
            .as_ref()
            .is_some_and(|wrap_info| wrap_info.ttl != 0)
    }

    /// What `-field=name` means: a part of the token, of the wrapping, or of the data.
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        let part = match (&self.auth, &self.wrap_info, name) {
            (Some(auth), _, "token") => Value::from(auth.client_token.expose()),
            (Some(auth), _, "token_accessor") => Value::from(auth.accessor.as_str()),
            (Some(auth), _, "token_duration") => Value::from(auth.lease_duration),
            (Some(auth), _, "token_renewable") => Value::from(auth.renewable),
            (Some(auth), _, "token_policies") => names(&auth.token_policies),
            (Some(auth), _, "identity_policies") => names(&auth.identity_policies),
            (Some(auth), _, "policies") => names(&auth.policies),
            (None, Some(wrap), "wrapping_token") => Value::from(wrap.token.expose()),
            (None, Some(wrap), "wrapping_accessor") => Value::from(wrap.accessor.as_str()),
            (None, Some(wrap), "wrapping_token_ttl") => Value::from(wrap.ttl),
            (None, Some(wrap), "wrapping_token_creation_time") => {
                Value::from(wrap.creation_time.as_str())
            }
            (None, Some(wrap), "wrapping_token_creation_path") => {
                Value::from(wrap.creation_path.as_str())
            }
            (None, Some(wrap), "wrapped_accessor") => Value::from(wrap.wrapped_accessor.as_str()),
            (None, None, "lease_duration" | "refresh_interval") => Value::from(self.lease_duration),
            (None, None, "lease_id") => Value::from(self.lease_id.as_str()),
            (None, None, "request_id") => Value::from(self.request_id.as_str()),
            (None, None, "renewable") => Value::from(self.renewable),
            (None, None, "data") => self
                .get("data")
                .cloned()
                .or_else(|| self.data.clone().map(Value::Object))?,
            _ => self.get(name)?.clone(),
        };
        Some(part)
    }
}

fn names(names: &Option<Vec<String>>) -> Value {
    Value::from(names.clone().unwrap_or_default())
}

fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Token, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    Ok(text
        .and_then(|text| Token::parse(&text))
        .unwrap_or_default())
}

/// The one way out for a token: an answer that the person asked to see.
fn exposed<S: Serializer>(token: &Token, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(token.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let answer = Secret::parse(body.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&answer).unwrap(), expected);
    }

    #[test]
    fn an_envelope_is_printed_in_vaults_order_with_its_data_sorted() {
        check(
            r#"{"auth":null,"data":{"b":{"z":1,"a":2},"a":1.0},"lease_duration":60,"lease_id":null,"mount_type":"kv","request_id":"r","renewable":false,"warnings":null,"wrap_info":null}"#,
            r#"{"request_id":"r","lease_id":"","lease_duration":60,"renewable":false,"data":{"a":1.0,"b":{"a":2,"z":1}},"warnings":null,"mount_type":"kv"}"#,
        );
    }

    #[test]
    fn a_bare_answer_is_data_as_a_whole() {
        check(
            r#"{"sealed":false,"n":1}"#,
            r#"{"request_id":"","lease_id":"","lease_duration":0,"renewable":false,"data":{"n":1,"sealed":false},"warnings":null}"#,
        );
    }

    #[test]
    fn errors_alone_and_an_empty_body_are_nothing() {
        check(r#"{"errors":[]}"#, "null");
        check("", "null");
        check("\n", "null");
    }

    #[test]
    fn a_token_does_not_show_in_debug() {
        let secret = Secret::parse(br#"{"auth":{"client_token":"hvs.S"}}"#)
            .unwrap()
            .unwrap();
        assert!(!format!("{secret:?}").contains("hvs.S"));
    }
}
