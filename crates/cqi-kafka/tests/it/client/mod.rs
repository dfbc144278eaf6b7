//! A cluster is found, and found again.

mod bootstrap;
mod idle;
mod recovery;
mod scripted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqi_kafka::ClientSettings;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// How long brokers may take for what they do in the end.
const LONG: Duration = Duration::from_secs(60);

/// A port that refuses connections for as long as this lives.
struct Dead(TcpSocket);

impl Dead {
    fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

/// A port that accepts connections, to say nothing, for as long as this lives.
struct Silent(TcpListener);

impl Silent {
    async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

/// A port that leads to another, and later to yet another.
struct Moving {
    address: String,
    target: Arc<Mutex<String>>,
    _task: JoinSet<()>,
}

impl Moving {
    async fn bind(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = Arc::new(Mutex::new(target));
        let mut task = JoinSet::new();
        let now = Arc::clone(&target);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let target = now.lock().unwrap().clone();
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self {
            address,
            target,
            _task: task,
        }
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn lead_to(&self, target: String) {
        *self.target.lock().unwrap() = target;
    }
}

/// Settings with a connect timeout in milliseconds.
fn settings(bootstrap: impl IntoIterator<Item = String>, connect_timeout: u64) -> ClientSettings {
    let mut settings = ClientSettings::new(bootstrap);
    settings.connection.connect_timeout = Duration::from_millis(connect_timeout);
    settings
}
