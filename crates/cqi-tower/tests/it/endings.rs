//! Each way a request can end, and the one outcome that observers get.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cqi_errors::Error;
use cqi_tower::{
    Ending, GrpcStatus, Observation, ObserveLayer, Observer, Outcome, RequestInfo, Route,
};
use futures_util::FutureExt as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::recorder::{End, Recorder};
use crate::script::{Script, Step, grpc, grpc_status, http, read, script};

/// Serves a request with a fixed response and reads the whole answer.
async fn serve(request: Request<String>, response: Response<Script>) -> End {
    let recorder = Recorder::new();
    let mut response = Some(response);
    let service = ObserveLayer::new(recorder.clone()).layer(service_fn(move |_| {
        ready(Ok::<_, Infallible>(response.take().unwrap()))
    }));
    let response = service.oneshot(request).await.unwrap();
    let _ = read(response).await;
    recorder.only()
}

fn respond(status: u16, steps: impl IntoIterator<Item = Step>) -> Response<Script> {
    Response::builder()
        .status(status)
        .body(script(steps))
        .unwrap()
}

fn with(method: Method) -> Request<String> {
    let mut request = http();
    *request.method_mut() = method;
    request
}

#[tokio::test]
async fn http_responses_end_with_their_bodies() {
    for status in [200, 404, 503] {
        let end = serve(http(), respond(status, [Step::Data("ab"), Step::Data("c")])).await;
        assert_eq!((end.ending, end.status), (Ending::Complete, status));
        assert_eq!((end.head, end.response_size), (Some(status), 3));
        assert_eq!(end.grpc, None);
        assert_eq!(end.server_error, status == 503);
    }
}

#[tokio::test]
async fn a_body_that_fails_is_our_fault() {
    let end = serve(http(), respond(200, [Step::Data("ab"), Step::Error])).await;
    assert_eq!((end.ending, end.status), (Ending::BodyError, 500));
    assert_eq!((end.head, end.response_size), (Some(200), 2));
    assert!(end.server_error);

    let end = serve(grpc(), respond(200, [Step::Data("ab"), Step::Error])).await;
    assert_eq!(end.grpc, Some(GrpcStatus::INTERNAL));
    assert!(end.server_error);
}

#[tokio::test]
async fn responses_without_a_body_end_with_the_head() {
    let cases = [
        (Method::HEAD, 200),
        (Method::GET, 204),
        (Method::GET, 304),
        (Method::GET, 101),
        (Method::CONNECT, 200),
    ];
    for (method, status) in cases {
        let recorder = Recorder::new();
        // A server would never ask this body.
        let response = move |_| ready(Ok::<_, Infallible>(respond(status, [Step::Pending])));
        let service = ObserveLayer::new(recorder.clone()).layer(service_fn(response));
        let response = service.oneshot(with(method.clone())).await.unwrap();
        let end = recorder.only();
        drop(response);
        assert_eq!(
            (end.ending, end.status),
            (Ending::Complete, status),
            "{method}"
        );
        assert_eq!(recorder.ends().len(), 1);
    }
    // A refused tunnel has a body.
    let end = serve(with(Method::CONNECT), respond(403, [Step::Data("no")])).await;
    assert_eq!((end.status, end.response_size), (403, 2));
}

#[tokio::test]
async fn a_body_that_tells_its_end_is_not_asked_for_it() {
    let mut response = respond(200, [Step::Data("abc")]);
    response.body_mut().tells_end = true;
    let end = serve(http(), response).await;
    assert_eq!((end.ending, end.response_size), (Ending::Complete, 3));

    let mut response = respond(200, []);
    response.body_mut().tells_end = true;
    assert_eq!(serve(http(), response).await.ending, Ending::Complete);
}

#[tokio::test]
async fn a_content_length_ends_the_body_where_it_is_reached() {
    let length = |length: &str, steps: &[Step]| {
        let mut response = respond(200, steps.iter().cloned());
        let value = length.parse().unwrap();
        response.headers_mut().insert(header::CONTENT_LENGTH, value);
        response
    };
    // After the last byte a server does not ask again, so the error is never met.
    let end = serve(http(), length("3", &[Step::Data("abc"), Step::Error])).await;
    assert_eq!((end.ending, end.response_size), (Ending::Complete, 3));
    let end = serve(http(), length("0", &[Step::Pending])).await;
    assert_eq!(end.ending, Ending::Complete);
    let end = serve(http(), length("5", &[Step::Data("abc")])).await;
    assert_eq!((end.ending, end.status), (Ending::BodyError, 500));
    // Not a number: the body decides.
    let end = serve(http(), length("x", &[Step::Data("abc")])).await;
    assert_eq!(end.ending, Ending::Complete);
}

#[tokio::test]
async fn trailers_after_a_satisfied_length_still_reach_the_client() {
    let recorder = Recorder::new();
    let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_: Request<String>| {
        let mut response = respond(200, [Step::Data("abc"), Step::Trailers("0")]);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, 3.into());
        ready(Ok::<_, Infallible>(response))
    }));
    let body = service.oneshot(http()).await.unwrap().into_body();
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap().len(), 1);
    assert_eq!(recorder.only().ending, Ending::Complete);
}

#[tokio::test]
async fn grpc_takes_its_status_from_trailers_or_head() {
    let cases = [
        (
            respond(200, [Step::Data("x"), Step::Trailers("0")]),
            "OK",
            false,
        ),
        (respond(200, [Step::Trailers("5")]), "NOT_FOUND", false),
        (respond(200, [Step::Trailers("13")]), "INTERNAL", true),
        (respond(200, [Step::Trailers("99")]), "UNKNOWN", true),
        (respond(200, [Step::Trailers("five")]), "UNKNOWN", true),
        (respond(200, [Step::Data("x")]), "UNKNOWN", true),
        (respond(404, []), "UNIMPLEMENTED", true),
        (respond(401, []), "UNAUTHENTICATED", false),
        (respond(403, []), "PERMISSION_DENIED", false),
        (respond(400, []), "INTERNAL", true),
        (respond(503, []), "UNAVAILABLE", true),
        (respond(418, []), "UNKNOWN", true),
    ];
    for (response, expected, server_error) in cases {
        // Without one, nobody knows whether there is such a method.
        let says_so = response.body().has_trailers();
        let end = serve(grpc(), response).await;
        assert_eq!(end.ending, Ending::Complete);
        assert_eq!(end.grpc.unwrap().to_string(), expected);
        assert_eq!(end.server_error, server_error, "{expected}");
        let known = says_so.then_some("pkg.Orders/Place");
        assert_eq!(end.grpc_method.as_deref(), known, "{expected}");
    }
    let end = serve(grpc(), respond(200, [Step::Trailers("12")])).await;
    assert_eq!((end.server_error, end.grpc_method), (true, None));

    // Some servers say it in the head, and say no more in trailers.
    let mut early = respond(200, [Step::Data("x"), Step::NoStatus]);
    early.headers_mut().extend(grpc_status("5"));
    assert_eq!(
        serve(grpc(), early).await.grpc.unwrap().to_string(),
        "NOT_FOUND"
    );

    let mut trailers_only = respond(200, []);
    trailers_only.body_mut().tells_end = true;
    trailers_only.headers_mut().extend(grpc_status("16"));
    let end = serve(grpc(), trailers_only).await;
    assert_eq!(end.grpc.unwrap().as_str(), "UNAUTHENTICATED");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_head_cancels() {
    let cases = [
        (http(), None, 0, None),
        (grpc(), None, 30, Some("CANCELLED")),
        (grpc(), Some("1S"), 30, Some("DEADLINE_EXCEEDED")),
        (grpc(), Some("1M"), 30, Some("CANCELLED")),
        // The caller's clock started a little before ours.
        (grpc(), Some("30005m"), 30, Some("DEADLINE_EXCEEDED")),
        (grpc(), Some("30020m"), 30, Some("CANCELLED")),
        (grpc(), Some("soon"), 30, Some("CANCELLED")),
    ];
    for (mut request, timeout, seconds, expected) in cases {
        if let Some(timeout) = timeout {
            let value = timeout.parse().unwrap();
            request.headers_mut().insert("grpc-timeout", value);
        }
        let recorder = Recorder::new();
        let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| {
            pending::<Result<Response<Script>, Infallible>>()
        }));
        let patience = Duration::from_secs(seconds);
        let answer = tokio::time::timeout(patience, service.oneshot(request)).await;
        assert!(answer.is_err());
        let end = recorder.only();
        assert_eq!(
            (end.ending, end.status, end.head),
            (Ending::Cancelled, 499, None)
        );
        assert_eq!(end.grpc.map(GrpcStatus::as_str), expected, "{timeout:?}");
        assert_eq!(end.elapsed, patience);
        let late = expected == Some("DEADLINE_EXCEEDED");
        assert_eq!(end.server_error, late);
    }
}

#[tokio::test]
async fn a_client_that_leaves_amid_the_body_cancels() {
    for polled in [false, true] {
        let recorder = Recorder::new();
        let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| {
            ready(Ok::<_, Infallible>(respond(
                200,
                [Step::Data("ab"), Step::Pending],
            )))
        }));
        let mut body = service.oneshot(grpc()).await.unwrap().into_body();
        if polled {
            assert!(body.frame().await.unwrap().unwrap().is_data());
            assert!(body.frame().now_or_never().is_none());
        }
        assert_eq!(recorder.ends(), []);
        drop(body);
        let end = recorder.only();
        assert_eq!((end.ending, end.status), (Ending::Cancelled, 200));
        assert_eq!(end.grpc, Some(GrpcStatus::CANCELLED));
        assert_eq!(end.response_size, if polled { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_service_error_is_an_outcome() {
    let recorder = Recorder::new();
    let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| {
        ready(Err::<Response<Script>, _>("no upstream"))
    }));
    assert_eq!(service.oneshot(http()).await.unwrap_err(), "no upstream");
    let end = recorder.only();
    assert_eq!(
        (end.ending, end.status, end.head),
        (Ending::ServiceError, 500, None)
    );
}

#[tokio::test]
async fn a_future_that_is_never_polled_is_cancelled() {
    let recorder = Recorder::new();
    let mut service = ObserveLayer::new(recorder.clone())
        .layer(service_fn(|_| ready(Ok::<_, Infallible>(respond(200, [])))));
    drop(service.call(http()));
    assert_eq!(recorder.only().ending, Ending::Cancelled);
}

#[tokio::test]
async fn what_is_over_stays_over() {
    let recorder = Recorder::new();
    let mut service = ObserveLayer::new(recorder.clone())
        .layer(service_fn(|_| ready(Ok::<_, Infallible>(respond(200, [])))));
    let mut future = pin!(service.call(http()));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
        panic!("the handler is ready");
    };
    assert!(future.poll(&mut cx).is_pending());
    let mut body = response.into_body();
    for _ in 0..3 {
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
    drop(body);
    assert_eq!(recorder.only().ending, Ending::Complete);
}

#[tokio::test]
async fn panics_that_nobody_inside_catches_are_told_apart() {
    // In `call`.
    let recorder = Recorder::new();
    let mut service = ObserveLayer::new(recorder.clone()).layer(service_fn(
        |_| -> std::future::Ready<Result<Response<Script>, Infallible>> { panic!("in call") },
    ));
    let call = AssertUnwindSafe(|| drop(service.call(http())));
    assert!(std::panic::catch_unwind(call).is_err());
    let end = recorder.only();
    assert_eq!((end.ending, end.status), (Ending::Panicked, 500));

    // In the future, which the one who caught it drops afterwards, when nothing unwinds.
    let recorder = Recorder::new();
    let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| async move {
        if true {
            panic!("in the future");
        }
        Ok::<_, Infallible>(respond(200, []))
    }));
    let mut future = Box::pin(service.oneshot(grpc()));
    assert!(AssertUnwindSafe(&mut future).catch_unwind().await.is_err());
    assert_eq!(recorder.ends(), []);
    drop(future);
    let end = recorder.only();
    assert_eq!(
        (end.ending, end.grpc),
        (Ending::Panicked, Some(GrpcStatus::INTERNAL))
    );

    // In the body, after the head.
    let recorder = Recorder::new();
    let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(respond(200, [Step::Panic])))
    }));
    let response = service.oneshot(http()).await.unwrap();
    assert!(
        AssertUnwindSafe(read(response))
            .catch_unwind()
            .await
            .is_err()
    );
    let end = recorder.only();
    assert_eq!(
        (end.ending, end.status, end.head),
        (Ending::Panicked, 500, Some(200))
    );

    // In a destructor.
    let recorder = Recorder::new();
    let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| {
        let mut response = respond(200, [Step::Pending]);
        response.body_mut().panics_when_dropped = true;
        ready(Ok::<_, Infallible>(response))
    }));
    let response = service.oneshot(http()).await.unwrap();
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| drop(response))).is_err());
    assert_eq!(recorder.only().ending, Ending::Panicked);
}

#[tokio::test]
async fn an_error_in_the_extensions_goes_to_the_observers() {
    for tells_end in [true, false] {
        let mut response = respond(500, []);
        response.body_mut().tells_end = tells_end;
        let error = Error::permanent("no space").context("store order");
        response.extensions_mut().insert(Arc::new(error));
        let end = serve(http(), response).await;
        assert_eq!(end.error.as_deref(), Some("store order: no space"));
    }
}

#[tokio::test]
async fn a_route_comes_from_the_request_or_else_from_the_response() {
    let mut response = respond(200, []);
    let late = Route::from_static("/v1/{late}");
    response.extensions_mut().insert(late);
    assert_eq!(serve(http(), response).await.route.unwrap(), "/v1/{late}");

    let mut response = respond(200, []);
    let late: Arc<str> = "/v1/{late}".into();
    response.extensions_mut().insert(Route::from(late));
    let mut request = http();
    let early = Route::from(std::borrow::Cow::Owned("/v1/{early}".to_owned()));
    request.extensions_mut().insert(early);
    assert_eq!(serve(request, response).await.route.unwrap(), "/v1/{early}");

    assert_eq!(serve(http(), respond(404, [])).await.route, None);
}

#[tokio::test]
async fn bodies_of_requests_are_counted_where_asked() {
    for (text, counted) in [("hello", 5), ("", 0)] {
        let recorder = Recorder::new();
        let service = ObserveLayer::new(recorder.clone())
            .count_request_bodies()
            .layer(service_fn(|request: Request<_>| async move {
                let body: cqi_tower::CountedBody<String> = request.into_body();
                let (size, over) = (body.size_hint().exact(), body.is_end_stream());
                assert_eq!(size.unwrap() == 0, over);
                let _ = body.collect().await;
                Ok::<_, Infallible>(respond(200, []))
            }));
        let response = service.oneshot(http().map(|_| text.to_owned())).await;
        drop(response.unwrap());
        assert_eq!(recorder.only().request_size, Some(counted));
    }
    // A declared size needs no counting; what is not read does not count.
    let end = serve(http().map(|_| "hello".to_owned()), respond(200, [])).await;
    assert_eq!(end.request_size, Some(5));
}

/// Counts how often it is entered, and panics at the end if told so.
#[derive(Clone, Debug, Default)]
struct Entries {
    polls: Arc<AtomicUsize>,
    ends: Arc<AtomicUsize>,
    panics: bool,
}

impl Observer for Entries {
    type Observation = Self;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> Self {
        self.clone()
    }
}

impl Observation for Entries {
    fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.polls.fetch_add(1, Ordering::Relaxed);
        poll()
    }

    fn on_end(self, _: &Outcome<'_>) {
        self.ends.fetch_add(1, Ordering::Relaxed);
        if self.panics {
            panic!("an observer panicked");
        }
    }
}

#[tokio::test]
async fn each_poll_is_entered_once() {
    let entries = Entries::default();
    let service = ObserveLayer::new((entries.clone(), Some(entries.clone()), None::<Entries>, ()))
        .layer(service_fn(|_| {
            ready(Ok::<_, Infallible>(respond(200, [Step::Data("x")])))
        }));
    let response = service.oneshot(http()).await.unwrap();
    read(response).await.unwrap();
    // The call, the future, the frame and the end; each by two observers.
    assert_eq!(entries.polls.load(Ordering::Relaxed), 8);
    assert_eq!(entries.ends.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_observer_that_panics_amid_a_panic_does_not_end_the_process() {
    let entries = Entries {
        panics: true,
        ..Entries::default()
    };
    let service = ObserveLayer::new(entries.clone()).layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(respond(200, [Step::Panic])))
    }));
    let response = service.oneshot(http()).await.unwrap();
    let caught = AssertUnwindSafe(read(response)).catch_unwind().await;
    let message = caught.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(*message, "the body panicked");
    assert_eq!(entries.ends.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_declared_size_is_that_of_the_header_where_the_body_knows_none() {
    let recorder = Recorder::new();
    let service = ObserveLayer::new(recorder.clone())
        .layer(service_fn(|_| ready(Ok::<_, Infallible>(respond(200, [])))));
    let request = Request::post("/").header(header::CONTENT_LENGTH, 7);
    let request = request.body(script([Step::Pending])).unwrap();
    read(service.oneshot(request).await.unwrap()).await.unwrap();
    assert_eq!(recorder.only().request_size, Some(7));
}

#[test]
fn what_unwinding_drops_has_panicked() {
    let recorder = Recorder::new();
    let mut service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| {
        pending::<Result<Response<Script>, Infallible>>()
    }));
    let future = service.call(http());
    let outside = AssertUnwindSafe(move || {
        let _future = future;
        panic!("a neighbour panicked");
    });
    assert!(std::panic::catch_unwind(outside).is_err());
    assert_eq!(recorder.only().ending, Ending::Panicked);
}

#[test]
fn a_grpc_method_is_a_name_of_two_parts() {
    let method = |path: &str| {
        let recorder = Recorder::new();
        let mut service = ObserveLayer::new(recorder.clone())
            .layer(service_fn(|_| ready(Ok::<_, Infallible>(respond(200, [])))));
        let mut request = grpc();
        *request.uri_mut() = path.parse().unwrap();
        drop(service.call(request));
        recorder.only().grpc_method
    };
    assert_eq!(method("/pkg.Svc/Get").as_deref(), Some("pkg.Svc/Get"));
    for bad in ["/", "/pkg.Svc", "/pkg.Svc/", "//Get", "/a/b/c"] {
        assert_eq!(method(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn observers_may_change_both_heads() {
    let service = ObserveLayer::new(Recorder::new())
        .layer(service_fn(|_| ready(Ok::<_, Infallible>(respond(200, [])))));
    let response = service.oneshot(http()).await.unwrap();
    assert_eq!(response.headers()["x-observed"], "yes");
    assert_eq!(response.status(), StatusCode::OK);
}
