use std::collections::HashMap;

use super::plan::Want;
use crate::TopicPartition;

/// What tells a broker that a request belongs to no session.
const SESSIONLESS: i32 = -1;

/// With fewer partitions a broker takes longer to look after a session than to read them again.
const WORTH_A_SESSION: usize = 16;

const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;

/// What the broker remembers of the last request, so that the next one says only what changed
/// (KIP-227).
#[derive(Debug, Default)]
pub(super) struct Session {
    /// 0 before the broker gave one.
    id: i32,
    /// Of the next request; 0 starts a session.
    epoch: i32,
    known: HashMap<TopicPartition, Known>,
}

#[derive(Debug)]
struct Known {
    want: Want,
    /// The epoch of the request that had it last.
    wanted: i32,
}

/// One request of a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) id: i32,
    pub(super) epoch: i32,
    /// What is new or other than before.
    pub(super) changed: Vec<Want>,
    /// What is not wanted now.
    pub(super) forgotten: Vec<TopicPartition>,
}

impl Turn {
    /// A request without a session.
    pub(super) fn alone(wants: &[Want]) -> Self {
        Self {
            id: 0,
            epoch: SESSIONLESS,
            changed: wants.to_vec(),
            forgotten: Vec::new(),
        }
    }
}

impl Session {
    /// Says how to ask for this, and nothing else.
    pub(super) fn turn(&mut self, wants: &[Want]) -> Turn {
        let is_open = self.id != 0 || self.epoch != 0;
        if !is_open && wants.len() < WORTH_A_SESSION {
            return Turn::alone(wants);
        }
        if self.epoch == 0 {
            self.known.clear();
        }
        let epoch = self.epoch;
        let mut changed = Vec::new();
        for want in wants {
            match self.known.get_mut(&want.partition) {
                Some(known) => {
                    known.wanted = epoch;
                    if known.want != *want {
                        changed.push(want.clone());
                        known.want = want.clone();
                    }
                }
                None => {
                    changed.push(want.clone());
                    let (want, wanted) = (want.clone(), epoch);
                    self.known
                        .insert(want.partition.clone(), Known { want, wanted });
                }
            }
        }
        let mut forgotten = Vec::new();
        if self.known.len() > wants.len() {
            self.known.retain(|partition, known| {
                let keep = known.wanted == epoch;
                if !keep {
                    forgotten.push(partition.clone());
                }
                keep
            });
        }
        Turn {
            id: self.id,
            epoch,
            changed,
            forgotten,
        }
    }

    /// Learns of the answer; the session goes on if it is one of it.
    pub(super) fn answered(&mut self, code: i16, id: i32) {
        match code {
            0 if self.epoch == 0 => {
                // 0: the broker has no room for another session.
                self.id = id;
                self.epoch = i32::from(id != 0);
            }
            0 if id == self.id => self.epoch = self.epoch.checked_add(1).unwrap_or(1),
            0 | FETCH_SESSION_ID_NOT_FOUND => *self = Self::default(),
            _ => self.broke(),
        }
    }

    /// Learns that no answer came: the next request closes what there may be, and starts another.
    pub(super) fn broke(&mut self) {
        self.epoch = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(partition: i32, offset: i64) -> Want {
        Want {
            partition: TopicPartition::new("prices", partition),
            offset,
            leader_epoch: 0,
            last_epoch: -1,
        }
    }

    fn name(partition: i32) -> TopicPartition {
        TopicPartition::new("prices", partition)
    }

    fn turn(id: i32, epoch: i32, changed: Vec<Want>, forgotten: Vec<TopicPartition>) -> Turn {
        Turn {
            id,
            epoch,
            changed,
            forgotten,
        }
    }

    /// As many as are worth a session.
    fn full() -> Vec<Want> {
        (0..16).map(|n| want(n, 5)).collect()
    }

    #[test]
    fn the_first_request_is_full_and_the_next_say_what_changed() {
        let mut session = Session::default();
        let first = full();
        assert_eq!(session.turn(&first), turn(0, 0, first.clone(), vec![]));
        session.answered(0, 42);
        assert_eq!(session.turn(&first), turn(42, 1, vec![], vec![]));
        session.answered(0, 42);
        let mut moved = first.clone();
        moved[0].offset = 6;
        moved[1] = want(16, 0);
        assert_eq!(
            session.turn(&moved),
            turn(42, 2, moved[..2].to_vec(), vec![name(1)])
        );
        session.answered(0, 42);
        assert_eq!(
            session.turn(&first[1..]).changed,
            [want(1, 5)],
            "a forgotten one is told again"
        );
    }

    #[test]
    fn a_few_partitions_are_asked_for_alone_until_there_are_more() {
        let mut session = Session::default();
        let full = full();
        for _ in 0..2 {
            assert_eq!(session.turn(&full[1..]), Turn::alone(&full[1..]));
            session.answered(0, 0);
        }
        assert_eq!(session.turn(&full), turn(0, 0, full.clone(), vec![]));
        session.answered(0, 42);
        let others = full[2..].iter().map(|want| want.partition.clone());
        let mut few = session.turn(&full[..2]);
        few.forgotten.sort();
        assert_eq!(
            few,
            turn(42, 1, vec![], others.collect()),
            "the session goes on"
        );
        session.broke();
        let few = &full[..2];
        assert_eq!(session.turn(few), turn(42, 0, few.to_vec(), vec![]));
    }

    #[test]
    fn a_lost_session_starts_anew_and_closes_what_there_may_be() {
        let full = full();
        for (code, id) in [(70, 0), (71, 42)] {
            let mut session = Session::default();
            session.turn(&full);
            session.answered(0, 42);
            session.turn(&full);
            session.answered(code, 0);
            assert_eq!(session.turn(&full), turn(id, 0, full.clone(), vec![]));
        }
        let mut session = Session::default();
        session.turn(&full);
        session.answered(0, 42);
        session.turn(&full);
        session.broke();
        assert_eq!(session.turn(&full), turn(42, 0, full.clone(), vec![]));
        session.answered(0, 43);
        assert_eq!(session.turn(&full).id, 43);
    }

    #[test]
    fn a_broker_without_room_is_asked_in_full_each_time() {
        let mut session = Session::default();
        let full = full();
        for _ in 0..3 {
            assert_eq!(session.turn(&full), turn(0, 0, full.clone(), vec![]));
            session.answered(0, 0);
        }
    }

    #[test]
    fn an_answer_of_another_session_ends_it() {
        let mut session = Session::default();
        session.turn(&full());
        session.answered(0, 42);
        session.turn(&full());
        session.answered(0, 0);
        assert_eq!(session.turn(&full()).epoch, 0);
    }

    #[test]
    fn epochs_go_around() {
        let mut session = Session {
            id: 1,
            epoch: i32::MAX,
            ..Session::default()
        };
        session.turn(&[]);
        session.answered(0, 1);
        assert_eq!(session.epoch, 1);
    }
}
