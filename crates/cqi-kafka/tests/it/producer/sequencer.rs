//! Single cases that random schedules do not tell apart.

use std::time::Duration;

use cqi_kafka::TopicPartition;
use cqi_kafka::producer::sequencer::{
    Attempt, BatchId, Ending, Finished, Limits, NewBatch, Outcome, Reason, Sequencer, Written,
};

const NOW: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(30);

/// A sequencer whose first batch is acknowledged, so that more than one goes at once.
fn running() -> Sequencer {
    let limits = Limits {
        max_in_flight: 5,
        retry_backoff: Duration::from_millis(100),
        retry_backoff_max: Duration::from_secs(1),
    };
    let mut sequencer = Sequencer::new(limits, 7);
    sequencer.lead(&partition(), Some(1));
    push(&mut sequencer, 0);
    sequencer.identify(42, 3);
    let attempts = drain(&mut sequencer, NOW);
    sequencer.end(NOW, &attempts[0], answered(0));
    assert_eq!(sequencer.finished().len(), 1);
    sequencer
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn push(sequencer: &mut Sequencer, id: u64) {
    let batch = NewBatch {
        id: BatchId(id),
        records: 10,
        bytes: 100,
        deadline: DEADLINE,
    };
    sequencer.push(&partition(), batch);
}

fn drain(sequencer: &mut Sequencer, now: Duration) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    loop {
        let request = sequencer.drain(now, 1, 1000);
        if request.is_empty() {
            return attempts;
        }
        attempts.extend(request);
    }
}

const fn answered(code: i16) -> Ending {
    Ending::Answered {
        code,
        base_offset: if code == 0 { 10 } else { -1 },
        log_append_time: -1,
    }
}

fn numbers(attempt: &Attempt) -> (i64, i16, i32) {
    let producer = attempt.producer;
    (producer.id, producer.epoch, producer.base_sequence)
}

fn written(finished: &[Finished]) -> Vec<Option<Written>> {
    let written = |finished: &Finished| match finished.outcome {
        Outcome::Failed { written, .. } => Some(written),
        _ => None,
    };
    finished.iter().map(written).collect()
}

#[test]
fn a_producer_id_that_somebody_else_has_is_replaced() {
    for code in [47, 90] {
        let mut sequencer = running();
        push(&mut sequencer, 1);
        let attempts = drain(&mut sequencer, NOW);
        sequencer.end(NOW, &attempts[0], answered(code));
        let finished = sequencer.finished();
        assert!(matches!(
            finished[0].outcome,
            Outcome::Failed { reason: Reason::Refused(c), written: Written::No, attempts: 1 } if c == code
        ));
        push(&mut sequencer, 2);
        assert!(sequencer.wants_identity() && drain(&mut sequencer, NOW).is_empty());
        sequencer.identify(43, 0);
        assert_eq!(numbers(&drain(&mut sequencer, NOW)[0]), (43, 0, 0));
    }
}

#[test]
fn an_epoch_after_the_last_one_is_that_of_another_producer_id() {
    let mut sequencer = running();
    sequencer.identify(42, i16::MAX);
    let other = TopicPartition::new("t", 1);
    sequencer.lead(&other, Some(1));
    for id in [1, 2] {
        let batch = NewBatch {
            id: BatchId(id),
            records: 1,
            bytes: 100,
            deadline: DEADLINE,
        };
        sequencer.push(&other, batch);
    }
    let attempts = drain(&mut sequencer, NOW);
    assert_eq!(numbers(&attempts[0]), (42, i16::MAX, 0));
    sequencer.end(NOW, &attempts[0], answered(10));
    assert!(sequencer.wants_identity());
    sequencer.identify(43, 0);
    assert_eq!(numbers(&drain(&mut sequencer, NOW)[0]), (43, 0, 0));
}

#[test]
fn a_batch_refused_for_certain_rules_out_those_behind_it() {
    let mut sequencer = running();
    for id in 1..=3 {
        push(&mut sequencer, id);
    }
    let attempts = drain(&mut sequencer, NOW);
    assert_eq!(numbers(&attempts[2]), (42, 3, 30));
    sequencer.end(NOW, &attempts[0], answered(10));
    // The connection breaks: alone, these might be written.
    sequencer.end(NOW, &attempts[1], Ending::Lost);
    sequencer.end(NOW, &attempts[2], Ending::Lost);
    assert_eq!(written(&sequencer.finished()), [Some(Written::No)]);
    let again = drain(&mut sequencer, NOW + Duration::from_secs(1));
    assert_eq!(
        (again[0].batch, numbers(&again[0])),
        (BatchId(1 + 1), (42, 4, 0))
    );
    sequencer.end(NOW, &again[0], Ending::Unsent);
    sequencer.tick(DEADLINE);
    assert_eq!(written(&sequencer.finished()), [Some(Written::No); 2]);
}

#[test]
fn a_batch_lost_without_an_answer_rules_out_nothing() {
    let mut sequencer = running();
    for id in 1..=3 {
        push(&mut sequencer, id);
    }
    let attempts = drain(&mut sequencer, NOW);
    for attempt in &attempts {
        sequencer.end(NOW, attempt, Ending::Lost);
    }
    let again = drain(&mut sequencer, NOW + Duration::from_secs(1));
    let same: Vec<_> = again.iter().map(|a| (a.batch, a.producer)).collect();
    let first: Vec<_> = attempts.iter().map(|a| (a.batch, a.producer)).collect();
    assert_eq!(same, first);
    sequencer.tick(DEADLINE);
    assert_eq!(written(&sequencer.finished()), [Some(Written::Unknown); 3]);
    assert!(sequencer.deadline(DEADLINE).is_none());
    push(&mut sequencer, 4);
    assert_eq!(
        numbers(&drain(&mut sequencer, NOW + Duration::from_secs(1))[0]),
        (42, 4, 0)
    );
}

#[test]
fn a_batch_that_one_behind_it_proves_is_delivered_when_its_time_is_over() {
    let mut sequencer = running();
    push(&mut sequencer, 1);
    push(&mut sequencer, 2);
    let attempts = drain(&mut sequencer, NOW);
    sequencer.end(NOW, &attempts[1], answered(0));
    sequencer.tick(DEADLINE);
    assert_eq!(written(&sequencer.finished()), [None, None]);
}

#[test]
fn a_broker_that_remembers_only_the_last_batch_proves_those_before_it() {
    let mut sequencer = running();
    for id in 1..=3 {
        push(&mut sequencer, id);
    }
    for attempt in drain(&mut sequencer, NOW) {
        sequencer.end(NOW, &attempt, Ending::Lost);
    }
    let again = drain(&mut sequencer, NOW + Duration::from_secs(1));
    for (attempt, code) in again.iter().zip([45, 45, 46]) {
        sequencer.end(NOW, attempt, answered(code));
    }
    assert_eq!(written(&sequencer.finished()), [None; 3]);
}
