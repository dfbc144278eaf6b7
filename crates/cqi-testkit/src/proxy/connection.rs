use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Counters, Mode, State};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// What is read at once, in one direction.
const CHUNK: usize = 16 * 1024;

/// One client's connection and the one to the server that belongs to it.
pub(super) struct Connection {
    target: Arc<(String, u16)>,
    state: watch::Receiver<State>,
    /// The number of cuts before this connection.
    cuts: u64,
    counters: Arc<Counters>,
}

impl Connection {
    pub(super) fn new(
        target: Arc<(String, u16)>,
        state: watch::Receiver<State>,
        counters: Arc<Counters>,
    ) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        let cuts = state.borrow().cuts;
        Self {
            target,
            state,
            cuts,
            counters,
        }
    }

    /// Forwards in both directions until both are closed, or the connection is cut.
    pub(super) async fn run(self, mut client: TcpStream) {
        let mut server = None;
        let relayed = tokio::select! {
            relayed = self.relay(&mut client, &mut server) => relayed,
            () = self.cut() => Err(io::ErrorKind::ConnectionReset.into()),
        };
        if relayed.is_err() {
            // Closed without a farewell: the peer sees a reset.
            for stream in [Some(client), server].into_iter().flatten() {
                let _ = stream.set_zero_linger();
            }
        }
    }

    async fn cut(&self) {
        let _ = self
            .state
            .clone()
            .wait_for(|state| state.cuts > self.cuts)
            .await;
    }

    async fn relay(
        &self,
        client: &mut TcpStream,
        server: &mut Option<TcpStream>,
    ) -> io::Result<()> {
        thawed(&mut self.state.clone()).await;
        let (host, port) = &*self.target;
        let connected = timeout(CONNECT, TcpStream::connect((host.as_str(), *port)));
        let server = server.insert(connected.await.map_err(io::Error::from)??);
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let to_server = Direction::new(&self.state, &self.counters.to_server, false);
        let to_client = Direction::new(&self.state, &self.counters.to_client, true);
        tokio::try_join!(
            to_server.forward(client_reads, server_writes),
            to_client.forward(server_reads, client_writes),
        )
        .map(drop)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One direction of a connection.
struct Direction<'a> {
    state: watch::Receiver<State>,
    counter: &'a AtomicU64,
    to_client: bool,
    /// Bytes forwarded since the mode was set, by the number of that change.
    passed: (u64, u64),
}

impl<'a> Direction<'a> {
    fn new(state: &watch::Receiver<State>, counter: &'a AtomicU64, to_client: bool) -> Self {
        Self {
            state: state.clone(),
            counter,
            to_client,
            passed: (0, 0),
        }
    }

    async fn forward(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = from.read(&mut buffer).await?;
            // The mode is looked at after the read: what is sent after a change is treated by it.
            let state = self.hold().await;
            if count == 0 {
                return to.shutdown().await;
            }
            let chunk = &mut buffer[..count];
            if state.mode == Mode::Corrupt && self.to_client {
                chunk.iter_mut().for_each(|byte| *byte = !*byte);
            }
            let (allowed, cut) = self.allow(state, count);
            to.write_all(&chunk[..allowed]).await?;
            self.counter.fetch_add(allowed as u64, Ordering::Relaxed);
            if cut {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }

    /// Waits for as long as the mode says, and returns the state that lets go.
    async fn hold(&mut self) -> State {
        let arrived = Instant::now();
        loop {
            let state = *self.state.borrow_and_update();
            match state.mode {
                Mode::Freeze => thawed(&mut self.state).await,
                Mode::Delay(delay) => tokio::select! {
                    () = sleep_until(arrived + delay) => return state,
                    _ = self.state.changed() => {}
                },
                Mode::Pass | Mode::CutAfter(_) | Mode::Corrupt => return state,
            }
        }
    }

    /// Returns how many of these bytes may go, and whether the connection ends with them.
    fn allow(&mut self, state: State, count: usize) -> (usize, bool) {
        let Mode::CutAfter(limit) = state.mode else {
            return (count, false);
        };
        if self.passed.0 != state.change {
            self.passed = (state.change, 0);
        }
        let left = limit.saturating_sub(self.passed.1);
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        self.passed.1 += allowed as u64;
        (allowed, self.passed.1 >= limit)
    }
}

/// Waits while the mode is to freeze.
async fn thawed(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|state| state.mode != Mode::Freeze).await;
}
