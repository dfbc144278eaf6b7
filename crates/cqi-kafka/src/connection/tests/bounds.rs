//! Every wait ends.

use std::time::Duration;

use cqi_errors::Kind;
use kafka_protocol::messages::{FindCoordinatorRequest, HeartbeatRequest};
use tokio::time::{Instant, timeout};

use super::fake::{beat, connected, connected_with, opening, send};
use super::{TIMEOUT, host, says};
use crate::connection::{ConnectionSettings, Connector, Tls};

#[tokio::test(start_paused = true)]
async fn silence_ends_the_connection_and_all_that_is_in_flight() {
    let (connection, mut broker) = connected().await;
    let began = Instant::now();
    let request = HeartbeatRequest::default();
    let patient = connection
        .begin(&request, Duration::from_secs(60))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hasty = connection
        .begin(&request, Duration::from_secs(5))
        .await
        .unwrap();
    let (patient, hasty) = tokio::join!(patient.answer(), hasty.answer());
    assert_eq!(began.elapsed(), Duration::from_secs(6));
    says(
        &hasty.unwrap_err(),
        Kind::Timeout,
        &["kafka-1:9092", "Heartbeat within 5s"],
    );
    let texts = [
        "kafka-1:9092",
        "after 6.0s",
        "did not answer Heartbeat within 5s",
    ];
    says(&patient.unwrap_err(), Kind::Temporary, &texts);
    assert!(!connection.is_open());
    broker.closed().await;
    let refused = send(&connection, TIMEOUT).await.unwrap_err();
    says(
        &refused,
        Kind::Temporary,
        &["Heartbeat was not sent", "within 5s"],
    );
    assert_eq!(began.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_is_watched_too() {
    let (connection, mut broker) = connected().await;
    let began = Instant::now();
    let request = HeartbeatRequest::default();
    drop(
        connection
            .begin(&request, Duration::from_secs(5))
            .await
            .unwrap(),
    );
    broker.closed().await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert!(!connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_read_is_given_up() {
    let (opened, mut broker) = opening(ConnectionSettings::new(), 100);
    let (connection, ()) = tokio::join!(opened, broker.greet());
    let connection = connection.unwrap();
    let began = Instant::now();
    let long = HeartbeatRequest::default().with_member_id("m".repeat(1000).into());
    let patient = connection.send(&long, Duration::from_secs(60));
    // Stuck behind the first, and not written at all.
    let hasty = connection.send(&long, Duration::from_secs(3));
    let (patient, hasty) = tokio::join!(patient, hasty);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    says(&hasty.unwrap_err(), Kind::Timeout, &["within 3s"]);
    says(&patient.unwrap_err(), Kind::Temporary, &["within 3s"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_wait_for_a_slot_and_no_longer_than_they_may() {
    let (connection, mut broker) = connected().await;
    let request = HeartbeatRequest::default();
    let mut pending = Vec::new();
    for _ in 0..5 {
        pending.push(
            connection
                .begin(&request, Duration::from_secs(60))
                .await
                .unwrap(),
        );
    }
    let began = Instant::now();
    let one_more = send(&connection, Duration::from_secs(2));
    // It has the turn; this one waits for it.
    let another = send(&connection, Duration::from_secs(1));
    let (one_more, another) = tokio::join!(one_more, another);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    let texts = [
        "Heartbeat was not sent to kafka broker kafka-1:9092 within 2s",
        "5 requests",
    ];
    says(&one_more.unwrap_err(), Kind::Timeout, &texts);
    says(&another.unwrap_err(), Kind::Timeout, &["within 1s"]);
    assert!(connection.is_open());

    for _ in 0..5 {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    }
    for pending in pending {
        pending.answer().await.unwrap();
    }
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_slot_learn_that_the_connection_ended() {
    let mut settings = ConnectionSettings::new();
    settings.max_in_flight = 1;
    let (connection, broker) = connected_with(settings).await;
    let first = connection
        .begin(&HeartbeatRequest::default(), TIMEOUT)
        .await
        .unwrap();
    let began = Instant::now();
    let waiting = send(&connection, TIMEOUT);
    let gone = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(broker);
    };
    let (waiting, ()) = tokio::join!(waiting, gone);
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    says(
        &waiting.unwrap_err(),
        Kind::Temporary,
        &["was not sent", "closed the connection"],
    );
    says(
        &first.answer().await.unwrap_err(),
        Kind::Temporary,
        &["after 1.0s", "closed the connection"],
    );
}

#[tokio::test(start_paused = true)]
async fn an_endless_timeout_is_no_overflow() {
    let (connection, mut broker) = connected().await;
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, Duration::MAX), answered)
        .0
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_time_is_not_sent() {
    let (connection, mut broker) = connected().await;
    let late = send(&connection, Duration::ZERO).await.unwrap_err();
    says(&late, Kind::Timeout, &["was not sent", "no time"]);
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_task_and_tells_all() {
    let (connection, mut broker) = connected().await;
    let pending = connection
        .begin(&HeartbeatRequest::default(), TIMEOUT)
        .await
        .unwrap();
    connection.close().await;
    assert!(!connection.is_open());
    let refused = pending.answer().await.unwrap_err();
    says(
        &refused,
        Kind::Cancelled,
        &["kafka-1:9092", "this client closed"],
    );
    broker.closed().await;
    connection.close().await;
}

#[test]
fn answers_do_not_outlive_their_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (connection, _broker) = runtime.block_on(connected());
    let request = HeartbeatRequest::default();
    let pending = runtime
        .block_on(connection.begin(&request, TIMEOUT))
        .unwrap();
    drop(runtime);
    let other = tokio::runtime::Runtime::new().unwrap();
    let refused = other.block_on(pending.answer()).unwrap_err();
    says(&refused, Kind::Cancelled, &["its runtime ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_written_fails_alone() {
    let (connection, mut broker) = connected().await;
    // A field that version 3 does not have.
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec!["a".into()]);
    let refused = connection.send(&request, TIMEOUT).await.unwrap_err();
    says(
        &refused,
        Kind::Permanent,
        &["cannot write", "FindCoordinator"],
    );
    let answered = async {
        let asked = broker.heartbeat().await;
        assert_eq!(asked.id, 1);
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(&connection, TIMEOUT), answered)
        .0
        .unwrap();
}

/// No paused clock: these are real sockets.
#[tokio::test]
async fn opening_is_bounded_wherever_it_is_stuck() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut settings = ConnectionSettings::new();
    settings.connect_timeout = Duration::from_millis(300);
    let open = |settings: ConnectionSettings| {
        let host = host(&address);
        async move {
            let connector = Connector::new(settings);
            let opened = connector.open(&host);
            timeout(TIMEOUT, opened).await.unwrap().unwrap_err()
        }
    };
    let error = open(settings.clone()).await;
    says(
        &error,
        Kind::Timeout,
        &[&address, "ApiVersions within 300ms"],
    );
    settings.tls = Some(Tls::with_system_roots().unwrap());
    let error = open(settings).await;
    says(
        &error,
        Kind::Timeout,
        &[&address, "TLS handshake within 300ms"],
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let connector = Connector::new(ConnectionSettings::new());
    let error = connector.open(&host(&address)).await.unwrap_err();
    says(
        &error,
        Kind::Temporary,
        &[&address, "cannot connect", "refused"],
    );
    let error = connector.open(&host("no-such-host.invalid:9092")).await;
    says(
        &error.unwrap_err(),
        Kind::Temporary,
        &["no-such-host.invalid:9092", "address"],
    );
}

/// A full backlog: the system neither accepts nor refuses.
#[tokio::test]
async fn a_black_hole_is_given_up() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut full = Vec::new();
    while let Ok(stream) = timeout(
        Duration::from_millis(200),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        full.push(stream.unwrap());
        assert!(full.len() < 100);
    }
    let mut settings = ConnectionSettings::new();
    settings.connect_timeout = Duration::from_millis(300);
    let (host, connector) = (host(&address.to_string()), Connector::new(settings));
    let opened = connector.open(&host);
    let error = timeout(TIMEOUT, opened).await.unwrap().unwrap_err();
    says(
        &error,
        Kind::Timeout,
        &["did not accept a connection", "ms"],
    );
}
