//! What brokers need to encrypt.

use std::path::PathBuf;

use super::builder::Options;
use super::{Kafka, KafkaBuilder};

/// How brokers encrypt.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// The names their certificate is for.
    pub(super) hosts: Vec<String>,
    /// Whether they demand a certificate of clients.
    pub(super) client: bool,
}

impl Default for Tls {
    fn default() -> Self {
        let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        Self {
            hosts,
            client: false,
        }
    }
}

impl Options {
    pub(super) fn encryption(&self) -> Vec<(&'static str, String)> {
        let (Some(tls), Some(certificates)) = (&self.tls, &self.certificates) else {
            return Vec::new();
        };
        let (chain, key) = certificates.server();
        let client = if tls.client { "required" } else { "none" };
        // In the settings themselves: Kafka before 3.2 reads no file with a key that is not encrypted.
        vec![
            ("ssl.keystore.type", "PEM".to_owned()),
            ("ssl.keystore.certificate.chain", chain.to_owned()),
            ("ssl.keystore.key", key.to_owned()),
            ("ssl.truststore.type", "PEM".to_owned()),
            (
                "ssl.truststore.certificates",
                certificates.root().to_owned(),
            ),
            ("ssl.client.auth", client.to_owned()),
        ]
    }
}

/// Encrypted connections.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
impl KafkaBuilder {
    /// Adds [`Listener::Ssl`](super::Listener::Ssl): makes a certificate for `localhost`,
    /// `127.0.0.1` and `::1`, by an intermediate authority below a root that is in
    /// [`Kafka::ca_file`].
    pub fn tls(mut self) -> Self {
        self.options.tls.get_or_insert_default();
        self
    }

    /// Does as [`tls`](Self::tls) with a certificate for another host, which the brokers are not.
    pub fn tls_for_host(mut self, host: impl Into<String>) -> Self {
        self.options.tls.get_or_insert_default().hosts = vec![host.into()];
        self
    }

    /// Does as [`tls`](Self::tls), and demands a certificate of clients, such as that in
    /// [`Kafka::client_certificate_file`].
    pub fn tls_client_certificate_required(mut self) -> Self {
        self.options.tls.get_or_insert_default().client = true;
        self
    }
}

/// Files for encrypted connections; they exist where one of the builder's `tls` functions was called.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
impl Kafka {
    /// Returns the file with the root certificate, for clients to trust; PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Returns the file with a client's certificate chain; PEM.
    #[must_use]
    pub fn client_certificate_file(&self) -> PathBuf {
        self.file("client.pem")
    }

    /// Returns the file with the key of the client's certificate; PEM.
    #[must_use]
    pub fn client_key_file(&self) -> PathBuf {
        self.file("client.key")
    }

    fn file(&self, name: &str) -> PathBuf {
        let first = self.brokers().first();
        let folder = first.map(|broker| broker.inner.supervisor.directory());
        folder.unwrap_or("".as_ref()).join(name)
    }
}
