//! The lane of long calls: threads of their own for guests that compute for longer than a tick.
//!
//! A guest that computes gives its thread away at every tick, and comes round again on the same few
//! threads: sixteen of them, and every other request waits sixteen ticks for its turn. So a call that
//! has computed for [`limits::LANE_AFTER`] leaves the server's threads when it next gives one away, and
//! goes on here, at the lowest priority: with what time the server leaves, and a hundredth of a
//! processor where it leaves none. How many calls are here is limited by the room that each holds.
//!
//! Whoever is held up with a lock in hand holds up those who wait for it. No guest has one when its
//! turn ends: host functions let theirs go before they return, and `await_holding_lock` denies to wait
//! with one. Within a turn the system may take the processor away at any place, so locks that are short
//! otherwise (the allocator's, a pool's, the store's page cache) may then be held for as long as the
//! server leaves no time. Those of its threads that wait for one leave theirs.

use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::available_parallelism;

use host_logical::EngineError;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use crate::limits;
use crate::meter::{Turns, past_deadline};

pub(crate) struct Lane {
    /// None while it is dropped.
    runtime: Option<Runtime>,
}

impl Lane {
    pub(crate) fn start() -> std::io::Result<Self> {
        let refused = AtomicUsize::new(0);
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = processors.saturating_sub(limits::LANE_LEAVES).max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            // Nothing that a guest calls uses one.
            .max_blocking_threads(1)
            .thread_name("engine-lane")
            .enable_time()
            .on_thread_start(move || step_back(&refused))
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Awaits `work` where it is, and here from the moment that its call has become a long one: then
    /// up to the call's deadline, since nobody knows when it gets its next turn. Dropped, it ends
    /// `work` at the next tick.
    pub(crate) async fn run<F>(&self, turns: &Arc<Turns>, work: F) -> Result<F::Output, EngineError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut work = Box::pin(work);
        let counted = Arc::clone(turns);
        let mut work = poll_fn(move |cx| counted.turn(|| work.as_mut().poll(cx)));
        if !turns.are_long() {
            let in_place = poll_fn(|cx| match Pin::new(&mut work).poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if turns.are_long() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(output) = in_place.await {
                return Ok(output);
            }
        }
        let Some(runtime) = &self.runtime else {
            return Err(EngineError::Internal("the host is gone".to_owned()));
        };
        let mut task = AbortOnDrop(runtime.spawn(work));
        match timeout_at(turns.deadline(), &mut task.0).await {
            Ok(ended) => ended.map_err(|error| EngineError::Host(Box::new(error))),
            Err(_) => Err(past_deadline()),
        }
    }

    /// Drops `guest` here: what it made of its memory may take milliseconds to wipe.
    pub(crate) fn discard(&self, guest: impl Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move { drop(guest) });
        }
    }
}

impl Drop for Lane {
    /// The last handle may go in a task, where waiting for threads is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lowers the calling thread's priority. Everybody may, but for a sandbox that denies the call. On
/// systems other than Linux it would be the whole process's.
fn step_back(refused: &AtomicUsize) {
    if !cfg!(target_os = "linux") {
        return;
    }
    if let Err(error) = rustix::process::nice(limits::LANE_NICE)
        && refused.fetch_add(1, Ordering::Relaxed) == 0
    {
        tracing::warn!(%error, "long calls run at the priority of all others");
    }
}
