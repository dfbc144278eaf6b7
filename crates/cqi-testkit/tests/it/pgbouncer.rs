use cqi_testkit::{PgBouncer, Postgres};

use crate::{connect, text};

#[tokio::test]
async fn pgbouncer_pools_by_transaction() {
    let server = Postgres::builder()
        .password("it's \"1\"")
        .private()
        .start()
        .await
        .unwrap();
    let database = server.create_database().await.unwrap();
    let bouncer = PgBouncer::in_front_of(&database)
        .transaction_pooling()
        .setting("default_pool_size", "1")
        .start()
        .await
        .unwrap();
    assert_ne!(bouncer.port(), server.port());

    let pid = "SELECT pg_backend_pid()::text";
    let url = bouncer.url();
    let (a, b) = tokio::try_join!(connect(&url), connect(&url)).unwrap();
    let name = a.simple_query("SELECT current_database()").await.unwrap();
    assert!(format!("{name:?}").contains(database.name()), "{name:?}");
    // Two clients at the same time, on the one connection there is.
    let first = format!("{:?}", a.simple_query(pid).await.unwrap());
    assert_eq!(first, format!("{:?}", b.simple_query(pid).await.unwrap()));
    assert!(bouncer.log().contains("process up"), "{}", bouncer.log());
}

#[tokio::test]
async fn pgbouncer_stands_in_front_of_a_server_or_a_shared_database() {
    let server = Postgres::builder().private().start().await.unwrap();
    let shared = Postgres::start().await.unwrap();
    let bouncers = [
        PgBouncer::in_front_of(&server).start().await.unwrap(),
        PgBouncer::in_front_of(&shared).start().await.unwrap(),
    ];
    for (bouncer, name) in bouncers.iter().zip(["postgres", shared.name()]) {
        let client = connect(&bouncer.url()).await.unwrap();
        assert_eq!(
            text(&client, "SELECT current_database()::text")
                .await
                .unwrap(),
            name
        );
    }
}

#[tokio::test]
async fn a_wrong_setting_is_told_from_the_log() {
    let server = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::in_front_of(&server).setting("pool_mode", "nonsense");
    let error = bouncer.start().await.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}
