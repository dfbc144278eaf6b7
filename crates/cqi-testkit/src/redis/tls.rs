//! What a server needs to encrypt.

use std::path::PathBuf;

use super::{Redis, RedisBuilder};

/// How a server encrypts.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// The names its certificate is for.
    pub(super) hosts: Vec<String>,
    /// Whether it demands a certificate of clients.
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

/// Encrypted connections.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
impl RedisBuilder {
    /// Encrypts: makes a certificate for `localhost`, `127.0.0.1` and `::1`, by an intermediate
    /// authority below a root that is in [`Redis::ca_file`].
    ///
    /// Plain text is not served: [`Redis::port`] is for TLS alone.
    pub fn tls(mut self) -> Self {
        self.options.tls.get_or_insert_default();
        self
    }

    /// Does as [`tls`](Self::tls) with a certificate for another host, which the server is not.
    pub fn tls_for_host(mut self, host: impl Into<String>) -> Self {
        self.options.tls.get_or_insert_default().hosts = vec![host.into()];
        self
    }

    /// Does as [`tls`](Self::tls), and demands a certificate of clients, such as that in
    /// [`Redis::client_certificate_file`].
    pub fn tls_client_certificate_required(mut self) -> Self {
        self.options.tls.get_or_insert_default().client = true;
        self
    }
}

/// Files for encrypted connections; they exist where one of the builder's `tls` functions was called.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
impl Redis {
    /// Returns the file with the root certificate, for clients to trust; PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }

    /// Returns the file with a client's certificate chain; PEM.
    #[must_use]
    pub fn client_certificate_file(&self) -> PathBuf {
        self.directory().join("client.pem")
    }

    /// Returns the file with the key of the client's certificate; PEM.
    #[must_use]
    pub fn client_key_file(&self) -> PathBuf {
        self.directory().join("client.key")
    }
}
