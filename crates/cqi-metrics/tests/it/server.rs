use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cqi_config::MetricsConfig;
use cqi_errors::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::{ask, metrics, settings};

/// More than any wait here takes.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn metrics_are_served_in_the_format_asked_for() {
    let server = metrics(&settings()).serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    let (head, body) = ask(addr, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    assert!(head.contains("connection: close"), "{head}");
    assert!(!body.contains("# EOF"), "{body}");

    let request =
        "GET /metrics HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text\r\n\r\n";
    let (head, body) = ask(addr, request).await;
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");

    let (head, body) = ask(addr, &request.replace("GET", "HEAD")).await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && body.is_empty(),
        "{head}"
    );
    // How long exactly changes with every value.
    assert!(
        head.contains("content-length: ") && !head.contains("content-length: 0"),
        "{head}"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn anything_else_is_refused() {
    let server = metrics(&settings()).serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    for (request, status) in [
        (
            "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "405",
        ),
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404"),
        (
            "GET /metrics/ HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            "404",
        ),
        (
            "POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "404",
        ),
        ("GET /metrics?name=x HTTP/1.0\r\n\r\n".to_owned(), "200"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (
            format!(
                "GET /metrics HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
                "x".repeat(64 * 1024)
            ),
            "431",
        ),
        (
            format!(
                "GET /metrics HTTP/1.1\r\nhost: x\r\n{}\r\n",
                "x: y\r\n".repeat(200)
            ),
            "431",
        ),
    ] {
        // Before it has read all of a large head, it answers and closes: the rest may be refused.
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}"))
                || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{request:.60}: {answer}"
        );
        assert_eq!(
            status == "405",
            answer.contains("allow: GET, HEAD\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_body_is_not_read() {
    let server = metrics(&settings()).serve().await.unwrap();
    let mut stream = TcpStream::connect(server.local_addr().unwrap())
        .await
        .unwrap();
    let head = "GET /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 15];
    timeout(SOON, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    // Writing goes on until the connection is closed, which it is.
    let flood = async { while stream.write_all(&[0; 65_536]).await.is_ok() {} };
    timeout(SOON, flood).await.unwrap();
}

#[tokio::test]
async fn a_client_that_only_listens_is_answered() {
    let server = metrics(&settings()).serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    for version in ["1.0", "1.1"] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /metrics HTTP/{version}\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        timeout(SOON, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_told_with_its_settings() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = MetricsConfig {
        port: taken.local_addr().unwrap().port(),
        ..settings()
    };
    let error = metrics(&settings).serve().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
    let text = format!("{error:#}");
    for part in [
        &taken.local_addr().unwrap().to_string(),
        "metrics.host",
        "metrics.port",
        "in use",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // An address of nobody's machine.
    let settings = MetricsConfig {
        host: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        ..settings
    };
    let error = metrics(&settings).serve().await.unwrap_err();
    assert!(format!("{error:#}").contains("192.0.2.1:"), "{error:#}");
}

#[tokio::test]
async fn nothing_is_served_where_that_is_turned_off() {
    let settings = MetricsConfig {
        enabled: false,
        ..settings()
    };
    let server = metrics(&settings).serve().await.unwrap();
    assert_eq!(server.local_addr(), None);
    server.shutdown().await;
}

#[tokio::test]
async fn the_port_is_free_after_the_end() {
    for shut_down in [true, false] {
        let metrics = metrics(&settings());
        let server = metrics.serve().await.unwrap();
        let addr = server.local_addr().unwrap();
        // One that has asked for nothing holds nobody up.
        let idle = TcpStream::connect(addr).await.unwrap();
        ask(addr, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        if shut_down {
            timeout(Duration::from_secs(4), server.shutdown())
                .await
                .unwrap();
        } else {
            drop(server);
        }
        let refused = async {
            while TcpStream::connect(addr).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, refused).await.unwrap();
        drop(idle);
        // A service that is started again finds its port free.
        let again = crate::metrics(&MetricsConfig {
            port: addr.port(),
            ..settings()
        });
        drop(again.serve().await.unwrap());
    }
}
