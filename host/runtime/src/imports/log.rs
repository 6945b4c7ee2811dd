//! `log`: a guest's lines in the server's log, under the mount and the request id.
//!
//! What a guest writes is its own affair: an engine that logs a secret has leaked it, and the host
//! cannot tell. It is bounded, and made printable, so that no line forges another.

use host_logical::{Mount, RequestId};

use crate::bindings::coffer::engine::log::{self, Level};
use crate::limits;
use crate::meter::Meter;

/// Lines that a call has left, and whether it was said that there are no more.
pub(crate) struct LogBudget {
    lines_left: u32,
}

impl LogBudget {
    pub(crate) fn new() -> Self {
        Self {
            lines_left: limits::LOG_LINES,
        }
    }
}

pub(crate) struct LogImports<'a> {
    pub(crate) meter: &'a mut Meter,
    pub(crate) budget: &'a mut LogBudget,
    pub(crate) mount: &'a Mount,
    pub(crate) request_id: &'a RequestId,
}

impl log::Host for LogImports<'_> {
    async fn log(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.meter.count()?;
        let Some(left) = self.budget.lines_left.checked_sub(1) else {
            return Ok(());
        };
        self.budget.lines_left = left;
        let (mount, request_id) = (&self.mount.path, self.request_id);
        let message = printable(&message, limits::LOG_MESSAGE_BYTES);
        let fields = join(&fields);
        match level {
            Level::Debug => {
                tracing::debug!(target: "engine", %mount, %request_id, %fields, "{message}")
            }
            Level::Info => {
                tracing::info!(target: "engine", %mount, %request_id, %fields, "{message}")
            }
            Level::Warn => {
                tracing::warn!(target: "engine", %mount, %request_id, %fields, "{message}")
            }
            Level::Error => {
                tracing::error!(target: "engine", %mount, %request_id, %fields, "{message}")
            }
        }
        if left == 0 {
            tracing::warn!(target: "engine", %mount, %request_id, "further lines of this call are left out");
        }
        Ok(())
    }
}

fn join(fields: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in fields.iter().take(limits::LOG_FIELDS) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&printable(name, limits::LOG_FIELD_BYTES));
        text.push('=');
        text.push_str(&printable(value, limits::LOG_FIELD_BYTES));
    }
    text
}

/// `text` up to about `limit_bytes`, with whatever moves a cursor or hides other text escaped.
pub(crate) fn printable(text: &str, limit_bytes: usize) -> String {
    escaped(text, limit_bytes, |_| false)
}

/// As [`printable`], of several lines: for a client, who is shown it as JSON.
pub(crate) fn printable_lines(text: &str, limit_bytes: usize) -> String {
    escaped(text, limit_bytes, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, limit_bytes: usize, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len().min(limit_bytes));
    for c in text.chars() {
        if out.len() >= limit_bytes {
            out.push('…');
            break;
        }
        let hides = matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}');
        if (c.is_control() || hides) && !stays(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another_nor_fill_the_log() {
        assert_eq!(
            printable("a\nERROR b\u{1b}[2J", 100),
            r"a\nERROR b\u{1b}[2J"
        );
        assert_eq!(printable("abc\u{202e}def", 100), r"abc\u{202e}def");
        assert_eq!(printable("ключ", 4), "кл…");
    }
}
