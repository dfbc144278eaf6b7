//! The way to a connection that is ready for requests.

use std::net::SocketAddr;
use std::sync::Arc;

use cqi_errors::{Error, Kind, Result};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::buffers::BufferPool;
use super::channel::Channel;
use super::versions::Spoken;
use super::wait::Wait;
use super::{Connection, ConnectionSettings, Host, Inner, Session};

/// Opens connections, which have in common what they are opened with; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    settings: Arc<ConnectionSettings>,
    buffers: BufferPool,
}

impl Connector {
    pub(crate) fn new(settings: ConnectionSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            buffers: BufferPool::default(),
        }
    }

    /// Connects within the settings' connect timeout.
    pub(crate) async fn open(&self, host: &Host) -> Result<Connection> {
        let wait = Wait::new(self.settings.connect_timeout);
        let stream = dial(host, wait.deadline).await?;
        let Some(tls) = &self.settings.tls else {
            return self.over(stream, host, wait).await;
        };
        let stream = timeout_at(wait.deadline, tls.encrypt(host, stream)).await;
        let stream = stream.map_err(|_| {
            Error::timeout(format!(
                "kafka broker {host} did not finish the TLS handshake within {:?}: it is stuck, or \
                 this port is one for plaintext",
                wait.timeout
            ))
        })??;
        self.over(stream, host, wait).await
    }

    /// Negotiates versions, and says who the client is.
    pub(super) async fn over<S>(&self, stream: S, host: &Host, wait: Wait) -> Result<Connection>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let channel = Channel::start(stream, host.clone(), &self.settings, self.buffers.clone());
        let broker = channel.broker();
        let turn = channel.turn(ApiKey::ApiVersions, wait).await?;
        let spoken = Spoken::negotiate(&turn, broker).await?;
        let session = match &self.settings.sasl {
            Some(sasl) => {
                Some(Session::begin(&Arc::new(sasl.clone()), &turn, broker, &spoken).await?)
            }
            None => None,
        };
        drop(turn);
        Ok(Connection {
            inner: Arc::new(Inner {
                channel,
                spoken,
                session,
            }),
        })
    }
}

/// Connects to the first address of the host that answers.
async fn dial(host: &Host, deadline: Instant) -> Result<TcpStream> {
    let addresses = timeout_at(deadline, lookup_host((&*host.name, host.port))).await;
    let addresses = addresses
        .map_err(|_| {
            Error::timeout(format!(
                "cannot find the address of kafka broker {host} in time"
            ))
        })?
        .map_err(|error| {
            Error::temporary(format!("cannot find the address of kafka broker {host}"))
                .with_source(error)
        })?;
    let addresses: Vec<_> = addresses.collect();
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        // A silent address leaves time for those after it.
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, connect(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                let problem = format!("cannot connect to kafka broker {}", at(host, *address));
                last = Some(Error::new(retriable(&error), problem).with_source(error));
            }
            Err(_) => {
                last = Some(Error::timeout(format!(
                    "kafka broker {} did not accept a connection within {:.1?}",
                    at(host, *address),
                    share.saturating_duration_since(now)
                )));
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::temporary(format!("kafka broker {host} has no address"))))
}

/// The host with its address, if that says more.
fn at(host: &Host, address: SocketAddr) -> String {
    let (host, address) = (host.to_string(), address.to_string());
    match host == address {
        true => host,
        false => format!("{host} at {address}"),
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.connect(address).await
}

fn retriable(error: &std::io::Error) -> Kind {
    match Kind::of(error) {
        Kind::Unknown => Kind::Temporary,
        kind => kind,
    }
}
