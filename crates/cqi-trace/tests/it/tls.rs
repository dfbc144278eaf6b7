//! Encrypted connections, which trust what the system trusts.
//!
//! The test runs itself again in a child process, since the place of the system's certificates is
//! taken from the environment.

use std::env;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use cqi_config::{OtlpProtocol, TracingConfig};
use cqi_trace::Tracing;
use cqi_trace::testing::Collector;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::info_span;

use crate::traces::{SOON, logs, service};

const ENDPOINT: &str = "CQI_TRACE_TEST_ENDPOINT";
const PROTOCOL: &str = "CQI_TRACE_TEST_PROTOCOL";

/// Sends one span, and prints what became of it.
fn child(endpoint: String) {
    let protocol = match env::var(PROTOCOL).as_deref() {
        Ok("http") => OtlpProtocol::Http,
        _ => OtlpProtocol::Grpc,
    };
    let config = TracingConfig {
        endpoint,
        protocol,
        ..TracingConfig::default()
    };
    let tracing = Tracing::init(&config, &service()).unwrap();
    let logs = logs(&tracing, "info");
    drop(info_span!("encrypted"));
    let _ = tracing.shutdown(SOON);
    println!("{}", logs.text());
}

fn run(endpoint: &str, protocol: &str, trusted: &Path) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "tls::spans_travel_encrypted", "--nocapture"])
        .env(ENDPOINT, endpoint)
        .env(PROTOCOL, protocol)
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap()
}

#[test]
fn spans_travel_encrypted() {
    if let Ok(endpoint) = env::var(ENDPOINT) {
        return child(endpoint);
    }
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, key.cert.pem()).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let untrusted = folder.path().join("other.pem");
    std::fs::write(&untrusted, other.cert.pem()).unwrap();

    let collector = Collector::start().unwrap();
    let port = encrypt(&collector, &key);
    let endpoint = format!("https://localhost:{port}");
    for (index, protocol) in ["grpc", "http"].into_iter().enumerate() {
        let output = run(&endpoint, protocol, &trusted);
        assert!(output.status.success(), "{output:?}");
        let spans = collector.spans();
        assert_eq!(spans.len(), index + 1, "{output:?}");
        assert_eq!(spans[index].name, "encrypted");

        let output = run(&endpoint, protocol, &untrusted);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("invalid peer certificate"), "{text}");
        assert_eq!(collector.spans().len(), index + 1);

        let output = run(&endpoint, protocol, &folder.path().join("missing.pem"));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("no certificate authorities"), "{text}");
    }
}

/// Terminates TLS before the collector; returns the port.
fn encrypt(collector: &Collector, key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut tls = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = collector.address();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut upstream = TcpStream::connect(address).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    };
    // The process ends it.
    std::thread::spawn(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(serve);
    });
    port
}
