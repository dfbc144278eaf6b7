//! The process of a server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cqi_errors::{Error, Kind, Result, ResultExt};

use super::config::Options;
use super::{Address, client};
use crate::postgres::free_port;
use crate::supervisor::Supervisor;
use crate::wait::{self, Deadline};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// The name of the server's file of settings.
const FILE: &str = "redis.conf";

/// The name of the server's process.
pub(super) const SERVER: &str = "server";

/// Starts a new server on its port, or on any free one where it has none.
pub(super) fn start(
    supervisor: &Supervisor,
    program: &Path,
    options: &Options,
    address: &mut Address,
) -> Result<()> {
    #[cfg(feature = "tls")]
    if let Some(certificates) = &options.certificates {
        certificates.write(supervisor)?;
    }
    for (name, content) in &options.files {
        supervisor.write(name, content)?;
    }
    let any = address.port == 0;
    let deadline = Deadline::after(START);
    loop {
        if any {
            address.port = free_port()?;
        }
        supervisor.write(FILE, &options.file(address.port)?)?;
        match run(supervisor, program, options, address, deadline) {
            Err(error) if any && port_is_taken(&error) && !deadline.passed() => {}
            outcome => return outcome,
        }
    }
}

/// Starts a server again, with what it may have written to its files.
pub(super) fn start_again(
    supervisor: &Supervisor,
    program: &Path,
    options: &Options,
    address: &Address,
) -> Result<()> {
    run(
        supervisor,
        program,
        options,
        address,
        Deadline::after(START),
    )
}

/// Adds a line to the server's file, which the server may have rewritten.
pub(super) fn configure(supervisor: &Supervisor, line: &str) -> Result<()> {
    let file = supervisor.directory().join(FILE);
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    supervisor.write(FILE, &(text + line)).map(drop)
}

/// Says whether another process was faster to listen.
pub(super) fn port_is_taken(error: &Error) -> bool {
    error.to_string().contains("Address already in use")
}

fn run(
    supervisor: &Supervisor,
    program: &Path,
    options: &Options,
    address: &Address,
    deadline: Deadline,
) -> Result<()> {
    let program = program.to_string_lossy();
    let mut command = vec![&*program, FILE];
    if options.sentinel {
        command.push("--sentinel");
    }
    supervisor.run(SERVER, &command)?;
    let outcome = wait::poll(deadline.remaining(), || match supervisor.exit(SERVER) {
        Some(status) => Some(Err(Error::permanent(format!(
            "Redis ended with status {status} instead of starting; its log: {}",
            supervisor.log_tail(SERVER)
        )))),
        // It may answer before the supervisor has noted which process it is.
        None if supervisor.pid(SERVER).is_none() => None,
        // Over its socket, in a folder of ours: nobody else answers there.
        None => match client::command(address, &["PING"], deadline.remaining()) {
            // A server whose user `default` may do nothing answers with an error.
            Err(error) if error.kind() != Kind::Permanent || is_loading(&error) => None,
            _ => Some(Ok(())),
        },
    });
    outcome.unwrap_or_else(|| {
        Err(Error::timeout(format!(
            "Redis was not ready within {START:?}; its log: {}",
            supervisor.log_tail(SERVER)
        )))
    })
}

fn is_loading(error: &Error) -> bool {
    format!("{error:#}").contains("LOADING")
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
