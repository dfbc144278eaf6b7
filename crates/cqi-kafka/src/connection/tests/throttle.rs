//! KIP-219: a broker that throttles answers at once and wants to hear nothing for a while.

use std::time::Duration;

use cqi_errors::Kind;
use kafka_protocol::messages::HeartbeatRequest;
use tokio::time::Instant;

use super::fake::{Broker, beat, connected, send};
use super::{TIMEOUT, says};
use crate::connection::Connection;

async fn throttled(throttle_ms: i32) -> (Connection, Broker) {
    let (connection, mut broker) = connected().await;
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(throttle_ms, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
    (connection, broker)
}

#[tokio::test(start_paused = true)]
async fn the_next_request_is_held_back() {
    let (connection, mut broker) = throttled(3000).await;
    let began = Instant::now();
    let answered = async {
        let asked = broker.heartbeat().await;
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_not_wait_so_long_fails_and_the_connection_stays() {
    let (connection, mut broker) = throttled(3000).await;
    let began = Instant::now();
    let late = send(&connection, Duration::from_secs(1)).await.unwrap_err();
    says(
        &late,
        Kind::Timeout,
        &["kafka-1:9092 within 1s", "throttles", "another 2.0s"],
    );
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    assert!(connection.is_open());
    let answered = async {
        let asked = broker.heartbeat().await;
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
}

/// A dropped answer throttles as well.
#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_wants_throttles_too() {
    let (connection, mut broker) = connected().await;
    let began = Instant::now();
    drop(
        connection
            .begin(&HeartbeatRequest::default(), TIMEOUT)
            .await,
    );
    let asked = broker.heartbeat().await;
    broker.answer(asked.id, &beat(3000, 0)).await;
    // Time passes when all have done what they can.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
    assert!(began.elapsed() >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_caller_learns_that_the_connection_ended() {
    let (connection, broker) = throttled(i32::MAX).await;
    let began = Instant::now();
    let gone = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(broker);
    };
    let (refused, ()) = tokio::join!(send(&connection, TIMEOUT), gone);
    says(
        &refused.unwrap_err(),
        Kind::Temporary,
        &["was not sent", "closed the connection"],
    );
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn less_than_nothing_is_nothing() {
    let (connection, mut broker) = throttled(i32::MIN).await;
    let began = Instant::now();
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}
