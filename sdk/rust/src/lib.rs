#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! [`Engine`], [`Path`] and [`Field`] are the declaration; [`Request`] and [`Response`] what a
//! handler reads and gives; [`Host`] all that it can reach; [`Error`] how it refuses; [`time`] the
//! dates and durations that clients write.
//!
//! Invariants
//! - Nothing of the component model shows in the public part: an engine written today is built
//!   against the next version of the WIT by a new version of this crate.
//! - What an engine does not call is not imported: each call goes to its import directly, through
//!   no table of functions.

mod engine;
mod error;
mod host;
mod pattern;
mod request;
mod response;
pub mod time;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use engine::{Choose, Engine, Existence, Field, FieldType, Handler, Initializer, Path};
pub use error::{Answer, Error, StorageError};
pub use host::{Host, LogLevel, Page, Secret, Secrets, Storage};
pub use request::{Caller, Mount, Operation, Options, Peer, RawBody, Request};
pub use response::{Lease, Response};
pub use serde_json::json;

/// Makes a component of an engine: either of a `static` [`Engine`], or of a function from the
/// mount's [`Options`] to one. Written once, in the crate's root. Does nothing natively.
///
/// The component has the version of the crate that this is written in, and is of the world
/// `secrets-engine`.
#[macro_export]
macro_rules! export {
    ($engine:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            impl $crate::guest::Component for Component {
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
                fn engine(options: &$crate::Options) -> &'static $crate::Engine {
                    $crate::Choose::choose(&$engine, options)
                }
            }
    $crate::guest::export_secrets_engine!(Component with_types_in $crate::guest::bindings);
        };
    };
}
