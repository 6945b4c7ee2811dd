//! Vault's flag grammar, made plain for clap.
//!
//! Go's flags are `-name`, `--name`, `-name=value` or `-name value`; the value is the next argument whatever it looks
//! like, and switches never take one. [`canonical`] rewrites a command line so that nothing is left to guess: the command
//! words, then each flag as `--name=value`, then `--`, then the positional arguments in their order. Flags may stand
//! anywhere; `-` alone is a positional argument (standard input), as is `-5`, and everything after `--`.

use std::any::TypeId;

use clap::{Arg, ArgAction, Command};

/// A flag that cannot be read, in Go's words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ArgsError {
    #[error("flag needs an argument: -{0}")]
    NeedsValue(String),
    #[error("invalid boolean value {value:?} for -{name}: parse error")]
    NotABoolean { name: String, value: String },
}

/// `args` (without the program's name) as clap reads them, the program's name in front.
pub(crate) fn canonical(
    root: &Command,
    args: impl IntoIterator<Item = String>,
) -> Result<Vec<String>, ArgsError> {
    let mut args = args.into_iter().peekable();
    let mut command = root;
    let mut words = vec![root.get_name().to_owned()];
    let mut flags: Vec<String> = Vec::new();
    let mut positionals: Vec<String> = Vec::new();

    while let Some(arg) = args.next() {
        if arg == "--" {
            positionals.extend(args);
            break;
        }
        let Some((name, inline)) = flag(&arg) else {
            if !positionals.is_empty() {
                positionals.push(arg);
            } else if let Some(next) = command.find_subcommand(&arg) {
                words.push(next.get_name().to_owned());
                command = next;
            } else if words.len() == 1 && arg == "help" {
                flags.push("--help".to_owned());
            } else if command.has_subcommands() {
                // Not a command of ours: clap says so, and what is near.
                words.push(arg);
                return Ok(words);
            } else {
                positionals.push(arg);
            }
            continue;
        };
        match (name, find(root, command, name)) {
            (_, Some(known)) => {
                let long = known.get_long().unwrap_or(name);
                match kind(known) {
                    Kind::Switch => {
                        flags.retain(|flag| flag.strip_prefix("--") != Some(long));
                        if inline.truth(name)? {
                            flags.push(format!("--{long}"));
                        }
                    }
                    Kind::Boolean => flags.push(format!("--{long}={}", inline.truth(name)?)),
                    Kind::Valued => {
                        let value = match inline {
                            Inline(Some(value)) => value.to_owned(),
                            Inline(None) => args
                                .next()
                                .ok_or_else(|| ArgsError::NeedsValue(name.to_owned()))?,
                        };
                        flags.push(format!("--{long}={value}"));
                    }
                }
            }
            ("h" | "help", None) => flags.push("--help".to_owned()),
            ("v" | "version", None) if words.len() == 1 && args.peek().is_none() => {
                words.push("version".to_owned())
            }
            // Not a flag of ours: clap says so, and what is near.
            (_, None) => flags.push(format!("--{name}")),
        }
    }

    words.append(&mut flags);
    if !positionals.is_empty() {
        words.push("--".to_owned());
        words.append(&mut positionals);
    }
    Ok(words)
}

/// The value behind a flag's `=`, if there is one.
struct Inline<'a>(Option<&'a str>);

impl Inline<'_> {
    /// A boolean as Go's `strconv.ParseBool` reads it; given without a value it is true.
    fn truth(&self, name: &str) -> Result<bool, ArgsError> {
        match self.0 {
            None => Ok(true),
            Some(value) => parse_bool(value).ok_or_else(|| ArgsError::NotABoolean {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
        }
    }
}

/// The spellings of a boolean that Go takes.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `arg` as a flag: its name and the value behind `=`. Names start with a letter, so `-`, `-5` and `---` are none.
fn flag(arg: &str) -> Option<(&str, Inline<'_>)> {
    let body = arg.strip_prefix('-')?;
    let body = body.strip_prefix('-').unwrap_or(body);
    if !body.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    Some(match body.split_once('=') {
        Some((name, value)) => (name, Inline(Some(value))),
        None => (body, Inline(None)),
    })
}

/// The flag called `name` that `command` knows, of its own or from everywhere.
fn find<'c>(root: &'c Command, command: &'c Command, name: &str) -> Option<&'c Arg> {
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    command.get_arguments().chain(global).find(|arg| {
        arg.get_long() == Some(name)
            || arg
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&name))
    })
}

enum Kind {
    /// Off unless given.
    Switch,
    /// Takes `=false`, and not giving it is a third state.
    Boolean,
    Valued,
}

fn kind(arg: &Arg) -> Kind {
    match arg.get_action() {
        ArgAction::SetTrue => Kind::Switch,
        _ if arg.get_value_parser().type_id() == TypeId::of::<bool>() => Kind::Boolean,
        _ => Kind::Valued,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use expect_test::{Expect, expect};

    use super::*;

    fn check(lines: &[&str], expected: Expect) {
        let root = crate::cli::Cli::command();
        let answers: Vec<String> = lines
            .iter()
            .map(
                |line| match canonical(&root, line.split_whitespace().map(str::to_owned)) {
                    Ok(words) => format!("{line}\n    {}\n", words[1..].join(" ")),
                    Err(err) => format!("{line}\n    error: {err}\n"),
                },
            )
            .collect();
        expected.assert_eq(&answers.concat());
    }

    #[test]
    fn every_spelling_of_a_flag_means_the_same() {
        check(
            &[
                "kv get -format=json secret/a",
                "kv get --format=json secret/a",
                "kv get -format json secret/a",
                "kv get secret/a --format json",
                "-format=json kv get secret/a",
                "kv -format json get secret/a",
                "operator init -n 1 -t=1",
                "kv list -ns team secret/",
            ],
            expect![[r#"
                kv get -format=json secret/a
                    kv get --format=json -- secret/a
                kv get --format=json secret/a
                    kv get --format=json -- secret/a
                kv get -format json secret/a
                    kv get --format=json -- secret/a
                kv get secret/a --format json
                    kv get --format=json -- secret/a
                -format=json kv get secret/a
                    kv get --format=json -- secret/a
                kv -format json get secret/a
                    kv get --format=json -- secret/a
                operator init -n 1 -t=1
                    operator init --key-shares=1 --key-threshold=1
                kv list -ns team secret/
                    kv list --namespace=team -- secret/
            "#]],
        );
    }

    #[test]
    fn a_value_is_taken_whatever_it_looks_like_and_a_switch_takes_none() {
        check(
            &[
                "kv get -field -x secret/a",
                "kv put -cas -1 secret/a k=v",
                "kv put -cas=0 secret/a k=-v n=-5 -",
                "write -force auth/x",
                "write -f auth/x",
                "secrets list -detailed=false",
                "secrets list -detailed -detailed=0",
                "secrets list -detailed=T",
                "token create -renewable=false -orphan",
                "kv metadata put -cas-required secret/a",
            ],
            expect![[r#"
                kv get -field -x secret/a
                    kv get --field=-x -- secret/a
                kv put -cas -1 secret/a k=v
                    kv put --cas=-1 -- secret/a k=v
                kv put -cas=0 secret/a k=-v n=-5 -
                    kv put --cas=0 -- secret/a k=-v n=-5 -
                write -force auth/x
                    write --force -- auth/x
                write -f auth/x
                    write --force -- auth/x
                secrets list -detailed=false
                    secrets list
                secrets list -detailed -detailed=0
                    secrets list
                secrets list -detailed=T
                    secrets list --detailed
                token create -renewable=false -orphan
                    token create --renewable=false --orphan
                kv metadata put -cas-required secret/a
                    kv metadata put --cas-required=true -- secret/a
            "#]],
        );
    }

    #[test]
    fn what_is_not_a_flag_stays_an_argument() {
        check(
            &[
                "kv put secret/a -",
                "kv put secret/a -5",
                "kv put secret/a -- -format=json k=v",
                "write secret/a list read=kv",
                "login -",
            ],
            expect![[r#"
                kv put secret/a -
                    kv put -- secret/a -
                kv put secret/a -5
                    kv put -- secret/a -5
                kv put secret/a -- -format=json k=v
                    kv put -- secret/a -format=json k=v
                write secret/a list read=kv
                    write -- secret/a list read=kv
                login -
                    login -- -
            "#]],
        );
    }

    #[test]
    fn help_and_version_have_every_spelling_that_vault_has() {
        check(
            &[
                "-h",
                "kv get -help",
                "help kv get",
                "-v",
                "--version",
                "kv get -version 2 secret/a",
            ],
            expect![[r#"
                -h
                    --help
                kv get -help
                    kv get --help
                help kv get
                    kv get --help
                -v
                    version
                --version
                    version
                kv get -version 2 secret/a
                    kv get --version=2 -- secret/a
            "#]],
        );
    }

    #[test]
    fn mistakes_are_left_to_clap_or_named_in_gos_words() {
        check(
            &[
                "kv gett secret/a",
                "kv get -formt=json secret/a",
                "kv get -format",
                "secrets list -detailed=maybe",
            ],
            expect![[r#"
                kv gett secret/a
                    kv gett
                kv get -formt=json secret/a
                    kv get --formt -- secret/a
                kv get -format
                    error: flag needs an argument: -format
                secrets list -detailed=maybe
                    error: invalid boolean value "maybe" for -detailed: parse error
            "#]],
        );
    }

    #[test]
    fn clap_finds_the_definitions_sound() {
        crate::cli::Cli::command().debug_assert();
    }
}
