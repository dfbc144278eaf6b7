//! Fetch sessions (KIP-227): what a client fetches without naming it each time.

use std::collections::BTreeMap;

use kafka_protocol::messages::FetchRequest;

use super::state::State;

const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
const INVALID_FETCH_SESSION_EPOCH: i16 = 71;

#[derive(Clone, Debug)]
pub(super) struct FetchSession {
    node: i32,
    /// Expected next.
    epoch: i32,
    /// Whether all partitions are answered for, not only those with news.
    pub(super) is_full: bool,
    pub(super) partitions: BTreeMap<(String, i32), FetchPosition>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct FetchPosition {
    pub(super) offset: i64,
    pub(super) limit: usize,
    /// The leader's epoch that the client knows, and that of the record before; -1 for none.
    pub(super) current_epoch: i32,
    pub(super) last_epoch: i32,
    /// High watermark and start of the log, as the client was told last.
    pub(super) told: Option<(i64, i64)>,
}

/// Returns what a request is for: its session as it leaves it, or a new one.
pub(super) fn of(request: &FetchRequest, state: &State, node: i32) -> Result<FetchSession, i16> {
    let mut session = if request.session_epoch > 0 {
        let known = state.sessions.get(&request.session_id);
        let known = known.filter(|session| session.node == node);
        let session = known.ok_or(FETCH_SESSION_ID_NOT_FOUND)?.clone();
        if session.epoch != request.session_epoch {
            return Err(INVALID_FETCH_SESSION_EPOCH);
        }
        session
    } else {
        FetchSession {
            node,
            epoch: 0,
            is_full: true,
            partitions: BTreeMap::new(),
        }
    };
    for topic in &request.forgotten_topics_data {
        for partition in &topic.partitions {
            session
                .partitions
                .remove(&(topic.topic.to_string(), *partition));
        }
    }
    for topic in &request.topics {
        for asked in &topic.partitions {
            let key = (topic.topic.to_string(), asked.partition);
            let position = FetchPosition {
                offset: asked.fetch_offset,
                limit: usize::try_from(asked.partition_max_bytes).unwrap_or_default(),
                current_epoch: asked.current_leader_epoch,
                last_epoch: asked.last_fetched_epoch,
                told: session.partitions.get(&key).and_then(|known| known.told),
            };
            session.partitions.insert(key, position);
        }
    }
    Ok(session)
}

/// Keeps the session for the next request, and returns its id; 0 for none.
pub(super) fn keep(request: &FetchRequest, session: FetchSession, state: &mut State) -> i32 {
    if session.is_full {
        state.sessions.remove(&request.session_id);
        if request.session_epoch < 0 {
            return 0;
        }
        state.sessions_made += 1;
    }
    let id = match session.is_full {
        true => state.sessions_made,
        false => request.session_id,
    };
    let next = FetchSession {
        epoch: session.epoch.checked_add(1).unwrap_or(1),
        is_full: false,
        ..session
    };
    state.sessions.insert(id, next);
    id
}
