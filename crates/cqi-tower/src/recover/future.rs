use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, mem};

use bytes::Bytes;
use cqi_errors::{BoxError, Error};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::RecoverBody;
use super::recovery::Recovery;
use crate::poll_once::poll_once;
use crate::reject::Refusal;

pin_project! {
    /// The future of a [`Recover`](crate::Recover).
    ///
    /// # Cancel safety
    /// As that of the service inside; a panic of its destructor is caught.
    pub struct RecoverFuture<F> {
        // Empty once it is ready or panicked.
        #[pin]
        pub(super) inner: Option<F>,
        // Of a call that panicked.
        pub(super) failed: Option<Error>,
        refusal: Refusal,
        recovery: Recovery,
    }

    impl<F> PinnedDrop for RecoverFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            this.discard();
        }
    }
}

impl<F> RecoverFuture<F> {
    pub(super) fn new(refusal: Refusal, recovery: Recovery) -> Self {
        Self {
            inner: None,
            failed: None,
            refusal,
            recovery,
        }
    }

    /// Drops the future inside, which may panic.
    fn discard(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.inner.is_some() {
            // The panic is reported; there is nobody left to answer.
            let _ = this.recovery.run("future", || this.inner.set(None));
        }
    }
}

impl<F, B, E> Future for RecoverFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<RecoverBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let mut polled = Poll::Pending;
        let failed = this.failed.take().or_else(|| {
            // The result stays in place: what is moved through the catch is copied several times.
            let poll = || polled = poll_once(this.inner, cx);
            this.recovery.run("future", poll).err()
        });
        if let Some(error) = failed {
            let refusal = *this.refusal;
            self.discard();
            return Poll::Ready(Ok(RecoverBody::answer(refusal, error)));
        }
        polled.map_ok(|response| {
            let recovery = mem::take(this.recovery);
            response.map(|body| RecoverBody::new(body, this.refusal.protocol, recovery))
        })
    }
}

impl<F> fmt::Debug for RecoverFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverFuture").finish_non_exhaustive()
    }
}
