use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::active::Active;
use super::body::ResponseBody;
use crate::poll_once::poll_once;
use crate::{Ending, Observation};

pin_project! {
    /// The future of an [`Observe`](crate::Observe).
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it ends the request as [cancelled](Ending::Cancelled).
    pub struct ResponseFuture<F, O: Observation> {
        // Empty once it is dropped, which happens with the request's span entered.
        #[pin]
        pub(super) inner: Option<F>,
        pub(super) active: Active<O>,
    }

    impl<F, O: Observation> PinnedDrop for ResponseFuture<F, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.active.enter(|request| {
                request.run(|| this.inner.set(None));
                request.abandon();
            });
        }
    }
}

impl<F, O: Observation> ResponseFuture<F, O> {
    #[inline]
    pub(super) fn new(active: Active<O>) -> Self {
        Self {
            inner: None,
            active,
        }
    }
}

impl<F, O, B, E> Future for ResponseFuture<F, O>
where
    F: Future<Output = Result<Response<B>, E>>,
    O: Observation,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B, O>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The result stays in place: what is moved through the closures is copied several times.
        let mut polled = Poll::Pending;
        this.active.enter(|request| {
            request.run(|| polled = poll_once(this.inner, cx));
            match &mut polled {
                Poll::Ready(Ok(response)) => request.head(response),
                Poll::Ready(Err(_)) => request.end(Ending::ServiceError),
                Poll::Pending => {}
            }
        });
        polled.map_ok(|response| response.map(|body| ResponseBody::new(body, this.active.take())))
    }
}

impl<F, O: Observation> fmt::Debug for ResponseFuture<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
