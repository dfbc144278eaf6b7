//! A TCP proxy whose faults a test switches on and off.

mod acceptor;
mod connection;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};

/// How long the proxy's thread may take to carry out a call.
const ANSWER: Duration = Duration::from_secs(5);

/// What the proxy does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Freeze,
    CutAfter(u64),
    Delay(Duration),
    Corrupt,
}

/// What each connection watches.
#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Rises with each change of the mode.
    change: u64,
    /// Rises with each cut.
    cuts: u64,
}

/// What the thread is told; it answers each when it is done.
#[derive(Debug)]
enum Command {
    /// Listen or not, and do this with bytes.
    Set {
        listen: bool,
        mode: Mode,
    },
    Cut,
}

type Order = (Command, SyncSender<std::io::Result<()>>);

#[derive(Debug, Default)]
struct Counters {
    open: AtomicU64,
    total: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

/// Says where a proxy leads; made by [`Proxy::to`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct ProxyBuilder {
    target: (String, u16),
    max_connections: usize,
}

impl ProxyBuilder {
    /// Sets how many connections may be open at once, 1,000 by default; one more is reset.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Starts the proxy on a free port of 127.0.0.1.
    ///
    /// It runs on a thread of its own: a test that blocks or pauses its clock does not hold it up.
    ///
    /// # Errors
    /// Those of the system, when it has no port, file descriptor or thread left.
    pub async fn start(self) -> Result<Proxy> {
        self.launch()
    }

    pub(crate) fn launch(self) -> Result<Proxy> {
        let reserved = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let reserved = reserved.context("reserve a port for the proxy")?;
        let addr = reserved
            .local_addr()
            .context("ask for the port of the proxy")?;
        let state = State {
            mode: Mode::Pass,
            change: 0,
            cuts: 0,
        };
        let (state, _) = watch::channel(state);
        let (orders, received) = mpsc::channel(1);
        let counters = Arc::new(Counters::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("make a runtime for the proxy")?;
        let acceptor = acceptor::Acceptor {
            reserved,
            addr,
            target: self.target.into(),
            max_connections: self.max_connections,
            state,
            counters: Arc::clone(&counters),
        };
        let thread = thread::Builder::new()
            .name("cqi-testkit-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(acceptor.run(received));
                // The search for a name that is still under way is not waited for.
                runtime.shutdown_background();
            })
            .context("start a thread for the proxy")?;
        let orders = Mutex::new(Some(orders));
        let proxy = Proxy {
            addr,
            orders,
            counters,
            thread: Some(thread),
        };
        proxy.order(Command::Set {
            listen: true,
            mode: Mode::Pass,
        })?;
        Ok(proxy)
    }
}

/// A TCP proxy on loopback that refuses, freezes, cuts, delays and corrupts at a test's word.
///
/// A mode counts for new and for existing connections and stays until the next; a call returns when
/// it is in force: no byte that is sent afterwards is treated as before.
///
/// # Panics
/// The calls that change the mode panic when the system does not let the proxy listen, which fails
/// the test at the right line.
#[derive(Debug)]
#[must_use = "the proxy ends when this is dropped"]
pub struct Proxy {
    addr: SocketAddr,
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Says which server the proxy leads to, by host and port.
    pub fn to((host, port): (impl Into<String>, u16)) -> ProxyBuilder {
        ProxyBuilder {
            target: (host.into(), port),
            max_connections: 1000,
        }
    }

    /// Returns the address to connect to instead of the server's.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the port to connect to, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Forwards everything, as in the beginning.
    pub fn pass(&self) {
        self.set(true, Mode::Pass);
    }

    /// Refuses new connections (ECONNREFUSED); the existing ones go on.
    ///
    /// The port stays reserved, so that the proxy comes back on it. Followed by
    /// [`cut`](Proxy::cut), it looks like a server that has died.
    pub fn refuse(&self) {
        self.set(false, Mode::Pass);
    }

    /// Accepts connections, and forwards nothing more in either direction; what it holds goes on
    /// when the mode changes.
    pub fn freeze(&self) {
        self.set(true, Mode::Freeze);
    }

    /// Resets all connections that are open now (ECONNRESET); the mode stays as it is.
    pub fn cut(&self) {
        self.demand(Command::Cut);
    }

    /// Resets each connection when this many bytes have gone through in one of its directions from
    /// now on, and these still arrive.
    pub fn cut_after(&self, bytes: u64) {
        self.set(true, Mode::CutAfter(bytes));
    }

    /// Holds what it reads for this long, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.set(true, Mode::Delay(delay));
    }

    /// Inverts every byte on its way from the server to the client.
    pub fn corrupt(&self) {
        self.set(true, Mode::Corrupt);
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.counters.open.load(Ordering::Relaxed)
    }

    /// Returns how many connections have been accepted since the start.
    #[must_use]
    pub fn total_connections(&self) -> u64 {
        self.counters.total.load(Ordering::Relaxed)
    }

    /// Returns how many bytes went to the server.
    #[must_use]
    pub fn bytes_to_server(&self) -> u64 {
        self.counters.to_server.load(Ordering::Relaxed)
    }

    /// Returns how many bytes went to clients.
    #[must_use]
    pub fn bytes_to_client(&self) -> u64 {
        self.counters.to_client.load(Ordering::Relaxed)
    }

    fn set(&self, listen: bool, mode: Mode) {
        self.demand(Command::Set { listen, mode });
    }

    #[expect(clippy::panic, reason = "a test whose proxy does not obey has failed")]
    fn demand(&self, command: Command) {
        if let Err(error) = self.order(command) {
            panic!("{error:#}");
        }
    }

    fn order(&self, command: Command) -> Result<()> {
        let (answer, answered) = sync_channel(1);
        {
            // One at a time, so that the queue of one has room.
            let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = orders
                .as_ref()
                .map(|orders| orders.try_send((command, answer)));
            if !matches!(sent, Some(Ok(()))) {
                return Err(Error::permanent("the proxy's thread has ended or is stuck"));
            }
            answered
                .recv_timeout(ANSWER)
                .map_err(|_| Error::timeout(format!("the proxy did not obey within {ANSWER:?}")))?
        }
        .with_context(|| format!("listen on {}", self.addr))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The thread ends with the channel, and closes all connections.
        drop(
            self.orders
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes a socket that shares its port with others of this user.
fn bind(addr: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
