//! Brokers that close, or speak other versions.

use cqi_errors::Kind;
use kafka_protocol::messages::{FetchRequest, HeartbeatRequest, JoinGroupRequest};
use tokio::io::AsyncWriteExt as _;

use super::fake::{
    API_VERSIONS, HEARTBEAT, beat, connected, frame, opening, send, versions_0, versions_3,
};
use super::{TIMEOUT, says};
use crate::connection::ConnectionSettings;

/// The connection ends before the first byte of an answer, and after each.
#[tokio::test(start_paused = true)]
async fn a_broker_may_close_anywhere_in_an_answer() {
    let whole = frame(0, &beat(0, 0)).len();
    for cut in 0..whole {
        let (connection, mut broker) = connected().await;
        let answered = async {
            let asked = broker.heartbeat().await;
            let answer = frame(asked.id, &beat(0, 0));
            broker.stream.write_all(&answer[..cut]).await.unwrap();
            drop(broker);
        };
        let (sent, ()) = tokio::join!(send(&connection, TIMEOUT), answered);
        let texts = [
            "Heartbeat was not answered by kafka broker kafka-1:9092",
            "closed the connection",
        ];
        says(&sent.unwrap_err(), Kind::Temporary, &texts);
        assert!(!connection.is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_at_once_wants_something_else() {
    let (opened, broker) = opening(ConnectionSettings::new(), 1000);
    drop(broker);
    says(
        &opened.await.unwrap_err(),
        Kind::Temporary,
        &["kafka-1:9092", "TLS or SASL"],
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_without_a_common_version_names_both_sides() {
    let (opened, mut broker) = opening(ConnectionSettings::new(), 1 << 16);
    let spoken = [(1, 0, 10), (HEARTBEAT, 5, 6)];
    let (connection, ()) = tokio::join!(opened, broker.speak(&spoken));
    let connection = connection.unwrap();

    let error = connection
        .send(&FetchRequest::default(), TIMEOUT)
        .await
        .unwrap_err();
    let text = "kafka broker kafka-1:9092 speaks Fetch 0 to 10, this client 12: \
                Apache Kafka 2.8 or newer is needed";
    says(&error, Kind::Permanent, &[text]);
    let error = connection.send(&JoinGroupRequest::default(), TIMEOUT).await;
    let text = "kafka-1:9092 does not speak JoinGroup, this client 6 to 9: Apache Kafka 2.8";
    says(&error.unwrap_err(), Kind::Permanent, &[text]);
    let error = send(&connection, TIMEOUT).await.unwrap_err();
    says(
        &error,
        Kind::Permanent,
        &["speaks Heartbeat 5 to 6, this client 4: a newer cqi-kafka"],
    );
    assert!(connection.is_open());
}

/// A broker that does not know the third version answers in the first.
#[tokio::test(start_paused = true)]
async fn an_old_broker_is_asked_again_in_the_first_version() {
    let (opened, mut broker) = opening(ConnectionSettings::new(), 1 << 16);
    let greeted = async {
        let asked = broker.asked().await;
        assert_eq!((asked.key, asked.version), (API_VERSIONS, 3));
        let answer = versions_0(35, &[(API_VERSIONS, 0, 2)]);
        broker.answer(asked.id, &answer).await;
        let asked = broker.asked().await;
        assert_eq!((asked.key, asked.version), (API_VERSIONS, 0));
        let answer = versions_0(0, &[(API_VERSIONS, 0, 2), (1, 0, 10), (HEARTBEAT, 0, 4)]);
        broker.answer(asked.id, &answer).await;
    };
    let (connection, ()) = tokio::join!(opened, greeted);
    let connection = connection.unwrap();
    let error = connection
        .send(&FetchRequest::default(), TIMEOUT)
        .await
        .unwrap_err();
    says(&error, Kind::Permanent, &["speaks Fetch 0 to 10"]);
    let pending = connection
        .begin(&HeartbeatRequest::default(), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(format!("{pending:?}"), "Pending(Heartbeat on kafka-1:9092)");
}

#[tokio::test(start_paused = true)]
async fn the_list_of_a_broker_that_names_all_it_has_is_used() {
    let (opened, mut broker) = opening(ConnectionSettings::new(), 1 << 16);
    let greeted = async {
        let asked = broker.asked().await;
        let answer = versions_0(35, &[(API_VERSIONS, 0, 2), (HEARTBEAT, 0, 4)]);
        broker.answer(asked.id, &answer).await;
    };
    let (connection, ()) = tokio::join!(opened, greeted);
    connection
        .unwrap()
        .begin(&HeartbeatRequest::default(), TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broker_may_refuse_to_name_its_versions() {
    let (opened, mut broker) = opening(ConnectionSettings::new(), 1 << 16);
    let greeted = async {
        let asked = broker.asked().await;
        broker.answer(asked.id, &versions_3(42, &[])).await;
    };
    let (connection, ()) = tokio::join!(opened, greeted);
    says(
        &connection.unwrap_err(),
        Kind::Permanent,
        &["kafka-1:9092", "INVALID_REQUEST (42)"],
    );
}
