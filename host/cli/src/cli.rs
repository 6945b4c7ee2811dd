//! The commands, as clap knows them.

use clap::{Parser, Subcommand};

use crate::cmd;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::flags::GlobalFlags;

/// Coffer keeps secrets. Commands and flags are those of Vault's command line; flags may have one dash or two.
#[derive(Parser)]
#[command(
    name = "coffer",
    disable_help_subcommand = true,
    arg_required_else_help = true,
    args_override_self = true
)]
#[command(subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Read data at a path
    Read(cmd::generic::ReadArgs),
    /// Write data to a path
    Write(cmd::generic::WriteArgs),
    /// Change some of the data at a path
    Patch(cmd::generic::WriteArgs),
    /// Delete what is at a path
    Delete(cmd::generic::DeleteArgs),
    /// List what is below a path
    List(cmd::generic::ListArgs),
    /// Log in, and keep the token for the next commands
    Login(cmd::login::LoginArgs),
    /// Start a server
    Server(cmd::server::ServerFlags),
    /// Show whether the server is initialized and sealed
    Status(cmd::status::StatusArgs),
    /// Unwrap a wrapped answer
    Unwrap(cmd::unwrap::UnwrapArgs),
    /// Work with auth methods
    #[command(subcommand)]
    Auth(cmd::auth::AuthCommand),
    /// Work with key/value secrets, of both versions
    #[command(subcommand)]
    Kv(cmd::kv::KvCommand),
    /// Initialize, unseal, seal and rotate
    #[command(subcommand)]
    Operator(cmd::operator::OperatorCommand),
    /// Show what a path of the API does
    PathHelp(cmd::path_help::PathHelpArgs),
    /// Work with policies
    #[command(subcommand)]
    Policy(cmd::policy::PolicyCommand),
    /// Print what the client uses
    #[command(subcommand)]
    Print(cmd::print::PrintCommand),
    /// Work with secrets engines
    #[command(subcommand)]
    Secrets(cmd::secrets::SecretsCommand),
    /// Work with tokens
    #[command(subcommand)]
    Token(cmd::token::TokenCommand),
    /// Print the version
    Version,
}

impl Command {
    /// Whether `-format=raw` makes sense.
    pub(crate) fn takes_raw(&self) -> bool {
        matches!(self, Self::Read(_))
    }

    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        match self {
            Self::Read(args) => cmd::generic::read(ctx, args),
            Self::Write(args) => cmd::generic::write(ctx, args),
            Self::Patch(args) => cmd::generic::patch(ctx, args),
            Self::Delete(args) => cmd::generic::delete(ctx, args),
            Self::List(args) => cmd::generic::list(ctx, args),
            Self::Login(args) => cmd::login::run(ctx, args),
            Self::Server(flags) => cmd::server::run(ctx, flags),
            Self::Status(args) => cmd::status::run(ctx, args),
            Self::Unwrap(args) => cmd::unwrap::run(ctx, args),
            Self::Auth(command) => command.run(ctx),
            Self::Kv(command) => command.run(ctx),
            Self::Operator(command) => command.run(ctx),
            Self::PathHelp(args) => cmd::path_help::run(ctx, args),
            Self::Policy(command) => command.run(ctx),
            Self::Print(command) => command.run(ctx),
            Self::Secrets(command) => command.run(ctx),
            Self::Token(command) => command.run(ctx),
            Self::Version => cmd::version::run(ctx),
        }
    }
}
