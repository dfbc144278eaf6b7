//! One line: what a thread reuses from event to event, and the order of what is in it.

use std::cell::Cell;

use tracing::Level;

use crate::fields::Fields;
use crate::json::{self, Escape};
use crate::keys::Keys;
use crate::scope::Scope;
use crate::text::{Parts, Text};
use crate::timestamp::Timestamp;
use crate::trace_ids::TraceIds;

/// What a thread keeps of a buffer after a long line.
const RETAINED: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// The form of the lines of one logger.
#[derive(Debug)]
pub(crate) enum Form {
    /// What stands between timestamp and message, by level.
    Json {
        heads: [Vec<u8>; 5],
    },
    Text(Text),
}

impl Form {
    pub(crate) fn json(service_name: &str) -> Self {
        let head = |level: &str| {
            let mut head = Vec::new();
            head.extend_from_slice(b"\",\"level\":");
            json::string(&mut head, level);
            head.extend_from_slice(b",\"service_name\":");
            json::string(&mut head, service_name);
            head.extend_from_slice(b",\"message\":\"");
            head
        };
        Self::Json {
            heads: ["error", "warn", "info", "debug", "trace"].map(head),
        }
    }

    pub(crate) fn escape(&self) -> Escape {
        match self {
            Self::Json { .. } => Escape::Json,
            Self::Text(_) => Escape::Text,
        }
    }
}

/// The buffers of a thread. User code that runs while they are in use, such as a `Debug` that
/// logs, finds none and gets its own; a panic drops them, and the next event makes new ones.
pub(crate) struct Scratch {
    pub(crate) message: Vec<u8>,
    pub(crate) keys: Keys,
    pub(crate) fields: Fields,
    pub(crate) scope: Scope,
    line: Vec<u8>,
    timestamp: Timestamp,
}

impl Scratch {
    /// Runs with this thread's buffers, which are empty.
    pub(crate) fn with<T>(run: impl FnOnce(&mut Self) -> T) -> T {
        let kept = SCRATCH.try_with(Cell::take).ok().flatten();
        let mut scratch = kept.unwrap_or_else(|| Box::new(Self::new()));
        let result = run(&mut scratch);
        scratch.trim();
        // A thread that ends has no place left for them.
        let _ = SCRATCH.try_with(|place| place.set(Some(scratch)));
        result
    }

    fn new() -> Self {
        Self {
            message: Vec::new(),
            keys: Keys::new(),
            fields: Fields::new(),
            scope: Scope::default(),
            line: Vec::new(),
            timestamp: Timestamp::new(),
        }
    }

    /// Puts the line together. It starts with a line end, for a writer that must end a torn one.
    pub(crate) fn assemble(
        &mut self,
        form: &Form,
        level: Level,
        target: &str,
        ids: Option<&TraceIds>,
    ) -> &[u8] {
        let line = &mut self.line;
        line.clear();
        line.push(b'\n');
        let timestamp = self.timestamp.now();
        match form {
            Form::Json { heads } => {
                line.extend_from_slice(b"{\"timestamp\":\"");
                line.extend_from_slice(timestamp);
                line.extend_from_slice(&heads[rank(level)]);
                line.extend_from_slice(&self.message);
                if let Some(ids) = ids {
                    line.extend_from_slice(b"\",\"trace_id\":\"");
                    ids.write_trace(line);
                    line.extend_from_slice(b"\",\"span_id\":\"");
                    ids.write_span(line);
                }
                line.extend_from_slice(b"\",\"target\":");
                json::string(line, target);
                self.scope.write(line);
                line.extend_from_slice(self.fields.as_bytes());
                line.extend_from_slice(b"}\n");
            }
            Form::Text(text) => {
                let parts = Parts {
                    timestamp,
                    level,
                    target,
                    message: &self.message,
                    fields: &self.fields,
                    scope: &self.scope,
                    ids,
                };
                text.write(line, &parts);
            }
        }
        line
    }

    /// Empties the buffers, and gives back what only a long line needed.
    pub(crate) fn trim(&mut self) {
        self.fields.trim(RETAINED);
        self.scope.trim(RETAINED);
        for buffer in [&mut self.message, &mut self.line] {
            buffer.clear();
            buffer.shrink_to(RETAINED);
        }
    }
}

/// Orders the levels from error to trace.
pub(crate) fn rank(level: Level) -> usize {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}
