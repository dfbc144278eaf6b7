use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};

use crate::kafka::scripted::sessions::{self, FetchPosition};
use crate::kafka::scripted::state::{NOT_LEADER, Partition, name};
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

const OFFSET_OUT_OF_RANGE: i16 = 1;

/// The version from which on an answer tells of another leader and of lost records.
const TELLS_LEADER: i16 = 12;

impl Handle for FetchRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<FetchResponse> {
        let mut session = match sessions::of(self, turn.state, turn.node) {
            Ok(session) => session,
            Err(code) => return Some(FetchResponse::default().with_error_code(code)),
        };
        let mut room = usize::try_from(self.max_bytes).unwrap_or_default();
        let mut topics: Vec<FetchableTopicResponse> = Vec::new();
        let mut length = 0;
        let mut is_urgent = false;
        // An error code for each partition needs partitions.
        let tells_all = !turn.may_wait(Duration::MAX);
        for (key, position) in &mut session.partitions {
            let answer = read(key, *position, room, turn);
            let found = answer.records.as_ref().map_or(0, Bytes::len);
            room = room.saturating_sub(found);
            length += found;
            let is_special = answer.error_code != 0 || answer.diverging_epoch.end_offset >= 0;
            is_urgent |= is_special;
            let told = Some((answer.high_watermark, answer.log_start_offset));
            let is_news = is_special || found > 0 || position.told != told;
            if session.is_full || is_news || tells_all {
                position.told = told;
                put(&mut topics, &key.0, answer);
            }
        }
        let wait = Duration::from_millis(self.max_wait_ms.max(0).unsigned_abs().into());
        let is_enough = usize::try_from(self.min_bytes).is_ok_and(|least| length >= least);
        if !is_urgent && !is_enough && turn.may_wait(wait) {
            return None;
        }
        let session_id = sessions::keep(self, session, turn.state);
        let answer = FetchResponse::default().with_session_id(session_id);
        Some(answer.with_responses(topics))
    }
}

fn put(topics: &mut Vec<FetchableTopicResponse>, topic: &str, partition: PartitionData) {
    match topics.last_mut().filter(|last| *last.topic == *topic) {
        Some(last) => last.partitions.push(partition),
        None => topics.push(
            FetchableTopicResponse::default()
                .with_topic(name(topic))
                .with_partitions(vec![partition]),
        ),
    }
}

fn read(
    (topic, index): &(String, i32),
    position: FetchPosition,
    room: usize,
    turn: &mut Turn<'_>,
) -> PartitionData {
    let tells_leader = turn.version >= TELLS_LEADER;
    let mut answer = PartitionData::default()
        .with_partition_index(*index)
        .with_aborted_transactions(None)
        .with_records(Some(Bytes::new()));
    match turn
        .state
        .led(turn.node, (topic, *index), position.current_epoch)
    {
        Ok(partition) => {
            answer.high_watermark = partition.log.end;
            answer.last_stable_offset = partition.log.end;
            answer.log_start_offset = partition.log.start;
            if let Some(end) = diverging(partition, position).filter(|_| tells_leader) {
                answer.diverging_epoch = end;
            } else if (partition.log.start..=partition.log.end).contains(&position.offset) {
                let limit = room.min(position.limit);
                if room > 0 {
                    answer.records = Some(partition.log.read(position.offset, limit));
                }
            } else {
                fail(&mut answer, OFFSET_OUT_OF_RANGE);
            }
        }
        Err(code) => {
            fail(&mut answer, code);
            let leader = turn.state.partition(topic, *index);
            if let Some(partition) = leader.filter(|_| code == NOT_LEADER && tells_leader) {
                answer.current_leader = LeaderIdAndEpoch::default()
                    .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
                    .with_leader_epoch(partition.epoch);
            }
        }
    }
    answer
}

/// Where the log differs from what the client has read.
fn diverging(partition: &Partition, position: FetchPosition) -> Option<EpochEndOffset> {
    let last = Some(position.last_epoch).filter(|epoch| *epoch >= 0)?;
    let (epoch, end) = partition.log.end_of(last);
    let end_offset = EpochEndOffset::default()
        .with_epoch(epoch)
        .with_end_offset(end);
    (epoch < last || end < position.offset).then_some(end_offset)
}

fn fail(partition: &mut PartitionData, code: i16) {
    partition.error_code = code;
    partition.high_watermark = -1;
    partition.last_stable_offset = -1;
    partition.log_start_offset = -1;
    partition.diverging_epoch = EpochEndOffset::default();
    partition.records = Some(Bytes::new());
}

impl Fail for FetchResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.session_id = 0;
        self.responses.clear();
    }

    fn fail_items(&mut self, code: i16) {
        for topic in &mut self.responses {
            for partition in &mut topic.partitions {
                fail(partition, code);
            }
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
