use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::active::Active;
use crate::{Ending, Observation};

pin_project! {
    /// The body of a watched response: the request ends with it.
    ///
    /// # Cancel safety
    /// Dropped before its end, it ends the request as [cancelled](Ending::Cancelled).
    pub struct ResponseBody<B, O: Observation> {
        // Empty once it is dropped, which happens with the request's span entered.
        #[pin]
        inner: Option<B>,
        active: Active<O>,
    }

    impl<B, O: Observation> PinnedDrop for ResponseBody<B, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.active.enter(|request| {
                request.run(|| this.inner.set(None));
                request.abandon();
            });
        }
    }
}

impl<B, O: Observation> ResponseBody<B, O> {
    pub(crate) fn new(inner: B, active: Active<O>) -> Self {
        Self {
            inner: Some(inner),
            active,
        }
    }
}

impl<B: Body, O: Observation> Body for ResponseBody<B, O> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let mut polled = Poll::Pending;
        this.active.enter(|request| {
            request.run(|| polled = poll_frame(this.inner.as_mut(), cx));
            let Poll::Ready(frame) = &polled else { return };
            if let Some(Ok(frame)) = frame {
                if let Some(data) = frame.data_ref() {
                    request.data(data.remaining());
                } else if let Some(trailers) = frame.trailers_ref() {
                    request.trailers(trailers);
                }
            }
            if matches!(frame, Some(Err(_))) {
                request.end(Ending::BodyError);
            } else if request.is_satisfied() {
                request.end(Ending::Complete);
            } else if this.inner.is_none() {
                request.end_of_body();
            }
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

type PollFrame<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Polls a body, and drops it at once when nothing more can come: a server need not ask again.
fn poll_frame<B: Body>(mut body: Pin<&mut Option<B>>, cx: &mut Context<'_>) -> PollFrame<B> {
    let Some(mut inner) = body.as_mut().as_pin_mut() else {
        return Poll::Ready(None);
    };
    let polled = ready!(inner.as_mut().poll_frame(cx));
    let over = match &polled {
        Some(Ok(frame)) => frame.is_trailers() || inner.is_end_stream(),
        Some(Err(_)) | None => true,
    };
    if over {
        body.set(None);
    }
    Poll::Ready(polled)
}

impl<B: Default, O: Observation> Default for ResponseBody<B, O> {
    /// An empty body that belongs to no request.
    fn default() -> Self {
        Self {
            inner: Some(B::default()),
            active: Active::none(),
        }
    }
}

impl<B: fmt::Debug, O: Observation> fmt::Debug for ResponseBody<B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
