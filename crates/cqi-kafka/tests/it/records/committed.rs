use cqi_kafka::records::{AbortedTransaction, Decompressor, FetchedRecords, Record};

use super::{drain, golden};

const ABORTED: AbortedTransaction = AbortedTransaction {
    producer_id: 1,
    first_offset: 0,
};

fn transactions(offset: i64) -> FetchedRecords {
    FetchedRecords::new(golden("transactions"), offset, Decompressor::default())
}

fn offsets(fetched: FetchedRecords) -> (Vec<i64>, i64) {
    let (records, next) = drain(fetched);
    (records.iter().map(Record::offset).collect(), next)
}

#[test]
fn uncommitted_reads_see_all_data_and_no_markers() {
    assert_eq!(offsets(transactions(0)), (vec![0, 1, 2, 3, 4, 6, 9], 10));
}

#[test]
fn an_aborted_transaction_is_dropped_up_to_its_marker() {
    let fetched = transactions(0).read_committed([ABORTED], -1);
    assert_eq!(offsets(fetched), (vec![2, 3, 4, 6, 9], 10));
}

#[test]
fn an_open_transaction_is_held_back() {
    let fetched = transactions(0).read_committed([ABORTED], 9);
    assert_eq!(offsets(fetched), (vec![2, 3, 4, 6], 9));
}

#[test]
fn only_the_aborting_producer_is_dropped_and_only_from_its_first_offset() {
    let later = AbortedTransaction {
        producer_id: 1,
        first_offset: 6,
    };
    let fetched = transactions(0).read_committed([later], -1);
    // Only its abort marker ends it, as in Java.
    assert_eq!(offsets(fetched), (vec![0, 1, 2, 3, 4], 10));
    let plain = AbortedTransaction {
        producer_id: 3,
        first_offset: 0,
    };
    let fetched = transactions(0).read_committed([plain], -1);
    assert_eq!(
        offsets(fetched).0,
        [0, 1, 2, 3, 4, 6, 9],
        "producer 3 has no transaction"
    );
}

#[test]
fn two_transactions_of_one_producer_in_any_order_of_the_list() {
    let later = AbortedTransaction {
        producer_id: 1,
        first_offset: 6,
    };
    let fetched = transactions(0).read_committed([later, ABORTED], -1);
    assert_eq!(
        offsets(fetched),
        (vec![2, 3, 4], 10),
        "7 commits producer 2, 8 nothing aborted"
    );
}

#[test]
fn a_fetch_within_an_aborted_transaction_still_drops_it() {
    // The broker starts at the batch that has the offset, and lists what began before it.
    let fetched = transactions(1).read_committed([ABORTED], -1);
    assert_eq!(offsets(fetched), (vec![2, 3, 4, 6, 9], 10));
}

#[test]
fn the_position_follows_each_record() {
    let mut fetched = transactions(0).read_committed([ABORTED], 9);
    let mut positions = vec![fetched.next_offset()];
    while let Some(record) = fetched.next() {
        record.unwrap();
        positions.push(fetched.next_offset());
    }
    positions.push(fetched.next_offset());
    assert_eq!(positions, [0, 3, 4, 5, 7, 9]);
    assert!(fetched.next().is_none());
}
