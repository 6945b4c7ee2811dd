//! `ambient`: time that stands still within a call, and chance.

use std::time::Duration;

use host_logical::{Ambient, EngineError};

use crate::bindings::coffer::engine::ambient;
use crate::limits;
use crate::meter::Meter;

pub(crate) struct AmbientImports<'a> {
    pub(crate) meter: &'a mut Meter,
    pub(crate) ambient: &'a dyn Ambient,
}

impl ambient::Host for AmbientImports<'_> {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        self.meter.count()?;
        Ok(self.ambient.now_millis())
    }

    async fn sleep(&mut self, millis: u32) -> wasmtime::Result<()> {
        let nap = Duration::from_millis(u64::from(millis));
        self.meter.wait(self.ambient.sleep(nap)).await
    }

    async fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.meter.count()?;
        if length > limits::RANDOM_BYTES {
            return Err(self.meter.end(EngineError::OverLimit(format!(
                "asked for {length} random bytes, of {} at most",
                limits::RANDOM_BYTES
            ))));
        }
        let mut bytes = vec![0; length as usize];
        self.ambient.fill_random(&mut bytes);
        Ok(bytes)
    }
}
