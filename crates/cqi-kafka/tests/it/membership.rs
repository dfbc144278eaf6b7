use std::collections::BTreeMap;
use std::time::Duration;

use cqi_kafka::TopicPartition;
use cqi_kafka::assignor::{Assignment, Assignor};
use cqi_kafka::membership::{
    Action, Change, CommitError, Event, JoinedMember, Membership, Offset, Request, RequestId,
    Response, Settings,
};

const SECOND: Duration = Duration::from_secs(1);

/// A member alone with a broker that answers as the test wants.
struct Duo {
    member: Membership,
    now: Duration,
    /// Answers this API with this code, always or once.
    refuse: Option<(&'static str, i16)>,
    once: bool,
    /// Leaves this API without an answer, and remembers the requests.
    hold: Option<&'static str>,
    held: Vec<RequestId>,
    sent: Vec<&'static str>,
    seen: Vec<Action>,
    generation: i32,
}

fn api(request: &Request) -> &'static str {
    match request {
        Request::FindCoordinator { .. } => "FindCoordinator",
        Request::JoinGroup { .. } => "JoinGroup",
        Request::SyncGroup { .. } => "SyncGroup",
        Request::Heartbeat { .. } => "Heartbeat",
        Request::LeaveGroup { .. } => "LeaveGroup",
        Request::OffsetCommit { .. } => "OffsetCommit",
        _ => "OffsetFetch",
    }
}

fn offset(offset: i64) -> Offset {
    Offset {
        offset,
        leader_epoch: None,
        metadata: "".into(),
    }
}

impl Duo {
    fn new(settings: Settings) -> Self {
        Self {
            member: Membership::new(settings, 3),
            now: Duration::ZERO,
            refuse: None,
            once: false,
            hold: None,
            held: Vec::new(),
            sent: Vec::new(),
            seen: Vec::new(),
            generation: 0,
        }
    }

    fn working(settings: Settings) -> Self {
        let mut duo = Self::new(settings);
        duo.event(Event::Subscribe(["t".into()].into()));
        assert!(duo.member.is_stable());
        assert_eq!(duo.member.owned().len(), 2);
        duo.sent.clear();
        duo.seen.clear();
        duo
    }

    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        let mut steps = 0;
        while let Some(event) = events.pop() {
            steps += 1;
            assert!(steps < 100, "a busy loop: {:?}", self.sent);
            for action in self.member.handle(self.now, event) {
                match &action {
                    Action::Send { id, request, .. } => {
                        self.sent.push(api(request));
                        if self.hold == Some(api(request)) {
                            self.held.push(*id);
                            self.seen.push(action);
                            continue;
                        }
                        let answer = self.answer(*id, request);
                        events.insert(0, answer);
                    }
                    Action::Watch { id, .. } => events.insert(
                        0,
                        Event::Topics {
                            watch: *id,
                            counts: [("t".into(), 2)].into(),
                        },
                    ),
                    Action::Notify(Change::Revoked { id, .. }) => {
                        events.insert(0, Event::RevocationDone(*id));
                    }
                    _ => {}
                }
                self.seen.push(action);
            }
        }
    }

    /// Lets time pass in which the caller polls.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut ticks = 0;
        while let Some(next) = self.member.deadline().filter(|next| *next <= until) {
            ticks += 1;
            assert!(ticks < 2_000, "a busy loop of ticks");
            self.now = self.now.max(next);
            self.event(Event::Tick);
            self.event(Event::Polled);
        }
        self.now = until;
    }

    fn answer(&mut self, id: RequestId, request: &Request) -> Event {
        let refused = self.refuse.filter(|(refused, _)| *refused == api(request));
        let code = refused.map_or(0, |(_, code)| code);
        if refused.is_some() && self.once {
            self.refuse = None;
        }
        let response = match request {
            Request::FindCoordinator { .. } => Response::FindCoordinator { code, node: 1 },
            Request::JoinGroup { protocols, .. } => {
                self.generation += 1;
                Response::JoinGroup {
                    code,
                    generation: self.generation,
                    protocol: protocols[0].0.into(),
                    leader: "me".into(),
                    member_id: "me".into(),
                    skip_assignment: false,
                    members: vec![JoinedMember {
                        member_id: "me".into(),
                        instance_id: None,
                        metadata: protocols[0].1.clone(),
                    }],
                }
            }
            Request::SyncGroup { assignments, .. } => Response::SyncGroup {
                code,
                assignment: assignments.first().map_or_else(
                    || Assignment::default().encode(),
                    |(_, share)| share.clone(),
                ),
            },
            Request::Heartbeat { .. } => Response::Heartbeat { code },
            Request::LeaveGroup { .. } => Response::LeaveGroup { code },
            Request::OffsetCommit { offsets, .. } => Response::OffsetCommit {
                codes: offsets.keys().map(|p| (p.clone(), code)).collect(),
            },
            Request::OffsetFetch { partitions } => Response::OffsetFetch {
                code: 0,
                offsets: partitions
                    .iter()
                    .map(|p| (p.clone(), code, Some(offset(5))))
                    .collect(),
            },
            other => panic!("unexpected {other:?}"),
        };
        Event::Response(id, response)
    }

    fn failed(&self) -> Option<i16> {
        self.seen.iter().find_map(|action| match action {
            Action::Failed { code, .. } => Some(*code),
            _ => None,
        })
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        let offsets: BTreeMap<_, _> = (0..2)
            .map(|p| (TopicPartition::new("t", p), offset(9)))
            .collect();
        self.event(Event::Commit { id: 1, offsets });
        let outcome = self.seen.iter().rev().find_map(|action| match action {
            Action::Committed { outcome, .. } => Some(outcome.clone()),
            _ => None,
        });
        outcome.unwrap()
    }
}

const FATAL: [i16; 7] = [23, 24, 26, 30, 35, 81, 82];
/// What a member cannot know where to go on with.
const UNREADABLE: [i16; 4] = [12, 28, 29, 42];

#[test]
fn every_code_of_every_api_ends_well_or_in_a_clear_failure() {
    let apis = [
        "FindCoordinator",
        "JoinGroup",
        "SyncGroup",
        "Heartbeat",
        "OffsetFetch",
        "OffsetCommit",
    ];
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        for api in apis {
            for code in (-1..=135).filter(|code| *code != 0) {
                for once in [true, false] {
                    let mut settings = Settings::new("group");
                    settings.assignors = vec![assignor];
                    let mut duo = Duo::new(settings);
                    duo.refuse = Some((api, code));
                    duo.once = once;
                    duo.event(Event::Subscribe(["t".into()].into()));
                    duo.pass(10 * SECOND);
                    if duo.member.is_stable() && api == "OffsetCommit" {
                        let _ = duo.commit();
                        duo.pass(10 * SECOND);
                    }
                    let text = format!("{api} answers {code}, once: {once}: {:?}", duo.sent);
                    assert!(duo.sent.len() < 120, "{text}");
                    let unreadable = api == "OffsetFetch" && UNREADABLE.contains(&code);
                    let fatal = FATAL.contains(&code) || unreadable;
                    match duo.failed() {
                        Some(_) => assert!(fatal, "{text}"),
                        None if once => {
                            assert!(!fatal, "{text}");
                            assert!(duo.member.is_stable(), "{text}");
                            assert_eq!(duo.member.owned().len(), 2, "{text}");
                            let positions = |a: &Action| matches!(a, Action::Positions(_));
                            assert!(duo.seen.iter().any(positions), "{text}");
                        }
                        None => assert!(duo.member.deadline().is_some(), "{text}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_caller_that_stops_polling_leaves_and_comes_back_with_its_next_poll() {
    let mut duo = Duo::working(Settings::new("group"));
    while duo.seen.is_empty() || !duo.sent.contains(&"LeaveGroup") {
        duo.now = duo.member.deadline().unwrap();
        duo.event(Event::Tick);
    }
    assert_eq!(duo.now, 300 * SECOND);
    assert!(
        duo.seen
            .iter()
            .any(|a| matches!(a, Action::Notify(Change::Lost(p)) if p.len() == 2))
    );
    assert_eq!(duo.member.deadline(), None);
    duo.event(Event::Polled);
    assert_eq!(duo.member.owned().len(), 2);
}

#[test]
fn a_static_member_keeps_its_place_when_it_goes() {
    for (instance, leaves) in [(None, true), (Some("one".into()), false)] {
        let mut settings = Settings::new("group");
        settings.instance_id = instance;
        let mut duo = Duo::working(settings);
        duo.event(Event::Close);
        assert_eq!(duo.sent.contains(&"LeaveGroup"), leaves);
        assert_eq!(duo.seen.last(), Some(&Action::Closed));
        assert_eq!(duo.member.deadline(), None);
        duo.event(Event::Subscribe(["t".into()].into()));
        assert_eq!(duo.member.deadline(), None);
    }
}

#[test]
fn the_id_that_the_coordinator_gives_is_brought_along() {
    let mut duo = Duo::new(Settings::new("group"));
    (duo.refuse, duo.once) = (Some(("JoinGroup", 79)), true);
    duo.event(Event::Subscribe(["t".into()].into()));
    let ids = duo.seen.iter().filter_map(|action| match action {
        Action::Send {
            request: Request::JoinGroup { member_id, .. },
            ..
        } => Some(member_id.to_string()),
        _ => None,
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["", "me"]);
}

#[test]
fn a_commit_ends_as_its_code_says() {
    let cases = [
        (0, Ok(()), 2),
        (27, Err(CommitError::Rebalancing), 2),
        (22, Err(CommitError::Lost), 2),
        (25, Err(CommitError::Lost), 2),
        (16, Err(CommitError::Unavailable), 2),
        (14, Err(CommitError::Unavailable), 2),
        (
            12,
            Err(CommitError::Refused(TopicPartition::new("t", 0), 12)),
            2,
        ),
        (
            82,
            Err(CommitError::Refused(TopicPartition::new("t", 0), 82)),
            0,
        ),
    ];
    for (code, expected, owned) in cases {
        let mut duo = Duo::working(Settings::new("group"));
        (duo.refuse, duo.once) = (Some(("OffsetCommit", code)), true);
        assert_eq!(duo.commit(), expected);
        duo.pass(5 * SECOND);
        assert_eq!(duo.member.owned().len(), owned, "after code {code}");
    }
}

#[test]
fn a_member_that_may_not_read_its_topic_makes_room_and_says_so() {
    let mut duo = Duo::new(Settings::new("group"));
    (duo.refuse, duo.once) = (Some(("OffsetFetch", 29)), false);
    duo.event(Event::Subscribe(["t".into()].into()));
    duo.pass(10 * SECOND);
    assert_eq!(duo.failed(), Some(29));
    assert!(
        duo.sent.ends_with(&["OffsetFetch", "LeaveGroup"]),
        "{:?}",
        duo.sent
    );
    assert!(duo.member.owned().is_empty());
}

#[test]
fn a_member_that_the_leader_left_out_owns_nothing_and_stays() {
    let mut duo = Duo::new(Settings::new("group"));
    duo.hold = Some("SyncGroup");
    duo.event(Event::Subscribe(["t".into()].into()));
    let empty = Response::SyncGroup {
        code: 0,
        assignment: bytes::Bytes::new(),
    };
    duo.event(Event::Response(duo.held[0], empty));
    assert!(duo.member.is_stable());
    assert!(duo.member.owned().is_empty());
}

#[test]
fn a_poll_in_the_last_moment_is_in_time() {
    let mut duo = Duo::working(Settings::new("group"));
    duo.now = 300 * SECOND;
    duo.event(Event::Polled);
    assert!(duo.member.is_stable());
    duo.now = 600 * SECOND;
    duo.event(Event::Tick);
    assert!(duo.sent.contains(&"LeaveGroup"));
}

#[test]
fn a_commit_of_what_is_not_owned_never_leaves_the_member() {
    let mut duo = Duo::working(Settings::new("group"));
    let foreign = TopicPartition::new("t", 2);
    let offsets = [(foreign.clone(), offset(1))].into();
    duo.event(Event::Commit { id: 4, offsets });
    let outcome = Err(CommitError::NotOwned(foreign));
    assert_eq!(duo.seen, [Action::Committed { id: 4, outcome }]);
}

#[test]
fn a_heartbeat_goes_out_at_each_interval_and_nothing_else() {
    let mut duo = Duo::working(Settings::new("group"));
    duo.pass(60 * SECOND);
    assert_eq!(duo.sent, ["Heartbeat"; 20]);
}

#[test]
fn a_share_of_an_earlier_generation_is_not_taken() {
    let mut duo = Duo::new(Settings::new("group"));
    duo.hold = Some("SyncGroup");
    duo.event(Event::Subscribe(["t".into()].into()));
    duo.event(Event::Failed(duo.held[0]));
    duo.pass(SECOND);
    assert_eq!(duo.member.generation(), Some(2));
    let late = Response::SyncGroup {
        code: 0,
        assignment: Assignment::new([TopicPartition::new("t", 0)]).encode(),
    };
    duo.event(Event::Response(duo.held[0], late.clone()));
    assert!(duo.member.owned().is_empty());
    duo.event(Event::Response(duo.held[1], late.clone()));
    assert_eq!(duo.member.owned().len(), 1);
    duo.event(Event::Response(duo.held[1], late));
    assert_eq!(duo.member.owned().len(), 1);
}

#[test]
fn a_position_from_before_the_loss_is_not_taken() {
    let mut duo = Duo::new(Settings::new("group"));
    duo.hold = Some("OffsetFetch");
    duo.event(Event::Subscribe(["t".into()].into()));
    (duo.refuse, duo.once) = (Some(("Heartbeat", 25)), true);
    duo.pass(5 * SECOND);
    assert_eq!(duo.member.owned().len(), 2);
    assert_eq!(duo.held.len(), 2);
    let answer = |at| Response::OffsetFetch {
        code: 0,
        offsets: vec![(TopicPartition::new("t", 0), 0, Some(offset(at)))],
    };
    duo.seen.clear();
    duo.event(Event::Response(duo.held[0], answer(1)));
    assert_eq!(duo.seen, []);
    duo.event(Event::Response(duo.held[1], answer(7)));
    let position = (TopicPartition::new("t", 0), Some(offset(7)));
    assert_eq!(duo.seen[0], Action::Positions(vec![position]));
}

#[test]
fn pitfall_7_a_join_is_waited_for_longer_than_the_rebalance_may_take() {
    let mut duo = Duo::new(Settings::new("group"));
    duo.event(Event::Subscribe(["t".into()].into()));
    let patience = duo.seen.iter().find_map(|action| match action {
        Action::Send {
            request: Request::JoinGroup {
                rebalance_timeout, ..
            },
            timeout,
            ..
        } => Some(*timeout - *rebalance_timeout),
        _ => None,
    });
    assert_eq!(patience, Some(5 * SECOND));
}

#[test]
fn pitfall_5_a_heartbeat_without_an_answer_leaves_time_for_another() {
    for (session, request) in [(45, 30), (6, 30), (45, 5)] {
        let mut settings = Settings::new("group");
        settings.session_timeout = session * SECOND;
        settings.heartbeat_interval = session * SECOND / 3;
        settings.request_timeout = request * SECOND;
        let mut duo = Duo::working(settings.clone());
        duo.hold = Some("Heartbeat");
        duo.pass(settings.heartbeat_interval);
        let within = duo.seen.iter().find_map(|action| match action {
            Action::Send {
                request: Request::Heartbeat { .. },
                timeout,
                ..
            } => Some(*timeout),
            _ => None,
        });
        let within = within.unwrap();
        assert!(within <= settings.request_timeout);
        assert!(settings.heartbeat_interval + within < settings.session_timeout);
    }
}

#[test]
fn a_partition_whose_offset_is_not_ready_does_not_hold_up_the_others() {
    let mut duo = Duo::new(Settings::new("group"));
    duo.hold = Some("OffsetFetch");
    duo.event(Event::Subscribe(["t".into()].into()));
    let [first, second] = [0, 1].map(|p| TopicPartition::new("t", p));
    let unstable = 88; // UNSTABLE_OFFSET_COMMIT
    let answer = Response::OffsetFetch {
        code: 0,
        offsets: vec![
            (first, unstable, None),
            (second.clone(), 0, Some(offset(5))),
        ],
    };
    duo.event(Event::Response(duo.held[0], answer));
    let known = Action::Positions(vec![(second, Some(offset(5)))]);
    assert!(duo.seen.contains(&known), "{:?}", duo.seen);
    duo.pass(SECOND);
    assert_eq!(duo.held.len(), 2, "the first one is asked for again");
}
