//! Against brokers that tests start.

use std::sync::Arc;
use std::time::Duration;

use cqi_testkit::Kafka;
use kafka_protocol::messages::MetadataRequest;

use crate::connection::{Connection, ConnectionSettings, Host};

const TIMEOUT: Duration = Duration::from_secs(10);

fn host(address: &str) -> Host {
    let (name, port) = address.rsplit_once(':').unwrap();
    Host {
        name: name.into(),
        port: port.parse().unwrap(),
    }
}

#[tokio::test]
async fn requests_are_answered_in_order() {
    let kafka = Kafka::start().await.unwrap();
    let host = host(&kafka.bootstrap());
    let settings = Arc::new(ConnectionSettings::new());
    let connection = Connection::open(&host, &settings).await.unwrap();
    let mut pending = Vec::new();
    for _ in 0..5 {
        let request = MetadataRequest::default();
        pending.push(connection.begin(&request, TIMEOUT).await.unwrap());
    }
    for pending in pending {
        let answer = pending.answer().await.unwrap();
        assert_eq!(answer.brokers.len(), 1);
    }
    for _ in 0..1000 {
        connection
            .send(&MetadataRequest::default(), TIMEOUT)
            .await
            .unwrap();
    }
    connection.close().await;
    assert!(!connection.is_open());
}
