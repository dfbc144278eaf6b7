//! Bytes that no broker should send.

use cqi_errors::Kind;
use kafka_protocol::messages::HeartbeatRequest;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, BufReader};

use super::fake::{beat, connected, connected_with, frame, send};
use super::{TIMEOUT, says};
use crate::connection::buffers::BufferPool;
use crate::connection::{ConnectionSettings, frame as frames};

async fn answer_with(bytes: impl FnOnce(i32) -> Vec<u8>, kind: Kind, texts: &[&str]) {
    let (connection, mut broker) = connected().await;
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.stream.write_all(&bytes(asked.id)).await.unwrap();
    };
    let (sent, ()) = tokio::join!(send(&connection, TIMEOUT), answered);
    let texts = [&["kafka-1:9092"], texts].concat();
    says(&sent.unwrap_err(), kind, &texts);
    assert!(!connection.is_open());
    broker.closed().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_request_ends_the_connection() {
    let texts = ["answered correlation id 7 where 1 was due, that of Heartbeat"];
    answer_with(|_| frame(7, &beat(0, 0)), Kind::Temporary, &texts).await;
    answer_with(
        |id| frame(id - 1, &beat(0, 0)),
        Kind::Temporary,
        &["id 0 where 1"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_out_of_order_end_the_connection() {
    let (connection, mut broker) = connected().await;
    let request = HeartbeatRequest::default();
    let first = connection.begin(&request, TIMEOUT).await.unwrap();
    let second = connection.begin(&request, TIMEOUT).await.unwrap();
    let _ = broker.heartbeat().await;
    let asked = broker.heartbeat().await;
    broker.answer(asked.id, &beat(0, 0)).await;
    let texts = ["answered correlation id 2 where 1 was due"];
    says(&first.answer().await.unwrap_err(), Kind::Temporary, &texts);
    says(&second.answer().await.unwrap_err(), Kind::Temporary, &texts);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let (connection, mut broker) = connected().await;
    broker.answer(1, &beat(0, 0)).await;
    broker.closed().await;
    let refused = send(&connection, TIMEOUT).await.unwrap_err();
    says(
        &refused,
        Kind::Temporary,
        &["correlation id 1, and no request awaits an answer"],
    );
}

#[tokio::test(start_paused = true)]
async fn impossible_lengths_end_the_connection() {
    for length in [0, -1, i32::MIN] {
        let text = format!("announced an answer of {length} bytes");
        let bytes = |_| length.to_be_bytes().to_vec();
        answer_with(bytes, Kind::Temporary, &[&text]).await;
    }
    for length in 1..4 {
        let bytes = |_| [vec![0, 0, 0, length], vec![0; length.into()]].concat();
        answer_with(bytes, Kind::Temporary, &["too short for a correlation id"]).await;
    }
    for length in [(100 << 20) + 1, i32::MAX] {
        let text =
            format!("an answer of {length} bytes, allowed are 104857600: raise `max_frame_bytes`");
        let bytes = |_| length.to_be_bytes().to_vec();
        answer_with(bytes, Kind::Permanent, &[&text]).await;
    }
    answer_with(
        |_| b"HTTP/1.1 400".to_vec(),
        Kind::Permanent,
        &["no kafka broker"],
    )
    .await;
    let alert = |_| vec![0x15, 3, 3, 0, 2, 2, 80];
    answer_with(alert, Kind::Permanent, &["answers in TLS"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_frame_limit_is_a_setting() {
    let mut settings = ConnectionSettings::new();
    settings.max_frame_bytes = 100;
    let (connection, mut broker) = connected_with(settings).await;
    for (length, fits) in [(100, true), (101, false)] {
        let answered = async {
            let asked = broker.heartbeat().await;
            let mut body = beat(0, 0);
            // What follows an answer is ignored.
            body.resize(length - 4, 0);
            broker.answer(asked.id, &body).await;
        };
        let (sent, ()) = tokio::join!(send(&connection, TIMEOUT), answered);
        assert_eq!(sent.is_ok(), fits);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_fails_alone_and_ends_the_connection() {
    let (connection, mut broker) = connected().await;
    let request = HeartbeatRequest::default();
    let first = connection.begin(&request, TIMEOUT).await.unwrap();
    let second = connection.begin(&request, TIMEOUT).await.unwrap();
    let asked = broker.heartbeat().await;
    broker.answer(asked.id, &[0, 0, 0]).await;
    says(
        &first.answer().await.unwrap_err(),
        Kind::Permanent,
        &["kafka-1:9092", "malformed"],
    );
    assert!(!connection.is_open());
    says(
        &second.answer().await.unwrap_err(),
        Kind::Temporary,
        &["Heartbeat", "malformed"],
    );
}

/// A frame is reserved once, and no more than the limit.
#[test]
fn a_frame_is_one_allocation() {
    const LENGTH: usize = 4 << 20;
    let bytes = [&i32::to_be_bytes(4 << 20)[..], &vec![7; LENGTH]].concat();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut stream = BufReader::with_capacity(16 << 10, &bytes[..]);
    let mut read = None;
    let used = allocation_counter::measure(|| {
        read = Some(runtime.block_on(frames::read(&mut stream, 100 << 20, &BufferPool::default())));
    });
    assert_eq!(read.unwrap().unwrap(), &bytes[4..]);
    assert!(used.bytes_max < (LENGTH + 1000) as u64, "{used:?}");
    assert!(used.count_total < 5, "{used:?}");

    let lie = i32::to_be_bytes((100 << 20) + 1);
    let mut stream = BufReader::with_capacity(16 << 10, &lie[..]);
    let used = allocation_counter::measure(|| {
        let refused =
            runtime.block_on(frames::read(&mut stream, 100 << 20, &BufferPool::default()));
        assert!(refused.is_err());
    });
    assert!(used.bytes_max < 10_000, "{used:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_frames_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        small in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if small && bytes.len() > 2 {
            // A length that may fit.
            bytes[..2].fill(0);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut stream = BufReader::with_capacity(64, &bytes[..]);
        let mut rest = &bytes[..];
        let used = allocation_counter::measure(|| {
            while let Ok(frame) = runtime.block_on(frames::read(&mut stream, 1000, &BufferPool::default())) {
                assert_eq!(frame, rest[4..][..frame.len()]);
                rest = &rest[4 + frame.len()..];
            }
        });
        prop_assert!(used.bytes_max < 3000, "{:?}", used);
    }
}
