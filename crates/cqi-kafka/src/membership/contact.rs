//! Finds the coordinator, tells it that the member lives, and does not press it.

use std::sync::Arc;
use std::time::Duration;

use super::phase::{Coordinator, Identity};
use super::verdict::Verdict;
use super::{Action, Membership, Request, RequestId};

#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeat {
    pub(super) due: Duration,
    pub(super) in_flight: Option<RequestId>,
}

impl Membership {
    pub(super) fn on_found(&mut self, id: RequestId, code: i16, node: i32) {
        if self.coordinator != Coordinator::Finding(id) {
            return;
        }
        match Verdict::of(code) {
            Verdict::Fine => self.coordinator = Coordinator::Known(node),
            Verdict::Fatal => self.fail("FindCoordinator", code),
            _ => self.on_failed(id),
        }
    }

    pub(super) fn find(&mut self) {
        let group = Arc::clone(&self.settings.group);
        let timeout = self.settings.request_timeout;
        let id = self.send(None, Request::FindCoordinator { group }, timeout);
        self.coordinator = Coordinator::Finding(id);
    }

    /// Keeps what is owned: the group may be unchanged behind its new coordinator.
    pub(super) fn find_again(&mut self) {
        if let Coordinator::Known(_) = self.coordinator {
            let retry_at = self.now + self.pause();
            self.coordinator = Coordinator::Unknown { retry_at };
        }
    }

    pub(super) fn on_heartbeat(&mut self, id: RequestId, code: i16) {
        if self.heartbeat.in_flight != Some(id) {
            return;
        }
        self.heartbeat.in_flight = None;
        match Verdict::of(code) {
            Verdict::Fine => self.failures = 0,
            // While syncing, the answer to that says the same.
            Verdict::Rejoin if self.is_stable() => self.rejoin(),
            Verdict::Rejoin => {}
            Verdict::FindAgain => {
                self.heartbeat.due = self.now;
                self.find_again();
            }
            Verdict::Expelled { keep_id } => self.expelled(keep_id),
            Verdict::Retry | Verdict::MemberIdRequired => {
                self.say(Action::Warn {
                    api: "Heartbeat",
                    code,
                });
                self.heartbeat.due = self.now + self.pause();
            }
            Verdict::Fatal => self.fail("Heartbeat", code),
        }
    }

    pub(super) fn beat(&mut self) {
        let Identity::Member { id, generation } = self.identity.clone() else {
            return;
        };
        self.heartbeat.due = self.now + self.settings.heartbeat_interval;
        let request = Request::Heartbeat {
            generation,
            member_id: id,
            instance_id: self.settings.instance_id.clone(),
        };
        // So that another one, on another connection, arrives before the session ends.
        let timeout = self.settings.session_timeout / 2;
        let timeout = timeout.min(self.settings.request_timeout);
        self.heartbeat.in_flight = Some(self.ask(request, timeout));
    }

    /// Forgets the heartbeat of the last generation: its late answer means nothing.
    pub(super) fn reset_heartbeat(&mut self) {
        self.heartbeat = Heartbeat {
            due: self.now + self.settings.heartbeat_interval,
            in_flight: None,
        };
    }

    /// Lets the first refusal pass; a broker that refuses forever must not be asked in a loop.
    pub(super) fn pause_if_repeated(&mut self) -> Duration {
        if self.failures == 0 {
            self.failures = 1;
            return Duration::ZERO;
        }
        self.pause()
    }

    pub(super) fn pause(&mut self) -> Duration {
        self.failures += 1;
        self.pause_after(self.failures)
    }

    /// Doubles with each failure in a row.
    pub(super) fn pause_after(&mut self, failures: u32) -> Duration {
        let factor = 1_u32 << failures.saturating_sub(1).min(16);
        let pause = self.settings.backoff.saturating_mul(factor);
        let jitter = 0.8 + 0.4 * self.random.f64();
        pause.min(self.settings.max_backoff).mul_f64(jitter)
    }
}
