/// The unit of a metric, which ends its name: one of
/// [Prometheus' base units](https://prometheus.io/docs/practices/naming/#base-units).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Times: `_seconds`.
    Seconds,
    /// Sizes: `_bytes`.
    Bytes,
    /// Shares of a whole, from 0 to 1: `_ratio`.
    Ratio,
}

impl Unit {
    /// Returns what the name ends with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}
