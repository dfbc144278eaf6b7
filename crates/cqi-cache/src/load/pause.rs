use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::flight::Id;

/// The most keys whose loaders are left alone at a time; those beyond are called more often.
const MOST: usize = 1024;

/// Keys whose loader failed a moment ago and is not to be called where a value can be had without.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    until: Mutex<HashMap<Id, Instant>>,
}

impl Pauses {
    pub(super) fn begin(&self, id: Id, pause: Duration) {
        let now = Instant::now();
        let Some(end) = now.checked_add(pause) else {
            return;
        };
        let mut until = self.lock();
        if until.len() >= MOST {
            until.retain(|_, end| *end > now);
        }
        if until.len() < MOST {
            until.insert(id, end);
        }
    }

    pub(super) fn is_on(&self, id: &Id) -> bool {
        self.lock().get(id).is_some_and(|end| *end > Instant::now())
    }

    pub(super) fn end(&self, id: &Id) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
