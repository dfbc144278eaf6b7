//! Bodies and futures that do what they are told, and a server that does what hyper does.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cqi_errors::BoxError;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(&'static str),
    /// `grpc-status` in trailers.
    Trailers(&'static str),
    /// Trailers without a status.
    NoStatus,
    Error,
    Panic,
    Pending,
}

/// A body that takes one step per poll.
#[derive(Debug, Default)]
pub(crate) struct Script {
    steps: VecDeque<Step>,
    /// Whether it tells its end before it is asked for one more frame.
    pub(crate) tells_end: bool,
    pub(crate) panics_when_dropped: bool,
}

pub(crate) fn script(steps: impl IntoIterator<Item = Step>) -> Script {
    Script {
        steps: steps.into_iter().collect(),
        ..Script::default()
    }
}

impl Script {
    pub(crate) fn has_trailers(&self) -> bool {
        let is_trailers = |step: &Step| matches!(step, Step::Trailers(_));
        self.steps.iter().any(is_trailers)
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match self.steps.pop_front() {
            Some(Step::Data(data)) => Some(Ok(Frame::data(Bytes::from_static(data.as_bytes())))),
            Some(Step::Trailers(status)) => Some(Ok(Frame::trailers(grpc_status(status)))),
            Some(Step::NoStatus) => Some(Ok(Frame::trailers(HeaderMap::new()))),
            Some(Step::Error) => Some(Err(io::Error::other("disk gone"))),
            Some(Step::Panic) => {
                self.steps.push_front(Step::Panic);
                panic!("the body panicked")
            }
            Some(Step::Pending) => {
                self.steps.push_front(Step::Pending);
                return Poll::Pending;
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.steps.is_empty()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.panics_when_dropped && !std::thread::panicking() {
            panic!("the body panicked when dropped");
        }
    }
}

pub(crate) fn grpc_status(status: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from_static(status));
    headers
}

pub(crate) fn http() -> Request<String> {
    Request::post("/v1/orders").body(String::new()).unwrap()
}

pub(crate) fn grpc() -> Request<String> {
    Request::post("/pkg.Orders/Place")
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(String::new())
        .unwrap()
}

/// Reads a response as hyper does: no more than there is to read.
pub(crate) async fn read<B>(response: Response<B>) -> Result<(String, HeaderMap), BoxError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let length = response.headers().get(header::CONTENT_LENGTH);
    let promised = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut body = Box::pin(response.into_body());
    let mut text = String::new();
    while !body.is_end_stream() && promised.is_none_or(|promised| text.len() < promised) {
        let Some(frame) = body.frame().await else {
            break;
        };
        match frame.map_err(Into::into)?.into_data() {
            Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
            Err(frame) => return Ok((text, frame.into_trailers().unwrap())),
        }
    }
    Ok((text, HeaderMap::new()))
}
