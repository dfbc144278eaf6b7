use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Buf as _;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// What an [`ObserveLayer`](crate::ObserveLayer) does with the bodies of requests: [`Unchanged`] or
/// [`Counted`].
pub trait RequestBodies<B>: sealed::Wrap<B> {}

/// Hands the bodies of requests on as they are; their size is the declared one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unchanged;

/// Counts what is read of the bodies of requests: one allocation per request, and a body of another type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted;

impl<B: Body> RequestBodies<B> for Unchanged {}
impl<B: Body> RequestBodies<B> for Counted {}

/// The bytes that were read so far, where somebody counts.
#[derive(Clone, Debug, Default)]
pub struct Count(Option<Arc<AtomicU64>>);

impl Count {
    pub(crate) fn read(&self) -> Option<u64> {
        self.0.as_ref().map(|bytes| bytes.load(Ordering::Relaxed))
    }

    fn add(&self, more: usize) {
        if let Some(bytes) = &self.0 {
            bytes.fetch_add(more as u64, Ordering::Relaxed);
        }
    }
}

pub(crate) mod sealed {
    use http::Request;

    use super::Count;

    pub trait Wrap<B> {
        type Body;

        fn wrap(request: Request<B>) -> (Request<Self::Body>, Count);
    }
}

impl<B: Body> sealed::Wrap<B> for Unchanged {
    type Body = B;

    #[inline]
    fn wrap(request: Request<B>) -> (Request<B>, Count) {
        (request, Count::default())
    }
}

impl<B: Body> sealed::Wrap<B> for Counted {
    type Body = CountedBody<B>;

    fn wrap(request: Request<B>) -> (Request<CountedBody<B>>, Count) {
        let count = Count(Some(Arc::default()));
        let bytes = count.clone();
        (request.map(|inner| CountedBody { inner, bytes }), count)
    }
}

pin_project! {
    /// The body of a request that counts what is read of it.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        bytes: Count,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.bytes.add(data.remaining());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
