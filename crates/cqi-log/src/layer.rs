//! The layer that turns events into lines.

use std::sync::{Arc, OnceLock};

use tracing::dispatcher::WeakDispatch;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan as _, SpanRef};

use crate::fields::Fields;
use crate::json;
use crate::keys::Style;
use crate::line::{Form, Scratch};
use crate::output::{Output, Unwritten};
use crate::renderer::{Renderer, Source};
use crate::trace_ids::TraceIds;

/// Renders spans once, and writes each event with the spans around it.
///
/// No lock is held while a value is rendered: its `Debug` may log, or panic.
pub(crate) struct LineLayer {
    pub(crate) form: Form,
    pub(crate) style: Style,
    pub(crate) output: Arc<Output>,
    /// The subscriber this layer is part of; weak, since that owns the layer.
    pub(crate) dispatch: OnceLock<WeakDispatch>,
}

/// What a span keeps for the lines inside it.
struct SpanData {
    fields: Fields,
    /// The ids of the span itself, once they were looked for.
    ids: OnceLock<Option<TraceIds>>,
}

impl Layer<Registry> for LineLayer {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, Registry>) {
        let data = Scratch::with(|scratch| {
            let mut renderer = Renderer::new(&self.style, scratch, Source::Span);
            attributes.record(&mut renderer);
            let named = renderer.trace_ids();
            SpanData {
                fields: scratch.fields.clone(),
                ids: named.map_or_else(OnceLock::new, |ids| OnceLock::from(Some(ids))),
            }
        });
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().replace(data);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, Registry>) {
        Scratch::with(|scratch| {
            let mut renderer = Renderer::new(&self.style, scratch, Source::Span);
            values.record(&mut renderer);
            let ids = renderer.trace_ids();
            let Some(span) = ctx.span(id) else { return };
            if let Some(data) = span.extensions_mut().get_mut::<SpanData>() {
                data.fields.merge(&scratch.fields);
                if ids.is_some() {
                    data.ids = OnceLock::from(ids);
                }
            }
        });
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
        if let Some(span) = ctx.span(id) {
            return self.collect(scratch, span);
        }
        // The levels hide this span from us, though not from other layers: take its ids and what
        // is around it.
        let dispatch = self.dispatch.get()?.upgrade()?;
        self.collect(scratch, dispatch.downcast_ref::<Registry>()?.span(id)?)
    }

    fn collect(&self, scratch: &mut Scratch, innermost: SpanRef<'_, Registry>) -> Option<TraceIds> {
        let mut ids = None;
        let mut next = Some(innermost);
        while let Some(span) = next {
            let known = {
                let extensions = span.extensions();
                let data = extensions.get::<SpanData>();
                if let Some(data) = data {
                    scratch.scope.add(&data.fields, &scratch.fields);
                }
                data.and_then(|data| data.ids.get().copied())
            };
            if ids.is_none() {
                ids = known.unwrap_or_else(|| self.find_ids(&span));
            }
            next = span.parent();
        }
        ids
    }

    /// Asks OpenTelemetry for the ids of a span, and remembers the answer for the lines to come.
    fn find_ids(&self, span: &SpanRef<'_, Registry>) -> Option<TraceIds> {
        #[cfg(feature = "otel")]
        let found = self
            .dispatch
            .get()
            .and_then(WeakDispatch::upgrade)
            .and_then(|dispatch| crate::trace_ids::of_opentelemetry(&span.id(), &dispatch));
        #[cfg(not(feature = "otel"))]
        let found = None;
        if let Some(data) = span.extensions().get::<SpanData>() {
            let _ = data.ids.set(found);
        }
        found
    }
}
