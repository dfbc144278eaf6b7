//! What a real Prometheus makes of it.

use cqi_testkit::Prometheus;
use cqi_testkit::prometheus::{ScrapeFormat, check_metrics};
use http::Version;
use http_body_util::BodyExt as _;

use crate::client::{Client, call, get};
use crate::server::Servers;
use crate::telemetry::Telemetry;

#[test]
fn prometheus_stores_the_counts_and_the_traces_behind_them_in_both_formats() {
    let telemetry = Telemetry::start();
    telemetry.block_on(async {
        let servers = Servers::start(telemetry.layers()).await;
        let endpoint = telemetry.metrics.serve().await.unwrap();
        let address = endpoint.local_addr().unwrap();
        let mut http = Client::connect(servers.http, Version::HTTP_11).await;
        for path in [
            "/status/200",
            "/status/200",
            "/status/404",
            "/fail",
            "/nowhere",
        ] {
            let response = http.send(get(path)).await.unwrap();
            response.collect().await.unwrap();
        }
        let mut grpc = Client::connect(servers.grpc, Version::HTTP_2).await;
        for request in [call("Echo", b"a"), call("Echo", b"b"), call("Fail", &[5])] {
            grpc.send(request).await.unwrap().collect().await.unwrap();
        }
        drop((http, grpc));
        servers.stop().await;
        telemetry.rest().await;

        let with = |format| async move {
            let builder = Prometheus::builder().target(address).format(format);
            let prometheus = builder.start().await.unwrap();
            prometheus.scraped().await.unwrap();
            prometheus
        };
        let (open, text) = tokio::join!(with(ScrapeFormat::OpenMetrics), with(ScrapeFormat::Text));
        for prometheus in [&open, &text] {
            for (query, count) in [
                ("sum(service_http_request_count_total)", 5.0),
                (
                    r#"sum(service_http_request_count_total{status_code="200"})"#,
                    2.0,
                ),
                (
                    r#"sum(service_http_request_count_total{status_code="404"})"#,
                    2.0,
                ),
                (
                    r#"sum(service_http_request_count_total{path="/status/{code}"})"#,
                    3.0,
                ),
                (
                    r#"sum(service_http_request_count_total{status_code="503"})"#,
                    1.0,
                ),
                ("sum(service_http_request_duration_seconds_count)", 5.0),
                ("sum(service_http_requests_in_flight)", 0.0),
                (
                    r#"sum(service_grpc_call_count_total{method="test.Calls/Echo",code="OK"})"#,
                    2.0,
                ),
                (
                    r#"sum(service_grpc_call_count_total{code="NOT_FOUND"})"#,
                    1.0,
                ),
                ("sum(service_grpc_call_duration_seconds_count)", 3.0),
            ] {
                let found = prometheus.query(query).await.unwrap();
                let [sample] = &found[..] else {
                    panic!("{query}: {found:?}");
                };
                assert_eq!(sample.value, count, "{query}");
            }
        }

        let ends = telemetry.recorder.book().ended.clone();
        let bucket = "service_http_request_duration_seconds_bucket";
        let exemplars = open.exemplars(bucket).await.unwrap();
        assert!(!exemplars.is_empty());
        for exemplar in exemplars {
            let trace = exemplar.labels.get("trace_id");
            let end = ends.iter().find(|end| end.trace_id.as_ref() == trace);
            let end = end.unwrap_or_else(|| panic!("no such request: {exemplar:?}"));
            let status = end.status.to_string();
            assert_eq!(exemplar.series["status_code"], status, "{exemplar:?}");
        }
        assert!(text.exemplars(bucket).await.unwrap().is_empty());
        let shown = telemetry.metrics.render(cqi_metrics::Format::Text);
        check_metrics(&shown).await.unwrap();
    });
}
