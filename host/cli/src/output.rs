//! Everything that reaches a person or a script: the console, the formats, and how an answer is shown.
//!
//! The texts are those of Vault's command line, byte for byte where scripts may look. Results go to stdout, all else to
//! stderr. This is the only file that writes to either.

pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod wrap;
pub(crate) mod yaml;

use std::io::{self, IsTerminal, Write};
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::env::Env;
use crate::failure::{Exit, Failure};
use crate::secret::Secret;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
    /// Only a few commands of Vault's have it, and none of ours so far.
    Pretty,
    /// The answer's bytes; `read` only.
    Raw,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "table" => Self::Table,
            "json" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            "pretty" => Self::Pretty,
            "raw" => Self::Raw,
            _ => return Err(format!("Invalid output format: {text}")),
        })
    }
}

/// The two streams, and the format that was asked for.
pub(crate) struct Console {
    pub(crate) format: Format,
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
    /// A person reads stdout: values end in a newline.
    stdout_is_terminal: bool,
    colour: bool,
}

impl Console {
    /// The process's own streams. Colour only where a person looks, and not against their wish.
    pub(crate) fn of_process(env: &Env) -> Self {
        let plain = env.get("NO_COLOR").is_some()
            || env.vault("CLI_NO_COLOR").is_some()
            || env.get("TERM") == Some("dumb");
        Self {
            format: Format::Table,
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            stdout_is_terminal: io::stdout().is_terminal(),
            colour: io::stderr().is_terminal() && !plain,
        }
    }

    /// A line, or several, on stdout.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// A line on stdout if results are for people; scripts that asked for JSON get none.
    pub(crate) fn table_line(&mut self, text: &str) -> Result<(), Failure> {
        if self.format == Format::Table {
            self.line(text)
        } else {
            Ok(())
        }
    }

    /// Exactly these bytes on stdout.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout
            .write_all(bytes)
            .and_then(|()| self.stdout.flush())
            .map_err(Failure::Stdout)
    }

    /// One value: its exact bytes, with a newline only for a terminal.
    pub(crate) fn value(&mut self, text: &str) -> Result<(), Failure> {
        if self.stdout_is_terminal {
            self.line(text)
        } else {
            self.bytes(text.as_bytes())
        }
    }

    pub(crate) fn warn(&mut self, text: &str) {
        self.tell("\x1b[33m", text);
    }

    pub(crate) fn error(&mut self, text: &str) {
        self.tell("\x1b[31m", text);
    }

    /// Says `text` on stderr, plainly.
    pub(crate) fn note(&mut self, text: &str) {
        // Where stderr is gone, nobody can be told that it is.
        let _ = writeln!(self.stderr, "{text}");
    }

    /// The start of a line that the person's answer completes.
    pub(crate) fn prompt(&mut self, text: &str) {
        let _ = write!(self.stderr, "{text}").and_then(|()| self.stderr.flush());
    }

    fn tell(&mut self, colour: &str, text: &str) {
        if self.colour {
            self.note(&format!("{colour}{text}\x1b[0m"))
        } else {
            self.note(text)
        }
    }

    /// `data` in the format asked for. Objects in `data` are printed in their own order as JSON: sort what has none.
    pub(crate) fn data(&mut self, data: &impl Serialize) -> Result<(), Failure> {
        let data = to_value(data)?;
        match self.format {
            Format::Table => match &data {
                Value::Object(map) => self.map(map),
                Value::Array(list) => self.keys(list),
                other => self.line(&table::go_text(other)),
            },
            _ => self.formatted(&data),
        }
    }

    /// `data` as JSON or YAML.
    fn formatted(&mut self, data: &Value) -> Result<(), Failure> {
        let text = self.format_value(data)?;
        self.line(&text)
    }

    fn format_value(&self, data: &Value) -> Result<String, Failure> {
        match self.format {
            Format::Json => Ok(json::pretty(data)),
            Format::Yaml => Ok(yaml::text(data).trim_end().to_owned()),
            Format::Pretty => Err(Failure::local(
                "Could not parse output: cannot use the pretty formatter for this type",
            )),
            Format::Table | Format::Raw => Err(Failure::local(
                "This command does not support the -format=raw option; only `coffer read` does.",
            )),
        }
    }

    /// A whole answer: its warnings, its lease, its data, its token.
    pub(crate) fn secret(&mut self, secret: &Secret) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.formatted(&to_value(secret)?);
        }
        self.warnings(secret);
        self.rows(table::secret_rows(secret))
    }

    /// The keys of a list answer: a table of them, or the list alone.
    pub(crate) fn list(&mut self, secret: &Secret, keys: &[Value]) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.formatted(&Value::Array(keys.to_vec()));
        }
        self.warnings(secret);
        self.keys(keys)
    }

    /// A list answer with what the engine says about each key.
    pub(crate) fn list_detailed(&mut self, secret: &Secret, keys: &[Value]) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.formatted(&to_value(secret)?);
        }
        self.warnings(secret);
        match secret
            .data
            .as_ref()
            .and_then(|data| data.get("key_info"))
            .and_then(Value::as_object)
        {
            Some(info) if !info.is_empty() => {
                let (header, rows) = table::detailed_list(keys, info);
                let header: Vec<&str> = header.iter().map(String::as_str).collect();
                self.line(&table::table(&header, &rows))
            }
            _ => self.keys(keys),
        }
    }

    /// A table of keys and values, sorted; nothing if there are none.
    fn map(&mut self, map: &Map<String, Value>) -> Result<(), Failure> {
        self.rows(table::map_rows(map))
    }

    fn keys(&mut self, keys: &[Value]) -> Result<(), Failure> {
        let mut rows: Vec<Vec<String>> = keys.iter().map(|key| vec![table::go_text(key)]).collect();
        rows.sort();
        if rows.is_empty() {
            Ok(())
        } else {
            self.line(&table::table(&["Keys"], &rows))
        }
    }

    fn rows(&mut self, rows: Vec<Vec<String>>) -> Result<(), Failure> {
        if rows.is_empty() {
            Ok(())
        } else {
            self.line(&table::table(&["Key", "Value"], &rows))
        }
    }

    /// One field of an answer; `field` is what was asked for, `value` what was found under it.
    pub(crate) fn field(&mut self, field: &str, value: Option<&Value>) -> Result<Exit, Failure> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Err(Failure::local(format!(
                "Field {field:?} not present in secret"
            )));
        };
        let text = match self.format {
            Format::Table | Format::Raw => table::go_text(value),
            _ => self.format_value(value)?,
        };
        self.value(&text)?;
        Ok(Exit::Ok)
    }

    /// What the server wants to be known, on stderr.
    pub(crate) fn warnings(&mut self, secret: &Secret) {
        let Some(warnings) = secret
            .warnings
            .as_ref()
            .filter(|warnings| !warnings.is_empty())
        else {
            return;
        };
        self.warn("WARNING! The following warnings were returned from Vault:\n");
        for warning in warnings {
            self.warn(&wrap::indented(&format!("* {warning}"), 2));
            self.warn("");
        }
    }
}

fn to_value(data: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(data)
        .map_err(|err| Failure::local(format!("Could not parse output: {err}")))
}
