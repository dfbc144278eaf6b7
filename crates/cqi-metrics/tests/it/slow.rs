//! Values that take their time to be read, and readers that take theirs.

use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use cqi_metrics::{Format, Metrics};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use crate::{ask, metrics, settings};

const REQUEST: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

/// More than any wait here takes.
const SOON: Duration = Duration::from_secs(20);

/// Adds a value that is read when it is let go; says when its reading begins.
fn held(metrics: &Metrics) -> (mpsc::Receiver<()>, SyncSender<f64>) {
    let (begin, begun) = mpsc::channel(10);
    let (release, released) = sync_channel(10);
    let released = Mutex::new(released);
    let gauge = metrics.gauge("test", "held").help("Waits.");
    gauge
        .observe(move || {
            begin.try_send(()).unwrap();
            released.lock().unwrap().recv().unwrap_or(f64::NAN)
        })
        .unwrap();
    (begun, release)
}

#[tokio::test]
async fn a_slow_value_holds_up_scrapes_and_nothing_else() {
    let metrics = metrics(&settings());
    let (mut begun, release) = held(&metrics);
    let server = metrics.serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    let first = ask(addr, REQUEST);
    let meanwhile = async {
        begun.recv().await.unwrap();
        // The runtime has one thread, and it is free.
        let (head, _) = ask(addr, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        // The second is read after the first.
        let second = ask(addr, REQUEST);
        let release = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(begun.try_recv().is_err());
            release.send(1.0).unwrap();
            begun.recv().await.unwrap();
            release.send(2.0).unwrap();
        };
        tokio::join!(second, release).0
    };
    let ((_, first), (_, second)) = timeout(SOON, async { tokio::join!(first, meanwhile) })
        .await
        .unwrap();
    assert!(
        first.contains("test_held 1\n") || first.contains("test_held 1.0\n"),
        "{first}"
    );
    assert!(
        second.contains("test_held 2\n") || second.contains("test_held 2.0\n"),
        "{second}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_that_takes_too_long_is_told() {
    let metrics = metrics(&settings());
    let (mut begun, release) = held(&metrics);
    let server = metrics.serve().await.unwrap();
    let later = async {
        begun.recv().await.unwrap();
        // The clock stands still on its own while something is read.
        tokio::time::advance(Duration::from_secs(11)).await;
    };
    let ((head, body), ()) = tokio::join!(ask(server.local_addr().unwrap(), REQUEST), later);
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(body.contains("too long"), "{body}");
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_hangs_leaves_the_others_to_later_scrapes() {
    let metrics = metrics(&settings());
    let (mut begun, release) = held(&metrics);
    release.send(7.0).unwrap();
    assert!(metrics.render(Format::Text).contains("test_held 7.0\n"));
    begun.recv().await.unwrap();
    let service = metrics.service();
    let scrape = || service.clone().oneshot(http::Request::new(()));
    let gives_up = async {
        begun.recv().await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    };
    // Its scraper goes away.
    tokio::select! {
        biased;
        _ = scrape() => panic!("the value was read"),
        () = gives_up => {}
    }
    for _ in 0..40 {
        let later = tokio::time::advance(Duration::from_secs(6));
        let (response, ()) = tokio::join!(scrape(), later);
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("test_held 7.0\n"), "{body}");
    }
    drop(release);
}

/// Adds 12 MB of metrics, more than sockets hold.
fn large(metrics: &Metrics) -> usize {
    let help = "x".repeat(1000);
    for number in 0..12_000 {
        metrics
            .gauge("test", &format!("n{number}"))
            .help(&help)
            .observe(|| 1.0)
            .unwrap();
    }
    metrics.render(Format::Text).len()
}

#[tokio::test(start_paused = true)]
async fn a_scraper_that_does_not_read_is_cut_off() {
    let metrics = metrics(&settings());
    let size = large(&metrics);
    let server = metrics.serve().await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.local_addr().unwrap()).await.unwrap();
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    // Its beginning is there: what is left is held back by whoever does not read.
    let mut start = [0; 15];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    tokio::time::sleep(Duration::from_secs(31)).await;
    // Else the clock would go on to whatever end while the rest is read.
    tokio::time::resume();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < size, "{} of {size}", rest.len());
}

#[tokio::test]
async fn a_scrape_under_way_is_finished_at_the_end() {
    let metrics = metrics(&settings());
    let (mut begun, release) = held(&metrics);
    let server = metrics.serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    let end = async {
        begun.recv().await.unwrap();
        let end = server.shutdown();
        let release = async { release.send(3.0).unwrap() };
        tokio::join!(end, release);
    };
    let ((head, body), ()) = timeout(SOON, async { tokio::join!(ask(addr, REQUEST), end) })
        .await
        .unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && body.contains("test_held 3"),
        "{head}{body}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_scrape_that_does_not_end_is_not_waited_for() {
    let metrics = metrics(&settings());
    let (mut begun, release) = held(&metrics);
    let server = metrics.serve().await.unwrap();
    let addr = server.local_addr().unwrap();
    let end = async {
        begun.recv().await.unwrap();
        let started = Instant::now();
        let later = tokio::time::advance(Duration::from_secs(6));
        tokio::join!(server.shutdown(), later);
        started.elapsed()
    };
    let ((head, _), waited) = tokio::join!(ask(addr, REQUEST), end);
    assert_eq!((head.as_str(), waited), ("", Duration::from_secs(6)));
    drop(release);
}
