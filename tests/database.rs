//! Settings, logs, retries and the database together, as a service has them.
#![allow(clippy::unwrap_used, reason = "what a test prepares must succeed")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use cqi_config::{Config, Loader};
use cqi_db::Pool;
use cqi_errors::{Error, Kind, Result};
use cqi_retry::{Backoff, Retry, retry};
use cqi_testkit::Postgres;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const HOSTILE: &str = r#"p'a"s s=w\o\rd ${HOME}"#;

/// The settings as an orchestrator gives them: all from the environment.
fn settings(server: &Postgres, password: &str, more: &[(&str, &str)]) -> Config {
    let port = server.port().to_string();
    let given = [
        ("CQI_DATABASE_HOST", server.host()),
        ("CQI_DATABASE_PORT", &port),
        ("CQI_DATABASE_USER", server.user()),
        ("CQI_DATABASE_PASSWORD", password),
        ("CQI_DATABASE_SSL_MODE", "disable"),
        ("CQI_DATABASE_MAX_CONNECTIONS", "4"),
    ];
    let variables = given
        .iter()
        .chain(more)
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Loader::<Config>::new()
        .env_prefix("CQI")
        .env(variables)
        .load()
        .unwrap()
}

/// A query chosen by the caller, so that each of its ends can be seen from outside.
async fn run(State(db): State<Pool>, Path(query): Path<String>) -> Result<Json<Value>> {
    let sql = match query.as_str() {
        "ok" => "SELECT 1::int8",
        "missing" => "SELECT 1::int8 WHERE false",
        "duplicate" => "INSERT INTO asset VALUES (1), (1) RETURNING 1::int8",
        "input" => "SELECT 9223372036854775807::int8 + length('x')",
        "slow" => "SELECT 1::int8 FROM pg_sleep(30)",
        _ => "SELECT broken FROM nowhere",
    };
    let (value,): (i64,) = db.query_one(sql, &[]).await?;
    Ok(Json(json!(value)))
}

async fn ask(app: &Router, query: &str) -> (StatusCode, Value, Option<Arc<Error>>) {
    let request = Request::get(format!("/{query}"))
        .body(Body::empty())
        .unwrap();
    let response: Response<Body> = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let error = response.extensions().get::<Arc<Error>>().cloned();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap(), error)
}

async fn service(config: &Config) -> (Router, Pool) {
    let db = Pool::connect(&config.database).await.unwrap();
    (
        Router::new()
            .route("/{query}", get(run))
            .with_state(db.clone()),
        db,
    )
}

#[tokio::test]
async fn each_failure_of_a_query_has_its_status_and_tells_the_client_nothing_internal() {
    let server = Postgres::builder().private().start().await.unwrap();
    let config = settings(
        &server,
        server.password(),
        &[("CQI_DATABASE_QUERY_TIMEOUT", "200ms")],
    );
    let (app, db) = service(&config).await;
    db.execute("CREATE TABLE asset (id int8 PRIMARY KEY)", &[])
        .await
        .unwrap();

    for (query, status) in [
        ("ok", 200),
        ("missing", 404),
        ("duplicate", 409),
        ("input", 400),
        ("slow", 504),
        ("broken", 500),
    ] {
        let (got, body, error) = ask(&app, query).await;
        assert_eq!(got, status, "{query}: {body}");
        let Some(error) = error else { continue };
        assert_eq!(body["status"], status, "{query}");
        for internal in ["asset", "nowhere", "SELECT", "23505", server.host()] {
            let shown = body.to_string();
            assert!(
                !shown.contains(internal),
                "{query} shows {internal}: {shown}"
            );
        }
        assert!(
            format!("{error:#}").len() > error.public_message().len(),
            "{query}: {error:#}"
        );
    }
}

#[tokio::test]
async fn a_lost_server_is_a_503_and_a_retry_outlives_its_absence() {
    let server = Postgres::builder().private().start().await.unwrap();
    let config = settings(
        &server,
        server.password(),
        &[("CQI_DATABASE_CONNECT_TIMEOUT", "500ms")],
    );
    let (app, db) = service(&config).await;
    assert_eq!(ask(&app, "ok").await.0, 200);

    server.kill().unwrap();
    let (status, body, error) = ask(&app, "ok").await;
    assert_eq!(status, 503);
    assert_eq!(body["detail"], "the service is temporarily unavailable");
    assert_eq!(error.map(|error| error.kind()), Some(Kind::Temporary));

    let backoff = Backoff {
        initial: Duration::from_millis(50),
        max: Duration::from_millis(200),
        ..Backoff::default()
    };
    let patient = Retry::builder()
        .backoff(backoff)
        .max_attempts(None)
        .max_elapsed(Duration::from_secs(20))
        .build()
        .unwrap();
    let (answer, back) = tokio::join!(
        retry(&patient, || db.query_one::<i64>("SELECT 7::int8", &[])),
        server.restart(),
    );
    back.unwrap();
    assert_eq!(answer.unwrap(), 7);
    assert_eq!(ask(&app, "ok").await.0, 200);
}

#[tokio::test]
async fn a_password_works_whatever_it_holds_and_appears_nowhere() {
    let logs = cqi_log::testing::capture();
    let server = Postgres::builder()
        .private()
        .password(HOSTILE)
        .start()
        .await
        .unwrap();
    let config = settings(&server, HOSTILE, &[]);
    let db = Pool::connect(&config.database).await.unwrap();
    assert_eq!(db.query_one::<i64>("SELECT 1::int8", &[]).await.unwrap(), 1);
    let failure = db.query_one::<i64>("SELECT broken", &[]).await.unwrap_err();

    let wrong = settings(&server, "wr0ng p'a\"s=s", &[]);
    let refused = Pool::connect(&wrong.database).await.unwrap_err();
    assert_ne!(
        refused.kind(),
        Kind::Unauthorized,
        "our own credentials are not the caller's"
    );
    tracing::info!(?config, error = &refused as &dyn std::error::Error, "shown");

    let shown = format!(
        "{config:?} {wrong:?} {db:?} {refused} {refused:?} {refused:#} {failure:?} {}",
        logs.text()
    );
    for secret in ["s=w", "wr0ng"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(
        logs.lines()
            .iter()
            .all(|line| line["service_name"].is_string())
    );
}
