//! Secrets typed on a terminal, without showing them.

use std::io::{self, BufRead};
use std::os::fd::AsFd;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::output::Console;

const CTRL_C: u8 = 3;

/// Why nothing was typed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptError {
    #[error("user interrupted")]
    Interrupted,
    /// Mostly: standard input is no terminal.
    #[error("{0}")]
    Terminal(#[from] io::Error),
}

/// Asks for a line on the terminal.
pub(crate) fn hidden(console: &mut Console, label: &str) -> Result<Zeroizing<String>, PromptError> {
    let stdin = io::stdin();
    let quiet = Quiet::start(&stdin)?;
    console.prompt(label);
    let typed = line(&stdin);
    drop(quiet);
    // The person's own line break was not shown either.
    console.note("");
    typed
}

fn line(stdin: &io::Stdin) -> Result<Zeroizing<String>, PromptError> {
    let mut stdin = stdin.lock();
    // A terminal gives one line at a time.
    let typed = Zeroizing::new(stdin.fill_buf()?.to_vec());
    stdin.consume(typed.len());
    if typed.last() == Some(&CTRL_C) {
        return Err(PromptError::Interrupted);
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&typed).into_owned()))
}

/// A terminal that shows nothing of what is typed, until this is dropped.
///
/// Ctrl-C ends the line instead of the process: a process that is gone could not show the next one's input again.
struct Quiet<'t> {
    terminal: &'t io::Stdin,
    before: Termios,
}

impl<'t> Quiet<'t> {
    fn start(terminal: &'t io::Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(terminal.as_fd(), OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Where the terminal is gone, there is nothing to restore.
        let _ = tcsetattr(self.terminal.as_fd(), OptionalActions::Now, &self.before);
    }
}
