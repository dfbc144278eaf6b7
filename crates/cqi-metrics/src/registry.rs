use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cqi_errors::{Error, Kind, Result};

use crate::collector::sealed::Kind as MetricKind;
use crate::label;
use crate::samples::Samples;
use crate::{Counter, Format};

/// What a metric is, as its documentation has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The whole name, with unit and `_total`.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    /// The unit, such as `seconds`.
    pub unit: Option<&'static str>,
    /// The names of the labels; empty for a [`Family`](crate::Family) that has not been used.
    pub labels: Vec<String>,
    /// What it counts or measures.
    pub help: String,
}

/// Where the samples of a metric come from.
pub(crate) trait Source: Send + Sync {
    fn write(&self, samples: &mut Samples<'_>);

    fn labels(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn write(&self, samples: &mut Samples<'_>) {
        (**self).write(samples);
    }

    fn labels(&self) -> Vec<String> {
        (**self).labels()
    }
}

/// What is said of a metric when it is registered.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// Without the suffixes of its kind.
    pub(crate) name: String,
    pub(crate) kind: MetricKind,
    pub(crate) unit: Option<&'static str>,
    pub(crate) help: String,
    pub(crate) at: &'static Location<'static>,
}

impl Definition {
    /// Returns the name that operators know the metric by.
    pub(crate) fn full_name(&self) -> String {
        match self.kind {
            MetricKind::Counter => format!("{}_total", self.name),
            MetricKind::Info => format!("{}_info", self.name),
            _ => self.name.clone(),
        }
    }
}

/// All metrics, by their names.
#[derive(Default)]
pub(crate) struct Registry(Mutex<State>);

#[derive(Default)]
struct State {
    metrics: BTreeMap<String, Arc<Metric>>,
    /// Whose each name is that may stand in a sample.
    names: HashMap<String, Arc<Metric>>,
}

struct Metric {
    definition: Definition,
    /// Counts what a family has no room for.
    overflow: Option<Counter>,
    source: Box<dyn Source>,
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(
        &self,
        definition: Definition,
        overflow: Option<Counter>,
        source: impl Source + 'static,
    ) -> Result<()> {
        let mut state = self.state();
        let suffixes = definition.kind.suffixes().iter();
        let names: Vec<_> = suffixes
            .chain(&[""])
            .map(|suffix| format!("{}{suffix}", definition.name))
            .collect();
        if let Some((
            name,
            Metric {
                definition: first, ..
            },
        )) = names
            .iter()
            .find_map(|name| Some((name, &**state.names.get(name)?)))
        {
            let clash = if definition.name == first.name {
                String::new()
            } else {
                format!(", which has the name `{name}` too")
            };
            return Err(Error::new(
                Kind::Conflict,
                format!(
                    "metric `{}` of {} is there already: the {} `{}` of {}{clash}; choose another name, or keep the first and clone it",
                    definition.full_name(),
                    definition.at,
                    first.kind.as_str(),
                    first.full_name(),
                    first.at,
                ),
            ));
        }
        let name = definition.name.clone();
        let metric = Arc::new(Metric {
            definition,
            overflow,
            source: Box::new(source),
        });
        state
            .names
            .extend(names.into_iter().map(|name| (name, Arc::clone(&metric))));
        state.metrics.insert(name, metric);
        Ok(())
    }

    /// Lists the metrics by name. The lock is not held while they are read, since a reader may be
    /// the user's code.
    fn metrics(&self) -> Vec<Arc<Metric>> {
        self.state().metrics.values().cloned().collect()
    }

    pub(crate) fn write(&self, out: &mut String, format: Format) {
        for metric in self.metrics() {
            let mut samples = Samples::of(out, format, &metric.definition);
            metric.source.write(&mut samples);
        }
    }

    pub(crate) fn describe(&self) -> Vec<Description> {
        let describe = |metric: &Arc<Metric>| Description {
            name: metric.definition.full_name(),
            kind: metric.definition.kind.as_str(),
            unit: metric.definition.unit,
            labels: metric.source.labels(),
            help: metric.definition.help.clone(),
        };
        self.metrics().iter().map(describe).collect()
    }

    /// Writes one series for each metric that has a limit.
    pub(crate) fn write_overflow(&self, samples: &mut Samples<'_>) {
        for metric in self.metrics() {
            if let Some(overflow) = &metric.overflow {
                let name = metric.definition.full_name();
                samples.sample(
                    "_total",
                    &label::render([("metric", name.as_str())]),
                    overflow.get(),
                );
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.state().metrics.keys()).finish()
    }
}
