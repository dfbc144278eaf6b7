use allocation_counter::measure;
use bytes::{Buf, Bytes};
use cqi_errors::Kind;
use fastrand::Rng;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiVersionsRequest, ProduceRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::{
    Decodable, Message, StrBytes, VersionRange, decode_request_header_from_buffer,
};

use super::respond::Respond;
use super::{ROOM, each_api};
use crate::wire::{Api, Versions, decode, encode};

const CLIENT: StrBytes = StrBytes::from_static_str("me");

#[test]
fn a_flexible_request() {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("cqi"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let frame = encode(&request, 3, 7, &CLIENT).unwrap();
    let expected: [&[u8]; 9] = [
        &[0, 0, 0, 20],
        &[0, 18],
        &[0, 3],
        &[0, 0, 0, 7],
        &[0, 2, b'm', b'e'],
        &[0],
        &[4, b'c', b'q', b'i'],
        &[2, b'1'],
        &[0],
    ];
    assert_eq!(frame, expected.concat());
}

#[test]
fn a_request_of_the_old_encoding() {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("A"));
    let frame = encode(&request, 1, 7, &CLIENT).unwrap();
    let expected: [&[u8]; 6] = [
        &[0, 0, 0, 15],
        &[0, 17],
        &[0, 1],
        &[0, 0, 0, 7],
        &[0, 2, b'm', b'e'],
        &[0, 1, b'A'],
    ];
    assert_eq!(frame, expected.concat());
}

#[test]
fn a_broker_reads_each_request() {
    fn check<R: Api + Decodable + Default + PartialEq + std::fmt::Debug>() {
        for version in R::VERSIONS.min..=R::VERSIONS.max {
            let mut frame = encode(&R::default(), version, -7, &CLIENT).unwrap();
            assert_eq!(frame.get_i32() as usize, frame.len());
            let header = decode_request_header_from_buffer(&mut frame).unwrap();
            assert_eq!(header.request_api_key, R::KEY as i16);
            assert_eq!(header.request_api_version, version);
            assert_eq!(header.correlation_id, -7);
            assert_eq!(header.client_id, Some(CLIENT));
            assert_eq!(R::decode(&mut frame, version).unwrap(), R::default());
            assert!(!frame.has_remaining());
        }
    }
    each_api!(check());
}

#[test]
fn kafka_protocol_speaks_our_versions() {
    fn check<R: Api + Message>() {
        let VersionRange { min, max } = <R as Message>::VERSIONS;
        let ours = <R as Api>::VERSIONS;
        assert!(min <= ours.min && ours.min <= ours.max && ours.max <= max);
    }
    each_api!(check());
}

#[test]
fn the_highest_common_version_is_spoken() {
    let ours = Versions::new(6, 9);
    assert_eq!(ours.common(Versions::new(0, 7)), Some(7));
    assert_eq!(ours.common(Versions::new(0, 12)), Some(9));
    assert_eq!(ours.common(Versions::new(9, 12)), Some(9));
    assert_eq!(ours.common(Versions::new(0, 5)), None);
    assert_eq!(ours.common(Versions::new(10, 12)), None);
    assert_eq!(ours.common(Versions::new(8, 7)), None, "a lie");
}

#[test]
fn records_are_copied_once_into_a_frame_of_the_right_size() {
    let partition = PartitionProduceData::default().with_records(Some(vec![1; 100_000].into()));
    let topic = TopicProduceData::default()
        .with_name(StrBytes::from_static_str("orders").into())
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_topic_data(vec![topic]);
    let mut frame = Bytes::new();
    let used = measure(|| frame = encode(&request, 9, 7, &CLIENT).unwrap());
    assert!(used.bytes_total < frame.len() as u64 + 100, "{used:?}");
}

#[test]
fn what_the_protocol_cannot_say_is_refused() {
    let endless = StrBytes::from_string("a".repeat(40_000));
    let error = encode(&SaslHandshakeRequest::default(), 1, 7, &endless).unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    let text = error.to_string();
    assert!(
        text.starts_with("cannot write a SaslHandshake request of version 1: "),
        "{text}"
    );
}

#[test]
fn an_answer_says_how_long_to_be_quiet() {
    fn check<R: Respond>() -> i32 {
        use super::{frame, oracle::draw};
        use crate::wire::Answer;
        let version = R::VERSIONS.max;
        let mut rng = Rng::with_seed(3);
        let answer = draw::<R>(&mut rng, version);
        let text = format!("{answer:?}");
        let read = decode::<R>(frame::<R>(&answer, version, &mut rng), version, ROOM).unwrap();
        let said = read.throttle_ms();
        let expected = format!("throttle_time_ms: {said}");
        assert!(
            text.contains(&expected) || !text.contains("throttle_time_ms"),
            "{text}"
        );
        said
    }
    assert!(each_api!(check()).iter().any(|ms| *ms != 0));
}
