//! What kafka-protocol writes as a broker, we read back.

use std::any::Any;

use bytes::{BufMut, BytesMut};
use fastrand::Rng;

use super::respond::Respond;
use super::{Draw, ROOM, any_version, each_api, frame};
use crate::wire::{FetchAnswer, JoinGroupAnswer, decode};

#[test]
fn an_answer_is_read_as_it_was_written() {
    fn check<R: Respond>(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let version = any_version::<R>(&mut rng);
        let answer = draw::<R>(&mut rng, version);
        let frame = frame::<R>(&answer, version, &mut rng);
        let read = decode::<R>(frame, version, ROOM)
            .unwrap_or_else(|error| panic!("{error} (seed {seed}): {answer:#?}"));
        assert_eq!(read, answer, "seed {seed}");
    }
    for seed in 0..200 {
        each_api!(check(seed));
    }
}

#[test]
fn bytes_after_an_answer_are_ignored() {
    fn check<R: Respond>() {
        let mut rng = Rng::with_seed(1);
        let answer = draw::<R>(&mut rng, R::VERSIONS.max);
        let mut longer = BytesMut::from(frame::<R>(&answer, R::VERSIONS.max, &mut rng));
        longer.put_slice(b"more");
        assert_eq!(
            decode::<R>(longer.freeze(), R::VERSIONS.max, ROOM).unwrap(),
            answer
        );
    }
    each_api!(check());
}

/// What a broker can mean; kafka-protocol leaves out tagged fields of which all is unknown.
pub(super) fn draw<R: Respond>(rng: &mut Rng, version: i16) -> R::Answer {
    let mut answer = R::Answer::draw(rng, version);
    let any: &mut dyn Any = &mut answer;
    if let Some(answer) = any.downcast_mut::<FetchAnswer>() {
        let topics = &mut answer.responses;
        for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition
                .diverging_epoch
                .take_if(|diverging| diverging.epoch == -1);
            partition
                .current_leader
                .take_if(|leader| leader.leader_id == -1);
        }
    } else if let Some(answer) = any.downcast_mut::<JoinGroupAnswer>()
        && version < 7
    {
        // Not nullable yet.
        answer.protocol_name.get_or_insert_default();
    }
    answer
}
