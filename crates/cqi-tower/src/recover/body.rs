use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cqi_errors::{BoxError, Error};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

use super::recovery::Recovery;
use crate::Protocol;
use crate::reject::{self, Refusal};

pin_project! {
    /// The body of a [`Recover`](crate::Recover)'s response: the handler's, or the answer to its panic.
    ///
    /// # Cancel safety
    /// As that of the handler's body; a panic of its destructor is caught.
    pub struct RecoverBody<B> {
        #[pin]
        inner: Inner<B>,
    }

    impl<B> PinnedDrop for RecoverBody<B> {
        fn drop(this: Pin<&mut Self>) {
            this.discard();
        }
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<B> {
        Handler { #[pin] body: B, protocol: Protocol, recovery: Recovery },
        Answer { #[pin] body: Full<Bytes> },
        Over,
    }
}

impl<B> RecoverBody<B> {
    pub(super) fn new(body: B, protocol: Protocol, recovery: Recovery) -> Self {
        Self {
            inner: Inner::Handler {
                body,
                protocol,
                recovery,
            },
        }
    }

    /// Makes the response to a panic before the head.
    pub(super) fn answer(refusal: Refusal, error: Error) -> Response<Self> {
        let mut response = refusal.response(&error).map(|bytes: Vec<u8>| Self {
            inner: Inner::Answer {
                body: Full::from(bytes),
            },
        });
        response.extensions_mut().insert(Arc::new(error));
        response
    }

    /// Drops the body inside, which may panic.
    fn discard(self: Pin<&mut Self>) {
        let mut inner = self.project().inner;
        if let InnerProjection::Handler { recovery, .. } = inner.as_mut().project() {
            let recovery = recovery.clone();
            // The panic is reported; there is nobody left to answer.
            let _ = recovery.run("body", || inner.set(Inner::Over));
        }
    }
}

impl<B> Body for RecoverBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let inner = self.as_mut().project().inner;
        let (error, protocol) = match inner.project() {
            InnerProjection::Handler {
                body,
                protocol,
                recovery,
            } => match recovery.run("body", || body.poll_frame(cx)) {
                Ok(polled) => return polled.map_err(Into::into),
                Err(error) => (error, *protocol),
            },
            InnerProjection::Answer { body } => {
                return body.poll_frame(cx).map_err(|never| match never {});
            }
            InnerProjection::Over => return Poll::Ready(None),
        };
        self.discard();
        Poll::Ready(Some(match protocol {
            Protocol::Http => Err(error.into()),
            Protocol::Grpc => Ok(Frame::trailers(reject::grpc_trailers(&error))),
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Handler { body, recovery, .. } => recovery
                .run("body", || body.is_end_stream())
                .unwrap_or(false),
            Inner::Answer { body } => body.is_end_stream(),
            Inner::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Handler { body, recovery, .. } => recovery
                .run("body", || body.size_hint())
                .unwrap_or_default(),
            Inner::Answer { body } => body.size_hint(),
            Inner::Over => SizeHint::with_exact(0),
        }
    }
}

impl<B> Default for RecoverBody<B> {
    /// An empty body.
    fn default() -> Self {
        Self { inner: Inner::Over }
    }
}

impl<B> fmt::Debug for RecoverBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverBody").finish_non_exhaustive()
    }
}
