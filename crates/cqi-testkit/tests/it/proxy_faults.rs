use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::proxy::{SOON, echo, exchange, open};

#[tokio::test]
async fn refuse_refuses_new_connections_and_keeps_the_port() {
    let proxy = echo().await;
    let mut existing = open(proxy.addr()).await;
    exchange(&mut existing, "a").await.unwrap();
    for _ in 0..20 {
        proxy.refuse();
        let error = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(exchange(&mut existing, "b").await.unwrap(), b"b");
        proxy.pass();
        let mut new = open(proxy.addr()).await;
        assert_eq!(exchange(&mut new, "c").await.unwrap(), b"c");
    }
}

#[tokio::test]
async fn freeze_holds_new_and_existing_connections() {
    let proxy = echo().await;
    let mut existing = open(proxy.addr()).await;
    exchange(&mut existing, "a").await.unwrap();
    proxy.freeze();
    let mut new = open(proxy.addr()).await;
    let before = proxy.bytes_to_server();
    for stream in [&mut existing, &mut new] {
        stream.write_all(b"b").await.unwrap();
        timeout(Duration::from_millis(100), stream.read_u8())
            .await
            .unwrap_err();
    }
    assert_eq!(proxy.bytes_to_server(), before);
    proxy.pass();
    for stream in [&mut existing, &mut new] {
        assert_eq!(
            timeout(SOON, stream.read_u8()).await.unwrap().unwrap(),
            b'b'
        );
    }
}

#[tokio::test]
async fn cut_resets_at_once_and_lets_new_connections_through() {
    let proxy = echo().await;
    // The last one is so new that the proxy may not have accepted it.
    for exchanged in [true, false] {
        let mut stream = open(proxy.addr()).await;
        if exchanged {
            exchange(&mut stream, "a").await.unwrap();
        }
        let began = Instant::now();
        proxy.cut();
        let error = timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(
            began.elapsed() < Duration::from_millis(500),
            "{:?}",
            began.elapsed()
        );
    }
    assert_eq!(
        exchange(&mut open(proxy.addr()).await, "b").await.unwrap(),
        b"b"
    );
}

#[tokio::test]
async fn cut_works_on_frozen_connections() {
    let proxy = echo().await;
    proxy.freeze();
    let mut stream = open(proxy.addr()).await;
    stream.write_all(b"a").await.unwrap();
    proxy.cut();
    let error = timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn cut_after_lets_so_many_bytes_through() {
    let proxy = echo().await;
    let mut stream = open(proxy.addr()).await;
    exchange(&mut stream, "what went before does not count")
        .await
        .unwrap();
    proxy.cut_after(5);
    assert_eq!(exchange(&mut stream, "abc").await.unwrap(), b"abc");
    stream.write_all(b"defg").await.unwrap();
    let mut rest = Vec::new();
    let error = timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(b"de".starts_with(&rest), "{rest:?}");
    assert_eq!(proxy.bytes_to_server(), 31 + 5);

    let mut new = open(proxy.addr()).await;
    assert_eq!(exchange(&mut new, "abcd").await.unwrap(), b"abcd");
    // Said again, it counts again.
    proxy.cut_after(5);
    assert_eq!(exchange(&mut new, "efgh").await.unwrap(), b"efgh");
}

#[tokio::test]
async fn delay_delays_both_directions_until_it_is_over() {
    let proxy = echo().await;
    let mut stream = open(proxy.addr()).await;
    exchange(&mut stream, "a").await.unwrap();
    let delay = Duration::from_millis(100);
    proxy.delay(delay);
    let began = Instant::now();
    assert_eq!(exchange(&mut stream, "b").await.unwrap(), b"b");
    assert!(began.elapsed() >= 2 * delay, "{:?}", began.elapsed());

    // What is held for long is let go by the next mode.
    proxy.delay(Duration::from_secs(3600));
    stream.write_all(b"c").await.unwrap();
    timeout(Duration::from_millis(50), stream.read_u8())
        .await
        .unwrap_err();
    proxy.pass();
    assert_eq!(
        timeout(SOON, stream.read_u8()).await.unwrap().unwrap(),
        b'c'
    );
}

#[tokio::test]
async fn corrupt_changes_what_the_server_says() {
    let proxy = echo().await;
    let mut stream = open(proxy.addr()).await;
    proxy.corrupt();
    assert_eq!(exchange(&mut stream, "ab").await.unwrap(), [!b'a', !b'b']);
    proxy.pass();
    assert_eq!(exchange(&mut stream, "ab").await.unwrap(), b"ab");
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections_and_its_port() {
    let proxy = echo().await;
    let addr = proxy.addr();
    let mut stream = open(addr).await;
    exchange(&mut stream, "a").await.unwrap();
    drop(proxy);
    let end = timeout(SOON, stream.read_u8()).await.unwrap();
    end.unwrap_err();
    assert_eq!(
        TcpStream::connect(addr).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}
