use std::pin::pin;
use std::time::Duration;

use cqi_db::Pool;
use cqi_errors::Kind;
use cqi_testkit::{Database, Postgres, Proxy};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use crate::support::{config, eventually, observer, sessions};

const MARGIN: Duration = Duration::from_millis(250);

async fn start(connections: u32) -> (Database, Pool) {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = connections;
    config.query_timeout = Duration::from_millis(300);
    config.recycle_timeout = Duration::from_secs(10);
    let pool = Pool::connect(&config).await.unwrap();
    (database, pool)
}

async fn gone(observer: &Client) {
    let asleep = "query LIKE '%pg_sleep%' AND state = 'active'";
    eventually("the query is cancelled", async || {
        sessions(observer, asleep).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_query_at_its_bound_is_cancelled_and_its_connection_kept() {
    let (database, pool) = start(1).await;
    let observer = observer(&database).await;
    for round in 1..=3 {
        let started = Instant::now();
        let error = pool.execute("SELECT pg_sleep(30)", &[]).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_millis(300) + MARGIN);
        assert_eq!(error.kind(), Kind::Timeout);
        assert!(
            error.to_string().contains("database.query_timeout"),
            "{error}"
        );
        gone(&observer).await;
        assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
        assert_eq!(
            (pool.status().opened, pool.status().query_timeouts),
            (1, round)
        );
    }
}

#[tokio::test]
async fn a_dropped_query_is_cancelled_and_its_connection_kept() {
    let (database, pool) = start(1).await;
    let observer = observer(&database).await;
    for _ in 0..5 {
        let sleep = pool.execute("SELECT pg_sleep(30)", &[]);
        assert!(timeout(Duration::from_millis(50), sleep).await.is_err());
        let next = Instant::now();
        assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
        assert!(
            next.elapsed() < Duration::from_secs(10),
            "{:?}",
            next.elapsed()
        );
        gone(&observer).await;
    }
    assert_eq!((pool.status().opened, pool.status().abandoned), (1, 5));
}

#[tokio::test]
async fn a_connection_whose_query_was_dropped_says_so() {
    let (_database, pool) = start(1).await;
    let mut connection = pool.acquire().await.unwrap();
    let sleep = connection.execute("SELECT pg_sleep(30)", &[]);
    assert!(timeout(Duration::from_millis(50), sleep).await.is_err());
    let error = connection.execute("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(connection.client().unwrap_err().kind(), Kind::Cancelled);
    // It has gone back already.
    assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
}

/// Drops a call after each number of polls it can take.
#[tokio::test]
async fn a_query_dropped_at_any_point_leaves_nothing() {
    let (database, pool) = start(1).await;
    let observer = observer(&database).await;
    pool.execute("CREATE TABLE t (id int)", &[]).await.unwrap();
    let mut polls = 0;
    loop {
        let sql = format!("INSERT INTO t SELECT {polls} FROM pg_sleep(0.002)");
        let mut call = pin!(pool.execute(&sql, &[]));
        let mut left = polls;
        let done = std::future::poll_fn(|cx| match call.poll_unpin(cx) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        })
        .await;
        call.set(pool.execute("SELECT 1", &[]));
        assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
        assert_eq!(sessions(&observer, "state <> 'idle'").await, 0);
        if done.is_some() {
            break;
        }
        polls += 1;
    }
    assert!(polls >= 2, "{polls}");
    assert_eq!(pool.status().opened, 1);
}

#[tokio::test]
async fn a_late_cancel_never_hits_the_next_query() {
    let (_database, pool) = start(1).await;
    for round in 0..200_u64 {
        let sleep = pool.execute("SELECT pg_sleep(0.005)", &[]);
        let _ = timeout(Duration::from_micros(3_000 + round * 20), sleep).await;
        let next: i32 = pool
            .query_one("SELECT 1 FROM pg_sleep(0.001)", &[])
            .await
            .unwrap();
        assert_eq!(next, 1);
    }
    assert_eq!(pool.status().opened, 1);
}

#[tokio::test]
async fn a_frozen_network_costs_no_call_more_than_its_bound() {
    let database = Postgres::start().await.unwrap();
    let proxy = Proxy::to((database.host(), database.port()))
        .start()
        .await
        .unwrap();
    let mut config = config(&database);
    (config.host, config.port) = ("127.0.0.1".into(), proxy.port());
    (config.max_connections, config.min_connections) = (3, 3);
    config.acquire_timeout = Duration::from_millis(600);
    config.connect_timeout = Duration::from_millis(500);
    config.recycle_timeout = Duration::from_millis(200);
    config.query_timeout = Duration::from_millis(400);
    config.verify_after = Duration::from_millis(100);
    let pool = Pool::connect(&config).await.unwrap();
    pool.query_one::<i32>("SELECT 1", &[]).await.unwrap();
    proxy.freeze();

    for _ in 0..3 {
        let calls = (0..12).map(|_| async {
            let started = Instant::now();
            let error = pool.query_one::<i32>("SELECT 1", &[]).await.unwrap_err();
            let bound = config.acquire_timeout + config.query_timeout + MARGIN;
            assert!(
                started.elapsed() < bound,
                "{:?}: {error:?}",
                started.elapsed()
            );
            assert!(
                matches!(error.kind(), Kind::Timeout | Kind::Temporary),
                "{error:?}"
            );
        });
        futures_util::future::join_all(calls).await;
        let started = Instant::now();
        assert!(pool.check().await.is_err());
        assert!(started.elapsed() < config.connect_timeout + MARGIN);
    }
    let started = Instant::now();
    let error = Pool::connect(&config).await.unwrap_err();
    assert!(
        started.elapsed() < config.connect_timeout + MARGIN,
        "{error:?}"
    );

    proxy.pass();
    eventually("the pool works again", async || {
        pool.query_one::<i32>("SELECT 1", &[]).await.is_ok()
    })
    .await;
    pool.check().await.unwrap();
    // Nothing runs on that was given up.
    let observer = observer(&database).await;
    eventually("no session is busy", async || {
        sessions(&observer, "state = 'active'").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_frozen_server_costs_no_call_more_than_its_bound() {
    let server = Postgres::builder().private().start().await.unwrap();
    let database = server.create_database().await.unwrap();
    let mut config = config(&database);
    config.acquire_timeout = Duration::from_millis(500);
    config.connect_timeout = Duration::from_millis(400);
    config.query_timeout = Duration::from_millis(300);
    let pool = Pool::connect(&config).await.unwrap();
    pool.query_one::<i32>("SELECT 1", &[]).await.unwrap();
    server.freeze().unwrap();
    for _ in 0..3 {
        let started = Instant::now();
        let error = pool.query_one::<i32>("SELECT 1", &[]).await.unwrap_err();
        let bound = config.acquire_timeout + config.query_timeout + MARGIN;
        assert!(
            started.elapsed() < bound,
            "{:?}: {error:?}",
            started.elapsed()
        );
    }
    server.thaw().unwrap();
    eventually("the pool works again", async || {
        pool.query_one::<i32>("SELECT 1", &[]).await.is_ok()
    })
    .await;
}
