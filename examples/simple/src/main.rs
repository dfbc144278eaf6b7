//! Assets in PostgreSQL over HTTP: settings, logs, metrics, traces, retries and a database pool.
use std::error::Error as StdError;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header::LOCATION};
use axum::routing::{get, post};
use axum::{Json, Router, response::IntoResponse};
use cqi_config::Config;
use cqi_db::{Migrations, Pool};
use cqi_errors::{Error, Result, ResultExt};
use cqi_log::LogLayer;
use cqi_metrics::{Metrics, MetricsLayer};
use cqi_retry::{Retry, retry};
use cqi_tower::{ObserveLayer, RecoverLayer};
use cqi_trace::{TraceLayer, Tracing};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const MIGRATIONS: Migrations = cqi_db::embed_migrations!["migrations/V1__create_assets.sql"];

#[derive(Serialize)]
struct Asset {
    id: i64,
    symbol: String,
    name: String,
}
cqi_db::from_row!(Asset { id, symbol, name });

#[derive(Deserialize)]
struct NewAsset {
    symbol: String,
    name: String,
}

async fn create(
    State(db): State<Pool>,
    body: Result<Json<NewAsset>, JsonRejection>,
) -> Result<impl IntoResponse> {
    let Json(new) = body.map_err(|error| Error::invalid_input("body", error.body_text()))?;
    if !(1..=16).contains(&new.symbol.len()) {
        return Err(Error::invalid_input("symbol", "must have 1 to 16 bytes"));
    }
    let sql = "INSERT INTO asset (symbol, name) VALUES ($1, $2) RETURNING id, symbol, name";
    let asset: Asset = db.query_one(sql, &[&new.symbol, &new.name]).await?;
    let location = format!("/v1/assets/{}", asset.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(asset)))
}

async fn read(State(db): State<Pool>, id: Result<Path<i64>, PathRejection>) -> Result<Json<Asset>> {
    let Path(id) = id.map_err(|_| Error::invalid_input("id", "must be a number"))?;
    let sql = "SELECT id, symbol, name FROM asset WHERE id = $1";
    let asset = db.query_opt(sql, &[&id]).await?;
    asset.map(Json).ok_or_else(|| Error::not_found("asset", id))
}

#[derive(Deserialize)]
struct Page {
    cursor: Option<i64>,
    limit: Option<usize>,
}

async fn list(
    State(db): State<Pool>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<impl IntoResponse> {
    let Query(page) = page.map_err(|error| Error::invalid_input("query", error.body_text()))?;
    let after = page.cursor.unwrap_or(0);
    let limit = page.limit.unwrap_or(50).clamp(1, 500);
    let sql = "SELECT id, symbol, name FROM asset WHERE id > $1 ORDER BY id LIMIT $2";
    let mut items: Vec<Asset> = db.query(sql, &[&after, &(limit as i64 + 1)]).await?;
    let next = (items.len() > limit).then(|| items[limit - 1].id);
    items.truncate(limit);
    Ok(Json(serde_json::json!({ "items": items, "next": next })))
}

async fn serve(config: &Config, traces: &Tracing) -> Result<()> {
    let metrics = Metrics::new(&config.metrics, &config.service)?;
    let _scraped = metrics.serve().await?;
    let warn = |_, _, error: &Error| tracing::warn!(error = error as &dyn StdError, "not ready");
    let patience = Retry::builder().max_attempts(None).on_retry(warn).build()?;
    let db = retry(&patience, || Pool::connect(&config.database)).await?;
    db.migrate(&MIGRATIONS).await?;
    traces.register_metrics(&metrics)?;
    db.register_metrics(&metrics)?;
    let measure = MetricsLayer::new(&metrics)?;
    let panics = measure.panics();
    let observe = ObserveLayer::new((TraceLayer::new(traces), LogLayer::new(), measure));
    let app = Router::new()
        .route("/v1/assets", post(create).get(list))
        .route("/v1/assets/{id}", get(read))
        .layer((observe, RecoverLayer::new().on_panic(move |_| panics.inc())))
        .with_state(db.clone());
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
