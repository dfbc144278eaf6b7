use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::active::Active;
use super::body::ResponseBody;
use crate::{Ending, Observation};

pin_project! {
    /// The future of an [`Observe`](crate::Observe).
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it ends the request as [cancelled](Ending::Cancelled).
    pub struct ResponseFuture<F, O: Observation> {
        // Empty once it is dropped, which happens with the request's span entered.
        #[pin]
        inner: Option<F>,
        active: Active<O>,
    }

    impl<F, O: Observation> PinnedDrop for ResponseFuture<F, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.inner.is_some() {
                this.active.enter(|| this.inner.set(None));
            }
        }
    }
}

impl<F, O: Observation> ResponseFuture<F, O> {
    pub(crate) fn new(inner: F, active: Active<O>) -> Self {
        Self {
            inner: Some(inner),
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
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            // Polled again after it was ready, against the contract of futures.
            return Poll::Pending;
        };
        let result = ready!(this.active.enter(|| inner.poll(cx)));
        this.active.enter(|| this.inner.set(None));
        Poll::Ready(match result {
            Ok(mut response) => {
                this.active.head(&mut response);
                let active = this.active.take();
                Ok(response.map(|body| ResponseBody::new(body, active)))
            }
            Err(error) => {
                this.active.end(Ending::ServiceError, None);
                Err(error)
            }
        })
    }
}

impl<F, O: Observation> fmt::Debug for ResponseFuture<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
