//! Not one allocation per request, counted exactly.

use std::convert::Infallible;
use std::future::ready;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use cqi_tower::{Observation, ObserveLayer, Observer, Outcome, RecoverLayer, RequestInfo, Route};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body::{Body, Frame};
use tower::{Layer, Service, service_fn};

use crate::script::grpc_status;

/// A body of one frame, and trailers.
struct Answer {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }
}

/// Reads all that it is told.
struct Watching;

impl Observer for Watching {
    type Observation = Self;

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) -> Self {
        info.set_request_id(HeaderValue::from_static("01J"));
        Self
    }
}

impl Observation for Watching {
    fn on_end(self, outcome: &Outcome<'_>) {
        assert_eq!(outcome.response_size, 5);
        assert!(!outcome.is_server_error());
    }
}

/// Keeps as much as a real observer.
struct Kept;

impl Observer for Kept {
    type Observation = Keeps;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> Keeps {
        Keeps([0; 8])
    }
}

struct Keeps([u64; 8]);

impl Observation for Keeps {
    fn on_end(self, outcome: &Outcome<'_>) {
        assert_eq!(self.0[0], 0);
        assert!(outcome.request.route().is_some());
    }
}

fn request(method: &Method, content_type: &'static str) -> Request<String> {
    // Like that of a real server, the path of a static one is cloned without an allocation.
    let mut request = Request::new(String::new());
    *request.method_mut() = method.clone();
    *request.uri_mut() = Uri::from_static("/pkg.Orders/Place");
    let value = HeaderValue::from_static(content_type);
    request.headers_mut().insert(header::CONTENT_TYPE, value);
    let route = Route::from_static("/pkg.Orders/Place");
    request.extensions_mut().insert(route);
    request
}

/// Counts the allocations that a layer adds to four requests.
fn added<L, B>(layer: &L) -> u64
where
    L: Layer<Handler>,
    L::Service: Service<Request<String>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    allocations(layer) - allocations(&tower::layer::util::Identity::new())
}

fn allocations<L, B>(layer: &L) -> u64
where
    L: Layer<Handler>,
    L::Service: Service<Request<String>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let mut service = layer.layer(service_fn(handle as fn(Request<String>) -> Handled));
    let mut total = 0;
    for content_type in ["application/json", "application/grpc"] {
        for method in [Method::GET, Method::POST] {
            let request = request(&method, content_type);
            let mut cx = Context::from_waker(Waker::noop());
            let info = measure(|| {
                assert!(service.poll_ready(&mut cx).is_ready());
                let future = service.call(request);
                let mut future = std::pin::pin!(future);
                let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
                    panic!("the handler is ready");
                };
                let mut body = std::pin::pin!(response.into_body());
                while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut cx) {}
            });
            total += info.count_total;
        }
    }
    total
}

type Handler = tower::util::ServiceFn<fn(Request<String>) -> Handled>;
type Handled = std::future::Ready<Result<Response<Answer>, Infallible>>;

fn handle(_: Request<String>) -> Handled {
    ready(Ok(Response::new(Answer {
        data: Some(Bytes::from_static(b"hello")),
        trailers: Some(grpc_status("0")),
    })))
}

#[test]
fn watching_and_recovering_allocate_nothing() {
    assert_eq!(added(&ObserveLayer::new(())), 0);
    assert_eq!(added(&ObserveLayer::new((Watching, Kept, Kept))), 0);
    assert_eq!(added(&RecoverLayer::new().on_panic(|_| ())), 0);
    let both = (
        ObserveLayer::new((Watching, Kept, Some(Kept))),
        RecoverLayer::new(),
    );
    assert_eq!(added(&both), 0);
}

#[test]
fn counting_request_bodies_allocates_once() {
    struct Unwrap;

    impl Layer<Handler> for Unwrap {
        type Service = tower::util::MapRequest<
            Handler,
            fn(Request<cqi_tower::CountedBody<String>>) -> Request<String>,
        >;

        fn layer(&self, inner: Handler) -> Self::Service {
            tower::util::MapRequest::new(inner, |request| request.map(|_| String::new()))
        }
    }

    let layers = (ObserveLayer::new(()).count_request_bodies(), Unwrap);
    assert_eq!(added(&layers), 4);
}
