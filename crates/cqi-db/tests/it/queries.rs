use cqi_db::{Pool, SqlError, from_row};
use cqi_errors::Kind;
use cqi_testkit::{Database, Postgres};

use crate::support::{config, observer, sessions};

#[derive(Debug, PartialEq)]
struct Asset {
    id: i64,
    symbol: String,
    kind: Option<String>,
}

from_row!(Asset { id, symbol, kind = "type" });

async fn start() -> (Database, Pool) {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 1;
    let pool = Pool::connect(&config).await.unwrap();
    pool.batch_execute(
        "CREATE TABLE assets (
             id bigint PRIMARY KEY,
             symbol text NOT NULL CONSTRAINT assets_symbol_key UNIQUE CHECK (symbol <> ''),
             type text);
         INSERT INTO assets VALUES (1, 'btc', 'coin'), (2, 'eth', NULL)",
    )
    .await
    .unwrap();
    (database, pool)
}

#[tokio::test]
async fn rows_become_structs_tuples_and_scalars() {
    let (_database, pool) = start().await;
    let by_id = "SELECT id, symbol, type FROM assets WHERE id = $1";

    let btc: Asset = pool.query_one(by_id, &[&1_i64]).await.unwrap();
    assert_eq!(
        btc,
        Asset {
            id: 1,
            symbol: "btc".into(),
            kind: Some("coin".into())
        }
    );
    let none: Option<Asset> = pool.query_opt(by_id, &[&3_i64]).await.unwrap();
    assert_eq!(none, None);

    let all: Vec<(i64, String)> = pool
        .query("SELECT id, symbol FROM assets ORDER BY id", &[])
        .await
        .unwrap();
    assert_eq!(all, [(1, "btc".to_owned()), (2, "eth".to_owned())]);
    let count: i64 = pool
        .query_one("SELECT count(*) FROM assets", &[])
        .await
        .unwrap();
    assert_eq!(count, 2);
    let symbols: Vec<String> = pool
        .query_one("SELECT array_agg(symbol ORDER BY id) FROM assets", &[])
        .await
        .unwrap();
    assert_eq!(symbols, ["btc", "eth"]);
    let kind: Option<String> = pool
        .query_one("SELECT type FROM assets WHERE id = $1", &[&2_i64])
        .await
        .unwrap();
    assert_eq!(kind, None);

    let changed = pool
        .execute("UPDATE assets SET type = $1", &[&"coin"])
        .await
        .unwrap();
    assert_eq!(changed, 2);
}

#[tokio::test]
async fn the_number_of_rows_matters() {
    let (_database, pool) = start().await;
    let none = pool
        .query_one::<i64>("SELECT id FROM assets WHERE id = 9", &[])
        .await
        .unwrap_err();
    assert_eq!(none.kind(), Kind::NotFound);
    assert_eq!(none.public_message(), "not found");
    let many = pool
        .query_opt::<i64>("SELECT id FROM assets", &[])
        .await
        .unwrap_err();
    assert_eq!(many.kind(), Kind::Permanent);
    assert!(
        format!("{many:#}").contains("SELECT assets on 127.0.0.1:"),
        "{many:#}"
    );
    assert!(
        format!("{many:#}").contains("more than one row"),
        "{many:#}"
    );
}

#[tokio::test]
async fn mistakes_in_types_are_errors_and_leave_the_connection_clean() {
    let (_database, pool) = start().await;
    let mistakes = [
        pool.query_one::<i64>("SELECT symbol FROM assets WHERE id = 1", &[])
            .await
            .unwrap_err(),
        pool.query_one::<String>("SELECT NULL::text", &[])
            .await
            .unwrap_err(),
        pool.query_one::<(i64,)>("SELECT 1::int8, 2::int8", &[])
            .await
            .unwrap_err(),
        pool.query::<Asset>("SELECT id FROM assets", &[])
            .await
            .map(drop)
            .unwrap_err(),
        pool.execute("SELECT $1::int8", &[&"one"])
            .await
            .unwrap_err(),
        pool.execute("SELECT $1::int8", &[]).await.unwrap_err(),
        pool.execute("SELEKT 1", &[]).await.unwrap_err(),
        pool.execute("SELECT * FROM nowhere", &[])
            .await
            .unwrap_err(),
    ];
    for mistake in mistakes {
        assert_eq!(mistake.kind(), Kind::Permanent, "{mistake:?}");
    }
    assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
    assert_eq!(pool.status().opened, 1);
}

#[tokio::test]
async fn constraints_have_kinds_and_names_and_no_values() {
    let (database, pool) = start().await;
    let insert = "INSERT INTO assets VALUES ($1, $2)";
    let taken = pool.execute(insert, &[&5_i64, &"btc"]).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);
    let sql = SqlError::of(&taken).unwrap();
    assert_eq!(sql.sqlstate(), Some("23505"));
    assert_eq!(
        (sql.constraint(), sql.table()),
        (Some("assets_symbol_key"), Some("assets"))
    );
    assert!(
        sql.postgres()
            .as_db_error()
            .unwrap()
            .detail()
            .unwrap()
            .contains("btc")
    );
    assert_eq!(
        format!("{taken:#}"),
        format!(
            "INSERT assets on 127.0.0.1:{}/{} failed: duplicate key value violates unique constraint \
             \"assets_symbol_key\" (SQLSTATE 23505, constraint assets_symbol_key, table assets)",
            database.port(),
            database.name()
        )
    );
    assert_eq!(taken.public_message(), "conflict with the present state");

    let empty = pool.execute(insert, &[&5_i64, &""]).await.unwrap_err();
    assert_eq!(empty.kind(), Kind::InvalidInput);
    let missing = pool
        .execute(insert, &[&5_i64, &None::<String>])
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), Kind::InvalidInput);
    assert_eq!(SqlError::of(&missing).unwrap().column(), Some("symbol"));
    let quoted = pool
        .execute("SELECT $1::text::int8", &[&"hunter2"])
        .await
        .unwrap_err();
    assert_eq!(quoted.kind(), Kind::InvalidInput);
    for error in [taken, empty, missing, quoted] {
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(!format!("{error:?}").contains("btc"), "{error:?}");
        assert!(!format!("{:?}", SqlError::of(&error)).contains("hunter2"));
    }
}

#[tokio::test]
async fn the_statement_cache_is_bounded_on_the_server_too() {
    let database = Postgres::start().await.unwrap();
    let mut config = config(&database);
    config.max_connections = 1;
    config.statement_cache_size = 10;
    let pool = Pool::connect(&config).await.unwrap();
    for round in 0..3 {
        for n in 0..50 {
            let got: i32 = pool.query_one(&format!("SELECT {n}"), &[]).await.unwrap();
            assert_eq!(got, n, "round {round}");
        }
    }
    let kept = "SELECT count(*) FROM pg_prepared_statements";
    let kept: i64 = pool.query_one(kept, &[]).await.unwrap();
    assert!((9..=11).contains(&kept), "{kept}");

    config.statement_cache_size = 0;
    let pool = Pool::connect(&config).await.unwrap();
    for n in 0..20 {
        let got: i32 = pool.query_one(&format!("SELECT {n}"), &[]).await.unwrap();
        assert_eq!(got, n);
    }
    let kept: i64 = pool
        .query_one("SELECT count(*) FROM pg_prepared_statements", &[])
        .await
        .unwrap();
    assert!(kept <= 2, "{kept}");
}

#[tokio::test]
async fn a_statement_survives_a_change_of_its_table() {
    let (database, pool) = start().await;
    let admin = observer(&database).await;
    let all = "SELECT * FROM assets WHERE id = $1";
    let _: (i64, String, Option<String>) = pool.query_one(all, &[&1_i64]).await.unwrap();
    admin
        .batch_execute("ALTER TABLE assets ADD COLUMN rank int DEFAULT 7")
        .await
        .unwrap();
    let row: (i64, String, Option<String>, i32) = pool.query_one(all, &[&1_i64]).await.unwrap();
    assert_eq!(row.3, 7);

    let mut connection = pool.acquire().await.unwrap();
    connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    let row: (i64, String, Option<String>, i32) =
        connection.query_one(all, &[&1_i64]).await.unwrap();
    assert_eq!(row.0, 1);
    assert_eq!(pool.status().opened, 1);
}

#[tokio::test]
async fn the_raw_client_works_and_what_it_leaves_is_undone() {
    let (_database, pool) = start().await;
    let mut connection = pool.acquire().await.unwrap();
    let client = connection.client().unwrap();
    client
        .batch_execute("SET search_path TO nowhere; BEGIN; CREATE TEMP TABLE t (id int)")
        .await
        .unwrap();
    let rows = client.query("SELECT 1::int4", &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, i32>(0), 1);
    // The pool's own calls still work beside it.
    assert_eq!(
        connection.query_one::<i32>("SELECT 2", &[]).await.unwrap(),
        2
    );
    drop(connection);
    let path: String = pool.query_one("SHOW search_path", &[]).await.unwrap();
    assert_eq!(path, "\"$user\", public");
    assert_eq!(pool.status().opened, 1);
}

#[tokio::test]
async fn what_sql_leaves_in_a_session_is_undone() {
    let (database, pool) = start().await;
    let observer = observer(&database).await;
    for leftover in [
        "SET search_path TO nowhere",
        "BEGIN",
        "SELECT pg_advisory_lock(7)::text",
    ] {
        pool.query::<String>(leftover, &[]).await.unwrap();
        let path: String = pool.query_one("SHOW search_path", &[]).await.unwrap();
        assert_eq!(path, "\"$user\", public");
        let open = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        assert_eq!(
            observer
                .query_one(open, &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
            0
        );
        assert_eq!(sessions(&observer, "state LIKE 'idle in%'").await, 0);
    }
    assert_eq!(pool.status().opened, 1);
}

#[tokio::test]
async fn a_difficult_password_works_and_is_never_shown() {
    let password = r#"it's "a b"=c\ d$'"#;
    let server = Postgres::builder()
        .private()
        .password(password)
        .start()
        .await
        .unwrap();
    let database = server.create_database().await.unwrap();
    let good = config(&database);
    let pool = Pool::connect(&good).await.unwrap();
    assert_eq!(pool.query_one::<i32>("SELECT 1", &[]).await.unwrap(), 1);
    let mut shown = format!(
        "{pool:?} {:?} {:?}",
        pool.acquire().await.unwrap(),
        pool.status()
    );

    let error = pool.execute("SELECT 1/0", &[]).await.unwrap_err();
    shown += &format!("{error} {error:?} {error:#}");
    let mut bad = good.clone();
    bad.password = cqi_config::Secret::new(format!("{password}!"));
    let error = Pool::connect(&bad).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    shown += &format!("{error} {error:?} {error:#} {bad:?}");
    bad.host = "127.0.0.1".into();
    bad.port = 1;
    let error = Pool::connect(&bad).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
    shown += &format!("{error} {error:?} {error:#}");
    assert!(!shown.contains("it's") && !shown.contains("a b"), "{shown}");
}

#[cfg(all(feature = "jiff", feature = "json", feature = "uuid"))]
#[tokio::test]
async fn columns_of_other_types_become_scalars() {
    let (_database, pool) = start().await;
    let id = uuid::Uuid::from_u128(7);
    assert_eq!(
        pool.query_one::<uuid::Uuid>("SELECT $1::uuid", &[&id])
            .await
            .unwrap(),
        id
    );
    let document = serde_json::json!({"a": [1, null]});
    let same: serde_json::Value = pool
        .query_one("SELECT $1::jsonb", &[&document])
        .await
        .unwrap();
    assert_eq!(same, document);
    let epoch: jiff::Timestamp = pool.query_one("SELECT to_timestamp(0)", &[]).await.unwrap();
    assert_eq!(epoch, jiff::Timestamp::UNIX_EPOCH);
}

/// A caller's future holds these within its own and is copied whole when it moves: what is rare,
/// connecting above all, has no room in them.
#[tokio::test]
async fn the_futures_of_queries_stay_small() {
    let (_database, pool) = start().await;
    let select = pool.query_one::<i64>("SELECT 1::int8", &[]);
    let acquire = pool.acquire();
    let sizes = (size_of_val(&acquire), size_of_val(&select));
    assert!(sizes.0 <= 4096 && sizes.1 <= 12288, "{sizes:?} bytes");
}
