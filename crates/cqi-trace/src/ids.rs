//! The ids of spans: random, or those that were decided before.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static PRESET: Cell<Option<(u128, u64)>> = const { Cell::new(None) };
}

/// Generates ids that are never zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids;

/// Makes the next span of this thread get the ids given, until it is dropped.
pub(crate) struct Preset;

impl Preset {
    pub(crate) fn set(trace_id: u128, span_id: u64) -> Self {
        let _ = PRESET.try_with(|preset| preset.set(Some((trace_id, span_id))));
        Self
    }

    fn get() -> Option<(u128, u64)> {
        PRESET.try_with(Cell::get).ok().flatten()
    }
}

impl Drop for Preset {
    fn drop(&mut self) {
        let _ = PRESET.try_with(|preset| preset.set(None));
    }
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        if let Some((trace_id, _)) = Preset::get() {
            return TraceId::from(trace_id);
        }
        loop {
            let id = RandomIdGenerator::default().new_trace_id();
            if id != TraceId::INVALID {
                return id;
            }
        }
    }

    fn new_span_id(&self) -> SpanId {
        if let Some((_, span_id)) = Preset::get() {
            return SpanId::from(span_id);
        }
        loop {
            let id = RandomIdGenerator::default().new_span_id();
            if id != SpanId::INVALID {
                return id;
            }
        }
    }
}
