//! Rare coincidences, each of which would cost a user data, time or a secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cqi_db::{Pool, with_transaction};
use cqi_errors::{Error, Kind};
use cqi_testkit::{Database, Postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{config, eventually, observer, sessions, start};

#[tokio::test]
async fn a_batch_that_committed_is_not_repeated() {
    let (database, pool) = start(2).await;
    let observer = observer(&database).await;
    pool.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    let running = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.batch_execute("BEGIN; INSERT INTO t VALUES (1); COMMIT; SELECT pg_sleep(0.5)")
                .await
        }
    });
    eventually("it runs", async || {
        sessions(&observer, "wait_event = 'PgSleep'").await == 1
    })
    .await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    observer.query(sql, &[]).await.unwrap();
    let outcome = running.await.unwrap();
    let rows: i64 = pool.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!((rows, pool.status().replayed), (1, 0), "{outcome:?}");
}

#[tokio::test]
async fn a_held_connection_does_not_let_the_reaper_starve_the_pool() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    (config.min_connections, config.max_connections) = (2, 2);
    config.max_lifetime = Duration::from_millis(300);
    config.acquire_timeout = Duration::from_secs(1);
    let pool = Pool::connect(&config).await.unwrap();
    let _held = pool.acquire().await.unwrap();
    sleep(Duration::from_millis(800)).await;
    let one = pool.query_one::<i32>("SELECT 1", &[]).await;
    assert_eq!(one.unwrap(), 1, "{:?}", pool.status());
}

/// A proxy that holds the first cancel request for a while, as a lost packet does.
async fn holding(database: &Database, hold: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = (database.host().to_owned(), database.port());
    let cancels = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let (to, cancels) = (to.clone(), Arc::clone(&cancels));
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let mut head = [0; 8];
                near.read_exact(&mut head).await.unwrap();
                let cancel = head[4..] == 80_877_102_u32.to_be_bytes();
                if cancel && cancels.fetch_add(1, Ordering::Relaxed) == 0 {
                    sleep(hold).await;
                }
                far.write_all(&head).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_cancel_that_was_late_does_not_hit_the_next_user() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    (config.host, config.port) = (
        "127.0.0.1".into(),
        holding(&database, Duration::from_millis(900)).await,
    );
    config.max_connections = 1;
    config.query_timeout = Duration::from_millis(300);
    let pool = Pool::connect(&config).await.unwrap();
    let error = pool.execute("SELECT pg_sleep(30)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        pool.execute("SELECT pg_sleep(0.1)", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_nul_in_sql_is_a_mistake_and_costs_no_connection() {
    let (_database, pool) = start(5).await;
    let error = pool.execute("SELECT 1 \0", &[]).await.unwrap_err();
    let error = format!("{:?} {error:#}", error.kind());
    assert_eq!(
        (pool.status().opened, pool.status().replayed),
        (1, 0),
        "{error}"
    );
    assert!(error.starts_with("Permanent"), "{error}");
}

#[tokio::test]
async fn a_repeated_batch_leaves_a_session_to_be_cleaned() {
    let (database, pool) = start(1).await;
    let observer = observer(&database).await;
    let mut connection = pool.acquire().await.unwrap();
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()";
    observer.query(sql, &[]).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    connection
        .batch_execute("SET search_path TO nowhere; SELECT pg_advisory_lock(7); BEGIN")
        .await
        .unwrap();
    drop(connection);
    let path: String = pool.query_one("SHOW search_path", &[]).await.unwrap();
    assert_eq!(path, "\"$user\", public");
}

#[tokio::test]
async fn a_strange_sqlstate_is_no_panic() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1000];
            let _ = socket.read(&mut buffer).await;
            let body = b"SFATAL\0C1\0Mno\0\0";
            let mut message = vec![b'E'];
            message.extend((body.len() as u32 + 4).to_be_bytes());
            message.extend(body);
            let _ = socket.write_all(&message).await;
        }
    });
    let settings = cqi_config::DatabaseConfig {
        host: "127.0.0.1".into(),
        port,
        ssl_mode: cqi_config::SslMode::Disable,
        ..Default::default()
    };
    Pool::connect(&settings).await.map(drop).unwrap_err();
}

#[tokio::test]
async fn bounds_without_a_limit_are_no_panic() {
    let database = Postgres::start().await.unwrap();
    let which: [fn(&mut cqi_config::DatabaseConfig); 5] = [
        |c| c.max_lifetime = Duration::MAX,
        |c| c.query_timeout = Duration::MAX,
        |c| c.acquire_timeout = Duration::MAX,
        |c| c.connect_timeout = Duration::MAX,
        |c| c.idle_timeout = Duration::MAX,
    ];
    let mut panics = Vec::new();
    for (n, set) in which.into_iter().enumerate() {
        let mut config = config(&database);
        set(&mut config);
        let done = tokio::spawn(async move {
            let pool = Pool::connect(&config).await.unwrap();
            pool.execute("SELECT 1", &[]).await.unwrap();
        });
        if done.await.is_err() {
            panics.push(n);
        }
    }
    assert!(panics.is_empty(), "{panics:?}");
}

#[tokio::test]
async fn what_sql_leaves_is_undone() {
    let (_database, pool) = start(1).await;
    let mut left = Vec::new();
    for sql in [
        "SELECT PG_ADVISORY_LOCK(7)",
        "SELECT Set_Config('search_path', 'nowhere', false)",
        "CREATE LOCAL TEMP TABLE a (id int)",
        "SELECT 1 AS x INTO TEMP b",
        "CREATE OR REPLACE TEMP VIEW c AS SELECT 1",
        "DO $$BEGIN SET search_path TO nowhere; END$$",
        "SET ROLE pg_monitor",
        "EXPLAIN ANALYZE CREATE TEMP TABLE d AS SELECT 1",
        "(SELECT 1 AS x INTO TEMP e)",
    ] {
        if let Err(error) = pool.execute(sql, &[]).await {
            left.push(format!("ERR {sql}: {error:#}"));
            continue;
        }
        let clean: (i64, String, bool, bool, i64) = pool
            .query_one(
                "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), \
                 current_setting('search_path'), pg_my_temp_schema() <> 0 AND EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema()), \
                 current_user = session_user, (SELECT count(*) FROM pg_prepared_statements WHERE from_sql)",
                &[],
            )
            .await
            .unwrap();
        if clean != (0, "\"$user\", public".to_owned(), false, true, 0) {
            left.push(format!("{sql}: {clean:?}"));
            pool.batch_execute("DEALLOCATE ALL").await.unwrap();
        }
    }
    assert!(left.is_empty(), "{left:#?}");
}

#[tokio::test]
async fn savepoints_side_by_side_undo_what_failed() {
    let (_database, pool) = start(1).await;
    pool.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    let outcome = with_transaction(&pool, async |tx| {
        let first = tx.savepoint(async |tx| {
            tx.execute("INSERT INTO t VALUES (1)", &[]).await?;
            sleep(Duration::from_millis(100)).await;
            Err::<(), _>(Error::permanent("no"))
        });
        let second = async {
            sleep(Duration::from_millis(50)).await;
            let body = async |tx: cqi_db::Transaction| {
                tx.execute("INSERT INTO t VALUES (2)", &[]).await?;
                sleep(Duration::from_millis(150)).await;
                Err::<(), _>(Error::permanent("no"))
            };
            tx.savepoint(body).await
        };
        let both = tokio::join!(first, second);
        assert!(both.0.is_err() && both.1.is_err());
        Ok(())
    })
    .await;
    let left: Vec<i32> = pool.query("SELECT id FROM t", &[]).await.unwrap();
    assert!(left.is_empty(), "{left:?} {outcome:?}");
}

async fn recreated(pgbouncer: bool) {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 1;
    config.pgbouncer = pgbouncer;
    let pool = Pool::connect(&config).await.unwrap();
    pool.batch_execute("CREATE TYPE mood AS ENUM ('x'); CREATE TABLE t (m mood)")
        .await
        .unwrap();
    let sql = "SELECT count(*) FROM t WHERE m = $1";
    #[derive(Debug)]
    struct Mood;
    impl tokio_postgres::types::ToSql for Mood {
        fn to_sql(
            &self,
            _: &tokio_postgres::types::Type,
            out: &mut tokio_postgres::types::private::BytesMut,
        ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>>
        {
            out.extend_from_slice(b"x");
            Ok(tokio_postgres::types::IsNull::No)
        }
        fn accepts(_: &tokio_postgres::types::Type) -> bool {
            true
        }
        tokio_postgres::types::to_sql_checked!();
    }
    pool.query_one::<i64>(sql, &[&Mood]).await.unwrap();
    let admin = observer(&database).await;
    admin
        .batch_execute(
            "ALTER TYPE mood RENAME TO old; CREATE TYPE mood AS ENUM ('x', 'y'); \
             ALTER TABLE t ALTER m TYPE mood USING m::text::mood; DROP TYPE old",
        )
        .await
        .unwrap();
    let _ = pool.query_one::<i64>(sql, &[&Mood]).await;
    let _ = pool.query_one::<i64>(sql, &[&Mood]).await;
    pool.query_one::<i64>(sql, &[&Mood]).await.unwrap();
}

#[tokio::test]
async fn a_recreated_enum_does_not_fail_for_ever() {
    recreated(false).await;
}

#[tokio::test]
async fn a_recreated_enum_does_not_fail_for_ever_unnamed() {
    recreated(true).await;
}

/// A firewall forgets idle flows: packets vanish, new connections work.
#[tokio::test]
async fn idle_connections_that_died_silently_cost_no_caller_an_error() {
    let database = Postgres::start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = (database.host().to_owned(), database.port());
    tokio::spawn(async move {
        let mut count = 0;
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            count += 1;
            let old = count <= 8;
            let to = to.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let copy = tokio::io::copy_bidirectional(&mut near, &mut far);
                if old {
                    let _ = timeout(Duration::from_millis(500), copy).await;
                    sleep(Duration::from_secs(60)).await;
                } else {
                    let _ = copy.await;
                }
            });
        }
    });
    let mut config = config(&database);
    (config.host, config.port) = ("127.0.0.1".into(), port);
    (config.min_connections, config.max_connections) = (8, 8);
    config.verify_after = Duration::from_millis(200);
    let pool = Pool::connect(&config).await.unwrap();
    sleep(Duration::from_millis(800)).await;
    let started = Instant::now();
    let outcome = pool.query_one::<i32>("SELECT 1", &[]).await;
    assert_eq!(outcome.unwrap(), 1, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_users_read_only_transaction_is_no_demotion() {
    let (_database, pool) = start(1).await;
    pool.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    connection.batch_execute("BEGIN READ ONLY").await.unwrap();
    let error = connection
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent, "{error:#}");
}

#[tokio::test]
async fn a_late_cancel_does_not_hit_the_next_query_of_a_connection() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    (config.host, config.port) = (
        "127.0.0.1".into(),
        holding(&database, Duration::from_millis(900)).await,
    );
    config.query_timeout = Duration::from_millis(300);
    let pool = Pool::connect(&config).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let _ = connection.execute("SELECT pg_sleep(0.38)", &[]).await;
    for _ in 0..10 {
        if let Err(error) = connection.execute("SELECT pg_sleep(0.15)", &[]).await {
            assert_eq!(error.kind(), Kind::Cancelled, "{error:#}");
            break;
        }
    }
}

#[test]
fn a_pool_that_outlives_its_runtime_hands_out_clean_sessions() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let keep = runtime();
    let (database, pool) = {
        let first = runtime();
        let database = keep.block_on(Postgres::start()).unwrap();
        let mut config = config(&database);
        config.max_connections = 1;
        let pool = first.block_on(Pool::connect(&config)).unwrap();
        (database, pool)
    };
    keep.block_on(async {
        pool.batch_execute("SET search_path TO nowhere; BEGIN; SELECT pg_advisory_lock(7)")
            .await
            .unwrap();
        let path: String = pool.query_one("SHOW search_path", &[]).await.unwrap();
        assert_eq!(path, "\"$user\", public");
    });
    drop(database);
}

/// 21: creating one connection slowly keeps the idle ones from callers.
#[tokio::test]
async fn a_slow_connect_of_the_reaper_does_not_take_idle_connections() {
    let database = Postgres::start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = (database.host().to_owned(), database.port());
    tokio::spawn(async move {
        let mut count = 0;
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            count += 1;
            let swallow = count > 4;
            let to = to.clone();
            tokio::spawn(async move {
                if swallow {
                    sleep(Duration::from_secs(60)).await;
                }
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let mut config = config(&database);
    (config.host, config.port) = ("127.0.0.1".into(), port);
    (config.min_connections, config.max_connections) = (4, 4);
    config.idle_timeout = Duration::from_secs(2);
    let pool = Pool::connect(&config).await.unwrap();
    // One of four is lost for good: the others work.
    let observer = observer(&database).await;
    let mut lost = pool.acquire().await.unwrap();
    let _ = lost
        .execute("SELECT pg_terminate_backend(pg_backend_pid())", &[])
        .await;
    drop(lost);
    let _ = observer;
    sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    let outcome = pool.query_one::<i32>("SELECT 1", &[]).await;
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?} {outcome:?}",
        started.elapsed()
    );
}
