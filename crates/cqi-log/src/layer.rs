//! The layer that turns events into lines.

use std::sync::{Arc, OnceLock};

use tracing::dispatcher::WeakDispatch;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan as _;

use crate::json;
use crate::keys::Style;
use crate::line::{Form, Scratch};
use crate::output::{Output, Unwritten};
use crate::renderer::{Renderer, Source};
use crate::spans::Spans;
use crate::trace_ids::TraceIds;

/// Renders spans once, and writes each event with the spans around it.
///
/// No lock is held while a value is rendered: its `Debug` may log, or panic.
pub(crate) struct LineLayer {
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

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, Registry>) {
        Scratch::with(|scratch| {
            let mut renderer = Renderer::new(&self.style, scratch, Source::Span);
            attributes.record(&mut renderer);
            let ids = renderer.trace_ids();
            // A span that the registry knows and does not hide from this layer is told to close.
            if let Some(span) = ctx.span(id) {
                let parent = span.parent().map(|parent| parent.id());
                self.spans.open(id, parent, &scratch.fields, ids);
            }
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, Registry>) {
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
    fn line(
        &self,
        event: &Event<'_>,
        metadata: &Metadata<'_>,
        ctx: &Context<'_, Registry>,
        source: Source,
    ) {
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
        // The levels hide this span from us, though not from other layers: take its ids and what
        // is around it.
        let dispatch = self.dispatch.get()?.upgrade()?;
        let registry = dispatch.downcast_ref::<Registry>()?;
        let mut next = registry.span(id);
        let mut ids = None;
        while let Some(span) = next {
            if self.spans.contains(&span.id()) {
                return ids.or(self.collect(scratch, &span.id()));
            }
            ids = ids.or_else(|| self.find_ids(&span.id()));
            next = span.parent();
        }
        ids
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
