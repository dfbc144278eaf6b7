//! One file per API: what of its answer is used.
