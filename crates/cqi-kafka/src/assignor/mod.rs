//! Shares the partitions of a group among its members.
