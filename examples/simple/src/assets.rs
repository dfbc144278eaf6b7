//! Create, read and list assets.
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header::LOCATION};
use axum::routing::{get, post};
use axum::{Json, Router, response::IntoResponse};
use cqi_cache::{Cache, Key};
use cqi_contracts::assets::v1::Asset;
use cqi_db::{Migrations, Pool};
use cqi_errors::{Error, Result};
use serde::Deserialize;

pub(crate) const MIGRATIONS: Migrations =
    cqi_db::embed_migrations!["migrations/V1__create_assets.sql"];

pub(crate) fn routes(db: Pool, cache: Cache) -> Router {
    Router::new()
        .route("/v1/assets", post(create).get(list))
        .with_state(db.clone())
        .route("/v1/assets/{id}", get(read))
        .with_state((db, cache))
}

type Row = (i64, String, String);

fn asset((id, symbol, name): Row) -> Asset {
    Asset {
        asset_id: Some(id.to_string()),
        symbol: Some(symbol),
        name: Some(name),
        ..Asset::default()
    }
}

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
    let row: Row = db.query_one(sql, &[&new.symbol, &new.name]).await?;
    let location = [(LOCATION, format!("/v1/assets/{}", row.0))];
    Ok((StatusCode::CREATED, location, Json(asset(row))))
}

async fn read(
    State((db, cache)): State<(Pool, Cache)>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Asset>> {
    let Path(id) = id.map_err(|_| Error::invalid_input("id", "must be a number"))?;
    let load = async move || {
        let sql = "SELECT id, symbol, name FROM asset WHERE id = $1";
        let row = db.query_opt(sql, &[&id]).await?;
        row.map(asset).ok_or_else(|| Error::not_found("asset", id))
    };
    let key = Key::new("asset").part(id);
    cache.get_or_load(&key, None, load).await.map(Json)
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
    let mut rows: Vec<Row> = db.query(sql, &[&after, &(limit as i64 + 1)]).await?;
    let next = (rows.len() > limit).then(|| rows[limit - 1].0);
    rows.truncate(limit);
    let items: Vec<Asset> = rows.into_iter().map(asset).collect();
    Ok(Json(serde_json::json!({ "items": items, "next": next })))
}
