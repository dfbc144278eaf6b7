use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{FredResult, LuaInterface};
use fred::types::{MultipleKeys, Value};

use super::error::code;

/// Replaces a value unless it has the same layout and type and a higher version.
///
/// Bytes are compared one by one: Lua compares strings by the server's locale.
const SCRIPT: &str = include_str!("set_newer.lua");
/// The name under which Redis keeps the script once it has run.
const SHA1: &str = "87092c5f5e733737039d3d16cb14d2752d716030";

/// Sets a value unless there is a newer one, in one step on the server; 1 where it did.
pub(super) async fn set_newer(
    client: &Client,
    key: &Bytes,
    value: &Bytes,
    keep: Option<i64>,
) -> FredResult<Value> {
    let keys = || MultipleKeys::from(key.clone());
    let arguments = || -> Vec<Value> {
        let keep = keep.map(Value::from);
        std::iter::once(Value::Bytes(value.clone()))
            .chain(keep)
            .collect()
    };
    match client.evalsha(SHA1, keys(), arguments()).await {
        Err(error) if code(error.details()) == Some("NOSCRIPT") => {
            client.eval(SCRIPT, keys(), arguments()).await
        }
        done => done,
    }
}
