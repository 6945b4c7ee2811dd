//! `-output-curl-string`: a request as the line that makes it with curl.

use hyper::Method;
use hyper::header::HeaderMap;

use super::address::{Transport, Url};
use super::{Call, Settings};

/// The line. The token is not in it: the line takes it from `coffer print token`.
pub(super) fn command(settings: &Settings, call: &Call, url: &Url, headers: &HeaderMap) -> String {
    let mut words = vec!["curl".to_owned()];
    if let Transport::Unix(path) = &url.address.transport {
        words.push(format!(
            "--unix-socket {}",
            single_quoted(&path.to_string_lossy())
        ));
    }
    if settings.tls.skip_verify {
        words.push("--insecure".to_owned());
    }
    if call.method != Method::GET {
        words.push(format!("-X {}", call.method));
    }
    let files = [
        ("--cacert", &settings.tls.ca_cert),
        ("--capath", &settings.tls.ca_path),
        ("--cert", &settings.tls.client_cert),
        ("--key", &settings.tls.client_key),
    ];
    for (option, path) in files {
        if let Some(path) = path {
            words.push(format!(
                "{option} {}",
                single_quoted(&path.to_string_lossy())
            ));
        }
    }
    for (name, value) in headers {
        words.push(match name.as_str() {
            "x-vault-token" => "-H \"X-Vault-Token: $(coffer print token)\"".to_owned(),
            name => format!(
                "-H {}",
                single_quoted(&format!("{name}: {}", value.to_str().unwrap_or_default()))
            ),
        });
    }
    if let Some(body) = &call.body {
        words.push(format!(
            "-d {}",
            single_quoted(&String::from_utf8_lossy(body))
        ));
    }
    words.push(single_quoted(&url.to_string()));
    words.join(" ")
}

/// For a shell: nothing inside has a meaning.
fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}
