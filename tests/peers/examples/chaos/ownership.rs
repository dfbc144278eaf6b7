//! Who owned which partition when, from the journals of the members.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::journal::{self, Entry, What};
use crate::members::{Blow, Kind, Member};

/// How long a thawed member may take to learn that the group went on without it.
const NEWS: Duration = Duration::from_secs(10);

/// How an ownership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Revoked,
    /// The group had given up the member, which may have learnt of it late.
    Lost,
    Frozen,
    Gone,
}

/// One ownership of one partition.
#[derive(Clone, Debug)]
pub struct Span {
    pub partition: i32,
    pub member: String,
    pub kind: Kind,
    pub from: Duration,
    pub to: Duration,
    pub end: End,
    /// The first and the last offset handled.
    pub offsets: Option<(i64, i64)>,
    /// When the last record of it was handled, or when it began.
    pub seen: Duration,
}

/// One handled record.
#[derive(Clone, Copy, Debug)]
pub struct Handled {
    pub at: Duration,
    pub partition: i32,
    pub offset: i64,
    pub value: u64,
}

/// All that the members of one group did.
#[derive(Debug, Default)]
pub struct Story {
    pub spans: Vec<Span>,
    pub handled: Vec<Handled>,
    /// What went against the contract of a consumer.
    pub broken: Vec<String>,
    /// How often what failed, by member and text.
    pub failures: BTreeMap<String, usize>,
}

impl Story {
    pub fn of(members: &[Member]) -> Self {
        let mut story = Self::default();
        for member in members {
            story.read(member);
        }
        story.spans.sort_by_key(|span| (span.partition, span.from));
        story.handled.sort_by_key(|record| record.at);
        story
    }

    fn read(&mut self, member: &Member) {
        let entries = journal::read(&member.journal);
        let mut owned: BTreeMap<i32, Span> = BTreeMap::new();
        let mut blows = member.blows.iter().copied().peekable();
        // What it owned when it was frozen, and until when it may believe that it still does.
        let mut frozen = BTreeMap::new();
        let mut dazed_until = None;
        for entry in &entries {
            while let Some((at, blow)) = blows.next_if(|(at, _)| *at <= entry.at) {
                match blow {
                    Blow::Frozen => {
                        frozen = owned.clone();
                        self.close(&mut owned, None, at, End::Frozen);
                    }
                    Blow::Thawed => {
                        dazed_until = learns(&entries, at);
                        // A group that is rebalancing waits for its members.
                        if dazed_until.is_none() {
                            let again = std::mem::take(&mut frozen).into_iter();
                            owned.extend(again.map(|(n, span)| (n, Span { from: at, ..span })));
                        }
                    }
                    Blow::Gone => self.close(&mut owned, None, at, End::Gone),
                }
            }
            let dazed = dazed_until.is_some_and(|until| entry.at <= until);
            match &entry.what {
                What::Assigned(partitions) if !dazed => {
                    for &partition in partitions {
                        let span = Span {
                            partition,
                            member: member.name.clone(),
                            kind: member.kind,
                            from: entry.at,
                            to: Duration::MAX,
                            end: End::Gone,
                            offsets: None,
                            seen: entry.at,
                        };
                        if owned.insert(partition, span).is_some() {
                            self.broken
                                .push(format!("{}: {partition} assigned twice", member.name));
                        }
                    }
                }
                What::Revoked(partitions) => {
                    self.close(&mut owned, Some(partitions), entry.at, End::Revoked);
                }
                What::Lost(partitions) => {
                    self.close(&mut owned, Some(partitions), entry.at, End::Lost);
                }
                What::Assigned(_) => {}
                &What::Handled {
                    partition,
                    offset,
                    value,
                } => {
                    self.handled.push(Handled {
                        at: entry.at,
                        partition,
                        offset,
                        value,
                    });
                    if !dazed {
                        self.follow(member, &mut owned, partition, offset, entry.at);
                    }
                }
                What::Failed(text) => {
                    *self
                        .failures
                        .entry(format!("{}: {text}", member.kind))
                        .or_default() += 1;
                }
            }
        }
        let rest = blows.next().or(member.blows.last().copied());
        let (at, end) = match rest {
            Some((at, Blow::Frozen)) => (at, End::Frozen),
            Some((at, _)) => (at, End::Gone),
            None => (journal::now(), End::Gone),
        };
        self.close(&mut owned, None, at, end);
    }

    /// Checks that a record is the next of one that is owned.
    fn follow(
        &mut self,
        member: &Member,
        owned: &mut BTreeMap<i32, Span>,
        partition: i32,
        offset: i64,
        at: Duration,
    ) {
        let place = format!("{} at {at:?}: {partition}, offset {offset}", member.name);
        let Some(span) = owned.get_mut(&partition) else {
            self.broken
                .push(format!("{place}, of a partition it does not own"));
            return;
        };
        let first = span.offsets.map_or(offset, |(first, _)| first);
        if let Some((_, last)) = span.offsets.filter(|(_, last)| last + 1 != offset) {
            self.broken.push(format!("{place} after {last}"));
        }
        span.offsets = Some((first, offset));
        span.seen = at;
    }

    fn close(
        &mut self,
        owned: &mut BTreeMap<i32, Span>,
        which: Option<&std::collections::BTreeSet<i32>>,
        at: Duration,
        end: End,
    ) {
        let ends =
            |partition: &i32, _: &mut Span| which.is_none_or(|which| which.contains(partition));
        let closed = owned.extract_if(.., ends);
        self.spans.extend(closed.map(|(_, span)| Span {
            to: at,
            end,
            ..span
        }));
    }

    /// Returns pairs of ownerships of one partition at one time, and for how long.
    pub fn overlaps(&self) -> Vec<(&Span, &Span, Duration)> {
        let mut overlaps = Vec::new();
        for (n, span) in self.spans.iter().enumerate() {
            let later = self.spans[n + 1..].iter();
            let later =
                later.take_while(|later| later.partition == span.partition && later.from < span.to);
            overlaps.extend(later.map(|later| (span, later, span.to.min(later.to) - later.from)));
        }
        overlaps
    }

    /// Returns the longest time between two records of each partition within a time, and when it began.
    pub fn silences(&self, from: Duration, to: Duration) -> BTreeMap<i32, (Duration, Duration)> {
        let mut last: BTreeMap<i32, Duration> = BTreeMap::new();
        let mut longest: BTreeMap<i32, (Duration, Duration)> = BTreeMap::new();
        for record in self
            .handled
            .iter()
            .filter(|record| (from..=to).contains(&record.at))
        {
            let before = last.insert(record.partition, record.at).unwrap_or(from);
            let entry = longest.entry(record.partition).or_default();
            *entry = (*entry).max((record.at - before, before));
        }
        for (partition, at) in last {
            let entry = longest.entry(partition).or_default();
            *entry = (*entry).max((to.saturating_sub(at), at));
        }
        longest
    }
}

/// Returns when a member, thawed at a time, learns that the group went on without it, if it did.
fn learns(entries: &[Entry], thawed: Duration) -> Option<Duration> {
    let news = entries
        .iter()
        .find(|entry| entry.at >= thawed && matches!(entry.what, What::Lost(_)));
    news.map(|entry| entry.at).filter(|at| *at <= thawed + NEWS)
}
