//! The time that a thread computes: what passes, less what it waits for its processor.
//!
//! The system knows it, and asking takes up to a microsecond, as long as everything else that is
//! counted of a call. So it is asked for once a millisecond at most, and what is over sooner is taken
//! from the wall clock.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::CLOCK_STALE;

/// Something that begins and ends on one thread.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    begun: Instant,
    /// The thread's clock at some time up to [`CLOCK_STALE`] before.
    before: Reading,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    computed: Duration,
}

thread_local! {
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

impl Stretch {
    pub(crate) fn begin() -> Self {
        let begun = Instant::now();
        let before = match LAST.get() {
            Some(last) if begun.duration_since(last.at) < CLOCK_STALE => last,
            _ => read(begun),
        };
        Self { begun, before }
    }

    /// What the thread has computed since: not too little, and too much by [`CLOCK_STALE`] at most.
    pub(crate) fn computed(&self) -> Duration {
        let now = Instant::now();
        let passed = now.duration_since(self.begun);
        if passed < CLOCK_STALE {
            return passed;
        }
        let computed = read(now).computed;
        passed.min(computed.saturating_sub(self.before.computed))
    }
}

fn read(now: Instant) -> Reading {
    let computed = clock_gettime(ClockId::ThreadCPUTime);
    let reading = Reading {
        at: now,
        // Neither is ever negative, and what does not fit would be wrong by centuries.
        computed: Duration::try_from(computed).unwrap_or_default(),
    };
    LAST.set(Some(reading));
    reading
}

#[cfg(test)]
pub(crate) fn compute(time: Duration) {
    let begun = read(Instant::now()).computed;
    while read(Instant::now()).computed - begun < time {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = crate::limits::EPOCH_TICK;

    #[test]
    fn what_a_thread_waits_is_not_computed_and_what_it_computes_is() {
        let stretch = Stretch::begin();
        std::thread::sleep(3 * TICK);
        assert!(stretch.computed() < TICK);
        compute(2 * TICK);
        assert!(stretch.computed() >= 2 * TICK);
        assert!(stretch.computed() < 4 * TICK);
    }

    /// The thread's clock is not asked again for those, and what it showed before them is at hand.
    #[test]
    fn short_stretches_are_not_charged_for_what_lies_between_them() {
        for _ in 0..100 {
            let stretch = Stretch::begin();
            let computed = stretch.computed();
            compute(CLOCK_STALE / 10);
            assert!(computed < 2 * CLOCK_STALE, "{computed:?}");
        }
    }
}
