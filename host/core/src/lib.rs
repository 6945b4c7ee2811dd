//! Mounts, router, tokens, policies, wrapping, audit: the request pipeline, without network and without wasm.
