//! Requests made to break a line, a label, a header or the service itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use bytes::Bytes;
use cqi_errors::{Error, Kind};
use http::Version;
use http_body_util::{BodyExt as _, Empty, Full};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use crate::client::Client;
use crate::grpc::frame;
use crate::http_service::panic_quietly;
use crate::server::Servers;
use crate::telemetry::Telemetry;

const SECRET: &str = "s3cr3t";
const NAMES: [&str; 14] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "user-agent",
    "authorization",
    "content-type",
    "content-length",
    "grpc-timeout",
    "grpc-status",
    "grpc-message",
    "te",
    "upgrade",
    "x-whatever",
];
const VALUES: [&str; 16] = [
    "",
    "0",
    "18446744073709551616",
    "application/grpc",
    "application/grpc+proto",
    "99999999H",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future",
    "a=1,b=2,a=3",
    "\",\"level\":\"fatal\"}",
    "{\"message\":\"request\"}\t",
    "${jndi:ldap://evil}",
    "%0d%0aset-cookie:%20a=b",
];

/// What a request is made of, and what the handler does with it.
#[derive(Clone, Debug)]
struct Hostile {
    method: Method,
    uri: Uri,
    headers: Vec<(&'static str, HeaderValue)>,
    plan: Plan,
}

#[derive(Clone, Debug)]
enum Plan {
    Answer(StatusCode, Vec<(&'static str, HeaderValue)>),
    Fail(Kind, String),
    Break(String),
    Panic,
}

fn hostile() -> impl Strategy<Value = Hostile> {
    let method = prop_oneof![
        select(vec!["GET", "HEAD", "POST", "CONNECT", "OPTIONS"]).prop_map(str::to_owned),
        "[A-Za-z!#$%&'*+.^_`|~-]{1,300}",
    ];
    let method = method.prop_map(|method| Method::from_bytes(method.as_bytes()).unwrap());
    (method, uri(), headers(), plan()).prop_map(|(method, uri, headers, plan)| Hostile {
        method,
        uri,
        headers,
        plan,
    })
}

fn uri() -> impl Strategy<Value = Uri> {
    let path = prop_oneof![
        select(vec![
            "/known/1",
            "/health",
            "/pkg.Service/Method",
            "*",
            "/%0a%22"
        ])
        .prop_map(|path| path.as_bytes().to_vec()),
        vec(any::<u8>(), 0..1_000),
    ];
    path.prop_map(|path| {
        Uri::try_from(&path[..]).unwrap_or_else(|_| {
            let plain = |byte: &u8| match byte {
                b'/' | b'%' | b'"' | b'{' | b'}' | 0x80.. => *byte,
                _ if byte.is_ascii_alphanumeric() => *byte,
                _ => b'/',
            };
            let path: Vec<u8> = [b'/'].iter().chain(&path).map(plain).collect();
            Uri::try_from(&path[..]).unwrap_or_default()
        })
    })
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, HeaderValue)>> {
    let value = prop_oneof![
        select(VALUES.to_vec()).prop_map(|value| value.as_bytes().to_vec()),
        vec(any::<u8>(), 0..80),
        (any::<u8>(), 1..20_000_usize).prop_map(|(byte, times)| vec![byte; times]),
    ];
    // All that the type takes: no control characters but the tab.
    let value = value.prop_map(|mut bytes| {
        for byte in &mut bytes {
            *byte = if *byte == 127 || *byte < 32 {
                b'\t'
            } else {
                *byte
            };
        }
        HeaderValue::from_bytes(&bytes).unwrap()
    });
    vec((select(NAMES.to_vec()), value), 0..12)
}

fn plan() -> impl Strategy<Value = Plan> {
    let code = (100..1_000_u16).prop_map(|code| StatusCode::from_u16(code).unwrap());
    let kinds = [
        Kind::NotFound,
        Kind::InvalidInput,
        Kind::Temporary,
        Kind::Permanent,
        Kind::Cancelled,
    ];
    prop_oneof![
        4 => (code, headers()).prop_map(|(code, headers)| Plan::Answer(code, headers)),
        2 => (select(kinds.to_vec()), any::<String>()).prop_map(|(kind, text)| Plan::Fail(kind, text)),
        1 => any::<String>().prop_map(Plan::Break),
        1 => Just(Plan::Panic),
    ]
}

/// Does what the plan says, and logs what came.
async fn handle(request: Request<Body>) -> axum::response::Response {
    tracing::info!(uri = %request.uri(), "handling");
    match request.extensions().get::<Plan>().cloned() {
        Some(Plan::Answer(code, headers)) => {
            let mut response = Response::new(Body::from("answer"));
            *response.status_mut() = code;
            for (name, value) in headers {
                response.headers_mut().append(name, value);
            }
            response
        }
        Some(Plan::Fail(kind, text)) => Error::new(kind, text).into_response(),
        Some(Plan::Break(text)) => {
            let broken = futures_util::stream::iter([Err::<&str, _>(io::Error::other(text))]);
            Body::from_stream(broken).into_response()
        }
        Some(Plan::Panic) => panic_quietly("a \"bad\"\nhandler"),
        None => "no plan".into_response(),
    }
}

fn routes() -> Router {
    Router::new()
        .route("/known/{id}", axum::routing::any(handle))
        .fallback(handle)
}

#[test]
fn whatever_a_request_holds_it_has_one_plain_line() {
    let telemetry = Telemetry::start();
    let app = routes().layer(telemetry.layers());
    let config = Config {
        cases: 4_000,
        failure_persistence: None,
        ..Config::default()
    };
    let case = |hostile: Hostile| {
        telemetry.logs.clear();
        let mut request = Request::new(Body::from("question"));
        *request.method_mut() = hostile.method;
        *request.uri_mut() = hostile.uri;
        for (name, value) in hostile.headers {
            request.headers_mut().append(name, value);
        }
        let secret = HeaderValue::from_static(SECRET);
        request.headers_mut().append("authorization", secret);
        request.extensions_mut().insert(hostile.plan);
        let response = telemetry.block_on(async {
            let response = app.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let _ = body.collect().await;
            head
        });
        let ids = response.headers.get_all("x-request-id").iter();
        let ids: Vec<_> = ids.map(HeaderValue::as_bytes).collect();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        assert!(
            matches!(ids[..], [id] if (1..=64).contains(&id.len()) && id.iter().all(plain)),
            "{ids:?}"
        );
        judge(&telemetry, 1);
        Ok(())
    };
    TestRunner::new(config).run(&hostile(), case).unwrap();
}

/// Says whether all lines are plain, and how many of them end a request that is no probe.
fn judge(telemetry: &Telemetry, requests: usize) {
    let text = telemetry.logs.text();
    for line in text.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.len() < 16 * 1024, "{} bytes: {line:.999}", line.len());
    }
    assert!(text.is_empty() || text.ends_with('\n'));
    assert!(!text.contains(SECRET), "{text}");
    let book = telemetry.recorder.book();
    let latest = book.ended.iter().rev().take(requests);
    let probes = latest.filter(|end| end.quiet).count();
    assert_eq!(telemetry.access_lines().len(), requests - probes, "{text}");
}

#[test]
fn a_header_of_a_mebibyte_is_not_repeated() {
    let telemetry = Telemetry::start();
    let app = routes().layer(telemetry.layers());
    for name in [
        "x-request-id",
        "traceparent",
        "tracestate",
        "user-agent",
        "authorization",
    ] {
        let request = Request::builder()
            .uri("/known/1")
            .header(name, SECRET.repeat((1 << 20) / SECRET.len()))
            .header("x-other", "1")
            .body(Body::empty())
            .unwrap();
        telemetry.logs.clear();
        let response = telemetry.block_on(app.clone().oneshot(request)).unwrap();
        let headers: usize = response.headers().values().map(HeaderValue::len).sum();
        assert!(headers < 4_096, "{name}: {headers}");
        drop(response);
        let text = telemetry.logs.text();
        assert!(text.len() < 8_192, "{name}: {}", text.len());
    }
}

#[test]
fn thousands_of_headers_are_nothing_special() {
    let telemetry = Telemetry::start();
    let app = routes().layer(telemetry.layers());
    let mut request = Request::builder().uri("/known/1");
    for number in 0..10_000 {
        let name = HeaderName::try_from(format!("x-{number}")).unwrap();
        request = request.header(name, "1").header("x-request-id", "many");
    }
    let request = request.body(Body::empty()).unwrap();
    let response = telemetry.block_on(app.oneshot(request)).unwrap();
    let ids: Vec<_> = response.headers().get_all("x-request-id").iter().collect();
    assert!(ids.len() == 1 && ids[0] != "many", "{ids:?}");
}

#[test]
fn bytes_that_are_no_request_break_neither_lines_nor_the_service() {
    let telemetry = Telemetry::start();
    telemetry.block_on(async {
        let servers = Servers::with_routes(telemetry.layers(), routes()).await;
        let get = |header: &[u8]| {
            let head = b"GET /known/1 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n";
            [head, header, b"\r\n\r\n"].concat()
        };
        let many = |count: usize| "a: b\r\n".repeat(count).into_bytes();
        let status = |bytes: Vec<u8>| raw(servers.http, bytes);

        // The server refuses these by itself, and no service sees them.
        for refused in [
            get(b"x-request-id: a\0b"),
            get(b"x-request-id: a\x1b[31mb"),
            get(b"x-request-id: a\x7fb"),
            get(b"x-request-id: a\rb"),
            get(b"x-request-id: a\r\n b"),
            get(b"x-request-id a"),
            get(&[b"x-request-id: ", &[b'x'; 1 << 20][..]].concat()),
            get(&many(5_000)),
            b"GET /\x1b[31m HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        ] {
            let answer = status(refused).await;
            assert!(matches!(answer, None | Some(400 | 414 | 431)), "{answer:?}");
        }
        assert_eq!(telemetry.recorder.book().started, 0);

        for taken in [
            get(b"x-request-id: \xff\xfe\xfd"),
            get(b"x-request-id: \xe2\x80\xa8\xe2\x80\xae"),
            get(b"x-request-id: \t\t"),
            get(b"x-request-id: a\r\nx-request-id: b"),
            get(b"user-agent: \xc2\x9b31m\xff\"}\\n"),
            get(b"traceparent: 00-\xff"),
            get(
                b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
                  traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
            get(&many(90)),
            b"GET /\xff\xc2\x9b%1b%0a%00\"}{ HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
                .to_vec(),
            b"GET http://\xc3\xa9/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_vec(),
            b"CONNECT elsewhere:443 HTTP/1.1\r\nhost: h\r\n\r\n".to_vec(),
            b"OPTIONS * HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_vec(),
            b"!#$%&'*+-.^_`|~ / HTTP/1.0\r\n\r\n".to_vec(),
        ] {
            let shown = String::from_utf8_lossy(&taken).into_owned();
            let answer = status(taken).await;
            assert!(matches!(answer, Some(200 | 400)), "{answer:?} {shown:?}");
        }
        servers.stop().await;
        telemetry.rest().await;
    });
    let requests = telemetry.recorder.book().started;
    assert!(requests >= 9, "only {requests}");
    judge(&telemetry, requests);
}

#[test]
fn frames_that_are_no_calls_break_neither_lines_nor_the_service() {
    let telemetry = Telemetry::start();
    telemetry.block_on(async {
        let servers = Servers::with_routes(telemetry.layers(), routes()).await;
        let framed = frame(b"hello");
        let mut requests = Vec::new();
        for path in [
            "/test.Calls/Echo",
            "/",
            "/test.Calls",
            "//",
            "/a/b/c",
            "/test.Calls/%0a",
        ] {
            for body in [
                &framed[..],
                b"",
                b"\x01\xff\xff\xff\xff",
                b"\x00\x00\x00\x00",
                &[0xff; 64],
            ] {
                for timeout in ["1S", "99999999H", "999999999999S", "-1S", "0n", "\u{ff}"] {
                    requests.push((path, body.to_vec(), timeout));
                }
            }
        }
        for address in [servers.grpc, servers.http] {
            let mut client = Client::connect(address, Version::HTTP_2).await;
            for (path, body, timeout) in &requests {
                let request = Request::post(format!("http://service.test{path}"))
                    .header("content-type", "application/grpc+\"}\u{ff}")
                    .header("grpc-timeout", *timeout)
                    .header("traceparent", "00-\u{ff}")
                    .body(Full::new(Bytes::from(body.clone())).boxed())
                    .unwrap();
                let answer = async {
                    let _ = client.send(request).await.unwrap().collect().await;
                };
                tokio::time::timeout(Duration::from_secs(5), answer)
                    .await
                    .unwrap_or_else(|_| panic!("{path} {timeout} {body:?}"));
            }
        }

        let mut flood = Request::get("http://service.test/known/1");
        for number in 0..5_000 {
            flood = flood.header(format!("x-{number}"), "1");
        }
        let mut client = Client::connect(servers.http, Version::HTTP_2).await;
        if let Ok(answer) = client.send(flood.body(Empty::new().boxed()).unwrap()).await {
            assert_eq!(answer.status(), 431);
        }
        drop(client);
        servers.stop().await;
        telemetry.rest().await;
    });
    let requests = telemetry.recorder.book().started;
    assert_eq!(requests, 360);
    judge(&telemetry, requests);
}

/// Sends bytes and returns the status of the answer, if there is one.
async fn raw(address: SocketAddr, bytes: Vec<u8>) -> Option<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        // A server that has seen enough may close.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split(' ').nth(1)?.parse().ok()
    };
    tokio::time::timeout(Duration::from_secs(5), exchange)
        .await
        .unwrap()
}
