//! A place that logs, with fields that are named while the service starts.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Level, Metadata, dispatcher};
use tracing_core::callsite::{self, Callsite};
use tracing_core::field::FieldSet;
use tracing_core::{Kind, identify_callsite};

use crate::builder::Loudest;
use crate::layer::LineLayer;

const NEVER: u8 = 0;
const SOMETIMES: u8 = 1;
const ALWAYS: u8 = 2;

/// What the macros of `tracing` make of a literal list of fields.
#[derive(Debug)]
pub(super) struct Site {
    metadata: OnceLock<Metadata<'static>>,
    interest: AtomicU8,
}

impl Site {
    /// Makes the place of an event. `tracing` asks that it lives as long as the process.
    pub(super) fn leak(
        target: &'static str,
        level: Level,
        fields: &'static [&'static str],
    ) -> &'static Self {
        let site: &'static Self = Box::leak(Box::new(Self {
            metadata: OnceLock::new(),
            interest: AtomicU8::new(NEVER),
        }));
        site.metadata.get_or_init(|| {
            Metadata::new(
                "request",
                target,
                level,
                Some(file!()),
                Some(line!()),
                Some(module_path!()),
                FieldSet::new(fields, identify_callsite!(site)),
                Kind::EVENT,
            )
        });
        callsite::register(site);
        site
    }

    pub(super) fn known(&self) -> &Metadata<'static> {
        match self.metadata.get() {
            Some(metadata) => metadata,
            None => unreachable!("it is set before anybody else sees the site"),
        }
    }

    /// Says whether anybody listens; if so, the event must follow at once.
    pub(super) fn is_enabled(&'static self) -> bool {
        let level = self.known().level();
        *level <= STATIC_MAX_LEVEL
            && *level <= LevelFilter::current()
            && match self.interest.load(Ordering::Relaxed) {
                NEVER => false,
                known => dispatcher::get_default(|dispatch| {
                    !is_hidden(dispatch, self.known())
                        && (known == ALWAYS || dispatch.enabled(self.known()))
                }),
            }
    }
}

/// Says whether the logger's levels hide what a place logs. Beside other layers the logger lets all
/// happen, and a request's line costs too much to be made for nobody.
fn is_hidden(dispatch: &Dispatch, metadata: &Metadata<'_>) -> bool {
    let outermost = dispatch.downcast_ref().map(|Loudest { filter, .. }| filter);
    let filter = outermost.or_else(|| Some(&dispatch.downcast_ref::<LineLayer>()?.filter));
    filter.is_some_and(|filter| !filter.allows(metadata))
}

impl Callsite for Site {
    fn set_interest(&self, interest: Interest) {
        let interest = if interest.is_never() {
            NEVER
        } else if interest.is_always() {
            ALWAYS
        } else {
            SOMETIMES
        };
        self.interest.store(interest, Ordering::SeqCst);
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.known()
    }
}
