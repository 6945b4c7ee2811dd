//! `token`: POST `auth/token/create[/<role>]`, and lookup, renew, revoke by token, by accessor or of the own token.

use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::trimmed;
use crate::client::{Call, Found};
use crate::context::Context;
use crate::duration::GoDuration;
use crate::failure::{Exit, Failure};
use crate::flags::{FieldFlag, pair};
use crate::secret::Token;

#[derive(clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token
    Create(Box<CreateArgs>),
    /// Show what is known about a token
    Lookup(LookupArgs),
    /// Renew a token's lease
    Renew(RenewArgs),
    /// Revoke a token, its children and its leases
    Revoke(RevokeArgs),
    /// Show what a token may do at a path
    Capabilities {
        /// Token, or the path if there is only one argument
        token_or_path: String,
        /// Path
        path: Option<String>,
    },
}

#[derive(clap::Args)]
pub(crate) struct CreateArgs {
    /// Value of the token, instead of a random one; needs sudo
    #[arg(long, value_name = "TOKEN")]
    id: Option<String>,
    /// Name that shows up in audit logs
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,
    /// Lifetime
    #[arg(long, value_name = "DURATION")]
    ttl: Option<GoDuration>,
    /// Lifetime that no renewal can exceed
    #[arg(long, value_name = "DURATION")]
    explicit_max_ttl: Option<GoDuration>,
    /// Lifetime that every renewal sets anew; needs sudo
    #[arg(long, value_name = "DURATION")]
    period: Option<GoDuration>,
    /// Whether it can be renewed
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    renewable: bool,
    /// Let it live on when the own token is revoked; needs sudo
    #[arg(long)]
    orphan: bool,
    /// Leave the policy "default" out
    #[arg(long)]
    no_default_policy: bool,
    /// How often it can be used; 0: without limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    use_limit: u64,
    /// Create it by this role
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    role: String,
    /// service or batch
    #[arg(long, value_name = "TYPE", default_value = "service")]
    r#type: String,
    /// Metadata: key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Policy; may be repeated
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Alias of the entity to create it for; only with a role
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    entity_alias: String,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct LookupArgs {
    /// Token; without one, the own
    token: Option<String>,
    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct RenewArgs {
    /// Token; without one, the own
    token: Option<String>,
    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,
    /// Lifetime to ask for
    #[arg(long, value_name = "DURATION", alias = "i")]
    increment: Option<GoDuration>,
}

#[derive(clap::Args)]
pub(crate) struct RevokeArgs {
    /// Token
    token: Option<String>,
    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,
    /// Revoke the own token
    #[arg(long = "self")]
    own: bool,
    /// orphan: let the children live on; path: the argument is a prefix of login paths
    #[arg(
        long,
        value_name = "MODE",
        default_value = "",
        hide_default_value = true
    )]
    mode: String,
}

/// The body of a creation. Zero lifetimes and empty names mean that nothing was said.
#[derive(Serialize)]
struct Create {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
    ttl: String,
    explicit_max_ttl: String,
    period: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_parent: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_default_policy: bool,
    display_name: String,
    num_uses: u64,
    renewable: bool,
    r#type: String,
    entity_alias: String,
}

impl TokenCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        match self {
            Self::Create(args) => create(ctx, *args),
            Self::Lookup(args) => lookup(ctx, args),
            Self::Renew(args) => renew(ctx, args),
            Self::Revoke(args) => revoke(ctx, args),
            Self::Capabilities {
                token_or_path,
                path: None,
            } => capabilities(ctx, None, &token_or_path),
            Self::Capabilities {
                token_or_path,
                path: Some(path),
            } => capabilities(ctx, Some(&token_or_path), &path),
        }
    }
}

fn create(ctx: &mut Context, args: CreateArgs) -> Result<Exit, Failure> {
    let ttl = |ttl: Option<GoDuration>| ttl.unwrap_or_default().to_string();
    let body = Create {
        id: args.id,
        policies: args.policy,
        meta: args.metadata.into_iter().collect(),
        ttl: ttl(args.ttl),
        explicit_max_ttl: ttl(args.explicit_max_ttl),
        period: ttl(args.period),
        no_parent: args.orphan,
        no_default_policy: args.no_default_policy,
        display_name: args.display_name,
        num_uses: args.use_limit,
        // A batch token is not kept, so nothing could be renewed.
        renewable: args.renewable && args.r#type != "batch",
        r#type: args.r#type,
        entity_alias: args.entity_alias,
    };
    let path = if args.role.is_empty() {
        "auth/token/create".to_owned()
    } else {
        format!("auth/token/create/{}", args.role)
    };
    let call = Call::post(path, &serde_json::to_value(body).map_err(Failure::local)?);
    let found = ctx
        .client()?
        .write(call)
        .map_err(|err| err.while_doing("Error creating token"))?;
    show(ctx, found, args.field.field.as_deref())
}

fn lookup(ctx: &mut Context, args: LookupArgs) -> Result<Exit, Failure> {
    let call = match (given(args.token), args.accessor) {
        (None, true) => {
            return Err(Failure::local(
                "Not enough arguments with -accessor (expected 1, got 0)",
            ));
        }
        (None, false) => Call::get("auth/token/lookup-self"),
        (Some(accessor), true) => Call::post(
            "auth/token/lookup-accessor",
            &json!({ "accessor": accessor }),
        ),
        (Some(token), false) => Call::post("auth/token/lookup", &json!({ "token": token })),
    };
    let found = ctx
        .client()?
        .write(call)
        .map_err(|err| err.while_doing("Error looking up token"))?;
    show(ctx, found, args.field.field.as_deref())
}

fn renew(ctx: &mut Context, args: RenewArgs) -> Result<Exit, Failure> {
    let increment = args.increment.unwrap_or_default().whole_seconds();
    let call = match (given(args.token), args.accessor) {
        (None, true) => {
            return Err(Failure::local(
                "Not enough arguments with -accessor (expected 1, got 0)",
            ));
        }
        (None, false) => Call::put("auth/token/renew-self", &json!({ "increment": increment })),
        (Some(accessor), true) => Call::post(
            "auth/token/renew-accessor",
            &json!({ "accessor": accessor, "increment": increment }),
        ),
        (Some(token), false) => Call::put(
            "auth/token/renew",
            &json!({ "token": token, "increment": increment }),
        ),
    };
    let found = ctx
        .client()?
        .write(call)
        .map_err(|err| err.while_doing("Error renewing token"))?;
    show(ctx, found, None)
}

fn revoke(ctx: &mut Context, args: RevokeArgs) -> Result<Exit, Failure> {
    let wrong = |text: &str| Err(Failure::local(text));
    let call = match (
        given(args.token),
        args.own,
        args.accessor,
        args.mode.as_str(),
    ) {
        (_, _, _, mode) if !matches!(mode, "" | "orphan" | "path") => {
            return wrong(&format!("Invalid mode: {mode}"));
        }
        (Some(_), true, ..) => return wrong("Too many arguments with -self (expected 0, got 1)"),
        (None, false, ..) => return wrong("Not enough arguments (expected 1 or -self, got 0)"),
        (_, true, true, _) => return wrong("Cannot use -self with -accessor!"),
        (_, true, _, "orphan" | "path") => return wrong("Cannot use -self with -mode!"),
        (_, _, true, mode @ ("orphan" | "path")) => {
            return wrong(&format!("Cannot use -accessor with -mode={mode}!"));
        }
        (None, true, ..) => Call::put("auth/token/revoke-self", &Value::Null),
        (Some(accessor), _, true, _) => Call::post(
            "auth/token/revoke-accessor",
            &json!({ "accessor": accessor }),
        ),
        (Some(token), _, _, "orphan") => {
            Call::put("auth/token/revoke-orphan", &json!({ "token": token }))
        }
        (Some(prefix), _, _, "path") => {
            Call::put_nothing(format!("sys/leases/revoke-prefix/{}", trimmed(&prefix)))
        }
        (Some(token), ..) => Call::put("auth/token/revoke", &json!({ "token": token })),
    };
    ctx.client()?
        .write(call)
        .map_err(|err| err.while_doing("Error revoking token"))?;
    ctx.console.line("Success! Revoked token (if it existed)")?;
    Ok(Exit::Ok)
}

fn capabilities(ctx: &mut Context, token: Option<&str>, path: &str) -> Result<Exit, Failure> {
    let mut client = ctx.client()?;
    let (endpoint, token) = match token {
        Some(token) => ("sys/capabilities", token.to_owned()),
        None => (
            "sys/capabilities-self",
            client
                .token()
                .map(Token::expose)
                .unwrap_or_default()
                .to_owned(),
        ),
    };
    let call = Call::post(endpoint, &json!({ "token": token, "path": path }));
    let found = client
        .write(call)
        .map_err(|err| err.while_doing("Error listing capabilities"))?;
    let secret = found.secret();
    let told = secret
        .as_ref()
        .and_then(|secret| secret.get(path).or_else(|| secret.get("capabilities")));
    let Some(told) = told.and_then(Value::as_array) else {
        return Err(Failure::local("No capabilities found"));
    };
    if !ctx.is_table() {
        ctx.console.data(told)?;
        return Ok(Exit::Ok);
    }
    let mut names: Vec<&str> = told.iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    ctx.console.line(&names.join(", "))?;
    Ok(Exit::Ok)
}

fn given(argument: Option<String>) -> Option<String> {
    argument
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

fn show(ctx: &mut Context, found: Found, field: Option<&str>) -> Result<Exit, Failure> {
    let Found::Secret(secret) = found else {
        return Ok(Exit::Ok);
    };
    match field {
        Some(field) => ctx.console.field(field, secret.field(field).as_ref()),
        None => ctx.console.secret(&secret).map(|()| Exit::Ok),
    }
}
