use std::path::Path;
use std::sync::Arc;

use cqi_config::CacheConfig;
use cqi_errors::{Error, Result};
use fred::types::config::{TlsConfig, TlsConnector, TlsHostMapping};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

const ROOT: &str = "cache.tls_root_cert";

/// Reads the certificates once; `None` when TLS is off.
pub(super) fn config(config: &CacheConfig) -> Result<Option<TlsConfig>> {
    if !config.tls {
        return Ok(None);
    }
    let roots = match &config.tls_root_cert {
        Some(file) => roots(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::permanent("cannot set up TLS").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConfig {
        connector: TlsConnector::from(client),
        // A cluster announces addresses; its certificate has the name that was asked for.
        hostnames: TlsHostMapping::DefaultHost,
    }))
}

fn roots(file: &Path) -> Result<RootCertStore> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unusable(file, "cannot be read as PEM").with_source(error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| {
            unusable(file, "holds a certificate that cannot be used").with_source(error)
        })?;
    }
    if roots.is_empty() {
        return Err(unusable(file, "holds no certificate"));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Error::invalid_input(
            ROOT,
            "the system has no certificate authorities (on Debian, install ca-certificates): \
             name the PEM file of those to trust, or set cache.tls to false",
        ));
    }
    Ok(roots)
}

fn unusable(file: &Path, problem: &str) -> Error {
    Error::invalid_input(ROOT, format!("{} {problem}", file.display()))
}
