//! The thread on which the brokers run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use cqi_errors::{Result, ResultExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::Connection;
use super::script::Script;
use super::state::State;
use super::turn::World;

/// Runs until it is dropped, whatever the test's own runtime and clock do.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) world: Arc<World>,
    pub(super) script: Arc<Mutex<Script>>,
    /// Rises with each cut.
    cuts: watch::Sender<u64>,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(count: usize, mut state: State) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("make a runtime for the scripted brokers")?;
        let mut listeners = BTreeMap::new();
        // Nothing blocks on the runtime here: the caller may be a task of another one.
        let entered = runtime.enter();
        for node in (1..).take(count) {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0))
                .and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                })
                .context("listen for a scripted broker")?;
            let address = listener.local_addr().context("ask for a broker's port")?;
            state.nodes.insert(node, address.port());
            listeners.insert(node, listener);
        }
        drop(entered);
        let world = Arc::new(World {
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
        });
        let script = Arc::new(Mutex::default());
        let cuts = watch::Sender::new(0);
        let (end, mut ended) = mpsc::channel(1);
        let (shared, orders) = ((Arc::clone(&world), Arc::clone(&script)), cuts.clone());
        let thread = thread::Builder::new()
            .name("cqi-testkit-kafka".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let mut acceptors = JoinSet::new();
                    for (node, listener) in listeners {
                        acceptors.spawn(accept(node, listener, shared.clone(), orders.clone()));
                    }
                    ended.recv().await;
                });
            })
            .context("start a thread for the scripted brokers")?;
        Ok(Self {
            world,
            script,
            cuts,
            end: Some(end),
            thread: Some(thread),
        })
    }

    pub(super) fn script<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(
    node: i32,
    listener: TcpListener,
    (world, script): (Arc<World>, Arc<Mutex<Script>>),
    cuts: watch::Sender<u64>,
) {
    let start = Instant::now();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of file descriptors, most likely; some may come free.
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    continue;
                };
                let number = script.lock().unwrap_or_else(PoisonError::into_inner).connection();
                let connection = Connection {
                    world: Arc::clone(&world),
                    script: Arc::clone(&script),
                    node,
                    number,
                    start,
                };
                connections.spawn(serve(connection, stream, cuts.subscribe()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(connection: Connection, stream: TcpStream, mut cuts: watch::Receiver<u64>) {
    tokio::select! {
        () = connection.run(stream) => {}
        _ = cuts.changed() => {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The thread ends with the channel, and closes all connections.
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
