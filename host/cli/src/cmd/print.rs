//! `print`: what the client would use. No request.

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::secret::Token;

#[derive(clap::Subcommand)]
pub(crate) enum PrintCommand {
    /// Print the token in use: the environment's, else the stored one
    Token,
}

impl PrintCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        let Self::Token = self;
        let client = ctx.client()?;
        ctx.console
            .line(client.token().map(Token::expose).unwrap_or_default())?;
        Ok(Exit::Ok)
    }
}
