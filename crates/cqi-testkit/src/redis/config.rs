//! The text of `redis.conf`.

use std::fmt::Write;

use cqi_errors::{Error, Result};

/// The server's socket, in its folder.
pub(super) const SOCKET: &str = "redis.sock";

/// What a server is started with.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) settings: Vec<(String, String)>,
    /// What a role in a group of servers needs, in the form of the file; the settings win over it.
    pub(super) role: String,
    /// Files beside it, by their names.
    pub(super) files: Vec<(&'static str, String)>,
    /// Whether the server is a sentinel.
    pub(super) sentinel: bool,
    pub(super) password: Option<String>,
    /// Names, passwords and rules.
    pub(super) users: Vec<(String, String, String)>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<super::tls::Tls>,
    #[cfg(feature = "tls")]
    pub(super) certificates: Option<crate::certificates::Certificates>,
}

impl Options {
    pub(super) fn encrypts(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Returns the file for a server on a port of loopback. Nothing is written to disk for keeps.
    pub(super) fn file(&self, port: u16) -> Result<String> {
        let mut file = format!(
            "bind 127.0.0.1\n\
             unixsocket {SOCKET}\n\
             unixsocketperm 700\n\
             save \"\"\n\
             appendonly no\n\
             loglevel notice\n"
        );
        let listen = if self.encrypts() {
            self.encryption(port)
        } else {
            format!("port {port}\n")
        };
        file.push_str(&listen);
        file.push_str(&self.role);
        if let Some(password) = &self.password {
            let _ = writeln!(file, "requirepass {}", quote(password));
        }
        for (name, password, rules) in &self.users {
            let password = quote(&format!(">{password}"));
            let _ = writeln!(file, "user {} on {password} {}", word(name)?, line(rules)?);
        }
        for (name, value) in &self.settings {
            let value = if value.is_empty() { "\"\"" } else { value };
            let _ = writeln!(file, "{} {}", word(name)?, line(value)?);
        }
        Ok(file)
    }

    #[cfg(feature = "tls")]
    fn encryption(&self, port: u16) -> String {
        let client = self.tls.as_ref().is_some_and(|tls| tls.client);
        format!(
            "port 0\n\
             tls-port {port}\n\
             tls-cert-file server.pem\n\
             tls-key-file server.key\n\
             tls-client-cert-file client.pem\n\
             tls-client-key-file client.key\n\
             tls-ca-cert-file ca.pem\n\
             tls-replication yes\n\
             tls-cluster yes\n\
             tls-auth-clients {}\n",
            if client { "yes" } else { "no" }
        )
    }

    #[cfg(not(feature = "tls"))]
    fn encryption(&self, _port: u16) -> String {
        String::new()
    }
}

/// Refuses what would begin another line of the file.
fn line(text: &str) -> Result<&str> {
    if text.contains(['\n', '\r', '\0']) {
        return Err(Error::invalid_input("setting", "holds a line break"));
    }
    Ok(text)
}

fn word(text: &str) -> Result<&str> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '\0') {
        return Err(Error::invalid_input(
            "name",
            "is empty or holds white space",
        ));
    }
    Ok(text)
}

/// Writes any text as one word of the file.
pub(super) fn quote(text: &str) -> String {
    let bytes = text.bytes().map(|byte| format!("\\x{byte:02x}"));
    format!("\"{}\"", bytes.collect::<String>())
}
