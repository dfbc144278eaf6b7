use std::sync::Arc;
use std::time::Duration;

use fred::types::config::TlsConnector;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::hosts::Host;
use super::settings::Settings;

const BOUND: Duration = Duration::from_millis(200);

/// Finds out whether a server that cannot be talked to speaks TLS where this side does not, or the
/// other way round: neither tells by itself.
pub(super) async fn differs(settings: &Settings, host: &Host) -> bool {
    let found = timeout(BOUND, async {
        let socket = TcpStream::connect((&*host.name, host.port)).await.ok()?;
        if settings.uses_tls() {
            answers_plain(socket).await
        } else {
            answers_tls(socket, host).await
        }
    });
    matches!(found.await, Ok(Some(true)))
}

async fn answers_plain(mut socket: TcpStream) -> Option<bool> {
    socket.write_all(b"PING\r\n").await.ok()?;
    let first = socket.read_u8().await.ok()?;
    Some(matches!(first, b'+' | b'-'))
}

/// Trusts nobody: a certificate that is refused is one that was shown.
async fn answers_tls(socket: TcpStream, host: &Host) -> Option<bool> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let TlsConnector::Rustls(connector) = TlsConnector::from(client);
    let name = host.name.clone().try_into().ok()?;
    let error = connector.connect(name, socket).await.err()?;
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(matches!(
        error,
        rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
    ))
}
