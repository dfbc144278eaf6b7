use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use cqi_db::{
    Isolation, Pool, SqlError, Transaction, TransactionOptions, is_outcome_unknown,
    with_transaction,
};
use cqi_errors::{Error, Kind, Result};
use cqi_testkit::{Database, Postgres, Proxy};
use futures_util::FutureExt;
use tokio::sync::Barrier;
use tokio::time::timeout;

use crate::support::{config, eventually, observer, sessions};

async fn start() -> (Database, Pool) {
    start_with(4).await
}

async fn start_with(connections: u32) -> (Database, Pool) {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = connections;
    let pool = Pool::connect(&config).await.unwrap();
    create_accounts(&pool).await;
    (database, pool)
}

async fn create_accounts(pool: &Pool) {
    let create = "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)";
    pool.execute(create, &[]).await.unwrap();
}

async fn insert(tx: &Transaction, id: i32) -> Result<u64> {
    tx.execute("INSERT INTO accounts VALUES ($1, 100)", &[&id])
        .await
}

async fn ids(pool: &Pool) -> Vec<i32> {
    let rows: Vec<(i32,)> = pool
        .query("SELECT id FROM accounts ORDER BY id", &[])
        .await
        .unwrap();
    rows.into_iter().map(|row| row.0).collect()
}

async fn nothing_left(database: &Database) {
    let observer = observer(database).await;
    eventually("no transaction is open", async || {
        sessions(
            &observer,
            "state LIKE 'idle in transaction%' OR backend_xid IS NOT NULL",
        )
        .await
            == 0
    })
    .await;
    eventually("no lock is held", async || {
        let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                     WHERE d.datname = current_database() AND l.pid <> pg_backend_pid()";
        observer
            .query_one(locks, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 0
    })
    .await;
}

#[tokio::test]
async fn ok_commits_and_returns_the_value() {
    let (database, pool) = start().await;
    let value = with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        insert(&tx, 2).await
    });
    assert_eq!(value.await.unwrap(), 1);
    assert_eq!(ids(&pool).await, [1, 2]);
    nothing_left(&database).await;
}

#[tokio::test]
async fn err_rolls_back_and_is_returned() {
    let (database, pool) = start().await;
    let error = with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        Err::<(), _>(Error::conflict("enough"))
    });
    let error = error.await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::Conflict, "enough")
    );
    assert!(ids(&pool).await.is_empty());
    nothing_left(&database).await;
}

#[tokio::test]
async fn a_panic_rolls_back_and_goes_on() {
    let (database, pool) = start_with(1).await;
    let panicking = with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        if tx.query::<(i32,)>("SELECT 1", &[]).await?.len() == 1 {
            panic!("boom");
        }
        Ok(())
    });
    let panic = AssertUnwindSafe(panicking)
        .catch_unwind()
        .await
        .unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"boom"));
    assert!(ids(&pool).await.is_empty());
    nothing_left(&database).await;
}

/// Polls a future `polls` times, waiting in between until it wants to go on, and drops it.
async fn poll_and_drop<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut polled = false;
        let once = std::future::poll_fn(|cx| {
            if polled {
                return Poll::Ready(None);
            }
            polled = true;
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Some(output) = once.await {
            return Some(output);
        }
    }
    None
}

#[tokio::test]
async fn dropped_at_any_await_point_nothing_is_left() {
    let (database, pool) = start_with(2).await;
    let work = async |tx: Transaction| {
        insert(&tx, 1).await?;
        tx.savepoint(async |tx| insert(&tx, 2).await).await?;
        tx.query::<(i32,)>("SELECT id FROM accounts FOR UPDATE", &[])
            .await?;
        Ok(())
    };
    let mut polls = 0;
    loop {
        if let Some(done) = poll_and_drop(with_transaction(&pool, work), polls).await {
            done.unwrap();
            break;
        }
        nothing_left(&database).await;
        // All or nothing: a COMMIT that was on its way may have arrived.
        let left = ids(&pool).await;
        assert!(
            left.is_empty() || left == [1, 2],
            "after {polls} polls: {left:?}"
        );
        pool.execute("DELETE FROM accounts", &[]).await.unwrap();
        assert!(pool.status().size <= 2, "{:?}", pool.status());
        polls += 1;
    }
    assert!(polls >= 6, "the future waited only {polls} times");
    assert_eq!(ids(&pool).await, [1, 2]);
}

#[tokio::test]
async fn a_dropped_statement_ends_its_transaction() {
    let (database, pool) = start_with(1).await;
    let error = with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        let slow = tx.query::<(String,)>("SELECT pg_sleep(60)::text", &[]);
        assert!(timeout(Duration::from_millis(100), slow).await.is_err());
        insert(&tx, 2).await.unwrap_err();
        Ok(())
    });
    let error = timeout(Duration::from_secs(5), error)
        .await
        .unwrap()
        .unwrap_err();
    assert!(!is_outcome_unknown(&error), "{error:?}");
    assert!(
        format!("{error:#}").contains("nothing was committed"),
        "{error:?}"
    );
    nothing_left(&database).await;
    assert!(ids(&pool).await.is_empty());
}

#[tokio::test]
async fn a_statement_has_the_query_timeout() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.query_timeout = Duration::from_millis(200);
    let pool = Pool::connect(&config).await.unwrap();
    let error = with_transaction(&pool, async |tx| {
        tx.execute("SELECT pg_sleep(60)", &[]).await
    });
    let error = timeout(Duration::from_secs(2), error)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    nothing_left(&database).await;
}

#[tokio::test]
async fn an_aborted_transaction_never_looks_committed() {
    let (database, pool) = start().await;
    let error = with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        insert(&tx, 1).await.unwrap_err();
        let later = insert(&tx, 2).await.unwrap_err();
        assert!(later.to_string().contains("earlier statement"), "{later:?}");
        Ok(())
    });
    let error = error.await.unwrap_err();
    assert!(!is_outcome_unknown(&error));
    assert_eq!(error.to_string(), "nothing was committed");
    assert!(
        format!("{error:#}").contains("earlier statement"),
        "{error:?}"
    );
    assert!(ids(&pool).await.is_empty());
    nothing_left(&database).await;
}

#[tokio::test]
async fn a_deferred_constraint_fails_the_commit() {
    let (_database, pool) = start().await;
    pool.execute(
        "CREATE TABLE notes (account int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED)",
        &[],
    )
    .await
    .unwrap();
    let error = with_transaction(&pool, async |tx| {
        tx.execute("INSERT INTO notes VALUES (7)", &[]).await
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.to_string(), "nothing was committed");
    let sql = SqlError::of(&error).unwrap();
    assert_eq!(sql.sqlstate(), Some("23503"));
    assert!(!is_outcome_unknown(&error));
}

#[tokio::test]
async fn options_reach_the_server() {
    let (_database, pool) = start().await;
    let shown = TransactionOptions::new()
        .isolation(Isolation::Serializable)
        .read_only()
        .deferrable()
        .run(&pool, async |tx| {
            let mut shown = Vec::new();
            for name in ["isolation", "read_only", "deferrable"] {
                let sql = format!("SELECT current_setting('transaction_{name}')");
                shown.push(tx.query_one::<(String,)>(&sql, &[]).await?.0);
            }
            Ok(shown)
        });
    assert_eq!(shown.await.unwrap(), ["serializable", "on", "on"]);

    let refused = TransactionOptions::new()
        .read_only()
        .run(&pool, async |tx| insert(&tx, 1).await);
    let error = refused.await.unwrap_err();
    assert_eq!(
        SqlError::of(&error).unwrap().sqlstate(),
        Some("25006"),
        "{error:?}"
    );
    // The next user of the connection is not affected.
    with_transaction(&pool, async |tx| insert(&tx, 1).await)
        .await
        .unwrap();
    let _: (String,) = pool
        .query_one("SHOW transaction_isolation", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn by_hand() {
    let (database, pool) = start_with(1).await;
    let tx = pool.begin().await.unwrap();
    insert(&tx, 1).await.unwrap();
    tx.commit().await.unwrap();

    let tx = pool.begin().await.unwrap();
    insert(&tx, 2).await.unwrap();
    tx.rollback().await.unwrap();

    let tx = TransactionOptions::new()
        .isolation(Isolation::RepeatableRead)
        .begin(&pool)
        .await
        .unwrap();
    insert(&tx, 3).await.unwrap();
    drop(tx);

    assert_eq!(ids(&pool).await, [1]);
    nothing_left(&database).await;
}

#[tokio::test]
async fn a_closure_cannot_end_or_keep_the_transaction() {
    let (database, pool) = start_with(1).await;
    let error = with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        tx.commit().await
    });
    let error = error.await.unwrap_err();
    assert!(error.to_string().contains("who began it"), "{error:?}");
    nothing_left(&database).await;

    let error = with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        Ok(tx)
    });
    let error = error.await.unwrap_err();
    assert!(error.to_string().contains("keep no"), "{error:?}");
    nothing_left(&database).await;
    assert!(ids(&pool).await.is_empty());
}

#[tokio::test]
async fn savepoints_undo_only_their_own() {
    let (database, pool) = start_with(1).await;
    with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        let failed = tx.savepoint(async |tx| {
            insert(&tx, 2).await?;
            insert(&tx, 1).await
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
        tx.savepoint(async |tx| {
            insert(&tx, 3).await?;
            let inner = tx.savepoint(async |tx| {
                insert(&tx, 4).await?;
                Err::<(), _>(Error::conflict("inner"))
            });
            inner.await.unwrap_err();
            insert(&tx, 5).await
        })
        .await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(ids(&pool).await, [1, 3, 5]);
    nothing_left(&database).await;
}

#[tokio::test]
async fn a_savepoint_that_swallowed_an_error_is_undone() {
    let (_database, pool) = start().await;
    with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        let swallowed = tx.savepoint(async |tx| {
            insert(&tx, 2).await?;
            insert(&tx, 1).await.unwrap_err();
            Ok(())
        });
        swallowed.await.unwrap_err();
        insert(&tx, 3).await
    })
    .await
    .unwrap();
    assert_eq!(ids(&pool).await, [1, 3]);
}

#[tokio::test]
async fn a_savepoint_dropped_between_statements_is_undone() {
    let (_database, pool) = start().await;
    with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        let reached = Barrier::new(2);
        let endless = tx.savepoint(async |tx| {
            insert(&tx, 2).await?;
            reached.wait().await;
            std::future::pending::<Result<()>>().await
        });
        tokio::select! {
            _ = endless => unreachable!("it never ends"),
            _ = reached.wait() => {}
        }
        insert(&tx, 3).await?;
        // And once more, right before the end.
        let reached = Barrier::new(2);
        let endless = tx.savepoint(async |tx| {
            insert(&tx, 4).await?;
            reached.wait().await;
            std::future::pending::<Result<()>>().await
        });
        tokio::select! {
            _ = endless => unreachable!("it never ends"),
            _ = reached.wait() => {}
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(ids(&pool).await, [1, 3]);
}

#[tokio::test]
async fn a_serialization_failure_is_repeated_only_when_asked() {
    let (_database, pool) = start().await;
    with_transaction(&pool, async |tx| insert(&tx, 1).await)
        .await
        .unwrap();
    for (retries, expected) in [(0, Err(1)), (3, Ok(2))] {
        let attempts = AtomicU32::new(0);
        let result = TransactionOptions::new()
            .isolation(Isolation::RepeatableRead)
            .retries(retries)
            .run(&pool, async |tx| {
                let _: (i64,) = tx.query_one("SELECT balance FROM accounts", &[]).await?;
                if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                    // Someone else is faster.
                    pool.execute("UPDATE accounts SET balance = balance + 1", &[])
                        .await?;
                }
                tx.execute("UPDATE accounts SET balance = balance + 1", &[])
                    .await
            })
            .await;
        let attempts = attempts.load(Ordering::SeqCst);
        match result {
            Ok(_) => assert_eq!(expected, Ok(attempts)),
            Err(error) => {
                assert_eq!(
                    SqlError::of(&error).unwrap().sqlstate(),
                    Some("40001"),
                    "{error:?}"
                );
                assert_eq!(expected, Err(attempts));
            }
        }
    }
}

#[tokio::test]
async fn retries_are_bounded_and_counted() {
    let (database, pool) = start().await;
    let attempts = AtomicU32::new(0);
    let error = TransactionOptions::new()
        .retries(2)
        .run(&pool, async |tx| {
            attempts.fetch_add(1, Ordering::SeqCst);
            let raise = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$";
            tx.execute(raise, &[]).await
        })
        .await
        .unwrap_err();
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    assert_eq!(error.to_string(), "gave up after 3 attempts");
    assert_eq!(SqlError::of(&error).unwrap().sqlstate(), Some("40001"));
    nothing_left(&database).await;
}

#[tokio::test]
async fn a_deadlock_is_repeated() {
    let (database, pool) = start().await;
    with_transaction(&pool, async |tx| {
        insert(&tx, 1).await?;
        insert(&tx, 2).await
    })
    .await
    .unwrap();
    let both_hold_one = Barrier::new(2);
    let attempts = AtomicU32::new(0);
    let lock = async |first: i32, second: i32| {
        TransactionOptions::new()
            .retries(5)
            .run(&pool, async |tx| {
                let update = "UPDATE accounts SET balance = balance + 1 WHERE id = $1";
                tx.execute(update, &[&first]).await?;
                if attempts.fetch_add(1, Ordering::SeqCst) < 2 {
                    both_hold_one.wait().await;
                }
                tx.execute(update, &[&second]).await
            })
            .await
    };
    let (one, other) = tokio::join!(lock(1, 2), lock(2, 1));
    one.unwrap();
    other.unwrap();
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    let (sum,): (i64,) = pool
        .query_one("SELECT sum(balance)::bigint FROM accounts", &[])
        .await
        .unwrap();
    assert_eq!(sum, 204);
    nothing_left(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_transfers_at_once_keep_the_sum() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 8;
    // The callers contend: the last gets its turn after all the others.
    config.acquire_timeout = Duration::from_secs(60);
    let pool = Pool::connect(&config).await.unwrap();
    create_accounts(&pool).await;
    pool.execute(
        "INSERT INTO accounts SELECT i, 100 FROM generate_series(0, 49) i",
        &[],
    )
    .await
    .unwrap();
    let transfers: Vec<_> = (0..200_i32)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let (from, to) = (n % 50, (n * 7 + 3) % 50);
                let read = "SELECT balance FROM accounts WHERE id = $1";
                let write = "UPDATE accounts SET balance = $2 WHERE id = $1";
                TransactionOptions::new()
                    .isolation(Isolation::Serializable)
                    .retries(100)
                    .run(&pool, async |tx| {
                        let (have,): (i64,) = tx.query_one(read, &[&from]).await?;
                        tx.execute(write, &[&from, &(have - 1)]).await?;
                        let (have,): (i64,) = tx.query_one(read, &[&to]).await?;
                        tx.execute(write, &[&to, &(have + 1)]).await
                    })
                    .await
            })
        })
        .collect();
    for transfer in transfers {
        transfer.await.unwrap().unwrap();
    }
    let (sum,): (i64,) = pool
        .query_one("SELECT sum(balance)::bigint FROM accounts", &[])
        .await
        .unwrap();
    assert_eq!(sum, 5000);
    nothing_left(&database).await;
}

/// A pool whose traffic goes through a proxy, a table whose COMMIT takes its time, and a view of it.
async fn behind_proxy() -> (Database, Proxy, Pool, Pool) {
    let (database, direct) = start().await;
    direct
        .execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'",
            &[],
        )
        .await
        .unwrap();
    direct
        .execute(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON accounts \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()",
            &[],
        )
        .await
        .unwrap();
    let proxy = Proxy::to((database.host(), database.port()))
        .start()
        .await
        .unwrap();
    let mut config = config(&database);
    config.host = "127.0.0.1".to_owned();
    config.port = proxy.port();
    config.query_timeout = Duration::from_secs(2);
    let pool = Pool::connect(&config).await.unwrap();
    (database, proxy, pool, direct)
}

#[tokio::test]
async fn a_connection_lost_during_commit_is_an_unknown_outcome() {
    let (database, proxy, pool, direct) = behind_proxy().await;
    let attempts = AtomicU32::new(0);
    let observer = observer(&database).await;
    let committing = TransactionOptions::new().retries(5).run(&pool, async |tx| {
        attempts.fetch_add(1, Ordering::SeqCst);
        insert(&tx, 1).await
    });
    let cut = async {
        eventually("COMMIT is under way", async || {
            sessions(&observer, "query LIKE '%COMMIT' AND state = 'active'").await == 1
        })
        .await;
        proxy.cut();
    };
    let (result, ()) = tokio::join!(committing, cut);
    let error = result.unwrap_err();
    assert!(is_outcome_unknown(&error), "{error:?}");
    assert!(is_outcome_unknown(&error.context("pay")));
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
    // The message says unknown for a reason: here it took effect.
    eventually("the row is there", async || ids(&direct).await == [1]).await;
    nothing_left(&database).await;
}

#[tokio::test]
async fn the_kind_of_an_unknown_outcome_is_never_retried() {
    let (database, proxy, pool, _direct) = behind_proxy().await;
    let tx = pool.begin().await.unwrap();
    insert(&tx, 1).await.unwrap();
    proxy.freeze();
    let error = timeout(Duration::from_secs(5), tx.commit())
        .await
        .unwrap()
        .unwrap_err();
    assert!(is_outcome_unknown(&error), "{error:?}");
    assert_eq!(error.kind(), Kind::Unknown);
    assert!(!error.kind().is_retryable());
    proxy.cut();
    proxy.pass();
    nothing_left(&database).await;
}

#[tokio::test]
async fn a_connection_lost_before_commit_is_known_to_have_done_nothing() {
    let (database, proxy, pool, direct) = behind_proxy().await;
    let tx = pool.begin().await.unwrap();
    insert(&tx, 1).await.unwrap();
    proxy.cut();
    insert(&tx, 2).await.unwrap_err();
    let error = tx.commit().await.unwrap_err();
    assert!(!is_outcome_unknown(&error), "{error:?}");
    nothing_left(&database).await;
    assert!(ids(&direct).await.is_empty());
}

#[tokio::test]
async fn futures_are_send_and_borrow_what_is_around() {
    async fn handler(pool: Arc<Pool>, name: String, ids: Vec<i32>) -> Result<i64> {
        let prefix = &name;
        let mut calls = 0;
        with_transaction(&pool, async |tx| {
            calls += 1;
            for id in &ids {
                tx.execute(
                    "INSERT INTO accounts VALUES ($1, length($2))",
                    &[id, prefix],
                )
                .await?;
            }
            tx.savepoint(async |tx| insert(&tx, ids[0] + 100).await)
                .await
        })
        .await?;
        assert_eq!(calls, 1);
        let (sum,): (i64,) = TransactionOptions::new()
            .retries(1)
            .run(&pool, async |tx| {
                tx.query_one(
                    "SELECT sum(balance)::bigint FROM accounts WHERE $1 <> ''",
                    &[&name],
                )
                .await
            })
            .await?;
        Ok(sum)
    }
    let (_database, pool) = start().await;
    let handled = tokio::spawn(handler(Arc::new(pool), "asset".to_owned(), vec![1, 2]));
    assert_eq!(handled.await.unwrap().unwrap(), 110);
}
