//! Behind a pooler each transaction may get another session of the server.

use std::time::Duration;

use cqi_config::DatabaseConfig;
use cqi_db::Pool;
use cqi_testkit::{Database, PgBouncer, Postgres};
use tokio::time::sleep;

use crate::support::{config, observer};

/// A pooler that gives each transaction the other of its two sessions, and settings to reach it.
async fn in_turn(database: &Database) -> (PgBouncer, DatabaseConfig) {
    let bouncer = PgBouncer::in_front_of(database)
        .transaction_pooling()
        .setting("default_pool_size", "2")
        .setting("server_round_robin", "1")
        .start()
        .await
        .unwrap();
    let config = DatabaseConfig {
        host: bouncer.host().to_owned(),
        port: bouncer.port(),
        pgbouncer: true,
        max_connections: 3,
        ..config(database)
    };
    (bouncer, config)
}

#[tokio::test]
async fn learning_types_does_not_end_the_users_transaction() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.pgbouncer = true;
    let pool = Pool::connect(&config).await.unwrap();
    pool.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    connection
        .execute("INSERT INTO t VALUES ($1)", &[&1])
        .await
        .unwrap();
    connection.batch_execute("ROLLBACK").await.unwrap();
    let rows: i64 = connection
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

struct Any;
impl cqi_db::FromRow for Any {
    fn from_row(_: &cqi_db::Row<'_>) -> cqi_errors::Result<Self> {
        Ok(Self)
    }
}

#[tokio::test]
async fn a_statement_that_ran_is_not_repeated_for_its_types() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.pgbouncer = true;
    let pool = Pool::connect(&config).await.unwrap();
    pool.batch_execute(
        "CREATE TYPE a AS ENUM ('x'); CREATE TYPE b AS ENUM ('x'); CREATE TABLE t (id int, m a)",
    )
    .await
    .unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let sql = "INSERT INTO t VALUES ($1, 'x') RETURNING m";
    let _: Any = connection.query_one(sql, &[&1]).await.unwrap();
    let admin = observer(&database).await;
    admin
        .batch_execute("ALTER TABLE t ALTER m TYPE b USING 'x'")
        .await
        .unwrap();
    // What a pooler does when it gives the next transaction another session.
    connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    let outcome = connection.query_one::<Any>(sql, &[&2]).await.map(drop);
    let rows: i64 = connection
        .query_one("SELECT count(*) FROM t WHERE id = 2", &[])
        .await
        .unwrap();
    assert_eq!(rows, 1, "{outcome:?}");
}

#[tokio::test]
async fn types_are_learned_on_any_session_of_the_pooler() {
    let database = Postgres::start().await.unwrap();
    let (_bouncer, mut config) = in_turn(&database).await;
    let pool = Pool::connect(&config).await.unwrap();
    pool.batch_execute(
        "CREATE TYPE a AS ENUM ('x'); CREATE TYPE b AS ENUM ('x'); CREATE TYPE c AS ENUM ('x')",
    )
    .await
    .unwrap();
    config.max_connections = 1;
    let (one, other) = (
        Pool::connect(&config).await.unwrap(),
        Pool::connect(&config).await.unwrap(),
    );
    let _: Any = one.query_one("SELECT 'x'::a", &[]).await.unwrap();
    let mut failed = Vec::new();
    for _ in 0..5 {
        let held = other.begin().await.unwrap();
        let _: i32 = held.query_one("SELECT 1", &[]).await.unwrap();
        for sql in ["SELECT 'x'::b", "SELECT 'x'::c"] {
            if let Err(error) = one.query_one::<Any>(sql, &[]).await {
                failed.push(format!("{error:#}"));
            }
        }
        drop(held);
        let _ = one.query_one::<i32>("SELECT 1", &[]).await;
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn a_statement_that_ran_is_not_repeated_behind_a_pooler() {
    let database = Postgres::start().await.unwrap();
    let (_bouncer, config) = in_turn(&database).await;
    let admin = observer(&database).await;
    admin
        .batch_execute("CREATE TYPE a AS ENUM ('x'); CREATE TYPE b AS ENUM ('x')")
        .await
        .unwrap();
    let mut twice = Vec::new();
    for round in 0..4 {
        let table = format!("t{round}");
        admin
            .batch_execute(&format!("CREATE TABLE {table} (id int, m a)"))
            .await
            .unwrap();
        let pool = Pool::connect(&config).await.unwrap();
        let one = pool.clone();
        // Two sessions of the pooler.
        let (first, second) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
        drop((first, second));
        sleep(Duration::from_millis(200)).await;
        let sql = format!("INSERT INTO {table} VALUES ($1, 'x') RETURNING m");
        let _: Any = one.query_one(&sql, &[&1]).await.unwrap();
        admin
            .batch_execute(&format!("ALTER TABLE {table} ALTER m TYPE b USING 'x'"))
            .await
            .unwrap();
        for _ in 0..round {
            one.query_one::<i32>("SELECT 1", &[]).await.unwrap();
        }
        let outcome = one.query_one::<Any>(&sql, &[&2]).await.map(drop);
        let count = format!("SELECT count(*) FROM {table} WHERE id = 2");
        let rows: i64 = admin.query_one(&count, &[]).await.unwrap().get(0);
        if rows > 1 {
            twice.push(format!("round {round}: {rows} rows, {outcome:?}"));
        }
    }
    assert!(twice.is_empty(), "{twice:#?}");
}
