//! What operators see.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use cqi_cache::Key;
use cqi_testkit::Redis;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, registry};

use crate::support::{LONG, Place, Price, Volume, config, key, price};

/// Writes spans and events of all levels down, field by field.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Notes {
    fn line(&self, what: std::fmt::Arguments<'_>) -> std::sync::MutexGuard<'_, String> {
        let mut notes = self.0.lock().unwrap();
        let _ = write!(notes, "\n{what}");
        notes
    }

    /// The lines of this crate that begin so.
    fn lines(&self, start: &str) -> Vec<String> {
        let notes = self.0.lock().unwrap();
        let lines = notes.lines().filter(|line| line.starts_with(start));
        lines.map(ToOwned::to_owned).collect()
    }
}

impl<S: Subscriber> Layer<S> for Notes {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let metadata = span.metadata();
        let mut notes = self.line(format_args!("{} {}", metadata.level(), metadata.target()));
        span.record(&mut Line(&mut notes));
    }

    fn on_record(&self, _: &Id, record: &Record<'_>, _: Context<'_, S>) {
        record.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut notes = self.line(format_args!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut Line(&mut notes));
    }
}

#[tokio::test]
async fn each_command_is_a_span_by_the_conventions() {
    let redis = Redis::start().await.unwrap();
    let cache = cqi_cache::Cache::connect(&config(&redis)).await.unwrap();
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(registry().with(notes.clone()));
    let long = Key::new("x".repeat(10_000));
    cache
        .set(&key("a\nb"), &price(64_123.5), LONG)
        .await
        .unwrap();
    cache.get::<Price>(&key("a\nb")).await.unwrap();
    cache.get::<Price>(&long).await.unwrap();
    cache.get_many::<Price>(&[key(1), key(2)]).await.unwrap();
    cache.delete(&key(1)).await.unwrap();
    cache.exists(&key(1)).await.unwrap();
    cache.delete_many(&[key(1), key(2)]).await.unwrap();
    cache.delete_many(&[key(1)]).await.unwrap();
    let many = [(key(1), price(64_123.5)), (key(2), price(64_123.5))];
    cache.set_many(&many, LONG).await.unwrap();

    let spans = notes.lines("DEBUG cqi_cache::command");
    let commands = [
        "SET",
        "GETRANGE",
        "GETRANGE",
        "PIPELINE GETRANGE",
        "UNLINK",
        "GETRANGE",
        "PIPELINE UNLINK",
        "UNLINK",
        "PIPELINE SET",
    ];
    assert_eq!(spans.len(), commands.len());
    for (span, command) in spans.iter().zip(commands) {
        for part in [
            &format!("otel.name=\"{command}\""),
            &format!("db.operation.name=\"{command}\""),
            "db.system.name=\"redis\"",
            "otel.kind=\"client\"",
            &format!("server.address=\"{}\"", redis.host()),
            &format!("server.port={}", redis.port()),
        ] {
            assert!(span.contains(part), "{part} in {span}");
        }
        assert!(
            !span.contains("error") && !span.contains("otel.status_code"),
            "{span}"
        );
        assert!(span.len() < 600, "{span}");
    }
    assert!(
        spans[0].contains(" db.query.text=SET test:a%0Ab"),
        "{}",
        spans[0]
    );
    assert!(spans[2].contains("… (10000 bytes)"), "{}", spans[2]);
    assert!(
        spans[3].contains(" db.operation.batch.size=2"),
        "{}",
        spans[3]
    );
    assert!(!spans[7].contains("batch.size"), "{}", spans[7]);
    assert!(!notes.0.lock().unwrap().contains("64123"));
}

#[tokio::test]
async fn a_command_that_fails_says_so() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cache = cqi_cache::Cache::connect(&config(&redis)).await.unwrap();
    redis.kill().unwrap();
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(registry().with(notes.clone()));
    let error = cache.get::<Price>(&key(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "get test:1 from the cache");
    // Recorded last, so it may stand behind another line.
    let failed = format!(
        " otel.status_code=\"ERROR\" error.type={:?}",
        error.kind().as_str()
    );
    let notes = notes.0.lock().unwrap();
    assert!(notes.contains(&failed), "{notes}");
    assert_eq!(cache.status().errors, 1);
}

#[tokio::test]
async fn a_memory_backend_has_no_spans_and_what_is_rejected_has_a_line() {
    let cache = Place::memory().await.cache;
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(registry().with(notes.clone()));
    cache.set(&key(1), &price(64_123.5), LONG).await.unwrap();
    assert!(notes.lines("DEBUG cqi_cache").is_empty());
    cache.get::<Volume>(&key(1)).await.unwrap();
    let lines = notes.lines("DEBUG cqi_cache");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("key=test:1"), "{}", lines[0]);
    assert!(
        lines[0].contains("reason=\"of another message type or schema\""),
        "{}",
        lines[0]
    );
    assert!(!notes.0.lock().unwrap().contains("64123"));
}

#[cfg(feature = "metrics")]
mod metrics {
    use cqi_config::{MetricsConfig, ServiceConfig};
    use cqi_errors::Kind;
    use cqi_metrics::{Format, Metrics};

    use super::*;

    #[tokio::test]
    async fn a_cache_shows_its_metrics_until_it_is_gone() {
        let Place { cache, .. } = Place::memory().await;
        let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default()).unwrap();
        cache.get::<Price>(&key(1)).await.unwrap();
        cache.register_metrics(&metrics).unwrap();
        cache.set(&key(1), &price(1.0), LONG).await.unwrap();
        for _ in 0..3 {
            cache.get::<Price>(&key(1)).await.unwrap();
        }
        cache.get_many::<Volume>(&[key(1), key(2)]).await.unwrap();
        let shown = metrics.render(Format::OpenMetrics);
        for line in [
            "service_cache_lookups_total{result=\"hit\"} 3",
            "service_cache_lookups_total{result=\"miss\"} 2",
            "service_cache_lookups_total{result=\"rejected\"} 1",
            "service_cache_lookups_total{result=\"expired\"} 0",
            // From its registration on.
            "service_cache_operation_duration_seconds_count{operation=\"get\"} 3",
            "service_cache_operation_duration_seconds_count{operation=\"set\"} 1",
            "service_cache_operation_duration_seconds_count{operation=\"get_many\"} 1",
            "service_cache_operation_errors_total{operation=\"get\"} 0",
            "service_cache_load_duration_seconds_count 0",
            "service_cache_loads_total 0",
            "service_cache_entries 1",
            "service_cache_evictions_total 0",
            "service_cache_connected 1",
            "service_cache_reconnects_total 0",
        ] {
            assert!(
                shown
                    .lines()
                    .any(|shown| shown.trim_end_matches(".0") == line),
                "{line} in {shown}"
            );
        }
        assert!(shown.contains("service_cache_size_bytes "), "{shown}");
        let second = Place::memory().await.cache.register_metrics(&metrics);
        assert_eq!(second.unwrap_err().kind(), Kind::Conflict);

        cache.close().await;
        assert!(cache.get::<Price>(&key(1)).await.is_err());
        let shown = metrics.render(Format::OpenMetrics);
        assert!(shown.contains("service_cache_connected 0.0\n"), "{shown}");
        drop(cache);
        let shown = metrics.render(Format::OpenMetrics);
        let gone = ["service_cache_entries ", "service_cache_lookups_total{"];
        assert!(
            !shown
                .lines()
                .any(|line| gone.iter().any(|gone| line.starts_with(gone))),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn loaders_are_measured_also_one_that_is_given_up() {
        let Place { cache, .. } = Place::memory().await;
        let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default()).unwrap();
        cache.register_metrics(&metrics).unwrap();
        {
            let (key, forever) = (key(1), || std::future::pending());
            let mut load = std::pin::pin!(cache.get_or_load::<Price, _, _>(&key, None, forever));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(load.as_mut().poll(&mut context).is_pending());
        }
        let loader = || async { Ok(price(1.0)) };
        cache.get_or_load(&key(1), None, loader).await.unwrap();
        let shown = metrics.render(Format::OpenMetrics);
        assert!(
            shown.contains("service_cache_load_duration_seconds_count 2\n"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_is_measured_and_one_that_fails_is_counted() {
        let redis = Redis::builder().private().start().await.unwrap();
        let cache = cqi_cache::Cache::connect(&config(&redis)).await.unwrap();
        let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default()).unwrap();
        cache.register_metrics(&metrics).unwrap();
        let key = key(1);
        {
            let mut get = std::pin::pin!(cache.get::<Price>(&key));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(get.as_mut().poll(&mut context).is_pending());
        }
        redis.kill().unwrap();
        let error = cache.delete(&key).await.unwrap_err();
        assert!(
            matches!(error.kind(), Kind::Temporary | Kind::Timeout),
            "{error:#}"
        );
        let shown = metrics.render(Format::OpenMetrics);
        for line in [
            "service_cache_operation_duration_seconds_count{operation=\"get\"} 1",
            "service_cache_operation_duration_seconds_count{operation=\"delete\"} 1",
            "service_cache_operation_errors_total{operation=\"get\"} 0",
            "service_cache_operation_errors_total{operation=\"delete\"} 1",
        ] {
            assert!(
                shown
                    .lines()
                    .any(|shown| shown.trim_end_matches(".0") == line),
                "{line} in {shown}"
            );
        }
    }
}
