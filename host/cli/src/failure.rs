//! How a command ends: three exit codes, what happened, and what to try.

use std::fmt;
use std::io;

use crate::output::Console;
use crate::secret::Secret;

/// Vault's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    /// The command could not be carried out here: wrong arguments, a file that cannot be read.
    Local,
    /// The server refused, or has nothing there, or is sealed.
    Remote,
    /// No command of ours.
    Unknown,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Local => 1,
            Self::Remote => 2,
            Self::Unknown => 127,
        }
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Said on stderr: what happened, in Vault's words, and what to try.
    Told {
        exit: Exit,
        message: String,
        /// What the server sent along with its refusal, shown like any answer.
        answer: Option<Box<Secret>>,
        hint: Option<String>,
    },
    /// `-output-curl-string` asked for this line in place of the request.
    Curl(String),
    /// Nobody reads our stdout any more.
    Stdout(io::Error),
}

impl Failure {
    pub(crate) fn local(message: impl fmt::Display) -> Self {
        Self::Told {
            exit: Exit::Local,
            message: message.to_string(),
            answer: None,
            hint: None,
        }
    }

    pub(crate) fn remote(message: impl fmt::Display) -> Self {
        Self::Told {
            exit: Exit::Remote,
            message: message.to_string(),
            answer: None,
            hint: None,
        }
    }

    pub(crate) fn with_answer(self, secret: Option<Secret>) -> Self {
        match self {
            Self::Told {
                exit,
                message,
                hint,
                ..
            } => Self::Told {
                exit,
                message,
                answer: secret.map(Box::new),
                hint,
            },
            other => other,
        }
    }

    /// Adds what to try, unless something better is known already.
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Told {
                exit,
                message,
                answer,
                hint: None,
            } => Self::Told {
                exit,
                message,
                answer,
                hint: Some(text.into()),
            },
            other => other,
        }
    }

    /// `status` and `init -status` keep 2 for their own meaning.
    pub(crate) fn into_local(self) -> Self {
        match self {
            Self::Told {
                message,
                answer,
                hint,
                ..
            } => Self::Told {
                exit: Exit::Local,
                message,
                answer,
                hint,
            },
            other => other,
        }
    }

    /// Says it, and returns the exit code.
    pub(crate) fn tell(self, console: &mut Console) -> Exit {
        match self {
            Self::Told {
                exit,
                message,
                answer,
                hint,
            } => {
                console.error(&message);
                if let Some(Err(failure)) = answer.map(|secret| console.secret(&secret)) {
                    return failure.tell(console);
                }
                if let Some(hint) = hint {
                    console.note(&format!("Hint: {hint}"));
                }
                exit
            }
            Self::Curl(line) => match console.line(&line) {
                Ok(()) => Exit::Ok,
                Err(failure) => failure.tell(console),
            },
            // `coffer ... | head` is no mistake worth a line.
            Self::Stdout(err) if err.kind() == io::ErrorKind::BrokenPipe => Exit::Local,
            Self::Stdout(err) => {
                console.error(&format!("Error writing output: {err}"));
                Exit::Local
            }
        }
    }
}
