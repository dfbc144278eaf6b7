use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cqi_errors::{BoxError, Error, Result};
use futures_util::TryFutureExt;
use futures_util::future::MapOk;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::hosts::Peer;

/// Asks the server to cancel what runs on one connection, over TLS where the connection is.
#[derive(Clone)]
pub(crate) struct Canceller {
    pub(super) token: CancelToken,
    pub(super) peer: Peer,
    pub(super) tls: Option<(MakeRustlsConnect, Arc<str>)>,
    pub(super) bound: Duration,
    /// A request was sent that may still be on its way.
    pub(super) loose: Arc<AtomicBool>,
}

impl Canceller {
    /// Says whether an earlier request may still hit whatever runs next.
    pub(crate) fn is_loose(&self) -> bool {
        self.loose.load(Ordering::Relaxed)
    }

    /// Returns when the server has closed the connection that carried the request, since by then
    /// the signal is sent: it cannot hit a later query.
    pub(crate) async fn cancel(&self) -> Result<()> {
        let before = self.loose.swap(true, Ordering::Relaxed);
        let sent = timeout(self.bound, async {
            match &self.peer {
                Peer::Tcp(address) => self.send(TcpStream::connect(address).await?).await,
                Peer::Unix(path) => self.send(UnixStream::connect(path).await?).await,
            }
        });
        match sent.await {
            Ok(Ok(())) => {
                self.loose.store(before, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(error)) => {
                Err(Error::temporary("cannot send a cancel request").with_source(error))
            }
            Err(_) => Err(Error::timeout(format!(
                "cannot send a cancel request: no answer within {:?}",
                self.bound
            ))),
        }
    }

    async fn send<S>(&self, socket: S) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match self.tls.clone() {
            Some((mut tls, name)) => {
                let tls = MakeTlsConnect::<S>::make_tls_connect(&mut tls, &name)?;
                self.token.cancel_query_raw(socket, Patient(tls)).await?;
            }
            None => {
                let socket = UntilClosed(socket);
                self.token.cancel_query_raw(socket, NoTls).await?;
            }
        }
        Ok(())
    }
}

/// A stream whose shutdown lasts until the other side has closed, and closes nothing before:
/// PgBouncer forgets the request of a client that has left.
struct UntilClosed<S>(S);

/// Puts TLS under [`UntilClosed`], since its own shutdown begins with a farewell.
struct Patient<C>(C);

impl<S, C: TlsConnect<S>> TlsConnect<S> for Patient<C> {
    type Stream = UntilClosed<C::Stream>;
    type Error = C::Error;
    type Future = MapOk<C::Future, fn(C::Stream) -> UntilClosed<C::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        self.0.connect(stream).map_ok(UntilClosed)
    }
}

impl<S: TlsStream + Unpin> TlsStream for UntilClosed<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilClosed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 64];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => {}
                // A server that cancels says nothing, and does not say goodbye in TLS either.
                Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for UntilClosed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}
