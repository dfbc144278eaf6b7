//! Single cases that random schedules do not tell apart.

use std::time::Duration;

use cqi_kafka::TopicPartition;
use cqi_kafka::producer::sequencer::{
    Attempt, BatchId, Ending, Finished, Limits, NewBatch, Outcome, Reason, Route, Sequencer,
    Written,
};

const ROUTE: Route = Route {
    node: 1,
    connection: 0,
};
const NOW: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(30);

/// A sequencer whose first batch is acknowledged, so that more than one goes at once.
fn running() -> Sequencer {
    running_over(1)
}

fn running_over(connections: usize) -> Sequencer {
    let limits = Limits {
        max_in_flight: 5,
        retry_backoff: Duration::from_millis(100),
        retry_backoff_max: Duration::from_secs(1),
        connections,
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
        let request = sequencer.drain(now, ROUTE, 1000);
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
fn a_partition_that_was_forgotten_goes_on_beyond_its_last_epoch() {
    let mut sequencer = running();
    push(&mut sequencer, 1);
    let attempts = drain(&mut sequencer, NOW);
    // Not while something is unresolved.
    sequencer.forget(|_| true);
    sequencer.end(NOW, &attempts[0], answered(10));
    push(&mut sequencer, 2);
    let attempts = drain(&mut sequencer, NOW);
    assert_eq!(numbers(&attempts[0]), (42, 4, 0));
    sequencer.tick(DEADLINE);
    sequencer.forget(|_| true);
    // Its answer comes when nothing is known of it any more.
    sequencer.end(NOW, &attempts[0], answered(0));
    push(&mut sequencer, 3);
    sequencer.lead(&partition(), Some(1));
    assert_eq!(numbers(&drain(&mut sequencer, NOW)[0]), (42, 6, 0));
}

#[test]
fn a_partition_that_was_forgotten_without_a_producer_id_gets_another() {
    let mut sequencer = running();
    push(&mut sequencer, 1);
    let attempts = drain(&mut sequencer, NOW);
    sequencer.end(NOW, &attempts[0], answered(47));
    sequencer.forget(|_| true);
    push(&mut sequencer, 2);
    sequencer.lead(&partition(), Some(1));
    assert!(sequencer.wants_identity() && drain(&mut sequencer, NOW).is_empty());
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

/// A broker that lost what it had may take a batch without the one before it.
#[test]
fn a_proof_that_a_broker_refutes_is_none() {
    for order in [[1, 0], [0, 1]] {
        for code in [19, 45] {
            let mut sequencer = running();
            push(&mut sequencer, 1);
            push(&mut sequencer, 2);
            let attempts = drain(&mut sequencer, NOW);
            for at in order {
                sequencer.end(NOW, &attempts[at], answered([code, 0][at]));
            }
            assert_eq!(written(&sequencer.finished()), [None]);
            sequencer.tick(DEADLINE);
            assert_eq!(written(&sequencer.finished()), [Some(Written::No)]);
        }
    }
}

#[test]
fn a_batch_on_its_way_again_is_told_its_offset_although_it_is_proven() {
    let mut sequencer = running();
    push(&mut sequencer, 1);
    push(&mut sequencer, 2);
    for attempt in drain(&mut sequencer, NOW) {
        sequencer.end(NOW, &attempt, Ending::Lost);
    }
    let again = drain(&mut sequencer, NOW + Duration::from_secs(1));
    sequencer.end(NOW, &again[1], answered(0));
    sequencer.end(NOW, &again[0], answered(0));
    let told = sequencer.finished();
    assert!(told.iter().all(|finished| matches!(
        finished.outcome,
        Outcome::Delivered {
            offset: Some(10),
            ..
        }
    )));
    assert_eq!(told.len(), 2);
}

/// What was refused while its predecessor was missing is not waited for.
#[test]
fn a_batch_behind_one_in_doubt_that_does_not_fit_is_renumbered() {
    let mut sequencer = running();
    for id in 1..=3 {
        push(&mut sequencer, id);
    }
    let attempts = drain(&mut sequencer, NOW);
    // Nothing new of this epoch comes behind a batch that failed.
    push(&mut sequencer, 4);
    sequencer.end(NOW, &attempts[0], answered(-1));
    assert_eq!(written(&sequencer.finished()), [Some(Written::Unknown)]);
    assert!(drain(&mut sequencer, NOW).is_empty());
    sequencer.end(NOW, &attempts[2], Ending::Lost);
    assert!(drain(&mut sequencer, NOW).is_empty());
    sequencer.end(NOW, &attempts[1], answered(45));
    let again = drain(&mut sequencer, NOW + Duration::from_secs(1));
    assert_eq!(
        (again[0].batch, numbers(&again[0])),
        (BatchId(2), (42, 4, 0))
    );
    assert_eq!(again.len(), 1);
}

#[test]
fn nothing_new_follows_a_failed_batch_until_those_behind_it_are_resolved() {
    let mut sequencer = running();
    push(&mut sequencer, 1);
    push(&mut sequencer, 2);
    let attempts = drain(&mut sequencer, NOW);
    sequencer.end(NOW, &attempts[0], answered(-1));
    sequencer.end(NOW, &attempts[1], Ending::Lost);
    push(&mut sequencer, 3);
    let again = drain(&mut sequencer, NOW + Duration::from_secs(1));
    assert_eq!((again.len(), again[0].batch), (1, BatchId(2)));
    sequencer.end(NOW, &again[0], answered(0));
    let next = drain(&mut sequencer, NOW + Duration::from_secs(1));
    assert_eq!((next[0].batch, numbers(&next[0])), (BatchId(3), (42, 4, 0)));
}

#[test]
fn a_batch_that_is_late_behind_one_that_was_refused_is_not_written() {
    let mut sequencer = running();
    for id in 1..=3 {
        push(&mut sequencer, id);
    }
    let attempts = drain(&mut sequencer, NOW);
    sequencer.end(NOW, &attempts[0], answered(10));
    // This code says nothing of what was written, alone.
    sequencer.end(NOW, &attempts[2], answered(-1));
    sequencer.tick(DEADLINE);
    assert_eq!(written(&sequencer.finished()), [Some(Written::No); 3]);
}

#[test]
fn pauses_grow_with_failures_in_a_row_only() {
    let mut sequencer = running();
    let pause = |sequencer: &mut Sequencer, id: u64, now: Duration, answers: &[i16]| {
        push(sequencer, id);
        let mut now = now;
        for code in answers {
            let attempts = drain(sequencer, now);
            sequencer.end(now, &attempts[0], answered(*code));
            let next = sequencer.deadline(now).filter(|at| *at < DEADLINE);
            if let Some(at) = next {
                let paused = (at - now).as_millis();
                assert!((80..=120).contains(&paused), "{paused}");
                now = at;
            }
        }
        now
    };
    let now = pause(&mut sequencer, 1, NOW, &[19, 0]);
    let now = pause(&mut sequencer, 2, now, &[19, 0]);
    // Of one request's failures the first counts.
    push(&mut sequencer, 3);
    push(&mut sequencer, 4);
    let attempts = drain(&mut sequencer, now);
    sequencer.end(now, &attempts[0], answered(19));
    sequencer.end(now, &attempts[1], answered(19));
    let paused = (sequencer.deadline(now).unwrap() - now).as_millis();
    assert!((80..=120).contains(&paused), "{paused}");
}

#[test]
fn another_producer_id_is_kept_after_a_batch_that_fails() {
    let mut sequencer = running();
    push(&mut sequencer, 1);
    let attempts = drain(&mut sequencer, NOW);
    sequencer.end(NOW, &attempts[0], answered(47));
    sequencer.identify(43, 0);
    for (id, epoch) in [(2, 0), (3, 1)] {
        push(&mut sequencer, id);
        let attempts = drain(&mut sequencer, NOW);
        assert_eq!(numbers(&attempts[0]), (43, epoch, 0));
        sequencer.end(NOW, &attempts[0], answered(10));
    }
}

/// A batch of 100 bytes.
const fn large(id: u64) -> NewBatch {
    NewBatch {
        id: BatchId(id),
        records: 1,
        bytes: 100,
        deadline: DEADLINE,
    }
}

#[test]
fn a_request_holds_one_batch_however_large_and_no_partition_starves() {
    let mut sequencer = running();
    let partitions = [1, 2, 3].map(|n| TopicPartition::new("t", n));
    for (id, partition) in (0..).zip(&partitions) {
        sequencer.lead(partition, Some(1));
        for id in [id * 2 + 10, id * 2 + 11] {
            sequencer.push(partition, large(id));
        }
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        let request = sequencer.drain(NOW, ROUTE, 50);
        assert_eq!(request.len(), 1);
        order.push(request[0].partition.partition());
        sequencer.end(NOW, &request[0], answered(0));
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn no_partition_starves_beside_those_of_another_connection() {
    let mut sequencer = running_over(2);
    // The first partition has connection 0.
    let partitions = [1, 2, 3, 4].map(|n| TopicPartition::new("t", n));
    for (id, partition) in (1..).zip(&partitions) {
        sequencer.lead(partition, Some(1));
        for id in [id * 2 + 10, id * 2 + 11] {
            sequencer.push(partition, large(id));
        }
    }
    let mut order = Vec::new();
    for connection in [1, 0, 1, 0, 1, 0, 1, 0] {
        let request = sequencer.drain(
            NOW,
            Route {
                connection,
                ..ROUTE
            },
            50,
        );
        order.push(request[0].partition.partition());
        sequencer.end(NOW, &request[0], answered(0));
    }
    assert_eq!(order, [1, 2, 3, 4, 1, 2, 3, 4]);
}

#[test]
fn a_partition_keeps_its_connection_while_its_leader_is_away() {
    let mut sequencer = running_over(3);
    let partitions = [1, 2, 3, 4].map(|n| TopicPartition::new("t", n));
    for (id, partition) in (10..).zip(&partitions) {
        sequencer.lead(partition, Some(1));
        sequencer.push(partition, large(id));
    }
    let routes = |sequencer: &Sequencer| {
        let busy = sequencer.busy();
        busy.map(|(_, route)| route.map(|route| (route.node, route.connection)))
            .collect::<Vec<_>>()
    };
    let before = [1, 2, 0, 1].map(|connection| Some((1, connection)));
    assert_eq!(routes(&sequencer), before);
    sequencer.lead(&partitions[2], None);
    assert_eq!(routes(&sequencer)[2], None);
    sequencer.lead(&partitions[2], Some(1));
    assert_eq!(routes(&sequencer), before);
    sequencer.lead(&partitions[2], Some(2));
    assert_eq!(routes(&sequencer)[2], Some((2, 0)));
}

#[test]
fn what_came_too_soon_is_sent_again_at_once() {
    // The one before it was written after all; or it never will be.
    for (order, code) in [([1, 0], 0), ([0, 1], 10)] {
        let mut sequencer = running();
        push(&mut sequencer, 1);
        push(&mut sequencer, 2);
        let attempts = drain(&mut sequencer, NOW);
        for at in order {
            sequencer.end(NOW, &attempts[at], answered([code, 45][at]));
        }
        let again = drain(&mut sequencer, NOW);
        assert_eq!(
            (again[0].batch, numbers(&again[0])),
            (BatchId(2), (42, 4, 0))
        );
    }
}
