//! The protobuf JSON mapping: <https://protobuf.dev/programming-guides/json/>.
//!
//! [`messages`] is generated: a table of the fields of each message, which [`message`] turns into serde's traits.
//! What a field looks like in JSON is its [`Shape`](shape::Shape).

mod enumeration;
mod message;
mod messages;
mod number;
mod shape;
mod timestamp;
mod value;
