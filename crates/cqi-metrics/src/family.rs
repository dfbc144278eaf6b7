use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::EncodeLabelSet;

use crate::Counter;
use crate::collector::Collector;
use crate::label::{self, OTHER};
use crate::registry::Source;
use crate::samples::Samples;
use crate::table::Table;

/// A label set as a type: a struct with `#[derive(EncodeLabelSet)]`.
///
/// Values that are not equal must be written differently; `None` is written as an empty text.
pub trait LabelSet: EncodeLabelSet + Clone + Eq + Hash + Send + Sync + 'static {}

impl<L: EncodeLabelSet + Clone + Eq + Hash + Send + Sync + 'static> LabelSet for L {}

/// Collectors of one metric that differ in their labels, which are a type.
///
/// A lookup takes no lock and allocates nothing, but for the first of a label set. See the
/// [crate's documentation](crate#labels) for the limit on their number.
pub struct Family<L, M>(Arc<Series<L, M>>);

/// Collectors of one metric that differ in the values of `N` labels with fixed names.
///
/// As [`Family`], with borrowed values.
pub struct NamedFamily<M, const N: usize> {
    names: [&'static str; N],
    series: Arc<Series<[Box<str>; N], M>>,
}

pub(crate) struct Series<K, M> {
    table: Table<Entry<K, M>>,
    new: Box<dyn Fn() -> M + Send + Sync>,
    /// Counts for all label sets that are not in the table.
    other: M,
    is_other_used: AtomicBool,
    overflow: Counter,
    names: OnceLock<Vec<String>>,
}

#[derive(Debug)]
struct Entry<K, M> {
    key: K,
    labels: Box<str>,
    collector: M,
}

impl<K, M: Collector> Series<K, M> {
    /// `limit` is the most label sets, `other` included.
    pub(crate) fn new(limit: usize, options: M::Options, names: Option<&[&str]>) -> Self {
        let series = Self {
            table: Table::new(limit.saturating_sub(1)),
            other: M::new(&options),
            new: Box::new(move || M::new(&options)),
            is_other_used: AtomicBool::new(false),
            overflow: Counter::default(),
            names: OnceLock::new(),
        };
        if let Some(names) = names {
            let _ = series
                .names
                .set(names.iter().map(ToString::to_string).collect());
        }
        series
    }

    pub(crate) fn overflow(&self) -> Counter {
        self.overflow.clone()
    }

    fn add(&self, hash: u64, key: K, labels: Box<str>, is: impl Fn(&K) -> bool) -> &M {
        let entry = Entry {
            key,
            labels,
            collector: (self.new)(),
        };
        match self.table.insert(hash, entry, |entry| is(&entry.key)) {
            Some(entry) => &entry.collector,
            None => self.rejected(),
        }
    }

    fn rejected(&self) -> &M {
        self.overflow.inc();
        self.other()
    }

    fn other(&self) -> &M {
        // Written once, so that threads do not fight for it.
        if !self.is_other_used.load(Relaxed) {
            self.is_other_used.store(true, Relaxed);
        }
        &self.other
    }
}

impl<L: LabelSet, M: Collector> Family<L, M> {
    pub(crate) fn new(series: &Arc<Series<L, M>>) -> Self {
        Self(Arc::clone(series))
    }

    /// Returns the collector of a label set.
    ///
    /// A set beyond the family's limit, and one with a value that is longer than 128 bytes or holds
    /// control characters, is counted as `other` in all labels, and in
    /// `{service}_metrics_series_overflow_total`. A type whose labels cannot have their names is
    /// told to the log, once, and counted without labels.
    pub fn get(&self, labels: &L) -> &M {
        let series = &*self.0;
        let hash = series.table.hash(labels);
        match series.table.get(hash, |entry| entry.key == *labels) {
            Some(entry) => &entry.collector,
            None => self.missing(hash, labels),
        }
    }

    #[cold]
    fn missing(&self, hash: u64, labels: &L) -> &M {
        let series = &*self.0;
        match series.names.get() {
            Some(names) if names.is_empty() => return series.other(),
            Some(_) if series.table.is_full() => return series.rejected(),
            _ => {}
        }
        match label::write(labels) {
            Ok(written) => {
                let names = series.names.get_or_init(|| written.names);
                if *written.labels == *others(names) {
                    return series.other();
                }
                if series.table.is_full() || !written.is_bounded {
                    return series.rejected();
                }
                series.add(hash, labels.clone(), written.labels, |key| key == labels)
            }
            Err(problem) => {
                if series.names.set(Vec::new()).is_ok() {
                    tracing::error!(
                        "`{}` {problem}; its metric is counted without labels",
                        std::any::type_name::<L>(),
                    );
                }
                series.other()
            }
        }
    }
}

impl<M: Collector, const N: usize> NamedFamily<M, N> {
    pub(crate) fn new(names: [&'static str; N], series: &Arc<Series<[Box<str>; N], M>>) -> Self {
        Self {
            names,
            series: Arc::clone(series),
        }
    }

    /// Returns the collector of the labels with these values, in the order of their names.
    ///
    /// A value that is longer than 128 bytes or holds control characters counts as `other`. A set
    /// beyond the family's limit is counted as `other` in all labels, and in
    /// `{service}_metrics_series_overflow_total`.
    pub fn get(&self, values: [&str; N]) -> &M {
        let values = values.map(label::bounded);
        let series = &*self.series;
        let hash = series.table.hash(values);
        let is = |key: &[Box<str>; N]| key.iter().map(|value| &**value).eq(values);
        match series.table.get(hash, |entry| is(&entry.key)) {
            Some(entry) => &entry.collector,
            None => self.missing(hash, values),
        }
    }

    #[cold]
    fn missing(&self, hash: u64, values: [&str; N]) -> &M {
        let series = &*self.series;
        if values.iter().all(|value| *value == OTHER) {
            return series.other();
        }
        if series.table.is_full() {
            return series.rejected();
        }
        let labels = label::render(self.names.into_iter().zip(values));
        let is = |key: &[Box<str>; N]| key.iter().map(|value| &**value).eq(values);
        series.add(hash, values.map(Into::into), labels, is)
    }
}

fn others(names: &[String]) -> Box<str> {
    label::render(names.iter().map(|name| (name.as_str(), OTHER)))
}

impl<K: Send + Sync, M: Collector> Source for Series<K, M> {
    fn write(&self, samples: &mut Samples<'_>) {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_unstable_by_key(|entry| &entry.labels);
        for entry in entries {
            entry.collector.write(&entry.labels, samples);
        }
        if self.is_other_used.load(Relaxed)
            && let Some(names) = self.names.get()
        {
            self.other.write(&others(names), samples);
        }
    }

    fn labels(&self) -> Vec<String> {
        self.names.get().cloned().unwrap_or_default()
    }
}

impl<L, M> Clone for Family<L, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M, const N: usize> Clone for NamedFamily<M, N> {
    fn clone(&self) -> Self {
        Self {
            names: self.names,
            series: Arc::clone(&self.series),
        }
    }
}

impl<L: fmt::Debug, M: fmt::Debug> fmt::Debug for Family<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Family").field(&self.0.table).finish()
    }
}

impl<M: fmt::Debug, const N: usize> fmt::Debug for NamedFamily<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedFamily")
            .field(&self.names)
            .field(&self.series.table)
            .finish()
    }
}
