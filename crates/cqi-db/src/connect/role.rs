use cqi_config::TargetSessionAttrs;
use tokio_postgres::{Client, Connection, SimpleQueryMessage, Socket, tls::TlsStream};

use super::Driver;

/// Why a server that answers will not do.
pub(super) const IS_READ_ONLY: &str =
    "takes no writes (a replica, or read-only by default) and target_session_attrs is read-write";
pub(super) const IS_READ_WRITE: &str = "takes writes and target_session_attrs is read-only";

/// Says from what the server announced at start-up whether its sessions refuse writes; `None` where
/// it announced nothing, as before PostgreSQL 14.
pub(super) fn announced<T>(connection: &Connection<Socket, T>) -> Option<bool>
where
    T: TlsStream + Unpin,
{
    let standby = connection.parameter("in_hot_standby")? == "on";
    let read_only = connection.parameter("default_transaction_read_only")? == "on";
    Some(standby || read_only)
}

/// Asks the server whether its sessions refuse writes.
pub(super) async fn asked(
    client: &Client,
    driver: &mut Driver,
) -> Result<bool, tokio_postgres::Error> {
    let question = client.simple_query("SHOW transaction_read_only");
    let answer = tokio::select! {
        biased;
        answer = question => answer?,
        // The question fails on its own once the connection is gone; ask the driver for the cause.
        ended = driver => match ended {
            Err(error) => return Err(error),
            Ok(()) => client.simple_query("").await?,
        },
    };
    Ok(answer
        .iter()
        .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("on"))))
}

/// Says why a server will not do, if it does not.
pub(super) fn objection(wanted: TargetSessionAttrs, read_only: bool) -> Option<&'static str> {
    match wanted {
        TargetSessionAttrs::ReadWrite if read_only => Some(IS_READ_ONLY),
        TargetSessionAttrs::ReadOnly if !read_only => Some(IS_READ_WRITE),
        _ => None,
    }
}
