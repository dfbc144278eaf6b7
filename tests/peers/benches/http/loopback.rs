//! Requests over TCP: what the chain costs a server, beside all that a server does.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime;

use crate::child::Chain;
use crate::service::{HEADERS, TARGET};
use crate::stacks::Mode;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 40;
/// Per connection and round.
const REQUESTS: usize = 50;

/// Prints the processor time that servers take per request.
pub fn compare() {
    let names = ["bare", "cqi", "peers"];
    for (title, mode) in [
        ("64 connections, no access line", Mode::Quiet),
        ("64 connections, access line", Mode::Line),
        ("64 connections, sampled, access line", Mode::Sampled),
    ] {
        let mut servers: Vec<_> = names.iter().map(|name| Server::start(name, mode)).collect();
        let mut times = vec![Vec::with_capacity(ROUNDS); servers.len()];
        for server in &mut servers {
            server.round();
        }
        for _ in 0..ROUNDS {
            for (server, times) in servers.iter_mut().zip(&mut times) {
                times.push(server.round());
            }
        }
        println!(
            "\n{title:<40} {:>9} {:>9} {:>9}",
            "cpu ns", "ratio", "median"
        );
        for (name, own) in names.iter().zip(&times) {
            let total: f64 = own.iter().sum();
            let bare: f64 = times[0].iter().sum();
            let mut ratios: Vec<_> = own
                .iter()
                .zip(&times[0])
                .map(|(own, bare)| own / bare)
                .collect();
            ratios.sort_unstable_by(f64::total_cmp);
            println!(
                "{name:<40} {:>9.0} {:>8.2}x {:>8.2}x",
                total / ROUNDS as f64,
                total / bare,
                ratios[ROUNDS / 2]
            );
        }
    }
}

struct Server {
    chain: Chain,
    runtime: runtime::Runtime,
    connections: Vec<TcpStream>,
    request: String,
}

impl Server {
    fn start(name: &str, mode: Mode) -> Self {
        let mut chain = Chain::start(name, mode);
        let port = chain.serve();
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let connections = runtime.block_on(async {
            let mut connections = Vec::with_capacity(CONNECTIONS);
            for _ in 0..CONNECTIONS {
                let stream = TcpStream::connect(("127.0.0.1", port))
                    .await
                    .expect("a server");
                stream.set_nodelay(true).expect("TCP");
                connections.push(stream);
            }
            connections
        });
        let mut request = format!("GET {TARGET} HTTP/1.1\r\n");
        for (name, value) in HEADERS {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        request.push_str("\r\n");
        Self {
            chain,
            runtime,
            connections,
            request,
        }
    }

    /// Sends requests over all connections at once, and returns the nanoseconds that each took.
    fn round(&mut self) -> f64 {
        let before = self.chain.cpu_time();
        let request = self.request.as_bytes();
        let connections = &mut self.connections;
        self.runtime.block_on(async {
            let exchanges = connections
                .iter_mut()
                .map(|stream| exchange(stream, request));
            futures_util::future::join_all(exchanges).await;
        });
        let used = self.chain.cpu_time() - before;
        used as f64 / (CONNECTIONS * REQUESTS) as f64
    }
}

/// Sends one request after the other.
async fn exchange(stream: &mut TcpStream, request: &[u8]) {
    let mut buffer = [0; 2048];
    for _ in 0..REQUESTS {
        stream.write_all(request).await.expect("a connection");
        let mut read = 0;
        loop {
            let more = stream
                .read(&mut buffer[read..])
                .await
                .expect("a connection");
            assert!(more > 0, "the server hung up");
            read += more;
            // The body is an object without another in it.
            if buffer[..read].ends_with(b"}") {
                break;
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "the server refused");
    }
}
