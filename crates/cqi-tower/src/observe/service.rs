use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::active::Active;
use super::body::ResponseBody;
use super::future::ResponseFuture;
use super::layer::Shared;
use super::request_body::{RequestBodies, Unchanged};
use crate::{Observer, RequestInfo};

/// The service of an [`ObserveLayer`](crate::ObserveLayer).
pub struct Observe<S, O, R = Unchanged> {
    inner: S,
    shared: Arc<Shared<O>>,
    bodies: PhantomData<fn() -> R>,
}

impl<S, O, R> Observe<S, O, R> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<O>>) -> Self {
        Self {
            inner,
            shared,
            bodies: PhantomData,
        }
    }

    /// Returns the service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the layer off.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, O, R, A, B> Service<Request<A>> for Observe<S, O, R>
where
    S: Service<Request<R::Body>, Response = Response<B>>,
    O: Observer,
    R: RequestBodies<A>,
    A: Body,
    B: Body,
{
    type Response = Response<ResponseBody<B, O::Observation>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, O::Observation>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let mut info = RequestInfo::new(&request, &self.shared.quiet);
        self.shared.observer.prepare(&mut request, &mut info);
        let observation = self.shared.observer.on_request(&mut request, &mut info);
        let (request, count) = R::wrap(request);
        let mut future = ResponseFuture::new(Active::new(info, observation, count));
        // Both stay in place: what is moved through the closures is copied several times.
        let (mut request, ResponseFuture { inner, active }) = (Some(request), &mut future);
        active.enter(|active| {
            active.run(|| {
                if let Some(request) = request.take() {
                    *inner = Some(self.inner.call(request));
                }
            });
        });
        future
    }
}

impl<S: Clone, O, R> Clone for Observe<S, O, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            bodies: PhantomData,
        }
    }
}

impl<S: fmt::Debug, O, R> fmt::Debug for Observe<S, O, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
