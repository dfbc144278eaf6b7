use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cqi_kafka::TopicPartition;
use cqi_kafka::assignor::{
    Assignment, Assignor, Member, PartitionCounts, Rebalance, Shares, Subscription,
};
use proptest::prelude::*;

const ALL: [Assignor; 3] = [
    Assignor::Range,
    Assignor::RoundRobin,
    Assignor::CooperativeSticky,
];

fn counts(topics: &[(&str, i32)]) -> PartitionCounts {
    topics
        .iter()
        .map(|&(topic, count)| (topic.into(), count))
        .collect()
}

fn member(id: &str, topics: &[&str]) -> Member {
    Member::new(id, Subscription::new(topics.iter().copied()))
}

fn text(shares: &Shares) -> String {
    let line = |(id, share): (&Arc<str>, &BTreeSet<TopicPartition>)| {
        let share: Vec<_> = share.iter().map(ToString::to_string).collect();
        format!("{id}: {}", share.join(" "))
    };
    shares.iter().map(line).collect::<Vec<_>>().join("; ")
}

#[test]
fn range_cuts_each_topic_and_gives_the_rest_to_the_first() {
    let members = [member("b", &["t", "u"]), member("a", &["t", "u"])];
    let shares = Assignor::Range.assign(&members, &counts(&[("t", 3), ("u", 3)]));
    assert_eq!(text(&shares), "a: t-0 t-1 u-0 u-1; b: t-2 u-2");
}

#[test]
fn range_and_round_robin_put_static_members_first_by_instance() {
    let members = [
        member("a", &["t"]),
        member("z", &["t"]).with_instance_id("1"),
        member("y", &["t"]).with_instance_id("2"),
    ];
    let topics = counts(&[("t", 4)]);
    let shares = Assignor::Range.assign(&members, &topics);
    assert_eq!(text(&shares), "a: t-3; y: t-2; z: t-0 t-1");
    let shares = Assignor::RoundRobin.assign(&members, &topics);
    assert_eq!(text(&shares), "a: t-2; y: t-1; z: t-0 t-3");
}

#[test]
fn round_robin_skips_who_did_not_subscribe_as_java_documents() {
    let members = [
        member("C0", &["t0"]),
        member("C1", &["t0", "t1"]),
        member("C2", &["t0", "t1", "t2"]),
    ];
    let shares = Assignor::RoundRobin.assign(&members, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]));
    assert_eq!(text(&shares), "C0: t0-0; C1: t1-0; C2: t1-1 t2-0 t2-1 t2-2");
}

#[test]
fn sticky_does_better_where_subscriptions_differ() {
    let members = [
        member("C0", &["t0"]),
        member("C1", &["t0", "t1"]),
        member("C2", &["t0", "t1", "t2"]),
    ];
    let shares =
        Assignor::CooperativeSticky.assign(&members, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]));
    assert_eq!(text(&shares), "C0: t0-0; C1: t1-0 t1-1; C2: t2-0 t2-1 t2-2");
}

#[test]
fn sticky_follows_a_chain_of_topics_to_the_idle_member() {
    let a = Subscription::new(["x"]).owning([0, 1, 2, 3].map(|p| TopicPartition::new("x", p)), 1);
    let b = Subscription::new(["x", "y"]).owning([0, 1].map(|p| TopicPartition::new("y", p)), 1);
    let members = [
        Member::new("a", a),
        Member::new("b", b),
        member("c", &["y"]),
    ];
    let shares = Assignor::CooperativeSticky.assign(&members, &counts(&[("x", 4), ("y", 2)]));
    // Both of y wander to c, for which b takes two of x: all four wait one round.
    assert_eq!(text(&shares), "a: x-0 x-1; b: ; c: ");
    let members = obey(&members, &shares, 2);
    let shares = Assignor::CooperativeSticky.assign(&members, &counts(&[("x", 4), ("y", 2)]));
    assert_eq!(text(&shares), "a: x-0 x-1; b: x-2 x-3; c: y-0 y-1");
}

#[test]
fn a_moving_partition_stays_without_an_owner_for_one_round() {
    let topics = counts(&[("t", 4)]);
    let all = (0..4).map(|p| TopicPartition::new("t", p));
    let mut members = [
        Member::new("a", Subscription::new(["t"]).owning(all, 7)),
        member("b", &["t"]),
    ];
    let first = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(text(&first), "a: t-0 t-1; b: ");
    members[0].subscription = Subscription::new(["t"]).owning(first["a"].clone(), 8);
    let second = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(text(&second), "a: t-0 t-1; b: t-2 t-3");
}

#[test]
fn the_newer_claim_wins_and_disputed_partitions_wait_a_round() {
    let topics = counts(&[("t", 2)]);
    let owning = |id: &str, partition, generation| {
        let owned = [TopicPartition::new("t", partition)];
        Member::new(id, Subscription::new(["t"]).owning(owned, generation))
    };
    let newer =
        Assignor::CooperativeSticky.assign(&[owning("a", 0, 3), owning("b", 0, 4)], &topics);
    assert_eq!(text(&newer), "a: t-1; b: t-0");
    let disputed =
        Assignor::CooperativeSticky.assign(&[owning("a", 0, 4), owning("b", 0, 4)], &topics);
    assert_eq!(text(&disputed), "a: ; b: t-1");
}

#[test]
fn a_group_is_cooperative_only_if_all_its_assignors_are() {
    assert_eq!(Rebalance::of(&ALL), Rebalance::Eager);
    assert_eq!(
        Rebalance::of(&[Assignor::CooperativeSticky]),
        Rebalance::Cooperative
    );
    for assignor in ALL {
        assert_eq!(Assignor::from_name(assignor.name()), Some(assignor));
    }
}

#[test]
fn every_version_of_a_subscription_is_read_whatever_the_user_data() {
    // Version 0: topics ["t"], then user data.
    let head = |version: u8, user_data: &[u8]| {
        let mut message = vec![0, version, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0];
        message.push(u8::try_from(user_data.len()).unwrap());
        message.extend_from_slice(user_data);
        message
    };
    let owned = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 5];
    let odd = b"librdkafka's own layout";

    let v0 = Subscription::decode(&head(0, odd)).unwrap();
    assert_eq!(v0, Subscription::new(["t"]));
    let mut v1 = head(1, &[0, 0, 0, 9]);
    v1.extend(owned);
    let expected = Subscription::new(["t"]).owning([TopicPartition::new("t", 5)], 9);
    assert_eq!(Subscription::decode(&v1).unwrap(), expected);
    let mut v2 = head(2, odd);
    v2.extend(owned);
    v2.extend([0, 0, 0, 9]);
    assert_eq!(Subscription::decode(&v2).unwrap(), expected);
    let mut v4 = v2.clone();
    v4[1] = 4;
    v4.extend([0, 1, b'r', 1, 2, 3]);
    assert_eq!(
        Subscription::decode(&v4).unwrap().rack.as_deref(),
        Some("r")
    );
    assert_eq!(Subscription::decode(&expected.encode()).unwrap(), expected);
    // Null user data.
    let mut null = head(0, &[]);
    null[9..].fill(0xff);
    assert_eq!(
        Subscription::decode(&null).unwrap(),
        Subscription::new(["t"])
    );
    assert_eq!(Assignment::decode(&[]).unwrap(), Assignment::default());
}

#[test]
fn our_subscription_has_java_s_layout() {
    let subscription = Subscription::new(["t"]).owning([TopicPartition::new("t", 5)], 9);
    #[rustfmt::skip]
    assert_eq!(&subscription.encode()[..], [
        0, 3, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 4, 0, 0, 0, 9,
        0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 9, 0xff, 0xff,
    ]);
}

/// 50 members, 1,000 partitions: one member leaves, two come, and 20 partitions are added.
#[test]
fn fifty_members_share_a_thousand_partitions() {
    let ids: Vec<String> = (0..52).map(|n| format!("member-{n:02}")).collect();
    let mut topics: PartitionCounts = (0..10).map(|n| (format!("t{n}").into(), 100)).collect();
    let names: Vec<_> = topics.keys().cloned().collect();
    let mut members: Vec<_> = ids[..50]
        .iter()
        .map(|id| Member::new(id.as_str(), Subscription::new(names.clone())))
        .collect();
    let settled = Assignor::CooperativeSticky.assign(&members, &topics);
    assert!(settled.values().all(|share| share.len() == 20));

    for member in &mut members {
        let owned = settled[&member.id].clone();
        member.subscription = Subscription::new(names.clone()).owning(owned, 1);
    }
    members.remove(7);
    for id in &ids[50..] {
        members.push(Member::new(id.as_str(), Subscription::new(names.clone())));
    }
    *topics.get_mut("t0").unwrap() += 20;
    let round = Assignor::CooperativeSticky.assign(&members, &topics);
    let kept: usize = members
        .iter()
        .map(|member| {
            member
                .subscription
                .owned
                .intersection(&round[&member.id])
                .count()
        })
        .sum();
    // 980 were owned; 51 members hold 20 each again, so nobody has to give anything up.
    assert_eq!(kept, 980);
    assert!(round.values().all(|share| share.len() == 20));
}

prop_compose! {
    fn groups()(
        sizes in prop::collection::vec(0i32..12, 1..5),
        wishes in prop::collection::vec(prop::collection::vec(any::<bool>(), 5), 1..7),
        equal in any::<bool>(),
        owners in prop::collection::vec((0usize..8, -1i32..3), 60),
        second in prop::collection::vec((0usize..8, 0usize..60), 0..4),
    ) -> (Vec<Member>, PartitionCounts) {
        let topics: PartitionCounts = sizes.iter().enumerate()
            .map(|(n, &size)| (format!("t{n}").into(), size)).collect();
        let all: Vec<_> = topics.iter()
            .flat_map(|(topic, &count)| (0..count + 1).map(|p| TopicPartition::new(topic.clone(), p)))
            .collect();
        let mut members: Vec<_> = wishes.iter().enumerate().map(|(n, wish)| {
            let wish = if equal { &wishes[0] } else { wish };
            let names = topics.keys().zip(wish).filter(|(_, wanted)| **wanted).map(|(t, _)| t.clone());
            Member::new(format!("m{n}"), Subscription::new(names))
        }).collect();
        let claims = all.iter().zip(&owners).map(|(p, &(owner, generation))| (p, owner, generation));
        let disputes = second.iter().filter_map(|&(owner, at)| Some((all.get(at)?, owner, 2)));
        for (partition, owner, generation) in claims.chain(disputes) {
            if let Some(member) = members.get_mut(owner) {
                member.subscription.owned.insert(partition.clone());
                member.subscription.generation = member.subscription.generation.max(Some(generation)).filter(|g| *g >= 0);
            }
        }
        (members, topics)
    }
}

fn wanted(members: &[Member], topics: &PartitionCounts) -> BTreeSet<TopicPartition> {
    topics
        .iter()
        .filter(|(topic, _)| {
            members
                .iter()
                .any(|m| m.subscription.topics.contains(*topic))
        })
        .flat_map(|(topic, &count)| (0..count).map(|p| TopicPartition::new(topic.clone(), p)))
        .collect()
}

/// What the members own after they did as told.
fn obey(members: &[Member], shares: &Shares, generation: i32) -> Vec<Member> {
    let mut members = members.to_vec();
    for member in &mut members {
        let topics = member.subscription.topics.clone();
        member.subscription =
            Subscription::new(topics).owning(shares[&member.id].clone(), generation);
    }
    members
}

/// Repeats rounds until nothing is held back.
fn settle(
    assignor: Assignor,
    members: &[Member],
    topics: &PartitionCounts,
) -> (Vec<Member>, Shares) {
    let mut members = members.to_vec();
    for generation in 10..10 + ROUNDS {
        let shares = assignor.assign(&members, topics);
        members = obey(&members, &shares, generation);
        let given: usize = shares.values().map(BTreeSet::len).sum();
        if given == wanted(&members, topics).len() {
            return (members, shares);
        }
    }
    panic!("not settled after {ROUNDS} rounds: {members:#?}");
}

const ROUNDS: i32 = 3;

proptest! {
    #[test]
    fn every_partition_has_one_owner_who_wants_it((members, topics) in groups()) {
        for assignor in ALL {
            let first = assignor.assign(&members, &topics);
            let mut reversed = members.clone();
            reversed.reverse();
            prop_assert_eq!(&first, &assignor.assign(&reversed, &topics));

            let (members, shares) = settle(assignor, &members, &topics);
            let mut seen = BTreeSet::new();
            for member in &members {
                for partition in &shares[&member.id] {
                    prop_assert!(member.subscription.topics.contains(partition.topic()));
                    prop_assert!(seen.insert(partition.clone()), "{} twice", partition);
                }
            }
            prop_assert_eq!(seen, wanted(&members, &topics));
            // Once settled, nothing moves.
            prop_assert_eq!(&shares, &assignor.assign(&obey(&members, &shares, 11), &topics));
        }
    }

    #[test]
    fn nobody_gets_what_another_still_owns((members, topics) in groups()) {
        let shares = Assignor::CooperativeSticky.assign(&members, &topics);
        for (id, share) in &shares {
            for partition in share {
                let claims = |m: &&Member| m.subscription.owned.contains(partition);
                let others = members.iter().filter(claims).filter(|m| m.id != *id);
                let own = members.iter().filter(claims).find(|m| m.id == *id);
                for other in others {
                    prop_assert!(own.is_some_and(|own|
                        own.subscription.generation > other.subscription.generation));
                }
            }
        }
    }

    #[test]
    fn equal_subscriptions_are_balanced_with_the_fewest_moves((members, topics) in groups()) {
        let mut members = members;
        let wish = members[0].subscription.topics.clone();
        members.iter_mut().for_each(|m| m.subscription.topics.clone_from(&wish));
        let first = Assignor::CooperativeSticky.assign(&members, &topics);
        let before = obey(&members, &first, 10);
        let after = Assignor::CooperativeSticky.assign(&before, &topics);
        let total = wanted(&before, &topics).len();
        let (floor, ceil) = (total / before.len(), total.div_ceil(before.len()));
        for share in after.values() {
            prop_assert!((floor..=ceil).contains(&share.len()));
        }

        // From any state without disputes: the excess or the deficit, whichever is larger.
        let mut undisputed = members.clone();
        let mut seen = BTreeSet::new();
        for member in &mut undisputed {
            member.subscription.owned.retain(|p| seen.insert(p.clone()));
        }
        let wanted = wanted(&undisputed, &topics);
        let owned: Vec<usize> = undisputed.iter()
            .map(|m| m.subscription.owned.intersection(&wanted).count()).collect();
        let unowned = total - owned.iter().sum::<usize>();
        let excess: usize = owned.iter().map(|n| n.saturating_sub(ceil)).sum();
        let deficit: usize = owned.iter().map(|n| floor.saturating_sub(*n)).sum();
        let fewest = excess.max(deficit.saturating_sub(unowned));
        let shares = Assignor::CooperativeSticky.assign(&undisputed, &topics);
        let kept: usize = undisputed.iter()
            .map(|m| m.subscription.owned.intersection(&shares[&m.id]).count()).sum();
        prop_assert_eq!(owned.iter().sum::<usize>() - kept, fewest);
    }

    #[test]
    fn different_subscriptions_leave_no_move_that_helps((members, topics) in groups()) {
        let (members, shares) = settle(Assignor::CooperativeSticky, &members, &topics);
        let by_id: BTreeMap<_, _> = members.iter().map(|m| (&m.id, m)).collect();
        for (from, share) in &shares {
            for partition in share {
                for (to, other) in &shares {
                    if by_id[to].subscription.topics.contains(partition.topic()) {
                        prop_assert!(other.len() + 2 > share.len() , "{} from {} to {}", partition, from, to);
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), version in 0u8..5) {
        let mut bytes = bytes;
        let _ = Subscription::decode(&bytes);
        let _ = Assignment::decode(&bytes);
        if bytes.len() > 2 {
            (bytes[0], bytes[1]) = (0, version);
            if let Ok(read) = Subscription::decode(&bytes) {
                prop_assert_eq!(Subscription::decode(&read.encode()).unwrap(), read);
            }
        }
    }
}
