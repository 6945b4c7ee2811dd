//! The world of `wit/engine.wit`, as Rust. Nothing else lives here: what the types mean is said
//! in the WIT, and [`crate::convert`] is the one place that turns them into `host_logical`'s.

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: r#"
        package coffer:host;

        /// What this host links, and all that an engine may export. A component exports
        /// what it needs of it, so each export is looked up by itself.
        world everything {
            import coffer:engine/ambient@0.1.0;
            import coffer:engine/storage@0.1.0;
            import coffer:engine/secrets@0.1.0;
            import coffer:engine/log@0.1.0;
            export coffer:engine/metadata@0.1.0;
            export coffer:engine/backend@0.1.0;
            export coffer:engine/effects@0.1.0;
            export coffer:engine/scheduled@0.1.0;
            export coffer:engine/renewal@0.1.0;
        }
    "#,
    world: "coffer:host/everything",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "coffer:engine/secrets.secret": host_logical::SecretBytes,
    },
});
