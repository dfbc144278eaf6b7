use std::time::Duration;

/// What a scripted broker does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// What a broker does: carries it out, and answers.
    Normal,
    /// Does nothing, and answers with this error code: for the whole request where the answer has a
    /// place for that, else for each of its topics, partitions or members.
    Error(i16),
    /// Does nothing, and answers with this error code for each partition or member; as
    /// [`Error`](Self::Error) where the answer has none.
    ItemError(i16),
    /// Carries it out, and answers with this error code, as [`ItemError`](Self::ItemError).
    DoneButError(i16),
    /// Carries it out, and answers so much later; answers to later requests queue up behind.
    Late(Duration),
    /// Waits, then carries it out and answers.
    Delay(Duration),
    /// Carries it out, answers, and asks for this pause (`throttle_time_ms`), in whole milliseconds.
    Throttle(Duration),
    /// Does nothing, and says nothing more on this connection, but reads on.
    Silence,
    /// Does nothing, and closes the connection.
    Close,
    /// Does nothing, and resets the connection (ECONNRESET).
    Reset,
    /// Carries it out, and closes the connection.
    DoneButClose,
    /// Carries it out, sends so many bytes of the frame (length, header, body), and closes the connection.
    CloseAfterBytes(usize),
    /// Carries it out, sends so many bytes of the frame, and says nothing more on this connection.
    StallAfterBytes(usize),
    /// Carries it out, and answers in a whole frame that has so many bytes of the body.
    Truncated(usize),
    /// Carries it out, and answers in a whole frame whose body so many bytes of zero follow.
    Padded(usize),
    /// Carries it out, and answers to a request that nobody made.
    WrongCorrelationId,
    /// Carries it out, and says that the answer is so long, whatever it is.
    Length(i32),
    /// Does nothing, and answers with random bytes for a body, the same for the same seed.
    Garbage(u64),
    /// Carries it out, and answers with some bytes of the body changed, the same for the same seed.
    Corrupt(u64),
}

impl Reply {
    /// Whether the broker carries the request out.
    pub(super) fn is_done(self) -> bool {
        !matches!(self, Self::Error(_) | Self::ItemError(_) | Self::Garbage(_))
    }
}
