//! Certificates for a server and a client, by a chain of authorities made for one test.

use cqi_errors::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::supervisor::{Supervisor, token};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// PEM texts: the root, and chains that end below it with their keys.
#[derive(Clone)]
pub(crate) struct Certificates {
    root: String,
    server: (String, String),
    client: (String, String),
}

impl Certificates {
    /// Makes a root, an intermediate authority, a server's certificate for `hosts` and a client's
    /// for `user`.
    pub(crate) fn make(hosts: &[String], user: &str) -> Result<Self> {
        build(hosts, user).map_err(|error| {
            Error::permanent(format!("make certificates for {}", hosts.join(", ")))
                .with_source(error)
        })
    }

    /// Returns the root.
    #[cfg(feature = "kafka")]
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Returns the server's chain and key.
    #[cfg(feature = "kafka")]
    pub(crate) fn server(&self) -> (&str, &str) {
        (&self.server.0, &self.server.1)
    }

    /// Writes `ca.pem`, `server.pem`, `server.key`, `client.pem` and `client.key`.
    pub(crate) fn write(&self, supervisor: &Supervisor) -> Result<()> {
        supervisor.write("ca.pem", &self.root)?;
        supervisor.write("server.pem", &self.server.0)?;
        supervisor.write("server.key", &self.server.1)?;
        supervisor.write("client.pem", &self.client.0)?;
        supervisor.write("client.key", &self.client.1).map(drop)
    }
}

fn build(hosts: &[String], user: &str) -> Result<Certificates, rcgen::Error> {
    // Roots of one name and several keys would be taken for one another.
    let root = authority(&format!("cqi-testkit root {}", token()));
    let root = Authority::self_signed(root, KeyPair::generate()?)?;
    let middle = authority(&format!("cqi-testkit intermediate {}", token()));
    let middle = Authority::signed_by(middle, KeyPair::generate()?, &root)?;

    let mut server = CertificateParams::new(hosts)?;
    server
        .distinguished_name
        .push(DnType::CommonName, "cqi-testkit server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut client = CertificateParams::default();
    client.distinguished_name.push(DnType::CommonName, user);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(Certificates {
        root: root.pem(),
        server: issue(&server, &middle)?,
        client: issue(&client, &middle)?,
    })
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Returns the chain without the root, and the key.
fn issue(params: &CertificateParams, issuer: &Authority) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem() + &issuer.pem(), key.serialize_pem()))
}
