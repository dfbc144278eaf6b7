use std::marker::PhantomData;
use std::sync::Arc;

use tower_layer::Layer;

use super::request_body::{Counted, Unchanged};
use super::service::Observe;
use crate::Observer;
use crate::quiet::Quiet;

/// Tells an observer, or a tuple of them, of each request, and once of its end.
///
/// It stands outside of everything whose outcome it shall see, [`RecoverLayer`](crate::RecoverLayer)
/// included, and inside the router, so that it knows the route: with axum, in `Router::layer`.
///
/// Nothing is boxed or allocated per request; all observers share one wrapper around the body.
///
/// # Cancel safety
/// A future or body that is dropped before its end is an outcome: [`Ending::Cancelled`](crate::Ending::Cancelled).
#[derive(Debug)]
#[must_use]
pub struct ObserveLayer<O, R = Unchanged> {
    shared: Arc<Shared<O>>,
    bodies: PhantomData<fn() -> R>,
}

#[derive(Debug)]
pub(crate) struct Shared<O> {
    pub(crate) observer: O,
    pub(crate) quiet: Quiet,
}

impl<O: Observer> ObserveLayer<O> {
    /// Watches requests with an observer.
    ///
    /// Probes and scrapes are [quiet](Self::quiet): `/health`, `/healthz`, `/livez`, `/readyz`,
    /// `/metrics`, `/grpc.health.v1.Health`, and all below them.
    pub fn new(observer: O) -> Self {
        Self {
            shared: Arc::new(Shared {
                observer,
                quiet: Quiet::default(),
            }),
            bodies: PhantomData,
        }
    }
}

impl<O: Clone, R> ObserveLayer<O, R> {
    /// Replaces the paths that logs and traces leave out; each stands for all below it too.
    ///
    /// ```
    /// let layer = cqi_tower::ObserveLayer::new(()).quiet(["/internal/ping"]);
    /// ```
    pub fn quiet<P: Into<String>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        let quiet = paths.into_iter().map(Into::into).collect();
        let observer = self.shared.observer.clone();
        Self {
            shared: Arc::new(Shared { observer, quiet }),
            bodies: PhantomData,
        }
    }

    /// Counts what is read of the bodies of requests, where a declared length is not enough, such as
    /// for uploads in chunks. The service gets a [`CountedBody`](crate::CountedBody), and each
    /// request costs one allocation.
    pub fn count_request_bodies(self) -> ObserveLayer<O, Counted> {
        ObserveLayer {
            shared: self.shared,
            bodies: PhantomData,
        }
    }
}

impl<O, R> Clone for ObserveLayer<O, R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            bodies: PhantomData,
        }
    }
}

impl<S, O, R> Layer<S> for ObserveLayer<O, R> {
    type Service = Observe<S, O, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe::new(inner, Arc::clone(&self.shared))
    }
}
