//! What tonic's client makes of connections that break, on real sockets.

use std::time::Duration;

use cqi_errors::{Error, Kind};
use http::Request;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::{Service, ServiceExt};

async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endpoint = Endpoint::from_shared(url).unwrap();
    (listener, endpoint)
}

/// Makes a call that fails, as tonic's generated clients do.
async fn call(endpoint: Endpoint) -> Error {
    let url = format!("{}pkg.Service/Method", endpoint.uri());
    let request = Request::post(url)
        .header("content-type", "application/grpc")
        .body(Body::empty())
        .unwrap();
    let mut channel = endpoint.connect_lazy();
    let result = async { channel.ready().await?.call(request).await };
    let error = tokio::time::timeout(Duration::from_secs(10), result)
        .await
        .unwrap()
        .unwrap_err();
    let status = Status::from_error(error.into());
    let kind = Kind::of(&status);
    let error = Error::from(status);
    assert_eq!(error.kind(), kind);
    error
}

#[tokio::test]
async fn a_refused_connection_is_temporary() {
    // Bound but not listening: the port refuses, and nobody else can take it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let error = call(Endpoint::from_shared(url).unwrap()).await;
    assert_eq!(error.kind(), Kind::Temporary);
    assert!(
        format!("{error:#}").contains("Connection refused"),
        "{error:#}"
    );
}

#[tokio::test]
async fn a_frozen_server_is_a_timeout() {
    let (_never_accepts, endpoint) = listen().await;
    let error = call(endpoint.timeout(Duration::from_millis(50))).await;
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(error.public_message(), "the service did not answer in time");
}

#[tokio::test]
async fn a_connection_lost_under_a_call_is_temporary() {
    let (listener, endpoint) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        drop((stream, listener));
    };
    let (error, ()) = tokio::join!(call(endpoint), server);
    assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
    assert_eq!(
        error.public_message(),
        "the service is temporarily unavailable"
    );
}
