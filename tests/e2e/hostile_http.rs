//! A hostile network: whoever reaches the port, without a token and without manners.
//!
//! In each story others are served meanwhile, the server's memory stays within a bound that the
//! story names, and afterwards it holds no more connections than before (`attack.rs`).

mod attack;
mod crowds;
mod http2;
mod json;
mod malformed;
mod pipelining;
mod slow;
mod tls;
mod wire;
