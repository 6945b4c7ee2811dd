//! How a call ended. An answer is in [`crate::convert`]; here are the other two: the engine said no,
//! or it came to no answer. The only place that looks inside a wasmtime error.

use host_logical::{EngineError, Refusal};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use crate::bindings::coffer::engine::types;
use crate::imports::{printable, printable_lines};
use crate::instance::CallState;
use crate::limits;

/// What an engine refuses, in the words that it chose.
pub(crate) fn refusal(error: types::Error) -> EngineError {
    let cut = |text: String| printable_lines(&text, limits::REFUSAL_BYTES);
    EngineError::Refused(match error {
        types::Error::InvalidRequest(text) => Refusal::InvalidRequest(cut(text)),
        types::Error::PermissionDenied(text) => Refusal::PermissionDenied(cut(text)),
        types::Error::NotFound => Refusal::NotFound,
        types::Error::InvalidCredentials(text) => Refusal::InvalidCredentials(cut(text)),
        types::Error::UnsupportedOperation => Refusal::UnsupportedOperation,
        types::Error::RateLimited(seconds) => Refusal::RateLimited(seconds),
        types::Error::Upstream(text) => Refusal::Upstream(cut(text)),
        types::Error::Internal(text) => {
            return EngineError::Internal(printable(&text, limits::REFUSAL_BYTES));
        }
    })
}

/// Why a call into a guest failed. What the host decided comes first: the error that unwound the
/// guest is then only the means.
pub(crate) fn failure(error: &wasmtime::Error, state: &mut CallState) -> EngineError {
    if let Some(ended) = state.meter.take_ended() {
        return ended;
    }
    if let Some(limit_bytes) = state.memory.denied_above() {
        return EngineError::OverLimit(format!("more memory than {limit_bytes} bytes"));
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return EngineError::Busy {
            retry_after: limits::RETRY_AFTER,
        };
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return EngineError::OverLimit(format!("more than {} handles", limits::HANDLES));
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return trapped(format!("exited with status {status}"), state);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            EngineError::OverLimit("out of stack: calls nest too deep".to_owned())
        }
        Some(trap) => trapped(trap.to_string(), state),
        None => {
            let text = format!("{error:#}");
            // The text is all there is to tell it by: wasmtime gives it no type.
            if text.contains("fuel allocated for hostcalls has been exhausted") {
                return EngineError::OverLimit(format!(
                    "more than {} bytes handed to the host at once",
                    limits::HOSTCALL_FUEL
                ));
            }
            // Not a trap of the guest's code, so something that it passed: a text that is not UTF-8,
            // a list beyond the end of its memory, a case that is none, a handle used twice.
            EngineError::Malformed(printable(&text, limits::LOG_MESSAGE_BYTES))
        }
    }
}

/// A component that does not compile or link.
pub(crate) fn not_loaded(what: &str, error: &wasmtime::Error) -> EngineError {
    let text = printable(&format!("{error:#}"), limits::LOG_MESSAGE_BYTES);
    EngineError::Load(format!("it {what}: {text}"))
}

/// What the guest printed goes to the log here: whoever answers the client says which trap it was.
fn trapped(reason: String, state: &CallState) -> EngineError {
    let stderr = match &state.wasi {
        Some(wasi) => wasi.output_tail(),
        None => String::new(),
    };
    if !stderr.is_empty() {
        let (mount, request_id) = (&state.imports.mount.path, &state.imports.request_id);
        let output = printable(&stderr, limits::OUTPUT_TAIL_BYTES);
        tracing::warn!(target: "engine", %mount, %request_id, %output, "printed before it trapped");
    }
    EngineError::Trapped { reason, stderr }
}
