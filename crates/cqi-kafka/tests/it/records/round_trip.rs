use bytes::{Bytes, BytesMut};
use cqi_errors::Kind;
use cqi_kafka::records::{
    BatchBuilder, BatchOptions, Batches, Compression, Decompressor, FetchedRecords, NewRecord,
    Producer, Pushed,
};
use proptest::prelude::*;

use super::{CODECS, Own, codec, drain, encode, records, reseal};

const PRODUCER: Producer = Producer {
    id: 1 << 40,
    epoch: 7,
    base_sequence: i32::MAX,
};

proptest! {
    #[test]
    fn what_is_written_is_read(records in records(), codec in codec()) {
        let batch = encode(&records, codec, PRODUCER);
        let (ours, next) = drain(FetchedRecords::new(batch.bytes().clone(), 0, Decompressor::default()));
        prop_assert_eq!(ours.iter().map(Own::of).collect::<Vec<_>>(), &records[..]);
        prop_assert_eq!(next, records.len() as i64);
        let read = Batches::new(batch.bytes().clone()).next().unwrap().unwrap();
        prop_assert_eq!(read.header(), batch.header());
        prop_assert_eq!(read.header().producer, PRODUCER);
        prop_assert_eq!(read.header().compression().unwrap(), codec);
        prop_assert_eq!(read.header().max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap());
    }

    /// A reply of several batches, asked for from any offset and cut anywhere.
    #[test]
    fn a_cut_reply_gives_its_whole_batches(
        parts in prop::collection::vec((records(), codec()), 1..4),
        offset: prop::sample::Index,
        cut: prop::sample::Index,
    ) {
        let mut reply = BytesMut::new();
        let mut ends = vec![(0, 0)];
        let mut base = 0_i64;
        for (records, codec) in &parts {
            let mut batch = encode(records, *codec, PRODUCER).bytes().to_vec();
            batch[..8].copy_from_slice(&base.to_be_bytes());
            reply.extend_from_slice(&batch);
            base += records.len() as i64;
            ends.push((reply.len(), base));
        }
        let offset = offset.index(base as usize) as i64;
        let reply = reply.freeze().slice(..cut.index(reply_len(&ends) + 1));
        let (whole, end) = *ends.iter().rfind(|(end, _)| *end <= reply.len()).unwrap();
        let mut fetched = FetchedRecords::new(reply.clone(), offset, Decompressor::default());
        let offsets: Vec<_> = fetched.by_ref().map(|record| record.unwrap().offset()).collect();
        prop_assert_eq!(offsets, (offset..end.max(offset)).collect::<Vec<_>>());
        prop_assert_eq!(fetched.next_offset(), end.max(offset));
        prop_assert_eq!(fetched.is_truncated(), whole < reply.len());
    }

    #[test]
    fn another_producer_state_is_all_that_changes(records in records(), codec in codec()) {
        let first = encode(&records, codec, PRODUCER);
        let other = Producer { id: 2, epoch: 0, base_sequence: 0 };
        let shared = first.bytes().clone();
        let second = first.with_producer(other).bytes().clone();
        prop_assert_eq!(second, encode(&records, codec, other).bytes().clone());
        let again = encode(&records, codec, PRODUCER);
        prop_assert_eq!(&shared, again.bytes(), "what is shared stays");
    }
}

fn reply_len(ends: &[(usize, i64)]) -> usize {
    ends.last().unwrap().0
}

#[test]
fn large_records_pass_through_every_codec() {
    let noise: Vec<u8> = (0..300_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for compression in CODECS {
        for value in [vec![b'x'; 700_000], noise.clone()] {
            let mut builder = BatchBuilder::new(BatchOptions {
                compression,
                ..BatchOptions::default()
            });
            let record = NewRecord {
                value: Some(&value),
                ..NewRecord::at(0)
            };
            assert_eq!(builder.push(&record).unwrap(), Pushed::At(0));
            let batch = builder.finish(Producer::NONE).unwrap();
            let (records, _) = drain(FetchedRecords::new(
                batch.bytes().clone(),
                0,
                Decompressor::default(),
            ));
            assert!(records[0].value() == Some(&value[..]), "{compression}");
        }
    }
}

#[test]
fn a_gzip_level_is_used() {
    let size = |gzip_level| {
        let options = BatchOptions {
            compression: Compression::Gzip,
            gzip_level,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        let value = "a somewhat repetitive value of prices 1.0842 1.0843 ".repeat(100);
        let pushed = builder.push(&NewRecord {
            value: Some(value.as_bytes()),
            ..NewRecord::at(0)
        });
        assert_eq!(pushed.unwrap(), Pushed::At(0));
        builder.finish(Producer::NONE).unwrap().bytes().len()
    };
    assert!(size(0) > 5000 && size(9) < 500);
    assert_eq!(size(10), size(9));
}

#[test]
fn a_full_batch_says_so_and_stays_as_it_was() {
    let options = BatchOptions {
        max_bytes: 200,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options).with_capacity(usize::MAX);
    let record = NewRecord {
        value: Some(&[7; 50]),
        ..NewRecord::at(5)
    };
    assert_eq!(builder.push(&record).unwrap(), Pushed::At(0));
    assert_eq!(builder.push(&record).unwrap(), Pushed::At(1));
    let size = builder.size();
    assert_eq!(builder.push(&record).unwrap(), Pushed::Full);
    assert_eq!((builder.size(), builder.len()), (size, 2));
    let batch = builder.finish(Producer::NONE).unwrap();
    assert_eq!(batch.bytes().len(), size, "the size is exact");
    assert_eq!(
        drain(FetchedRecords::new(
            batch.bytes().clone(),
            0,
            Decompressor::default()
        ))
        .0
        .len(),
        2
    );
}

#[test]
fn what_brokers_refuse_is_refused_here() {
    let options = BatchOptions {
        max_bytes: 100,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options);
    let large = builder
        .push(&NewRecord {
            value: Some(&[0; 50]),
            ..NewRecord::at(0)
        })
        .unwrap_err();
    expect_test::expect!["record: a batch of 118 bytes is more than the allowed 100"]
        .assert_eq(&large.to_string());
    let early = builder.push(&NewRecord::at(-1)).unwrap_err();
    assert_eq!(
        (large.kind(), early.kind()),
        (Kind::InvalidInput, Kind::InvalidInput)
    );
    assert!(builder.is_empty());
    assert_eq!(
        builder.finish(Producer::NONE).unwrap_err().kind(),
        Kind::InvalidInput
    );
}

#[test]
fn the_values_share_the_replys_memory() {
    let record = Own {
        timestamp: 0,
        key: Some(b"k".to_vec()),
        value: Some(vec![1; 100]),
        headers: vec![],
    };
    let reply = encode(&[record], Compression::None, PRODUCER)
        .bytes()
        .clone();
    let (records, _) = drain(FetchedRecords::new(
        reply.clone(),
        0,
        Decompressor::default(),
    ));
    let value: Bytes = records[0].value_bytes().unwrap();
    assert!(reply.as_ptr_range().contains(&value.as_ptr()));
    assert_eq!(records[0].key_bytes().unwrap(), "k");
    assert_eq!(
        records[0].size(),
        1 + 2 + 100 + 1,
        "key, value's length, value, header count"
    );
    assert!(
        !format!("{:?}", records[0]).contains("[1, 1"),
        "no data in logs"
    );
}

#[test]
fn checksums_are_verified_unless_told_otherwise() {
    let record = Own {
        timestamp: 0,
        key: None,
        value: Some(vec![1; 100]),
        headers: vec![],
    };
    let mut reply = encode(&[record], Compression::None, PRODUCER)
        .bytes()
        .to_vec();
    reply[100] ^= 4;
    let bytes = Bytes::from(reply.clone());
    let error = FetchedRecords::new(bytes.clone(), 0, Decompressor::default())
        .next()
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    let unchecked = FetchedRecords::new(bytes, 0, Decompressor::default()).with_check_crcs(false);
    assert_eq!(drain(unchecked).0.len(), 1);
    reseal(&mut reply);
    assert_eq!(
        drain(FetchedRecords::new(
            reply.into(),
            0,
            Decompressor::default()
        ))
        .0
        .len(),
        1
    );
}
