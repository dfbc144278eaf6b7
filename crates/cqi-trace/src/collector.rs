//! How a batch of spans reaches the collector: OTLP over gRPC or HTTP.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use cqi_config::{OtlpProtocol, TracingConfig};
use cqi_errors::{Error, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use rustls::{ClientConfig, RootCertStore};
use tonic::body::Body;

mod grpc;
#[cfg(feature = "http")]
mod http_protobuf;

type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

const ENDPOINT: &str = "tracing.endpoint";

/// A connection is used every few seconds at most; what is between may forget it meanwhile.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The collector that spans are sent to.
pub(crate) struct Collector {
    protocol: Protocol,
    endpoint: Uri,
    headers: HeaderMap,
    connector: HttpsConnector<HttpConnector>,
    client: HttpClient,
}

#[derive(Clone, Copy)]
enum Protocol {
    Grpc,
    #[cfg(feature = "http")]
    HttpProtobuf,
}

/// Why a batch was not accepted.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) cause: String,
    /// How long to wait at least before the same batch may be accepted; `None` if it never is.
    pub(crate) retry_after: Option<Duration>,
}

/// What the collector said of a batch that it took.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The spans that it refused.
    pub(crate) rejected: u64,
    /// Why.
    pub(crate) cause: String,
}

impl Collector {
    pub(crate) fn new(config: &TracingConfig) -> Result<Self> {
        let protocol = protocol(config.protocol)?;
        let endpoint = endpoint(&config.endpoint, protocol)?;
        let connector = connector(endpoint.scheme_str() == Some("https"), protocol)?;
        Ok(Self {
            client: client(&connector, protocol),
            headers: headers(config)?,
            protocol,
            endpoint,
            connector,
        })
    }

    /// Sends an encoded `ExportTraceServiceRequest`.
    pub(crate) async fn send(&self, batch: Bytes) -> std::result::Result<Reply, Refusal> {
        match self.protocol {
            Protocol::Grpc => {
                let headers = self.headers.clone();
                grpc::send(self.client.clone(), &self.endpoint, headers, batch).await
            }
            #[cfg(feature = "http")]
            Protocol::HttpProtobuf => {
                let headers = self.headers.clone();
                http_protobuf::send(&self.client, &self.endpoint, headers, batch).await
            }
        }
    }

    /// Forgets the connection: one that does not answer may be dead, and HTTP/2 would go on using it.
    pub(crate) fn reconnect(&mut self) {
        self.client = client(&self.connector, self.protocol);
    }
}

impl From<ExportTraceServiceResponse> for Reply {
    fn from(response: ExportTraceServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        Self {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or_default(),
            cause: partial.error_message,
        }
    }
}

fn protocol(protocol: OtlpProtocol) -> Result<Protocol> {
    match protocol {
        OtlpProtocol::Grpc => Ok(Protocol::Grpc),
        #[cfg(feature = "http")]
        OtlpProtocol::Http => Ok(Protocol::HttpProtobuf),
        _ => Err(Error::invalid_input(
            "tracing.protocol",
            "http needs the feature `http` of cqi-trace, which this service was built without; \
             use grpc, on the collector's port 4317",
        )),
    }
}

fn endpoint(text: &str, protocol: Protocol) -> Result<Uri> {
    let wrong = |problem: &str| Error::invalid_input(ENDPOINT, problem.to_owned());
    let uri: Uri = text
        .parse()
        .map_err(|error| wrong("must be a URL such as http://localhost:4317").with_source(error))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    if !matches!(uri.scheme_str(), Some("http" | "https")) || !has_host {
        return Err(wrong("must be a URL such as http://localhost:4317"));
    }
    if authority.contains('@') {
        return Err(wrong(
            "must not carry a user or password: use tracing.headers",
        ));
    }
    if uri.query().is_some() {
        return Err(wrong("must not carry a query: use tracing.headers"));
    }
    match protocol {
        Protocol::Grpc if uri.path() != "/" => Err(wrong(
            "must not have a path with tracing.protocol grpc, such as http://localhost:4317",
        )),
        Protocol::Grpc => Ok(uri),
        #[cfg(feature = "http")]
        Protocol::HttpProtobuf => http_protobuf::endpoint(&uri)
            .map_err(|error| wrong("has a path that is of no use").with_source(error)),
    }
}

fn headers(config: &TracingConfig) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let agent = concat!("cqi-trace/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in &config.headers {
        let field = || format!("tracing.headers.{name}");
        let parsed = HeaderName::try_from(name.as_str())
            .map_err(|_| Error::invalid_input(field(), "is no name of a header"))?;
        // The cause would repeat nothing of the value, and neither does this.
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| {
            Error::invalid_input(field(), "has a value with characters no header may have")
        })?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// Makes what opens connections. The crypto provider is passed by hand: with two of them in one
/// program, rustls panics when asked for its default.
fn connector(encrypted: bool, protocol: Protocol) -> Result<HttpsConnector<HttpConnector>> {
    let roots = if encrypted {
        system_roots()?
    } else {
        RootCertStore::empty()
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::permanent("cannot set up TLS").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    let builder = if encrypted {
        builder.https_only()
    } else {
        builder.https_or_http()
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    // An export is one message and waits for its answer.
    http.set_nodelay(true);
    http.set_keepalive(Some(KEEP_ALIVE));
    Ok(match protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(http),
        #[cfg(feature = "http")]
        Protocol::HttpProtobuf => builder.enable_http1().wrap_connector(http),
    })
}

fn client(connector: &HttpsConnector<HttpConnector>, protocol: Protocol) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .http2_only(matches!(protocol, Protocol::Grpc))
        .build(connector.clone())
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = Error::invalid_input(
            ENDPOINT,
            "starts with https://, and the system has no certificate authorities to trust: on \
             Debian, install ca-certificates, or name a PEM file in SSL_CERT_FILE",
        );
        return Err(match found.errors.into_iter().next() {
            Some(cause) => error.with_source(cause),
            None => error,
        });
    }
    Ok(roots)
}

/// Writes an error with its causes.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
