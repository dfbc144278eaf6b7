use std::io::Write;

use allocation_counter::measure;
use bytes::Bytes;
use cqi_kafka::records::{
    AbortedTransaction, Batches, Compression, Decompressor, FetchedRecords, Producer,
};
use proptest::prelude::*;

use super::{CODECS, Own, codec, encode, golden, records, reseal};

const MAX_BYTES: usize = 1 << 20;
/// A buffer that is doubling, the codecs' own memory with zstd's window of 8 MiB, and some errors.
const BOUND: u64 = 2 * MAX_BYTES as u64 + (8 << 20) + (9 << 20);

/// Reads everything there is in every way; panics past the bounds on steps and memory.
fn swallow(bytes: &Bytes, check_crcs: bool) {
    let aborted = AbortedTransaction {
        producer_id: 1,
        first_offset: 0,
    };
    let used = measure(|| {
        let mut decompressor = Decompressor::new(MAX_BYTES);
        let mut steps = 0_usize;
        for committed in [false, true] {
            let mut fetched =
                FetchedRecords::new(bytes.clone(), 0, decompressor).with_check_crcs(check_crcs);
            if committed {
                fetched = fetched.read_committed([aborted], -1);
            }
            let mut at = 0;
            for record in &mut fetched {
                steps += 1;
                if let Ok(record) = record {
                    for header in record.headers() {
                        steps += 1;
                        let _ = header.name();
                    }
                    assert!(record.offset() >= at);
                    at = record.offset();
                }
            }
            assert!(fetched.next_offset() >= at);
            assert!(fetched.next().is_none(), "an end is an end");
            decompressor = fetched.into_decompressor();
        }
        let batches = Batches::new(bytes.clone()).with_check_crcs(check_crcs);
        for batch in batches.filter_map(Result::ok) {
            let _ = batch.marker(&mut decompressor);
            steps += batch.records(&mut decompressor).map_or(0, Iterator::count);
        }
        // A record takes seven bytes, a header two, each read at most thrice.
        assert!(steps <= 3 * (bytes.len() + MAX_BYTES), "{steps} steps");
    });
    assert!(used.bytes_max <= BOUND, "{} bytes at once", used.bytes_max);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        swallow(&bytes.into(), false);
    }

    #[test]
    fn any_header_and_records_are_survived(
        mut bytes in prop::collection::vec(any::<u8>(), 61..200),
        attributes in 0_u8..64,
        count in 0_u8..20,
    ) {
        let length = bytes.len() as u32 - 12;
        bytes[..8].fill(0);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        bytes[21..23].copy_from_slice(&[0, attributes]);
        bytes[23] = 0;
        bytes[57..61].copy_from_slice(&[0, 0, 0, count]);
        reseal(&mut bytes);
        swallow(&bytes.into(), true);
    }

    #[test]
    fn flipped_bits_are_survived(
        records in records(),
        codec in codec(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..6),
    ) {
        let mut batch = encode(&records, codec, Producer { id: 1, epoch: 0, base_sequence: 0 }).bytes().to_vec();
        for (at, bit) in flips {
            let at = at.index(batch.len());
            batch[at] ^= 1 << bit;
        }
        reseal(&mut batch);
        swallow(&batch.into(), false);
    }
}

/// `PROPTEST_CASES` for a long run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(128)
}

#[test]
fn every_bit_of_the_java_clients_batches_flipped_is_survived() {
    for name in [
        "one-none",
        "one-gzip",
        "one-snappy",
        "one-lz4",
        "one-zstd",
        "transactions",
    ] {
        let bytes = golden(name);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            swallow(&flipped.into(), false);
        }
    }
}

#[test]
fn every_flipped_bit_is_found_by_the_checksum_or_the_header() {
    let bytes = golden("one-lz4");
    for bit in 8 * 8..bytes.len() * 8 {
        // The leader epoch is the broker's to change, outside of the checksum.
        if (12 * 8..16 * 8).contains(&bit) {
            continue;
        }
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut fetched = FetchedRecords::new(flipped.into(), 0, Decompressor::default());
        assert!(!matches!(fetched.next(), Some(Ok(_))), "bit {bit}");
        assert_eq!(fetched.next_offset(), 0, "a bad batch is never passed over");
    }
}

/// Compresses zeros into a batch of one codec as any producer could.
fn bomb(codec: Compression, size: usize) -> Bytes {
    let record = Own {
        timestamp: 0,
        key: None,
        value: Some(vec![0; 10]),
        headers: vec![],
    };
    let mut batch = encode(&[record], codec, Producer::NONE).bytes()[..61].to_vec();
    let zeros = vec![0; size];
    match codec {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(batch, flate2::Compression::best());
            encoder.write_all(&zeros).unwrap();
            batch = encoder.finish().unwrap();
        }
        Compression::Snappy => {
            batch.extend(snap::raw::Encoder::new().compress_vec(&zeros).unwrap());
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(batch);
            encoder.write_all(&zeros).unwrap();
            batch = encoder.finish().unwrap();
        }
        Compression::Zstd => {
            ruzstd::encoding::compress(
                &zeros[..],
                &mut batch,
                ruzstd::encoding::CompressionLevel::Fastest,
            );
        }
        _ => batch.extend(zeros),
    }
    let length = batch.len() as u32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    reseal(&mut batch);
    batch.into()
}

#[test]
fn a_bomb_is_refused_within_the_bound() {
    for codec in &CODECS[1..] {
        let bytes = bomb(*codec, 8 << 20);
        swallow(&bytes, true);
        let mut fetched = FetchedRecords::new(bytes, 0, Decompressor::new(MAX_BYTES));
        let error = fetched.next().unwrap().unwrap_err().to_string();
        assert!(
            error.contains("more than the allowed 1048576 bytes"),
            "{codec}: {error}"
        );
        assert_eq!(fetched.next_offset(), 0);
    }
}

#[test]
fn the_bound_itself_is_allowed() {
    let record = |len| Own {
        timestamp: 0,
        key: None,
        value: Some(vec![3; len]),
        headers: vec![],
    };
    for codec in &CODECS[1..] {
        let batch = encode(&[record(5000)], *codec, Producer::NONE);
        // length 2, attributes, two deltas, null key 1, value length 2, header count 1
        let size = 5000 + 9;
        let first = |max| {
            FetchedRecords::new(batch.bytes().clone(), 0, Decompressor::new(max))
                .next()
                .unwrap()
        };
        assert!(first(size).is_ok(), "{codec}");
        assert!(first(size - 1).is_err(), "{codec}");
    }
}

#[test]
fn reading_allocates_nothing_per_record() {
    let record = Own {
        timestamp: 0,
        key: Some(b"key".to_vec()),
        value: Some(vec![1; 100]),
        headers: vec![("a".to_owned(), None), ("a".to_owned(), Some(vec![1]))],
    };
    let batch = encode(&vec![record; 5000], Compression::None, Producer::NONE);
    let used = measure(|| {
        let fetched = FetchedRecords::new(batch.bytes().clone(), 0, Decompressor::default());
        let lengths = fetched.map(|record| {
            let record = record.unwrap();
            record.value().unwrap().len()
                + record.headers().len()
                + record.header("a").unwrap().unwrap().len()
        });
        assert_eq!(lengths.sum::<usize>(), 5000 * 103);
    });
    assert!(used.count_total <= 1, "{} allocations", used.count_total);
}
