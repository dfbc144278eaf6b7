//! The short way to a server for the calls that come in thousands: gets and sets of one value.
//!
//! Fred finds the server, and does all else. What the lane cannot do, or not now, goes through fred as
//! well, so that what a caller is promised rests on one path; the lane only takes a third of the CPU
//! and twice the load. Callers encode their commands into one buffer; one task writes it whenever the
//! socket is free, and hands out the answers.

mod driver;
mod queue;
mod resp;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fred::types::config::TlsConnector;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub(super) use self::driver::Ended;
pub(super) use self::queue::{Answer, Queue, Refused};
pub(super) use self::resp::Reply;
use self::resp::{Decimal, Parsed};
use super::error;
use super::hosts::Host;
use super::settings::Settings;

/// How often it is tried whether the server answers, so that nothing on the way takes the connection
/// for unused, and a lost one is not first noticed by callers.
const IDLE: Duration = Duration::from_secs(10);

/// One connection, which ends when a call gets no answer in time or when the server makes no sense.
#[derive(Debug)]
pub(super) struct Lane {
    queue: Arc<Queue>,
    /// One task, aborted when this is dropped.
    driver: JoinSet<Ended>,
}

impl Lane {
    /// Connects and logs in, within `cache.connect_timeout`; takes no value longer than said.
    pub(super) async fn open(host: &Host, settings: &Settings, longest: usize) -> io::Result<Self> {
        let open = async {
            let stream = TcpStream::connect((host.name.as_str(), host.port)).await?;
            // The task writes in batches by itself.
            stream.set_nodelay(true)?;
            let Some(TlsConnector::Rustls(tls)) = settings.tls_connector() else {
                return Self::start(stream, settings, longest).await;
            };
            let name = ServerName::try_from(host.name.clone()).map_err(io::Error::other)?;
            let stream = tls.connect(name, stream).await?;
            Self::start(stream, settings, longest).await
        };
        timeout(settings.connect_timeout, open).await?
    }

    async fn start<S>(mut stream: S, settings: &Settings, longest: usize) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        log_in(&mut stream, settings).await?;
        let queue = Arc::new(Queue::new());
        let patience = settings.command_timeout;
        let mut driver = JoinSet::new();
        driver.spawn(driver::drive(stream, Arc::clone(&queue), patience, longest));
        Ok(Self { queue, driver })
    }

    /// What callers use.
    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Returns why the lane ended, when it does.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            match timeout(IDLE, self.driver.join_next()).await {
                Ok(Some(Ok(ended))) => return ended,
                Ok(Some(Err(error))) => return Ended::Lost(io::Error::other(error)),
                Ok(None) => std::future::pending().await,
                // The driver waits for its answer.
                Err(_) => drop(self.queue.ping()),
            }
        }
    }

    /// Lets what is in flight end, within a time.
    pub(super) async fn close(self, bound: Duration) {
        let begin = Instant::now();
        while self.queue.oldest().is_some() && begin.elapsed() < bound {
            sleep(Duration::from_millis(1)).await;
        }
        self.end().await;
    }

    /// Ends at once; what is in flight goes elsewhere.
    pub(super) async fn end(mut self) {
        self.driver.shutdown().await;
    }
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    settings: &Settings,
) -> io::Result<()> {
    let mut output = Vec::new();
    let mut answers = 1;
    if let Some(password) = settings.password() {
        let password = password.as_bytes();
        match settings.username() {
            Some(user) => resp::command(&mut output, &[b"AUTH", user.as_bytes(), password]),
            None => resp::command(&mut output, &[b"AUTH", password]),
        }
        answers += 1;
    }
    if settings.database != 0 {
        let number = Decimal::new(settings.database.into());
        resp::command(&mut output, &[b"SELECT", number.as_bytes()]);
        answers += 1;
    }
    resp::command(&mut output, &[b"PING"]);
    stream.write_all(&output).await?;
    stream.flush().await?;
    let mut input = BytesMut::new();
    while answers > 0 {
        match resp::parse(&mut input, 0) {
            Parsed::Reply(Reply::Text) => answers -= 1,
            Parsed::Needs(_) => {
                if stream.read_buf(&mut input).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Parsed::Reply(Reply::Error(line)) => {
                let line = String::from_utf8_lossy(&line);
                return Err(io::Error::other(error::discreet(&line)));
            }
            _ => return Err(io::Error::other("not an answer of redis")),
        }
    }
    Ok(())
}
