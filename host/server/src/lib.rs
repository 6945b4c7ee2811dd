//! HTTP in Vault's words, configuration, and the wiring of core, barrier and runtime.
