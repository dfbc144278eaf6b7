//! What a real Prometheus makes of it.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::get;
use cqi_config::ServiceConfig;
use cqi_metrics::{Format, Metrics, MetricsLayer};
use cqi_testkit::Prometheus;
use cqi_testkit::prometheus::{Health, ScrapeFormat, check_metrics};
use cqi_tower::{Observation, ObserveLayer, Observer, Outcome, RequestInfo, TraceIds};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::settings;

/// Names the trace of every request.
#[derive(Clone, Copy)]
struct Trace;

struct Nothing;

impl Observation for Nothing {
    fn on_end(self, _: &Outcome<'_>) {}
}

impl Observer for Trace {
    type Observation = Nothing;

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) -> Nothing {
        info.set_trace(TraceIds {
            trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            span_id: 1,
            sampled: true,
        });
        Nothing
    }
}

/// Registers all there is and uses it.
pub(crate) async fn used() -> Metrics {
    let service = ServiceConfig {
        instance_id: "1".to_owned(),
        ..ServiceConfig::default()
    };
    let metrics = Metrics::new(&settings(), &service).unwrap();
    let layer = MetricsLayer::new(&metrics).unwrap();
    let handler = |Path(id): Path<u16>| async move { StatusCode::from_u16(id).unwrap() };
    let app: Router = Router::new()
        .route("/v1/assets/{id}", get(handler))
        .layer(ObserveLayer::new((Trace, layer)));
    for status in ["200", "200", "200", "404", "503"] {
        let request = Request::get(format!("/v1/assets/{status}"))
            .body(Body::empty())
            .unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    metrics
}

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_are_scraped_with_the_right_values() {
    let metrics = used().await;
    let server = metrics.serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    for format in [ScrapeFormat::OpenMetrics, ScrapeFormat::Text] {
        let prometheus = Prometheus::builder()
            .target(addr)
            .format(format)
            .start()
            .await
            .unwrap();
        prometheus.scraped().await.unwrap();
        let value = async |promql: &str| {
            let samples = prometheus.query(promql).await.unwrap();
            assert_eq!(samples.len(), 1, "{promql} in {format:?}: {samples:?}");
            samples[0].value
        };
        let route = "path=\"/v1/assets/{id}\", method=\"GET\"";
        for (status, count) in [("200", 3.0), ("404", 1.0), ("503", 1.0)] {
            let series = format!("{{{route}, status_code=\"{status}\"}}");
            assert_eq!(
                value(&format!("service_http_request_count_total{series}")).await,
                count
            );
            assert_eq!(
                value(&format!(
                    "service_http_request_duration_seconds_count{series}"
                ))
                .await,
                count
            );
        }
        assert_eq!(value("sum(service_http_requests_in_flight)").await, 0.0);
        assert_eq!(
            value("service_build_info{version=\"0.0.0\", environment=\"development\"}").await,
            1.0
        );
        assert_eq!(value("target_info{service_name=\"service\"}").await, 1.0);
        assert!(value("process_resident_memory_bytes").await > 1e6);
        assert!(value("time() - process_start_time_seconds").await < 3600.0);
        assert!(value("tokio_workers").await >= 1.0);

        let exemplars = prometheus
            .exemplars("service_http_request_duration_seconds_bucket")
            .await
            .unwrap();
        let ids: BTreeSet<_> = exemplars
            .iter()
            .map(|exemplar| exemplar.labels["trace_id"].as_str())
            .collect();
        let expected = match format {
            ScrapeFormat::OpenMetrics => BTreeSet::from(["0af7651916cd43dd8448eb211c80319c"]),
            _ => BTreeSet::new(),
        };
        assert_eq!(ids, expected, "{format:?}");
        let targets = prometheus.targets().await.unwrap();
        assert_eq!(
            (targets[0].health, targets[0].last_error.as_str()),
            (Health::Up, "")
        );
    }
    server.shutdown().await;
}

#[tokio::test]
async fn promtool_has_no_complaint() {
    check_metrics(&used().await.render(Format::Text))
        .await
        .unwrap();
}
