//! `path-help`: what an engine says about a path. GET `<path>?help=1`, a bare answer.

use serde::Deserialize;
use serde_json::Value;

use super::trimmed;
use crate::client::Call;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::Format;

#[derive(clap::Args)]
pub(crate) struct PathHelpArgs {
    /// Path of the API
    path: String,
}

#[derive(Deserialize)]
struct Help {
    #[serde(default)]
    help: String,
    #[serde(default)]
    openapi: Value,
}

pub(crate) fn run(ctx: &mut Context, args: PathHelpArgs) -> Result<Exit, Failure> {
    let call = Call::get(trimmed(&args.path)).query([("help".to_owned(), "1".to_owned())]);
    let help: Help = ctx
        .client()?
        .bare(call)
        .map_err(|err| err.while_doing("Error retrieving help"))?;
    if ctx.console.format == Format::Json {
        ctx.console.line(&help.openapi.to_string())?
    } else {
        ctx.console.line(&help.help)?
    }
    Ok(Exit::Ok)
}
