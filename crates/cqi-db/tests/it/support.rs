use std::time::Duration;

use cqi_config::{DatabaseConfig, Secret, SslMode};
use cqi_db::Pool;
use cqi_testkit::{Database, Postgres};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

/// Settings for a test's database, with bounds short enough for a test.
pub(crate) fn config(database: &Database) -> DatabaseConfig {
    DatabaseConfig {
        host: database.host().to_owned(),
        port: database.port(),
        user: database.user().to_owned(),
        password: Secret::new(database.password()),
        database: database.name().to_owned(),
        ssl_mode: SslMode::Disable,
        ..DatabaseConfig::default()
    }
}

/// A plain connection to look from outside at what the crate does.
pub(crate) async fn observer(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// Waits up to 10 s for a condition that another process brings about.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// How many sessions of the database, besides the one that asks, meet a condition.
pub(crate) async fn sessions(observer: &Client, condition: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND ({condition})"
    );
    observer.query_one(&sql, &[]).await.unwrap().get(0)
}

/// A database of the test's own and a pool of that many connections.
pub(crate) async fn start(connections: u32) -> (Database, Pool) {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = connections;
    let pool = Pool::connect(&config).await.unwrap();
    (database, pool)
}
