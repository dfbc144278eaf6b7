//! Panics of each kind and place, and what client, log, hook and observer learn of them.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use cqi_tower::{
    Ending, GrpcStatus, Observation, ObserveLayer, Observer, Outcome, RecoverLayer, RequestInfo,
};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tracing::Level;

use crate::logged::{Logged, Spans};
use crate::recorder::Recorder;
use crate::script::{Script, Step, grpc, http, read, script};

/// Where a handler panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Ready,
    Call,
    Poll,
    DropOfFuture,
    /// After one frame.
    Frame,
    DropOfBody,
}

/// A service that panics as it is told.
#[derive(Clone)]
struct Handler {
    at: At,
    panic: fn(),
}

struct Handling {
    handler: Handler,
    panicked: bool,
}

impl Handler {
    fn reach(&self, at: At) {
        if self.at == at {
            (self.panic)();
        }
    }
}

impl<B> Service<Request<B>> for Handler {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Handling;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.reach(At::Ready);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Handling {
        self.reach(At::Call);
        Handling {
            handler: self.clone(),
            panicked: false,
        }
    }
}

impl Future for Handling {
    type Output = Result<Response<Script>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.panicked, "polled after a panic");
        self.panicked = true;
        self.handler.reach(At::Poll);
        let mut body = match self.handler.at {
            At::Frame => script([Step::Data("part"), Step::Panic]),
            At::DropOfBody => script([Step::Data("part"), Step::Pending]),
            _ => script([Step::Data("whole")]),
        };
        body.panics_when_dropped = self.handler.at == At::DropOfBody;
        Poll::Ready(Ok(Response::new(body)))
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.handler.reach(At::DropOfFuture);
        }
    }
}

/// Gives each request a span.
#[derive(Clone)]
struct Spanned;

impl Observer for Spanned {
    type Observation = ();

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) {
        info.set_span(tracing::info_span!("request"));
    }
}

fn text() {
    panic!("secret of {}", "the handler");
}

fn no_text() {
    panic_any(7_u8);
}

#[derive(Clone)]
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic_any(Self);
    }
}

fn nasty() {
    panic_any(PanicsWhenDropped);
}

/// Serves one request; returns the head, what could be read, and what was learnt of it.
async fn serve(
    request: Request<String>,
    handler: Handler,
) -> (
    http::response::Parts,
    Result<(String, HeaderMap), cqi_errors::BoxError>,
    crate::recorder::End,
) {
    let recorder = Recorder::new();
    let service =
        ObserveLayer::new((Spanned, recorder.clone())).layer(RecoverLayer::new().layer(handler));
    let response = service.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let mut head = Response::new(());
    *head.headers_mut() = parts.headers.clone();
    let read = read(head.map(|()| body)).await;
    (parts, read, recorder.only())
}

#[tokio::test]
async fn before_the_head_http_gets_a_problem() {
    for at in [At::Ready, At::Call, At::Poll, At::DropOfFuture] {
        let (logged, _guard) = Logged::start();
        let (head, read, end) = serve(http(), Handler { at, panic: text }).await;
        assert_eq!(head.status, 500);
        assert_eq!(head.headers["content-type"], "application/problem+json");
        let (body, _) = read.unwrap();
        assert!(body.contains("\"detail\":\"internal error\""), "{body}");
        assert!(!body.contains("secret"), "{body}");

        assert_eq!((end.ending, end.status), (Ending::Complete, 500));
        let place = match at {
            At::Ready => "poll_ready",
            At::Call => "call",
            _ => "future",
        };
        let error = end.error.unwrap();
        assert_eq!(
            error,
            format!("panicked in the {place}: secret of the handler")
        );

        let line = logged.only();
        assert_eq!(line.level, Level::ERROR);
        assert_eq!(line.field("message"), Some("the handler panicked"));
        assert_eq!(line.field("exception.type"), Some("panic"));
        assert_eq!(
            line.field("exception.message"),
            Some("secret of the handler")
        );
        assert_eq!(line.field("place"), Some(place));
        let spans: &[&str] = if at == At::Ready { &[] } else { &["request"] };
        assert_eq!(line.spans, spans);
    }
}

#[tokio::test]
async fn before_the_head_grpc_gets_trailers_alone() {
    for at in [At::Ready, At::Call, At::Poll] {
        let (head, read, end) = serve(grpc(), Handler { at, panic: text }).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["grpc-status"], "13");
        assert_eq!(head.headers["grpc-message"], "internal error");
        assert_eq!(read.unwrap().0, "");
        assert_eq!(
            (end.ending, end.grpc),
            (Ending::Complete, Some(GrpcStatus::INTERNAL))
        );
        assert!(end.error.unwrap().contains("secret"));
    }
}

#[tokio::test]
async fn amid_the_body_http_breaks_off_and_grpc_gets_trailers() {
    let handler = Handler {
        at: At::Frame,
        panic: text,
    };
    let (logged, _guard) = Logged::start();
    let (head, read, end) = serve(http(), handler.clone()).await;
    assert_eq!(head.status, 200);
    let error = read.unwrap_err();
    assert!(
        error.to_string().contains("panicked in the body"),
        "{error}"
    );
    assert_eq!(
        (end.ending, end.status, end.response_size),
        (Ending::BodyError, 500, 4)
    );
    assert_eq!(logged.only().spans, ["request"]);

    let (_, read, end) = serve(grpc(), handler).await;
    let (body, trailers) = read.unwrap();
    assert_eq!(body, "part");
    assert_eq!(trailers["grpc-status"], "13");
    assert_eq!(trailers["grpc-message"], "internal error");
    assert_eq!(
        (end.ending, end.grpc),
        (Ending::Complete, Some(GrpcStatus::INTERNAL))
    );
}

#[tokio::test]
async fn after_a_panic_the_body_is_over() {
    for request in [http(), grpc()] {
        let service = RecoverLayer::new().layer(Handler {
            at: At::Frame,
            panic: text,
        });
        let mut body = service.oneshot(request).await.unwrap().into_body();
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), None);
        assert!(body.frame().await.unwrap().unwrap().is_data());
        let _ = body.frame().await.unwrap();
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn destructors_that_panic_are_caught() {
    for at in [At::DropOfFuture, At::DropOfBody] {
        let (logged, _guard) = Logged::start();
        let mut service = RecoverLayer::new().layer(Handler { at, panic: text });
        let future = service.call(http());
        if at == At::DropOfFuture {
            drop(future);
            assert_eq!(logged.only().field("place"), Some("future"));
        } else {
            drop(future.await.unwrap());
            assert_eq!(logged.only().field("place"), Some("body"));
        }
    }
}

#[tokio::test]
async fn a_hook_hears_of_each_panic_and_may_panic_itself() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    let layer = RecoverLayer::new().on_panic(move |panic| {
        into.lock()
            .unwrap()
            .push((panic.place(), panic.to_string()));
        assert!(panic.location().is_none() && panic.backtrace().is_none());
        panic_any(PanicsWhenDropped);
    });
    for panic in [text, no_text, nasty] {
        let service = layer.layer(Handler {
            at: At::Call,
            panic,
        });
        assert_eq!(service.oneshot(http()).await.unwrap().status(), 500);
    }
    let heard = heard.lock().unwrap();
    let texts: Vec<_> = heard.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "panicked in the call: secret of the handler",
            "panicked in the call: the payload is no text",
            "panicked in the call: the payload is no text",
        ]
    );
    assert!(format!("{layer:?}").starts_with("RecoverLayer"));
}

#[tokio::test]
async fn the_innermost_layer_answers() {
    let count = Arc::new(Mutex::new([0, 0]));
    let counting = |index: usize| {
        let count = Arc::clone(&count);
        RecoverLayer::new().on_panic(move |_| count.lock().unwrap()[index] += 1)
    };
    for at in [At::Call, At::Poll, At::Frame, At::DropOfBody] {
        let (logged, _guard) = Logged::start();
        let handler = Handler { at, panic: text };
        let service = counting(0).layer(counting(1).layer(handler));
        let response = service.oneshot(grpc()).await.unwrap();
        if at == At::DropOfBody {
            drop(response);
        } else {
            let _ = read(response).await.unwrap();
        }
        assert_eq!(logged.lines().len(), 1, "{at:?}");
    }
    assert_eq!(*count.lock().unwrap(), [0, 4]);
}

#[tokio::test]
async fn the_service_goes_on_after_a_panic() {
    let mut service =
        RecoverLayer::new().layer(service_fn(|request: Request<String>| async move {
            assert!(request.body().is_empty(), "the handler panicked");
            Ok::<_, Infallible>(Response::new("fine".to_owned()))
        }));
    for _ in 0..3 {
        let bad = service
            .ready()
            .await
            .unwrap()
            .call(http().map(|_| "x".into()));
        assert_eq!(bad.await.unwrap().status(), 500);
        let good = service.ready().await.unwrap().call(http()).await.unwrap();
        assert_eq!(read(good).await.unwrap().0, "fine");
    }
}

#[tokio::test]
async fn what_does_not_panic_passes_through() {
    let service = RecoverLayer::new().layer(service_fn(|_: Request<String>| {
        ready(Ok::<_, Infallible>(Response::new(script([
            Step::Data("a"),
            Step::Trailers("0"),
        ]))))
    }));
    let clone = service.clone();
    let (body, trailers) = read(clone.oneshot(grpc()).await.unwrap()).await.unwrap();
    assert_eq!((body.as_str(), trailers.len()), ("a", 1));

    let failing = RecoverLayer::new().layer(service_fn(|_: Request<String>| {
        ready(Ok::<_, Infallible>(Response::new(script([Step::Error]))))
    }));
    let error = read(failing.oneshot(http()).await.unwrap())
        .await
        .unwrap_err();
    assert!(error.downcast_ref::<std::io::Error>().is_some());

    let refusing = service_fn(|_: Request<String>| ready(Err::<Response<Script>, _>("no")));
    let refusing = RecoverLayer::new().layer(refusing);
    assert_eq!(refusing.oneshot(http()).await.unwrap_err(), "no");

    let waiting = service_fn(|_| pending::<Result<Response<Script>, Infallible>>());
    let mut waiting = RecoverLayer::new().layer(waiting);
    let mut future = Box::pin(waiting.call(http()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn a_future_that_is_over_stays_over() {
    for at in [At::Call, At::Poll, At::Frame] {
        let mut service = RecoverLayer::new().layer(Handler { at, panic: text });
        let mut future = Box::pin(service.call(http()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_ready());
        assert!(future.as_mut().poll(&mut cx).is_pending());
    }
}

/// Panics where a server only asks about the body.
struct Evasive;

impl Body for Evasive {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        panic!("is it over?")
    }

    fn size_hint(&self) -> SizeHint {
        panic!("how long is it?")
    }
}

#[tokio::test]
async fn questions_about_the_body_may_panic() {
    let service = RecoverLayer::new().layer(service_fn(|_: Request<String>| {
        ready(Ok::<_, Infallible>(Response::new(Evasive)))
    }));
    let body = service.oneshot(http()).await.unwrap().into_body();
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), None);
    assert!(cqi_tower::RecoverBody::<Script>::default().is_end_stream());
}

/// Panics at an outcome, and when a panic of its request is logged.
#[derive(Clone)]
struct BadObserver;

impl Observer for BadObserver {
    type Observation = Self;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> Self {
        Self
    }
}

impl Observation for BadObserver {
    fn on_end(self, _: &Outcome<'_>) {
        panic!("an observer panicked");
    }
}

#[tokio::test]
async fn an_observer_that_panics_can_be_recovered_from_too() {
    let service = RecoverLayer::new().layer(ObserveLayer::new(BadObserver).layer(service_fn(
        |_: Request<String>| ready(Ok::<_, Infallible>(Response::new(String::new()))),
    )));
    assert_eq!(service.oneshot(http()).await.unwrap().status(), 500);
}

#[tokio::test]
async fn the_span_is_entered_once_for_each_poll_and_closes_with_the_outcome() {
    let (logged, _guard) = Logged::start();
    let service = ObserveLayer::new(Spanned).layer(RecoverLayer::new().layer(Handler {
        at: At::Ready,
        panic: || (),
    }));
    let mut body = service.oneshot(http()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.frame().await.is_none());
    // The call, the future, the frame, the end.
    let expected = Spans {
        opened: 1,
        entered: 4,
        closed: 1,
    };
    assert_eq!(*logged.spans.lock().unwrap(), expected);
    drop(body);
    assert_eq!(*logged.spans.lock().unwrap(), expected);
}

/// Logs when it is dropped.
#[derive(Clone)]
struct Parting;

impl Drop for Parting {
    fn drop(&mut self) {
        tracing::info!("dropped");
    }
}

impl Future for Parting {
    type Output = Result<Response<Script>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Body for Parting {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// Sees what each observation is entered for.
#[derive(Clone, Default)]
struct Around(Arc<Mutex<usize>>);

impl Observer for Around {
    type Observation = Self;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> Self {
        self.clone()
    }
}

impl Observation for Around {
    fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        *self.0.lock().unwrap() += 1;
        poll()
    }

    fn on_end(self, _: &Outcome<'_>) {}
}

#[tokio::test]
async fn what_is_dropped_midway_is_dropped_within_the_request() {
    let (logged, _guard) = Logged::start();
    let around = Around::default();
    let layer = ObserveLayer::new((Spanned, around.clone()));
    drop(layer.layer(service_fn(|_| Parting)).call(http()));
    let mut with_body = layer.layer(service_fn(|_: Request<String>| {
        ready(Ok::<_, Infallible>(Response::new(Parting)))
    }));
    drop(with_body.call(http()).await.unwrap());
    let lines = logged.lines();
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|line| line.spans == ["request"]),
        "{lines:#?}"
    );
    // The call and its end; the call, the future and the end of the body.
    assert_eq!(*around.0.lock().unwrap(), 5);
}

/// Panics at each event.
struct BadSubscriber;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for BadSubscriber {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        panic!("a subscriber panicked");
    }
}

#[tokio::test]
async fn a_subscriber_that_panics_does_not_undo_the_rescue() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let bad = tracing_subscriber::registry().with(BadSubscriber);
    let _guard = tracing::subscriber::set_default(bad);
    let service = RecoverLayer::new().layer(Handler {
        at: At::Poll,
        panic: text,
    });
    assert_eq!(service.oneshot(http()).await.unwrap().status(), 500);
}

#[test]
fn a_service_that_panicked_when_asked_is_not_asked_again_before_its_call() {
    let (logged, _guard) = Logged::start();
    let mut service = RecoverLayer::new().layer(Handler {
        at: At::Ready,
        panic: text,
    });
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        let polled = Service::<Request<String>>::poll_ready(&mut service, &mut cx);
        assert!(polled.is_ready());
    }
    assert_eq!(logged.lines().len(), 1);
}

#[tokio::test]
async fn what_is_dropped_midway_is_dropped_in_one_entry() {
    let (logged, _guard) = Logged::start();
    let handler = Handler {
        at: At::Ready,
        panic: || (),
    };
    let mut service = ObserveLayer::new(Spanned).layer(handler);
    drop(service.call(http()));
    let expected = Spans {
        opened: 1,
        entered: 2,
        closed: 1,
    };
    assert_eq!(*logged.spans.lock().unwrap(), expected);

    drop(service.call(http()).await.unwrap());
    let expected = Spans {
        opened: 2,
        entered: 5,
        closed: 2,
    };
    assert_eq!(*logged.spans.lock().unwrap(), expected);
}
