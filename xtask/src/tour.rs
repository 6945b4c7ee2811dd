//! The README's tour, run as it is written.
//!
//! Every block marked `console` is a session: a line that begins with `$ ` is a command, what
//! follows is what it prints. A line `...` stands for any number of lines. All blocks share one
//! shell, so that what one exports the next one has.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::clients::Prepared;
use crate::server::{ROOT_TOKEN, Server};
use crate::shell::{repository, target};

/// One command, and what it is said to print.
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// Runs the tour against a dev server of its own.
pub(crate) fn run(coffer: &Path, prepared: &Prepared) -> Result<()> {
    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    let steps = steps(&readme);
    ensure!(!steps.is_empty(), "README.md has no console blocks");
    let home = target().join("tour");
    std::fs::create_dir_all(&home)?;
    let server = Server::serving(coffer, &home)?;
    let shell = Shell::start(coffer, &home, &server.address, &prepared.python)?;
    let result = follow(shell, &steps);
    drop(server);
    result
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (index, line) in readme.lines().enumerate() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    let command = command.to_owned();
                    steps.push(Step {
                        line: index + 1,
                        command,
                        expected: Vec::new(),
                    });
                }
                (None, Some(step)) => step.expected.push(line.to_owned()),
                (None, None) => {}
            },
        }
    }
    steps
}

fn follow(mut shell: Shell, steps: &[Step]) -> Result<()> {
    for step in steps {
        let printed = shell.run(&step.command)?;
        if !matches(&step.expected, &printed) {
            bail!(
                "README.md line {}: `{}` printed\n{}\nbut the tour says\n{}",
                step.line,
                step.command,
                printed.join("\n"),
                step.expected.join("\n")
            );
        }
        println!("ok: {}", step.command);
    }
    Ok(())
}

/// `...` stands for any number of lines.
fn matches(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((first, rest)) => match printed.split_first() {
            Some((line, printed)) => line.trim_end() == first && matches(rest, printed),
            None => false,
        },
    }
}

/// One shell for the whole tour. After each command it prints a mark of its own.
struct Shell {
    child: Child,
    input: std::process::ChildStdin,
    output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

const MARK: &str = "--tour: the command has ended--";

impl Shell {
    fn start(coffer: &Path, home: &Path, address: &str, python: &Path) -> Result<Self> {
        let path = std::env::var("PATH").unwrap_or_default();
        let folder = |file: &Path| file.parent().unwrap_or(file).display().to_string();
        let mut child = Command::new("bash")
            .env(
                "PATH",
                format!("{}:{}:{path}", folder(coffer), folder(python)),
            )
            .env("HOME", home)
            .env("VAULT_ADDR", address)
            .env("VAULT_TOKEN", ROOT_TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start bash")?;
        let input = child.stdin.take().context("bash has no input")?;
        let output = child.stdout.take().context("bash has no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    fn run(&mut self, command: &str) -> Result<Vec<String>> {
        writeln!(
            self.input,
            "{{ {command}\n}} </dev/null\necho; echo '{MARK}'"
        )?;
        self.input.flush()?;
        let mut printed = Vec::new();
        for line in self.output.by_ref() {
            let line = line?;
            if line == MARK {
                // The line that `echo` ended, where the command's own last line had no end.
                if printed.last().is_some_and(String::is_empty) {
                    printed.pop();
                }
                return Ok(printed);
            }
            printed.push(line);
        }
        bail!("the shell ended in `{command}`")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn dots_stand_for_any_lines_and_nothing_else_does() {
        assert!(matches(&lines("a\n...\nb"), &lines("a\nx\ny\nb")));
        assert!(matches(&lines("...\nb\n..."), &lines("b")));
        assert!(!matches(&lines("a\nb"), &lines("a\nx\nb")));
        assert!(!matches(&lines("a"), &lines("")));
        assert!(!matches(&[], &lines("a")));
    }

    #[test]
    fn a_session_is_cut_into_commands_and_what_they_print() {
        let readme = "text\n```console\n$ a b\none\ntwo\n$ c\n```\n```sh\n$ no\n```\n";
        let steps = steps(readme);
        let shown: Vec<_> = steps
            .iter()
            .map(|step| (step.command.as_str(), step.expected.len()))
            .collect();
        assert_eq!(shown, [("a b", 2), ("c", 0)]);
    }
}
