use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Kind, Result};
use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::service::plain;
use crate::{Metrics, MetricsService};

/// How many connections are open at once; one more waits in the system's queue.
const CONNECTIONS: usize = 32;

/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may live: one request and its answer.
const CONNECTION: Duration = Duration::from_secs(30);

/// The most bytes of a request's head.
const HEAD_SIZE: usize = 16 * 1024;

/// How long scrapes that are under way may take at the end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long to wait when the system has no descriptor left for a connection.
const PAUSE: Duration = Duration::from_millis(100);

impl Metrics {
    /// Serves the metrics on `metrics.host`, `metrics.port` and `metrics.path`, and nothing else.
    ///
    /// Where `metrics.enabled` is false, nothing is served, and the handle works all the same.
    ///
    /// # Errors
    /// When the address cannot be listened on, with the address and its settings:
    /// [`Kind::Temporary`] where another process has it, [`Kind::Permanent`] where the system
    /// forbids it.
    ///
    /// # Panics
    /// Outside of a tokio runtime that has its I/O and its timer enabled.
    pub async fn serve(&self) -> Result<MetricsServer> {
        let config = self.config();
        if !config.enabled {
            return Ok(MetricsServer::default());
        }
        let addr = SocketAddr::new(config.host, config.port);
        let bound = match TcpListener::bind(addr).await {
            Ok(listener) => listener.local_addr().map(|addr| (listener, addr)),
            Err(error) => Err(error),
        };
        let (listener, local_addr) = bound.map_err(|error| cannot_listen(addr, error))?;
        let (stop, stopped) = watch::channel(());
        let endpoint = Endpoint {
            path: config.path.as_str().into(),
            service: self.service(),
        };
        Ok(MetricsServer {
            running: Some(Running {
                local_addr,
                stop,
                task: spawn(accept(listener, endpoint, stopped)),
            }),
        })
    }
}

fn cannot_listen(addr: SocketAddr, error: std::io::Error) -> Error {
    let message = format!(
        "cannot listen on {addr} for metrics (metrics.host and metrics.port; port 0 lets the system choose)"
    );
    Error::new(Kind::of(&error), message).with_source(error)
}

#[expect(clippy::disallowed_methods, reason = "the server joins or aborts it")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

/// The listener that [`Metrics::serve`] has started; it ends when this is dropped.
#[derive(Debug, Default)]
#[must_use = "the server ends when this is dropped"]
pub struct MetricsServer {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    local_addr: SocketAddr,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Returns the address that is listened on; none where `metrics.enabled` is false.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.running.as_ref().map(|running| running.local_addr)
    }

    /// Stops listening, and waits for the scrapes that are under way, 5 s at most.
    ///
    /// # Cancel safety
    /// When the future is dropped, everything ends at once.
    pub async fn shutdown(mut self) {
        if let Some(running) = &mut self.running {
            // Nobody listens where the task has ended already.
            let _ = running.stop.send(());
            let _ = timeout(SHUTDOWN, &mut running.task).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is served where.
#[derive(Clone, Debug)]
struct Endpoint {
    path: Arc<str>,
    service: MetricsService,
}

/// Takes connections until it is told to stop, then waits for those that are open.
async fn accept(listener: TcpListener, endpoint: Endpoint, mut stopped: watch::Receiver<()>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, stream) = tokio::select! {
            (slot, stream) = accepted => (slot, stream),
            Some(_) = connections.join_next() => continue,
            _ = stopped.changed() => break,
        };
        match stream {
            Ok((stream, _)) => {
                let connection = connection(stream, endpoint.clone(), stopped.clone());
                connections.spawn(async move {
                    let _slot = slot;
                    // Too slow a client is cut off.
                    let _ = timeout(CONNECTION, connection).await;
                });
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot accept a scraper's connection"
                );
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers one request: scrapes are rare, and a connection that ends cannot be held.
async fn connection(stream: TcpStream, endpoint: Endpoint, mut stopped: watch::Receiver<()>) {
    let service = service_fn(move |request: http::Request<_>| {
        let Endpoint { path, service } = endpoint.clone();
        async move {
            let (head, _body): (http::request::Parts, hyper::body::Incoming) = request.into_parts();
            if head.uri.path() != &*path {
                return Ok::<_, Infallible>(plain(
                    StatusCode::NOT_FOUND,
                    "metrics are elsewhere\n",
                ));
            }
            Ok(service.answer(head.method, head.headers).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE)
        .keep_alive(false)
        // Who has asked may say that it has no more to say.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // What goes wrong is the client's affair: it sees it.
    let _ = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}
