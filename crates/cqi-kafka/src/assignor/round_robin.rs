use super::{Member, PartitionCounts, Shares, empty_shares};
use crate::TopicPartition;

/// Deals to the next member that subscribed to the topic, and goes on from there.
pub(super) fn assign(members: &[&Member], topics: &PartitionCounts) -> Shares {
    let mut shares = empty_shares(members);
    let mut next = 0;
    for (topic, &count) in topics {
        for partition in 0..count {
            let taker = (0..members.len())
                .map(|step| (next + step) % members.len())
                .find(|&place| members[place].subscribes(topic));
            let Some(place) = taker else { break };
            if let Some(owned) = shares.get_mut(&members[place].id) {
                owned.insert(TopicPartition::new(topic.clone(), partition));
            }
            next = place + 1;
        }
    }
    shares
}
