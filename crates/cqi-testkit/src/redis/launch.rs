//! The process of a server.

use std::path::Path;
use std::time::Duration;

use cqi_errors::{Error, Result};

use super::config::Options;
use super::{Address, client};
use crate::postgres::free_port;
use crate::supervisor::Supervisor;
use crate::wait::{self, Deadline};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// The name of the server's process.
pub(super) const SERVER: &str = "server";

/// Starts the server process where `address` says, on any free port where that has none.
pub(super) fn start(
    supervisor: &Supervisor,
    program: &Path,
    options: &Options,
    address: &mut Address,
) -> Result<()> {
    let deadline = Deadline::after(START);
    let fixed = address.port != 0;
    loop {
        if !fixed {
            address.port = free_port()?;
        }
        let before = supervisor.log(SERVER).len();
        let outcome = start_on(supervisor, program, options, address, deadline);
        let taken = |log: &str| log.contains("Address already in use");
        match outcome {
            Err(_)
                if supervisor.log(SERVER).get(before..).is_some_and(taken)
                    && !deadline.passed() => {}
            outcome => return outcome,
        }
    }
}

fn start_on(
    supervisor: &Supervisor,
    program: &Path,
    options: &Options,
    address: &Address,
    deadline: Deadline,
) -> Result<()> {
    #[cfg(feature = "tls")]
    if let Some(certificates) = &options.certificates {
        certificates.write(supervisor)?;
    }
    supervisor.write("redis.conf", &options.file(address.port)?)?;
    supervisor.run(SERVER, &[&program.to_string_lossy(), "redis.conf"])?;
    let outcome = wait::poll(deadline.remaining(), || match supervisor.exit(SERVER) {
        Some(status) => Some(Err(Error::permanent(format!(
            "Redis ended with status {status} instead of starting; its log: {}",
            supervisor.log_tail(SERVER)
        )))),
        // Over its socket, in a folder of ours: nobody else answers there.
        None => client::command(address, &["PING"], deadline.remaining())
            .is_ok()
            .then_some(Ok(())),
    });
    outcome.unwrap_or_else(|| {
        Err(Error::timeout(format!(
            "Redis was not ready within {START:?}; its log: {}",
            supervisor.log_tail(SERVER)
        )))
    })
}

/// Waits until the server process has ended.
pub(super) fn wait_for_end(supervisor: &Supervisor, limit: Duration) -> Result<()> {
    let ended = wait::poll(limit, || supervisor.exit(SERVER)).map(drop);
    ended.ok_or_else(|| {
        Error::timeout(format!(
            "Redis did not end within {limit:?}; its log: {}",
            supervisor.log_tail(SERVER)
        ))
    })
}
