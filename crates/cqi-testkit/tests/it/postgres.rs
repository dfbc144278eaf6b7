use std::collections::HashSet;
use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::{Database, Postgres};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::{connect, text};

#[tokio::test]
async fn each_test_has_a_database_of_its_own_on_one_server() {
    let mut starts = JoinSet::new();
    for _ in 0..20 {
        starts.spawn(Postgres::start());
    }
    let databases: Vec<Database> = starts
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let names: HashSet<&str> = databases.iter().map(Database::name).collect();
    assert_eq!(names.len(), 20);
    for database in &databases {
        assert_eq!(database.port(), databases[0].port());
        let client = connect(&database.url()).await.unwrap();
        let name = text(&client, "SELECT current_database()::text")
            .await
            .unwrap();
        assert_eq!(name, database.name());
    }
}

#[tokio::test]
async fn a_dropped_database_is_removed_though_somebody_is_connected() {
    let (kept, dropped) = tokio::try_join!(Postgres::start(), Postgres::start()).unwrap();
    let watcher = connect(&kept.url()).await.unwrap();
    let user = connect(&dropped.url()).await.unwrap();
    let name = dropped.name().to_owned();
    drop(dropped);
    let gone = async {
        let sql = "SELECT count(*) FROM pg_database WHERE datname = $1";
        while watcher
            .query_one(sql, &[&name])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {}
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
    user.query_one("SELECT 1", &[]).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_still_while_a_server_starts() {
    let before = Instant::now();
    let _database = Postgres::start().await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_settings_port_and_data() {
    let server = Postgres::builder()
        .setting("max_connections", "50")
        .private()
        .start();
    let server = server.await.unwrap();
    let database = server.create_database().await.unwrap();
    let client = connect(&database.url()).await.unwrap();
    client
        .batch_execute("CREATE TABLE t AS SELECT 'kept' AS v")
        .await
        .unwrap();

    server.kill().unwrap();
    client.query_one("SELECT 1", &[]).await.unwrap_err();
    connect(&database.url()).await.unwrap_err();
    server.kill().unwrap();

    server.restart().await.unwrap();
    let client = connect(&database.url()).await.unwrap();
    assert_eq!(text(&client, "SELECT v FROM t").await.unwrap(), "kept");
    assert_eq!(text(&client, "SHOW max_connections").await.unwrap(), "50");
    assert!(
        server.log().contains("was not properly shut down"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_stopped_server_refuses_and_a_restart_also_stops() {
    let server = Postgres::builder().private().start().await.unwrap();
    let client = connect(&server.url()).await.unwrap();
    server.stop().unwrap();
    assert_eq!(server.freeze().unwrap_err().kind(), Kind::Conflict);
    let error = client.query_one("SELECT 1", &[]).await.unwrap_err();
    assert!(error.is_closed() || error.code().is_some(), "{error:?}");
    connect(&server.url()).await.unwrap_err();
    server.stop().unwrap();

    server.restart().await.unwrap();
    let client = connect(&server.url()).await.unwrap();
    server.restart().await.unwrap();
    client.query_one("SELECT 1", &[]).await.unwrap_err();
    connect(&server.url()).await.unwrap();
    assert!(!server.log().contains("was not properly shut down"));
}

#[tokio::test]
async fn a_frozen_server_answers_when_it_is_thawed() {
    let server = Postgres::builder().private().start().await.unwrap();
    let client = connect(&server.url()).await.unwrap();
    server.freeze().unwrap();
    let query = text(&client, "SELECT 'late'");
    tokio::pin!(query);
    timeout(Duration::from_millis(200), &mut query)
        .await
        .unwrap_err();
    server.thaw().unwrap();
    let answer = timeout(Duration::from_secs(10), query)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, "late");

    // What is frozen can be restarted and killed.
    server.freeze().unwrap();
    server.restart().await.unwrap();
    server.freeze().unwrap();
    server.kill().unwrap();
}

#[tokio::test]
async fn a_standby_follows_and_takes_over() {
    let password = "a b'\"=@:/?#%\\ü";
    let primary = Postgres::builder()
        .password(password)
        .standby(true)
        .private()
        .start();
    let primary = primary.await.unwrap();
    let standby = primary.standby().await.unwrap();
    assert_ne!(primary.port(), standby.port());
    assert_eq!(standby.password(), password);

    let writer = connect(&primary.url()).await.unwrap();
    writer
        .batch_execute("CREATE TABLE t AS SELECT 'streamed' AS v")
        .await
        .unwrap();
    let reader = connect(&standby.url()).await.unwrap();
    let streamed = async { while text(&reader, "SELECT v FROM t").await.is_err() {} };
    timeout(Duration::from_secs(10), streamed).await.unwrap();
    let insert = "INSERT INTO t VALUES ('written')";
    reader.batch_execute(insert).await.unwrap_err();

    primary.kill().unwrap();
    standby.promote().await.unwrap();
    reader.batch_execute(insert).await.unwrap();
    standby.promote().await.unwrap_err();
}

#[tokio::test]
async fn a_server_without_wal_for_standbys_says_so() {
    let server = Postgres::builder()
        .standby(false)
        .private()
        .start()
        .await
        .unwrap();
    let error = server.standby().await.unwrap_err();
    assert!(
        format!("{error:#}").contains("max_wal_senders"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_password_is_demanded() {
    let server = Postgres::builder()
        .password("se cret")
        .private()
        .start()
        .await
        .unwrap();
    assert!(server.url().contains(":se%20cret@"));
    connect(&server.url()).await.unwrap();
    let wrong = server.url().replace("se%20cret", "wrong");
    connect(&wrong).await.unwrap_err();
    let database = server.database("with \"quotes\"").await.unwrap();
    connect(&database.url()).await.unwrap();
    assert_eq!(
        server.database("with \"quotes\"").await.unwrap().name(),
        database.name()
    );
    for debug in [format!("{server:?}"), format!("{database:?}")] {
        assert!(!debug.contains("se cret"), "{debug}");
    }
}

#[tokio::test]
async fn a_database_keeps_its_private_server() {
    let server = Postgres::builder().private().start().await.unwrap();
    let database = server.create_database().await.unwrap();
    drop(server);
    connect(&database.url()).await.unwrap();
}

#[tokio::test]
async fn a_failed_start_shows_the_log() {
    let builder = Postgres::builder().setting("shared_buffers", "nonsense");
    let error = builder.private().start().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(
        error.to_string().contains("invalid value for parameter"),
        "{error}"
    );
}
