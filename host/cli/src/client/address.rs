//! Where a server is, and the URLs under it.

use std::fmt;
use std::path::PathBuf;

use hyper::Uri;

/// A server's address: `http://host:port`, `https://host/base`, `unix:///path`.
///
/// Invariant: `base` is empty or starts with `/` and does not end with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) transport: Transport,
    base: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Http {
        authority: String,
        host: String,
        port: u16,
    },
    Https {
        authority: String,
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// An address that cannot be one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AddressError {
    #[error("parse {0:?}: not a URL")]
    NotAUrl(String),
    #[error("{0:?} has no scheme: write http://{0} or https://{0}")]
    NoScheme(String),
    #[error("unsupported protocol scheme {0:?}: it is http, https or unix")]
    Scheme(String),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Self {
                transport: Transport::Unix(PathBuf::from(path)),
                base: String::new(),
            });
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| AddressError::NotAUrl(text.to_owned()))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(AddressError::NoScheme(text.to_owned()));
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        // Without a user's name and password: they do not belong into a header.
        let named = authority
            .as_str()
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .to_owned();
        let port = match named.get(authority.host().len()..).unwrap_or_default() {
            "" => None,
            port => Some(
                port.trim_start_matches(':')
                    .parse()
                    .map_err(|_| AddressError::NotAUrl(text.to_owned()))?,
            ),
        };
        let transport = match scheme {
            "http" => Transport::Http {
                authority: named,
                host,
                port: port.unwrap_or(80),
            },
            "https" => Transport::Https {
                authority: named,
                host,
                port: port.unwrap_or(443),
            },
            other => return Err(AddressError::Scheme(other.to_owned())),
        };
        Ok(Self {
            transport,
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether nobody on the way can read along.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self.transport, Transport::Http { .. })
    }

    /// What the Host header says.
    pub(super) fn authority(&self) -> &str {
        match &self.transport {
            Transport::Http { authority, .. } | Transport::Https { authority, .. } => authority,
            Transport::Unix(_) => "localhost",
        }
    }

    /// The URL of an API path; doubled and trailing slashes vanish, as from Go's client. Dot segments stay, unlike there:
    /// the server refuses them, and a path with a slip in it never reaches another mount.
    pub(super) fn url(&self, api_path: &str, query: &[(String, String)]) -> Url {
        let mut path = self.base.clone();
        let segments = api_path.split('/').filter(|segment| !segment.is_empty());
        for segment in std::iter::once("v1").chain(segments) {
            path.push('/');
            escape(&mut path, segment, "-_.~$&+,/:;=@");
        }
        let mut escaped_query = String::new();
        for (key, value) in query {
            if !escaped_query.is_empty() {
                escaped_query.push('&');
            }
            escape(&mut escaped_query, key, "-_.~");
            escaped_query.push('=');
            escape(&mut escaped_query, value, "-_.~");
        }
        Url {
            address: self.clone(),
            path,
            query: (!escaped_query.is_empty()).then_some(escaped_query),
        }
    }
}

/// A URL, path and query percent-encoded.
#[derive(Clone, Debug)]
pub(super) struct Url {
    pub(super) address: Address,
    path: String,
    query: Option<String>,
}

impl Url {
    pub(super) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Where a `Location` header leads from here: a whole URL, or a path on the same server.
    pub(super) fn resolve(&self, location: &str) -> Option<Self> {
        let address = if location.starts_with('/') {
            self.address.clone()
        } else {
            Address::parse(location).ok()?
        };
        let uri: Uri = location.parse().ok()?;
        let query = uri.query().map(str::to_owned);
        Some(Self {
            address: Address {
                base: self.address.base.clone(),
                ..address
            },
            path: uri.path().to_owned(),
            query,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if matches!(self.address.transport, Transport::Https { .. }) {
            "https"
        } else {
            "http"
        };
        write!(
            f,
            "{scheme}://{}{}",
            self.address.authority(),
            self.path_and_query()
        )
    }
}

fn escape(out: &mut String, text: &str, allowed: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || allowed.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, path: &str, query: &[(&str, &str)], expected: &str) {
        let query: Vec<_> = query
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let url = Address::parse(address).map(|address| address.url(path, &query).to_string());
        assert_eq!(url.unwrap_or_else(|err| err.to_string()), expected);
    }

    #[test]
    fn urls_are_those_of_gos_client() {
        check(
            "http://127.0.0.1:8200",
            "secret/data/a",
            &[],
            "http://127.0.0.1:8200/v1/secret/data/a",
        );
        check(
            "http://127.0.0.1:8200/",
            "/secret//data/a/",
            &[],
            "http://127.0.0.1:8200/v1/secret/data/a",
        );
        check(
            "https://vault.example/base/",
            "sys/mounts",
            &[],
            "https://vault.example/base/v1/sys/mounts",
        );
        check(
            "http://h",
            "a/../../b/./c",
            &[],
            "http://h/v1/a/../../b/./c",
        );
        check(
            "http://h",
            "a b/ü%?#+",
            &[],
            "http://h/v1/a%20b/%C3%BC%25%3F%23+",
        );
        check(
            "http://h",
            "m",
            &[("list", "true"), ("after", "a b&c")],
            "http://h/v1/m?list=true&after=a%20b%26c",
        );
        check("http://[::1]:8200", "m", &[], "http://[::1]:8200/v1/m");
        check("http://user:pw@h:1", "m", &[], "http://h:1/v1/m");
        check("unix:///run/coffer.sock", "m", &[], "http://localhost/v1/m");
    }

    #[test]
    fn what_is_no_address_is_named() {
        check(
            "127.0.0.1:8200",
            "m",
            &[],
            r#""127.0.0.1:8200" has no scheme: write http://127.0.0.1:8200 or https://127.0.0.1:8200"#,
        );
        check(
            "ftp://h",
            "m",
            &[],
            r#"unsupported protocol scheme "ftp": it is http, https or unix"#,
        );
        check("http://h:x", "m", &[], r#"parse "http://h:x": not a URL"#);
    }

    #[test]
    fn a_redirect_keeps_to_its_server_or_names_another() {
        let from = Address::parse("https://a:1").unwrap().url("x", &[]);
        let to = |location| from.resolve(location).map(|url| url.to_string());
        assert_eq!(
            to("https://b:2/v1/x?y=1").as_deref(),
            Some("https://b:2/v1/x?y=1")
        );
        assert_eq!(to("/v1/z").as_deref(), Some("https://a:1/v1/z"));
        assert_eq!(to("z"), None);
        assert!(!from.resolve("http://b/v1/x").unwrap().address.is_private());
    }
}
