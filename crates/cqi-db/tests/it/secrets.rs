//! What the server quotes is not repeated.

use crate::support::start;

#[tokio::test]
async fn parameters_are_never_in_errors() {
    let (_database, pool) = start(1).await;
    let mut leaks = Vec::new();
    for sql in [
        "SELECT to_tsquery('simple', $1)::text",
        "SELECT $1::text::regclass::text",
        "SELECT set_config($1, 'x', false)",
        "SELECT pg_read_file($1)",
        "SELECT $1::text::jsonpath::text",
        "SELECT nextval($1::text)",
        "SELECT to_timestamp($1, 'YYYY')::text",
        "SELECT convert_from('x', $1)",
        "SELECT now() AT TIME ZONE $1",
        "SELECT dblink($1)",
        "SELECT xpath($1, '<a/>')::text",
        "SELECT 'a' ~ $1",
        "SELECT $1::text::mood",
        "SELECT pg_notify($1, 'x')",
    ] {
        let error = pool.execute(sql, &[&"hunter2 hunter2("]).await;
        if let Err(error) = error
            && format!("{error:#}{error:?}").contains("hunter2")
        {
            leaks.push(format!("{error:#}"));
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[tokio::test]
async fn summary_holds_no_literal() {
    let (_database, pool) = start(1).await;
    for sql in [
        r"SELECT E'it\'s from hunter2' || 1/0",
        "SELECT $$from hunter2$$ || 1/0",
    ] {
        let error = pool.execute(sql, &[]).await.unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }
}

#[cfg(feature = "json")]
#[tokio::test]
async fn values_of_rows_are_not_in_errors() {
    let (_database, pool) = start(1).await;
    struct Number;
    impl cqi_db::FromRow for Number {
        fn from_row(row: &cqi_db::Row<'_>) -> cqi_errors::Result<Self> {
            row.get::<tokio_postgres::types::Json<i64>>(0).map(|_| Self)
        }
    }
    let error = pool
        .query_one::<Number>("SELECT '\"hunter2\"'::jsonb", &[])
        .await
        .map(drop)
        .unwrap_err();
    assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
}
