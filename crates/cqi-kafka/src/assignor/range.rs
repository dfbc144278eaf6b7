use super::{Member, PartitionCounts, Shares, empty_shares};
use crate::TopicPartition;

/// The first members of a topic get one partition more when the division leaves a rest.
pub(super) fn assign(members: &[&Member], topics: &PartitionCounts) -> Shares {
    let mut shares = empty_shares(members);
    for (topic, &count) in topics {
        let takers: Vec<_> = members
            .iter()
            .filter(|member| member.subscribes(topic))
            .collect();
        let mut partitions =
            (0..count).map(|partition| TopicPartition::new(topic.clone(), partition));
        let count = usize::try_from(count).unwrap_or(0);
        for (place, taker) in takers.iter().enumerate() {
            let share = count / takers.len() + usize::from(place < count % takers.len());
            if let Some(owned) = shares.get_mut(&taker.id) {
                owned.extend(partitions.by_ref().take(share));
            }
        }
    }
    shares
}
