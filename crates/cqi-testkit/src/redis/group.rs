//! What clusters and sets of sentinels have in common.

use std::time::Duration;

use cqi_errors::Error;

use super::config::{Options, quote};
use super::{Address, Redis, Reply};
use crate::percent;
use crate::supervisor::token;

/// How long a group may take to start, and to change a primary.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Returns 40 random hexadecimal digits.
pub(super) fn id() -> String {
    let digits = [token(), token(), token()].concat();
    digits[..40].to_owned()
}

/// Lets a server log in at the one that it is to follow.
pub(super) fn follow(options: &Options) -> String {
    let password = options.password.as_deref().map(quote);
    let login = password.map(|password| format!("masterauth {password}\n"));
    // Without this, a replica waits 5 s for others to come.
    format!("repl-diskless-sync-delay 0\n{}", login.unwrap_or_default())
}

/// Returns the URL of a group of servers, as fred reads it, with the users and passwords of `like`.
pub(super) fn url(
    kind: &str,
    like: &Redis,
    group: &[Redis],
    parameters: &[(&str, &str)],
) -> String {
    let Some((first, others)) = group.split_first() else {
        return String::new();
    };
    let first = Address {
        port: first.port(),
        ..like.inner.address.clone()
    };
    let nodes = others.iter().map(|node| ("node", node.address()));
    let parameters = parameters
        .iter()
        .map(|(name, value)| (*name, percent::encode(value)));
    let query: Vec<String> = nodes
        .chain(parameters)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let url = first.url().replacen("://", &format!("-{kind}://"), 1);
    format!("{url}?{}", query.join("&"))
}

/// Returns the servers that have a process, be it frozen.
pub(super) fn running(servers: &[Redis]) -> impl Iterator<Item = &Redis> {
    servers.iter().filter(|server| server.is_running())
}

/// Says whether a server takes itself for a primary.
pub(super) fn is_primary(server: &Redis) -> bool {
    let of = |role: Reply| Some(role.array()?.first()?.text()? == "master");
    server.probe(&["ROLE"]).ok().and_then(of) == Some(true)
}

/// Says whether a replica has caught up, or a primary has one that has.
pub(super) fn follows_or_is_followed(server: &Redis) -> bool {
    let of = |role: Reply| {
        let role = role.array()?;
        Some(match role.first()?.text()? {
            "master" => !role.get(2)?.array()?.is_empty(),
            _ => role.get(3)?.text()? == "connected",
        })
    };
    server.probe(&["ROLE"]).ok().and_then(of) == Some(true)
}

/// Returns the error of what took over the [`LIMIT`], with what the servers know.
pub(super) fn late(problem: &str, servers: &[Redis], view: impl Fn(&Redis) -> String) -> Error {
    let views = running(servers).map(|server| format!("\n{}: {}", server.address(), view(server)));
    let views: String = views.collect();
    Error::timeout(format!("{problem} after {LIMIT:?}{views}"))
}
