use std::time::Duration;

use cqi_db::Pool;
use cqi_errors::Kind;
use cqi_testkit::{Database, Postgres, Proxy};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use crate::support::{config, eventually, observer};

async fn terminate_all(observer: &Client) -> i64 {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    observer.query_one(sql, &[]).await.unwrap().get(0)
}

async fn warm(pool: &Pool, connections: usize) {
    let mut held = Vec::new();
    for _ in 0..connections {
        held.push(pool.acquire().await.unwrap());
    }
}

/// The pool may ask at any moment after the connections were terminated: before the server has
/// acted, while its goodbye is on the way, and after.
async fn terminated(worker: bool) {
    let database = Postgres::start().await.unwrap();
    let observer = observer(&database).await;
    let mut config = config(&database);
    config.max_connections = 5;
    let pool = Pool::connect(&config).await.unwrap();
    pool.execute("CREATE TABLE t (id int PRIMARY KEY)", &[])
        .await
        .unwrap();
    for round in 0..100_i32 {
        warm(&pool, 5).await;
        assert!(terminate_all(&observer).await >= 1);
        if worker {
            sleep(Duration::from_micros(u64::try_from(round).unwrap() * 30)).await;
        }
        let written = pool
            .execute("INSERT INTO t VALUES ($1)", &[&round])
            .await
            .unwrap();
        assert_eq!(written, 1);
        pool.batch_execute("SELECT 1").await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        assert_eq!(
            connection.query_one::<i32>("SELECT 1", &[]).await.unwrap(),
            1
        );
    }
    let written: i64 = pool.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!(written, 100);
}

#[tokio::test]
async fn terminated_idle_connections_cost_no_caller_an_error() {
    terminated(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_idle_connections_cost_no_caller_an_error_on_many_threads() {
    terminated(true).await;
}

#[tokio::test]
async fn a_query_that_runs_when_its_connection_is_terminated_is_not_repeated() {
    let database = Postgres::start().await.unwrap();
    let observer = observer(&database).await;
    let pool = Pool::connect(&config(&database)).await.unwrap();
    pool.execute("CREATE SEQUENCE runs", &[]).await.unwrap();
    let running = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.execute("SELECT nextval('runs'), pg_sleep(30)", &[])
                .await
        }
    });
    eventually("it runs", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        observer.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    terminate_all(&observer).await;
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
    let runs: i64 = pool
        .query_one("SELECT last_value FROM runs", &[])
        .await
        .unwrap();
    assert_eq!(runs, 1);
    assert_eq!(pool.status().replayed, 0);
}

async fn load(pool: &Pool, stop: Instant) -> (u64, u64) {
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let pool = pool.clone();
        callers.spawn(async move {
            let (mut good, mut bad) = (0, 0);
            while Instant::now() < stop {
                match pool.query_one::<i32>("SELECT 1", &[]).await {
                    Ok(_) => good += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
                        bad += 1;
                        sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            (good, bad)
        });
    }
    let sum = callers.join_all();
    let sum = timeout(Duration::from_secs(20), sum).await.unwrap();
    sum.into_iter()
        .fold((0, 0), |(good, bad), (g, b)| (good + g, bad + b))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_and_restarted_under_load() {
    let server = Postgres::builder().private().start().await.unwrap();
    let database = server.create_database().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 4;
    config.acquire_timeout = Duration::from_secs(1);
    let pool = Pool::connect(&config).await.unwrap();
    let stop = Instant::now() + Duration::from_secs(3);
    let load = tokio::spawn({
        let pool = pool.clone();
        async move { load(&pool, stop).await }
    });
    sleep(Duration::from_millis(300)).await;
    server.kill().unwrap();
    let error = pool.execute("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
    assert!(pool.check().await.is_err());
    server.restart().await.unwrap();
    let back = Instant::now();
    eventually("the pool works again", async || {
        pool.execute("SELECT 1", &[]).await.is_ok()
    })
    .await;
    assert!(
        back.elapsed() < Duration::from_secs(1),
        "{:?}",
        back.elapsed()
    );
    pool.check().await.unwrap();
    let (good, bad) = load.await.unwrap();
    assert!(good > 0 && bad > 0, "good {good}, bad {bad}");
}

#[tokio::test]
async fn an_orderly_restart_while_idle_costs_no_caller_an_error() {
    let server = Postgres::builder().private().start().await.unwrap();
    let database = server.create_database().await.unwrap();
    let pool = Pool::connect(&config(&database)).await.unwrap();
    for _ in 0..5 {
        warm(&pool, 3).await;
        server.restart().await.unwrap();
        assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
    }
}

async fn proxied() -> (Database, Proxy, Pool) {
    let database = Postgres::start().await.unwrap();
    let proxy = Proxy::to((database.host(), database.port()))
        .start()
        .await
        .unwrap();
    let mut config = config(&database);
    (config.host, config.port) = ("127.0.0.1".into(), proxy.port());
    config.query_timeout = Duration::from_secs(1);
    config.connect_timeout = Duration::from_secs(1);
    let pool = Pool::connect(&config).await.unwrap();
    (database, proxy, pool)
}

#[tokio::test]
async fn corrupt_answers_are_errors() {
    let (_database, proxy, pool) = proxied().await;
    for _ in 0..5 {
        assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
        proxy.corrupt();
        let error = pool.query_one::<i32>("SELECT 1", &[]).await.unwrap_err();
        assert!(
            matches!(error.kind(), Kind::Temporary | Kind::Timeout),
            "{error:?}"
        );
        proxy.pass();
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_replaced() {
    let (_database, proxy, pool) = proxied().await;
    for _ in 0..20 {
        warm(&pool, 2).await;
        proxy.cut();
        // A reset proves nothing about a query that meets it; the next call finds a new connection.
        let _ = pool.query_one::<i32>("SELECT 1", &[]).await;
        assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_large_answer_cut_in_the_middle_is_an_error() {
    let (_database, proxy, pool) = proxied().await;
    proxy.cut_after(100_000);
    let rows = "SELECT repeat('x', 1000) FROM generate_series(1, 1000)";
    let error = pool.query::<String>(rows, &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
    proxy.pass();
    assert_eq!(pool.query::<String>(rows, &[]).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn a_refused_connection_names_its_host() {
    let (_database, proxy, pool) = proxied().await;
    proxy.refuse();
    proxy.cut();
    eventually("calls fail", async || {
        pool.execute("SELECT 1", &[]).await.is_err()
    })
    .await;
    let error = pool.execute("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
    assert!(
        format!("{error:#}").contains(&format!("127.0.0.1:{}", proxy.port())),
        "{error:#}"
    );
}
