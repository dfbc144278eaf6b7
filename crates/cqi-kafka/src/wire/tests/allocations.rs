use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use kafka_protocol::messages::FetchRequest;

use super::{ROOM, frame};
use crate::records::AbortedTransaction;
use crate::wire::{FetchAnswer, FetchPartition, FetchTopic, correlation_id, decode};

/// Fetching is the hot path: one for the topics, one for each topic's partitions, and one for each
/// partition with aborted transactions.
#[test]
fn a_fetch_answer_takes_one_allocation_per_array() {
    for (topics, partitions, aborting) in [(0, 0, 0), (1, 1, 0), (3, 100, 0), (3, 100, 7)] {
        let aborted = AbortedTransaction {
            producer_id: 1,
            first_offset: 2,
        };
        let partition = |index| FetchPartition {
            partition_index: index,
            records: Some(Bytes::from(vec![1; 100])),
            aborted_transactions: if index < aborting {
                vec![aborted; 3]
            } else {
                Vec::new()
            },
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: "orders".into(),
            partitions: (0..partitions).map(partition).collect(),
        };
        let answer = FetchAnswer {
            responses: vec![topic; topics],
            ..FetchAnswer::default()
        };
        let mut buffer = BytesMut::from(frame::<FetchRequest>(&answer, 12, &mut Rng::with_seed(1)));
        // Shared from here on, as what is split off a connection's buffer.
        let bytes = buffer.split_to(buffer.len()).freeze();
        let mut read = None;
        let used = measure(|| {
            assert_eq!(correlation_id(&bytes), Some(7));
            read = Some(decode::<FetchRequest>(bytes.clone(), 12, ROOM));
        });
        assert_eq!(read.unwrap().unwrap(), answer);
        let arrays = usize::from(topics > 0) + topics + topics * aborting as usize;
        assert_eq!(used.count_total, arrays as u64);
    }
}
