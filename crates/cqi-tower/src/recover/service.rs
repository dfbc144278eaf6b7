use std::task::{Context, Poll};

use bytes::Bytes;
use cqi_errors::{BoxError, Error};
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::recovery::Recovery;
use super::{RecoverBody, RecoverFuture};
use crate::reject::Refusal;

/// The service of a [`RecoverLayer`](crate::RecoverLayer).
#[derive(Debug)]
pub struct Recover<S> {
    inner: S,
    recovery: Recovery,
    /// The panic of `poll_ready`, which the next call answers with.
    unready: Option<Error>,
}

impl<S> Recover<S> {
    pub(super) fn new(inner: S, recovery: Recovery) -> Self {
        Self {
            inner,
            recovery,
            unready: None,
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

impl<S, A, B> Service<Request<A>> for Recover<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<RecoverBody<B>>;
    type Error = S::Error;
    type Future = RecoverFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.unready.is_some() {
            return Poll::Ready(Ok(()));
        }
        let polled = self
            .recovery
            .run("poll_ready", || self.inner.poll_ready(cx));
        polled.unwrap_or_else(|error| {
            self.unready = Some(error);
            Poll::Ready(Ok(()))
        })
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut future = RecoverFuture::new(Refusal::of(&request), self.recovery.clone());
        let RecoverFuture { inner, failed, .. } = &mut future;
        *failed = self.unready.take().or_else(|| {
            // Both stay in place: what is moved through the catch is copied several times.
            let mut request = Some(request);
            let call = || {
                if let Some(request) = request.take() {
                    *inner = Some(self.inner.call(request));
                }
            };
            self.recovery.run("call", call).err()
        });
        future
    }
}

impl<S: Clone> Clone for Recover<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.recovery.clone())
    }
}
