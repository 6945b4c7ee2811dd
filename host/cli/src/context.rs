//! What every command is given: flags, environment, console, and a client made of them.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use crate::args::parse_bool;
use crate::client::{Address, Client, Settings, TlsSettings};
use crate::duration::GoDuration;
use crate::env::Env;
use crate::failure::Failure;
use crate::flags::GlobalFlags;
use crate::limits::{DEFAULT_RETRIES, REQUEST_TIMEOUT};
use crate::output::{Console, Format};
use crate::secret::Token;
use crate::token_file::TokenFile;

const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

pub(crate) struct Context {
    pub(crate) flags: GlobalFlags,
    pub(crate) env: Env,
    pub(crate) console: Console,
}

impl Context {
    /// The format that flag or environment asks for.
    pub(crate) fn wanted_format(&self) -> Result<Format, Failure> {
        let text = self
            .flags
            .format
            .as_deref()
            .or(self.env.vault("FORMAT"))
            .unwrap_or("table");
        text.parse().map_err(Failure::local)
    }

    pub(crate) fn is_table(&self) -> bool {
        self.console.format == Format::Table
    }

    /// A client with the person's token: the environment's, else the stored one, else none.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let mut client = self.client_without_token()?;
        let token = match self.env.vault("TOKEN").and_then(Token::parse) {
            Some(token) => Some(token),
            None => self.token_file()?.read().map_err(|err| {
                Failure::remote(format!("failed to get token from token helper: {err}"))
            })?,
        };
        client.set_token(token);
        Ok(client)
    }

    /// A client that knows no token yet.
    pub(crate) fn client_without_token(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.settings()?))
    }

    pub(crate) fn token_file(&self) -> Result<TokenFile, Failure> {
        TokenFile::find(&self.env).ok_or_else(|| {
            Failure::local("the token file has no place: neither HOME nor VAULT_TOKEN_PATH is set")
        })
    }

    /// Standard input, or nothing if nobody may be asked.
    pub(crate) fn stdin(&self) -> Box<dyn Read> {
        if self.flags.non_interactive {
            Box::new(io::empty())
        } else {
            Box::new(io::stdin())
        }
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let (flags, env) = (&self.flags, &self.env);
        let (address, address_from) =
            match (&flags.address, env.vault("AGENT_ADDR"), env.vault("ADDR")) {
                (Some(address), _, _) => (address.as_str(), "-address"),
                (None, Some(address), _) => (address, "VAULT_AGENT_ADDR"),
                (None, None, Some(address)) => (address, "VAULT_ADDR"),
                (None, None, None) => (DEFAULT_ADDRESS, ""),
            };
        let address = Address::parse(address).map_err(|err| {
            Failure::local(format!("failed to create client: {err}"))
                .hint("an address looks like http://127.0.0.1:8200")
        })?;

        let forbidden: Vec<&str> = flags
            .header
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| is_ours(name))
            .collect();
        if !forbidden.is_empty() {
            return Err(Failure::local(format!(
                "failed to setup Headers[{}]: Header starting by 'X-Vault-' are for internal usage only",
                forbidden.join(", ")
            )));
        }

        let path = |flag: &Option<PathBuf>, name| {
            flag.clone().or_else(|| env.vault(name).map(PathBuf::from))
        };
        Ok(Settings {
            address,
            address_from,
            tls: TlsSettings {
                ca_cert: path(&flags.ca_cert, "CACERT"),
                ca_path: path(&flags.ca_path, "CAPATH"),
                client_cert: path(&flags.client_cert, "CLIENT_CERT"),
                client_key: path(&flags.client_key, "CLIENT_KEY"),
                server_name: flags
                    .tls_server_name
                    .clone()
                    .or_else(|| env.vault("TLS_SERVER_NAME").map(str::to_owned)),
                skip_verify: flags.tls_skip_verify || self.env_bool("SKIP_VERIFY")?,
            },
            token: None,
            namespace: flags
                .namespace
                .as_deref()
                .or(env.vault("NAMESPACE"))
                .and_then(namespace),
            wrap_ttl: self.wrap_ttl()?,
            mfa: if flags.mfa.is_empty() {
                env.vault("MFA").into_iter().map(str::to_owned).collect()
            } else {
                flags.mfa.clone()
            },
            headers: flags.header.clone(),
            timeout: self.timeout()?,
            retries: self.env_number("MAX_RETRIES")?.unwrap_or(DEFAULT_RETRIES),
            follow_redirects: !(flags.disable_redirects || self.env_bool("DISABLE_REDIRECTS")?),
            output_curl: flags.output_curl_string,
        })
    }

    fn wrap_ttl(&self) -> Result<Option<String>, Failure> {
        let ttl = match (self.flags.wrap_ttl, self.env.vault("WRAP_TTL")) {
            (Some(ttl), _) => ttl,
            (None, Some(text)) => text.parse().map_err(|err| unreadable("WRAP_TTL", err))?,
            (None, None) => return Ok(None),
        };
        Ok((!ttl.is_zero()).then(|| ttl.to_string()))
    }

    fn timeout(&self) -> Result<Duration, Failure> {
        let Some(text) = self.env.vault("CLIENT_TIMEOUT") else {
            return Ok(REQUEST_TIMEOUT);
        };
        let timeout: GoDuration = text
            .parse()
            .map_err(|err| unreadable("CLIENT_TIMEOUT", err))?;
        match timeout.whole_seconds() {
            0 => Err(unreadable("CLIENT_TIMEOUT", "it must be at least a second")),
            seconds => Ok(Duration::from_secs(seconds)),
        }
    }

    fn env_bool(&self, name: &str) -> Result<bool, Failure> {
        match self.env.vault(name) {
            None => Ok(false),
            Some(text) => {
                parse_bool(text).ok_or_else(|| unreadable(name, "it is neither true nor false"))
            }
        }
    }

    fn env_number(&self, name: &str) -> Result<Option<u32>, Failure> {
        self.env
            .vault(name)
            .map(|text| text.parse().map_err(|err| unreadable(name, err)))
            .transpose()
    }
}

fn unreadable(name: &str, reason: impl std::fmt::Display) -> Failure {
    Failure::local(format!(
        "failed to read environment: could not parse VAULT_{name}: {reason}"
    ))
}

fn is_ours(header: &str) -> bool {
    header
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("X-Vault-"))
}

/// A namespace as the header has it; the root one is not named.
fn namespace(text: &str) -> Option<String> {
    match text.trim_matches('/') {
        "" | "root" => None,
        name => Some(format!("{name}/")),
    }
}
