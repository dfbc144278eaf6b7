use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cqi_config::DatabaseConfig;
use cqi_db::{Pool, is_outcome_unknown, with_transaction};
use cqi_errors::Kind;
use cqi_testkit::{Database, PgBouncer, Postgres};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{self, eventually, observer, sessions};

async fn start(server_connections: u32) -> (Database, PgBouncer, DatabaseConfig) {
    let database = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::in_front_of(&database)
        .transaction_pooling()
        .setting("default_pool_size", server_connections.to_string())
        .start()
        .await
        .unwrap();
    let mut config = support::config(&database);
    config.host = bouncer.host().to_owned();
    config.port = bouncer.port();
    config.pgbouncer = true;
    config.application_name = "bounced".to_owned();
    (database, bouncer, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_share_few_server_connections() {
    let (database, _bouncer, config) = start(2).await;
    let mut config = config;
    config.max_connections = 10;
    let pools = [
        Pool::connect(&config).await.unwrap(),
        Pool::connect(&config).await.unwrap(),
    ];
    pools[0]
        .execute("CREATE TABLE counters (id int PRIMARY KEY, n int)", &[])
        .await
        .unwrap();
    pools[0]
        .execute("INSERT INTO counters VALUES (1, 0)", &[])
        .await
        .unwrap();
    let clients: Vec<_> = (0..40_i32)
        .map(|n| {
            let pool = pools[usize::try_from(n).unwrap() % 2].clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    // The same text with other types would meet another client's named statement.
                    let (echo,): (i32,) = pool.query_one("SELECT $1::int", &[&n]).await.unwrap();
                    assert_eq!(echo, n);
                    with_transaction(&pool, async |tx| {
                        let (one,): (i32,) = tx.query_one("SELECT $1::int + 1", &[&n]).await?;
                        assert_eq!(one, n + 1);
                        tx.execute("UPDATE counters SET n = n + 1 WHERE id = $1", &[&1])
                            .await
                    })
                    .await
                    .unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let (n,): (i32,) = pools[0]
        .query_one("SELECT n FROM counters", &[])
        .await
        .unwrap();
    assert_eq!(n, 400);
    let observer = observer(&database).await;
    let used = sessions(&observer, "application_name = 'bounced'").await;
    assert!((1..=2).contains(&used), "{used} server connections");
    let named: i64 = sessions(&observer, "state = 'idle in transaction'").await;
    assert_eq!(named, 0);
}

#[tokio::test]
async fn nothing_is_left_in_the_session() {
    let (_database, _bouncer, config) = start(1).await;
    let pool = Pool::connect(&config).await.unwrap();
    for n in 0..3_i32 {
        pool.query_one::<(i32,)>("SELECT $1::int", &[&n])
            .await
            .unwrap();
    }
    let (named,): (i64,) = pool
        .query_one("SELECT count(*) FROM pg_prepared_statements", &[])
        .await
        .unwrap();
    assert_eq!(named, 0);
    let (timeout,): (String,) = pool.query_one("SHOW statement_timeout", &[]).await.unwrap();
    assert_eq!(timeout, "0");
}

#[tokio::test]
async fn a_timeout_cancels_on_the_server() {
    let (database, _bouncer, mut config) = start(2).await;
    config.query_timeout = Duration::from_millis(200);
    let pool = Pool::connect(&config).await.unwrap();
    let slow = timeout(
        Duration::from_secs(3),
        pool.execute("SELECT pg_sleep(60)", &[]),
    );
    let error = slow.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    let observer = observer(&database).await;
    eventually("nothing sleeps", async || {
        sessions(&observer, "query LIKE '%pg_sleep%' AND state = 'active'").await == 0
    })
    .await;
    pool.query_one::<(i32,)>("SELECT 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_dropped_transaction_gives_the_server_connection_back() {
    let (database, _bouncer, config) = start(1).await;
    let pool = Pool::connect(&config).await.unwrap();
    let endless = with_transaction(&pool, async |tx| {
        tx.execute("CREATE TABLE gone ()", &[]).await?;
        tx.execute("SELECT pg_sleep(60)", &[]).await
    });
    assert!(timeout(Duration::from_millis(300), endless).await.is_err());
    let (gone,): (bool,) = timeout(
        Duration::from_secs(5),
        pool.query_one("SELECT to_regclass('gone') IS NULL", &[]),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(gone);
    let observer = observer(&database).await;
    assert_eq!(
        sessions(&observer, "state LIKE 'idle in transaction%'").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_when_one_of_two_bouncers_dies() {
    let (database, first, mut config) = start(2).await;
    let second = PgBouncer::in_front_of(&database)
        .transaction_pooling()
        .start()
        .await
        .unwrap();
    config.host = format!("127.0.0.1:{},127.0.0.1:{}", first.port(), second.port());
    config.max_connections = 4;
    let pool = Pool::connect(&config).await.unwrap();
    let done = Arc::new(AtomicU32::new(0));
    let stop = CancellationToken::new();
    let workers: Vec<_> = (0..8_i32)
        .map(|n| {
            let (pool, done, stop) = (pool.clone(), Arc::clone(&done), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let work = with_transaction(&pool, async |tx| {
                        tx.query_one::<(i32,)>("SELECT $1::int", &[&n]).await
                    });
                    match timeout(Duration::from_secs(15), work).await.unwrap() {
                        Ok(_) => _ = done.fetch_add(1, Ordering::Relaxed),
                        Err(error) => assert!(
                            error.kind() == Kind::Temporary || is_outcome_unknown(&error),
                            "{error:?}"
                        ),
                    }
                }
            })
        })
        .collect();
    let progress = async || {
        let before = done.load(Ordering::Relaxed);
        eventually("work goes on", async || {
            done.load(Ordering::Relaxed) > before + 20
        })
        .await;
    };
    progress().await;

    drop(first);
    progress().await;
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
}
