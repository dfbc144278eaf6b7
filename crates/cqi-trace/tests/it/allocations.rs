//! What a request costs on the heap.

use axum::body::Body;
use cqi_tower::ObserveLayer;
use cqi_trace::{TraceClientLayer, TraceLayer, inject};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, Service, service_fn};

use crate::traces::Traces;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn request(headers: &[(&'static str, &'static str)]) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    request
}

/// Counts the allocations of a request through a layer, after one that warms up.
fn count<L, S>(layer: L, headers: &[(&'static str, &'static str)]) -> u64
where
    L: Layer<Handler, Service = S>,
    S: Service<Request<Body>>,
{
    let mut service = layer.layer(service_fn(handle as _));
    let mut one = |request| {
        let served = service.call(request).now_or_never();
        assert!(served.is_some_and(|served| served.is_ok()));
    };
    one(request(headers));
    one(request(headers));
    let request = request(headers);
    allocation_counter::measure(|| one(request)).count_total
}

type Handler = tower::util::ServiceFn<
    fn(Request<Body>) -> std::future::Ready<Result<Response<Body>, &'static str>>,
>;

fn handle(_: Request<Body>) -> std::future::Ready<Result<Response<Body>, &'static str>> {
    std::future::ready(Ok(Response::new(Body::empty())))
}

#[test]
fn an_unsampled_request_allocates_once() {
    let headers = [
        &[("traceparent", PARENT)] as &[_],
        &[("traceparent", PARENT), ("tracestate", "congo=t61rcWkgMzE")],
        &[],
    ];
    for headers in headers {
        let traces = Traces::with(|config| config.sample_ratio = 0.0);
        let bare = count(ObserveLayer::new(()), headers);
        let traced = count(TraceLayer::new(&traces.tracing), headers);
        assert_eq!(traced - bare, 1, "{headers:?}");
        assert!(traces.end().is_empty());
    }
}

#[test]
fn a_sampled_request_allocates_a_bounded_number_of_times() {
    let traces = Traces::new();
    let bare = count(ObserveLayer::new(()), &[]);
    let traced = count(TraceLayer::new(&traces.tracing), &[]);
    assert!(
        (5..=SAMPLED).contains(&(traced - bare)),
        "{}",
        traced - bare
    );
}

/// Of these, most are OpenTelemetry's own.
const SAMPLED: u64 = 14;

#[test]
fn a_call_within_an_unsampled_request_allocates_its_header() {
    let traces = Traces::with(|config| config.sample_ratio = 0.0);
    let request = traces.tracing.consumer_span("process", None);
    request.in_scope(|| {
        let bare = count(ObserveLayer::new(()), &[]);
        let traced = count(TraceClientLayer::new(&traces.tracing), &[]);
        // The value, and the map that holds it.
        assert_eq!(traced - bare, 3);
        let mut headers = HeaderMap::with_capacity(8);
        let injected = allocation_counter::measure(|| inject(&mut headers));
        assert_eq!(injected.count_total, 1);
    });
}
