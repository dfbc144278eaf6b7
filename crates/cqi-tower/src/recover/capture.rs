//! What only a panic hook sees: where the panic was, and the stack.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a panic was.
pub(super) struct Capture {
    pub(super) location: Option<String>,
    pub(super) backtrace: Option<Backtrace>,
    /// How many panics before it somebody inside of the layer caught.
    pub(super) earlier: u32,
}

thread_local! {
    static STATE: State = const { State { depth: Cell::new(0), captured: Cell::new(false) } };
    static LAST: RefCell<Option<Box<Capture>>> = const { RefCell::new(None) };
}

/// Looked at around each call and poll, so apart from what needs a destructor.
struct State {
    /// How many layers would catch a panic of this thread now.
    depth: Cell<u32>,
    /// Whether there is a capture.
    captured: Cell<bool>,
}

/// Lets panics that a [`RecoverLayer`](crate::RecoverLayer) catches be logged with their location
/// and backtrace, and keeps those off stderr.
///
/// A panic hook is the only place that sees either. This one is for the whole process: install it
/// once, early in `main`, and keep the guard. Panics that no layer would catch go to the hook that
/// was there before. Without it the layer logs the message alone, and the hook in place (by default
/// Rust's, which prints to stderr) sees the panic too.
///
/// A panic that the handler itself catches, inside of the layer, is logged as a warning. A second one
/// before that goes to the hook before too: it may come from a destructor that the first one runs, and
/// then it ends the process.
///
/// Where the environment says `RUST_BACKTRACE=0`, no backtrace is taken. The first one reads the
/// symbols of the program, in about a tenth of a second; later ones take less than a millisecond.
///
/// ```
/// let _panics = cqi_tower::init_panic_hook();
/// ```
pub fn init_panic_hook() -> PanicHookGuard {
    let backtraces = std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value != "0");
    let active = Arc::new(AtomicBool::new(true));
    let guard = PanicHookGuard {
        active: Arc::clone(&active),
    };
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let told = active.load(Ordering::Relaxed) && capture(info, backtraces);
        if !told {
            previous(info);
        }
    }));
    guard
}

/// Keeps the hook of [`init_panic_hook`] at work; dropped, all panics go to the hook before it.
#[derive(Debug)]
#[must_use = "the hook works until the guard is dropped"]
pub struct PanicHookGuard {
    active: Arc<AtomicBool>,
}

impl Drop for PanicHookGuard {
    fn drop(&mut self) {
        // The hook itself stays: others may have chained to it, and a thread that panics cannot
        // change it.
        self.active.store(false, Ordering::Relaxed);
    }
}

/// Remembers a panic that a layer on this thread will catch, and says whether one surely will. A panic
/// here would end the process.
fn capture(info: &PanicHookInfo<'_>, backtraces: bool) -> bool {
    if STATE.with(|state| state.depth.get() == 0) {
        return false;
    }
    let mut capture = Capture {
        location: info.location().map(ToString::to_string),
        backtrace: backtraces.then(Backtrace::force_capture),
        earlier: 0,
    };
    let stored = LAST.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else {
            return false;
        };
        let is_first = last.is_none();
        if let Some(earlier) = last.take() {
            capture.earlier = earlier.earlier.saturating_add(1);
        }
        *last = Some(Box::new(capture));
        STATE.with(|state| state.captured.set(true));
        is_first
    });
    stored.unwrap_or(false)
}

/// Marks the thread as inside of a layer that catches.
pub(super) struct Catching {
    /// Of a panic under way, whose unwinding has come to a destructor that catches.
    before: Option<Box<Capture>>,
}

impl Catching {
    #[inline]
    pub(super) fn start() -> Self {
        let captured = STATE.with(|state| {
            state.depth.set(state.depth.get() + 1);
            state.captured.replace(false)
        });
        Self {
            before: if captured { take() } else { None },
        }
    }

    /// Takes what the hook saw since the start: of the panic that was just caught, or of one that
    /// somebody inside caught.
    #[inline]
    pub(super) fn finish(self) -> Option<Box<Capture>> {
        let captured = STATE.with(|state| {
            state.depth.set(state.depth.get() - 1);
            state.captured.replace(self.before.is_some())
        });
        let capture = if captured { take() } else { None };
        if self.before.is_some() {
            put_back(self.before);
        }
        capture
    }
}

#[cold]
fn take() -> Option<Box<Capture>> {
    LAST.try_with(|last| last.try_borrow_mut().ok()?.take())
        .ok()
        .flatten()
}

#[cold]
fn put_back(capture: Option<Box<Capture>>) {
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = capture;
        }
    });
}
