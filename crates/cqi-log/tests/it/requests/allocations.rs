//! What logging adds to a request, counted exactly.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Uri};
use cqi_log::LogLayer;
use cqi_tower::Route;
use tower::{Layer as _, service_fn};
use tracing::dispatcher;

use crate::logs::{config, service};

const REQUESTS: usize = 1_000;

fn request(id: Option<&'static str>) -> Request<Body> {
    // Like that of a server, this one is cloned without a copy.
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/v1/assets/btc");
    request
        .extensions_mut()
        .insert(Route::from_static("/v1/assets/{id}"));
    let headers = request.headers_mut();
    headers.insert("user-agent", HeaderValue::from_static("curl/8.0"));
    if let Some(id) = id {
        headers.insert("x-request-id", HeaderValue::from_static(id));
    }
    request
}

/// Answers like a handler, with a header and a body.
fn handle(request: Request<Body>) -> std::future::Ready<Result<Response<Body>, Infallible>> {
    drop(request);
    let mut response = Response::new(Body::from("btc"));
    let content_type = HeaderValue::from_static("text/plain");
    response.headers_mut().insert("content-type", content_type);
    std::future::ready(Ok(response))
}

fn run<S: super::Service>(service: &mut S, request: Request<Body>) -> Response<S::Body> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(response) => response.unwrap(),
        Poll::Pending => panic!("a handler that is not ready at once"),
    }
}

fn finish<B: http_body::Body<Error: std::fmt::Debug>>(response: Response<B>) {
    let mut context = Context::from_waker(Waker::noop());
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
        frame.unwrap();
    }
}

/// Counts the allocations that a layer adds to so many requests, once all is warm.
fn added(layer: &LogLayer, id: Option<&'static str>) -> u64 {
    let bare = RefCell::new(service_fn(handle));
    let logged = RefCell::new(layer.layer(service_fn(handle)));
    let counted = |step: &dyn Fn()| {
        (0..REQUESTS).for_each(|_| step());
        measure(|| (0..REQUESTS).for_each(|_| step())).count_total
    };
    let bare = counted(&|| finish(run(&mut *bare.borrow_mut(), request(id))));
    let logged = counted(&|| finish(run(&mut *logged.borrow_mut(), request(id))));
    logged.checked_sub(bare).expect("logging frees nothing")
}

fn with_levels(level: &str, beside: bool, lines: u64, run: impl FnOnce()) {
    let mut builder = cqi_log::builder().writer(io::sink());
    if beside {
        builder = builder.with(tracing_subscriber::layer::Identity::new());
    }
    let (dispatch, guard) = builder.build(&config(level), &service()).unwrap();
    dispatcher::with_default(&dispatch, run);
    assert_eq!(guard.stats().lines_written, lines);
}

#[test]
fn a_request_that_is_logged_allocates_nothing_more() {
    let both = 2 * REQUESTS as u64;
    for (level, lines) in [
        ("info", both),
        ("info,cqi_log::request=off", 0),
        ("off", 0),
        ("debug", 2 * both),
    ] {
        for beside in [false, true] {
            for id in [None, Some("0b8a4f6c")] {
                with_levels(level, beside, lines, || {
                    assert_eq!(added(&LogLayer::new(), id), 0, "{level} {beside} {id:?}");
                });
            }
        }
    }
}

#[test]
fn chosen_headers_allocate_nothing_more() {
    let layer = LogLayer::new()
        .request_header("user-agent")
        .request_header("authorization")
        .response_header("content-type");
    with_levels("info", false, 2 * REQUESTS as u64, || {
        assert_eq!(added(&layer, None), 0);
    });
}

/// Ids are cut from blocks of 4096 bytes, 113 from each. A block serves again once its ids are gone;
/// while they are in use the next takes two allocations, one for the bytes and one to share them.
#[test]
fn ids_that_stay_in_use_take_a_block_for_many() {
    with_levels("off", false, 0, || {
        let mut logged = LogLayer::new().layer(service_fn(handle));
        let mut open = Vec::with_capacity(3 * 113);
        let mut counted = |requests: Vec<_>| {
            let serve = |request| open.push(run(&mut logged, request));
            measure(|| requests.into_iter().for_each(serve)).count_total
        };
        let requests = || (0..113).map(|_| request(None)).collect::<Vec<_>>();
        counted(requests());
        let idle = counted(requests());
        let id = Some("0b8a4f6c");
        let given = (0..113).map(|_| request(id)).collect();
        assert_eq!(idle - counted(given), 2);
    });
}
