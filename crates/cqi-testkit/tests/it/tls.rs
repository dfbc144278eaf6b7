use std::process::Command;

use cqi_testkit::Postgres;

/// Asks `psql` whether it gets an encrypted connection, or why it gets none.
fn psql(server: &Postgres, host: &str, parameters: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args([
            "-XAtw",
            "-c",
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            "-d",
        ])
        .arg(format!(
            "host={host} port={} user=postgres dbname=postgres connect_timeout=10 {parameters}",
            server.port()
        ))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn verify_full(server: &Postgres) -> String {
    format!(
        "sslmode=verify-full sslrootcert={}",
        server.ca_file().display()
    )
}

#[tokio::test]
async fn a_chain_is_verified_in_full() {
    let server = Postgres::builder().tls().private().start().await.unwrap();
    let verified = verify_full(&server);
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(psql(&server, host, &verified).unwrap(), "t");
    }
    assert_eq!(psql(&server, "localhost", "sslmode=disable").unwrap(), "f");

    let other = Postgres::builder().tls().private().start().await.unwrap();
    let error = psql(&server, "localhost", &verify_full(&other)).unwrap_err();
    assert!(error.contains("certificate verify failed"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let server = Postgres::builder()
        .tls_for_host("db.example")
        .private()
        .start()
        .await
        .unwrap();
    let error = psql(&server, "localhost", &verify_full(&server)).unwrap_err();
    assert!(error.contains("does not match host name"), "{error}");
    let authority_only = verify_full(&server).replace("verify-full", "verify-ca");
    assert_eq!(psql(&server, "localhost", &authority_only).unwrap(), "t");
}

#[tokio::test]
async fn plain_text_is_refused_where_encryption_is_required() {
    let server = Postgres::builder()
        .tls_required()
        .private()
        .start()
        .await
        .unwrap();
    psql(&server, "localhost", "sslmode=disable").unwrap_err();
    assert_eq!(psql(&server, "localhost", "sslmode=require").unwrap(), "t");
    let _database = server.create_database().await.unwrap();
    let standby = server.standby().await.unwrap();
    assert_eq!(
        psql(&standby, "localhost", &verify_full(&server)).unwrap(),
        "t"
    );
}

#[tokio::test]
async fn a_client_proves_who_it_is() {
    let server = Postgres::builder()
        .tls_client_certificate_required()
        .private()
        .start();
    let server = server.await.unwrap();
    let error = psql(&server, "localhost", &verify_full(&server)).unwrap_err();
    assert!(error.contains("client certificate"), "{error}");
    let proof = format!(
        "{} sslcert={} sslkey={}",
        verify_full(&server),
        server.client_certificate_file().display(),
        server.client_key_file().display()
    );
    assert_eq!(psql(&server, "localhost", &proof).unwrap(), "t");
}
