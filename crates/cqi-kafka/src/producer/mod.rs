//! Idempotent producing: batches are written once and in order, whatever becomes of brokers and
//! connections while they are sent.
//!
//! [`Producer::send`] takes a batch in, and its [`Delivery`] says what became of it. Each batch has
//! exactly one outcome, within [`ProducerSettings::delivery_timeout`]:
//! - [`Delivered`]: it is in the log of its partition, on all replicas in sync (`acks=all`), once, and
//!   behind the batches for that partition that were sent before;
//! - an error, of which [`Written::of`] tells whether the batch may be in the log all the same.
//!
//! | Error | What happened | [`Written`] |
//! |---|---|---|
//! | `Timeout` | No outcome within `delivery_timeout`; the text says what was met last | `No` if it was never sent or each attempt was refused, else `Unknown` |
//! | `InvalidInput` | `MESSAGE_TOO_LARGE`, `RECORD_LIST_TOO_LARGE`, `INVALID_RECORD`, `INVALID_TIMESTAMP`, `INVALID_TOPIC_EXCEPTION`, `POLICY_VIOLATION` | `No`, unless an earlier attempt had no answer |
//! | `Forbidden` | An ACL is missing for the topic, or for a producer id | the same |
//! | `Conflict` | `INVALID_PRODUCER_EPOCH`, `PRODUCER_FENCED`: somebody else has this producer id. The next batch gets another | the same |
//! | `Temporary` | `CORRUPT_MESSAGE`, three times | the same |
//! | `Permanent` | What brokers refuse for good: `UNSUPPORTED_COMPRESSION_TYPE`, `UNSUPPORTED_FOR_MESSAGE_FORMAT` and the like | the same |
//! | `Unknown` | `UNKNOWN_SERVER_ERROR`, or a code this client does not know | `Unknown` |
//! | `Cancelled` | The producer was closed or dropped | as for `Timeout` |
//!
//! Only the batch itself fails; those behind it are written. What passes is not seen: batches are
//! sent again, the same bytes with the same sequence number, while leaders move, brokers restart,
//! replicas are missing, `OUT_OF_ORDER_SEQUENCE_NUMBER` or `UNKNOWN_PRODUCER_ID` come back.
//! See [`sequencer`] for why nothing is written twice, and where brokers set a limit to that.

mod delivery;
mod error;
mod handle;
mod request;
pub mod sequencer;
mod settings;
mod shared;
mod task;

pub use delivery::{Delivered, Delivery};
pub use handle::Producer;
pub use sequencer::Written;
pub use settings::ProducerSettings;
