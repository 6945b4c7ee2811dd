//! What a handler is asked.
//!
//! The host has already checked the request against the declaration: required fields are there,
//! and each is of its declared type, whatever the client wrote. What the path captured is a field
//! too, if there is a field of that name. The getters therefore name the type only once more; where
//! one does not fit, the declaration says something else.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{Error, Secret};

/// What is asked. [`Create`](Operation::Create) and [`Update`](Operation::Update) are both a
/// client's write; a path with an existence check tells them apart, elsewhere it is an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the words of the API")]
pub enum Operation {
    Create,
    Read,
    Update,
    Patch,
    Delete,
    List,
    Head,
}

/// One request, routed to a handler.
#[derive(Debug)]
pub struct Request {
    /// The request's id, as in the audit log.
    pub id: String,
    /// What is asked.
    pub operation: Operation,
    /// The path below the mount, percent-decoded once.
    pub path: String,
    /// Headers that the operator passes through to this mount.
    pub headers: Vec<(String, String)>,
    /// The mount that is addressed.
    pub mount: Mount,
    /// Who asks; none on unauthenticated paths.
    pub caller: Option<Caller>,
    /// The connection.
    pub peer: Peer,
    /// The body as it came, on paths with [`raw_body`](crate::Path::raw_body).
    pub raw_body: Option<RawBody>,
    params: Vec<(String, String)>,
    secrets: Vec<(String, Secret)>,
    body: Body,
}

/// Where an engine is mounted, and how.
#[derive(Clone, Debug, Default)]
pub struct Mount {
    /// With its trailing slash.
    pub path: String,
    /// Its accessor.
    pub accessor: String,
    /// In effect: the mount's, or else the system's.
    pub default_lease_ttl: Duration,
    /// In effect: the mount's, or else the system's.
    pub max_lease_ttl: Duration,
    /// As it was mounted or tuned.
    pub options: Options,
}

/// A mount's options, such as `version=2`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(pub Vec<(String, String)>);

impl Options {
    /// The value of an option, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        lookup(&self.0, name).map(String::as_str)
    }
}

/// Who asks: never the token itself.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The identity, where the token has one.
    pub entity_id: Option<String>,
    /// The token's display name.
    pub display_name: String,
    /// The token's metadata.
    pub metadata: Vec<(String, String)>,
}

/// The connection, known also where no token is.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The client's address.
    pub address: Option<String>,
    /// The chain of a TLS client as shown, leaf first, DER. The client holds the leaf's key;
    /// whether the chain is trusted is not decided yet.
    pub certificates: Vec<Vec<u8>>,
}

/// A body that need not be JSON.
#[derive(Clone, Debug)]
pub struct RawBody {
    /// As the client named it.
    pub content_type: String,
    /// As it came.
    pub bytes: Vec<u8>,
}

impl Request {
    /// What the pattern's `{name}` stands for, as it came; empty if the pattern has no such name.
    pub fn param(&self, name: &str) -> &str {
        lookup(&self.params, name).map_or("", String::as_str)
    }

    /// A text: a field that must be there, or else what the path captured.
    pub fn text(&self, name: &str) -> Result<String, Error> {
        match (self.raw(name), lookup(&self.params, name)) {
            (None, Some(text)) => Ok(text.clone()),
            _ => self.required(name),
        }
    }

    /// A whole number that must be there.
    pub fn integer(&self, name: &str) -> Result<i64, Error> {
        self.required(name)
    }

    /// A boolean that must be there.
    pub fn boolean(&self, name: &str) -> Result<bool, Error> {
        self.required(name)
    }

    /// A duration that must be there.
    pub fn seconds(&self, name: &str) -> Result<Duration, Error> {
        self.required(name).map(Duration::from_secs)
    }

    /// A list of texts that must be there.
    pub fn list(&self, name: &str) -> Result<Vec<String>, Error> {
        self.required(name)
    }

    /// A map of texts that must be there.
    pub fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        self.required(name)
    }

    /// A field of any type that must be there.
    pub fn required<'r, T: Deserialize<'r>>(&'r self, name: &str) -> Result<T, Error> {
        self.optional(name)?
            .ok_or_else(|| Error::invalid(format!("missing {name}")))
    }

    /// A field of any type, if it was sent and is not null.
    pub fn optional<'r, T: Deserialize<'r>>(&'r self, name: &str) -> Result<Option<T>, Error> {
        match self.raw(name) {
            None => Ok(None),
            Some(text) => serde_json::from_str(text).map_err(|_| unfit(name)),
        }
    }

    /// The JSON text of a field, if it was sent: `null` too, and numbers digit by digit.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.body.get(name)
    }

    /// Every field that was sent, with its JSON text.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.body
            .fields
            .iter()
            .map(|(name, range)| (name.as_str(), &self.body.text[range.clone()]))
    }

    /// All fields as they came, the text of one JSON object.
    pub fn body(&self) -> &str {
        &self.body.text
    }

    /// A field that was declared [`secret`](crate::Field::secret), if it was sent.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        lookup(&self.secrets, name)
    }

    /// The parts, as either side of the border has them.
    pub(crate) fn new(parts: Parts) -> Result<Self, Error> {
        Ok(Self {
            id: parts.id,
            operation: parts.operation,
            path: parts.path,
            headers: parts.headers,
            mount: parts.mount,
            caller: parts.caller,
            peer: parts.peer,
            raw_body: parts.raw_body,
            params: parts.params,
            secrets: parts.secrets,
            body: Body::parse(parts.data)?,
        })
    }
}

/// A request whose data is not yet indexed.
pub(crate) struct Parts {
    pub(crate) id: String,
    pub(crate) operation: Operation,
    pub(crate) path: String,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) data: Vec<u8>,
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) mount: Mount,
    pub(crate) caller: Option<Caller>,
    pub(crate) peer: Peer,
    pub(crate) raw_body: Option<RawBody>,
}

/// The text of a JSON object, and where in it the values of its members are. The values are
/// parsed when they are asked for, if at all.
#[derive(Debug)]
struct Body {
    text: String,
    fields: Vec<(String, Range<usize>)>,
}

impl Body {
    fn parse(data: Vec<u8>) -> Result<Self, Error> {
        let broken = |_| Error::internal("the host sent data that is no JSON object");
        let text = String::from_utf8(data).map_err(|_| broken(()))?;
        let fields = match text.as_str() {
            "" | "{}" => Vec::new(),
            object => {
                let mut parser = serde_json::Deserializer::from_str(object);
                parser
                    .deserialize_map(Index { text: object })
                    .map_err(|_| broken(()))?
            }
        };
        Ok(Self { text, fields })
    }

    /// Of members with the same name the last counts, as everywhere in JSON.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, range) = self.fields.iter().rev().find(|(field, _)| field == name)?;
        Some(&self.text[range.clone()])
    }
}

struct Index<'a> {
    text: &'a str,
}

impl<'de> Visitor<'de> for Index<'de> {
    type Value = Vec<(String, Range<usize>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            // `value` borrows from `text`, so the difference of their addresses is its place.
            let start = value.get().as_ptr().addr() - self.text.as_ptr().addr();
            fields.push((name, start..start + value.get().len()));
        }
        Ok(fields)
    }
}

fn lookup<'a, T>(pairs: &'a [(String, T)], name: &str) -> Option<&'a T> {
    let (_, value) = pairs.iter().find(|(key, _)| key == name)?;
    Some(value)
}

fn unfit(name: &str) -> Error {
    Error::invalid(format!("error converting input for field {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(data: &str) -> Result<Request, Error> {
        Request::new(Parts {
            id: String::new(),
            operation: Operation::Update,
            path: "roles/a".into(),
            params: vec![("name".into(), "Ann".into()), ("size".into(), "007".into())],
            data: data.into(),
            secrets: Vec::new(),
            headers: Vec::new(),
            mount: Mount::default(),
            caller: None,
            peer: Peer::default(),
            raw_body: None,
        })
    }

    #[test]
    fn fields_are_read_as_their_declared_types() {
        let data = r#"{"t": "x\n", "n":-5,"b":true, "s":90,"l":["a","b"],"m":{"k":"v"},"z":null}"#;
        let request = request(data).unwrap();
        assert_eq!(request.text("t").unwrap(), "x\n");
        assert_eq!(request.integer("n").unwrap(), -5);
        assert!(request.boolean("b").unwrap());
        assert_eq!(request.seconds("s").unwrap(), Duration::from_secs(90));
        assert_eq!(request.list("l").unwrap(), ["a", "b"]);
        assert_eq!(request.map("m").unwrap()["k"], "v");
        assert_eq!(request.optional::<String>("z").unwrap(), None);
        assert_eq!(request.raw("z"), Some("null"));
        assert_eq!(request.raw("absent"), None);
        assert_eq!(request.body(), data);
        assert_eq!(request.fields().len(), 7);
    }

    #[test]
    fn what_the_path_captured_is_text_unless_it_is_a_field() {
        let sent = request(r#"{"size":7}"#).unwrap();
        assert_eq!(sent.param("size"), "007");
        assert_eq!(sent.integer("size").unwrap(), 7);
        assert_eq!(sent.text("name").unwrap(), "Ann");
        let lowered = request(r#"{"name":"ann"}"#).unwrap();
        assert_eq!(lowered.text("name").unwrap(), "ann");
        assert_eq!(lowered.param("other"), "");
        let error = lowered.integer("name").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"error converting input for field "name""#
        );
    }

    #[test]
    fn numbers_keep_their_digits_and_the_last_of_two_members_counts() {
        let request = request(r#"{"n":9007199254740993.10,"d":1,"d":[1.0 , 2]}"#).unwrap();
        assert_eq!(request.raw("n"), Some("9007199254740993.10"));
        assert_eq!(request.raw("d"), Some("[1.0 , 2]"));
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = request("{}").unwrap().text("role").unwrap_err();
        assert_eq!(error, Error::invalid("missing role"));
    }

    #[test]
    fn what_is_no_object_is_the_hosts_fault() {
        for data in ["[]", "{", "1", "\u{0}"] {
            assert!(matches!(request(data), Err(Error::Internal(_))), "{data}");
        }
        assert!(request("").unwrap().fields().len() == 0);
    }
}
