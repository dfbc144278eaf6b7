/// What counts or measures: [`Counter`](crate::Counter), [`Gauge`](crate::Gauge) and
/// [`Histogram`](crate::Histogram).
pub trait Collector: sealed::Collector {}

pub(crate) mod sealed {
    use std::fmt;

    use cqi_errors::Result;

    use crate::samples::Samples;

    pub trait Collector: Clone + fmt::Debug + Send + Sync + 'static {
        /// What a builder may set beside name, help and unit.
        type Options: Clone + Default + fmt::Debug + Send + Sync + 'static;
        const KIND: Kind;

        fn new(options: &Self::Options) -> Self;

        /// Says how many series one label set is.
        fn series(_: &Self::Options) -> usize {
            1
        }

        /// # Errors
        /// Where the options cannot be used.
        fn check(_: &Self::Options) -> Result<(), String> {
            Ok(())
        }

        fn write(&self, labels: &str, samples: &mut Samples<'_>);
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Kind {
        Counter,
        Gauge,
        Histogram,
        Info,
    }

    impl Kind {
        pub(crate) const fn as_str(self) -> &'static str {
            match self {
                Self::Counter => "counter",
                Self::Gauge => "gauge",
                Self::Histogram => "histogram",
                Self::Info => "info",
            }
        }

        /// Returns what is appended to the name in samples.
        pub(crate) const fn suffixes(self) -> &'static [&'static str] {
            match self {
                Self::Counter => &["_total", "_created"],
                Self::Gauge => &[],
                Self::Histogram => &["_bucket", "_count", "_sum", "_created"],
                Self::Info => &["_info"],
            }
        }
    }
}
