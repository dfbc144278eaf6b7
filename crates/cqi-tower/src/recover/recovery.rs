use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use cqi_errors::Error;

use super::Panic;
use super::capture::{Capture, Catching};
use crate::unwind::quietly;

/// Runs what may panic, and reports it if it does.
#[derive(Clone, Default)]
pub(super) struct Recovery {
    on_panic: Option<Arc<OnPanic>>,
}

type OnPanic = dyn Fn(&Panic) + Send + Sync;

impl Recovery {
    pub(super) fn telling(on_panic: impl Fn(&Panic) + Send + Sync + 'static) -> Self {
        Self {
            on_panic: Some(Arc::new(on_panic)),
        }
    }

    /// Runs `work`; a panic is logged and handed to the hook. What panicked may only be dropped,
    /// here too.
    pub(super) fn run<T>(&self, place: &'static str, work: impl FnOnce() -> T) -> Result<T, Error> {
        let catching = Catching::start();
        let result = panic::catch_unwind(AssertUnwindSafe(work));
        let capture = catching.finish();
        match result {
            Ok(value) => {
                if let Some(capture) = capture {
                    swallowed(&capture);
                }
                Ok(value)
            }
            Err(payload) => Err(self.report(place, payload, capture)),
        }
    }

    #[cold]
    fn report(
        &self,
        place: &'static str,
        payload: Box<dyn Any + Send>,
        capture: Option<Box<Capture>>,
    ) -> Error {
        let panic = &Panic::new(place, payload, capture);
        // A subscriber or a hook that panics must not undo the rescue; the panic hook reports it.
        quietly(|| {
            tracing::error!(
                exception.type = "panic",
                exception.message = panic.message(),
                exception.stacktrace = panic.backtrace().map(tracing::field::display),
                place = panic.place(),
                location = panic.location(),
                "the handler panicked"
            );
        });
        if let Some(on_panic) = &self.on_panic {
            quietly(|| on_panic(panic));
        }
        Error::permanent(panic.to_string())
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").finish_non_exhaustive()
    }
}

/// Tells of a panic that the hook kept off stderr, since it could not know who would catch it.
#[cold]
fn swallowed(capture: &Capture) {
    quietly(|| {
        tracing::warn!(
            exception.stacktrace = capture.backtrace.as_ref().map(tracing::field::display),
            location = capture.location.as_deref(),
            earlier = capture.earlier,
            "a panic was caught inside the handler"
        );
    });
}
