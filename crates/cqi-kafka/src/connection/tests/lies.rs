//! Brokers that lie: whatever one sends, each request ends, in time, and the memory is bounded.

use std::future::Future;
use std::time::Duration;

use allocation_counter::measure;
use bytes::{BufMut, Bytes, BytesMut};
use cqi_errors::{Error, Kind, Result};
use fastrand::Rng;
use kafka_protocol::messages::{
    ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse, ResponseHeader, api_versions_response,
};
use kafka_protocol::protocol::Encodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::{TIMEOUT, host};
use crate::connection::wait::Wait;
use crate::connection::{Connection, ConnectionSettings};
use crate::wire::HeartbeatAnswer;

const LIMIT: usize = 1 << 20;

/// Connects to a broker that tells its versions and then does as the script says.
async fn connect<L, F>(script: L) -> Connection
where
    L: FnOnce(Liar) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (ours, theirs) = duplex(1 << 16);
    tokio::spawn(async move {
        let mut liar = Liar(theirs);
        let id = liar.asked().await;
        let heartbeat = api_versions_response::ApiVersion::default()
            .with_api_key(12)
            .with_max_version(4);
        let versions = ApiVersionsResponse::default().with_api_keys(vec![heartbeat]);
        liar.say(&answer(id, 0, |body| versions.encode(body, 3)))
            .await;
        script(liar).await;
    });
    let settings = ConnectionSettings {
        max_frame_bytes: LIMIT,
        ..ConnectionSettings::new()
    };
    let wait = Wait::new(TIMEOUT);
    Connection::over(ours, &host("liar:9092"), &settings, wait)
        .await
        .unwrap()
}

struct Liar(DuplexStream);

impl Liar {
    /// Waits for a request; returns its correlation id.
    async fn asked(&mut self) -> i32 {
        let length = self.0.read_i32().await.unwrap();
        let mut request = vec![0; length as usize];
        self.0.read_exact(&mut request).await.unwrap();
        i32::from_be_bytes(request[4..8].try_into().unwrap())
    }

    async fn say(&mut self, bytes: &[u8]) {
        // Who knows it for a liar does not listen to the end.
        let _ = self.0.write_all(bytes).await;
    }

    /// Holds the connection open.
    async fn sulk(self) {
        std::future::pending::<()>().await;
        drop(self);
    }
}

fn answer<E: std::fmt::Debug>(
    id: i32,
    header_version: i16,
    body: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Bytes {
    let mut frame = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(id);
    header.encode(&mut frame, header_version).unwrap();
    body(&mut frame).unwrap();
    framed(&frame)
}

fn framed(frame: &[u8]) -> Bytes {
    let mut whole = BytesMut::new();
    whole.put_i32(frame.len() as i32);
    whole.put_slice(frame);
    whole.freeze()
}

fn heartbeat(id: i32, throttle: i32) -> Bytes {
    let response = HeartbeatResponse::default().with_throttle_time_ms(throttle);
    answer(id, 1, |body| response.encode(body, 4))
}

async fn ask(connection: &Connection) -> Result<HeartbeatAnswer> {
    connection.send(&HeartbeatRequest::default(), TIMEOUT).await
}

fn says(error: &Error, kind: Kind, text: &str) {
    assert_eq!(error.kind(), kind, "{error:#}");
    assert!(format!("{error:#}").contains(text), "{error:#}");
}

/// Asks twice at once and has the first answered by these bytes; returns how both end.
async fn answered_by(bytes: impl FnOnce(i32) -> Bytes + Send + 'static) -> [Error; 2] {
    let connection = connect(async |mut liar: Liar| {
        let id = liar.asked().await;
        liar.asked().await;
        liar.say(&bytes(id)).await;
        liar.sulk().await;
    })
    .await;
    let request = HeartbeatRequest::default();
    let first = connection.begin(&request, TIMEOUT).await.unwrap();
    let second = connection.begin(&request, TIMEOUT).await.unwrap();
    let began = Instant::now();
    let errors = [
        first.answer().await.unwrap_err(),
        second.answer().await.unwrap_err(),
    ];
    assert_eq!(Instant::now(), began, "at once");
    assert!(!connection.is_open());
    let refused = ask(&connection).await.unwrap_err();
    assert!(refused.to_string().contains("was not sent"), "{refused}");
    errors
}

#[tokio::test(start_paused = true)]
async fn a_length_that_is_none_closes_the_connection() {
    for length in [0, -1, i32::MIN] {
        for error in answered_by(move |_| length.to_be_bytes().to_vec().into()).await {
            says(&error, Kind::Temporary, "may be no kafka broker");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_over_the_limit_closes_the_connection() {
    for length in [LIMIT as i32 + 1, i32::MAX] {
        for error in answered_by(move |_| length.to_be_bytes().to_vec().into()).await {
            says(
                &error,
                Kind::Permanent,
                "allowed are 1048576: raise `max_frame_bytes`",
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_short_for_its_id_closes_the_connection() {
    for length in 1..4 {
        for error in answered_by(move |_| framed(&vec![0; length])).await {
            says(&error, Kind::Temporary, "too short for a correlation id");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_request_closes_the_connection() {
    for wrong in [1, -1, 1000, i32::MIN] {
        for error in answered_by(move |id| heartbeat(id.wrapping_add(wrong), 0)).await {
            says(&error, Kind::Temporary, "answered correlation id");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_answer_fails_its_request_for_good_and_closes_the_connection() {
    let cut = |id| {
        let whole = heartbeat(id, 0);
        framed(&whole[4..whole.len() - 2])
    };
    let [its, other] = answered_by(cut).await;
    says(
        &its,
        Kind::Permanent,
        "HeartbeatAnswer.error_code does not fit",
    );
    says(&other, Kind::Temporary, "is malformed");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_twice_closes_the_connection() {
    let connection = connect(async |mut liar: Liar| {
        let id = liar.asked().await;
        liar.say(&heartbeat(id, 0)).await;
        liar.say(&heartbeat(id, 0)).await;
        liar.sulk().await;
    })
    .await;
    assert_eq!(ask(&connection).await.unwrap(), HeartbeatAnswer::default());
    let error = ask(&connection).await.unwrap_err();
    says(&error, Kind::Temporary, "answered correlation id");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_closes_the_connection() {
    let connection = connect(async |mut liar: Liar| {
        liar.say(&heartbeat(5, 0)).await;
        liar.sulk().await;
    })
    .await;
    let error = ask(&connection).await.unwrap_err();
    says(&error, Kind::Temporary, "answered correlation id 5");
}

#[tokio::test(start_paused = true)]
async fn bytes_after_an_answer_are_ignored() {
    let connection = connect(async |mut liar: Liar| {
        let id = liar.asked().await;
        let whole = heartbeat(id, 0);
        liar.say(&framed(&[&whole[4..], b"more"].concat())).await;
        let id = liar.asked().await;
        liar.say(&heartbeat(id, 0)).await;
        liar.sulk().await;
    })
    .await;
    ask(&connection).await.unwrap();
    ask(&connection).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_within_a_frame_is_given_up_in_time() {
    for spoken in 0..heartbeat(0, 0).len() {
        let connection = connect(async move |mut liar: Liar| {
            let id = liar.asked().await;
            liar.say(&heartbeat(id, 0)[..spoken]).await;
            liar.sulk().await;
        })
        .await;
        let began = Instant::now();
        let error = ask(&connection).await.unwrap_err();
        says(&error, Kind::Timeout, "did not answer Heartbeat within 10s");
        assert!(began.elapsed() < TIMEOUT + Duration::from_millis(10));
        assert!(!connection.is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_within_a_frame_is_one() {
    for spoken in 0..heartbeat(0, 0).len() {
        let connection = connect(async move |mut liar: Liar| {
            let id = liar.asked().await;
            liar.say(&heartbeat(id, 0)[..spoken]).await;
        })
        .await;
        let error = ask(&connection).await.unwrap_err();
        says(&error, Kind::Temporary, "the broker closed the connection");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_holds_requests_back_no_longer_than_their_timeout() {
    for (throttle, waits) in [
        (i32::MIN, false),
        (-1, false),
        (3_000, true),
        (i32::MAX, true),
    ] {
        let connection = connect(async move |mut liar: Liar| {
            let id = liar.asked().await;
            liar.say(&heartbeat(id, throttle)).await;
            let id = liar.asked().await;
            liar.say(&heartbeat(id, 0)).await;
            liar.sulk().await;
        })
        .await;
        ask(&connection).await.unwrap();
        let began = Instant::now();
        let answer = ask(&connection).await;
        let waited = began.elapsed();
        assert_eq!(waits, waited > Duration::ZERO, "{throttle}");
        assert!(waited <= TIMEOUT + Duration::from_millis(10), "{waited:?}");
        match throttle {
            i32::MAX => says(
                &answer.unwrap_err(),
                Kind::Timeout,
                "it throttles this client",
            ),
            _ => assert_eq!(answer.unwrap(), HeartbeatAnswer::default()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn noise_ends_requests_in_time() {
    for seed in 0..300 {
        let connection = connect(async move |mut liar: Liar| {
            let mut rng = Rng::with_seed(seed);
            liar.asked().await;
            for _ in 0..rng.usize(1..5) {
                let length = rng.usize(..60);
                let mut noise: Vec<_> =
                    std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
                // Often a length that may be.
                if rng.bool() {
                    noise.splice(..noise.len().min(3), [0, 0, 0]);
                }
                liar.say(&noise).await;
            }
            liar.sulk().await;
        })
        .await;
        let began = Instant::now();
        ask(&connection).await.unwrap_err();
        assert!(
            began.elapsed() < TIMEOUT + Duration::from_millis(10),
            "seed {seed}"
        );
    }
}

#[test]
fn memory_is_reserved_within_the_limit_only() {
    for (length, most) in [
        (LIMIT as i32, 2 * LIMIT),
        (LIMIT as i32 + 1, LIMIT / 2),
        (i32::MAX, LIMIT / 2),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let used = measure(|| {
            runtime.block_on(async {
                let connection = connect(async move |mut liar: Liar| {
                    liar.asked().await;
                    liar.say(&length.to_be_bytes()).await;
                    liar.sulk().await;
                })
                .await;
                ask(&connection).await.unwrap_err();
            });
        });
        assert!(
            used.bytes_max < most as u64,
            "{} of {length}",
            used.bytes_max
        );
    }
}
