//! `operator`: the life of a server.
//!
//! PUT `sys/init`, PUT `sys/unseal`, PUT `sys/seal`, POST `sys/rotate` and GET `sys/key-status`.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::status;
use crate::client::{Call, Client};
use crate::context::Context;
use crate::data;
use crate::failure::{Exit, Failure};
use crate::output::{table, wrap};
use crate::prompt::{self, PromptError};

const DEFAULT_SHARES: u64 = 5;
const DEFAULT_THRESHOLD: u64 = 3;

#[derive(clap::Subcommand)]
pub(crate) enum OperatorCommand {
    /// Initialize a new server: make its keys and the first root token
    Init(InitArgs),
    /// Give one unseal share; enough of them unseal the server
    Unseal(UnsealArgs),
    /// Seal the server: it forgets its keys
    Seal,
    /// Make a new encryption key for what is written from now on
    Rotate,
    /// Show the encryption key's term and age
    KeyStatus,
}

#[derive(clap::Args)]
pub(crate) struct InitArgs {
    /// Into how many shares to split the key (default: 5)
    #[arg(long, value_name = "N", alias = "n")]
    key_shares: Option<u64>,
    /// How many of them unseal (default: 3, or all if there are fewer)
    #[arg(long, value_name = "N", alias = "t")]
    key_threshold: Option<u64>,
    /// With auto-unseal: into how many shares to split the recovery key (default: 5)
    #[arg(long, value_name = "N")]
    recovery_shares: Option<u64>,
    /// With auto-unseal: how many of them recover (default: 3, or all if there are fewer)
    #[arg(long, value_name = "N")]
    recovery_threshold: Option<u64>,
    /// Only show whether the server is initialized: exit code 0 or 2
    #[arg(long)]
    status: bool,
}

#[derive(clap::Args)]
pub(crate) struct UnsealArgs {
    /// The share; "-" reads it from stdin, without one it is asked for
    key: Option<String>,
    /// Forget the shares given so far
    #[arg(long)]
    reset: bool,
    /// The share belongs to a change of the seal
    #[arg(long)]
    migrate: bool,
}

#[derive(Deserialize)]
struct InitAnswer {
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    keys_base64: Vec<String>,
    #[serde(default)]
    recovery_keys: Option<Vec<String>>,
    #[serde(default)]
    recovery_keys_base64: Option<Vec<String>>,
    root_token: String,
}

/// The answer for programs, under the names of Vault's client.
#[derive(Serialize)]
struct InitOutput<'a> {
    unseal_keys_b64: &'a [String],
    unseal_keys_hex: &'a [String],
    unseal_shares: u64,
    unseal_threshold: u64,
    recovery_keys_b64: &'a [String],
    recovery_keys_hex: &'a [String],
    recovery_keys_shares: u64,
    recovery_keys_threshold: u64,
    root_token: &'a str,
}

/// The shares that were asked for.
struct Shares {
    shares: u64,
    threshold: u64,
}

impl Shares {
    const NONE: Self = Self {
        shares: 0,
        threshold: 0,
    };

    /// What was not said is 3 of 5, or all of fewer.
    fn new(shares: Option<u64>, threshold: Option<u64>) -> Self {
        let shares = shares.unwrap_or(DEFAULT_SHARES);
        Self {
            shares,
            threshold: threshold.unwrap_or(DEFAULT_THRESHOLD.min(shares)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct KeyStatus {
    term: u64,
    install_time: String,
    encryptions: u64,
}

impl OperatorCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        match self {
            Self::Init(args) if args.status => init_status(ctx),
            Self::Init(args) => init(ctx, &args),
            Self::Unseal(args) => unseal(ctx, args),
            Self::Seal => {
                ctx.client()?
                    .write(Call::put_nothing("sys/seal"))
                    .map_err(|err| err.while_doing("Error sealing"))?;
                ctx.console.line("Success! Vault is sealed.")?;
                Ok(Exit::Ok)
            }
            Self::Rotate => {
                let mut client = ctx.client()?;
                client
                    .write(Call::post("sys/rotate", &json!({})))
                    .map_err(|err| err.while_doing("Error rotating key"))?;
                ctx.console.table_line("Success! Rotated key\n")?;
                key_status(ctx, &mut client)
            }
            Self::KeyStatus => {
                let mut client = ctx.client()?;
                key_status(ctx, &mut client)
            }
        }
    }
}

fn init_status(ctx: &mut Context) -> Result<Exit, Failure> {
    #[derive(Serialize, Deserialize)]
    struct InitStatus {
        initialized: bool,
    }
    // 2 means "not initialized" here, so every failure is 1.
    let mut client = ctx.client().map_err(Failure::into_local)?;
    let status: InitStatus = client
        .bare(Call::get("sys/init"))
        .map_err(|err| err.while_doing("Error checking init status").into_local())?;
    if ctx.is_table() {
        ctx.console.line(if status.initialized {
            "Vault is initialized"
        } else {
            "Vault is not initialized"
        })?;
    } else {
        ctx.console.data(&status)?;
    }
    Ok(if status.initialized {
        Exit::Ok
    } else {
        Exit::Remote
    })
}

fn init(ctx: &mut Context, args: &InitArgs) -> Result<Exit, Failure> {
    let mut client = ctx.client()?;
    client.leave_namespace();
    let seal: status::SealStatus = client
        .bare(Call::get("sys/seal-status").preliminary())
        .map_err(|err| err.alone())?;
    let (unseal, recovery) = if seal.recovery_seal {
        let unseal = Shares {
            shares: args.key_shares.unwrap_or(0),
            threshold: args.key_threshold.unwrap_or(0),
        };
        (
            unseal,
            Shares::new(args.recovery_shares, args.recovery_threshold),
        )
    } else {
        (
            Shares::new(args.key_shares, args.key_threshold),
            Shares::NONE,
        )
    };
    let body = json!({
        "secret_shares": unseal.shares,
        "secret_threshold": unseal.threshold,
        "pgp_keys": null,
        "recovery_shares": recovery.shares,
        "recovery_threshold": recovery.threshold,
        "recovery_pgp_keys": null,
        "root_token_pgp_key": "",
    });
    let answer: InitAnswer = client
        .bare(Call::put("sys/init", &body))
        .map_err(|err| err.while_doing("Error initializing"))?;
    if ctx.is_table() {
        tell_init(ctx, &answer, &unseal, &recovery)?
    } else {
        print_init(ctx, &answer, &unseal, &recovery)?
    }
    Ok(Exit::Ok)
}

fn print_init(
    ctx: &mut Context,
    answer: &InitAnswer,
    unseal: &Shares,
    recovery: &Shares,
) -> Result<(), Failure> {
    // No shares came back: the key is kept where the seal is, as if it were one share.
    let unseal = if answer.keys.is_empty() {
        &Shares {
            shares: 1,
            threshold: 1,
        }
    } else {
        unseal
    };
    ctx.console.data(&InitOutput {
        unseal_keys_b64: &answer.keys_base64,
        unseal_keys_hex: &answer.keys,
        unseal_shares: unseal.shares,
        unseal_threshold: unseal.threshold,
        recovery_keys_b64: answer.recovery_keys_base64.as_deref().unwrap_or_default(),
        recovery_keys_hex: answer.recovery_keys.as_deref().unwrap_or_default(),
        recovery_keys_shares: recovery.shares,
        recovery_keys_threshold: recovery.threshold,
        root_token: &answer.root_token,
    })
}

fn tell_init(
    ctx: &mut Context,
    answer: &InitAnswer,
    unseal: &Shares,
    recovery: &Shares,
) -> Result<(), Failure> {
    let mut keys = |name: &str, hex: &[String], base64: &[String]| -> Result<(), Failure> {
        let keys = if base64.len() == hex.len() {
            base64
        } else {
            hex
        };
        for (n, key) in keys.iter().enumerate() {
            ctx.console.line(&format!("{name} Key {}: {key}", n + 1))?;
        }
        Ok(())
    };
    let recovery_keys = answer.recovery_keys.as_deref().unwrap_or_default();
    keys("Unseal", &answer.keys, &answer.keys_base64)?;
    keys(
        "Recovery",
        recovery_keys,
        answer.recovery_keys_base64.as_deref().unwrap_or_default(),
    )?;
    ctx.console
        .line(&format!("\nInitial Root Token: {}\n", answer.root_token))?;

    if answer.keys.is_empty() {
        ctx.console.line("Success! Vault is initialized")?;
    } else {
        let Shares { shares, threshold } = unseal;
        let paragraphs = [
            format!(
                "Vault initialized with {shares} key shares and a key threshold of {threshold}. Please securely distribute the key \
                 shares printed above. When the Vault is re-sealed, restarted, or stopped, you must supply at least {threshold} of \
                 these keys to unseal it before it can start servicing requests."
            ),
            format!(
                "Vault does not store the generated root key. Without at least {threshold} keys to reconstruct the root key, Vault \
                 will remain permanently sealed!"
            ),
            "It is possible to generate new unseal keys, provided you have a quorum of existing unseal keys shares. See \"coffer \
             operator rekey\" for more information."
                .to_owned(),
        ];
        ctx.console
            .line(&paragraphs.map(|text| wrap::paragraph(&text)).join("\n\n"))?;
    }
    if !recovery_keys.is_empty() {
        let Shares { shares, threshold } = recovery;
        ctx.console.line("")?;
        ctx.console.line(&wrap::paragraph(&format!(
            "Recovery key initialized with {shares} key shares and a key threshold of {threshold}. Please securely distribute the \
             key shares printed above."
        )))?;
    }
    Ok(())
}

fn unseal(ctx: &mut Context, args: UnsealArgs) -> Result<Exit, Failure> {
    let mut client = ctx.client()?;
    client.leave_namespace();
    let (body, error) = if args.reset {
        (json!({ "reset": true }), "Error resetting unseal process")
    } else {
        let key = match args.key.as_deref() {
            Some("-") => data::text(ctx.stdin(), "stdin").map_err(Failure::local)?,
            Some(key) => key.to_owned(),
            None => ask_for_share(ctx)?,
        };
        (
            json!({ "key": key.trim(), "reset": false, "migrate": args.migrate }),
            "Error unsealing",
        )
    };
    let seal: status::SealStatus = client
        .bare(Call::put("sys/unseal", &body))
        .map_err(|err| err.while_doing(error))?;
    status::show(ctx, &mut client, &seal)?;
    Ok(Exit::Ok)
}

fn ask_for_share(ctx: &mut Context) -> Result<String, Failure> {
    if ctx.flags.non_interactive {
        return Err(Failure::local(wrap::paragraph(
            "Refusing to read from stdin with -non-interactive specified; specify unseal key as an argument to this command",
        )));
    }
    let share = prompt::hidden(&mut ctx.console, "Unseal Key (will be hidden): ");
    let share = share.map_err(|err| match err {
        PromptError::Interrupted => Failure::local(err),
        PromptError::Terminal(err) => {
            let text = "An error occurred attempting to ask for an unseal key. The raw error message is shown below, but \
                        usually this is because you attempted to pipe a value into the unseal command or you are \
                        executing outside of a terminal (tty). You should run the unseal command from a terminal for \
                        maximum security. If this is not an option, the unseal key can be provided as the first \
                        argument to the unseal command. The raw error was:";
            Failure::local(format!("{}\n\n{err}", wrap::paragraph(text)))
                .hint("\"-\" as the argument reads the share from a pipe")
        }
    })?;
    Ok(share.to_string())
}

fn key_status(ctx: &mut Context, client: &mut Client) -> Result<Exit, Failure> {
    let error = "Error reading key status";
    let found = client
        .write(Call::get("sys/key-status").preliminary())
        .map_err(|err| err.while_doing(error))?;
    let data = found
        .secret()
        .and_then(|secret| secret.data)
        .unwrap_or_default();
    let status: KeyStatus = serde_json::from_value(data.into())
        .map_err(|err| Failure::remote(format!("{error}: {err}")))?;
    if !ctx.is_table() {
        ctx.console.data(&status)?;
        return Ok(Exit::Ok);
    }
    let rows = [
        ["Key Term", &status.term.to_string()],
        ["Install Time", &rfc822(&status.install_time)],
        ["Encryption Count", &status.encryptions.to_string()],
    ];
    ctx.console.line(&table::columns(
        &rows.map(|row| row.map(str::to_owned).to_vec()),
    ))?;
    Ok(Exit::Ok)
}

/// `02 Jan 06 15:04 UTC`, as Vault prints it. What is no UTC time in RFC 3339 stays as it is.
fn rfc822(time: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let parts = || {
        let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
        let (year, date) = date.split_once('-')?;
        let (month, day) = date.split_once('-')?;
        let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
        Some(format!(
            "{day} {month} {} {} UTC",
            year.get(2..4)?,
            clock.get(..5)?
        ))
    };
    parts().unwrap_or_else(|| time.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_s_age_is_printed_as_vault_prints_it() {
        assert_eq!(
            rfc822("2026-01-02T15:04:05.123456789Z"),
            "02 Jan 26 15:04 UTC"
        );
        assert_eq!(rfc822("yesterday"), "yesterday");
        assert_eq!(rfc822("2026-13-02T15:04:05Z"), "2026-13-02T15:04:05Z");
    }

    #[test]
    fn fewer_shares_than_three_all_count() {
        let shares = |shares, threshold| {
            let Shares { shares, threshold } = Shares::new(shares, threshold);
            (shares, threshold)
        };
        assert_eq!(shares(None, None), (5, 3));
        assert_eq!(shares(Some(1), None), (1, 1));
        assert_eq!(shares(Some(2), None), (2, 2));
        assert_eq!(shares(Some(1), Some(3)), (1, 3));
    }
}
