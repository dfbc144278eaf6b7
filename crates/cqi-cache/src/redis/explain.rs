use std::time::Duration;

use cqi_errors::Kind;

use super::connection::{Failure, Refused};
use super::error::{RedisError, code, kind};
use super::hosts::Host;
use super::settings::Settings;

/// Says why there is no connection and what to do about it.
pub(super) fn refused(refused: Refused, settings: &Settings) -> Failure {
    let permanent = |reason: String| (Kind::Permanent, reason);
    let (host, error, (kind, reason)) = match refused {
        Refused::Error(host, error) => {
            let reason = reason(&error, settings, &host);
            (host, Some(error), reason)
        }
        Refused::Silent(host) => (host, None, silent(settings.connect_timeout)),
        Refused::UnknownService(host) => {
            let service = &settings.service;
            let reason = format!("this sentinel knows no {service}: check cache.sentinel_service");
            (host, None, permanent(reason))
        }
        Refused::Replica { sentinel, server } => {
            let reason =
                format!("sentinel {sentinel} names it as the primary, but it is a replica");
            (server, None, (Kind::Temporary, reason))
        }
    };
    Failure {
        kind,
        reason: format!("cannot connect to redis {host}: {reason}"),
        cause: error.as_ref().map(RedisError::from),
    }
}

/// Says that a connection was lost.
pub(super) fn lost(error: &fred::error::Error, host: &Host) -> Failure {
    temporary(
        format!("the connection to redis {host} was lost"),
        Some(error),
    )
}

pub(super) fn frozen(host: &Host) -> Failure {
    temporary(format!("redis {host} does not answer"), None)
}

pub(super) fn not_yet(host: &Host) -> Failure {
    temporary(format!("there is no connection to redis {host} yet"), None)
}

/// A server that answers, but is not the one that it was.
pub(super) fn misled(host: &Host) -> Failure {
    temporary(format!("redis {host} is not the primary any more"), None)
}

/// The other side speaks TLS where this one does not, or the other way round.
pub(super) fn other_language(settings: &Settings, host: &Host) -> Failure {
    let reason = if settings.uses_tls() {
        "it speaks no TLS on this port: set cache.tls to false, or name its TLS port"
    } else {
        "it speaks TLS: set cache.tls to true"
    };
    Failure {
        kind: Kind::Permanent,
        reason: format!("cannot connect to redis {host}: {reason}"),
        cause: None,
    }
}

fn temporary(reason: String, error: Option<&fred::error::Error>) -> Failure {
    Failure {
        kind: Kind::Temporary,
        reason,
        cause: error.map(RedisError::from),
    }
}

fn silent(bound: Duration) -> (Kind, String) {
    let reason = format!("no answer within {bound:?} (cache.connect_timeout)");
    (Kind::Temporary, reason)
}

fn reason(error: &fred::error::Error, settings: &Settings, host: &Host) -> (Kind, String) {
    let text = error.details();
    let permanent = |reason: String| (Kind::Permanent, reason);
    let is_sentinel = settings.is_sentinel(host);
    match code(text) {
        Some("WRONGPASS" | "NOAUTH" | "ERR") if is_sentinel && is_about_login(text) => {
            permanent("check cache.sentinel_password".to_owned())
        }
        Some("ERR") if is_sentinel && text.contains("unknown command") => {
            permanent("it is no sentinel: check cache.hosts and cache.backend".to_owned())
        }
        Some("WRONGPASS") => permanent("check cache.username and cache.password".to_owned()),
        Some("NOAUTH") => permanent("it wants a password: set cache.password".to_owned()),
        Some("ERR") if text.contains("DB index") => {
            let number = settings.database;
            permanent(format!("it has no database {number}: check cache.database"))
        }
        Some("ERR") if text.contains("cluster support disabled") => {
            permanent("it is not a node of a cluster: set cache.backend to redis".to_owned())
        }
        Some("ERR") if text.contains("HELLO") => {
            permanent("it is too old: version 6 is the first that will do".to_owned())
        }
        Some(_) => (kind(error), "it refuses the connection".to_owned()),
        None if *error.kind() == fred::error::ErrorKind::Timeout => {
            silent(settings.connect_timeout)
        }
        None => match of_tls(text, settings) {
            Some(reason) => permanent(reason),
            None => (Kind::Temporary, "the connection failed".to_owned()),
        },
    }
}

fn is_about_login(text: &str) -> bool {
    ["WRONGPASS", "NOAUTH", "AUTH", "password"]
        .iter()
        .any(|word| text.contains(word))
}

/// fred keeps of an error of TLS only its `Debug` text.
fn of_tls(text: &str, settings: &Settings) -> Option<String> {
    let reason = if text.contains("InvalidCertificate(UnknownIssuer") {
        match &settings.root {
            Some(file) => format!(
                "{} does not hold its certificate's authority",
                file.display()
            ),
            None => {
                "name the PEM file of its certificate's authority in cache.tls_root_cert".to_owned()
            }
        }
    } else if text.contains("InvalidCertificate(NotValidForName") {
        "its certificate is for another name: put a name that it has into cache.hosts".to_owned()
    } else if text.contains("InvalidCertificate(Expired") {
        "its certificate has expired: renew it, or correct this machine's clock".to_owned()
    } else if text.contains("InvalidCertificate(") {
        "its certificate cannot be trusted".to_owned()
    } else if text.contains("AlertReceived(") {
        "it breaks off TLS; it may want a client certificate: set its tls-auth-clients to no"
            .to_owned()
    } else if text.contains("PeerIncompatible(") {
        "it speaks no version of TLS that is safe".to_owned()
    } else {
        return None;
    };
    Some(reason)
}
