use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use cqi_testkit::{Postgres, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::{connect, text};

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Starts a server that sends back what it gets, and a proxy to it.
#[expect(
    clippy::disallowed_methods,
    reason = "the server ends with the test's runtime"
)]
pub(crate) async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut reads, mut writes) = stream.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    Proxy::to(("127.0.0.1", port)).start().await.unwrap()
}

pub(crate) async fn open(addr: SocketAddr) -> TcpStream {
    timeout(SOON, TcpStream::connect(addr))
        .await
        .unwrap()
        .unwrap()
}

/// Sends a text and reads as many bytes.
pub(crate) async fn exchange(stream: &mut TcpStream, text: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    timeout(SOON, stream.read_exact(&mut answer))
        .await
        .unwrap()?;
    Ok(answer)
}

#[tokio::test]
async fn it_passes_a_real_protocol() {
    let database = Postgres::start().await.unwrap();
    let proxy = Proxy::to((database.host(), database.port()))
        .start()
        .await
        .unwrap();
    let client = connect(&database.url_through(&proxy)).await.unwrap();
    assert_eq!(
        text(&client, "SELECT repeat('x', 1000000)")
            .await
            .unwrap()
            .len(),
        1_000_000
    );
    assert!(proxy.bytes_to_client() > 1_000_000);
    proxy.cut();
    client.query_one("SELECT 1", &[]).await.unwrap_err();
}

#[tokio::test]
async fn it_counts() {
    let proxy = echo().await;
    let mut first = open(proxy.addr()).await;
    let mut second = open(proxy.addr()).await;
    exchange(&mut first, "hello").await.unwrap();
    exchange(&mut second, "hi").await.unwrap();
    assert_eq!(
        (proxy.open_connections(), proxy.total_connections()),
        (2, 2)
    );
    drop(first);
    timeout(SOON, async {
        while proxy.open_connections() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!((proxy.bytes_to_server(), proxy.bytes_to_client()), (7, 7));
    assert_eq!(proxy.total_connections(), 2);
}

#[tokio::test]
async fn it_keeps_half_closed_connections() {
    let proxy = echo().await;
    let mut stream = open(proxy.addr()).await;
    stream.write_all(b"all").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"all");
}

#[tokio::test]
async fn a_server_that_is_not_there_resets_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let proxy = Proxy::to(("127.0.0.1", port)).start().await.unwrap();
    // The system may tell of the reset before it tells of the connection.
    let read = async { TcpStream::connect(proxy.addr()).await?.read_u8().await };
    let error = timeout(SOON, read).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_flood_ends_in_bounded_time_and_leaves_the_proxy_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = ("127.0.0.1", listener.local_addr().unwrap().port());
    let proxy = Proxy::to(target).max_connections(50).start().await.unwrap();
    proxy.freeze();
    let began = Instant::now();
    let mut held = Vec::new();
    let mut reset = 0;
    for _ in 0..300 {
        // The system may tell of the reset before it tells of the connection.
        let Ok(mut stream) = TcpStream::connect(proxy.addr()).await else {
            reset += 1;
            continue;
        };
        let patience = if held.len() < 50 {
            Duration::ZERO
        } else {
            SOON
        };
        match timeout(patience, stream.read_u8()).await {
            Ok(_) => reset += 1,
            Err(_) => held.push(stream),
        }
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!((held.len(), reset), (50, 250));
    assert_eq!(
        (proxy.open_connections(), proxy.total_connections()),
        (50, 300)
    );
    proxy.cut();
    for mut stream in held {
        timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err();
    }
    drop(proxy);
}
