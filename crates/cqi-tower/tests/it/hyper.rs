//! The layers on plain hyper, over HTTP/1 and HTTP/2.

use std::convert::Infallible;
use std::future::pending;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use cqi_tower::{Ending, ObserveLayer, RecoverLayer};
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::{Layer as _, service_fn};

use crate::recorder::{End, Recorder};
use crate::server::{Client, Server, VERSIONS, Version, request, serve};

type Chunk = Result<Bytes, std::io::Error>;

fn chunk() -> Chunk {
    Ok(Bytes::from_static(b"data: tick\n\n"))
}

/// Lets the server send what it has before the next step.
async fn flush<T>(step: T) -> T {
    tokio::task::yield_now().await;
    step
}

async fn handle(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::empty());
    *response.body_mut() = match request.uri().path() {
        // hyper leaves it to the handler to omit the body.
        "/hello" if request.method() == Method::HEAD => {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, 5.into());
            Body::empty()
        }
        "/hello" => Body::from("hello"),
        "/sized" => Body::new(Sized(true)),
        "/chunks" => Body::from_stream(stream::iter([chunk(), chunk()])),
        "/wait" => pending().await,
        "/ticks" => Body::from_stream(stream::iter([chunk()]).chain(stream::pending())),
        "/flood" => Body::from_stream(stream::repeat_with(|| {
            Chunk::Ok(Bytes::from_static(&[0; 16 * 1024]))
        })),
        "/panic" => panic!("the handler panicked"),
        "/panic-body" => Body::from_stream(stream::iter(0..3).then(flush).map(|step| {
            assert!(step < 1, "the body panicked");
            chunk()
        })),
        "/error-body" => {
            let error = Err(std::io::Error::other("disk gone"));
            Body::from_stream(stream::iter([chunk(), error]).then(flush))
        }
        "/upload" => {
            let size = match request.into_body().collect().await {
                Ok(body) => body.to_bytes().len(),
                Err(error) => panic!("a client that left is not asked: {error}"),
            };
            Body::from(size.to_string())
        }
        "/upgrade" => {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, "upgrade".parse().unwrap());
            headers.insert(header::UPGRADE, "echo".parse().unwrap());
            let upgraded = hyper::upgrade::on(request);
            #[expect(clippy::disallowed_methods, reason = "it ends with its client")]
            tokio::task::spawn(async move {
                let mut io = TokioIo::new(upgraded.await.unwrap());
                let mut byte = [0];
                while io.read_exact(&mut byte).await.is_ok() {
                    io.write_all(&byte).await.unwrap();
                }
            });
            Body::empty()
        }
        "/204" => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            Body::empty()
        }
        "/304" => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            Body::empty()
        }
        _ => {
            *response.status_mut() = StatusCode::NOT_FOUND;
            Body::from("nothing here")
        }
    };
    Ok(response)
}

/// A body that says how long it is, and not when it is over.
struct Sized(bool);

impl http_body::Body for Sized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = || Ok(Frame::data(Bytes::from_static(b"hello")));
        Poll::Ready(mem::take(&mut self.0).then(frame))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.0 { 5 } else { 0 })
    }
}

async fn start(version: Version) -> (Server, Client, Recorder) {
    let recorder = Recorder::new();
    let layers = (ObserveLayer::new(recorder.clone()), RecoverLayer::new());
    let server = serve(version, layers.layer(service_fn(handle))).await;
    let client = Client::connect(version, &server).await;
    (server, client, recorder)
}

async fn ended(recorder: &Recorder, count: usize) -> End {
    let ends = recorder.until_ended(count).await;
    assert_eq!((recorder.started(), ends.len()), (count, count));
    ends.into_iter().next_back().unwrap()
}

#[tokio::test]
async fn whole_responses_are_complete() {
    let cases = [
        ("GET", "/hello", 200, 5),
        ("GET", "/sized", 200, 5),
        ("GET", "/chunks", 200, 24),
        ("HEAD", "/hello", 200, 0),
        ("GET", "/204", 204, 0),
        ("GET", "/304", 304, 0),
        ("GET", "/nowhere", 404, 12),
        ("BREW", "/nowhere", 404, 12),
        ("GET", "/panic", 500, 0),
        ("HEAD", "/panic", 500, 0),
    ];
    for version in VERSIONS {
        let (_server, mut client, recorder) = start(version).await;
        for (count, (method, path, status, size)) in (1..).zip(cases) {
            // All on one connection: it survives the panic too.
            let response = client.send(request(method, path)).await.unwrap();
            assert_eq!(response.status(), status);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let end = ended(&recorder, count).await;
            assert_eq!(
                (end.ending, end.status),
                (Ending::Complete, status),
                "{path}"
            );
            assert_eq!((end.method.as_str(), end.path.as_str()), (method, path));
            if path == "/panic" {
                assert_eq!(end.response_size, body.len() as u64);
                let error = end.error.unwrap();
                assert_eq!(error, "panicked in the future: the handler panicked");
            } else {
                assert_eq!((body.len() as u64, end.response_size), (size, size));
            }
        }
        assert_eq!(client.get("/hello").await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_recognised_by_the_client() {
    for version in VERSIONS {
        for path in ["/error-body", "/panic-body"] {
            let (server, mut client, recorder) = start(version).await;
            let response = client.get(path).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(response.into_body().collect().await.is_err(), "{version:?}");
            let end = ended(&recorder, 1).await;
            assert_eq!((end.ending, end.status), (Ending::BodyError, 500), "{path}");
            assert_eq!(end.response_size, 12);

            // HTTP/2 resets one stream; HTTP/1 can only close the connection.
            let again = client.get("/hello").await;
            assert_eq!(again.is_ok(), version == Version::Http2, "{again:?}");
            let mut client = Client::connect(version, &server).await;
            assert_eq!(client.get("/hello").await.unwrap().status(), 200);
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_cancels() {
    for version in VERSIONS {
        let (_server, mut client, recorder) = start(version).await;
        tokio::select! {
            _ = client.get("/wait") => panic!("nobody answers"),
            () = recorder.until_started(1) => {}
        }
        drop(client);
        let end = recorder.until_ended(1).await.remove(0);
        assert_eq!(
            (end.ending, end.status),
            (Ending::Cancelled, 499),
            "{version:?}"
        );
        assert_eq!(end.head, None);
    }
}

#[tokio::test]
async fn a_client_that_leaves_amid_events_cancels() {
    for version in VERSIONS {
        for path in ["/ticks", "/flood"] {
            let (_server, mut client, recorder) = start(version).await;
            let mut body = client.get(path).await.unwrap().into_body();
            assert!(body.frame().await.unwrap().unwrap().is_data());
            drop((body, client));
            let end = ended(&recorder, 1).await;
            assert_eq!(
                (end.ending, end.status),
                (Ending::Cancelled, 200),
                "{version:?} {path}"
            );
            assert!(end.response_size >= 12);
        }
    }
}

#[tokio::test]
async fn a_reset_stream_cancels_and_leaves_its_neighbours_alone() {
    let (_server, mut client, recorder) = start(Version::Http2).await;
    tokio::select! {
        _ = client.get("/wait") => panic!("nobody answers"),
        () = recorder.until_started(1) => {}
    }
    // The dropped request was reset.
    let end = ended(&recorder, 1).await;
    assert_eq!(
        (end.ending, end.status, end.head),
        (Ending::Cancelled, 499, None)
    );

    let mut ticks = client.get("/ticks").await.unwrap().into_body();
    assert!(ticks.frame().await.unwrap().unwrap().is_data());
    let mut others = client.get("/ticks").await.unwrap().into_body();
    drop(ticks);
    let ends = recorder.until_ended(2).await;
    assert_eq!((ends[1].ending, ends[1].status), (Ending::Cancelled, 200));
    assert!(others.frame().await.unwrap().unwrap().is_data());
    assert_eq!(recorder.ends().len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_amid_its_upload_cancels() {
    for version in VERSIONS {
        let (_server, mut client, recorder) = start(version).await;
        let upload = stream::iter([chunk()]).chain(stream::pending());
        let mut request = request("POST", "/upload");
        *request.body_mut() = Body::from_stream(upload);
        tokio::select! {
            _ = client.send(request) => panic!("the upload is not over"),
            () = recorder.until_started(1) => {}
        }
        drop(client);
        let end = recorder.until_ended(1).await.remove(0);
        // The handler may see the broken upload before the server drops it.
        assert!(matches!(end.status, 499 | 500), "{end:#?}");
        assert_eq!(end.request_size, None);
    }
}

#[tokio::test]
async fn an_upgrade_is_complete_with_its_head() {
    let (_server, mut client, recorder) = start(Version::Http1).await;
    let mut request = request("GET", "/upgrade");
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, "upgrade".parse().unwrap());
    headers.insert(header::UPGRADE, "echo".parse().unwrap());
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 101);
    let end = ended(&recorder, 1).await;
    assert_eq!((end.ending, end.status), (Ending::Complete, 101));

    // The connection is the handler's now, and works.
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    io.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
    assert_eq!(recorder.ends().len(), 1);
}

#[tokio::test]
async fn uploads_are_counted_where_asked() {
    for version in VERSIONS {
        let recorder = Recorder::new();
        let layer = ObserveLayer::new(recorder.clone()).count_request_bodies();
        let count = service_fn(
            |request: Request<cqi_tower::CountedBody<Incoming>>| async move {
                let size = request
                    .into_body()
                    .collect()
                    .await
                    .unwrap()
                    .to_bytes()
                    .len();
                Ok::<_, Infallible>(Response::new(size.to_string()))
            },
        );
        let server = serve(version, layer.layer(count)).await;
        let mut client = Client::connect(version, &server).await;
        let mut request = request(Method::PUT.as_str(), "/upload");
        *request.body_mut() = Body::from_stream(stream::iter([chunk(), chunk()]));
        let response = client.send(request).await.unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "24"
        );
        assert_eq!(ended(&recorder, 1).await.request_size, Some(24));
    }
}

/// Not a storm, which is another suite's: some hundred clients that leave at any moment.
#[tokio::test]
async fn clients_that_hang_up_anywhere_leave_nothing_behind() {
    const CLIENTS: usize = 200;
    for version in VERSIONS {
        let (server, _, recorder) = start(version).await;
        let mut random = fastrand::Rng::with_seed(4);
        let mut sent = 0;
        for _ in 0..CLIENTS {
            let mut client = Client::connect(version, &server).await;
            let path = random.choice(["/hello", "/chunks", "/wait", "/ticks", "/flood"]);
            let patience = random.u32(0..12);
            let read = async {
                let mut body = client.get(path.unwrap()).await?.into_body();
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                hyper::Result::Ok(())
            };
            // Each yield lets client and server take some steps.
            let leave = async {
                for _ in 0..patience {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                _ = read => sent += 1,
                () = leave => {}
            }
        }
        assert!(sent > 0, "nobody stayed");
        // One more, which stays: what was under way on the way is through by then.
        let mut last = Client::connect(version, &server).await;
        let body = last.get("/hello").await.unwrap().into_body();
        body.collect().await.unwrap();
        recorder.until_all_ended().await;
        for end in recorder.ends() {
            assert!(
                matches!(end.ending, Ending::Complete | Ending::Cancelled),
                "{end:#?}"
            );
        }
    }
}
