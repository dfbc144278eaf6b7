use std::time::Duration;

/// How a [`Collector`](super::Collector) misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Answers each export so much later; spans count as received when it answers.
    Slow(Duration),
    /// Takes exports and never answers.
    Silent,
    /// Closes the connection in the middle of each export.
    HangUp,
    /// Answers each export with an error that a sender may try again after: gRPC's `UNAVAILABLE`,
    /// HTTP's 503.
    Unavailable,
    /// Asks to wait before each export is sent again, whole seconds over HTTP: gRPC's
    /// `RESOURCE_EXHAUSTED` with a delay, HTTP's 429.
    Throttle(Duration),
    /// Answers each export with gRPC's `RESOURCE_EXHAUSTED` without a delay, or HTTP's 413, as if it
    /// were too large.
    TooLarge,
    /// Answers each export with an error that is final: gRPC's `INVALID_ARGUMENT`, HTTP's 400.
    Refuse,
    /// Takes each export but for so many of its spans, as OTLP's partial success has it.
    Partial(u32),
}
