//! How long the leader of a group takes to share 1,000 partitions among 50 members.

use std::collections::BTreeSet;
use std::time::Instant;

use cqi_kafka::TopicPartition;
use cqi_kafka::assignor::{Assignor, Member, PartitionCounts, Shares, Subscription};

use crate::measure::{median, percentile};

const MEMBERS: usize = 50;
const ROUNDS: usize = 200;

pub fn measure() {
    println!("\nsharing 1,000 partitions among {MEMBERS} members; medians of {ROUNDS} rounds\n");
    println!("| assignor | a new group | one leaves, two join | moved | slowest |");
    println!("|---|---:|---:|---:|---:|");
    for assignor in [
        Assignor::CooperativeSticky,
        Assignor::Range,
        Assignor::RoundRobin,
    ] {
        let topics: PartitionCounts = (0..10).map(|n| (format!("t{n}").into(), 100)).collect();
        let ids = || (0..MEMBERS + 2).map(|n| format!("member-{n:02}"));
        let subscription = || Subscription::new(topics.keys().cloned());
        let members: Vec<_> = ids()
            .take(MEMBERS)
            .map(|id| Member::new(id, subscription()))
            .collect();
        let (shares, joined) = time(assignor, &members, &topics);

        let owning = |id: String| {
            let owned = shares.get(id.as_str()).cloned().unwrap_or_default();
            Member::new(id, subscription().owning(owned, 1))
        };
        let members: Vec<_> = ids().skip(1).map(owning).collect();
        let (after, changed) = time(assignor, &members, &topics);
        let moved: usize = members.iter().map(|member| moved(member, &after)).sum();
        let all = || joined.iter().chain(&changed).copied();
        println!(
            "| {} | {:.2} ms | {:.2} ms | {moved} | {:.2} ms |",
            assignor.name(),
            median(joined.iter().copied()),
            median(changed.iter().copied()),
            percentile(all(), 100),
        );
    }
}

/// Returns the shares, and the milliseconds that each round took.
fn time(assignor: Assignor, members: &[Member], topics: &PartitionCounts) -> (Shares, Vec<f64>) {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        std::hint::black_box(assignor.assign(members, topics));
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    (assignor.assign(members, topics), times)
}

/// Returns how many partitions a member has to give up.
fn moved(member: &Member, shares: &Shares) -> usize {
    let kept: BTreeSet<&TopicPartition> = shares[&member.id].iter().collect();
    let owned = member.subscription.owned.iter();
    owned.filter(|partition| !kept.contains(partition)).count()
}
