use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, FetchRequest};
use kafka_protocol::protocol::StrBytes;

use crate::records::AbortedTransaction;
use crate::wire::field::{Field, fields};
use crate::wire::reader::{Malformed, Reader};
use crate::wire::{Answer, Api, Versions};

impl Api for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    const VERSIONS: Versions = Versions::new(12, 12);
    type Answer = FetchAnswer;
}

impl Answer for FetchAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct FetchAnswer {
        throttle_time_ms: i32;
        error_code: i16;
        /// 0 without a fetch session.
        session_id: i32;
        responses: Vec<FetchTopic>;
    }

    struct FetchTopic {
        topic: StrBytes;
        partitions: Vec<FetchPartition>;
    }

    struct FetchPartition {
        partition_index: i32;
        error_code: i16;
        high_watermark: i64;
        /// -1 where it is not known.
        last_stable_offset: i64;
        /// -1 where it is not known.
        log_start_offset: i64;
        aborted_transactions: Vec<AbortedTransaction>;
        /// -1 for the leader.
        preferred_read_replica: i32;
        /// Batches, the last of which may be cut off.
        records: Option<Bytes>;
    } tagged {
        /// What was read before does not belong to this log from here on.
        0: diverging_epoch: EpochEndOffset;
        /// With a code that says that it moved.
        1: current_leader: LeaderIdAndEpoch;
    }

    struct EpochEndOffset {
        epoch: i32;
        end_offset: i64;
    }

    struct LeaderIdAndEpoch {
        /// -1 where it is not known.
        leader_id: i32;
        leader_epoch: i32;
    }
}

impl Field for AbortedTransaction {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let aborted = Self {
            producer_id: reader.field("AbortedTransaction.producer_id", 0)?,
            first_offset: reader.field("AbortedTransaction.first_offset", 0)?,
        };
        reader.tagged_fields(|_, _| Ok(()))?;
        Ok(aborted)
    }

    fn least(flexible: bool) -> usize {
        2 * i64::least(flexible) + usize::from(flexible)
    }
}
