//! The text of `server.properties`.

use std::fmt::Write;

use cqi_errors::{Error, Result};

use super::builder::Options;
use super::launch::{Mode, Node};

/// What every broker is given. The bounds are short, so that a broker that was killed comes back
/// after 4 s instead of 13; the offsets have few partitions, so that the first group needs no second.
const SETTINGS: &str = "\
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
controlled.shutdown.enable=false
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=2
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.backoff.ms=500
";

/// Returns the file for one of the nodes.
pub(super) fn file(
    options: &Options,
    node: &Node,
    nodes: &[Node],
    mode: Mode<'_>,
) -> Result<String> {
    let mut file = String::new();
    let mut put = |name: &str, value: &str| {
        let _ = writeln!(file, "{name}={}", escape(value));
    };
    let endpoints = node.endpoints.iter();
    let join = |parts: Vec<String>| parts.join(",");
    let mut listeners = Vec::from_iter(
        endpoints
            .clone()
            .map(|endpoint| format!("{}://127.0.0.1:{}", endpoint.name, endpoint.port)),
    );
    let advertised = endpoints
        .clone()
        .map(|endpoint| format!("{}://{}", endpoint.name, endpoint.address()));
    put("advertised.listeners", &join(advertised.collect()));
    let mut protocols = Vec::from_iter(
        endpoints.map(|endpoint| format!("{}:{}", endpoint.name, endpoint.protocol)),
    );
    match mode {
        Mode::Raft(_) => {
            let voter = |node: &Node| format!("{}@127.0.0.1:{}", node.id, node.controller);
            put("process.roles", "broker,controller");
            put("node.id", &node.id.to_string());
            put(
                "controller.quorum.voters",
                &join(nodes.iter().map(voter).collect()),
            );
            put("controller.listener.names", "CONTROLLER");
            put("broker.session.timeout.ms", "1500");
            put("broker.heartbeat.interval.ms", "300");
            listeners.push(format!("CONTROLLER://127.0.0.1:{}", node.controller));
            protocols.push("CONTROLLER:PLAINTEXT".to_owned());
        }
        Mode::ZooKeeper(port) => {
            put("broker.id", &node.id.to_string());
            put("zookeeper.connect", &format!("127.0.0.1:{port}"));
            put("zookeeper.session.timeout.ms", "1500");
        }
    }
    put("listeners", &join(listeners));
    put("listener.security.protocol.map", &join(protocols));
    put("inter.broker.listener.name", node.internal().name);
    put("log.dirs", "data");
    let copies = nodes.len().min(3);
    let in_sync = copies.saturating_sub(1).max(1).to_string();
    put("offsets.topic.replication.factor", &copies.to_string());
    put(
        "transaction.state.log.replication.factor",
        &copies.to_string(),
    );
    put("transaction.state.log.min.isr", &in_sync);
    put("min.insync.replicas", &in_sync);
    for (name, value) in logins(options)? {
        put(&name, &value);
    }
    #[cfg(feature = "tls")]
    for (name, value) in options.encryption() {
        put(name, &value);
    }
    file.push_str(SETTINGS);
    for (name, value) in &options.settings {
        let _ = writeln!(file, "{}={}", word("setting", name)?, escape(value));
    }
    Ok(file)
}

/// Returns what lets users log in.
fn logins(options: &Options) -> Result<Vec<(String, String)>> {
    if !options.has_users() {
        return Ok(Vec::new());
    }
    let mut mechanisms = Vec::new();
    let mut settings = Vec::new();
    let mut module = |mechanism: &'static str, login: String| {
        mechanisms.push(mechanism);
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            let name = format!(
                "listener.name.{listener}.{}.sasl.jaas.config",
                mechanism.to_ascii_lowercase()
            );
            settings.push((name, login.clone()));
        }
    };
    if !options.plain.is_empty() {
        let mut login =
            "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
        for (user, password) in &options.plain {
            let password = password.replace('\\', r"\\").replace('"', r#"\""#);
            let _ = write!(login, " user_{}=\"{password}\"", word("user", user)?);
        }
        module("PLAIN", login + ";");
    }
    if !options.scram.is_empty() {
        for mechanism in SCRAM {
            let login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
            module(mechanism, login.to_owned());
        }
    }
    settings.push(("sasl.enabled.mechanisms".to_owned(), mechanisms.join(",")));
    Ok(settings)
}

/// The mechanisms for which a user of SCRAM is made.
const SCRAM: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Returns user, and credentials as Kafka's tools read them, of all that log in by SCRAM.
pub(super) fn credentials(options: &Options) -> Result<Vec<(&str, &'static str, &str)>> {
    let mut credentials = Vec::new();
    for (user, password) in &options.scram {
        if password.is_empty() || password.contains([',', '=', '[', ']', '"', '\'', '\n']) {
            let problem = "is empty or holds one of , = [ ] \" ' that Kafka's tools do not read";
            return Err(Error::invalid_input("password", problem));
        }
        let user = word("user", user)?;
        credentials.extend(SCRAM.map(|mechanism| (user, mechanism, password.as_str())));
    }
    Ok(credentials)
}

fn word<'a>(what: &'static str, text: &'a str) -> Result<&'a str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.is_empty() || !text.chars().all(plain) {
        let problem = format!("{text:?} holds more than letters, digits, `.`, `-` and `_`");
        return Err(Error::invalid_input(what, problem));
    }
    Ok(text)
}

/// Writes any text as one value of the file.
fn escape(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for unit in text.encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some('\\') => value.push_str(r"\\"),
            Some(c @ ' '..='~') if c != ' ' || !value.is_empty() => value.push(c),
            _ => {
                let _ = write!(value, "\\u{unit:04x}");
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_anything() {
        assert_eq!(escape("a b"), "a b");
        assert_eq!(escape(" a\\\n"), "\\u0020a\\\\\\u000a");
        assert_eq!(escape("€😀"), "\\u20ac\\ud83d\\ude00");
    }

    #[test]
    fn what_the_file_cannot_hold_is_refused() {
        let options = Options {
            scram: vec![("bob".to_owned(), "a,b".to_owned())],
            ..Options::default()
        };
        let error = credentials(&options).unwrap_err().to_string();
        assert!(!error.contains("a,b"), "{error}");
        word("setting", "log.dirs\nx").unwrap_err();
    }
}
