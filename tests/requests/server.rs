//! The services on real servers.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::grpc::Calls;
use crate::http_service;
use crate::telemetry::Layers;

/// axum's server and tonic's, on ports that the system chose.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

impl Servers {
    pub(crate) async fn start(layers: Layers) -> Self {
        Self::with_routes(layers, http_service::routes()).await
    }

    pub(crate) async fn with_routes(layers: Layers, routes: Router) -> Self {
        Self::with(layers, |_| routes, |_| Calls::default()).await
    }

    /// Starts services that know the addresses of each other: of the calls, and of the routes.
    pub(crate) async fn with(
        layers: Layers,
        routes: impl FnOnce(SocketAddr) -> Router,
        calls: impl FnOnce(SocketAddr) -> Calls,
    ) -> Self {
        let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (http_listener, grpc_listener) = (bind().await, bind().await);
        let http = http_listener.local_addr().unwrap();
        let grpc = grpc_listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(());
        let until = |mut stopped: watch::Receiver<()>| async move {
            let _ = stopped.changed().await;
        };
        let mut tasks = JoinSet::new();

        let routes = routes(grpc).layer(layers.clone());
        let prompt = |stream: &mut TcpStream| stream.set_nodelay(true).unwrap();
        let serve = axum::serve(http_listener.tap_io(prompt), routes)
            .with_graceful_shutdown(until(stopped.clone()));
        tasks.spawn(async move { serve.await.unwrap() });

        let incoming = TcpIncoming::from(grpc_listener).with_nodelay(Some(true));
        let serve = Server::builder()
            .layer(layers.0)
            .layer(layers.1)
            .add_service(calls(http))
            .serve_with_incoming_shutdown(incoming, until(stopped));
        tasks.spawn(async move { serve.await.unwrap() });

        Self {
            http,
            grpc,
            stop,
            tasks,
        }
    }

    /// Accepts no more and waits for the end of each connection.
    pub(crate) async fn stop(mut self) {
        drop(self.stop);
        let done = async { while self.tasks.join_next().await.is_some() {} };
        let result = tokio::time::timeout(Duration::from_secs(10), done).await;
        assert!(result.is_ok(), "a connection outlives its client");
    }
}
