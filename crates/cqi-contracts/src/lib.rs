#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

/// Assets, where they are deployed, how they relate, and what is wrong with them.
pub mod assets {
    #[allow(clippy::must_use_candidate, reason = "written by prost-build")]
    pub mod v1;
}

/// What happened, as it is published on the bus.
pub mod events {
    #[allow(clippy::must_use_candidate, reason = "written by prost-build")]
    pub mod v1;
}

/// What is traded, where, and at what price.
pub mod markets {
    pub mod v1;
}

/// What is held, and what it risks.
pub mod portfolio {
    pub mod v1;
}

/// Orders, and what a venue does with an asset.
pub mod venues {
    #[allow(clippy::must_use_candidate, reason = "written by prost-build")]
    pub mod v1;
}
