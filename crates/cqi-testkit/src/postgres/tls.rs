//! What a server needs to encrypt.

use std::path::{Path, PathBuf};

use super::{Postgres, PostgresBuilder};

/// How a server encrypts.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// The names its certificate is for.
    pub(super) hosts: Vec<String>,
    /// Whether it refuses plain text.
    pub(super) required: bool,
    /// Whether it demands a certificate of clients.
    pub(super) client: bool,
}

impl Default for Tls {
    fn default() -> Self {
        let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        Self {
            hosts,
            required: false,
            client: false,
        }
    }
}

/// Encrypted connections.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
impl PostgresBuilder {
    /// Lets clients encrypt: makes a certificate for `localhost`, `127.0.0.1` and `::1`, by an
    /// intermediate authority below a root that is in [`Postgres::ca_file`].
    ///
    /// Plain text is served as well, unless [`tls_required`](Self::tls_required) forbids it.
    pub fn tls(mut self) -> Self {
        self.options.tls.get_or_insert_default();
        self
    }

    /// Does as [`tls`](Self::tls) with a certificate for another host, which the server is not.
    pub fn tls_for_host(mut self, host: impl Into<String>) -> Self {
        self.options.tls.get_or_insert_default().hosts = vec![host.into()];
        self
    }

    /// Does as [`tls`](Self::tls), and refuses connections in plain text.
    pub fn tls_required(mut self) -> Self {
        self.options.tls.get_or_insert_default().required = true;
        self
    }

    /// Does as [`tls_required`](Self::tls_required), and demands a certificate of clients, such as
    /// that in [`Postgres::client_certificate_file`].
    pub fn tls_client_certificate_required(mut self) -> Self {
        let tls = self.options.tls.get_or_insert_default();
        (tls.required, tls.client) = (true, true);
        self
    }
}

/// Where the files for clients are.
#[derive(Debug)]
pub(super) struct Files {
    ca: PathBuf,
    client_certificate: PathBuf,
    client_key: PathBuf,
}

impl Files {
    pub(super) fn of(directory: &Path) -> Self {
        let [ca, client_certificate, client_key] =
            ["ca.pem", "client.pem", "client.key"].map(|name| directory.join(name));
        Self {
            ca,
            client_certificate,
            client_key,
        }
    }
}

/// Files for encrypted connections; they exist where one of the builder's `tls` functions was called.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
impl Postgres {
    /// Returns the file with the root certificate, for clients to trust; PEM.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.inner.files.ca
    }

    /// Returns the file with a client's certificate chain, for the user of the server; PEM.
    #[must_use]
    pub fn client_certificate_file(&self) -> &Path {
        &self.inner.files.client_certificate
    }

    /// Returns the file with the key of the client's certificate; PEM.
    #[must_use]
    pub fn client_key_file(&self) -> &Path {
        &self.inner.files.client_key
    }
}
