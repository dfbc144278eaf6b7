//! Ports that stay with their broker while it is down.

use cqi_errors::{Result, ResultExt};
use tokio::net::TcpSocket;

use crate::postgres::{bind, free_port};

/// Free ports for servers on loopback; nobody who looks for a free one takes them while this exists.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Bound, and not listening: on Linux a server listens beside such a socket.
    held: Vec<TcpSocket>,
}

impl Ports {
    pub(super) fn next(&mut self) -> Result<u16> {
        if !cfg!(target_os = "linux") {
            return free_port();
        }
        loop {
            let port = free_port()?;
            // Another process may have been faster to take it.
            if let Ok(socket) = bind(port) {
                // Only now: of two who try to bind without, one succeeds.
                let shared = socket.set_reuseaddr(true);
                shared.with_context(|| format!("share port {port}"))?;
                self.held.push(socket);
                return Ok(port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn no_port_is_given_out_twice() {
        let mut several = [Ports::default(), Ports::default()];
        let given = (0..1000).map(|index| several[index % 2].next().unwrap());
        let mut given = Vec::from_iter(given);
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 1000);
    }

    #[test]
    fn a_server_listens_on_its_port_again_and_again() {
        let mut ports = Ports::default();
        let port = ports.next().unwrap();
        for _ in 0..3 {
            bind(port).unwrap_err();
            let _server = TcpListener::bind(("127.0.0.1", port)).unwrap();
        }
        drop(ports);
        bind(port).unwrap();
    }
}
