//! `coffer`, the one binary: the server, and the command line that talks to it as any client does.
//!
//! It speaks the grammar of Vault's command line: same commands, flags, outputs and exit codes, so that habits and scripts
//! carry over, also when it is called by a link named `vault` or `bao`.
//!
//! The way of a command: [`args`] makes Vault's flags plain, [`cli`] parses them, one file of [`cmd`] does the work over
//! [`client`], [`output`] shows the answer, and [`failure`] says what went wrong and what to try.

mod args;
mod cli;
mod client;
mod cmd;
mod context;
mod data;
mod duration;
mod env;
mod failure;
mod flags;
mod kv_path;
mod limits;
mod output;
mod prompt;
mod secret;
mod token_file;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use cli::Cli;
use context::Context;
use env::Env;
use failure::{Exit, Failure};
use output::{Console, Format};

/// Memory is wiped when it is freed. Shares and secrets pass through buffers of others (HTTP, JSON, the sandbox's host side)
/// that wipe nothing themselves.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let env = Env::of_process();
    let mut console = Console::of_process(&env);
    let exit = match parse() {
        Ok(cli) => run(cli, env, console),
        Err(usage) => usage.tell(&mut console),
    };
    ExitCode::from(exit.code())
}

fn parse() -> Result<Cli, Usage> {
    let args: Result<Vec<String>, _> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.into_string())
        .collect();
    let args = args.map_err(|arg| Usage::Args(format!("argument {arg:?} is not UTF-8 text")))?;
    let root = Cli::command();
    let words = args::canonical(&root, args).map_err(|err| Usage::Args(err.to_string()))?;
    let has_command = words
        .get(1)
        .is_some_and(|word| root.find_subcommand(word).is_some());
    root.try_get_matches_from(words)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|err| Usage::Clap { err, has_command })
}

fn run(cli: Cli, env: Env, console: Console) -> Exit {
    let Cli { global, command } = cli;
    let mut ctx = Context {
        flags: global,
        env,
        console,
    };
    let done = ctx.wanted_format().and_then(|format| {
        ctx.console.format = format;
        if format == Format::Raw && !command.takes_raw() {
            return Err(Failure::local(
                "This command does not support the -format=raw option.",
            ));
        }
        command.run(&mut ctx)
    });
    done.unwrap_or_else(|failure| failure.tell(&mut ctx.console))
}

/// A command line that is no command, or asks for help.
enum Usage {
    Args(String),
    /// What clap says about it.
    Clap {
        err: clap::Error,
        /// Whether at least its first word is a command.
        has_command: bool,
    },
}

impl Usage {
    fn tell(self, console: &mut Console) -> Exit {
        let (err, has_command) = match self {
            Self::Args(message) => return Failure::local(message).tell(console),
            Self::Clap { err, has_command } => (err, has_command),
        };
        let text = err.to_string();
        if err.kind() == ErrorKind::DisplayHelp {
            return match console.line(text.trim_end()) {
                Ok(()) => Exit::Ok,
                Err(failure) => failure.tell(console),
            };
        }
        console.note(text.trim_end());
        if has_command {
            Exit::Local
        } else {
            Exit::Unknown
        }
    }
}
