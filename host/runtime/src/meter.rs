//! What a call has used up: time, and calls to the host.
//!
//! Two clocks run. The wall deadline covers everything, waiting included; host functions that wait
//! are cut off by it. The compute budget covers the guest's own work: what passed between two looks
//! at it, less what it waited for the host or for a turn on a worker thread.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use host_logical::{CallLimits, EngineError};
use tokio::time::Instant;
use wasmtime::UpdateDeadline;

use crate::limits;

/// The budget of one call, and why the host ended it, if it did.
pub(crate) struct Meter {
    host_calls_left: u32,
    deadline: Instant,
    compute: Duration,
    computed: Duration,
    opened: Instant,
    turns: Arc<Turns>,
    habit: Habit,
    /// Spent in host functions since then.
    waited: Duration,
    ended: Option<EngineError>,
}

/// Whether a mount's last call computed for long. The next is likely to, and begins in the lane: a
/// mount that does nothing but compute takes its tick of the server's threads once, not at each call.
#[derive(Clone, Default)]
pub(crate) struct Habit(Arc<AtomicBool>);

/// What is known of a guest's turns to those who drive it while it runs.
pub(crate) struct Turns {
    /// When the last one began, in microseconds after the call was opened.
    since: AtomicU64,
    long: AtomicBool,
}

impl Turns {
    /// Whether the guest belongs in the lane: by what it has computed, all turns together, or by what
    /// the call before it did.
    pub(crate) fn are_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    fn begin(&self, opened: Instant) {
        self.since.store(micros_since(opened), Ordering::Relaxed);
    }
}

impl Meter {
    /// `opened` is when the call was asked for; it may have waited for room since.
    pub(crate) fn new(opened: Instant, granted: CallLimits, habit: Habit) -> Self {
        Self {
            host_calls_left: limits::HOST_CALLS,
            deadline: opened + granted.wall,
            compute: granted.compute,
            computed: Duration::ZERO,
            opened,
            turns: Arc::new(Turns {
                since: AtomicU64::new(micros_since(opened)),
                long: AtomicBool::new(habit.0.load(Ordering::Relaxed)),
            }),
            habit,
            waited: Duration::ZERO,
            ended: None,
        }
    }

    /// The guest runs from here. It may have lain idle since its last export returned.
    pub(crate) fn resume(&mut self) {
        self.turns.begin(self.opened);
        self.waited = Duration::ZERO;
    }

    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Counts one call to the host.
    pub(crate) fn count(&mut self) -> wasmtime::Result<()> {
        match self.host_calls_left.checked_sub(1) {
            Some(left) => {
                self.host_calls_left = left;
                Ok(())
            }
            None => Err(self.end(EngineError::OverLimit(format!(
                "more than {} calls to the host",
                limits::HOST_CALLS
            )))),
        }
    }

    /// Counts one call to the host and awaits it, up to the deadline. What is ready at once costs
    /// no look at the clock.
    pub(crate) async fn wait<F: Future>(&mut self, work: F) -> wasmtime::Result<F::Output> {
        self.count()?;
        let mut work = pin!(work);
        let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = first {
            return Ok(output);
        }
        let began = Instant::now();
        let output = tokio::time::timeout_at(self.deadline, work).await;
        self.waited += began.elapsed();
        output.map_err(|_| self.end(past_deadline()))
    }

    /// Remembers why the host ends the call and gives the error that unwinds the guest.
    /// The first reason stays.
    pub(crate) fn end(&mut self, reason: EngineError) -> wasmtime::Error {
        let text = reason.to_string();
        self.ended.get_or_insert(reason);
        wasmtime::Error::msg(text)
    }

    /// Why the host ended the call.
    pub(crate) fn take_ended(&mut self) -> Option<EngineError> {
        self.ended.take()
    }

    /// A tick of the epoch while the guest computes: ends it, or lets others have the thread.
    pub(crate) fn tick(&mut self) -> UpdateDeadline {
        let now = Instant::now();
        let since = self.opened + Duration::from_micros(self.turns.since.load(Ordering::Relaxed));
        let computed = now
            .saturating_duration_since(since)
            .saturating_sub(std::mem::take(&mut self.waited));
        self.computed = self.computed.saturating_add(computed);
        if self.computed >= self.compute {
            self.end(EngineError::OverLimit("out of computing time".to_owned()));
            return UpdateDeadline::Interrupt;
        }
        if now >= self.deadline {
            self.end(past_deadline());
            return UpdateDeadline::Interrupt;
        }
        if self.computed >= limits::LANE_AFTER {
            self.turns.long.store(true, Ordering::Relaxed);
        }
        let (opened, turns) = (self.opened, Arc::clone(&self.turns));
        let turn = async move {
            tokio::task::yield_now().await;
            turns.begin(opened);
        };
        UpdateDeadline::YieldCustom(1, Box::pin(turn))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let long = self.computed >= limits::LANE_AFTER;
        self.habit.0.store(long, Ordering::Relaxed);
    }
}

fn past_deadline() -> EngineError {
    EngineError::OverLimit("past the deadline of the call".to_owned())
}

fn micros_since(opened: Instant) -> u64 {
    u64::try_from(opened.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(wall_ms: u64, compute_ms: u64) -> Meter {
        let granted = CallLimits {
            wall: Duration::from_millis(wall_ms),
            compute: Duration::from_millis(compute_ms),
            memory_bytes: limits::MIB,
        };
        Meter::new(Instant::now(), granted, Habit::default())
    }

    fn goes_on(meter: &mut Meter) -> bool {
        !matches!(meter.tick(), UpdateDeadline::Interrupt)
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_host_is_not_computing() {
        let mut meter = meter(1000, 20);
        let nap = tokio::time::sleep(Duration::from_millis(500));
        meter.wait(nap).await.unwrap();
        assert!(goes_on(&mut meter));
        meter.resume();
        tokio::time::advance(Duration::from_millis(19)).await;
        assert!(goes_on(&mut meter));
        meter.resume();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!goes_on(&mut meter));
        let ended = meter.take_ended().map(|error| error.to_string());
        assert_eq!(
            ended.as_deref(),
            Some("engine ran over a limit: out of computing time")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_long_by_what_it_computed_and_not_by_the_ticks_that_it_saw() {
        let mut meter = meter(1000, 1000);
        for _ in 0..3 {
            meter.resume();
            tokio::time::advance(Duration::from_millis(3)).await;
            assert!(goes_on(&mut meter));
            assert!(!meter.turns().are_long());
        }
        let nap = tokio::time::sleep(Duration::from_millis(500));
        meter.resume();
        meter.wait(nap).await.unwrap();
        assert!(goes_on(&mut meter));
        assert!(!meter.turns().are_long());
        meter.resume();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(goes_on(&mut meter));
        assert!(meter.turns().are_long());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_the_deadline_and_so_does_the_guest() {
        let mut meter = meter(100, 1000);
        assert!(meter.wait(std::future::pending::<()>()).await.is_err());
        assert!(!goes_on(&mut meter));
        let ended = meter.take_ended().map(|error| error.to_string());
        assert_eq!(
            ended.as_deref(),
            Some("engine ran over a limit: past the deadline of the call")
        );
    }
}
