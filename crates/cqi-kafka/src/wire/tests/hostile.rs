//! Answers that no broker would send must not panic, and must not take memory that their bytes do not
//! justify.

use std::env;

use allocation_counter::measure;
use bytes::Bytes;
use fastrand::Rng;
use kafka_protocol::messages::FetchRequest;

use super::oracle::draw;
use super::respond::Respond;
use super::{ROOM, any_version, each_api, frame};
use crate::assignor::{Assignment, Subscription};
use crate::records::{
    AbortedTransaction, BatchBuilder, BatchOptions, Batches, Compression, Decompressor,
    FetchedRecords, NewHeader, NewRecord, Producer,
};
use crate::wire::{FetchPartition, FetchTopic, decode};

/// A topic without partitions takes three bytes of a frame and this many times that in memory; what
/// is nested in the first one comes on top.
const TIMES: u64 = 24;
/// An error's.
const MESSAGE: u64 = 2048;

fn survive<R: Respond>(bytes: Bytes, version: i16) -> bool {
    let most = TIMES * bytes.len() as u64 + MESSAGE;
    let mut whole = false;
    let shown = bytes.clone();
    let used = measure(|| whole = decode::<R>(bytes, version, ROOM).is_ok());
    assert!(
        used.bytes_max <= most,
        "{:?} took {} for {shown:?}",
        R::KEY,
        used.bytes_max
    );
    whole
}

fn valid<R: Respond>(seed: u64) -> (Bytes, i16) {
    let mut rng = Rng::with_seed(seed);
    let version = any_version::<R>(&mut rng);
    let answer = draw::<R>(&mut rng, version);
    (frame::<R>(&answer, version, &mut rng), version)
}

#[test]
fn a_truncated_answer_is_an_error() {
    fn check<R: Respond>(seed: u64) {
        let (bytes, version) = valid::<R>(seed);
        let bytes = bytes.slice(..bytes.len().min(3000));
        for end in 0..bytes.len() {
            assert!(
                !survive::<R>(bytes.slice(..end), version),
                "{end} of {seed}"
            );
        }
    }
    for seed in 0..6 {
        each_api!(check(seed));
    }
}

#[test]
fn an_impossible_length_is_survived_wherever_it_stands() {
    fn check<R: Respond>(seed: u64) {
        let (bytes, version) = valid::<R>(seed);
        let lengths: [&[u8]; 6] = [
            &[0x7f, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xfe],
            &[0x80, 0, 0, 0],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
        ];
        for at in 4..bytes.len().min(500) {
            for length in lengths {
                let written = [&bytes[..at], length, &bytes[at..]].concat();
                survive::<R>(written.into(), version);
                let after = bytes.get(at + length.len()..).unwrap_or_default();
                let written = [&bytes[..at], length, after].concat();
                survive::<R>(written.into(), version);
            }
        }
    }
    for seed in 0..2 {
        each_api!(check(seed));
    }
}

#[test]
fn every_byte_changed_is_survived() {
    fn check<R: Respond>(seed: u64) {
        let (bytes, version) = valid::<R>(seed);
        for at in 0..bytes.len().min(300) {
            for change in [0x01, 0x80, 0xff, bytes[at]] {
                let mut changed = bytes.to_vec();
                changed[at] ^= change;
                survive::<R>(changed.into(), version);
            }
        }
    }
    for seed in 0..2 {
        each_api!(check(seed));
    }
}

/// Topics without partitions take three bytes each.
#[test]
fn elements_without_content_take_no_more_memory_than_an_answer_may() {
    const COUNT: usize = 100_000;
    let mut frame = vec![0, 0, 0, 7, 0]; // correlation id, and no tagged fields
    frame.extend([0; 10]); // throttling, no error, no session
    frame.extend([0xa1, 0x8d, 0x06]); // COUNT + 1
    frame.extend([1, 1, 0].repeat(COUNT));
    frame.push(0);
    let frame = Bytes::from(frame);
    let element = size_of::<FetchTopic>();
    for (room, fits) in [(COUNT * element, true), (COUNT * element - 1, false)] {
        let mut read = None;
        let used = measure(|| read = Some(decode::<FetchRequest>(frame.clone(), 12, room)));
        match read.unwrap() {
            Ok(answer) => assert!(fits && answer.responses.len() == COUNT),
            Err(error) => {
                assert!(
                    !fits && error.to_string().contains("max_frame_bytes"),
                    "{error}"
                );
                assert!(used.bytes_max < MESSAGE, "{}", used.bytes_max);
            }
        }
    }
    // Those in one another's come on top of each other.
    let nested = Bytes::from_static(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2]);
    let nested = [&nested[..], &[0; 37], &[0, 0]].concat();
    let partition = size_of::<FetchPartition>();
    for (room, fits) in [
        (element + partition, true),
        (element + partition - 1, false),
    ] {
        let read = decode::<FetchRequest>(nested.clone().into(), 12, room);
        assert_eq!(read.is_ok(), fits, "{read:?}");
    }
}

/// `CQI_FUZZ_CASES` for a long run.
#[test]
fn any_bytes_are_survived_by_every_decoder() {
    let cases = env::var("CQI_FUZZ_CASES").map_or(20_000, |cases| cases.parse().unwrap());
    let mut rng = Rng::with_seed(env::var("CQI_FUZZ_SEED").map_or(0, |seed| seed.parse().unwrap()));
    let mut answers = Vec::new();
    for seed in 0..32 {
        answers.extend(each_api!(target(seed)));
    }
    let messages: Vec<_> = (0..32).map(|_| message(&mut rng)).collect();
    let batches: Vec<_> = (0..64).map(|_| batch(&mut rng)).collect();
    for case in 0..cases {
        match case % 17 {
            0 => members(&mutated(&messages[rng.usize(..messages.len())], &mut rng)),
            1 => records(&mutated(&batches[rng.usize(..batches.len())], &mut rng)),
            _ => {
                let (bytes, version, survive) = &answers[rng.usize(..answers.len())];
                survive(mutated(bytes, &mut rng), *version);
            }
        }
    }
}

type Target = (Bytes, i16, fn(Bytes, i16) -> bool);

fn target<R: Respond>(seed: u64) -> Target {
    let (bytes, version) = valid::<R>(seed);
    (bytes, version, survive::<R>)
}

/// Valid bytes with a few changes, or none that were ever valid.
fn mutated(bytes: &Bytes, rng: &mut Rng) -> Bytes {
    if rng.u8(..8) == 0 {
        let length = rng.usize(..120);
        return std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
    }
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.u8(..)),
            2 => {
                let length = [
                    0x7f_ff_ff_ff,
                    u32::MAX,
                    1 << 31,
                    rng.u32(..),
                    rng.u32(..300),
                ];
                let length = length[rng.usize(..5)].to_be_bytes();
                let end = bytes.len().min(at + 4);
                bytes.splice(at..end, length);
            }
            3 => {
                let end = bytes.len().min(at + rng.usize(..6));
                bytes.splice(at..end, [0xff, 0xff, 0xff, 0xff, rng.u8(..)]);
            }
            4 => {
                let copied = bytes[at..bytes.len().min(at + rng.usize(..40))].to_vec();
                let to = rng.usize(..=bytes.len());
                bytes.splice(to..to, copied);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
        }
    }
    bytes.into()
}

/// What members tell each other.
fn message(rng: &mut Rng) -> Bytes {
    let partitions: Vec<_> = (0..rng.usize(..6))
        .map(|_| crate::TopicPartition::new(["a", "orders"][rng.usize(..2)], rng.i32(..9)))
        .collect();
    if rng.bool() {
        return Assignment::new(partitions).encode();
    }
    let mut subscription = Subscription::new(["a", "orders"]).owning(partitions, rng.i32(..));
    subscription.rack = rng.bool().then(|| "rack".into());
    subscription.encode()
}

fn members(bytes: &Bytes) {
    // A set's nodes have room for eleven.
    let most = 48 * bytes.len() as u64 + 4096;
    let used = measure(|| {
        let _ = Subscription::decode(bytes);
        let _ = Assignment::decode(bytes);
    });
    assert!(used.bytes_max <= most, "{} for {bytes:?}", used.bytes_max);
}

fn batch(rng: &mut Rng) -> Bytes {
    let compressions = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let mut batch = BatchBuilder::new(BatchOptions {
        compression: compressions[rng.usize(..compressions.len())],
        ..BatchOptions::default()
    });
    for at in 0..rng.i64(1..6) {
        let headers = [NewHeader {
            key: "key",
            value: Some(b"value" as &[u8]),
        }];
        let record = NewRecord {
            key: rng.bool().then_some(b"key"),
            value: rng.bool().then_some(b"value value value"),
            headers: &headers,
            ..NewRecord::at(at)
        };
        let _ = batch.push(&record).unwrap();
    }
    batch.finish(Producer::NONE).unwrap().bytes().clone()
}

fn records(bytes: &Bytes) {
    const MAX_BYTES: usize = 64 << 10;
    let aborted = AbortedTransaction {
        producer_id: 1,
        first_offset: 0,
    };
    let used = measure(|| {
        let fetched = FetchedRecords::new(bytes.clone(), 0, Decompressor::new(MAX_BYTES))
            .with_check_crcs(false)
            .read_committed([aborted], -1);
        let count: usize = fetched
            .filter_map(Result::ok)
            .map(|record| 1 + record.headers().count())
            .sum();
        assert!(count <= bytes.len() + MAX_BYTES);
        for batch in Batches::new(bytes.clone()) {
            let _ = batch;
        }
    });
    // The codecs' own memory with zstd's window comes on top.
    assert!(
        used.bytes_max <= 4 * MAX_BYTES as u64 + (17 << 20),
        "{}",
        used.bytes_max
    );
}
