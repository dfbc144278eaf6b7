#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "serde")]
mod json;

/// Assets, where they are deployed, how they relate, and what is wrong with them.
pub mod assets {
    /// Package `cqc.assets.v1`.
    #[expect(clippy::must_use_candidate, reason = "written by prost-build")]
    pub mod v1;
}

/// What happened, as it is published on the bus.
pub mod events {
    /// Package `cqc.events.v1`.
    #[expect(clippy::must_use_candidate, reason = "written by prost-build")]
    pub mod v1;
}

/// What is traded, where, and at what price.
pub mod markets {
    /// Package `cqc.markets.v1`.
    pub mod v1;
}

/// What is held, and what it risks.
pub mod portfolio {
    /// Package `cqc.portfolio.v1`.
    pub mod v1;
}

/// Orders, and what a venue does with an asset.
pub mod venues {
    /// Package `cqc.venues.v1`.
    #[expect(clippy::must_use_candidate, reason = "written by prost-build")]
    pub mod v1;
}

pub use prost;
pub use prost_types;

/// The encoded `google.protobuf.FileDescriptorSet` of every message here and of what it imports, for gRPC reflection and tools.
///
/// ```
/// use cqi_contracts::prost::Message;
/// use cqi_contracts::prost_types::FileDescriptorSet;
///
/// let set = FileDescriptorSet::decode(cqi_contracts::FILE_DESCRIPTOR_SET)?;
/// assert!(set.file.iter().any(|file| file.name() == "proto/events/v1/market_events.proto"));
/// # Ok::<(), cqi_contracts::prost::DecodeError>(())
/// ```
#[cfg(feature = "descriptors")]
#[cfg_attr(docsrs, doc(cfg(feature = "descriptors")))]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("descriptors.binpb");
