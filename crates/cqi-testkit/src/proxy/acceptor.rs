use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, yield_now};

use super::{Command, Counters, Order, State, bind, connection};

/// How many connections the system keeps for a listener before they are accepted.
const BACKLOG: u32 = 1024;

/// The task that accepts connections and carries out orders.
pub(super) struct Acceptor {
    /// Bound and not listening: connections are refused, and nobody else gets the port.
    pub(super) reserved: TcpSocket,
    pub(super) addr: SocketAddr,
    pub(super) target: Arc<(String, u16)>,
    pub(super) max_connections: usize,
    pub(super) state: watch::Sender<State>,
    pub(super) counters: Arc<Counters>,
}

impl Acceptor {
    /// Runs until the channel of orders is closed.
    pub(super) async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let _reserved = &self.reserved;
        let mut listener = None;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((command, answer)) = order else { return };
                    let outcome = self.obey(command, &mut listener).await;
                    let _ = answer.send(outcome);
                }
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok(client) => self.serve(client, &mut connections),
                    // Out of file descriptors, most likely; some may come free.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn obey(&self, command: Command, listener: &mut Option<TcpListener>) -> io::Result<()> {
        match command {
            Command::Set { listen, mode } => {
                if !listen {
                    *listener = None;
                } else if listener.is_none() {
                    *listener = Some(bind(self.addr)?.listen(BACKLOG)?);
                }
                self.state.send_modify(|state| {
                    state.mode = mode;
                    state.change += 1;
                });
            }
            Command::Cut => {
                // Who has connected already is cut as well; a yield lets the system tell of them.
                yield_now().await;
                loop {
                    tokio::select! {
                        biased;
                        accepted = accept(listener.as_ref()) => {
                            self.counters.total.fetch_add(1, Ordering::Relaxed);
                            let _ = accepted?.set_zero_linger();
                        }
                        () = std::future::ready(()) => break,
                    }
                }
                self.state.send_modify(|state| state.cuts += 1);
            }
        }
        Ok(())
    }

    fn serve(&self, client: TcpStream, connections: &mut JoinSet<()>) {
        self.counters.total.fetch_add(1, Ordering::Relaxed);
        if connections.len() >= self.max_connections {
            let _ = client.set_zero_linger();
            return;
        }
        let connection = connection::Connection::new(
            Arc::clone(&self.target),
            self.state.subscribe(),
            Arc::clone(&self.counters),
        );
        connections.spawn(connection.run(client));
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(client, _)| client),
        None => pending().await,
    }
}
