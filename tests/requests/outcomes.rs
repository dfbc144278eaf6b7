//! Each way in which a request can end: one line, one span and one count, which agree.

use std::time::Duration;

use cqi_tower::Ending;
use http::{Method, Request, Version};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::agreement;
use crate::client::{Body, Client, ask, call, get};
use crate::server::Servers;
use crate::telemetry::Telemetry;

/// A request, when its client hangs up, and what is to be told of it.
struct Case {
    request: Request<Body>,
    hang_up: HangUp,
    route: Option<&'static str>,
    status: u16,
    grpc: Option<&'static str>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
enum HangUp {
    Never,
    BeforeHead,
    AfterHead,
}
use HangUp::{AfterHead, BeforeHead, Never};

fn http(
    request: Request<Body>,
    hang_up: HangUp,
    route: &'static str,
    status: u16,
    ending: Ending,
) -> Case {
    Case {
        request,
        hang_up,
        route: Some(route).filter(|route| !route.is_empty()),
        status,
        grpc: None,
        ending,
    }
}

fn over_http() -> Vec<Case> {
    use Ending::{BodyError, Cancelled, Complete};
    let answer = "/status/{code}";
    vec![
        http(get("/status/200"), Never, answer, 200, Complete),
        http(get("/status/204?a=b"), Never, answer, 204, Complete),
        http(get("/status/304"), Never, answer, 304, Complete),
        http(get("/status/404"), Never, answer, 404, Complete),
        http(get("/status/503"), Never, answer, 503, Complete),
        http(get("/status/999"), Never, answer, 999, Complete),
        http(get("/nowhere"), Never, "", 404, Complete),
        http(
            ask(Method::DELETE, "/upload", ""),
            Never,
            "/upload",
            405,
            Complete,
        ),
        http(
            ask(Method::HEAD, "/status/200", ""),
            Never,
            answer,
            200,
            Complete,
        ),
        http(
            ask(Method::HEAD, "/chunks/3", ""),
            Never,
            "/chunks/{count}",
            200,
            Complete,
        ),
        http(
            ask(Method::POST, "/upload", vec![b'x'; 4096]),
            Never,
            "/upload",
            200,
            Complete,
        ),
        http(get("/chunks/3"), Never, "/chunks/{count}", 200, Complete),
        http(get("/missing"), Never, "/missing", 404, Complete),
        http(get("/fail"), Never, "/fail", 503, Complete),
        http(get("/panic"), Never, "/panic", 500, Complete),
        http(
            get("/panic-in-body"),
            Never,
            "/panic-in-body",
            500,
            BodyError,
        ),
        http(get("/broken/2"), Never, "/broken/{count}", 500, BodyError),
        http(get("/stuck"), BeforeHead, "/stuck", 499, Cancelled),
        http(get("/endless"), AfterHead, "/endless", 200, Cancelled),
        http(get("/health"), Never, "", 404, Complete),
    ]
}

fn over_grpc() -> Vec<Case> {
    let case = |request, hang_up, grpc, ending| Case {
        request,
        hang_up,
        route: None,
        status: if matches!(hang_up, BeforeHead) {
            499
        } else {
            200
        },
        grpc: Some(grpc),
        ending,
    };
    let names = [
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let failures = (1..).zip(names);
    let mut cases: Vec<_> = failures
        .map(|(code, name)| case(call("Fail", &[code]), Never, name, Ending::Complete))
        .collect();
    let mut hasty = call("Stuck", b"");
    hasty
        .headers_mut()
        .insert("grpc-timeout", "50m".parse().unwrap());
    let mut timeout = case(hasty, Never, "DEADLINE_EXCEEDED", Ending::Cancelled);
    timeout.status = 499;
    cases.extend([
        case(call("Echo", b"hello"), Never, "OK", Ending::Complete),
        case(call("Chunks", &[3]), Never, "OK", Ending::Complete),
        case(call("Upload", b"hello"), Never, "OK", Ending::Complete),
        case(
            call("Nothing", b""),
            Never,
            "UNIMPLEMENTED",
            Ending::Complete,
        ),
        case(call("Panic", b""), Never, "INTERNAL", Ending::Complete),
        case(
            call("Stuck", b""),
            BeforeHead,
            "CANCELLED",
            Ending::Cancelled,
        ),
        case(
            call("Endless", b""),
            AfterHead,
            "CANCELLED",
            Ending::Cancelled,
        ),
        timeout,
    ]);
    cases
}

#[test]
fn each_end_over_http1_is_told_alike() {
    over_http()
        .into_iter()
        .for_each(|case| tell(case, Version::HTTP_11));
}

#[test]
fn each_end_over_http2_is_told_alike() {
    over_http()
        .into_iter()
        .for_each(|case| tell(case, Version::HTTP_2));
}

#[test]
fn each_end_over_grpc_is_told_alike() {
    over_grpc()
        .into_iter()
        .for_each(|case| tell(case, Version::HTTP_2));
}

#[test]
fn an_upgrade_is_told_with_its_head_while_the_connection_lives_on() {
    let telemetry = Telemetry::start();
    telemetry.block_on(async {
        let servers = Servers::start(telemetry.layers()).await;
        let mut client = TcpStream::connect(servers.http).await.unwrap();
        let request =
            b"GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        telemetry.rest().await;
        agreement::check(&telemetry);

        client.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello");
        servers.stop().await;
    });
    let book = telemetry.recorder.book();
    assert_eq!(
        (book.ended[0].status, book.ended[0].ending),
        (101, Ending::Complete)
    );
}

fn tell(case: Case, version: Version) {
    let shown = format!(
        "{version:?} {} {}",
        case.request.method(),
        case.request.uri()
    );
    let telemetry = Telemetry::start();
    telemetry.block_on(async {
        let servers = Servers::start(telemetry.layers()).await;
        let address = if case.grpc.is_some() {
            servers.grpc
        } else {
            servers.http
        };
        let mut client = Client::connect(address, version).await;
        let exchange = async {
            match case.hang_up {
                BeforeHead => tokio::select! {
                    response = client.send(case.request) => panic!("{shown}: {response:?}"),
                    () = telemetry.logged("waiting for ever") => {}
                },
                AfterHead => drop(client.send(case.request).await.unwrap()),
                Never => {
                    let response = client.send(case.request).await.unwrap();
                    let _ = response.into_body().collect().await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), exchange)
            .await
            .unwrap();
        drop(client);
        servers.stop().await;
        telemetry.rest().await;
    });
    {
        let book = telemetry.recorder.book();
        let [end] = &book.ended[..] else {
            panic!("{shown}: {book:?}");
        };
        assert_eq!(
            end.route.as_deref().filter(|_| case.grpc.is_none()),
            case.route,
            "{shown}"
        );
        assert_eq!(
            (end.status, end.grpc, end.ending),
            (case.status, case.grpc, case.ending),
            "{shown}"
        );
    }
    agreement::check(&telemetry);
}
