//! `auth`: where auth methods are mounted. GET `sys/auth`.

use super::mounts::{self, Listing, OwnColumn};
use super::secrets::ListArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};

#[derive(clap::Subcommand)]
pub(crate) enum AuthCommand {
    /// List the mounted auth methods
    List(ListArgs),
}

impl AuthCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        let Self::List(args) = self;
        let listing = Listing {
            path: "sys/auth",
            error: "Error listing enabled authentications",
            has_version: true,
            own_column: OwnColumn::TokenType,
        };
        mounts::list(ctx, &listing, args.detailed)
    }
}
