use std::path::Path;
use std::sync::Arc;

use cqi_config::{DatabaseConfig, SslMode};
use cqi_errors::{Error, Kind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::hosts::Host;
use super::verifier::{AnyCertificate, AnyName};

/// Reads the certificates once and makes what wraps a socket in TLS; `None` when TLS is off.
///
/// Trust follows libpq: `prefer` looks at no certificate, `require` checks the chain where
/// `ssl_root_cert` is set, `verify-full` checks the chain and the name.
pub(super) fn connector(config: &DatabaseConfig) -> Result<Option<MakeRustlsConnect>> {
    let identity = match (&config.ssl_cert, &config.ssl_key) {
        (Some(chain), Some(key)) => Some((certificates(chain, CERT)?, private_key(key)?)),
        (None, None) => None,
        (Some(_), None) => return Err(Error::invalid_input(KEY, "is needed with ssl_cert")),
        (None, Some(_)) => return Err(Error::invalid_input(CERT, "is needed with ssl_key")),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let Some(verifier) = verifier(config, &provider)? else {
        return Ok(None);
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::permanent("cannot set up TLS").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let tls = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            Error::invalid_input(KEY, "does not fit the certificate in ssl_cert").with_source(error)
        })?,
    };
    Ok(Some(MakeRustlsConnect::new(tls)))
}

const ROOT: &str = "database.ssl_root_cert";
const CERT: &str = "database.ssl_cert";
const KEY: &str = "database.ssl_key";

fn verifier(
    config: &DatabaseConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ServerCertVerifier>>> {
    let chain = |roots| {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| Error::invalid_input(ROOT, "is of no use").with_source(error))
    };
    let verifier: Arc<dyn ServerCertVerifier> = match (config.ssl_mode, &config.ssl_root_cert) {
        (SslMode::Disable, _) => return Ok(None),
        (SslMode::Prefer, _) | (SslMode::Require, None) => {
            Arc::new(AnyCertificate::new(Arc::clone(provider)))
        }
        (SslMode::Require, Some(file)) => Arc::new(AnyName::new(chain(roots(file)?)?)),
        (_, Some(file)) => chain(roots(file)?)?,
        (_, None) => chain(system_roots()?)?,
    };
    Ok(Some(verifier))
}

fn roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, ROOT)? {
        roots.add(certificate).map_err(|error| {
            unreadable(file, ROOT, "holds a certificate that cannot be used", error)
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = Error::invalid_input(
            ROOT,
            "the system has no certificate authorities (on Debian, install ca-certificates): \
             name the PEM file of those to trust",
        );
        return Err(match found.errors.into_iter().next() {
            Some(cause) => error.with_source(cause),
            None => error,
        });
    }
    Ok(roots)
}

fn certificates(file: &Path, field: &'static str) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unreadable(file, field, "cannot be read as PEM", error))?;
    if certificates.is_empty() {
        let problem = format!("{} holds no certificate", file.display());
        return Err(Error::invalid_input(field, problem));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        let problem = "holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)";
        unreadable(file, KEY, problem, error)
    })
}

fn unreadable(
    file: &Path,
    field: &'static str,
    problem: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::invalid_input(field, format!("{} {problem}", file.display())).with_source(error)
}

/// Returns the error of TLS itself, as opposed to one of the server or the network.
pub(super) fn failure(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    use std::error::Error as _;
    error
        .source()?
        .downcast_ref::<std::io::Error>()?
        .get_ref()?
        .downcast_ref()
}

/// A certificate that is refused stays refused; a handshake that broke may work the next time.
pub(super) fn kind(error: &rustls::Error) -> Kind {
    match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(_) => Kind::Permanent,
        _ => Kind::Temporary,
    }
}

/// Says what is wrong with TLS and what to do about it.
pub(super) fn advice(error: &rustls::Error, config: &DatabaseConfig, host: &Host) -> String {
    use rustls::CertificateError as Bad;
    let advice = match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => match &config.ssl_root_cert {
            Some(file) => format!(": {} does not hold its authority", file.display()),
            None => ": name the PEM file of its authority in ssl_root_cert".to_owned(),
        },
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => format!(
            ": set database.host to a name it has; it is {}",
            host.name()
        ),
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            ": renew it at the server, or correct this machine's clock".to_owned()
        }
        rustls::Error::AlertReceived(_) if config.ssl_cert.is_none() => {
            ": the server may want a client certificate (ssl_cert, ssl_key)".to_owned()
        }
        rustls::Error::AlertReceived(_) => ": the server refused ssl_cert".to_owned(),
        _ => String::new(),
    };
    format!("TLS failed: {error}{advice}")
}
