use cqi_errors::Kind;
use fred::error::ErrorKind;

use super::connection::Failure;
use super::error::{RedisError, code, kind};
use super::hosts::Host;
use super::settings::Settings;

/// Says why there is no connection and what to do about it.
pub(super) fn connecting(error: &fred::error::Error, settings: &Settings, host: &Host) -> Failure {
    let (kind, reason) = reason(error, settings);
    Failure {
        kind,
        reason: format!("cannot connect to redis {host}: {reason}"),
        cause: Some(RedisError::from(error)),
    }
}

/// Says that a connection was lost.
pub(super) fn lost(error: &fred::error::Error, host: &Host) -> Failure {
    Failure {
        kind: Kind::Temporary,
        reason: format!("the connection to redis {host} was lost"),
        cause: Some(RedisError::from(error)),
    }
}

pub(super) fn frozen(host: &Host) -> Failure {
    Failure {
        kind: Kind::Temporary,
        reason: format!("redis {host} does not answer"),
        cause: None,
    }
}

fn reason(error: &fred::error::Error, settings: &Settings) -> (Kind, String) {
    let text = error.details();
    let permanent = |reason: String| (Kind::Permanent, reason);
    match code(text) {
        Some("WRONGPASS") => {
            return permanent("check cache.username and cache.password".to_owned());
        }
        Some("NOAUTH") => {
            return permanent("it wants a password: set cache.password".to_owned());
        }
        Some("ERR") if text.contains("DB index") => {
            return permanent(format!(
                "it has no database {}: check cache.database",
                settings.database
            ));
        }
        Some("ERR") if text.contains("cluster support disabled") => {
            return permanent(
                "it is not a node of a cluster: set cache.backend to redis".to_owned(),
            );
        }
        Some(_) => return (kind(error), "it refuses the connection".to_owned()),
        None => {}
    }
    match error.kind() {
        ErrorKind::Timeout => (
            Kind::Temporary,
            format!(
                "no answer within {:?} (cache.connect_timeout)",
                settings.connect_timeout
            ),
        ),
        _ => (Kind::Temporary, "the connection failed".to_owned()),
    }
}
