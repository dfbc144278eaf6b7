use std::time::{Duration, Instant};

use cqi_db::{Migrations, Pool, embed_migrations};
use cqi_errors::Kind;
use cqi_testkit::{Database, PgBouncer, Postgres};
use tokio_postgres::NoTls;

use crate::support::{config, eventually, observer, sessions};

const MIGRATIONS: Migrations = embed_migrations![
    "tests/it/migrations/V1__create_assets.sql",
    "tests/it/migrations/V2__add_symbol.sql",
];

async fn start() -> (Database, Pool) {
    let database = Postgres::start().await.unwrap();
    let pool = Pool::connect(&config(&database)).await.unwrap();
    (database, pool)
}

async fn tables(pool: &Pool, pattern: &str) -> Vec<(String,)> {
    let sql =
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE $1 ORDER BY 1";
    pool.query(sql, &[&pattern]).await.unwrap()
}

#[tokio::test]
async fn each_is_applied_once() {
    let (_database, pool) = start().await;
    let applied = pool.migrate(&MIGRATIONS).await.unwrap();
    assert_eq!(applied, ["V1__create_assets", "V2__add_symbol"]);
    pool.execute("INSERT INTO assets (id, symbol) VALUES (1, 'btc')", &[])
        .await
        .unwrap();
    assert!(pool.migrate(&MIGRATIONS).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_take_turns() {
    let (database, _) = start().await;
    const SLOW: Migrations = Migrations::new(&[
        ("V1__a", "SELECT pg_sleep(0.1); CREATE TABLE a ()"),
        ("V2__b", "SELECT pg_sleep(0.1); CREATE TABLE b ()"),
    ]);
    let instances: Vec<_> = (0..5)
        .map(|_| {
            let config = config(&database);
            tokio::spawn(async move {
                let pool = Pool::connect(&config).await.unwrap();
                pool.migrate(&SLOW).await.unwrap().len()
            })
        })
        .collect();
    let mut applied = Vec::new();
    for instance in instances {
        applied.push(instance.await.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied, [0, 0, 0, 0, 2]);
}

#[tokio::test]
async fn a_failure_names_the_migration_and_keeps_those_before() {
    let (_database, pool) = start().await;
    const FAILS: Migrations = Migrations::new(&[
        ("V1__good", "CREATE TABLE good ()"),
        ("V2__bad", "CREATE TABLE half (); CREATE TABEL typo ()"),
        ("V3__never", "CREATE TABLE never ()"),
    ]);
    let error = pool.migrate(&FAILS).await.unwrap_err();
    let text = format!("{error:#}");
    assert_eq!(error.kind(), Kind::Permanent, "{text}");
    assert!(text.contains("V2__bad") && text.contains("TABEL"), "{text}");
    assert_eq!(tables(&pool, "good").await.len(), 1);
    for table in ["half", "never"] {
        assert!(tables(&pool, table).await.is_empty(), "{table}");
    }
}

#[tokio::test]
async fn a_migration_changed_later_is_refused() {
    let (_database, pool) = start().await;
    const BEFORE: Migrations = Migrations::new(&[("V1__a", "CREATE TABLE a ()")]);
    const AFTER: Migrations = Migrations::new(&[("V1__a", "CREATE TABLE a (id int)")]);
    pool.migrate(&BEFORE).await.unwrap();
    let error = pool.migrate(&AFTER).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(error.to_string().contains("V1__a was changed"), "{error:?}");
}

#[tokio::test]
async fn a_database_ahead_of_the_program_is_left_alone() {
    let (_database, pool) = start().await;
    const OLD: Migrations = Migrations::new(&[("V1__a", "CREATE TABLE a ()")]);
    const NEW: Migrations = Migrations::new(&[
        ("V1__a", "CREATE TABLE a ()"),
        ("V3__c", "CREATE TABLE c ()"),
    ]);
    const ELSEWHERE: Migrations = Migrations::new(&[
        ("V1__a", "CREATE TABLE a ()"),
        ("V2__b", "CREATE TABLE b ()"),
    ]);
    pool.migrate(&NEW).await.unwrap();
    assert!(pool.migrate(&OLD).await.unwrap().is_empty());
    let error = pool.migrate(&ELSEWHERE).await.unwrap_err();
    assert!(error.to_string().contains("out of order"), "{error:?}");
    assert!(tables(&pool, "b").await.is_empty());
}

#[tokio::test]
async fn bad_names_and_repeated_versions_are_found_before_anything_runs() {
    let (_database, pool) = start().await;
    const NAMELESS: Migrations = Migrations::new(&[("sql/create.sql", "CREATE TABLE a ()")]);
    const TWICE: Migrations = Migrations::new(&[
        ("V1__a.sql", "CREATE TABLE a ()"),
        ("V1__b.sql", "CREATE TABLE b ()"),
    ]);
    let error = pool.migrate(&NAMELESS).await.unwrap_err();
    assert!(error.to_string().contains("sql/create.sql"), "{error:?}");
    let error = pool.migrate(&TWICE).await.unwrap_err();
    assert!(error.to_string().contains("version"), "{error:?}");
    for table in ["a", "b"] {
        assert!(tables(&pool, table).await.is_empty(), "{table}");
    }
}

#[tokio::test]
async fn the_time_is_bounded_and_what_runs_is_undone() {
    let (database, pool) = start().await;
    const ENDLESS: Migrations =
        Migrations::new(&[("V1__endless", "CREATE TABLE a (); SELECT pg_sleep(60)")])
            .within(Duration::from_millis(500));
    let started = Instant::now();
    let error = pool.migrate(&ENDLESS).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    let observer = observer(&database).await;
    eventually("nothing runs any more", async || {
        sessions(&observer, "query LIKE '%pg_sleep%' AND state <> 'idle'").await == 0
    })
    .await;
    assert!(tables(&pool, "a").await.is_empty());

    // Whoever waits for another instance is bounded as well.
    observer
        .batch_execute("SELECT pg_advisory_lock(7165624340701603698)")
        .await
        .unwrap();
    let error = pool.migrate(&ENDLESS).await.unwrap_err();
    assert!(error.to_string().contains("another instance"), "{error:?}");
}

#[tokio::test]
async fn a_migration_may_outlast_the_query_timeout() {
    let (_database, pool) = start().await;
    const UNBOUND: Migrations = Migrations::new(&[(
        "V1__unbound",
        "SELECT 1 / (current_setting('statement_timeout') = '0')::int",
    )]);
    assert_eq!(pool.migrate(&UNBOUND).await.unwrap(), ["V1__unbound"]);
}

#[tokio::test]
async fn through_pgbouncer_in_transaction_mode() {
    let (database, direct) = start().await;
    let bouncer = PgBouncer::in_front_of(&database)
        .transaction_pooling()
        .start()
        .await
        .unwrap();
    let mut config = config(&database);
    config.host = bouncer.host().to_owned();
    config.port = bouncer.port();
    config.pgbouncer = true;
    let pool = Pool::connect(&config).await.unwrap();
    assert_eq!(pool.migrate(&MIGRATIONS).await.unwrap().len(), 2);
    assert!(pool.migrate(&MIGRATIONS).await.unwrap().is_empty());
    assert_eq!(tables(&direct, "assets").await.len(), 1);
    let (mut client, connection) = tokio_postgres::connect(&database.url(), NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let tx = client.build_transaction().start().await.unwrap();
    let free: bool = tx
        .query_one("SELECT pg_try_advisory_xact_lock(7165624340701603698)", &[])
        .await
        .unwrap()
        .get(0);
    assert!(free, "the lock is released");
    drop(tx);
    drop(client);
    connection.await.unwrap().unwrap();
}
