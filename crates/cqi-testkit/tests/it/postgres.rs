use cqi_testkit::{Database, Postgres};
use tokio_postgres::{Client, NoTls};

pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn one(database: &Database) -> i32 {
    let client = connect(&database.url()).await.unwrap();
    client.query_one("SELECT 1", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own_on_one_server() {
    let (a, b) = tokio::try_join!(Postgres::start(), Postgres::start()).unwrap();
    assert_eq!(a.port(), b.port());
    assert_ne!(a.name(), b.name());
    assert_eq!((one(&a).await, one(&b).await), (1, 1));
}

#[tokio::test]
async fn a_private_server_is_killed_and_comes_back_with_its_data() {
    let server = Postgres::builder()
        .setting("max_connections", "50")
        .private()
        .start()
        .await
        .unwrap();
    let database = server.create_database().await.unwrap();
    let client = connect(&database.url()).await.unwrap();
    client
        .batch_execute("CREATE TABLE t AS SELECT 7 AS n")
        .await
        .unwrap();
    server.kill().unwrap();
    client.query_one("SELECT 1", &[]).await.unwrap_err();
    connect(&database.url()).await.unwrap_err();
    server.restart().await.unwrap();
    let client = connect(&database.url()).await.unwrap();
    let row = client.query_one("SELECT n FROM t", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
    let setting = client.query_one("SHOW max_connections", &[]).await.unwrap();
    assert_eq!(setting.get::<_, &str>(0), "50");
}
