//! A data directory and the server process on it.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cqi_errors::{Error, Kind, Result, ResultExt};
use tokio::net::TcpSocket;

use super::Address;
use super::builder::Options;
use crate::supervisor::Supervisor;
use crate::wait;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// The name of the server's process.
pub(super) const SERVER: &str = "server";

/// What a server for tests is given. Nothing it writes need survive a crash of the machine, and what
/// it committed does survive its own.
const SETTINGS: [(&str, &str); 14] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ".."),
    ("unix_socket_permissions", "0700"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "500"),
    ("shared_buffers", "32MB"),
    ("max_wal_size", "256MB"),
    ("autovacuum", "off"),
    // Files in the data directory: segments of a killed server would stay in /dev/shm.
    ("dynamic_shared_memory_type", "mmap"),
    ("log_line_prefix", "%m [%p] %d "),
    ("log_timezone", "UTC"),
    ("timezone", "UTC"),
    ("lc_messages", "C"),
];

/// What it is given to encrypt; the paths start at the data directory.
const TLS_SETTINGS: [(&str, &str); 4] = [
    ("ssl", "on"),
    ("ssl_ca_file", "../ca.pem"),
    ("ssl_cert_file", "../server.pem"),
    ("ssl_key_file", "../server.key"),
];

/// Makes the data directory.
pub(super) fn initialise(supervisor: &Supervisor, folder: &Path, options: &Options) -> Result<()> {
    let program = program(folder, "initdb")?;
    let mut command = vec![
        program.as_str(),
        "--pgdata=data",
        "--auth=trust",
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ];
    if let Some(password) = &options.password {
        supervisor.write("password", password)?;
        command.push("--pwfile=password");
    }
    supervisor.complete("initdb", &command, START)?;
    supervisor
        .write("data/pg_hba.conf", &options.access_rules())
        .map(drop)
}

/// Starts the server process, on any free port where none is given.
pub(super) fn start(
    supervisor: &Supervisor,
    folder: &Path,
    options: &Options,
    port: Option<u16>,
) -> Result<u16> {
    let deadline = wait::Deadline::after(START);
    loop {
        let candidate = port.map_or_else(free_port, Ok)?;
        let before = supervisor.log(SERVER).len();
        match start_on(supervisor, folder, options, candidate, deadline.remaining()) {
            Ok(()) => return Ok(candidate),
            Err(error) => {
                let log = supervisor.log(SERVER);
                let taken = log
                    .get(before..)
                    .is_some_and(|log| log.contains("could not bind"));
                if !taken || deadline.passed() {
                    return Err(error);
                }
            }
        }
    }
}

fn start_on(
    supervisor: &Supervisor,
    folder: &Path,
    options: &Options,
    port: u16,
    limit: Duration,
) -> Result<()> {
    #[cfg(feature = "tls")]
    if let Some(certificates) = &options.certificates {
        certificates.write(supervisor)?;
    }
    // A server that was killed has left it, with the word that is waited for below.
    let state = supervisor.directory().join("data/postmaster.pid");
    let _ = fs::remove_file(&state);

    let mut command = vec![
        program(folder, "postgres")?,
        "-D".to_owned(),
        "data".to_owned(),
        "-p".to_owned(),
        port.to_string(),
    ];
    let own = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let tls = options
        .encrypts()
        .then_some(TLS_SETTINGS)
        .into_iter()
        .flatten();
    for (name, value) in SETTINGS.into_iter().chain(tls).chain(own) {
        command.extend(["-c".to_owned(), format!("{name}={value}")]);
    }
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    supervisor.run(SERVER, &command)?;

    let outcome = wait::poll(limit, || match supervisor.exit(SERVER) {
        Some(status) => Some(Err(Error::permanent(format!(
            "PostgreSQL ended with status {status} instead of starting; its log: {}",
            supervisor.log_tail(SERVER)
        )))),
        None => {
            let state = fs::read_to_string(&state).ok()?;
            let ready = state.lines().nth(7)?.trim() == "ready";
            ready.then_some(Ok(()))
        }
    });
    outcome.unwrap_or_else(|| {
        Err(Error::timeout(format!(
            "PostgreSQL was not ready within {START:?}; its log: {}",
            supervisor.log_tail(SERVER)
        )))
    })
}

/// Waits until the server process has ended.
pub(super) fn wait_for_end(supervisor: &Supervisor, limit: Duration) -> Result<()> {
    wait::poll(limit, || supervisor.exit(SERVER))
        .map(drop)
        .ok_or_else(|| {
            Error::timeout(format!(
                "PostgreSQL did not end within {limit:?}; its log: {}",
                supervisor.log_tail(SERVER)
            ))
        })
}

/// Writes down where the server is, for processes that join.
pub(super) fn announce(supervisor: &Supervisor, address: &Address) -> Result<()> {
    supervisor
        .write("address", &address.url("postgres"))
        .map(drop)
}

/// Reads where the server of a joined supervisor is.
pub(super) fn announced(supervisor: &Supervisor) -> Result<Address> {
    let file = supervisor.directory().join("address");
    let url = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    Address::parse(&url)
}

pub(super) fn program(folder: &Path, name: &str) -> Result<String> {
    let path: PathBuf = folder.join(name);
    path.into_os_string().into_string().map_err(|path| {
        Error::new(
            Kind::Permanent,
            format!("the path {} is not UTF-8", path.display()),
        )
    })
}

/// Chooses a port at random, below those that the system gives to outgoing connections: one of these
/// could take the port of a server that is to come back on it.
pub(crate) fn free_port() -> Result<u16> {
    free_port_of(20_000..32_000, &[0])
}

/// Chooses a port at random that is free, as are those at the given distances above it.
pub(crate) fn free_port_of(range: Range<u16>, distances: &[u16]) -> Result<u16> {
    let free = |port: u16| bind(port).is_ok();
    let choices = (0..100_u32).map(|attempt| RandomState::new().hash_one(attempt));
    choices
        .filter_map(|number| u16::try_from(number % range.len() as u64).ok())
        .map(|offset| range.start + offset)
        .find(|port| distances.iter().all(|distance| free(port + distance)))
        .ok_or_else(|| Error::temporary(format!("no free port of {range:?} in 100 tries")))
}

/// Takes a port of loopback, unless any socket has it: one that is to listen later as well.
pub(crate) fn bind(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_free() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        free_port_of(port..port + 1, &[0]).unwrap_err();
        free_port_of(port - 10..port - 9, &[0, 10]).unwrap_err();
    }
}
