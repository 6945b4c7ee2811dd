//! Panics, wherever they come up: in the caller's thread, in a task, in the barrier's writer.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};

thread_local! {
    /// Those in a guarded part of this thread, also if somebody caught them.
    static HERE: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Those of the writers.
static IN_WRITERS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// What a guarded piece of work came to.
pub(crate) struct Guarded<T> {
    /// None if a panic came all the way up.
    pub(crate) result: Option<T>,
    /// All, contained ones too. A writer's may be of a test that runs beside this one.
    pub(crate) panics: Vec<String>,
}

/// Runs `work` and collects its panics, which are not printed.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Guarded<T> {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let here = HERE.with_borrow_mut(|here| match here {
                Some(panics) => {
                    panics.push(info.to_string());
                    true
                }
                None => false,
            });
            if here {
                return;
            }
            if std::thread::current().name() == Some("barrier-writer") {
                writers().push(info.to_string());
            } else {
                usual(info);
            }
        }));
    });
    HERE.set(Some(Vec::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(work)).ok();
    let mut panics = HERE.take().unwrap_or_default();
    panics.append(&mut writers());
    Guarded { result, panics }
}

fn writers() -> std::sync::MutexGuard<'static, Vec<String>> {
    IN_WRITERS.lock().unwrap_or_else(PoisonError::into_inner)
}
