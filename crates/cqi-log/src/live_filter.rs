//! Levels that change while a service runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_core::callsite;
use tracing_subscriber::layer::{Context, Filter};

use crate::filter::Levels;

/// How many callsites have their answers remembered; the others are looked up each time.
const SLOTS: usize = 2048;

/// How many slots are tried for a callsite.
const TRIES: usize = 8;

/// The levels in force, shared between the logger and its owner.
#[derive(Clone, Debug)]
pub(crate) struct LiveFilter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    levels: RwLock<Levels>,
    /// The addresses of callsites' metadata, each with its answer in the lowest bit. Threads that only
    /// read do not slow each other, as they would at the lock.
    answers: Box<[AtomicUsize]>,
}

impl LiveFilter {
    pub(crate) fn new(levels: Levels) -> Self {
        Self(Arc::new(Shared {
            levels: RwLock::new(levels),
            answers: (0..SLOTS).map(|_| AtomicUsize::new(0)).collect(),
        }))
    }

    /// Changes the levels, and has all callsites ask anew.
    pub(crate) fn set(&self, levels: Levels) {
        let shared = &self.0;
        {
            let mut current = shared
                .levels
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            *current = levels;
            for answer in &shared.answers {
                answer.store(0, Ordering::Release);
            }
        }
        callsite::rebuild_interest_cache();
    }

    /// Says up to which level anything passes.
    pub(crate) fn loudest(&self) -> LevelFilter {
        self.read(Levels::loudest)
    }

    fn read<T>(&self, read: impl FnOnce(&Levels) -> T) -> T {
        read(&self.0.levels.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers for a callsite, and remembers the answer. Only for what is static: the address of other
    /// metadata may be that of another one later, as it is with records of the `log` crate.
    pub(crate) fn learn(&self, metadata: &'static Metadata<'static>) -> bool {
        // Under the lock, so that no answer from before a change is remembered after it.
        self.read(|levels| {
            let allowed = levels.allows(metadata);
            let address = address(metadata);
            for slot in self.slots(address) {
                let known = slot.load(Ordering::Relaxed);
                let answer = address | usize::from(allowed);
                if known & !1 == address {
                    slot.store(answer, Ordering::Release);
                    break;
                }
                let free = known == 0;
                if free
                    && slot
                        .compare_exchange(0, answer, Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok()
                {
                    break;
                }
            }
            allowed
        })
    }

    /// Says whether a span or an event is logged.
    pub(crate) fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let address = address(metadata);
        for slot in self.slots(address) {
            match slot.load(Ordering::Acquire) {
                0 => break,
                known if known & !1 == address => return known & 1 == 1,
                _ => {}
            }
        }
        self.read(|levels| levels.allows(metadata))
    }

    /// Returns the slots that may hold the answer for an address.
    fn slots(&self, address: usize) -> impl Iterator<Item = &AtomicUsize> {
        // Fibonacci hashing: callsites lie close together.
        let hash = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let answers = &self.0.answers;
        (0..TRIES).map(move |offset| &answers[(hash as usize + offset) % SLOTS])
    }
}

fn address(metadata: &Metadata<'_>) -> usize {
    std::ptr::from_ref(metadata).addr()
}

/// For the logger beside layers that do not say which levels they want: only a filter of
/// tracing-subscriber's own has what nobody wants cost nothing then.
impl<S: Subscriber> Filter<S> for LiveFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    /// Never says `always`: a mere question such as `log_enabled!` leaves its answer in
    /// tracing-subscriber's thread state, where the next line would find it. So each line must be
    /// asked about too.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.learn(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.loudest())
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_core::callsite::Callsite;
    use tracing_core::field::FieldSet;
    use tracing_core::{Kind, identify_callsite};

    use super::*;

    struct Nowhere;

    impl Callsite for Nowhere {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("it is not registered")
        }
    }

    fn callsite(level: Level) -> &'static Metadata<'static> {
        let fields = FieldSet::new(&[], identify_callsite!(&Nowhere));
        let metadata = Metadata::new("x", "cqi", level, None, None, None, fields, Kind::EVENT);
        Box::leak(Box::new(metadata))
    }

    #[test]
    fn answers_are_right_for_more_callsites_than_are_remembered() {
        let filter = LiveFilter::new(Levels::parse("info").unwrap());
        let levels = [Level::INFO, Level::DEBUG, Level::TRACE];
        let callsites: Vec<_> = levels
            .iter()
            .cycle()
            .take(2 * SLOTS)
            .map(|&level| callsite(level))
            .collect();
        for directives in ["info", "debug", "off"] {
            let levels = Levels::parse(directives).unwrap();
            let expected: Vec<_> = callsites
                .iter()
                .map(|callsite| levels.allows(callsite))
                .collect();
            let given = |callsites: &[&'static Metadata<'static>]| -> Vec<_> {
                callsites
                    .iter()
                    .map(|callsite| filter.allows(callsite))
                    .collect()
            };
            filter.set(levels);
            assert_eq!(given(&callsites), expected, "not learned");
            for _ in 0..2 {
                for (callsite, expected) in callsites.iter().zip(&expected) {
                    assert_eq!(filter.learn(callsite), *expected);
                }
                assert_eq!(given(&callsites), expected, "learned");
            }
        }
        let remembered = filter
            .0
            .answers
            .iter()
            .filter(|answer| answer.load(Ordering::Relaxed) != 0);
        assert!(remembered.count() > SLOTS / 2);
    }
}
