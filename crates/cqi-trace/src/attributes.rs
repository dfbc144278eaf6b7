//! Attributes and names by OpenTelemetry's
//! [semantic conventions](https://opentelemetry.io/docs/specs/semconv/) 1.45.

use std::borrow::Cow;

use http::uri::Authority;
use http::{HeaderMap, Method, Uri, Version, header};
use opentelemetry::KeyValue;

/// The most bytes of what the other side chose freely.
const TEXT: usize = 256;
const PATH: usize = 1024;
const METHOD: usize = 32;

/// What stands for a name that is not known.
pub(crate) const OTHER: &str = "_OTHER";

/// The attributes of one span.
#[derive(Default)]
pub(crate) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(16))
    }

    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    /// Sets a number that fits, which those of sizes always do.
    pub(crate) fn set_size(&mut self, name: &'static str, size: u64) {
        self.set(name, i64::try_from(size).unwrap_or(i64::MAX));
    }

    /// Sets the method of a request, as far as it is one of the standards'.
    pub(crate) fn set_method(&mut self, method: &Method) {
        match known(method) {
            Some(known) => self.set("http.request.method", known),
            None => {
                self.set("http.request.method", OTHER);
                self.set(
                    "http.request.method_original",
                    bounded(method.as_str(), METHOD),
                );
            }
        }
    }

    pub(crate) fn set_path(&mut self, path: &str) {
        self.set("url.path", bounded(path, PATH));
    }

    pub(crate) fn set_version(&mut self, version: Version) {
        let text = match version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_11 => "1.1",
            Version::HTTP_2 => "2",
            Version::HTTP_3 => "3",
            _ => return,
        };
        self.set("network.protocol.version", text);
    }

    /// Sets the method of a gRPC call; `None` where it is not known, and what was asked for then.
    pub(crate) fn set_grpc_method(&mut self, known: Option<&str>, path: &str) {
        self.set("rpc.system.name", "grpc");
        match known {
            Some(name) => self.set("rpc.method", bounded(name, TEXT)),
            None => {
                self.set("rpc.method", OTHER);
                let asked = path.strip_prefix('/').unwrap_or(path);
                self.set("rpc.method_original", bounded(asked, TEXT));
            }
        }
    }

    pub(crate) fn set_host(&mut self, host: Host) {
        self.set("server.address", host.address);
        if let Some(port) = host.port {
            self.set("server.port", i64::from(port));
        }
    }

    pub(crate) fn set_user_agent(&mut self, agent: &[u8]) {
        let agent = String::from_utf8_lossy(&agent[..agent.len().min(TEXT)]);
        self.set("user_agent.original", agent.into_owned());
    }
}

impl IntoIterator for Attributes {
    type Item = KeyValue;
    type IntoIter = std::vec::IntoIter<KeyValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Who is asked, as far as a request says.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) address: Cow<'static, str>,
    pub(crate) port: Option<u16>,
}

impl Host {
    /// Finds the host in the target of a request, or in its `host` header; a user name and password
    /// stay out.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        if let Some(authority) = uri.authority() {
            return Some(Self::new(authority));
        }
        let host = headers.get(header::HOST)?.as_bytes();
        let authority = Authority::try_from(host).ok()?;
        Some(Self::new(&authority))
    }

    /// Adds the port that a scheme stands for, where none is named.
    pub(crate) fn or_port_of(self, uri: &Uri) -> Self {
        let implied = match uri.scheme_str() {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        };
        Self {
            port: self.port.or(implied),
            ..self
        }
    }

    fn new(authority: &Authority) -> Self {
        let host = authority.host();
        let plain = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Self {
            address: bounded(plain.unwrap_or(host), TEXT).into(),
            port: authority.port_u16(),
        }
    }
}

/// Names the span of an HTTP request: by its route where there is one, never by its path.
pub(crate) fn http_name(method: &Method, route: Option<&str>) -> Cow<'static, str> {
    let method = known(method).unwrap_or("HTTP");
    match route {
        Some(route) => format!("{method} {route}").into(),
        None => method.into(),
    }
}

/// Names the span of a gRPC call.
pub(crate) fn grpc_name(known: Option<&str>) -> Cow<'static, str> {
    known.map_or("grpc".into(), |name| bounded(name, TEXT).into())
}

fn known(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 10] = [
        "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY",
    ];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}

fn bounded(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}
