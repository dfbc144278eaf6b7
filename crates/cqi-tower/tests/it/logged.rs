//! A subscriber that remembers its events.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Id, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    /// Names of the spans it is in, outermost first.
    pub(crate) spans: Vec<&'static str>,
    fields: Vec<(&'static str, String)>,
}

impl Line {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }
}

/// The events of this thread, while it lives; and how often its spans were entered and closed.
#[derive(Clone, Default)]
pub(crate) struct Logged {
    lines: Arc<Mutex<Vec<Line>>>,
    pub(crate) spans: Arc<Mutex<Spans>>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Spans {
    pub(crate) opened: usize,
    pub(crate) entered: usize,
    pub(crate) closed: usize,
}

impl Logged {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let logged = Self::default();
        let subscriber = Registry::default().with(logged.clone());
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn only(&self) -> Line {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines.into_iter().next().unwrap()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logged {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO {
            return;
        }
        let scope = context.event_scope(event);
        let mut line = Line {
            level: *event.metadata().level(),
            spans: scope.map_or_else(Vec::new, |scope| {
                scope.from_root().map(|span| span.name()).collect()
            }),
            fields: Vec::new(),
        };
        event.record(&mut line);
        self.lines.lock().unwrap().push(line);
    }

    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.spans.lock().unwrap().opened += 1;
    }

    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        self.spans.lock().unwrap().entered += 1;
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        self.spans.lock().unwrap().closed += 1;
    }
}
