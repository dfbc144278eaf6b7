//! Ten thousand clients that hang up whenever they like.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cqi_tower::Ending;
use fastrand::Rng;
use futures_util::future::join_all;
use futures_util::stream;
use http::Request;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::agreement;
use crate::grpc::frame;
use crate::recorder::{End, Recorder};
use crate::server::Servers;
use crate::telemetry::Telemetry;

const REQUESTS: usize = 10_000;
/// Some clients hang up before the head of their request is out.
const MOST_CLIENTS: u64 = 50_000;
const CONNECTIONS_AT_ONCE: usize = 200;
const STREAMS_PER_CONNECTION: u64 = 10;
const PATHS: [&str; 12] = [
    "/chunks/8",
    // More than a connection takes while nobody reads.
    "/chunks/9999",
    "/broken/2",
    "/endless",
    "/stuck",
    "/status/404",
    "/fail",
    "/panic",
    "/panic-in-body",
    "/nowhere",
    "/health",
    "/wait/300",
];
const METHODS: [&str; 7] = [
    "Echo", "Fail", "Stuck", "Panic", "Chunks", "Upload", "Nothing",
];

#[test]
fn each_of_ten_thousand_clients_that_hang_up_is_accounted_for() {
    let seed = std::env::var("CQI_TEST_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("again with CQI_TEST_SEED={seed}");
    let telemetry = Telemetry::start();
    telemetry.block_on(async {
        let servers = Servers::start(telemetry.layers()).await;
        storm(&telemetry.recorder, seed, servers.http, servers.grpc).await;
        servers.stop().await;
        strays().await;
        telemetry.rest().await;
    });
    agreement::check(&telemetry);
    let book = telemetry.recorder.book();
    for (ending, head) in [
        (Ending::Complete, true),
        (Ending::Cancelled, false),
        (Ending::Cancelled, true),
        (Ending::BodyError, true),
    ] {
        let alike = |end: &&End| end.ending == ending && (end.status != 499) == head;
        let count = book.ended.iter().filter(alike).count();
        assert!(count > 100, "only {count} are {ending:?}, head: {head}");
    }
}

/// Waits for the streams that outlive their connection: they are tasks of their own, and one that was not
/// polled yet is a request that has not begun.
async fn strays() {
    let tasks = tokio::runtime::Handle::current().metrics();
    let gone = async {
        while tasks.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let result = tokio::time::timeout(Duration::from_secs(10), gone).await;
    assert!(result.is_ok(), "{} tasks are left", tasks.num_alive_tasks());
}

async fn storm(recorder: &Recorder, seed: u64, http: SocketAddr, grpc: SocketAddr) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_AT_ONCE));
    let mut connections = JoinSet::new();
    let mut chance = Rng::with_seed(seed);
    let mut clients = 0;
    while recorder.book().started < REQUESTS {
        assert!(clients < MOST_CLIENTS, "too few get through");
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let chance = chance.fork();
        let first = clients;
        // What a client meets when it hangs up is its own affair.
        match first / STREAMS_PER_CONNECTION % 2 {
            0 => {
                connections.spawn(async move {
                    let _ = over_http1(http, first, chance).await;
                    drop(slot);
                });
                clients += 1;
            }
            _ => {
                let address = if clients / 20 % 2 == 0 { http } else { grpc };
                connections.spawn(async move {
                    let _ = over_http2(address, address == grpc, first, chance).await;
                    drop(slot);
                });
                clients += STREAMS_PER_CONNECTION;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    let end = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), end)
        .await
        .unwrap();
}

/// How long a client has patience.
fn patience(chance: &mut Rng) -> Duration {
    Duration::from_micros(chance.u64(100..5_000))
}

/// A request that is cut at a random byte, and a response that is read up to a random one.
async fn over_http1(address: SocketAddr, client: u64, mut chance: Rng) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let path = chance.choice(PATHS).unwrap_or_default();
    let mut request = match chance.u8(..4) {
        0 => format!(
            "POST /upload HTTP/1.1\r\nhost: storm\r\nx-request-id: storm-{client}\r\n\
             content-length: 2048\r\n\r\n{:2048}",
            "x"
        ),
        _ => format!("GET {path} HTTP/1.1\r\nhost: storm\r\nx-request-id: storm-{client}\r\n\r\n"),
    }
    .into_bytes();
    // hyper reads no further while a handler waits, so behind a request that never ends it would not
    // see that the client is gone.
    if chance.u8(..8) == 0 && path != "/stuck" {
        let next =
            format!("GET /chunks/1 HTTP/1.1\r\nhost: storm\r\nx-request-id: next-{client}\r\n\r\n");
        request.extend_from_slice(next.as_bytes());
    }
    if chance.u8(..4) == 0 {
        request.truncate(chance.usize(..request.len()));
    }
    if chance.u8(..4) == 0 {
        stream.set_zero_linger()?;
    }
    stream.write_all(&request).await?;
    let mut answer = vec![0; chance.usize(1..4096)];
    let read = stream.read_exact(&mut answer);
    let _ = tokio::time::timeout(patience(&mut chance), read).await;
    Ok(())
}

/// Streams that are reset one by one, on a connection that may be lost under them.
async fn over_http2(
    address: SocketAddr,
    grpc: bool,
    first: u64,
    mut chance: Rng,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let requests = join_all((first..first + STREAMS_PER_CONNECTION).map(|client| {
        let chance = chance.fork();
        let patience = patience(&mut chance.clone());
        tokio::time::timeout(patience, exchange(sender.clone(), grpc, client, chance))
    }));
    let lost = match chance.u8(..4) {
        0 => patience(&mut chance),
        _ => Duration::from_secs(5),
    };
    tokio::select! {
        _ = requests => {}
        _ = connection => {}
        () = tokio::time::sleep(lost) => {}
    }
    Ok(())
}

async fn exchange(
    mut sender: SendRequest<BoxBody<Bytes, io::Error>>,
    grpc: bool,
    client: u64,
    mut chance: Rng,
) -> hyper::Result<()> {
    let request = Request::builder().header("x-request-id", format!("storm-{client}"));
    let request = if grpc {
        let method = chance.choice(METHODS).unwrap_or_default();
        let path = format!("http://storm/test.Calls/{method}");
        let request = request.method("POST").uri(path);
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        match chance.u8(..3) {
            0 => request.header("grpc-timeout", format!("{}u", chance.u32(..5_000))),
            _ => request,
        }
        .body(upload(
            frame(&[chance.u8(..20)]),
            usize::from(method == "Upload") * 8,
            &mut chance,
        ))
    } else {
        match chance.choice(PATHS) {
            Some(path) if chance.u8(..4) > 0 => request
                .uri(format!("http://storm{path}"))
                .body(Full::default().map_err(|never| match never {}).boxed()),
            _ => request
                .method("POST")
                .uri("http://storm/upload")
                .body(upload(Bytes::from_static(&[b'x'; 256]), 8, &mut chance)),
        }
    };
    let mut response = sender.send_request(request.unwrap()).await?;
    for _ in 0..chance.u8(..16) {
        if response.body_mut().frame().await.transpose()?.is_none() {
            break;
        }
    }
    Ok(())
}

/// A body in pieces that may break off, and with it the stream.
fn upload(piece: Bytes, more: usize, chance: &mut Rng) -> BoxBody<Bytes, io::Error> {
    let breaks = chance.u8(..4) == 0;
    let last = chance.usize(..=more);
    let pieces = stream::unfold(0, move |sent| {
        let piece = piece.clone();
        async move {
            tokio::task::yield_now().await;
            match sent {
                _ if breaks && sent == last => Some((Err(io::Error::other("gave up")), usize::MAX)),
                _ if sent > more => None,
                _ => Some((Ok(Frame::data(piece)), sent + 1)),
            }
        }
    });
    BoxBody::new(StreamBody::new(Box::pin(pieces)))
}
