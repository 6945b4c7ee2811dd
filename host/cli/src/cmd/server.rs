//! `server`: the flags of a server, and the way into it.

use std::path::PathBuf;

use host_server::{DevInfo, Ready};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::secret::Token;
use crate::token_file::TokenFile;

/// Vault's flags of `server`.
#[derive(clap::Args)]
pub(crate) struct ServerFlags {
    /// Configuration: a file, or a directory of .hcl and .json files; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Vec<PathBuf>,
    /// Start a server for trying things out: in memory, unsealed, with a KV engine at secret/
    #[arg(long)]
    pub(crate) dev: bool,
    /// Root token of the dev server (VAULT_DEV_ROOT_TOKEN_ID, else random)
    #[arg(long, value_name = "TOKEN")]
    pub(crate) dev_root_token_id: Option<String>,
    /// Where the dev server listens (VAULT_DEV_LISTEN_ADDRESS, else 127.0.0.1:8200)
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) dev_listen_address: Option<String>,
    /// Do not keep the dev server's root token for the next commands
    #[arg(long)]
    pub(crate) dev_no_store_token: bool,
    /// How much to log: trace, debug, info, warn or error (VAULT_LOG_LEVEL, else info)
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

impl ServerFlags {
    /// Puts the environment's values where no flag was given.
    fn or_environment(mut self, ctx: &Context) -> Self {
        let or = |flag: Option<String>, name: &str| {
            flag.or_else(|| ctx.env.vault(name).map(str::to_owned))
        };
        self.dev_root_token_id = or(self.dev_root_token_id, "DEV_ROOT_TOKEN_ID");
        self.dev_listen_address = or(self.dev_listen_address, "DEV_LISTEN_ADDRESS");
        self.log_level = or(self.log_level, "LOG_LEVEL");
        self
    }
}

pub(crate) fn run(ctx: &mut Context, flags: ServerFlags) -> Result<Exit, Failure> {
    let flags = flags.or_environment(ctx);
    if !flags.dev && flags.config.is_empty() {
        return Err(Failure::local(
            "Must specify at least one config path using -config",
        ));
    }
    let keep_token = flags.dev && !flags.dev_no_store_token;
    let asked = host_server::ServeFlags {
        dev: flags.dev,
        dev_root_token_id: flags.dev_root_token_id,
        dev_listen_address: flags.dev_listen_address,
        config: flags.config,
        log_level: flags.log_level,
    };
    let mut told = Ok(());
    host_server::serve_command(asked, |ready| {
        told = tell(ctx, ready, keep_token);
    })
    .map_err(|err| Failure::local(format!("Error starting the server: {}", chain(&err))))?;
    told.map(|()| Exit::Ok)
}

/// What Vault's server prints when it is ready, and where the binary is: the next commands need it.
fn tell(ctx: &mut Context, ready: &Ready, keep_token: bool) -> Result<(), Failure> {
    let mut lines = vec!["==> Coffer server configuration:".to_owned(), String::new()];
    let mut fact = |name: &str, value: &str| lines.push(format!("{name:>20}: {value}"));
    for (at, url) in ready.urls.iter().enumerate() {
        fact(&format!("Listener {}", at + 1), url);
    }
    fact("Log Level", ready.log_level.as_str());
    fact("Storage", ready.storage_type);
    fact("Version", concat!("Coffer v", env!("CARGO_PKG_VERSION")));
    fact("API of Vault", ready.api_version);
    lines.push(String::new());
    lines.push("==> Coffer server started! Log data will stream in below:".to_owned());
    lines.push(String::new());
    if let Some(dev) = &ready.dev {
        lines.push(dev_text(dev, keep_token));
    }
    ctx.console.line(&lines.join("\n"))?;
    if let (Some(dev), true) = (&ready.dev, keep_token) {
        keep(ctx, dev);
    }
    Ok(())
}

fn dev_text(dev: &DevInfo, keep_token: bool) -> String {
    let known = match keep_token {
        true => {
            "The root token is already\nauthenticated to the CLI, so you can immediately begin using Coffer."
        }
        false => "The root token is not kept\nfor the CLI: export it as below.",
    };
    let binary = std::env::current_exe().map(|path| path.display().to_string());
    format!(
        "WARNING! dev mode is enabled! In this mode, Coffer runs entirely in-memory\n\
         and starts unsealed with a single unseal key. {known}\n\n\
         You may need to set the following environment variables:\n\n\
         \x20   $ export VAULT_ADDR='{}'\n\
         \x20   $ export VAULT_TOKEN='{}'\n\n\
         The unseal key and root token are displayed below in case you want to\n\
         seal/unseal the server or re-authenticate.\n\n\
         Unseal Key: {}\n\
         Root Token: {}\n\n\
         This binary is {}\n\n\
         Development mode should NOT be used in production installations!\n",
        dev.address,
        dev.root_token.as_str(),
        dev.unseal_key.as_str(),
        dev.root_token.as_str(),
        binary.as_deref().unwrap_or("coffer"),
    )
}

/// Keeps the root token for the next commands, as Vault's dev server does. That there is no home to keep it in is no reason
/// not to serve.
fn keep(ctx: &mut Context, dev: &DevInfo) {
    let Some(token) = Token::parse(&dev.root_token) else {
        return;
    };
    let kept = match TokenFile::find(&ctx.env) {
        Some(file) => file.store(&token).map_err(|err| err.to_string()),
        None => Err("there is no home directory".to_owned()),
    };
    if let Err(why) = kept {
        let text = format!("The root token is not kept for the next commands: {why}");
        ctx.console.warn(&text);
    }
}

/// An error with all that caused it.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(": ");
        text.push_str(&err.to_string());
        cause = err.source();
    }
    text
}
