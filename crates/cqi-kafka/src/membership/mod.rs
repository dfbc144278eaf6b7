//! Keeps one member in its group: the classic group protocol as a pure state machine.
//!
//! [`Membership`] is told what happened ([`Event`]) and says what to do ([`Action`]). It opens no
//! socket, reads no clock and draws no random number that its seed does not fix, so that a test
//! can drive it through any order of joins, losses and delays. A shell around it
//! - sends each [`Action::Send`] and reports exactly one [`Event::Response`] or [`Event::Failed`]
//!   for it, the latter at the latest after the timeout that comes along;
//! - hands [`Action::Notify`] to the caller;
//! - sends [`Event::Tick`] when [`Membership::deadline`] has come.
//!
//! A time is the duration since any fixed moment. Behaviour is that of the Java client's
//! `AbstractCoordinator` and `ConsumerCoordinator`.
//!
//! ```
//! use std::time::Duration;
//! use cqi_kafka::membership::{Action, Event, Membership, Request, Settings};
//!
//! let mut member = Membership::new(Settings::new("billing"), 7);
//! let subscribe = Event::Subscribe(["prices".into()].into());
//! let actions = member.handle(Duration::ZERO, subscribe);
//! assert!(actions.iter().any(|action| {
//!     matches!(action, Action::Send { request: Request::FindCoordinator { .. }, .. })
//! }));
//! ```

mod action;
mod contact;
mod event;
mod machine;
mod offsets;
mod phase;
mod rebalance;
mod settings;
mod verdict;

pub use action::{Action, Change, CommitError, Offset, Request, RequestId, RevocationId, WatchId};
pub use event::{Event, JoinedMember, Response};
pub use machine::Membership;
pub use settings::Settings;
