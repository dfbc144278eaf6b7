use std::panic::Location;
use std::sync::Arc;

use cqi_errors::{Error, Kind, Result};

use crate::collector::Collector;
use crate::family::Series;
use crate::histogram::Bounds;
use crate::observed::Observed;
use crate::registry::{Definition, Source};
use crate::samples::Samples;
use crate::{Counter, Family, Gauge, Histogram, LabelSet, Metrics, NamedFamily, Unit, label, name};

/// Describes a metric, then registers it: alone, with labels, or read at each scrape.
#[derive(Debug)]
#[must_use = "a metric is there once it is registered"]
pub struct Builder<M: Collector> {
    metrics: Metrics,
    parts: Vec<String>,
    help: String,
    unit: Option<Unit>,
    options: M::Options,
}

impl<M: Collector> Builder<M> {
    pub(crate) fn new(metrics: &Metrics, parts: &[&str]) -> Self {
        Self {
            metrics: metrics.clone(),
            parts: parts.iter().map(ToString::to_string).collect(),
            help: String::new(),
            unit: None,
            options: M::Options::default(),
        }
    }

    /// Says what the metric counts or measures, in a sentence for operators. Each metric has one.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Says the unit, which is appended to the name.
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Registers a metric without labels.
    ///
    /// # Errors
    /// - [`Kind::InvalidInput`] where the name breaks the [rules](crate#names), or there is no help.
    /// - [`Kind::Conflict`] where a metric has that name already; the error says where it was made.
    #[track_caller]
    pub fn register(self) -> Result<M> {
        let definition = self.definition(Location::caller())?;
        let collector = M::new(&self.options);
        self.metrics
            .registry()
            .add(definition, None, Single(collector.clone()))?;
        Ok(collector)
    }

    /// Registers a family whose labels are a type.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    #[track_caller]
    pub fn labels<L: LabelSet>(self) -> Result<Family<L, M>> {
        let series = Arc::new(self.series(None));
        let definition = self.definition(Location::caller())?;
        self.metrics
            .registry()
            .add(definition, Some(series.overflow()), Arc::clone(&series))?;
        Ok(Family::new(&series))
    }

    /// Registers a family with these labels.
    ///
    /// # Errors
    /// As [`register`](Self::register), and [`Kind::InvalidInput`] for names that labels cannot have.
    #[track_caller]
    pub fn label_names<const N: usize>(
        self,
        names: [&'static str; N],
    ) -> Result<NamedFamily<M, N>> {
        let definition = self.definition(Location::caller())?;
        label::check(names).map_err(|problem| invalid(&definition, &problem))?;
        let series = Arc::new(self.series(Some(&names)));
        self.metrics
            .registry()
            .add(definition, Some(series.overflow()), Arc::clone(&series))?;
        Ok(NamedFamily::new(names, &series))
    }

    fn series<K>(&self, names: Option<&[&str]>) -> Series<K, M> {
        let limit = self.metrics.max_series() / M::series(&self.options);
        Series::new(limit, self.options.clone(), names)
    }

    fn definition(&self, at: &'static Location<'static>) -> Result<Definition> {
        let parts: Vec<_> = self.parts.iter().map(String::as_str).collect();
        let definition = Definition {
            name: name::join(&parts, M::KIND, self.unit)?,
            kind: M::KIND,
            unit: self.unit.map(Unit::as_str),
            help: self.help.clone(),
            at,
        };
        if definition.help.trim().is_empty() {
            return Err(invalid(
                &definition,
                "has no help: say with `.help(..)` what it tells",
            ));
        }
        M::check(&self.options).map_err(|problem| invalid(&definition, &problem))?;
        Ok(definition)
    }

    fn observed<const N: usize>(
        self,
        at: &'static Location<'static>,
        label: Option<(&'static str, [&'static str; N])>,
        read: impl FnMut() -> [f64; N] + Send + 'static,
    ) -> Result<()> {
        let definition = self.definition(at)?;
        if let Some((name, values)) = label {
            let twice = |(at, value)| values[..at].contains(value).then_some(value);
            label::check([name])
                .and_then(|()| match values.iter().enumerate().find_map(twice) {
                    Some(value) => Err(format!("has two values `{value}` of the label `{name}`")),
                    None => Ok(()),
                })
                .map_err(|problem| invalid(&definition, &problem))?;
        }
        let suffix = if M::KIND == crate::collector::sealed::Kind::Counter {
            "_total"
        } else {
            ""
        };
        self.metrics
            .registry()
            .add(definition, None, Observed::new(suffix, label, read))
    }
}

fn invalid(definition: &Definition, problem: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        format!("metric `{}` {problem}", definition.full_name()),
    )
}

macro_rules! observable {
    ($($collector:ty),+) => {$(
        impl Builder<$collector> {
            /// Registers a metric that is read at each scrape.
            ///
            /// The function must be quick: it runs inside the scrape. NaN says that there is no
            /// value, and so does a panic: that scrape goes on without. Where the function hangs,
            /// one scrape hangs with it, and further ones show its last value.
            ///
            /// # Errors
            /// As [`register`](Self::register).
            #[track_caller]
            pub fn observe(self, mut read: impl FnMut() -> f64 + Send + 'static) -> Result<()> {
                self.observed(Location::caller(), None, move || [read()])
            }

            /// Registers a metric with one label, whose values are all read at once at each scrape.
            ///
            /// See [`observe`](Self::observe) for what the function may do.
            ///
            /// # Errors
            /// As [`label_names`](Self::label_names).
            #[track_caller]
            pub fn observe_each<const N: usize>(
                self,
                label: &'static str,
                values: [&'static str; N],
                read: impl FnMut() -> [f64; N] + Send + 'static,
            ) -> Result<()> {
                self.observed(Location::caller(), Some((label, values)), read)
            }
        }
    )+};
}

observable!(Counter, Gauge);

impl Builder<Histogram> {
    /// Sets the upper bounds of the buckets, 1 to 100 that rise; one without a bound is added.
    /// Default: 0.001, 0.003, 0.01 and so on up to 10, for seconds.
    ///
    /// Each label set costs as many series as there are bounds, and three. Where a bound is negative,
    /// there is no `_sum` and no `_count`: OpenMetrics forbids a sum that may fall.
    pub fn buckets(mut self, bounds: impl IntoIterator<Item = f64>) -> Self {
        self.options = Bounds(bounds.into_iter().collect());
        self
    }
}

struct Single<M>(M);

impl<M: Collector> Source for Single<M> {
    fn write(&self, samples: &mut Samples<'_>) {
        self.0.write("", samples);
    }
}
