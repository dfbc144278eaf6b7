use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cqi_db::Pool;
use cqi_errors::Kind;
use cqi_testkit::Postgres;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::{config, eventually, observer, sessions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_serve_five_hundred_callers_in_turn() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 2;
    config.acquire_timeout = Duration::from_secs(30);
    let pool = Pool::connect(&config).await.unwrap();
    let served: Arc<[AtomicU64]> = (0..500).map(|_| AtomicU64::new(0)).collect();
    let stop = Instant::now() + Duration::from_secs(2);
    let mut callers = JoinSet::new();
    for caller in 0..500 {
        let (pool, served) = (pool.clone(), Arc::clone(&served));
        callers.spawn(async move {
            while Instant::now() < stop {
                let one: i32 = pool.query_one("SELECT 1", &[]).await.unwrap();
                assert_eq!(one, 1);
                served[caller].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    callers.join_all().await;
    let counts = || served.iter().map(|count| count.load(Ordering::Relaxed));
    let (least, most) = (counts().min().unwrap(), counts().max().unwrap());
    assert!(
        least > 0 && most <= least * 2 + 2,
        "least {least}, most {most}"
    );
    assert!(pool.status().opened <= 2);
    assert_eq!((pool.status().waiting, pool.status().in_use), (0, 0));
}

#[tokio::test]
async fn a_full_pool_says_what_to_do_and_is_not_an_outage() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 2;
    config.acquire_timeout = Duration::from_millis(200);
    let pool = Pool::connect(&config).await.unwrap();
    let _held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop) }
    });
    let started = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(450));
    assert_eq!(error.kind(), Kind::Temporary);
    let text = error.to_string();
    for part in [
        "acquire_timeout",
        "200ms",
        "2 of 2 in use",
        "max_connections",
        database.name(),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(waiting.await.unwrap().is_err());
    assert!(pool.status().acquire_timeouts == 2);

    let started = Instant::now();
    pool.check().await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn connections_are_prewarmed_reaped_and_renewed() {
    let database = Postgres::start().await.unwrap();
    let observer = observer(&database).await;
    let mut config = config(&database);
    (config.min_connections, config.max_connections) = (2, 6);
    config.idle_timeout = Duration::from_millis(300);
    config.max_lifetime = Duration::from_secs(1);
    let pool = Pool::connect(&config).await.unwrap();
    assert_eq!((pool.status().size, pool.status().idle), (2, 2));

    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(pool.acquire().await.unwrap());
    }
    assert_eq!((pool.status().size, pool.status().in_use), (6, 6));
    assert_eq!(sessions(&observer, "true").await, 6);
    drop(held);
    eventually("idle connections are closed", async || {
        pool.status().size == 2
    })
    .await;
    eventually("on the server too", async || {
        sessions(&observer, "true").await == 2
    })
    .await;

    let before: i32 = pool
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    let gone = format!("pid = {before}");
    eventually("old connections are replaced", async || {
        sessions(&observer, &gone).await == 0
    })
    .await;
    eventually("the least are open", async || pool.status().size == 2).await;
    assert!(pool.status().closed >= 5);
}

#[tokio::test]
async fn close_ends_everything_and_later_callers_are_told() {
    let database = Postgres::start().await.unwrap();
    let observer = observer(&database).await;
    let mut config = config(&database);
    config.min_connections = 3;
    config.acquire_timeout = Duration::from_millis(500);
    let pool = Pool::connect(&config).await.unwrap();
    let busy = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.query_one::<i32>("SELECT 1 FROM pg_sleep(0.1)", &[])
                .await
        }
    });
    eventually("it is in use", async || pool.status().in_use == 1).await;
    timeout(Duration::from_secs(1), pool.close()).await.unwrap();
    assert_eq!(busy.await.unwrap().unwrap(), 1);
    let error = pool.execute("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(pool.check().await.is_err());
    assert_eq!(pool.status().size, 0);
    eventually("no session is left", async || {
        sessions(&observer, "true").await == 0
    })
    .await;
    pool.close().await;
}

#[tokio::test]
async fn close_does_not_wait_for_ever() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.acquire_timeout = Duration::from_millis(200);
    let pool = Pool::connect(&config).await.unwrap();
    let held = pool.acquire().await.unwrap();
    timeout(Duration::from_millis(450), pool.close())
        .await
        .unwrap();
    drop(held);
    assert_eq!(pool.status().size, 0);
}

#[tokio::test]
async fn the_last_handle_ends_the_pool() {
    let database = Postgres::start().await.unwrap();
    let observer = observer(&database).await;
    let pool = Pool::connect(&config(&database)).await.unwrap();
    let connection = pool.acquire().await.unwrap();
    drop(pool);
    assert_eq!(sessions(&observer, "true").await, 1);
    drop(connection);
    eventually("no session is left", async || {
        sessions(&observer, "true").await == 0
    })
    .await;
    let tasks = tokio::runtime::Handle::current().metrics();
    // The observer's own connection.
    eventually("no task is left", async || tasks.num_alive_tasks() <= 1).await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 0;
    let error = Pool::connect(&config).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.field(), Some("database.max_connections"));
}
