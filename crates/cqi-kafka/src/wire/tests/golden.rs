//! Frames written by hand, from the protocol guide.

use bytes::Bytes;
use cqi_errors::Kind;
use expect_test::expect;
use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, SaslHandshakeRequest};

use super::ROOM;
use crate::records::AbortedTransaction;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::{
    ApiVersion, ApiVersionsAnswer, EpochEndOffset, FetchAnswer, FetchPartition, FetchTopic,
    LeaderIdAndEpoch, SaslHandshakeAnswer, decode,
};

fn bytes(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

#[test]
fn the_versions_of_a_broker() {
    let frame = bytes(&[
        &[0, 0, 0, 7], // correlation id; the header has no tagged fields although the body has
        &[0, 0],       // error code
        &[3],          // two APIs
        &[0, 1, 0, 4, 0, 17, 0],
        &[0, 18, 0, 0, 0, 4, 0],
        &[0, 0, 0, 9],             // throttle time
        &[1, 1, 8],                // one tagged field, the epoch of the finalized features
        &[0, 0, 0, 0, 0, 0, 0, 5], // which is not for us
    ]);
    let answer = decode::<ApiVersionsRequest>(frame, 3, ROOM).unwrap();
    let api = |api_key, min_version, max_version| ApiVersion {
        api_key,
        min_version,
        max_version,
    };
    assert_eq!(
        answer,
        ApiVersionsAnswer {
            error_code: 0,
            api_keys: vec![api(1, 4, 17), api(18, 0, 4)],
            throttle_time_ms: 9,
        }
    );
}

#[test]
fn a_broker_that_does_not_know_the_version_answers_in_the_first() {
    let frame = bytes(&[
        &[0, 0, 0, 7], // correlation id
        &[0, 35],      // error code
        &[0, 0, 0, 1], // one API
        &[0, 18, 0, 0, 0, 2],
    ]);
    let answer = decode::<ApiVersionsRequest>(frame, 3, ROOM).unwrap();
    assert_eq!(
        answer,
        ApiVersionsAnswer {
            error_code: 35,
            api_keys: vec![ApiVersion {
                api_key: 18,
                min_version: 0,
                max_version: 2,
            }],
            throttle_time_ms: 0,
        }
    );
}

fn fetched() -> Bytes {
    bytes(&[
        &[0, 0, 0, 7, 0], // correlation id, no tagged fields
        &[0, 0, 0, 9],    // throttle time
        &[0, 0],          // error code
        &[0, 0, 0, 3],    // session
        &[2],             // one topic
        &[7],             // a name of six bytes
        b"orders",
        &[2],                        // one partition
        &[0, 0, 0, 5],               // its index
        &[0, 74],                    // error code
        &[0, 0, 0, 0, 0, 0, 1, 0],   // high watermark
        &[0, 0, 0, 0, 0, 0, 0, 255], // last stable offset
        &[0, 0, 0, 0, 0, 0, 0, 1],   // log start offset
        &[2],                        // one aborted transaction
        &[0, 0, 0, 0, 0, 0, 0, 8],   // producer id
        &[0, 0, 0, 0, 0, 0, 0, 2],   // first offset
        &[0],                        // no tagged fields
        &[255, 255, 255, 255],       // preferred read replica
        &[4],                        // three bytes of records
        b"abc",
        &[3],                                            // three tagged fields
        &[0, 13, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 6, 0], // diverging epoch
        &[1, 9, 0, 0, 0, 1, 0, 0, 0, 4, 0],              // current leader
        &[2, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // snapshot
        &[0],                                            // no tagged fields of the topic
        &[0],                                            // nor of the answer
    ])
}

#[test]
fn fetched_records() {
    assert_eq!(
        decode::<FetchRequest>(fetched(), 12, ROOM).unwrap(),
        FetchAnswer {
            throttle_time_ms: 9,
            error_code: 0,
            session_id: 3,
            responses: vec![FetchTopic {
                topic: "orders".into(),
                partitions: vec![FetchPartition {
                    partition_index: 5,
                    error_code: 74,
                    high_watermark: 256,
                    last_stable_offset: 255,
                    log_start_offset: 1,
                    aborted_transactions: vec![AbortedTransaction {
                        producer_id: 8,
                        first_offset: 2,
                    }],
                    preferred_read_replica: -1,
                    records: Some(Bytes::from_static(b"abc")),
                    diverging_epoch: Some(EpochEndOffset {
                        epoch: 2,
                        end_offset: 6,
                    }),
                    current_leader: Some(LeaderIdAndEpoch {
                        leader_id: 1,
                        leader_epoch: 4,
                    }),
                }],
            }],
        }
    );
}

#[test]
fn mechanisms_come_in_the_old_encoding() {
    let frame = bytes(&[
        &[0, 0, 0, 7], // correlation id
        &[0, 33],      // error code
        &[0, 0, 0, 1], // one mechanism
        &[0, 5],
        b"PLAIN",
    ]);
    assert_eq!(
        decode::<SaslHandshakeRequest>(frame, 1, ROOM).unwrap(),
        SaslHandshakeAnswer {
            error_code: 33,
            mechanisms: vec!["PLAIN".into()],
        }
    );
}

#[test]
fn a_varint_has_32_bits_at_most() {
    let read = |bytes: &'static [u8]| Reader::new(bytes.into(), 0, true, ROOM).unsigned_varint();
    assert_eq!(read(&[0x7f]), Ok(127));
    assert_eq!(read(&[0x80, 0x01]), Ok(128));
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
    assert_eq!(
        read(&[0xff, 0xff, 0xff, 0xff, 0x10]),
        Err(Malformed::Length)
    );
    assert_eq!(
        read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        Err(Malformed::Length)
    );
    assert_eq!(read(&[0x80]), Err(Malformed::Short));
}

#[test]
fn a_malformed_answer_is_described() {
    let frame = fetched();
    let short = decode::<FetchRequest>(frame.slice(..40), 12, ROOM).unwrap_err();
    assert_eq!(
        short.kind(),
        Kind::Permanent,
        "the same broker would do it again"
    );
    let mut null = frame.to_vec();
    null[16] = 0;
    let null = decode::<FetchRequest>(null.into(), 12, ROOM).unwrap_err();
    let mut text = frame.to_vec();
    text[17] = 0xff;
    let text = decode::<FetchRequest>(text.into(), 12, ROOM).unwrap_err();
    let mut length = frame.to_vec();
    length[16..21].fill(0xff);
    let length = decode::<FetchRequest>(length.into(), 12, ROOM).unwrap_err();
    let errors = [short, null, text, length].map(|error| error.to_string());
    expect![[r#"
        the broker's Fetch answer of version 12 is malformed: FetchTopic.partitions does not fit into what is left of the frame at byte 24 of 40; check that the address is that of a Kafka broker
        the broker's Fetch answer of version 12 is malformed: FetchTopic.topic is null at byte 17 of 124; check that the address is that of a Kafka broker
        the broker's Fetch answer of version 12 is malformed: FetchTopic.topic is not UTF-8 at byte 23 of 124; check that the address is that of a Kafka broker
        the broker's Fetch answer of version 12 is malformed: FetchTopic.topic has an impossible length at byte 21 of 124; check that the address is that of a Kafka broker"#]].assert_eq(&errors.join("\n"));
}
