//! Faults between a client and a Redis.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use cqi_testkit::{Proxy, Redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::redis::cli;

async fn start() -> (Redis, Proxy) {
    let redis = Redis::builder().private().start().await.unwrap();
    let proxy = Proxy::to((redis.host(), redis.port()))
        .start()
        .await
        .unwrap();
    (redis, proxy)
}

/// Sends a line and returns what comes until as many bytes are there or the connection ends.
async fn ask(stream: &mut TcpStream, line: &str, length: usize) -> (Vec<u8>, Option<ErrorKind>) {
    let mut reply = Vec::new();
    if let Err(error) = stream.write_all(line.as_bytes()).await {
        return (reply, Some(error.kind()));
    }
    while reply.len() < length {
        let read = timeout(Duration::from_secs(10), stream.read_buf(&mut reply));
        match read.await.unwrap() {
            Ok(0) => return (reply, None),
            Ok(_) => {}
            Err(error) => return (reply, Some(error.kind())),
        }
    }
    (reply, None)
}

#[tokio::test]
async fn a_url_leads_through_the_proxy() {
    let redis = Redis::builder().password("se cret").private().start();
    let redis = redis.await.unwrap();
    let proxy = Proxy::to((redis.host(), redis.port()))
        .start()
        .await
        .unwrap();
    let url = redis.url_through(&proxy);
    assert_eq!(
        url,
        format!("redis://default:se%20cret@127.0.0.1:{}", proxy.port())
    );
    assert_eq!(cli(&url, &["PING"]).unwrap(), "PONG");
    proxy.refuse();
    cli(&url, &["PING"]).unwrap_err();
    redis.command(["PING"]).await.unwrap();
}

#[tokio::test]
async fn a_reply_is_cut_in_its_midst() {
    let (redis, proxy) = start().await;
    redis
        .command(["SET", "key", &"x".repeat(1000)])
        .await
        .unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    proxy.cut_after(500);
    let (reply, _) = ask(&mut stream, "GET key\r\n", 1009).await;
    assert_eq!(reply.len(), 500);
    assert!(reply.starts_with(b"$1000\r\nxxx"));
}

#[tokio::test]
async fn a_slow_server_answers_late() {
    let (_redis, proxy) = start().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    proxy.delay(Duration::from_millis(500));
    let began = Instant::now();
    let (reply, _) = ask(&mut stream, "PING\r\n", 7).await;
    assert_eq!(reply, b"+PONG\r\n");
    let took = began.elapsed();
    assert!((1000..5000).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn a_thousand_cuts_leak_nothing() {
    let (redis, proxy) = start().await;
    let files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let mut before = (0, 0);
    for cycle in 0..1000 {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        let (reply, _) = ask(&mut stream, "PING\r\n", 7).await;
        assert_eq!(reply, b"+PONG\r\n", "{cycle}");
        if cycle == 100 {
            before = (files(), threads());
        }
        proxy.cut();
        let (reply, error) = ask(&mut stream, "PING\r\n", 7).await;
        assert!(reply.is_empty() && error.is_some(), "{cycle}: {error:?}");
    }
    let settled = async {
        while proxy.open_connections() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), settled).await.unwrap();
    assert_eq!(proxy.total_connections(), 1000);
    // Other tests of this process open and close files, a few at a time; leaks would be hundreds.
    let after = (files(), threads());
    assert!(
        after.0 < before.0 + 300 && after.1 < before.1 + 300,
        "{before:?} {after:?}"
    );
    let clients = async {
        while redis
            .command(["CLIENT", "LIST"])
            .await
            .unwrap()
            .text()
            .unwrap()
            .lines()
            .count()
            > 1
        {}
    };
    timeout(Duration::from_secs(10), clients).await.unwrap();
}
