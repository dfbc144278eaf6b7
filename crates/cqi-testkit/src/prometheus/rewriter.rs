//! An HTTP proxy that asks for the text format, whatever its client accepts.

use std::io::{ErrorKind, Result as IoResult};
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cqi_errors::{Result, ResultExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The most bytes of a request.
const HEAD: usize = 16 * 1024;

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(30);

const ACCEPT: &str = "text/plain;version=0.0.4";

/// The proxy, on a thread of its own: a test that blocks does not hold it up.
#[derive(Debug)]
pub(super) struct Rewriter {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Rewriter {
    pub(super) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("make a runtime for the proxy")?;
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .context("reserve a port for the proxy")?;
        let addr = listener
            .local_addr()
            .context("ask for the port of the proxy")?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("cqi-testkit-rewriter".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener) => {}
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_background();
            })
            .context("start a thread for the proxy")?;
        Ok(Self {
            addr,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Rewriter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(timeout(LIMIT, forward(client)));
    }
}

/// Forwards one request; the answer ends with the connection.
async fn forward(mut client: TcpStream) -> IoResult<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD || client.read_buf(&mut head).await? == 0 {
            return Err(ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let (authority, request) = rewrite(&head).ok_or(ErrorKind::InvalidData)?;
    let mut server = TcpStream::connect(authority).await?;
    server.write_all(request.as_bytes()).await?;
    copy(&mut server, &mut client).await?;
    client.shutdown().await
}

/// Returns whom to ask, and what.
fn rewrite(head: &str) -> Option<(&str, String)> {
    let mut lines = head.split("\r\n");
    let (method, rest) = lines.next()?.split_once(" http://")?;
    let (authority, path) = rest.split_once('/')?;
    let mut request = format!("{method} /{path}\r\nAccept: {ACCEPT}\r\nConnection: close\r\n");
    for line in lines {
        let name = line.split(':').next()?.to_ascii_lowercase();
        if !["accept", "connection"].contains(&name.as_str())
            && !name.starts_with("proxy-")
            && !line.is_empty()
        {
            request.push_str(line);
            request.push_str("\r\n");
        }
    }
    request.push_str("\r\n");
    Some((authority, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_rewritten() {
        let (authority, request) = rewrite(
            "GET http://127.0.0.1:80/metrics?a=b HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAccept: */*\r\n\
             Proxy-Connection: x\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n",
        )
        .unwrap();
        assert_eq!(authority, "127.0.0.1:80");
        assert_eq!(
            request,
            "GET /metrics?a=b HTTP/1.1\r\nAccept: text/plain;version=0.0.4\r\nConnection: close\r\n\
             Host: 127.0.0.1:80\r\nAccept-Encoding: gzip\r\n\r\n"
        );
        assert_eq!(rewrite("GET /metrics HTTP/1.1\r\n\r\n"), None);
    }
}
