//! Record batches (magic 2) read and written without copying: what a fetch reply's and a produce
//! request's `records` field holds.
//!
//! [`FetchedRecords`] is what a consumer reads: data records in order, from an offset, with
//! compaction gaps, control batches and aborted transactions dealt with. Below it [`Batches`] splits
//! the bytes, a [`Batch`] is one checked batch, [`Records`] its records. [`BatchBuilder`] writes one
//! batch that can be sent again byte for byte.
//!
//! Bytes from the network never panic, loop or allocate beyond
//! [`Decompressor::max_bytes`] and the codecs' own working memory.
//!
//! The format is "Record Batch" in the "Message Format" section of the Apache Kafka documentation;
//! where that is silent, this does as the Java client does.
//!
//! ```
//! use cqi_kafka::records::{BatchBuilder, BatchOptions, Decompressor, FetchedRecords, NewRecord, Producer};
//!
//! let mut batch = BatchBuilder::new(BatchOptions::default());
//! batch.push(&NewRecord { value: Some(b"1.0842"), ..NewRecord::at(1_767_225_600_000) })?;
//! let batch = batch.finish(Producer::NONE)?;
//!
//! let mut fetched = FetchedRecords::new(batch.bytes().clone(), 0, Decompressor::default());
//! let record = fetched.next().unwrap()?;
//! assert_eq!(record.value(), Some(&b"1.0842"[..]));
//! assert_eq!(fetched.next_offset(), 1);
//! # Ok::<(), cqi_errors::Error>(())
//! ```

mod batch;
mod batches;
mod builder;
mod compression;
mod control;
mod fetched;
mod header;
mod iter;
mod new_record;
mod record;
mod varint;

pub use batch::Batch;
pub use batches::Batches;
pub use builder::{BatchBuilder, BatchOptions, EncodedBatch, Pushed};
pub use compression::{Compression, Decompressor};
pub use control::Marker;
pub use fetched::{AbortedTransaction, FetchedRecords};
pub use header::{BatchHeader, Producer, TimestampType};
pub use iter::Records;
pub use new_record::{NewHeader, NewRecord};
pub use record::{Header, Headers, Record};
