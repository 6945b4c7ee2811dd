//! One file a command group. Each says on its first lines which requests it makes.

pub(crate) mod auth;
pub(crate) mod generic;
pub(crate) mod kv;
pub(crate) mod login;
mod mounts;
pub(crate) mod operator;
pub(crate) mod path_help;
pub(crate) mod policy;
pub(crate) mod print;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod unwrap;
pub(crate) mod version;

/// A path of the API as typed, without slashes at its ends.
fn trimmed(path: &str) -> &str {
    path.trim().trim_matches('/')
}

/// A mount's path as Vault prints it: with a slash at its end.
fn mount_path(path: &str) -> String {
    format!("{}/", trimmed(path))
}
