//! The layer that turns events into lines.

use std::sync::{Arc, OnceLock};

use tracing::dispatcher::WeakDispatch;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan as _;

use crate::json;
use crate::keys::Style;
use crate::line::{Form, Scratch};
use crate::live_filter::LiveFilter;
use crate::output::{Output, Unwritten};
use crate::renderer::{Renderer, Source};
use crate::spans::Spans;
use crate::trace_ids::TraceIds;

/// Renders spans once, and writes each event with the spans around it.
///
/// No lock is held while a value is rendered: its `Debug` may log, or panic.
///
/// What the levels hide is sorted out here: a filter of tracing-subscriber's for this layer alone
/// would look the span up whenever it is entered or left.
pub(crate) struct LineLayer {
    pub(crate) filter: LiveFilter,
    /// Whether there is no other layer: then what the levels hide does not happen.
    pub(crate) is_alone: bool,
    pub(crate) form: Form,
    pub(crate) style: Style,
    pub(crate) output: Arc<Output>,
    pub(crate) spans: Spans,
    /// The subscriber this layer is part of; weak, since that owns the layer.
    pub(crate) dispatch: OnceLock<WeakDispatch>,
}

impl Layer<Registry> for LineLayer {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match (self.filter.learn(metadata), self.is_alone) {
            (false, true) => Interest::never(),
            // Asked each time, and so are the filters of other layers: a mere question such as
            // `log_enabled!` leaves its answer in tracing-subscriber's thread state, where they would
            // find it.
            (true, false) => Interest::sometimes(),
            // Left to the other layers, if there are any.
            (true, true) | (false, false) => Interest::always(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, Registry>) -> bool {
        !self.is_alone || self.filter.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.loudest())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, Registry>) {
        if !self.allows(attributes.metadata()) {
            return;
        }
        Scratch::with(|scratch| {
            let mut renderer = Renderer::new(&self.style, scratch, Source::Span);
            attributes.record(&mut renderer);
            let ids = renderer.trace_ids();
            let parent = self.parent(attributes, &ctx);
            self.spans.open(id, parent, &scratch.fields, ids);
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, Registry>) {
        if !self.spans.contains(id) {
            return;
        }
        Scratch::with(|scratch| {
            let mut renderer = Renderer::new(&self.style, scratch, Source::Span);
            values.record(&mut renderer);
            let ids = renderer.trace_ids();
            self.spans.update(id, |span| {
                span.fields.merge(&scratch.fields);
                if ids.is_some() {
                    span.ids = Some(ids);
                }
            });
        });
    }

    fn on_close(&self, id: Id, _: Context<'_, Registry>) {
        self.spans.close(&id);
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, Registry>) {
        #[cfg(feature = "log")]
        if event.metadata().target() == "log" {
            use tracing_log::NormalizeEvent as _;
            if let Some(metadata) = event.normalized_metadata() {
                return self.line(event, &metadata, &ctx, Source::Record);
            }
        }
        self.line(event, event.metadata(), &ctx, Source::Event);
    }
}

impl LineLayer {
    /// Says whether something that happens is logged; where there is no other layer, nothing else does.
    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        self.is_alone || self.filter.allows(metadata)
    }

    /// Finds the span around a new one, other than those that the levels hide.
    fn parent(&self, attributes: &Attributes<'_>, ctx: &Context<'_, Registry>) -> Option<Id> {
        let current;
        let around = if attributes.is_contextual() {
            current = ctx.current_span();
            current.id()?
        } else {
            attributes.parent()?
        };
        if self.spans.contains(around) {
            return Some(around.clone());
        }
        self.visit_hidden(around, |_| {})
    }

    /// Visits a span that the levels hide, though not from other layers, and those around it, out to
    /// one that they do not hide. Returns that.
    fn visit_hidden(&self, innermost: &Id, mut visit: impl FnMut(&Id)) -> Option<Id> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        let mut next = dispatch.downcast_ref::<Registry>()?.span(innermost);
        while let Some(span) = next {
            let id = span.id();
            if self.spans.contains(&id) {
                return Some(id);
            }
            visit(&id);
            next = span.parent();
        }
        None
    }

    fn line(
        &self,
        event: &Event<'_>,
        metadata: &Metadata<'_>,
        ctx: &Context<'_, Registry>,
        source: Source,
    ) {
        if !self.allows(metadata) {
            return;
        }
        let unwritten = Unwritten::new(&self.output);
        Scratch::with(|scratch| {
            event.record(&mut Renderer::new(&self.style, scratch, source));
            let ids = self.collect_scope(scratch, event, ctx);
            let (level, target) = (*metadata.level(), metadata.target());
            let line = scratch.assemble(&self.form, level, target, ids.as_ref());
            if let Some(lost) = unwritten.write(line) {
                self.tell_lost(scratch, lost);
            }
        });
    }

    /// Writes a line that says how many were lost before; no level hides it.
    fn tell_lost(&self, scratch: &mut Scratch, lost: u64) {
        scratch.trim();
        scratch.message.extend_from_slice(b"log lines were lost");
        let Scratch { keys, fields, .. } = &mut *scratch;
        fields.push(|out| {
            let key = keys.write(out, "lines_lost", &self.style);
            json::u64(out, lost);
            key.name
        });
        let line = scratch.assemble(&self.form, Level::WARN, "cqi_log", None);
        self.output.write_notice(line, lost);
    }

    /// Collects the fields of the spans around an event, and returns the ids of the innermost one
    /// that has any.
    fn collect_scope(
        &self,
        scratch: &mut Scratch,
        event: &Event<'_>,
        ctx: &Context<'_, Registry>,
    ) -> Option<TraceIds> {
        let current;
        let id = if event.is_contextual() {
            current = ctx.current_span();
            current.id()?
        } else {
            event.parent()?
        };
        if self.spans.contains(id) {
            return self.collect(scratch, id);
        }
        let mut ids = None;
        let around = self.visit_hidden(id, |hidden| ids = ids.or_else(|| self.find_ids(hidden)));
        let found = around.and_then(|around| self.collect(scratch, &around));
        ids.or(found)
    }

    /// Collects the fields of a span and of those around it.
    fn collect(&self, scratch: &mut Scratch, innermost: &Id) -> Option<TraceIds> {
        self.spans.visit(innermost, |_, span| {
            scratch.scope.add(&span.fields, &scratch.fields);
            true
        });
        loop {
            let mut found = None;
            let mut unknown = None;
            self.spans.visit(innermost, |id, span| {
                match span.ids {
                    None => unknown = Some(id.clone()),
                    Some(ids) => found = ids,
                }
                unknown.is_none() && found.is_none()
            });
            let Some(id) = unknown else { return found };
            let ids = self.find_ids(&id);
            self.spans.update(&id, |span| span.ids = Some(ids));
        }
    }

    /// Asks OpenTelemetry for the ids of a span.
    #[cfg_attr(
        not(feature = "otel"),
        expect(clippy::unused_self, reason = "there is nobody to ask")
    )]
    fn find_ids(&self, id: &Id) -> Option<TraceIds> {
        #[cfg(feature = "otel")]
        return crate::trace_ids::of_opentelemetry(id, &self.dispatch.get()?.upgrade()?);
        #[cfg(not(feature = "otel"))]
        {
            let _ = id;
            None
        }
    }
}
