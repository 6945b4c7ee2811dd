//! Work that is finished once it is begun.
//!
//! A request that is given up midway, because its client went away, must still come to its end:
//! what it did outside is to be written down, its audit to be closed. A task of its own for each
//! request would do, at the price of two hand-overs between threads. Most requests never wait, so
//! they are run where they are, and become a task only if whoever waits for them lets go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use crate::error::HandleError;

type Work<T> = Pin<Box<dyn Future<Output = Result<T, HandleError>> + Send>>;

/// A future that goes on in a task of its own when it is dropped before its end. A panic in it is
/// an error of this one request.
pub(crate) struct Finish<T: Send + 'static>(Option<Work<T>>);

impl<T: Send + 'static> Finish<T> {
    pub(crate) fn new(work: impl Future<Output = Result<T, HandleError>> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = Result<T, HandleError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(Err(HandleError::Internal("polled after its end".into())));
        };
        // What the work had under way is dropped with it below: nobody sees it half done.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(_) => Err(HandleError::Internal(
                "a panic, whose place is on stderr".into(),
            )),
        };
        self.0 = None;
        Poll::Ready(result)
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending: what was begun ends as in a crash.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_finished() {
        let (go, may_go) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let mut work = Box::pin(Finish::new(async move {
            may_go.await.map_err(HandleError::internal)?;
            let _ = done.send(());
            Ok(())
        }));
        let polled = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        drop(work);
        go.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_request() {
        let work = Finish::<()>::new(async { panic!("of the test") });
        assert!(matches!(work.await, Err(HandleError::Internal(_))));
        assert!(
            Finish::new(async { Ok(7) })
                .await
                .is_ok_and(|seven| seven == 7)
        );
    }
}
