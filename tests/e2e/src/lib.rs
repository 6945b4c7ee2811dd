//! Stories over HTTP with real clients.
