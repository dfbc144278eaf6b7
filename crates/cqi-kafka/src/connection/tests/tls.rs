//! Certificates and servers that real brokers of the tests do not have.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Kind};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{TIMEOUT, host, says};
use crate::connection::{ConnectionSettings, Connector, Tls};

/// An authority, in a file for clients to trust.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(test: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = format!("cqi-kafka-{test}-{}.pem", std::process::id());
        let file = std::env::temp_dir().join(file);
        std::fs::write(&file, certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { issuer, file }
    }

    fn serve(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Why a client that trusts the authority cannot connect to a server that does as told.
async fn refused(authority: &Authority, server: impl AsyncFnOnce(tokio::net::TcpStream)) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut settings = ConnectionSettings::new();
    settings.tls = Some(Tls::with_ca_file(&authority.file).unwrap());
    settings.connect_timeout = TIMEOUT;
    let connector = Connector::new(settings);
    let host = host(&format!("localhost:{port}"));
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        server(stream).await;
    };
    let (opened, ()) = tokio::join!(connector.open(&host), serving);
    opened.unwrap_err()
}

#[tokio::test]
async fn a_certificate_must_be_valid_now() {
    let authority = Authority::new("now");
    for (from, to, text) in [
        (2001, 2002, "clock of this machine"),
        (2190, 2191, "clocks of both machines"),
    ] {
        let acceptor = authority.serve(|params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        });
        let error = refused(&authority, async |stream| {
            let _ = acceptor.accept(stream).await;
        });
        says(&error.await, Kind::Permanent, &["localhost", text]);
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_apart() {
    let authority = Authority::new("speak");
    let error = refused(&authority, async |mut stream| {
        let _ = stream.read(&mut [0; 1000]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    says(&error.await, Kind::Permanent, &["localhost", "plaintext"]);
    let error = refused(&authority, async |mut stream| {
        let _ = stream.read(&mut [0; 1000]).await;
    });
    says(
        &error.await,
        Kind::Temporary,
        &["localhost", "handshake", "plaintext"],
    );
    // A fatal alert: handshake failure.
    let error = refused(&authority, async |mut stream| {
        let _ = stream.read(&mut [0; 1000]).await;
        let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 40]).await;
    });
    says(
        &error.await,
        Kind::Permanent,
        &["localhost", "HandshakeFailure"],
    );
}

/// What is wrong with a client's certificate, a broker says after the handshake.
#[tokio::test]
async fn an_encrypted_connection_may_end_at_any_time() {
    let authority = Authority::new("end");
    let acceptor = authority.serve(|_| {});
    let error = refused(&authority, async |stream| {
        let mut stream = acceptor.accept(stream).await.unwrap();
        let _ = stream.read(&mut [0; 1000]).await;
        // Without a goodbye.
        drop(stream);
    });
    says(
        &error.await,
        Kind::Temporary,
        &["localhost", "closed the connection at once"],
    );
    let error = refused(&authority, async |stream| {
        let mut stream = acceptor.accept(stream).await.unwrap();
        let _ = stream.read(&mut [0; 1000]).await;
        let _ = stream.shutdown().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    says(
        &error.await,
        Kind::Temporary,
        &["localhost", "closed the connection at once"],
    );
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let authority = Authority::new("name");
    let tls = Tls::with_ca_file(&authority.file).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
    let error = tls
        .encrypt(&host("no name:9092"), stream.await.unwrap())
        .await;
    says(&error.unwrap_err(), Kind::InvalidInput, &["no name:9092"]);
}
