use std::time::{Duration, Instant};

use cqi_config::{DatabaseConfig, Secret, SslMode, TargetSessionAttrs};
use cqi_db::Pool;
use cqi_errors::Kind;
use cqi_testkit::{Postgres, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{self, eventually};

fn config(servers: &[&Postgres]) -> DatabaseConfig {
    let hosts: Vec<_> = servers
        .iter()
        .map(|server| format!("{}:{}", server.host(), server.port()))
        .collect();
    DatabaseConfig {
        host: hosts.join(","),
        user: servers[0].user().to_owned(),
        password: Secret::new(servers[0].password()),
        database: "postgres".to_owned(),
        ssl_mode: SslMode::Disable,
        ..DatabaseConfig::default()
    }
}

async fn port(pool: &Pool) -> u16 {
    let (port,): (i32,) = pool
        .query_one("SELECT inet_server_port()", &[])
        .await
        .unwrap();
    port.try_into().unwrap()
}

/// A port where nobody listens, held for as long as the value lives.
fn closed() -> (std::net::UdpSocket, u16) {
    loop {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return (socket, port);
        }
    }
}

#[tokio::test]
async fn the_first_host_that_answers_is_taken() {
    let database = Postgres::start().await.unwrap();
    let (_held, nobody) = closed();
    let mut config = support::config(&database);
    config.host = format!("127.0.0.1:{nobody}, {}", database.host());
    let pool = Pool::connect(&config).await.unwrap();
    assert_eq!(port(&pool).await, database.port());
}

#[tokio::test]
async fn the_error_lists_every_host_with_its_reason() {
    let (_held, nobody) = closed();
    let config = DatabaseConfig {
        host: format!("127.0.0.1:{nobody},no-such-host.invalid"),
        password: Secret::new("hunter2"),
        ssl_mode: SslMode::Disable,
        ..DatabaseConfig::default()
    };
    let error = Pool::connect(&config).await.unwrap_err();
    let text = format!("{error:?}");
    assert_eq!(error.kind(), Kind::Temporary, "{text}");
    assert!(text.contains(&format!("127.0.0.1:{nobody}: ")), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(
        text.contains("no-such-host.invalid:5432: the name cannot be resolved"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_frozen_host_leaves_the_others_their_share() {
    let database = Postgres::start().await.unwrap();
    let proxy = Proxy::to((database.host(), database.port()))
        .start()
        .await
        .unwrap();
    proxy.freeze();
    let mut config = support::config(&database);
    config.host = format!("127.0.0.1:{},{}", proxy.port(), database.host());
    config.connect_timeout = Duration::from_secs(2);
    let started = Instant::now();
    let pool = Pool::connect(&config).await.unwrap();
    assert_eq!(port(&pool).await, database.port());
    assert!(
        started.elapsed() < config.connect_timeout,
        "{:?}",
        started.elapsed()
    );

    // Alone, it costs all of the time and not more.
    config.host = format!("127.0.0.1:{}", proxy.port());
    config.connect_timeout = Duration::from_millis(500);
    let started = Instant::now();
    let error = Pool::connect(&config).await.unwrap_err();
    assert!(error.kind().is_retryable(), "{error:?}");
    let took = started.elapsed();
    assert!((500..750).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_follow_the_promoted_standby() {
    let primary = Postgres::builder().start().await.unwrap();
    let standby = primary.standby().await.unwrap();

    let mut config = config(&[&standby, &primary]);
    config.max_connections = 2;
    let writer = Pool::connect(&config).await.unwrap();
    assert_eq!(
        port(&writer).await,
        primary.port(),
        "the standby takes no writes"
    );
    config.target_session_attrs = TargetSessionAttrs::ReadOnly;
    let reader = Pool::connect(&config).await.unwrap();
    assert_eq!(port(&reader).await, standby.port());
    config.target_session_attrs = TargetSessionAttrs::Any;
    let any = Pool::connect(&config).await.unwrap();
    assert_eq!(port(&any).await, standby.port(), "the first will do");

    config.host = format!("{}:{}", standby.host(), standby.port());
    config.target_session_attrs = TargetSessionAttrs::ReadWrite;
    let error = Pool::connect(&config).await.unwrap_err();
    assert!(error.to_string().contains("takes no writes"), "{error:?}");
    assert_eq!(
        error.kind(),
        Kind::Temporary,
        "it may be promoted at any moment"
    );

    primary.kill().unwrap();
    standby.promote().await.unwrap();
    eventually("the pool writes to the new primary", async || match writer
        .execute("CREATE TABLE IF NOT EXISTS after_failover ()", &[])
        .await
    {
        Ok(_) => true,
        Err(error) => {
            assert!(error.kind().is_retryable(), "{error:?}");
            false
        }
    })
    .await;
    assert_eq!(port(&writer).await, standby.port());
}

#[tokio::test]
async fn connections_leave_a_demoted_primary() {
    let (old, new) = tokio::join!(Postgres::builder().start(), Postgres::builder().start());
    let (old, new) = (old.unwrap(), new.unwrap());
    let mut config = config(&[&old, &new]);
    config.max_connections = 1;
    let pool = Pool::connect(&config).await.unwrap();
    assert_eq!(port(&pool).await, old.port());
    pool.execute("ALTER SYSTEM SET default_transaction_read_only = on", &[])
        .await
        .unwrap();
    pool.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    eventually("the pool writes to the new primary", async || {
        match pool
            .execute("CREATE TABLE IF NOT EXISTS after_failover ()", &[])
            .await
        {
            Ok(_) => port(&pool).await == new.port(),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
                false
            }
        }
    })
    .await;
}

#[tokio::test]
async fn transactions_leave_a_demoted_primary() {
    let (old, new) = tokio::join!(Postgres::builder().start(), Postgres::builder().start());
    let (old, new) = (old.unwrap(), new.unwrap());
    let mut config = config(&[&old, &new]);
    config.max_connections = 1;
    let pool = Pool::connect(&config).await.unwrap();
    pool.execute("ALTER SYSTEM SET default_transaction_read_only = on", &[])
        .await
        .unwrap();
    pool.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    eventually("the pool writes to the new primary", async || {
        let written = cqi_db::with_transaction(&pool, async |tx| {
            tx.execute("CREATE TABLE IF NOT EXISTS after_failover ()", &[])
                .await
        });
        match written.await {
            Ok(_) => port(&pool).await == new.port(),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
                false
            }
        }
    })
    .await;
}

#[tokio::test]
async fn any_password_works_and_appears_nowhere() {
    let password = "pass word'\"=\\ host=evil äöü 密码 #%&+ ${HOME}";
    let server = Postgres::builder()
        .password(password)
        .start()
        .await
        .unwrap();
    let mut config = config(&[&server]);
    config.application_name = "it's = \\ me".to_owned();
    let pool = Pool::connect(&config).await.unwrap();
    let (shown,): (String,) = pool.query_one("SHOW application_name", &[]).await.unwrap();
    assert_eq!(shown, config.application_name);
    for text in [format!("{pool:?}"), format!("{config:?}")] {
        assert!(!text.contains("pass word"), "{text}");
    }

    config.password = Secret::new(format!("{password}!"));
    let error = Pool::connect(&config).await.unwrap_err();
    let text = format!("{error:?}");
    assert_eq!(error.kind(), Kind::Permanent, "{text}");
    assert!(
        text.contains("check database.user and database.password"),
        "{text}"
    );
    assert!(!text.contains("pass word"), "{text}");
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let database = Postgres::start().await.unwrap();
    let mut config = support::config(&database);
    config.database = "nowhere".to_owned();
    let error = Pool::connect(&config).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(
        error.to_string().contains("nowhere") && error.to_string().contains("3D000"),
        "{error:?}"
    );
}

#[tokio::test]
async fn sessions_start_with_their_backstops() {
    let database = Postgres::start().await.unwrap();
    let mut config = support::config(&database);
    config.query_timeout = Duration::from_secs(7);
    let pool = Pool::connect(&config).await.unwrap();
    for (setting, expected) in [
        ("statement_timeout", "12s"),
        ("client_connection_check_interval", "10s"),
    ] {
        let (shown,): (String,) = pool
            .query_one(&format!("SHOW {setting}"), &[])
            .await
            .unwrap();
        assert_eq!(shown, expected, "{setting}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_a_folder() {
    let server = Postgres::builder().start().await.unwrap();
    let mut config = config(&[&server]);
    let pool = Pool::connect(&config).await.unwrap();
    let (folder, rules): (String, String) = pool
        .query_one(
            "SELECT split_part(current_setting('unix_socket_directories'), ',', 1), \
             current_setting('hba_file')",
            &[],
        )
        .await
        .unwrap();
    let allowed = std::fs::read_to_string(&rules).unwrap() + "\nlocal all all trust\n";
    std::fs::write(&rules, allowed).unwrap();
    pool.execute("SELECT pg_reload_conf()", &[]).await.unwrap();

    let folder = std::path::Path::new(&folder);
    let folder = if folder.is_absolute() {
        folder.to_owned()
    } else {
        let (data,): (String,) = pool.query_one("SHOW data_directory", &[]).await.unwrap();
        std::path::Path::new(&data).join(folder)
    };
    config.host = folder.to_str().unwrap().to_owned();
    config.port = server.port();
    config.ssl_mode = SslMode::Prefer;
    eventually(
        "the server lets local connections in",
        async || match Pool::connect(&config).await {
            Ok(pool) => {
                let (local,): (bool,) = pool
                    .query_one("SELECT inet_server_addr() IS NULL", &[])
                    .await
                    .unwrap();
                local
            }
            Err(error) => {
                assert!(
                    error.to_string().contains("no pg_hba.conf entry"),
                    "{error:?}"
                );
                false
            }
        },
    )
    .await;
}

/// Plays a server that does not know `client_connection_check_interval`, as before version 14.
#[tokio::test]
async fn an_older_server_is_spared_what_it_does_not_know() {
    let database = Postgres::start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = support::config(&database);
    let target = (database.host().to_owned(), database.port());
    config.host = "127.0.0.1".to_owned();
    config.port = listener.local_addr().unwrap().port();
    config.max_connections = 2;
    let old = tokio::spawn(async move {
        let mut refusals = 0;
        for _ in 0..3 {
            let (mut client, _) = listener.accept().await.unwrap();
            let length = client.read_i32().await.unwrap();
            let mut startup = vec![0; usize::try_from(length).unwrap() - 4];
            client.read_exact(&mut startup).await.unwrap();
            if String::from_utf8_lossy(&startup).contains("client_connection_check_interval") {
                let fields = b"SFATAL\0VFATAL\0C42704\0Munrecognized configuration parameter \
                               \"client_connection_check_interval\"\0\0";
                client.write_u8(b'E').await.unwrap();
                client
                    .write_i32(i32::try_from(fields.len()).unwrap() + 4)
                    .await
                    .unwrap();
                client.write_all(fields).await.unwrap();
                refusals += 1;
                continue;
            }
            let mut server = TcpStream::connect((&*target.0, target.1)).await.unwrap();
            server.write_i32(length).await.unwrap();
            server.write_all(&startup).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
        refusals
    });
    let pool = Pool::connect(&config).await.unwrap();
    // Two at a time take two connections, of which the second is not refused any more.
    let (one, other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert_eq!(old.await.unwrap(), 1);
    drop((one, other));
}

#[tokio::test]
async fn a_missing_password_is_no_passing_trouble() {
    let server = Postgres::builder()
        .private()
        .password("s3cret")
        .start()
        .await
        .unwrap();
    let config = DatabaseConfig {
        host: server.host().to_owned(),
        port: server.port(),
        user: server.user().to_owned(),
        ssl_mode: SslMode::Disable,
        ..DatabaseConfig::default()
    };
    let error = Pool::connect(&config).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent, "{error:#}");
    assert!(
        format!("{error:#}").contains("database.password"),
        "{error:#}"
    );
}
