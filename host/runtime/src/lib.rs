//! Components in, engines out: wasmtime, and nothing that it could give away.
