//! `server`: the flags of a server, and the way into it.

use std::path::PathBuf;

use crate::context::Context;
use crate::failure::{Exit, Failure};

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
    serve(flags)
}

/// The way into the server's crate, and the only place of the command line that knows it.
fn serve(_flags: ServerFlags) -> Result<Exit, Failure> {
    Err(Failure::local("this binary was built without the server"))
}
