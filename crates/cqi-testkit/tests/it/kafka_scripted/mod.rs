//! The scripted brokers: well-behaved, and as told.

mod asked;
mod client;
mod groups;
mod records;
mod replies;

use cqi_testkit::scripted::{Api, ScriptedKafka};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use asked::text;
use client::Client;

fn kafka() -> ScriptedKafka {
    let kafka = ScriptedKafka::builder().topic("orders", 1);
    kafka.start().unwrap()
}

/// What kafka-protocol reads of each version is what a broker says in it.
#[test]
fn every_version_is_answered() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let versions: ApiVersionsResponse = client.ask(3, &ApiVersionsRequest::default());
    assert_eq!(versions.api_keys.len(), Api::ALL.len());
    let of = |api: Api| {
        let mut known = versions.api_keys.iter();
        let known = known.find(|known| known.api_key == api.key()).unwrap();
        known.min_version..=known.max_version
    };
    for version in of(Api::ApiVersions) {
        client.ask(version, &ApiVersionsRequest::default());
    }
    for version in of(Api::Metadata) {
        let answer = client.ask(version, &asked::metadata());
        assert_eq!(answer.topics[0].partitions[0].leader_id.0, 1);
        assert_eq!(answer.brokers[0].port, i32::from(kafka.port(1)));
    }
    for version in of(Api::FindCoordinator) {
        assert_eq!(client.ask(version, &asked::coordinator()).node_id.0, 1);
    }
    for version in of(Api::JoinGroup) {
        let answer = client.ask(version, &asked::join(""));
        assert_eq!(answer.error_code, 79);
        let joined = client.ask(version, &asked::join(&answer.member_id));
        assert_eq!(joined.members.len(), 1);
        client.ask(5, &asked::leave(&answer.member_id));
    }
    let member = client.ask(9, &asked::join("")).member_id.to_string();
    let generation = client.ask(9, &asked::join(&member)).generation_id;
    for version in of(Api::SyncGroup) {
        let given = asked::sync(&member, generation, &[(&member, "mine")]);
        assert_eq!(client.ask(version, &given).assignment, "mine");
    }
    for version in of(Api::Heartbeat) {
        let heartbeat = asked::heartbeat(&member, generation);
        assert_eq!(client.ask(version, &heartbeat).error_code, 0);
    }
    for version in of(Api::OffsetCommit) {
        let answer = client.ask(version, &asked::commit(&member, generation, 5));
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    for version in of(Api::OffsetFetch) {
        let answer = client.ask(version, &asked::committed());
        assert_eq!(answer.topics[0].partitions[0].committed_offset, 5);
    }
    for version in of(Api::LeaveGroup) {
        let answer = client.ask(version, &asked::leave(&member));
        let gone = if version == 3 { 0 } else { 25 };
        assert_eq!(answer.members[0].error_code, gone);
    }
    for (version, offset) in of(Api::Produce).zip(0..) {
        let answer = client.ask(version, &asked::produce(asked::batch(1, -1)));
        assert_eq!(
            answer.responses[0].partition_responses[0].base_offset,
            offset
        );
    }
    for version in of(Api::ListOffsets) {
        let answer = client.ask(version, &asked::offsets(-1));
        assert_eq!(answer.topics[0].partitions[0].offset, 3);
    }
    for version in of(Api::Fetch) {
        let answer = client.ask(version, &asked::fetch(1, 0));
        let records = answer.responses[0].partitions[0].records.clone();
        assert_eq!(
            records,
            Some(kafka.batches("orders", 0)[1..].concat().into())
        );
    }
    for (version, id) in of(Api::InitProducerId).zip(1..) {
        assert_eq!(client.ask(version, &asked::producer()).producer_id.0, id);
    }
    for version in of(Api::OffsetForLeaderEpoch) {
        let answer = client.ask(version, &asked::epoch_end(0));
        assert_eq!(answer.topics[0].partitions[0].end_offset, 3);
    }
    assert_eq!(kafka.connections(), 1);
    assert_eq!(
        kafka.requests(Api::Heartbeat)[0].client_id.as_deref(),
        Some("me")
    );
}

#[test]
fn who_does_not_log_in_is_shut_out() {
    let kafka = ScriptedKafka::builder().sasl_plain("bob", "secret");
    let kafka = kafka.start().unwrap();
    let mut client = Client::to(&kafka, 1);
    client.ask(3, &ApiVersionsRequest::default());
    client.try_ask(9, &asked::metadata()).unwrap_err();

    let mut client = Client::to(&kafka, 1);
    let unknown = asked::plain().with_mechanism(text("GSSAPI"));
    let answer = client.ask(1, &unknown);
    assert_eq!((answer.error_code, answer.mechanisms.len()), (33, 1));
    assert_eq!(client.ask(2, &asked::password("secret")).error_code, 34);
    assert_eq!(client.ask(1, &asked::plain()).error_code, 0);
    assert_eq!(client.ask(2, &asked::password("public")).error_code, 58);
    for version in [1, 2] {
        assert_eq!(
            client.ask(version, &asked::password("secret")).error_code,
            0
        );
    }
    client.ask(9, &asked::metadata());
}

#[test]
fn versions_are_as_announced() {
    let kafka = ScriptedKafka::builder().topic("orders", 1);
    let kafka = kafka
        .versions(Api::ApiVersions, 0, 2)
        .versions(Api::Metadata, 5, 7);
    let kafka = kafka.versions(Api::Fetch, 0, -1).start().unwrap();
    let mut client = Client::to(&kafka, 1);
    // Asked in 3, it answers in 0, which says what it has.
    client.send(3, &ApiVersionsRequest::default()).unwrap();
    let frame = client.frame().unwrap();
    assert_eq!(frame[4..6], 35_i16.to_be_bytes());
    assert_eq!(frame[6..10], 15_i32.to_be_bytes());
    let versions = client.ask(2, &ApiVersionsRequest::default());
    assert!(
        versions
            .api_keys
            .iter()
            .all(|known| known.api_key != Api::Fetch.key())
    );

    client.ask(7, &asked::metadata());
    client.try_ask(9, &asked::metadata()).unwrap_err();
    let mut client = Client::to(&kafka, 1);
    client.try_ask(12, &asked::fetch(0, 0)).unwrap_err();
}
