use std::fmt::Write;

use cqi_kafka::records::{Batches, Decompressor, FetchedRecords, Marker, Record, TimestampType};

use super::{drain, golden, golden_text};

fn sum(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(
        || "null".to_owned(),
        |bytes| format!("{}:{:08x}", bytes.len(), crc32c::crc32c(bytes)),
    )
}

/// Says what is in the batches as Golden.java does.
fn describe(name: &str) -> String {
    let mut text = String::new();
    let mut decompressor = Decompressor::default();
    for batch in Batches::new(golden(name)) {
        let batch = batch.unwrap();
        let header = batch.header();
        writeln!(
            text,
            "batch {}..{} epoch {} producer {}/{}/{} transactional {} control {} {}",
            header.base_offset,
            header.last_offset(),
            header.leader_epoch,
            header.producer.id,
            header.producer.epoch,
            header.producer.base_sequence,
            header.is_transactional(),
            header.is_control(),
            header.compression().unwrap(),
        )
        .unwrap();
        let marker = batch.marker(&mut decompressor).unwrap();
        for record in batch.records(&mut decompressor).unwrap() {
            let record = record.unwrap();
            let (key, value) = (sum(record.key()), sum(record.value()));
            let (offset, timestamp) = (record.offset(), record.timestamp());
            write!(text, "record {offset} at {timestamp}: {key} = {value}").unwrap();
            for header in record.headers() {
                write!(text, " [{} = {}]", header.name(), sum(header.value)).unwrap();
            }
            match marker {
                None => {}
                Some(Marker::Abort) => text.push_str(" ABORT"),
                Some(Marker::Commit) => text.push_str(" COMMIT"),
                Some(other) => panic!("{other:?}"),
            }
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_java_clients_batches_read_as_in_java() {
    for name in [
        "one-none",
        "one-gzip",
        "one-snappy",
        "one-lz4",
        "one-zstd",
        "many-gzip",
        "many-snappy",
        "many-lz4",
        "many-zstd",
        "log-append-time",
        "compacted",
        "empty",
        "transactions",
    ] {
        let java = String::from_utf8(golden_text(name, "txt")).unwrap();
        assert_eq!(describe(name), java, "{name}");
    }
}

#[test]
fn repeated_headers_keep_their_order_and_the_last_one_is_found() {
    let mut fetched = FetchedRecords::new(golden("one-zstd"), 0, Decompressor::default());
    let record = fetched.next().unwrap().unwrap();
    let traces: Vec<_> = record
        .headers()
        .filter(|header| header.key == b"trace")
        .collect();
    let values: Vec<_> = traces.iter().map(|header| header.value).collect();
    assert_eq!(values, [Some(&b"a"[..]), Some(b"b"), None]);
    assert_eq!(record.headers().len(), 5);
    assert_eq!(record.header("trace"), Some(None));
    assert_eq!(record.header("naïve"), Some(Some(&b"\x01"[..])));
    assert_eq!(record.header("absent"), None);
}

#[test]
fn a_compacted_tail_is_passed_over() {
    let (records, next) = drain(FetchedRecords::new(
        golden("compacted"),
        13,
        Decompressor::default(),
    ));
    let offsets: Vec<_> = records.iter().map(Record::offset).collect();
    assert_eq!((offsets.as_slice(), next), (&[17][..], 30));
    assert_eq!(
        drain(FetchedRecords::new(
            golden("compacted"),
            18,
            Decompressor::default()
        ))
        .1,
        30
    );
}

#[test]
fn empty_batches_are_passed_over() {
    for committed in [false, true] {
        let mut fetched = FetchedRecords::new(golden("empty"), 100, Decompressor::default());
        if committed {
            fetched = fetched.read_committed([], -1);
        }
        let (records, next) = drain(fetched);
        assert!(records.is_empty());
        assert_eq!(next, 111);
    }
}

#[test]
fn a_brokers_clock_is_told_from_the_producers() {
    let batch = Batches::new(golden("log-append-time"))
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(
        batch.header().timestamp_type(),
        TimestampType::LogAppendTime
    );
    let batch = Batches::new(golden("one-none")).next().unwrap().unwrap();
    assert_eq!(batch.header().timestamp_type(), TimestampType::CreateTime);
}

#[test]
fn an_old_message_set_is_a_clear_error() {
    let error = Batches::new(golden("magic-1")).next().unwrap().unwrap_err();
    expect_test::expect![[r#"the record batch at offset 3 has magic 1, only 2 (Kafka 0.11 and later) is read; brokers store it once the topic's message format is 2"#]]
        .assert_eq(&error.to_string());
}
