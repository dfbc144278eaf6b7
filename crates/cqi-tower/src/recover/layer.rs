use tower_layer::Layer;

use super::recovery::Recovery;
use super::{Panic, Recover};

/// Answers a request whose handler panics, and logs why; the connection lives on.
///
/// Caught are panics in the service's `call`, in its future, in the body of its response, and in
/// their destructors; what panicked is dropped and never polled again.
///
/// | Panic | HTTP client | gRPC client |
/// |---|---|---|
/// | before the head | 500 with `application/problem+json` | `INTERNAL`, trailers only |
/// | in the body | the body breaks off with an error: a reset stream, or a closed HTTP/1 connection | trailers with `INTERNAL` |
///
/// The client gets a constant text. Message, location and backtrace go to one line at `ERROR`, in
/// the span of the request; the latter two need [`init_panic_hook`](crate::init_panic_hook). The
/// error is in the response's extensions as `Arc<cqi_errors::Error>`, so that
/// [`Outcome::error`](crate::Outcome::error) has it.
///
/// Set it inside of [`ObserveLayer`](crate::ObserveLayer). A program built with `panic = "abort"`
/// has nothing to catch.
///
/// ```
/// use tower::ServiceBuilder;
///
/// let layers = ServiceBuilder::new()
///     .layer(cqi_tower::ObserveLayer::new(()))
///     .layer(cqi_tower::RecoverLayer::new());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RecoverLayer {
    recovery: Recovery,
}

impl RecoverLayer {
    /// Catches panics and logs them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls a hook for each panic, after it is logged, such as to count it.
    ///
    /// It runs in the request's span and should not block. If it panics itself, that is ignored.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    ///
    /// static PANICS: AtomicU64 = AtomicU64::new(0);
    ///
    /// let layer = cqi_tower::RecoverLayer::new().on_panic(|_| { PANICS.fetch_add(1, Relaxed); });
    /// ```
    pub fn on_panic(self, hook: impl Fn(&Panic) + Send + Sync + 'static) -> Self {
        Self {
            recovery: Recovery::telling(hook),
        }
    }
}

impl<S> Layer<S> for RecoverLayer {
    type Service = Recover<S>;

    fn layer(&self, inner: S) -> Recover<S> {
        Recover::new(inner, self.recovery.clone())
    }
}
