use std::fmt;

use cqi_errors::Result;
use tracing::Instrument;

use crate::cache::{self, Inner};
use crate::counters::Operation;
use crate::{Key, span};

/// What is asked of the backend, in words for errors, spans and metrics.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    pub(crate) keys: Keys<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Keys<'a> {
    One(&'a Key),
    Many(usize),
}

impl<'a> Call<'a> {
    pub(crate) fn one(operation: Operation, key: &'a Key) -> Self {
        let keys = Keys::One(key);
        Self { operation, keys }
    }

    pub(crate) fn many(operation: Operation, count: usize) -> Self {
        let keys = Keys::Many(count);
        Self { operation, keys }
    }

    /// The command that Redis gets, and that it is a pipeline, as OpenTelemetry has it.
    pub(crate) fn command(&self) -> &'static str {
        let (one, many) = match self.operation {
            Operation::Get | Operation::GetMany | Operation::Exists => {
                ("GETRANGE", "PIPELINE GETRANGE")
            }
            Operation::Set | Operation::SetMany => ("SET", "PIPELINE SET"),
            Operation::SetVersioned => ("EVALSHA", "PIPELINE EVALSHA"),
            Operation::Delete => ("UNLINK", "PIPELINE UNLINK"),
        };
        match self.keys {
            Keys::Many(2..) => many,
            Keys::One(_) | Keys::Many(_) => one,
        }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, place) = match self.operation {
            Operation::Get | Operation::GetMany => ("get", "from"),
            Operation::Exists => ("look for", "in"),
            Operation::Set | Operation::SetMany | Operation::SetVersioned => ("set", "in"),
            Operation::Delete => ("delete", "from"),
        };
        match self.keys {
            Keys::One(key) => write!(f, "{verb} {key} {place} the cache"),
            Keys::Many(count) => write!(f, "{verb} {count} values {place} the cache"),
        }
    }
}

impl Inner {
    /// Makes one call of the backend: measured, in a span, its error counted and explained.
    pub(crate) async fn call<T>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if self.is_closed() {
            return Err(cache::closed().context(call.to_string()));
        }
        let _timer = self.counters.time(call.operation);
        let span = span::of(&call, &self.backend);
        let result = work.instrument(span.clone()).await;
        result.map_err(|error| {
            self.counters.errors(call.operation).inc();
            span::record(&span, &error);
            error.context(call.to_string())
        })
    }
}
