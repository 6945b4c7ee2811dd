//! `version`. No request.

use crate::context::Context;
use crate::failure::{Exit, Failure};

pub(crate) fn run(ctx: &mut Context) -> Result<Exit, Failure> {
    ctx.console
        .line(concat!("Coffer v", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::Ok)
}
