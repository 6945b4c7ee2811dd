//! `unwrap`: PUT `sys/wrapping/unwrap`, with the wrapping token in the body, or as the token if there is no other.

use serde_json::{Value, json};

use super::generic::show_list;
use crate::client::{Call, Found};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::flags::FieldFlag;
use crate::secret::Token;

#[derive(clap::Args)]
pub(crate) struct UnwrapArgs {
    /// Wrapping token; without one, the own token is it
    token: Option<String>,
    #[command(flatten)]
    field: FieldFlag,
}

pub(crate) fn run(ctx: &mut Context, args: UnwrapArgs) -> Result<Exit, Failure> {
    let mut client = ctx.client()?;
    let wrapping = args.token.as_deref().and_then(Token::parse);
    let body = match (wrapping, client.token()) {
        (Some(wrapping), Some(own)) if wrapping != *own => json!({ "token": wrapping.expose() }),
        (Some(wrapping), None) => {
            client.set_token(Some(wrapping));
            Value::Null
        }
        _ => Value::Null,
    };
    // A wrapped 404 may hold an answer, so what is read leniently is right here.
    let found = client
        .read(Call::put("sys/wrapping/unwrap", &body))
        .map_err(|err| err.while_doing("Error unwrapping"))?;
    match (found, args.field.field) {
        // A wrapped answer that is empty gives no reasons; a server that cannot unwrap does.
        (Found::Nothing { errors }, _) if !errors.is_empty() => {
            let reasons: Vec<&str> = errors.iter().map(|error| error.trim_end()).collect();
            Err(Failure::remote(format!(
                "Error unwrapping:\n\n* {}",
                reasons.join("\n* ")
            )))
        }
        (Found::Nothing { .. }, _) => {
            ctx.console
                .table_line("Successfully unwrapped. There was no data in the wrapped secret.")?;
            Ok(Exit::Ok)
        }
        (Found::Secret(secret), Some(field)) => {
            ctx.console.field(&field, secret.field(&field).as_ref())
        }
        (Found::Secret(secret), None) if secret.keys().is_some() => {
            show_list(ctx, "", Found::Secret(secret), false)
        }
        (Found::Secret(secret), None) => ctx.console.secret(&secret).map(|()| Exit::Ok),
    }
}
