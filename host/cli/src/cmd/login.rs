//! `login`: takes a token, asks the server about it, and keeps it for the next commands.
//!
//! GET `auth/token/lookup-self` with that token; `lookup=false` leaves it out.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::args::parse_bool;
use crate::client::Call;
use crate::context::Context;
use crate::data;
use crate::failure::{Exit, Failure};
use crate::flags::FieldFlag;
use crate::output::wrap;
use crate::prompt::{self, PromptError};
use crate::secret::{Auth, Secret, Token};

#[derive(clap::Args)]
pub(crate) struct LoginArgs {
    /// The token, or "-" to read it from stdin; without one it is asked for
    config: Vec<String>,
    /// Auth method; only token so far
    #[arg(long, value_name = "TYPE", default_value = "token")]
    method: String,
    /// Mount of the auth method, if not under the name of its type
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Do not keep the token
    #[arg(long)]
    no_store: bool,
    /// Do not print the token
    #[arg(long)]
    no_print: bool,
    /// Print the token alone, and do not keep it
    #[arg(long)]
    token_only: bool,
    #[command(flatten)]
    field: FieldFlag,
}

pub(crate) fn run(ctx: &mut Context, args: LoginArgs) -> Result<Exit, Failure> {
    let no_store = args.no_store || args.token_only;
    if no_store && args.no_print {
        return Err(Failure::local(
            "-no-store and -no-print cannot be used together",
        ));
    }
    let method = args.method.trim_matches('/');
    if method != "token" {
        let mount = args.path.as_deref().unwrap_or(method).trim_matches('/');
        return Err(Failure::local(wrap::paragraph(&format!(
            "Unknown auth method: {method}. Use \"coffer auth list\" to see the complete list of auth methods. Additionally, some \
             auth methods are only available via the HTTP API."
        )))
        .hint(format!("log in by the API: coffer write auth/{mount}/login ...")));
    }

    let (token, asks_server) = given_token(ctx, args.config)?;
    let auth = if asks_server {
        look_up(ctx, token)?
    } else {
        Auth {
            client_token: token,
            ..Auth::default()
        }
    };
    let secret = Secret {
        auth: Some(auth),
        ..Secret::default()
    };
    let token = secret
        .auth
        .as_ref()
        .map(|auth| auth.client_token.clone())
        .unwrap_or_default();
    if !no_store {
        store(ctx, &secret, &token)?;
    } else if !args.token_only {
        ctx.console.warn(&format!(
            "{}\n",
            wrap::paragraph(
                "The token was not stored in token helper. Set the VAULT_TOKEN environment variable or pass the token below with \
                 each request to Vault."
            )
        ));
    }

    let field = if args.token_only {
        Some("token".to_owned())
    } else {
        args.field.field
    };
    match field {
        _ if args.no_print => Ok(Exit::Ok),
        Some(field) => ctx.console.field(&field, secret.field(&field).as_ref()),
        None => {
            let success = wrap::paragraph(
                "Success! You are now authenticated. The token information displayed below is already stored in the token helper. \
                 You do NOT need to run \"coffer login\" again. Future Vault requests will automatically use this token.",
            );
            // Vault's client claims it with -no-store, too.
            if !no_store {
                ctx.console.table_line(&format!("{success}\n"))?;
            }
            ctx.console.secret(&secret).map(|()| Exit::Ok)
        }
    }
}

/// The token from the arguments or from the terminal, and whether the server is to be asked about it.
fn given_token(ctx: &mut Context, mut config: Vec<String>) -> Result<(Token, bool), Failure> {
    if let Some(first) = config.first_mut().filter(|first| !first.contains('=')) {
        *first = format!("token={first}");
    }
    let pairs = data::parse_query(&config, ctx.stdin())
        .map_err(|err| Failure::local(format!("Error parsing configuration: {err}")))?;
    let mut pairs: BTreeMap<String, String> = pairs.into_iter().collect();
    let asks_server = match pairs.get("lookup") {
        None => true,
        Some(text) => parse_bool(text).ok_or_else(|| {
            Failure::remote(format!(
                "Error authenticating: Failed to parse \"lookup\" as boolean: {text:?}"
            ))
        })?,
    };
    let text = match pairs.remove("token") {
        Some(token) => token,
        None => ask_for_token(ctx)?,
    };
    let none = || {
        Failure::remote(
            "Error authenticating: a token must be passed to auth, please view the help for more information",
        )
    };
    Ok((Token::parse(&text).ok_or_else(none)?, asks_server))
}

fn ask_for_token(ctx: &mut Context) -> Result<String, Failure> {
    if ctx.flags.non_interactive {
        return Err(Failure::remote(
            "Error authenticating: 'token' not supplied and refusing to pull from stdin",
        ));
    }
    let token = prompt::hidden(&mut ctx.console, "Token (will be hidden): ");
    let token = token.map_err(|err| match err {
        PromptError::Interrupted => Failure::remote(format!("Error authenticating: {err}")),
        PromptError::Terminal(err) => Failure::remote(format!(
            "Error authenticating: An error occurred attempting to ask for a token. The raw error message is shown below, \
             but usually this is because you attempted to pipe a value into the command or you are executing outside of a \
             terminal (tty). If you want to pipe the value, pass \"-\" as the argument to read from stdin. The raw error \
             was: {err}"
        )),
    })?;
    Ok(token.to_string())
}

/// The token's own description, as if a login had granted it.
fn look_up(ctx: &mut Context, token: Token) -> Result<Auth, Failure> {
    let mut client = ctx.client_without_token()?;
    client.set_token(Some(token.clone()));
    client.stop_wrapping();
    let error = "Error authenticating: error looking up token";
    let found = client
        .write(Call::get("auth/token/lookup-self"))
        .map_err(|err| err.while_doing(error))?;
    let secret = found
        .secret()
        .ok_or_else(|| Failure::remote("Error authenticating: empty response from lookup-self"))?;

    let names = |key: &str| -> Option<Vec<String>> {
        let names = secret.get(key)?.as_array()?;
        Some(
            names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        )
    };
    let token_policies = names("policies");
    let identity_policies = names("identity_policies");
    let policies = token_policies
        .iter()
        .chain(&identity_policies)
        .flatten()
        .cloned()
        .collect();
    let metadata = secret.get("meta").and_then(Value::as_object).map(|meta| {
        meta.iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    });
    let text = |key: &str| {
        secret
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Ok(Auth {
        client_token: Token::parse(&text("id")).unwrap_or(token),
        accessor: text("accessor"),
        policies: Some(policies),
        token_policies,
        identity_policies,
        metadata,
        lease_duration: secret
            .get("ttl")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        renewable: secret
            .get("renewable")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        ..Auth::default()
    })
}

fn store(ctx: &mut Context, secret: &Secret, token: &Token) -> Result<(), Failure> {
    if let Err(err) = ctx.token_file()?.store(token) {
        ctx.console.error(&format!("Error storing token: {err}"));
        let text = "Authentication was successful, but the token was not persisted. The resulting token is shown below for your \
                    records.";
        ctx.console.error(&format!("{}\n", wrap::paragraph(text)));
        ctx.console.secret(secret)?;
        return Err(Failure::remote("").hint("VAULT_TOKEN_PATH names another file for the token"));
    }
    if ctx.env.vault("TOKEN").is_some() {
        let text = "WARNING! The VAULT_TOKEN environment variable is set! The value of this variable will take precedence; if this \
                    is unwanted please unset VAULT_TOKEN or update its value accordingly.";
        ctx.console.warn(&format!("{}\n", wrap::paragraph(text)));
    }
    Ok(())
}
