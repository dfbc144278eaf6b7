//! Requests are written as they were begun, and each has its answer.

use std::time::Duration;

use futures_util::future::join_all;
use kafka_protocol::messages::HeartbeatRequest;
use tokio::time::{Instant, timeout};

use super::TIMEOUT;
use super::fake::{beat, connected, connected_with, send};
use crate::connection::ConnectionSettings;

#[tokio::test(start_paused = true)]
async fn requests_are_written_as_they_were_begun() {
    let mut settings = ConnectionSettings::new();
    settings.max_in_flight = 3;
    let (connection, mut broker) = connected_with(settings).await;
    let request = |number: i32| HeartbeatRequest::default().with_generation_id(number);
    let requests: Vec<_> = (0..50).map(request).collect();
    let sent = join_all(
        requests
            .iter()
            .map(|request| connection.send(request, TIMEOUT)),
    );
    let answered = async {
        let mut last = None;
        for number in 0..50 {
            let asked = broker.heartbeat().await;
            // Client id, tagged fields, empty group: then the generation.
            let generation = &asked.rest[2 + 9 + 1 + 1..][..4];
            assert_eq!(generation, i32::to_be_bytes(number));
            assert!(last.is_none_or(|last| asked.id == last + 1));
            last = Some(asked.id);
            broker
                .answer(asked.id, &beat(0, number.try_into().unwrap()))
                .await;
        }
    };
    let (sent, ()) = tokio::join!(sent, answered);
    for (number, answer) in sent.into_iter().enumerate() {
        assert_eq!(answer.unwrap().error_code, i16::try_from(number).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_queue_up_are_written_together() {
    let (connection, mut broker) = connected().await;
    let request = HeartbeatRequest::default();
    let (one, other) = tokio::join!(
        connection.begin(&request, TIMEOUT),
        connection.begin(&request, TIMEOUT)
    );
    // The first bytes to arrive are both requests.
    let mut both = vec![0; 1000];
    let read = tokio::io::AsyncReadExt::read(&mut broker.stream, &mut both);
    let count = read.await.unwrap();
    let length = i32::from_be_bytes(*both.first_chunk().unwrap());
    assert_eq!(count, 2 * usize::try_from(4 + length).unwrap());
    drop((one, other));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_answer_is_read_off() {
    let (connection, mut broker) = connected().await;
    let forgotten = connection
        .begin(&HeartbeatRequest::default(), TIMEOUT)
        .await;
    let wanted = connection
        .begin(&HeartbeatRequest::default(), TIMEOUT)
        .await;
    drop(forgotten.unwrap());
    for code in [1, 2] {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, code)).await;
    }
    assert_eq!(wanted.unwrap().answer().await.unwrap().error_code, 2);
    assert!(connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_slot_can_be_dropped() {
    let mut settings = ConnectionSettings::new();
    settings.max_in_flight = 1;
    let (connection, mut broker) = connected_with(settings).await;
    let request = HeartbeatRequest::default();
    let first = connection.begin(&request, TIMEOUT).await.unwrap();
    let dropped = timeout(Duration::from_secs(1), connection.begin(&request, TIMEOUT)).await;
    assert!(dropped.is_err());
    let next = async {
        let pending = connection.begin(&request, TIMEOUT).await.unwrap();
        pending.answer().await.unwrap()
    };
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 1)).await;
        let next = broker.heartbeat().await;
        // The one that was dropped has taken no id.
        assert_eq!(next.id, asked.id + 1);
        broker.answer(next.id, &beat(0, 2)).await;
    };
    let (next, ()) = tokio::join!(next, answered);
    assert_eq!(next.error_code, 2);
    assert_eq!(first.answer().await.unwrap().error_code, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_byte_by_byte() {
    let (connection, mut broker) = connected().await;
    let began = Instant::now();
    let slow = async {
        let asked = broker.heartbeat().await;
        for byte in super::fake::frame(asked.id, &beat(0, 7)) {
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::io::AsyncWriteExt::write_u8(&mut broker.stream, byte)
                .await
                .unwrap();
        }
    };
    let (answer, ()) = tokio::join!(send(&connection, TIMEOUT), slow);
    assert_eq!(answer.unwrap().error_code, 7);
    assert_eq!(began.elapsed(), Duration::from_millis(500 * 16));
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_ends_the_connection_once_all_is_answered() {
    let (connection, mut broker) = connected().await;
    let clone = connection.clone();
    let pending = connection
        .begin(&HeartbeatRequest::default(), TIMEOUT)
        .await;
    drop((connection, clone));
    let asked = broker.heartbeat().await;
    broker.answer(asked.id, &beat(0, 3)).await;
    assert_eq!(pending.unwrap().answer().await.unwrap().error_code, 3);
    timeout(TIMEOUT, broker.closed()).await.unwrap();
}
