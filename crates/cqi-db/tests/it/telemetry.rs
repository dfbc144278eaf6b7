use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqi_config::{MetricsConfig, ServiceConfig};
use cqi_db::Pool;
use cqi_metrics::{Format, Metrics};
use cqi_testkit::Postgres;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, registry};

use crate::support::config;

/// Writes spans and events of all levels down, field by field.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl<S: Subscriber> Layer<S> for Notes {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut notes = self.0.lock().unwrap();
        let _ = write!(
            notes,
            "\n{} span {}",
            span.metadata().level(),
            span.metadata().name()
        );
        span.record(&mut Line(&mut notes));
    }

    fn on_record(&self, _: &Id, record: &Record<'_>, _: Context<'_, S>) {
        record.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut notes = self.0.lock().unwrap();
        let _ = write!(notes, "\n{} event", event.metadata().level());
        event.record(&mut Line(&mut notes));
    }
}

#[tokio::test]
async fn queries_have_spans_and_slow_ones_a_warning_and_neither_shows_a_value() {
    let server = Postgres::builder()
        .private()
        .password("hunter2")
        .start()
        .await
        .unwrap();
    let database = server.create_database().await.unwrap();
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(registry().with(notes.clone()));
    let mut config = config(&database);
    config.slow_query_threshold = Duration::from_millis(50);
    let pool = Pool::connect(&config).await.unwrap();
    let sql = "SELECT $1::text FROM pg_sleep(0.06)";
    let _: String = pool.query_one(sql, &[&"s3cret"]).await.unwrap();
    pool.execute("SELECT $1::text::int FROM pg_class", &[&"s3cret"])
        .await
        .unwrap_err();

    let notes = notes.0.lock().unwrap().clone();
    let line = |start: &str, part: &str| {
        notes
            .lines()
            .find(|line| line.starts_with(start) && line.contains(part))
            .unwrap_or_else(|| panic!("{start}, {part} in:\n{notes}"))
            .to_owned()
    };
    let span = line("DEBUG span query", "pg_sleep");
    let port = format!("server.port={}", database.port());
    let namespace = format!("db.namespace=\"{}\"", database.name());
    for part in [
        "db.system.name=\"postgresql\"",
        "db.operation.name=\"SELECT\"",
        "db.query.summary=\"SELECT pg_sleep\"",
        "otel.kind=\"client\"",
        "server.address=\"127.0.0.1\"",
        &format!("db.query.text={sql:?}"),
        &port,
        &namespace,
    ] {
        assert!(span.contains(part), "{part} in {span}");
    }
    let failed = line("DEBUG span query", "pg_class");
    assert!(
        failed.contains("db.response.status_code=\"22P02\""),
        "{failed}"
    );
    assert!(failed.contains("error.type=\"invalid_input\""), "{failed}");
    let slow = line("WARN event", "slow query");
    assert!(
        slow.contains("pg_sleep") && slow.contains("elapsed="),
        "{slow}"
    );
    assert!(
        !notes.contains("s3cret") && !notes.contains("hunter2"),
        "{notes}"
    );
}

#[tokio::test]
async fn a_pool_shows_its_metrics_until_it_is_gone() {
    let database = Postgres::start().await.unwrap();
    let pool = Pool::connect(&config(&database)).await.unwrap();
    let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default()).unwrap();
    pool.register_metrics(&metrics).unwrap();
    for _ in 0..3 {
        let _: i64 = pool.query_one("SELECT 1::int8", &[]).await.unwrap();
    }
    let text = metrics.render(Format::OpenMetrics);
    for line in [
        "service_db_connections{state=\"idle\"} 1",
        "service_db_connections{state=\"in_use\"} 0",
        "service_db_query_duration_seconds_count 3",
        "service_db_connections_opened_total 1",
        "service_db_query_timeouts_total 0",
    ] {
        assert!(
            text.lines().any(|shown| shown.starts_with(line)),
            "{line} in {text}"
        );
    }
    let second = pool.clone().register_metrics(&metrics).unwrap_err();
    assert_eq!(second.kind(), cqi_errors::Kind::Conflict);

    pool.close().await;
    drop(pool);
    let text = metrics.render(Format::OpenMetrics);
    let sample = |line: &str| line.starts_with("service_db_callers_waiting ");
    assert!(!text.lines().any(sample), "{text}");
}
