//! Containing panics where there is nobody to tell.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe};

/// Runs `work` and drops its panic, if any; the process' panic hook has reported it.
pub(crate) fn quietly(work: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(work)) {
        discard(payload);
    }
}

/// Drops a payload, whose destructor may panic too, with a payload that is best left alone.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let _ = ManuallyDrop::new(payload);
    }
}
