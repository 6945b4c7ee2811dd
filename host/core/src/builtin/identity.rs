//! Identity: mounted, so that clients see it where they expect it; it has no paths yet.

use host_logical::{Description, EngineKind};

use super::describe::engine;

pub(super) fn description() -> Description {
    engine(
        "identity",
        EngineKind::Secrets,
        "Who is who: entities, aliases and groups.",
        Vec::new(),
    )
}
