//! A service that keeps assets in PostgreSQL, cached in Redis, and answers over HTTP.
mod assets;

use std::error::Error as StdError;

use cqi_cache::Cache;
use cqi_config::Config;
use cqi_db::Pool;
use cqi_errors::{Error, Result, ResultExt};
use cqi_log::LogLayer;
use cqi_metrics::{Metrics, MetricsLayer};
use cqi_retry::{Retry, retry};
use cqi_tower::{ObserveLayer, RecoverLayer};
use cqi_trace::{TraceLayer, Tracing};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

async fn serve(config: &Config, traces: &Tracing) -> Result<()> {
    let metrics = Metrics::new(&config.metrics, &config.service)?;
    let _scraped = metrics.serve().await?;
    let warn = |_, _, error: &Error| tracing::warn!(error = error as &dyn StdError, "not ready");
    let patience = Retry::builder().max_attempts(None).on_retry(warn).build()?;
    let db = retry(&patience, || Pool::connect(&config.database)).await?;
    db.migrate(&assets::MIGRATIONS).await?;
    let cache = Cache::connect(&config.cache).await?;
    traces.register_metrics(&metrics)?;
    db.register_metrics(&metrics)?;
    cache.register_metrics(&metrics)?;
    let measure = MetricsLayer::new(&metrics)?;
    let panics = measure.panics();
    let observe = ObserveLayer::new((TraceLayer::new(traces), LogLayer::new(), measure));
    let app = assets::routes(db.clone(), cache.clone())
        .layer((observe, RecoverLayer::new().on_panic(move |_| panics.inc())));
    let address = std::net::SocketAddr::from((config.server.host, config.server.http_port));
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listen on {address} (server.http_port)"))?;
    tracing::info!(%address, "listening");
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let (drain, drain_timeout) = (CancellationToken::new(), config.server.drain_timeout);
    let served = axum::serve(listener, app).with_graceful_shutdown(drain.clone().cancelled_owned());
    tokio::select! {
        served = served => served.context("serve HTTP")?,
        () = async { terminate.recv().await; drain.cancel(); tokio::time::sleep(drain_timeout).await } => {}
    }
    cache.close().await;
    db.close().await;
    tracing::info!("stopped");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let config: Config = cqi_config::must_load("config.yaml", "CQI");
    let traces = Tracing::init(&config.tracing, &config.service)?;
    let logs = cqi_log::builder().with(traces.layer());
    let _logs = logs.init(&config.log, &config.service)?;
    let served = serve(&config, &traces).await;
    served.inspect_err(|error| tracing::error!(error = error as &dyn StdError, "failed"))
}
