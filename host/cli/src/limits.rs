//! Every limit of the command line, with its reason.

use std::time::Duration;

/// The longest answer that is read into memory: an engine's reply ends at 16 MiB, its envelope and a generous doubling on top.
pub(crate) const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// The longest file or standard input that becomes a request: servers refuse bodies over 32 MiB.
pub(crate) const INPUT_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// The longest token file: tokens are some hundred bytes, and a wrong `VAULT_TOKEN_PATH` may name anything.
pub(crate) const TOKEN_FILE_MAX_BYTES: u64 = 64 * 1024;

/// How long one request may take, connecting included; Vault's client waits as long. `VAULT_CLIENT_TIMEOUT` changes it.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a failed request is tried again: not at all, as in Vault's command line, where a person waits.
/// `VAULT_MAX_RETRIES` asks for more.
pub(crate) const DEFAULT_RETRIES: u32 = 0;

/// The wait before the first retry; the n-th waits n times as long. `Retry-After` of the server wins.
pub(crate) const RETRY_WAIT: Duration = Duration::from_secs(1);

/// The longest wait that a server's `Retry-After` may ask for: a person is waiting.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How often `secrets move` asks whether the move is done.
pub(crate) const MOVE_POLL: Duration = Duration::from_secs(1);

/// How long `secrets move` watches: revoking the leases of a large mount takes minutes, and the move goes on without us.
pub(crate) const MOVE_POLLS_MAX: u32 = 600;

/// Where paragraphs wrap, as in Vault's output.
pub(crate) const TEXT_WIDTH: usize = 78;
