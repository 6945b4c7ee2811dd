//! The lane of long calls: threads of their own for guests that compute for longer than a tick.
//!
//! A guest that computes gives its thread away at every tick, and comes round again on the same few
//! threads: sixteen of them, and every other request waits sixteen ticks for its turn. So a call that
//! has computed for [`limits::LANE_AFTER`] leaves the server's threads and goes on here, at a lower
//! priority. Beside a busy server it gets a tenth of a processor: enough for an engine that makes an
//! RSA key to come to its end, and no more.

use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::available_parallelism;

use host_logical::EngineError;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::limits;
use crate::meter::Turns;

pub(crate) struct Lane {
    /// None while it is dropped.
    runtime: Option<Runtime>,
}

impl Lane {
    pub(crate) fn start() -> std::io::Result<Self> {
        let refused = AtomicUsize::new(0);
        let runtime = Builder::new_multi_thread()
            .worker_threads(available_parallelism().map_or(1, NonZeroUsize::get))
            .thread_name("engine-lane")
            .enable_time()
            .on_thread_start(move || step_back(&refused))
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Awaits `work` where it is, and here from the moment that its call has become a long one.
    /// Dropped, it ends `work` at the next tick.
    pub(crate) async fn run<F>(&self, turns: &Turns, work: F) -> Result<F::Output, EngineError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut work = Box::pin(work);
        if !turns.are_long() {
            let in_place = poll_fn(|cx| match work.as_mut().poll(cx) {
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
        let ended = (&mut task.0).await;
        ended.map_err(|error| EngineError::Host(Box::new(error)))
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

/// Lowers the calling thread's priority; on systems other than Linux it would be the whole process's.
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
