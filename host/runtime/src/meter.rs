//! What a call has used up: time, and calls to the host.
//!
//! Two clocks run. The wall deadline covers everything, waiting included; host functions that wait
//! are cut off by it. The compute budget covers the guest's own work: what its threads computed in its
//! turns. A turn begins when it is given a thread and ends when it gives it back, so neither waiting
//! for the host nor waiting for a processor is in it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use host_logical::{CallLimits, EngineError};
use tokio::time::Instant;
use wasmtime::UpdateDeadline;

use crate::clock::Stretch;
use crate::limits;

/// The budget of one call, and why the host ended it, if it did.
pub(crate) struct Meter {
    host_calls_left: u32,
    compute: Duration,
    turns: Arc<Turns>,
    ended: Option<EngineError>,
}

/// A guest's turns on a thread, as those see them who give them to it.
pub(crate) struct Turns {
    deadline: Instant,
    habit: Habit,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// In all turns that have ended.
    computed: Duration,
    turn: Option<Stretch>,
    long: bool,
}

impl Turns {
    fn new(opened: Instant, deadline: Instant, habit: Habit) -> Self {
        let taken = Taken {
            long: habit.is_long(opened),
            ..Taken::default()
        };
        Self {
            deadline,
            habit,
            taken: Mutex::new(taken),
        }
    }

    /// Whether the guest belongs in the lane: by what it has computed, or by what its mount has.
    pub(crate) fn are_long(&self) -> bool {
        self.taken().long
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// One turn, which is all on this thread.
    pub(crate) fn turn<T>(&self, run: impl FnOnce() -> T) -> T {
        self.taken().turn = Some(Stretch::begin());
        let result = run();
        let mut taken = self.taken();
        taken.computed = taken.so_far();
        taken.turn = None;
        if !taken.long && taken.computed >= limits::LANE_AFTER {
            taken.long = true;
            self.habit.took(taken.computed);
        }
        result
    }

    fn computed(&self) -> Duration {
        self.taken().so_far()
    }

    /// Nobody waits for it: a guest has one turn at a time.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn so_far(&self) -> Duration {
        let turn = self.turn.as_ref().map_or(Duration::ZERO, Stretch::computed);
        self.computed.saturating_add(turn)
    }
}

/// What long calls of a mount took of the server's threads before they were known to be long. Where
/// it is much, all its calls begin in the lane: otherwise a mount would only have to end each call in
/// time and make it again.
#[derive(Clone, Default)]
pub(crate) struct Habit(Arc<Mutex<Option<Instant>>>);

impl Habit {
    fn is_long(&self, now: Instant) -> bool {
        (*self.forgotten()).is_some_and(|forgotten| forgotten > now + limits::LANE_MEMORY)
    }

    fn took(&self, computed: Duration) {
        let now = Instant::now();
        let mut forgotten = self.forgotten();
        let from = forgotten.map_or(now, |forgotten| forgotten.max(now));
        *forgotten = Some(from + computed * limits::LANE_PART);
    }

    /// When all that was taken is forgotten.
    fn forgotten(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// `opened` is when the call was asked for; it may have waited for room since.
    pub(crate) fn new(opened: Instant, granted: CallLimits, habit: Habit) -> Self {
        Self {
            host_calls_left: limits::HOST_CALLS,
            compute: granted.compute,
            turns: Arc::new(Turns::new(opened, opened + granted.wall, habit)),
            ended: None,
        }
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
        let output = tokio::time::timeout_at(self.turns.deadline, work).await;
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

    /// A tick of the epoch while the guest computes: ends it, or ends its turn.
    pub(crate) fn tick(&mut self) -> UpdateDeadline {
        if self.turns.computed() >= self.compute {
            self.end(EngineError::OverLimit("out of computing time".to_owned()));
            return UpdateDeadline::Interrupt;
        }
        if Instant::now() >= self.turns.deadline {
            self.end(past_deadline());
            return UpdateDeadline::Interrupt;
        }
        UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
    }
}

pub(crate) fn past_deadline() -> EngineError {
    EngineError::OverLimit("past the deadline of the call".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::compute;

    const TICK: Duration = limits::EPOCH_TICK;

    fn meter(wall_ms: u64, compute: Duration) -> Meter {
        let granted = CallLimits {
            wall: Duration::from_millis(wall_ms),
            compute,
            memory_bytes: limits::MIB,
        };
        Meter::new(Instant::now(), granted, Habit::default())
    }

    fn goes_on(meter: &mut Meter) -> bool {
        !matches!(meter.tick(), UpdateDeadline::Interrupt)
    }

    fn ended(meter: &mut Meter) -> Option<String> {
        meter.take_ended().map(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_computes_in_its_turns_and_not_while_it_waits_for_one_or_in_one() {
        let mut meter = meter(10_000, 3 * TICK);
        let turns = Arc::clone(meter.turns());
        let nap = tokio::time::sleep(Duration::from_millis(500));
        meter.wait(nap).await.unwrap();
        turns.turn(|| std::thread::sleep(4 * TICK));
        compute(4 * TICK);
        assert!(turns.turn(|| goes_on(&mut meter)));
        turns.turn(|| {
            compute(2 * TICK);
            assert!(goes_on(&mut meter));
            compute(TICK);
            assert!(!goes_on(&mut meter));
        });
        assert_eq!(
            ended(&mut meter).as_deref(),
            Some("engine ran over a limit: out of computing time")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_long_by_all_its_turns_together() {
        let turns = Arc::clone(meter(1000, TICK).turns());
        for _ in 0..3 {
            assert!(!turns.are_long());
            turns.turn(|| compute(limits::LANE_AFTER * 2 / 5));
        }
        assert!(turns.are_long());
    }

    /// It takes all that it may at once, and all is forgotten again.
    #[tokio::test(start_paused = true)]
    async fn a_mount_is_long_by_what_it_took_lately() {
        let habit = Habit::default();
        let once = limits::LANE_MEMORY / limits::LANE_PART;
        let is_long = || habit.is_long(Instant::now());
        habit.took(once);
        assert!(!is_long());
        habit.took(once);
        assert!(is_long());
        tokio::time::advance(limits::LANE_MEMORY).await;
        assert!(!is_long());
        tokio::time::advance(10 * limits::LANE_MEMORY).await;
        habit.took(once);
        assert!(!is_long());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_the_deadline_and_so_does_the_guest() {
        let mut meter = meter(100, TICK);
        assert!(meter.wait(std::future::pending::<()>()).await.is_err());
        assert!(!goes_on(&mut meter));
        assert_eq!(
            ended(&mut meter).as_deref(),
            Some("engine ran over a limit: past the deadline of the call")
        );
    }
}
