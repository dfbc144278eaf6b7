//! Encryption, and proof of who the broker is.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cqi_errors::{Error, Kind, Result};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ConfigBuilder, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Host;

/// Encrypts connections, by TLS 1.2 or 1.3, to brokers whose certificates are trusted.
///
/// A broker's certificate must be for the name or the IP address by which the broker is reached: that
/// of the bootstrap list, and those that brokers advertise. There is no way to do without.
///
/// Files are read once, here: make new settings and a new client when certificates change.
///
/// ```no_run
/// use cqi_kafka::Tls;
///
/// # fn main() -> cqi_errors::Result<()> {
/// let tls = Tls::with_ca_file("ca.pem")?.with_client_certificate("client.pem", "client.key")?;
/// # let _ = tls;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the certificate authorities of the system.
    ///
    /// # Errors
    /// `InvalidInput` where the system has none.
    pub fn with_system_roots() -> Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(Error::invalid_input(
                "tls",
                "the system has no certificate authorities: install them (on Debian, \
                 ca-certificates), or name the PEM file of those to trust",
            ));
        }
        Self::new(roots)
    }

    /// Trusts the certificate authorities in a PEM file, and no others (`ssl.truststore.location`).
    ///
    /// # Errors
    /// `InvalidInput` when the file cannot be read, or holds no certificate that can be used.
    pub fn with_ca_file(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| {
                unusable(file, "holds a certificate that cannot be used").with_source(error)
            })?;
        }
        Self::new(roots)
    }

    /// Shows brokers a certificate, for those that demand one (`ssl.keystore.location`): PEM files with
    /// the chain, the client's own first, and with its key, which is not encrypted.
    ///
    /// # Errors
    /// `InvalidInput` when a file cannot be read or used, or the key is not that of the certificate.
    pub fn with_client_certificate(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self> {
        let (file, key) = (chain.as_ref(), key.as_ref());
        let chain = certificates(file)?;
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unusable(key, "holds no private key as PEM").with_source(error))?;
        let config = builder(&self.roots)?
            .with_client_auth_cert(chain, secret)
            .map_err(|error| {
                let problem = format!("cannot be used with the key in {}", key.display());
                unusable(file, &problem).with_source(error)
            })?;
        Ok(Self {
            config: Arc::new(config),
            ..self
        })
    }

    fn new(roots: RootCertStore) -> Result<Self> {
        let roots = Arc::new(roots);
        let config = Arc::new(builder(&roots)?.with_no_client_auth());
        Ok(Self { roots, config })
    }

    /// Encrypts a connection to a broker that is who it should be.
    pub(super) async fn encrypt(
        &self,
        host: &Host,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.name.to_string()).map_err(|error| {
            Error::invalid_input("", format!("the name of kafka broker {host} is no host's"))
                .with_source(error)
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await.map_err(|error| {
            let (kind, problem) = explain(&error).unwrap_or_else(|| unexplained(&error));
            Error::new(
                kind,
                format!("cannot encrypt the connection to kafka broker {host}: {problem}"),
            )
        })
    }
}

/// Says what TLS has against a broker, or a broker against this client.
pub(super) fn explain(error: &io::Error) -> Option<(Kind, String)> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match tls {
        rustls::Error::InvalidCertificate(problem) => (Kind::Permanent, untrusted(problem)),
        rustls::Error::AlertReceived(alert) => refused(*alert),
        rustls::Error::InvalidMessage(_) => (
            Kind::Permanent,
            "it does not answer in TLS: this port may be one for plaintext".to_owned(),
        ),
        other => (Kind::Permanent, other.to_string()),
    })
}

fn untrusted(problem: &CertificateError) -> String {
    let hint = match problem {
        CertificateError::UnknownIssuer => {
            "trust the authority that signed it, by its PEM file, if that is the right one"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "reach the broker by a name that its certificate is for"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the broker's certificate, and check the clock of this machine"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "check the clocks of both machines"
        }
        _ => return format!("its certificate is refused: {problem}"),
    };
    format!("its certificate is refused: {problem}; {hint}")
}

/// Most alerts of a broker are about the client's certificate.
fn refused(alert: AlertDescription) -> (Kind, String) {
    match alert {
        AlertDescription::CertificateRequired => (
            Kind::Unauthorized,
            "it demands a client certificate: give one with `with_client_certificate`".to_owned(),
        ),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => (
            Kind::Unauthorized,
            format!("it refuses the client's certificate, or misses one (TLS alert {alert:?})"),
        ),
        alert => (Kind::Permanent, format!("it refuses (TLS alert {alert:?})")),
    }
}

fn unexplained(error: &io::Error) -> (Kind, String) {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => (
            Kind::Temporary,
            "it closed the connection during the TLS handshake: it is going down, or this port is \
             one for plaintext"
                .to_owned(),
        ),
        _ => (Kind::Temporary, error.to_string()),
    }
}

fn builder(roots: &Arc<RootCertStore>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::permanent("cannot set up TLS").with_source(error))?;
    Ok(builder.with_root_certificates(Arc::clone(roots)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unusable(file, "cannot be read as PEM").with_source(error))?;
    match certificates.is_empty() {
        true => Err(unusable(file, "holds no certificate")),
        false => Ok(certificates),
    }
}

fn unusable(file: &Path, problem: &str) -> Error {
    Error::invalid_input("tls", format!("{} {problem}", file.display()))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.roots.len())
            .finish_non_exhaustive()
    }
}
