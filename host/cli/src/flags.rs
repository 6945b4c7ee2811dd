//! The flags that every command knows, under Vault's names.

use std::path::PathBuf;

use crate::duration::GoDuration;

/// Where the server is, how to reach it, and how to print what it says. `VAULT_*` variables stand in for absent flags.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct GlobalFlags {
    /// Address of the server, http, https or unix (VAULT_ADDR, else this machine's port 8200 with TLS)
    #[arg(long, global = true, value_name = "URL", alias = "agent-address")]
    pub(crate) address: Option<String>,
    /// File with the certificate authorities to trust (VAULT_CACERT)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Directory of such files (VAULT_CAPATH)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) ca_path: Option<PathBuf>,
    /// File with the certificate to show the server (VAULT_CLIENT_CERT)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// File with the key of that certificate (VAULT_CLIENT_KEY)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// Name that the server's certificate must have, if not the address's (VAULT_TLS_SERVER_NAME)
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Believe any certificate; only for trying things out (VAULT_SKIP_VERIFY)
    #[arg(long, global = true)]
    pub(crate) tls_skip_verify: bool,
    /// Do not follow the one redirect that a standby may answer (VAULT_DISABLE_REDIRECTS)
    #[arg(long, global = true)]
    pub(crate) disable_redirects: bool,
    /// Namespace to work in (VAULT_NAMESPACE)
    #[arg(long, global = true, value_name = "PATH", alias = "ns")]
    pub(crate) namespace: Option<String>,
    /// Wrap the answer in a single-use token that lasts this long (VAULT_WRAP_TTL)
    #[arg(long, global = true, value_name = "DURATION")]
    pub(crate) wrap_ttl: Option<GoDuration>,
    /// Credential for multi-factor authentication; may be repeated (VAULT_MFA)
    #[arg(long, global = true, value_name = "METHOD:CODE")]
    pub(crate) mfa: Vec<String>,
    /// Additional header of the request; may be repeated
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) header: Vec<(String, String)>,
    /// Print the request as a curl command instead of sending it
    #[arg(long, global = true)]
    pub(crate) output_curl_string: bool,
    /// Never ask for anything on the terminal
    #[arg(long, global = true)]
    pub(crate) non_interactive: bool,
    /// How to print: table, json, yaml, pretty or raw (VAULT_FORMAT, else table)
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

/// For the commands that can print a single field.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct FieldFlag {
    /// Print this field alone, exactly as it is
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
}

/// `key=value` of a flag that may be repeated.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("missing = in key/value pair: {text:?}")),
    }
}
