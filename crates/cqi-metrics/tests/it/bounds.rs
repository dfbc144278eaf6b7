//! What a scraper can do to the listener. The clock is paused: tokio moves it on when all wait.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::{ask, metrics, settings};

const REQUEST: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

/// Reads until the connection is closed, in whichever way.
async fn end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let server = metrics(&settings()).serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    for part in ["", "GET /metrics HTTP/1.1\r\nx: "] {
        let started = Instant::now();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        end(&mut stream).await;
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(6), "{part}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_not_waited_for() {
    let server = metrics(&settings()).serve().await.unwrap();
    let stream = TcpStream::connect(server.local_addr().unwrap())
        .await
        .unwrap();
    let started = Instant::now();
    let (mut answer, mut head) = stream.into_split();
    let trickle = async {
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        while head.write_all(b"a: b\r\n").await.is_ok() {
            beat.tick().await;
        }
    };
    tokio::select! {
        () = trickle => {}
        _ = answer.read_u8() => {}
    }
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(7), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_connections_leave_room_after_a_while() {
    let server = metrics(&settings()).serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    let started = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..96 {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let (head, _) = ask(addr, REQUEST).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    // 32 at a time, 5 s each.
    let waited = started.elapsed();
    assert!(
        (Duration::from_secs(15)..Duration::from_secs(17)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_is_sent_away_at_the_end() {
    let server = metrics(&settings()).serve().await.unwrap();
    let mut stream = TcpStream::connect(server.local_addr().unwrap())
        .await
        .unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\n")
        .await
        .unwrap();
    // Once another is answered, this one has been accepted.
    ask(server.local_addr().unwrap(), REQUEST).await;
    let started = Instant::now();
    server.shutdown().await;
    assert!(
        started.elapsed() <= Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    end(&mut stream).await;
    assert!(
        started.elapsed() <= Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
}
