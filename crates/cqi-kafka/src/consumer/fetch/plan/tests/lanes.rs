//! Lanes that sleep as those of `lane.rs` do, and are woken as those are.
//!
//! The other model asks whenever it likes, and cannot find that everybody sleeps although there is
//! something to ask for. Here that shows: in the end nothing but a wake-up, or a time that somebody
//! waits for, has anybody look again, and still all records have to come.

mod steps;

use super::*;

/// As in `lane.rs`.
const SIDE_WAIT: Duration = Duration::from_millis(50);
const BARREN: u32 = 2;

/// Several times the longest pause.
const CALM: Duration = Duration::from_secs(10);

/// A side lane that asks all the time takes a few hundred; who takes more goes in circles.
const MOST_STEPS: usize = 10_000;

/// Kinds of steps, and the first that is not about lanes and the caller.
const KINDS: u8 = 26;
const COMMANDS: u8 = 15;

#[derive(Debug)]
enum State {
    /// About to look for something to ask for.
    Awake,
    /// Until there is work, or a time.
    Asleep(Option<Now>),
    /// With a request under way since a time.
    Asked(Ask, Now),
    /// Until a time, whatever happens.
    Pausing(Now),
}

#[derive(Debug)]
struct Worker {
    node: i32,
    lane: Lane,
    state: State,
    work: watch::Receiver<()>,
    pauses: Pauses,
    barren: u32,
}

/// The tasks of a `Fetcher`, and its caller.
struct Lanes {
    world: World,
    workers: Vec<Worker>,
    work: watch::Sender<()>,
    /// What the client knows of leaders.
    known: BTreeMap<TopicPartition, Leader>,
    /// Whether the task that follows leaders, and that which looks offsets up, are to run.
    follows: bool,
    looks_up: bool,
    lookup_due: Option<Now>,
    /// What `Notify` keeps for the caller, and whether that waits for it.
    ready: bool,
    waits: bool,
    /// Whether a long poll ends although nothing comes.
    ends: bool,
}

impl Lanes {
    fn new(max_buffered_bytes: usize) -> Self {
        let settings = FetchSettings {
            max_buffered_bytes,
            ..settings()
        };
        let work = watch::Sender::new(());
        let world = World::new(settings, work.clone());
        let mut lanes = Self {
            known: world.leaders(),
            world,
            workers: Vec::new(),
            work,
            follows: false,
            looks_up: true,
            lookup_due: None,
            ready: false,
            waits: false,
            ends: true,
        };
        lanes.follow();
        lanes
    }

    fn work(&self) {
        self.work.send_replace(());
    }

    const fn control(&mut self) {
        (self.follows, self.looks_up) = (true, true);
    }

    fn changed(&mut self) {
        self.control();
        self.work();
        self.ready = true;
    }

    fn follow(&mut self) {
        self.follows = false;
        let nodes = self.world.plan.follow(|name| self.known.get(name).copied());
        self.workers.retain(|worker| nodes.contains(&worker.node));
        for node in nodes {
            if self.workers.iter().any(|worker| worker.node == node) {
                continue;
            }
            for lane in [Lane::Main, Lane::Side] {
                self.workers.push(Worker {
                    node,
                    lane,
                    state: State::Awake,
                    work: self.work.subscribe(),
                    pauses: pauses(),
                    barren: 0,
                });
            }
        }
        self.work();
    }

    fn refresh(&mut self) {
        self.known = self.world.leaders();
        self.follows = true;
    }

    /// Whether offsets were to be looked up.
    fn look_up(&mut self) -> bool {
        let is_due = self.lookup_due.is_some_and(|due| due <= self.world.now);
        if !self.looks_up && !is_due {
            return false;
        }
        self.looks_up = false;
        let (lookups, due) = self.world.plan.lookups(self.world.now);
        self.world.lookups.extend(lookups);
        self.lookup_due = due;
        true
    }

    /// Whether a lookup was under way, which has ended.
    fn looked_up(&mut self, fails: bool) -> bool {
        let Some(lookup) = self.world.lookups.pop() else {
            return false;
        };
        self.world.looked_up(&lookup, fails);
        self.work();
        (self.ready, self.looks_up) = (true, true);
        true
    }

    /// Whether the caller had something to do.
    fn call(&mut self, keep: bool) -> bool {
        if self.world.taken.is_some() {
            if self.world.give_back(keep) {
                self.work();
            }
            return true;
        }
        if self.waits && !std::mem::take(&mut self.ready) {
            return false;
        }
        let taken = self.world.plan.take();
        self.waits = taken.is_none();
        match taken {
            Some(Ok(taken)) => self.world.taken = Some(taken),
            Some(Err(_)) => {
                self.work();
                self.control();
            }
            None => {}
        }
        true
    }

    /// Whether a lane looked for something to ask for.
    fn look(&mut self, index: usize) -> bool {
        let now = self.world.now;
        let worker = &mut self.workers[index];
        let looks = match &worker.state {
            State::Awake => true,
            State::Asleep(due) => {
                worker.work.has_changed().unwrap() || due.is_some_and(|due| due <= now)
            }
            State::Pausing(until) => *until <= now,
            State::Asked(..) => false,
        };
        if looks {
            worker.work.mark_unchanged();
            let asked = self.world.plan.ask(worker.node, worker.lane, now);
            let is_beside = asked.as_ref().is_ok_and(|ask| ask.beside);
            worker.state = match asked {
                Ok(ask) => State::Asked(ask, now),
                Err(due) => State::Asleep(due),
            };
            if is_beside {
                self.work();
            }
        }
        looks
    }

    fn answered(&mut self, index: usize, parts: Vec<FetchPartition>) {
        let worker = &mut self.workers[index];
        let State::Asked(ask, since) = std::mem::replace(&mut worker.state, State::Awake) else {
            return;
        };
        let changes = self.world.answered(ask, parts);
        if self.world.plan.wakes(worker.node, worker.lane) {
            self.work.send_replace(());
        }
        let now = self.world.now;
        if changes != Changes::default() || now - since >= max_wait(worker.lane) / 2 {
            worker.barren = 0;
            worker.pauses.reset();
        } else if worker.barren < BARREN {
            worker.barren += 1;
        } else {
            worker.state = State::Pausing(now + worker.pauses.next());
        }
        self.ready |= changes.ready;
        if changes.lookups {
            self.control();
        }
    }

    fn failed(&mut self, index: usize, trouble: Option<Error>) {
        let worker = &mut self.workers[index];
        let State::Asked(ask, _) = std::mem::replace(&mut worker.state, State::Awake) else {
            return;
        };
        self.ready |= trouble.is_some();
        self.world.plan.failed(ask, trouble);
        if self.world.plan.wakes(worker.node, worker.lane) {
            self.work.send_replace(());
        }
        worker.state = State::Pausing(self.world.now + worker.pauses.next());
    }

    /// What a broker answers as soon as it has something to say.
    fn honest(&self, ask: &Ask) -> Option<Vec<FetchPartition>> {
        let part_max = self.world.plan.settings().partition_max_bytes;
        let mut left = usize::try_from(ask.max_bytes).unwrap();
        let (mut is_first, mut speaks) = (true, false);
        let part = |want: &Want| {
            let log = self.world.log(&want.partition);
            let most = left.min(usize::try_from(part_max).unwrap());
            let fitting = log.fitting(want.offset, most);
            // The first batch comes however large it is.
            let batches = fitting.max(usize::from(is_first));
            let index = want.partition.partition();
            let mut part = log.answer(index, want.offset, batches, 0);
            let code = self.world.refusal(ask, want).max(part.error_code);
            if code != 0 {
                part = FetchPartition {
                    partition_index: index,
                    ..refused(code)
                };
            }
            let bytes = part.records.as_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(bytes);
            is_first &= bytes == 0;
            speaks |= bytes > 0 || code != 0;
            part
        };
        let parts = ask.wants.iter().map(part).collect();
        speaks.then_some(parts)
    }

    /// Has a lane do what it can do now.
    fn go_on(&mut self, index: usize) -> bool {
        if self.look(index) {
            return true;
        }
        let worker = &self.workers[index];
        let State::Asked(ask, since) = &worker.state else {
            return false;
        };
        let parts = self.honest(ask);
        let end = self.end_of(worker.lane, *since);
        let goes_on = parts.is_some() || end.is_some_and(|end| end <= self.world.now);
        if goes_on {
            self.answered(index, parts.unwrap_or_default());
        }
        goes_on
    }

    /// When a request is answered although there is nothing to say.
    fn end_of(&self, lane: Lane, since: Now) -> Option<Now> {
        (self.ends || lane == Lane::Side).then(|| since + max_wait(lane))
    }

    /// When somebody goes on without being woken.
    fn next_time(&self) -> Option<Now> {
        let times = self
            .workers
            .iter()
            .filter_map(|worker| match &worker.state {
                State::Awake => None,
                State::Asleep(due) => *due,
                State::Asked(_, since) => self.end_of(worker.lane, *since),
                State::Pausing(until) => Some(*until),
            });
        times.chain(self.lookup_due).min()
    }

    /// Lets everybody do what they can, for a while in which nothing else happens.
    fn settle(&mut self, keeps: bool, caller_first: bool) {
        let until = self.world.now + CALM;
        for _ in 0..MOST_STEPS {
            if self.follows {
                self.follow();
            }
            let goes_on = self.look_up()
                || self.looked_up(false)
                || caller_first && self.call(keeps)
                || (0..self.workers.len()).any(|index| self.go_on(index))
                || self.call(keeps);
            if goes_on {
                continue;
            }
            let time = self.next_time().filter(|time| *time <= until);
            self.world.now = time.unwrap_or(until);
            if time.is_none() {
                return;
            }
        }
        panic!("they go in circles: {:?}", self.workers);
    }

    fn check(&self) {
        for (name, slot) in self.world.plan.partitions.iter() {
            if slot.paused {
                continue;
            }
            let (cursor, log) = (self.world.cursors[&name], self.world.log(&name));
            assert_eq!(cursor, Some(log.end), "{name}: {slot:?} {:?}", self.workers);
            let is_asked = self.workers.iter().any(
                |worker| matches!(&worker.state, State::Asked(ask, _) if slot.asked == Some(ask.id)),
            );
            assert!(is_asked || self.ends, "{name}: {slot:?} {:?}", self.workers);
        }
    }

    fn calm(&mut self, keeps: bool, caller_first: bool) {
        let settings = self.world.plan.settings();
        let part = usize::try_from(settings.partition_max_bytes).unwrap();
        // Where there is no room for an answer of each lane, what is due may have to wait for the end
        // of the long poll. Elsewhere nothing has to.
        self.ends = keeps || settings.max_buffered_bytes < part * 2 * NODES.unsigned_abs() as usize;
        if !keeps {
            self.world.kept.clear();
        }
        if self.known != self.world.leaders() {
            self.refresh();
        }
        for _ in 0..2 {
            self.settle(keeps, caller_first);
            self.check();
            for log in &mut self.world.logs {
                log.append(3, 0);
            }
        }
    }
}

fn max_wait(lane: Lane) -> Duration {
    match lane {
        Lane::Main => settings().max_wait,
        Lane::Side => SIDE_WAIT,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn nobody_sleeps_while_there_is_something_to_ask_for(
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 0..200),
        kinds in any::<u32>(),
        commands in any::<u32>(),
        // Less than a partition may bring, up to two of them in an answer.
        max_buffered_bytes in prop_oneof![3 => 10_usize..1200, 1 => 9600_usize..9601],
        keeps in any::<bool>(),
        caller_first in any::<bool>(),
    ) {
        let mut lanes = Lanes::new(max_buffered_bytes);
        // Most commands wake everybody, which hides what others missed: each schedule has a few kinds.
        let kinds = kinds & (commands | ((1 << COMMANDS) - 1));
        for (kind, a, b) in steps {
            let kind = kind % KINDS;
            if kinds >> kind & 1 == 1 {
                lanes.step(kind, a, b);
            }
        }
        lanes.calm(keeps, caller_first);
    }
}
