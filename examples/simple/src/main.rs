//! Assets in PostgreSQL over HTTP: settings, logs, retries and a database pool.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header::LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use cqi_config::Config;
use cqi_db::{Migrations, Pool};
use cqi_errors::{Error, Kind, Result, ResultExt};
use cqi_retry::{Retry, retry};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

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

#[derive(Deserialize)]
struct Page {
    cursor: Option<i64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Assets {
    items: Vec<Asset>,
    next: Option<i64>,
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
    let created = db.query_one(sql, &[&new.symbol, &new.name]).await;
    let asset: Asset = created.map_err(|error| match error.kind() {
        Kind::Conflict => error.with_public(format!("asset {} exists already", new.symbol)),
        _ => error,
    })?;
    let location = format!("/v1/assets/{}", asset.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(asset)))
}

async fn read(State(db): State<Pool>, id: Result<Path<i64>, PathRejection>) -> Result<Json<Asset>> {
    let Path(id) = id.map_err(|error| Error::invalid_input("id", error.body_text()))?;
    let sql = "SELECT id, symbol, name FROM asset WHERE id = $1";
    let asset = db.query_opt(sql, &[&id]).await?;
    asset.map(Json).ok_or_else(|| Error::not_found("asset", id))
}

async fn list(
    State(db): State<Pool>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Assets>> {
    let Query(page) = page.map_err(|error| Error::invalid_input("query", error.body_text()))?;
    let limit = page.limit.unwrap_or(50).clamp(1, 500);
    let sql = "SELECT id, symbol, name FROM asset WHERE id > $1 ORDER BY id LIMIT $2";
    let after = page.cursor.unwrap_or(0);
    let mut items: Vec<Asset> = db.query(sql, &[&after, &(limit as i64 + 1)]).await?;
    let next = (items.len() > limit).then(|| items[limit - 1].id);
    items.truncate(limit);
    Ok(Json(Assets { items, next }))
}

/// The client sees a problem without internals; the whole error is for the log.
async fn log_failure(response: Response) -> Response {
    if response.status().is_server_error()
        && let Some(failure) = response.extensions().get::<std::sync::Arc<Error>>()
    {
        let error: &(dyn std::error::Error + 'static) = failure.as_ref();
        tracing::error!(error, "request failed");
    }
    response
}

#[tokio::main]
async fn main() -> Result<()> {
    let config: Config = cqi_config::must_load("config.yaml", "CQI");
    let _logs = cqi_log::init(&config.log, &config.service)?;
    let db = retry(&Retry::default(), || Pool::connect(&config.database)).await?;
    db.migrate(&MIGRATIONS).await?;
    let app = Router::new()
        .route("/v1/assets", post(create).get(list))
        .route("/v1/assets/{id}", get(read))
        .layer(middleware::map_response(log_failure))
        .with_state(db.clone());
    let address = (config.server.host, config.server.http_port);
    let listener = TcpListener::bind(address).await.context("listen")?;
    let address = listener.local_addr().context("listen")?;
    tracing::info!(%address, "listening");
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { _ = terminate.recv().await })
        .await
        .context("serve HTTP")?;
    tracing::info!("stopped");
    db.close().await;
    Ok(())
}
