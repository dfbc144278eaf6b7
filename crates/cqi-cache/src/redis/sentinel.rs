use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, FredResult};
use fred::types::{ClusterHash, CustomCommand, Value};

use super::connection::{Connection, Refused};
use super::hosts::Host;
use super::settings::Settings;

/// Asks a sentinel for the primary and connects to that.
///
/// Not by fred's own way, which waits for ever when the sentinel does not know the service.
pub(super) async fn open_primary(settings: &Settings, host: &Host) -> Result<Connection, Refused> {
    let sentinel = Connection::start(settings.sentinel(host), host).await?;
    let arguments = ["get-master-addr-by-name", &settings.service];
    let answer = ask(sentinel.client(), "SENTINEL", &arguments).await;
    sentinel.end().await;
    let answer = answer.map_err(|error| Refused::Error(host.clone(), error))?;
    let server = match answer {
        Value::Null => return Err(Refused::UnknownService(host.clone())),
        answer => address(&answer).ok_or_else(|| {
            let error = Error::new(ErrorKind::Protocol, "the sentinel's answer is no address");
            Refused::Error(host.clone(), error)
        })?,
    };
    let connection = Connection::start(settings.client(&server), &server).await?;
    // While one takes over from another, sentinels may name the old one. A user who may not ask
    // learns it from the first write.
    let role = ask(connection.client(), "ROLE", &[]).await;
    if role.is_ok_and(|role| is_replica(&role)) {
        let sentinel = host.clone();
        return Err(Refused::Replica { sentinel, server });
    }
    Ok(connection)
}

async fn ask(client: &Client, command: &'static str, arguments: &[&str]) -> FredResult<Value> {
    let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
    client.custom(command, arguments.to_vec()).await
}

fn address(answer: &Value) -> Option<Host> {
    let Value::Array(parts) = answer else {
        return None;
    };
    Some(Host {
        name: parts.first()?.as_string()?,
        port: parts.get(1)?.as_string()?.parse().ok()?,
    })
}

fn is_replica(role: &Value) -> bool {
    let Value::Array(parts) = role else {
        return false;
    };
    let role = parts.first().and_then(Value::as_string);
    role.is_some_and(|role| role == "slave" || role == "replica")
}
