use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqi_config::{DatabaseConfig, Secret, SslMode};
use cqi_db::Pool;
use cqi_errors::{Error, Kind};
use cqi_testkit::Postgres;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::eventually;

fn config(server: &Postgres, mode: SslMode) -> DatabaseConfig {
    DatabaseConfig {
        host: "localhost".to_owned(),
        port: server.port(),
        user: server.user().to_owned(),
        password: Secret::new(server.password()),
        database: "postgres".to_owned(),
        ssl_mode: mode,
        ssl_root_cert: Some(server.ca_file().to_owned()),
        ..DatabaseConfig::default()
    }
}

async fn encrypted(config: &DatabaseConfig) -> Result<bool, Error> {
    let pool = Pool::connect(config).await?;
    let (encrypted,): (bool,) = pool
        .query_one(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await?;
    Ok(encrypted)
}

async fn refused(config: &DatabaseConfig) -> String {
    let error = encrypted(config).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent, "{error:?}");
    format!("{error:#}")
}

#[tokio::test]
async fn verify_full_trusts_a_chain_that_names_the_host() {
    let server = Postgres::builder().tls_required().start().await.unwrap();
    assert!(
        encrypted(&config(&server, SslMode::VerifyFull))
            .await
            .unwrap()
    );
    assert!(
        rustls::crypto::CryptoProvider::get_default().is_none(),
        "no default provider was installed"
    );
}

#[tokio::test]
async fn an_ip_address_is_a_name_too() {
    let server = Postgres::builder().tls_required().start().await.unwrap();
    let mut config = config(&server, SslMode::VerifyFull);
    config.host = "127.0.0.1".to_owned();
    assert!(encrypted(&config).await.unwrap());
}

#[tokio::test]
async fn verify_full_refuses_another_host() {
    let server = Postgres::builder()
        .tls_for_host("db.example")
        .start()
        .await
        .unwrap();
    let mut config = config(&server, SslMode::VerifyFull);
    let error = refused(&config).await;
    assert!(
        error.contains("localhost") && error.contains("db.example"),
        "{error}"
    );

    // The chain is all that `require` looks at.
    config.ssl_mode = SslMode::Require;
    assert!(encrypted(&config).await.unwrap());
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let server = Postgres::builder().tls().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("stranger.pem");
    let authority = authority();
    std::fs::write(&stranger, authority.pem()).unwrap();
    for mode in [SslMode::VerifyFull, SslMode::Require] {
        let mut config = config(&server, mode);
        config.ssl_root_cert = Some(stranger.clone());
        let error = refused(&config).await;
        assert!(error.contains("stranger.pem"), "{error}");
    }
    // The system's authorities do not know it either.
    let mut config = config(&server, SslMode::VerifyFull);
    config.ssl_root_cert = None;
    let error = Pool::connect(&config).await.unwrap_err();
    assert!(error.to_string().contains("ssl_root_cert"), "{error:?}");
}

#[tokio::test]
async fn require_without_an_authority_encrypts_without_asking_who() {
    let server = Postgres::builder()
        .tls_for_host("db.example")
        .tls_required()
        .start()
        .await
        .unwrap();
    let mut config = config(&server, SslMode::Require);
    config.ssl_root_cert = None;
    assert!(encrypted(&config).await.unwrap());
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let server = Postgres::builder().tls().start().await.unwrap();
    let authority = authority();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();

    let mut settings = config(&server, SslMode::Disable);
    settings.host = server.host().to_owned();
    let pool = Pool::connect(&settings).await.unwrap();
    for (setting, pem) in [
        ("ssl_cert_file", leaf.pem()),
        ("ssl_key_file", key.serialize_pem()),
    ] {
        let sql = format!(
            "SELECT CASE WHEN s LIKE '/%' THEN s ELSE current_setting('data_directory') || '/' || s END \
             FROM current_setting('{setting}') s"
        );
        let (file,): (String,) = pool.query_one(&sql, &[]).await.unwrap();
        std::fs::write(file, pem).unwrap();
    }
    pool.execute("SELECT pg_reload_conf()", &[]).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, authority.pem()).unwrap();
    settings = config(&server, SslMode::VerifyFull);
    settings.ssl_root_cert = Some(root);
    eventually("the server shows the new certificate", async || {
        let error = refused(&settings).await;
        error.contains("expired") && error.contains("renew it")
    })
    .await;
}

#[tokio::test]
async fn a_server_without_tls_gets_no_plain_text_unless_allowed() {
    let server = Postgres::builder().start().await.unwrap();
    let mut config = config(&server, SslMode::VerifyFull);
    config.ssl_root_cert = None;
    for mode in [SslMode::VerifyFull, SslMode::Require] {
        config.ssl_mode = mode;
        let error = refused(&config).await;
        assert!(error.contains("offers no TLS"), "{error}");
    }
    config.ssl_mode = SslMode::Prefer;
    assert!(!encrypted(&config).await.unwrap());
}

#[tokio::test]
async fn prefer_encrypts_where_it_can_and_disable_never() {
    let server = Postgres::builder()
        .tls_for_host("db.example")
        .start()
        .await
        .unwrap();
    let mut config = config(&server, SslMode::Prefer);
    config.ssl_root_cert = None;
    assert!(encrypted(&config).await.unwrap());
    config.ssl_mode = SslMode::Disable;
    assert!(!encrypted(&config).await.unwrap());
}

/// Plays a man in the middle who says that there is no TLS, and returns what clients send besides.
async fn stripper() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let leaked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&leaked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 8];
            socket.read_exact(&mut request).await.unwrap();
            assert_eq!(request, SSL_REQUEST);
            socket.write_all(b"N").await.unwrap();
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest).await;
            seen.lock().unwrap().extend(rest);
        }
    });
    (port, leaked)
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

#[tokio::test]
async fn stripping_tls_leaks_nothing() {
    let (port, leaked) = stripper().await;
    let config = DatabaseConfig {
        host: format!("127.0.0.1:{port},localhost:{port}"),
        password: Secret::new("hunter2"),
        ssl_mode: SslMode::VerifyFull,
        ..DatabaseConfig::default()
    };
    let error = Pool::connect(&config).await.unwrap_err();
    let text = format!("{error:?}");
    assert_eq!(text.matches("offers no TLS").count(), 2, "{text}");
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(
        leaked.lock().unwrap().is_empty(),
        "{:?}",
        leaked.lock().unwrap()
    );
}

#[tokio::test]
async fn a_unix_socket_is_refused_where_encryption_is_demanded() {
    for mode in [SslMode::VerifyFull, SslMode::Require] {
        let config = DatabaseConfig {
            host: "/var/run/postgresql".to_owned(),
            ssl_mode: mode,
            ..DatabaseConfig::default()
        };
        let error = Pool::connect(&config).await.unwrap_err();
        assert_eq!(error.field(), Some("database.ssl_mode"), "{error:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_server_wants_it() {
    let server = Postgres::builder()
        .tls_client_certificate_required()
        .start()
        .await
        .unwrap();
    let mut config = config(&server, SslMode::VerifyFull);
    let error = refused(&config).await;
    assert!(error.contains("certificate"), "{error}");

    config.ssl_cert = Some(server.client_certificate_file().to_owned());
    config.ssl_key = Some(server.client_key_file().to_owned());
    assert!(encrypted(&config).await.unwrap());
}

#[tokio::test]
async fn files_that_are_no_use_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    let absent = folder.path().join("absent.pem");
    let broken = folder.path().join("broken.pem");
    let (good, good_key) = (
        folder.path().join("good.pem"),
        folder.path().join("good.key"),
    );
    let other_key = folder.path().join("other.key");
    let authority = authority();
    std::fs::write(&empty, "").unwrap();
    std::fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    std::fs::write(&good, authority.pem()).unwrap();
    std::fs::write(&good_key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    std::fs::write(&other_key, KeyPair::generate().unwrap().serialize_pem()).unwrap();

    let check = async |root: Option<&Path>, cert: Option<&Path>, key: Option<&Path>| {
        let config = DatabaseConfig {
            ssl_root_cert: root.map(Path::to_owned),
            ssl_cert: cert.map(Path::to_owned),
            ssl_key: key.map(Path::to_owned),
            ..DatabaseConfig::default()
        };
        let error = Pool::connect(&config).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error:?}");
        format!("{error:#}")
    };
    for (file, problem) in [
        (&empty, "no certificate"),
        (&absent, "No such file"),
        (&broken, "PEM"),
    ] {
        let name = file.file_name().unwrap().to_str().unwrap();
        let error = check(Some(file), None, None).await;
        assert!(error.contains(name) && error.contains(problem), "{error}");
        assert!(error.contains("database.ssl_root_cert"), "{error}");
    }
    let error = check(Some(&good), Some(&good), None).await;
    assert!(error.contains("database.ssl_key"), "{error}");
    let error = check(Some(&good), None, Some(&good_key)).await;
    assert!(error.contains("database.ssl_cert"), "{error}");
    let error = check(Some(&good), Some(&good), Some(&empty)).await;
    assert!(
        error.contains("empty.pem") && error.contains("no private key"),
        "{error}"
    );
    let error = check(Some(&good), Some(&good), Some(&other_key)).await;
    assert!(error.contains("does not fit"), "{error}");
}

/// Forwards to a server and notes the first eight bytes of each connection.
async fn recorder(target: u16) -> (u16, Arc<Mutex<Vec<[u8; 8]>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let greetings = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let greetings = Arc::clone(&greetings);
            tokio::spawn(async move {
                let mut greeting = [0; 8];
                client.read_exact(&mut greeting).await.unwrap();
                greetings.lock().unwrap().push(greeting);
                let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                server.write_all(&greeting).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, seen)
}

#[tokio::test]
async fn a_cancel_request_is_encrypted_too() {
    let server = Postgres::builder().tls_required().start().await.unwrap();
    let (port, greetings) = recorder(server.port()).await;
    let mut config = config(&server, SslMode::VerifyFull);
    config.port = port;
    config.max_connections = 1;
    config.query_timeout = Duration::from_millis(200);
    let pool = Pool::connect(&config).await.unwrap();
    let slow = timeout(
        Duration::from_secs(3),
        pool.execute("SELECT pg_sleep(60)", &[]),
    );
    let error = slow.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    let (one,): (i32,) = pool.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(one, 1);
    let greetings = greetings.lock().unwrap();
    assert_eq!(
        *greetings, [SSL_REQUEST; 2],
        "one connection and one cancel request"
    );
}

#[tokio::test]
async fn scram_is_bound_to_the_encrypted_channel() {
    let password = "pass word'\"=\\ äöü 密码 #%&+";
    let server = Postgres::builder()
        .password(password)
        .tls_required()
        .start()
        .await
        .unwrap();
    let config = config(&server, SslMode::VerifyFull);
    assert_eq!(config.password.expose(), password);
    assert!(encrypted(&config).await.unwrap());
}

/// Plays a man in the middle who ends TLS with a certificate of his own and opens it again towards
/// the server, which only someone who looks at no certificate falls for.
async fn interceptor(server: &Postgres) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = server.port();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());

    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let towards_client = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(server.ca_file()).unwrap())
        .unwrap();
    let towards_server = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(towards_client));
    let connector = TlsConnector::from(Arc::new(towards_server));

    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                let mut request = [0; 8];
                client.read_exact(&mut request).await.unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                server.write_all(&request).await.unwrap();
                assert_eq!(server.read_u8().await.unwrap(), b'S');
                client.write_all(b"S").await.unwrap();
                let name = "localhost".try_into().unwrap();
                let mut server = connector.connect(name, server).await.unwrap();
                let mut client = acceptor.accept(client).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn scram_notices_a_man_in_the_middle_whom_require_lets_in() {
    let server = Postgres::builder()
        .password("secret")
        .tls_required()
        .start()
        .await
        .unwrap();
    let mut config = config(&server, SslMode::Require);
    config.ssl_root_cert = None;
    assert!(encrypted(&config).await.unwrap());
    config.port = interceptor(&server).await;
    let error = refused(&config).await;
    assert!(error.contains("channel binding"), "{error}");
}

#[tokio::test]
async fn prefer_does_without_where_the_server_wants_plain_text() {
    let server = Postgres::builder().tls().start().await.unwrap();
    let mut config = config(&server, SslMode::Prefer);
    let pool = Pool::connect(&config).await.unwrap();
    let (rules,): (String,) = pool.query_one("SHOW hba_file", &[]).await.unwrap();
    std::fs::write(rules, "hostnossl all all 127.0.0.1/32 trust\n").unwrap();
    pool.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    eventually("the server refuses TLS", async || {
        config.ssl_mode = SslMode::Require;
        let refused = Pool::connect(&config).await.is_err();
        config.ssl_mode = SslMode::Prefer;
        let plain = !encrypted(&config).await.unwrap();
        refused && plain
    })
    .await;
}
