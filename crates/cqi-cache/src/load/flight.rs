//! The loads under way, each with the calls that wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cqi_errors::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Key;
use crate::entry::Entry;

/// How many landed flights are remembered for the calls that were looking up meanwhile.
const RECENT: usize = 1024;

/// A key, and the tag of the message type under it.
pub(super) type Id = (Key, u64);

/// What a load came to: all calls of the flight share it.
pub(super) type Outcome = Result<Entry, Arc<Error>>;

/// The flights of a cache: one for each key that is being loaded, none otherwise.
#[derive(Debug, Default)]
pub(super) struct Flights {
    table: Mutex<Table>,
    /// How many flights have landed.
    landed: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    slots: BTreeMap<Id, Slot>,
    /// Hashes of what landed last, the newest at the back.
    recent: VecDeque<u64>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Slot {
    flight: Arc<Flight>,
    /// The calls that hold a [`Seat`].
    seats: usize,
}

#[derive(Debug)]
struct Flight {
    /// The right to load: one permit, handed on when its holder is dropped; closed once there is
    /// an outcome.
    lead: Semaphore,
    outcome: OnceLock<Outcome>,
    /// Locked while what was loaded is stored.
    store: tokio::sync::Mutex<()>,
}

impl Flights {
    /// How many flights have landed: what [`Lead::is_late`] wants to know from before a lookup.
    pub(super) fn landed(&self) -> u64 {
        self.landed.load(Ordering::Acquire)
    }

    /// Boards the flight of a key, a new one if there is none.
    pub(super) fn join(self: &Arc<Self>, id: Id) -> Seat {
        let mut table = self.lock();
        let slot = table.slots.entry(id.clone()).or_insert_with(Slot::new);
        slot.seats += 1;
        Seat {
            flights: Arc::clone(self),
            flight: Arc::clone(&slot.flight),
            id,
        }
    }

    /// Begins a flight of a key unless there is one.
    pub(super) fn begin(self: &Arc<Self>, id: Id) -> Option<Lead> {
        let mut table = self.lock();
        if table.slots.contains_key(&id) {
            return None;
        }
        let mut slot = Slot::new();
        slot.seats += 1;
        let flight = Arc::clone(&slot.flight);
        flight.lead.try_acquire().ok()?.forget();
        table.slots.insert(id.clone(), slot);
        Some(Lead(Seat {
            flights: Arc::clone(self),
            flight,
            id,
        }))
    }

    /// Keeps what is being loaded for a key from being stored: something newer is about to be
    /// there, or nothing. Calls from now on do not join those flights either.
    pub(super) fn supersede(&self, key: &Key) -> Vec<Superseded> {
        let mut table = self.lock();
        if table.slots.is_empty() {
            return Vec::new();
        }
        let all = (key.clone(), 0)..=(key.clone(), u64::MAX);
        let taken = table.slots.extract_if(all, |_, _| true);
        taken.map(|(_, slot)| Superseded(slot.flight)).collect()
    }

    /// Whether a key's flight landed after others were counted, as far as is remembered.
    fn landed_since(&self, table: &Table, id: &Id, since: u64) -> bool {
        let missed = self.landed().saturating_sub(since);
        let missed = usize::try_from(missed).unwrap_or(usize::MAX);
        let hash = table.hasher.hash_one(id);
        missed > table.recent.len() || table.recent.iter().rev().take(missed).any(|&it| it == hash)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().slots.len()
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            flight: Arc::new(Flight {
                lead: Semaphore::new(1),
                outcome: OnceLock::new(),
                store: tokio::sync::Mutex::default(),
            }),
            seats: 0,
        }
    }
}

impl Table {
    /// The slot of a flight, unless that was superseded.
    fn slot(&mut self, seat: &Seat) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&seat.id)?;
        Arc::ptr_eq(&slot.flight, &seat.flight).then_some(slot)
    }
}

/// A flight that nobody boards any more.
#[derive(Debug)]
pub(super) struct Superseded(Arc<Flight>);

impl Superseded {
    /// Waits out a store that was under way.
    pub(super) async fn stored(&self) {
        let _ = self.0.store.lock().await;
    }
}

/// A call's place in a flight. The last one to leave clears the table.
#[derive(Debug)]
pub(super) struct Seat {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    id: Id,
}

/// What a [`Seat`] waited for.
#[derive(Debug)]
pub(super) enum Turn {
    Lead(Lead),
    Landed(Outcome),
}

impl Seat {
    /// Waits for the right to load, or for what another call loads.
    pub(super) async fn turn(self) -> Turn {
        let permit = self.flight.lead.acquire().await;
        if permit.map(SemaphorePermit::forget).is_ok() {
            return Turn::Lead(Lead(self));
        }
        let lost = || {
            Err(Arc::new(Error::permanent(
                "the load ended without an outcome",
            )))
        };
        Turn::Landed(self.flight.outcome.get_or_init(lost).clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.flights.lock();
        if let Some(slot) = table.slot(self) {
            slot.seats -= 1;
            if slot.seats == 0 {
                table.slots.remove(&self.id);
            }
        }
    }
}

/// The right to load for a flight. Dropped before it [lands](Lead::land), one of the waiters has it;
/// dropped after that, the flight is over.
#[derive(Debug)]
pub(super) struct Lead(Seat);

impl Lead {
    /// Whether a flight of the key landed since others had ([`Flights::landed`]): what it brought
    /// may be there now.
    pub(super) fn is_late(&self, since: u64) -> bool {
        let flights = &self.0.flights;
        flights.landed_since(&flights.lock(), &self.0.id, since)
    }

    pub(super) fn id(&self) -> &Id {
        &self.0.id
    }

    /// Whether what is loaded would not be stored: who has not begun had better board a new flight.
    pub(super) fn is_superseded(&self) -> bool {
        self.0.flights.lock().slot(&self.0).is_none()
    }

    /// Gives every call of the flight its outcome.
    pub(super) fn land(&self, outcome: Outcome) {
        let _ = self.0.flight.outcome.set(outcome);
        self.0.flight.lead.close();
    }

    /// Locks out whoever supersedes the flight while it is stored; `None` when one was here before.
    pub(super) async fn storing(&self) -> Option<impl Drop> {
        let storing = self.0.flight.store.lock().await;
        (!self.is_superseded()).then_some(storing)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let seat = &self.0;
        if seat.flight.outcome.get().is_none() {
            seat.flight.lead.add_permits(1);
            return;
        }
        let mut table = seat.flights.lock();
        if table.slot(seat).is_some() {
            table.slots.remove(&seat.id);
        }
        // Superseded ones too: what they brought is gone, and a lookup more does no harm.
        let hash = table.hasher.hash_one(&seat.id);
        if table.recent.len() == RECENT {
            table.recent.pop_front();
        }
        table.recent.push_back(hash);
        seat.flights.landed.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn id() -> Id {
        (Key::new("key"), 7)
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn board(flights: &Arc<Flights>) -> Seat {
        flights.join(id())
    }

    fn lead(seat: Seat) -> Lead {
        match poll(pin!(seat.turn())) {
            Poll::Ready(Turn::Lead(lead)) => lead,
            other => panic!("{other:?}"),
        }
    }

    fn failed() -> Outcome {
        Err(Arc::new(Error::temporary("down")))
    }

    #[test]
    fn superseding_waits_for_a_store_and_comes_before_the_next() {
        let flights = Arc::<Flights>::default();
        let lead = lead(board(&flights));
        lead.land(failed());
        let key = Key::new("key");
        let superseded;
        {
            let mut storing = pin!(lead.storing());
            let Poll::Ready(storing) = poll(storing.as_mut()) else {
                panic!("nothing to wait for");
            };
            assert!(storing.is_some());
            superseded = flights.supersede(&key);
            assert_eq!(superseded.len(), 1);
            assert!(poll(pin!(superseded[0].stored())).is_pending());
            assert!(lead.is_superseded());
        }
        assert!(poll(pin!(superseded[0].stored())).is_ready());
        let Poll::Ready(storing) = poll(pin!(lead.storing())) else {
            panic!("nothing to wait for");
        };
        assert!(storing.is_none());
    }

    #[test]
    fn a_lead_passes_on_when_its_next_holder_leaves_before_it_knows() {
        let flights = Arc::<Flights>::default();
        let first = lead(board(&flights));
        let mut third = Box::pin(board(&flights).turn());
        {
            let mut second = pin!(board(&flights).turn());
            assert!(poll(second.as_mut()).is_pending());
            assert!(poll(third.as_mut()).is_pending());
            drop(first);
        }
        assert!(matches!(poll(third.as_mut()), Poll::Ready(Turn::Lead(_))));
        drop(third);
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn who_was_looking_up_while_a_flight_landed_is_late() {
        let flights = Arc::<Flights>::default();
        let before = flights.landed();
        let first = lead(board(&flights));
        let joined = board(&flights);
        first.land(failed());
        drop(first);
        // The flight is over, though not all have left it.
        assert_eq!(flights.len(), 0);
        assert!(lead(board(&flights)).is_late(before));
        assert!(!lead(board(&flights)).is_late(flights.landed()));
        // Also who boards what another one began, and leads it.
        let _began = board(&flights);
        assert!(lead(board(&flights)).is_late(before));
        let other = (Key::new("other"), 7);
        assert!(!lead(flights.join(other.clone())).is_late(before));
        // Too long ago to tell.
        for _ in 0..=RECENT {
            let lead = lead(board(&flights));
            lead.land(failed());
        }
        assert!(lead(flights.join(other)).is_late(before));
        assert!(matches!(
            poll(pin!(joined.turn())),
            Poll::Ready(Turn::Landed(Err(_)))
        ));
    }
}
