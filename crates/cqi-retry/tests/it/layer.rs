//! The tower layer.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use cqi_errors::{Error, Kind};
use cqi_retry::{Budget, Retry, RetryBuilder, RetryLayer, on_error};
use http::{Request, Response};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{STEADY, millis};

fn failure(result: Result<&Response<u32>, &Infallible>) -> Option<Error> {
    match result {
        Ok(response) => Error::from_response(response),
        Err(never) => match *never {},
    }
}

fn steady() -> RetryBuilder {
    Retry::builder().backoff(STEADY)
}

/// Answers with the statuses in order, then with 200; the body is the number of the call.
fn server(
    statuses: &'static [u16],
) -> (
    impl Service<Request<&'static str>, Response = Response<u32>, Error = Infallible, Future: Send>
    + Clone,
    Arc<AtomicU32>,
) {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let service = service_fn(move |request: Request<&'static str>| {
        assert_eq!(*request.body(), "ping");
        let call = count.fetch_add(1, Ordering::Relaxed);
        let status = statuses.get(call as usize).copied().unwrap_or(200);
        let mut response = Response::new(call + 1);
        *response.status_mut() = status.try_into().unwrap();
        let headers = response.headers_mut();
        headers.insert("retry-after", "0".parse().unwrap());
        ready(Ok(response))
    });
    (service, calls)
}

fn ping() -> Request<&'static str> {
    Request::new("ping")
}

#[tokio::test(start_paused = true)]
async fn it_retries_until_it_succeeds() {
    let (server, _) = server(&[503, 429]);
    let client = RetryLayer::new(steady().build().unwrap(), failure).layer(server);
    let started = Instant::now();
    let response = client.oneshot(ping()).await.unwrap();
    assert_eq!((response.status().as_u16(), *response.body()), (200, 3));
    assert_eq!(started.elapsed(), millis(300));
}

#[tokio::test(start_paused = true)]
async fn the_last_response_passes_unchanged() {
    let (server, calls) = server(&[503; 9]);
    let retry = steady().max_attempts(3).build().unwrap();
    let client = RetryLayer::new(retry, failure).layer(server);
    let response = client.oneshot(ping()).await.unwrap();
    assert_eq!((response.status().as_u16(), *response.body()), (503, 3));
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn what_will_fail_again_is_not_tried_again() {
    let (server, calls) = server(&[404]);
    let client = RetryLayer::new(steady().build().unwrap(), failure).layer(server);
    assert_eq!(client.oneshot(ping()).await.unwrap().status(), 404);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn errors_pass_unchanged_with_their_kind() {
    let calls = Arc::new(Mutex::new(vec![
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
    ]));
    let script = Arc::clone(&calls);
    let server = service_fn(move |(): ()| {
        let kind = script.lock().unwrap().pop().unwrap();
        ready(Err::<(), _>(io::Error::from(kind)))
    });
    let client =
        RetryLayer::new(steady().build().unwrap(), on_error::<(), io::Error>).layer(server);
    let error = client.oneshot(()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(calls.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn all_clients_share_the_default_budget() {
    let (server, calls) = server(&[503; 10_000]);
    let layer = RetryLayer::new(steady().build().unwrap(), failure);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..500 {
        clients.spawn(layer.layer(server.clone()).oneshot(ping()));
    }
    while clients.join_next().await.is_some() {}
    // 10 retries a second for 10 s at most, where 500 calls would mean 2000 retries.
    let retries = calls.load(Ordering::Relaxed) - 500;
    assert!((50..=200).contains(&retries), "{retries} retries");
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_ones_own_is_kept() {
    let (server, calls) = server(&[503; 9]);
    let none = Budget::new(Duration::from_secs(1), 0, 0.0).unwrap();
    let retry = steady().budget(none).build().unwrap();
    let client = RetryLayer::new(retry, failure).layer(server);
    assert_eq!(client.oneshot(ping()).await.unwrap().status(), 503);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_a_pause_with_the_last_result() {
    let (server, calls) = server(&[503; 9]);
    let token = CancellationToken::new();
    let retry = steady().cancellation(token.clone()).build().unwrap();
    let client = RetryLayer::new(retry, failure).layer(server);
    let started = Instant::now();
    let cancel = async {
        sleep(millis(150)).await;
        token.cancel();
    };
    let (response, ()) = tokio::join!(client.oneshot(ping()), cancel);
    assert_eq!(started.elapsed(), millis(150));
    assert_eq!(*response.unwrap().body(), 2);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_stops() {
    let (server, calls) = server(&[503; 9]);
    let client = RetryLayer::new(steady().build().unwrap(), failure).layer(server);
    let call = client.oneshot(ping());
    assert!(timeout(millis(150), call).await.is_err());
    sleep(millis(5000)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_layer_within_bounds_an_attempt() {
    let failure = |result: Result<&(), &BoxError>| {
        let error = result.err()?.as_ref();
        Some(Error::new(Kind::of(error), error.to_string()))
    };
    let frozen = service_fn(|(): ()| std::future::pending::<Result<(), BoxError>>());
    let client = tower::ServiceBuilder::new()
        .layer(RetryLayer::new(
            steady().max_attempts(2).build().unwrap(),
            failure,
        ))
        .timeout(millis(50))
        .service(frozen);
    let started = Instant::now();
    let error = client.oneshot(()).await.unwrap_err();
    assert_eq!(Kind::of(error.as_ref()), Kind::Timeout);
    assert_eq!(started.elapsed(), millis(200));
}

/// Insists on `poll_ready` before each call, as the contract of `Service` allows.
#[derive(Debug, Default)]
struct Strict {
    ready: bool,
    readied: Arc<AtomicU32>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            readied: Arc::clone(&self.readied),
        }
    }
}

impl Service<()> for Strict {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        match self.readied.fetch_add(1, Ordering::Relaxed) {
            3 => Poll::Ready(Err("closed".into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before ready");
        ready(Err("refused".into()))
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_is_ready_before_each_call() {
    let strict = Strict::default();
    let all = |result: Result<&(), &BoxError>| {
        let error = result.err()?;
        Some(Error::temporary(error.to_string()))
    };
    let client = RetryLayer::new(steady().build().unwrap(), all).layer(strict.clone());
    let error = client.oneshot(()).await.unwrap_err();
    assert_eq!(error.to_string(), "closed");
    assert_eq!(strict.readied.load(Ordering::Relaxed), 4);
}

#[test]
fn debug_shows_the_settings() {
    let layer = RetryLayer::new(Retry::default(), on_error::<(), io::Error>);
    let service = layer.layer(());
    assert!(format!("{service:?}").contains("max_attempts: Some(5)"));
}
