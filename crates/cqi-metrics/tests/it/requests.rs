//! What is measured of requests.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;
use std::task::{Context, Waker};
use std::time::Duration;

use allocation_counter::measure;
use cqi_metrics::{Format, Metrics, MetricsLayer};
use cqi_tower::{Observation, ObserveLayer, Observer, RequestInfo, Route, TraceIds};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use tokio::runtime::Builder;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::guard::value;
use crate::{metrics, settings};

type Body = Full<&'static [u8]>;

fn request(method: &str, route: Option<&'static str>) -> Request<Body> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri("/v1/assets/btc?x=1")
        .body(Body::new(b"hello"))
        .unwrap();
    if let Some(route) = route {
        request.extensions_mut().insert(Route::from_static(route));
    }
    request
}

fn call(path: &str, code: &str) -> Request<Body> {
    let call = Request::post(path)
        .header("content-type", "application/grpc")
        .header("answer", code);
    call.body(Body::new(b"")).unwrap()
}

/// Answers with the status, or the gRPC status, that the request asks for.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::new(b"12345678"));
    if let Some(code) = request.headers().get("answer") {
        response.headers_mut().insert("grpc-status", code.clone());
    } else if let Some(status) = request.headers().get("status") {
        *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
    }
    Ok(response)
}

fn run<L>(layer: L, request: Request<Body>)
where
    L: Observer + Clone,
{
    let service = ObserveLayer::new(layer).layer(service_fn(answer));
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let response = service.oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    });
}

#[test]
fn a_request_is_measured_by_its_route() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    for _ in 0..3 {
        run(layer.clone(), request("GET", Some("/v1/assets/{id}")));
    }
    run(layer.clone(), request("BREW", None));
    let labels = "method=\"GET\",path=\"/v1/assets/{id}\",status_code=\"200\"";
    let of =
        |name: &str, labels: &str| value(&metrics, &format!("service_http_{name}{{{labels}}}"));
    assert_eq!(of("request_count_total", labels), Some(3.0));
    assert_eq!(of("request_duration_seconds_count", labels), Some(3.0));
    assert_eq!(of("request_size_bytes_sum", labels), Some(15.0));
    assert_eq!(of("response_size_bytes_sum", labels), Some(24.0));
    assert_eq!(
        of(
            "response_size_bytes_bucket",
            &format!("{labels},le=\"256.0\"")
        ),
        Some(3.0)
    );
    let labels = "method=\"_OTHER\",path=\"unmatched\",status_code=\"200\"";
    assert_eq!(of("request_count_total", labels), Some(1.0));
    assert_eq!(
        value(&metrics, "service_http_requests_in_flight"),
        Some(0.0)
    );
    assert_eq!(value(&metrics, "service_request_panics_total"), Some(0.0));
}

#[test]
fn a_method_that_a_route_does_not_have_is_no_label() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    for method in ["PUT", "DELETE", "BREW"] {
        let mut request = request(method, Some("/"));
        request
            .headers_mut()
            .insert("status", "405".parse().unwrap());
        run(layer.clone(), request);
    }
    let labels = "{method=\"_OTHER\",path=\"/\",status_code=\"405\"}";
    assert_eq!(
        value(
            &metrics,
            &format!("service_http_request_count_total{labels}")
        ),
        Some(3.0)
    );
}

#[test]
fn a_call_is_measured_by_its_method_if_there_is_one() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    run(layer.clone(), call("/pkg.Assets/Get", "0"));
    run(layer.clone(), call("/pkg.Assets/Get", "5"));
    run(layer.clone(), call("/pkg.Nothing/Made.Up", "12"));
    run(layer.clone(), call("/pkg.Nothing/Made.Up.Too", "12"));
    let of = |labels: &str| {
        value(
            &metrics,
            &format!("service_grpc_call_count_total{{{labels}}}"),
        )
    };
    assert_eq!(of("method=\"pkg.Assets/Get\",code=\"OK\""), Some(1.0));
    assert_eq!(
        of("method=\"pkg.Assets/Get\",code=\"NOT_FOUND\""),
        Some(1.0)
    );
    assert_eq!(of("method=\"other\",code=\"UNIMPLEMENTED\""), Some(2.0));
    assert_eq!(
        value(
            &metrics,
            "service_grpc_call_duration_seconds_count{method=\"other\",code=\"UNIMPLEMENTED\"}"
        ),
        Some(2.0)
    );
    assert_eq!(value(&metrics, "service_grpc_calls_in_flight"), Some(0.0));
    assert!(
        !metrics
            .render(Format::OpenMetrics)
            .contains("service_http_request_count_total{")
    );
}

#[test]
fn callers_cannot_make_up_methods_by_what_is_answered_in_front_of_them() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    let of = |method: &str, code: &str| {
        let labels = format!("{{method=\"{method}\",code=\"{code}\"}}");
        value(&metrics, &format!("service_grpc_call_count_total{labels}"))
    };
    let hang_up = |path: &str| {
        let mut waiting = layer.layer(service_fn(|_: Request<Body>| {
            pending::<Result<Response<Body>, Infallible>>()
        }));
        let mut future = Box::pin(waiting.call(call(path, "0")));
        let poll = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
    };
    let denied = [
        ("7", "PERMISSION_DENIED"),
        ("8", "RESOURCE_EXHAUSTED"),
        ("12", "UNIMPLEMENTED"),
        ("16", "UNAUTHENTICATED"),
    ];
    for (code, name) in denied {
        run(layer.clone(), call("/pkg.Assets/Get", code));
        assert_eq!(of("other", name), Some(1.0));
    }
    hang_up("/pkg.Assets/Get");
    assert_eq!(of("other", "CANCELLED"), Some(1.0));
    assert!(!metrics.render(Format::Text).contains("Assets"));

    // An answer of its own, be it an error, makes it known.
    run(layer.clone(), call("/pkg.Assets/Get", "14"));
    assert_eq!(of("pkg.Assets/Get", "UNAVAILABLE"), Some(1.0));
    run(layer.clone(), call("/pkg.Assets/Get", "16"));
    assert_eq!(of("pkg.Assets/Get", "UNAUTHENTICATED"), Some(1.0));
    hang_up("/pkg.Assets/Get");
    assert_eq!(of("pkg.Assets/Get", "CANCELLED"), Some(1.0));
}

#[test]
fn a_request_is_in_flight_until_its_end_whatever_that_is() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    let in_flight = || value(&metrics, "service_http_requests_in_flight");
    let mut waiting = layer.layer(service_fn(|_: Request<Body>| {
        pending::<Result<Response<Body>, Infallible>>()
    }));
    let mut futures: Vec<_> = (0..5)
        .map(|_| Box::pin(waiting.call(request("GET", Some("/")))))
        .collect();
    for future in &mut futures {
        assert!(
            future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    assert_eq!(in_flight(), Some(5.0));
    drop(futures);
    assert_eq!(in_flight(), Some(0.0));
    let labels = "{method=\"GET\",path=\"/\",status_code=\"499\"}";
    assert_eq!(
        value(
            &metrics,
            &format!("service_http_request_count_total{labels}")
        ),
        Some(5.0)
    );

    let broken =
        |_: Request<Body>| -> std::future::Ready<Result<Response<Empty<&[u8]>>, Infallible>> {
            panic!("broken")
        };
    let mut broken = layer.layer(service_fn(broken));
    let call = std::panic::catch_unwind(AssertUnwindSafe(|| {
        drop(broken.call(request("GET", Some("/"))));
    }));
    assert!(call.is_err());
    let mut failing = layer.layer(service_fn(|_: Request<Body>| {
        ready(Err::<Response<Body>, _>("no"))
    }));
    let mut future = Box::pin(failing.call(request("GET", Some("/"))));
    assert!(
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
    drop(future);
    assert_eq!(in_flight(), Some(0.0));
    let labels = "{method=\"GET\",path=\"/\",status_code=\"500\"}";
    assert_eq!(
        value(
            &metrics,
            &format!("service_http_request_count_total{labels}")
        ),
        Some(2.0)
    );
}

/// Says that each request belongs to a trace.
#[derive(Clone)]
struct Traced {
    sampled: bool,
}

struct Nothing;

impl Observer for Traced {
    type Observation = Nothing;

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) -> Nothing {
        info.set_trace(TraceIds {
            trace_id: 0xabc,
            span_id: 1,
            sampled: self.sampled,
        });
        Nothing
    }
}

impl Observation for Nothing {
    fn on_end(self, _: &cqi_tower::Outcome<'_>) {}
}

#[test]
fn a_sampled_trace_is_an_exemplar() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    let exemplar = " # {trace_id=\"00000000000000000000000000000abc\"} ";
    run(
        (Traced { sampled: false }, layer.clone()),
        request("GET", Some("/")),
    );
    assert!(!metrics.render(Format::OpenMetrics).contains("trace_id"));
    run((Traced { sampled: true }, layer), request("GET", Some("/")));
    let text = metrics.render(Format::OpenMetrics);
    let lines = text.lines().filter(|line| line.contains(exemplar));
    assert_eq!(lines.count(), 1, "{text}");
    assert!(!metrics.render(Format::Text).contains("abc"));
}

#[test]
fn a_known_route_costs_no_allocation() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    fn allocations(observer: impl Observer + Clone, request: impl Fn() -> Request<Body>) -> u64 {
        let mut service = ObserveLayer::new(observer).layer(service_fn(answer));
        let mut once = || {
            let mut future = std::pin::pin!(service.call(request()));
            let poll = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(poll.is_ready());
        };
        once();
        measure(|| (0..100).for_each(|_| once())).count_total
    }
    let http = || request("GET", Some("/v1/assets/{id}"));
    assert_eq!(allocations(layer.clone(), http), allocations((), http));
    let grpc = || call("/pkg.Assets/Get", "0");
    assert_eq!(allocations(layer.clone(), grpc), allocations((), grpc));
    let traced = (Traced { sampled: true }, layer);
    assert_eq!(allocations(traced, http), allocations((), http));
}

#[test]
fn a_flood_of_all_kinds_stays_below_a_mebibyte() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    let observer = (Traced { sampled: true }, layer);
    let mut service = ObserveLayer::new(observer).layer(service_fn(answer));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let routes: Vec<_> = (0..20)
        .map(|number| {
            Route::from(std::borrow::Cow::Owned(format!(
                "/v1/portfolios/{{portfolio_id}}/positions/{number}"
            )))
        })
        .collect();
    let requests = 20_000_u32;
    runtime.block_on(async {
        for number in 0..requests {
            let mut request = request(["GET", "POST", "PUT", "X"][number as usize % 4], None);
            request
                .extensions_mut()
                .insert(routes[number as usize % 20].clone());
            let status = (200 + number / 20 % 400).to_string();
            request
                .headers_mut()
                .insert("status", status.parse().unwrap());
            let mut future = std::pin::pin!(service.call(request));
            tokio::time::advance(Duration::from_micros(1_u64 << (number % 24))).await;
            future.as_mut().await.unwrap();
            let path = format!(
                "/cqi.portfolios.v1.PortfolioService/ListPositions{}",
                number % 100
            );
            let mut future = std::pin::pin!(service.call(call(&path, &(number % 17).to_string())));
            tokio::time::advance(Duration::from_micros(1_u64 << (number % 24))).await;
            future.as_mut().await.unwrap();
        }
    });
    let text = metrics.render(Format::OpenMetrics);
    assert!((700_000..1 << 20).contains(&text.len()), "{}", text.len());
    let total = |metric: &str| -> f64 {
        let values = text.lines().filter_map(|line| {
            line.strip_prefix(metric)?
                .strip_prefix('{')?
                .rsplit_once("} ")
        });
        values.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    };
    assert_eq!(
        total("service_http_request_count_total"),
        f64::from(requests)
    );
    assert_eq!(
        total("service_http_response_size_bytes_count"),
        f64::from(requests)
    );
    assert_eq!(total("service_grpc_call_count_total"), f64::from(requests));
    for family in [
        "http_request_duration_seconds",
        "http_request_size_bytes",
        "grpc_call_duration_seconds",
    ] {
        let series = text
            .lines()
            .filter(|line| line.starts_with(&format!("service_{family}")))
            .count();
        assert!(series <= 1500, "{family}: {series}");
    }
    let overflow = total("service_metrics_series_overflow_total");
    assert!(overflow > f64::from(requests), "{overflow}");
}

#[test]
fn one_layer_is_enough() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    let error = MetricsLayer::new(&metrics).unwrap_err();
    assert_eq!(error.kind(), cqi_errors::Kind::Conflict);
    // Both are where the layers are made.
    assert_eq!(error.to_string().matches("requests.rs:").count(), 2);
    layer.clone().panics().inc();
    assert_eq!(value(&metrics, "service_request_panics_total"), Some(1.0));
    let _: Metrics = metrics;
}

#[test]
fn durations_are_in_seconds_and_exemplars_the_latest() {
    let metrics = metrics(&settings());
    let layer = MetricsLayer::new(&metrics).unwrap();
    let observer = (Traced { sampled: true }, layer);
    let mut slow = ObserveLayer::new(observer).layer(service_fn(async |request| {
        tokio::time::sleep(Duration::from_millis(250)).await;
        answer(request).await
    }));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut future = std::pin::pin!(slow.call(request("GET", Some("/"))));
        future.as_mut().await.unwrap();
    });
    let labels = "method=\"GET\",path=\"/\",status_code=\"200\"";
    let sum = format!("service_http_request_duration_seconds_sum{{{labels}}}");
    let sum = value(&metrics, &sum).unwrap();
    assert!((0.25..0.26).contains(&sum), "{sum}");

    let histogram = metrics.histogram("a", "b").help("x").register().unwrap();
    for (trace_id, seconds) in [(1, 0.2), (2, 0.25)] {
        let ids = TraceIds {
            trace_id,
            span_id: 1,
            sampled: true,
        };
        histogram.observe_traced(seconds, Some(ids));
    }
    let text = metrics.render(Format::OpenMetrics);
    let latest = format!(
        "service_a_b_bucket{{le=\"0.3\"}} 2 # {{trace_id=\"{:032x}\"}} 0.25 ",
        2
    );
    assert!(text.contains(&latest), "{text}");
}
