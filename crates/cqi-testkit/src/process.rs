//! Signals to a server as a whole: its main process and the children of that.

use std::fs;
use std::process::Command;
use std::time::Duration;

use cqi_errors::{Error, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// How long the system may take to carry out a signal.
const LIMIT: Duration = Duration::from_secs(5);

/// Stops a server's processes until they are thawed; they are stopped when this returns.
pub(crate) fn freeze(server: Pid) -> Result<()> {
    // The parent first, so that no child is born between the look and the stop.
    send(server, Signal::SIGSTOP)?;
    let processes = family(server);
    for process in &processes {
        send(*process, Signal::SIGSTOP)?;
    }
    let stopped = wait::poll(LIMIT, || {
        processes
            .iter()
            .all(|process| stopped(*process))
            .then_some(())
    });
    stopped.ok_or_else(|| Error::timeout(format!("process {server} did not stop within {LIMIT:?}")))
}

/// Lets a frozen server go on.
pub(crate) fn thaw(server: Pid) -> Result<()> {
    for process in family(server).into_iter().rev() {
        send(process, Signal::SIGCONT)?;
    }
    Ok(())
}

/// Kills a server's processes, as a crash of the machine would.
pub(crate) fn crash(server: Pid) -> Result<()> {
    send(server, Signal::SIGSTOP)?;
    let processes = family(server);
    for process in &processes {
        send(*process, Signal::SIGKILL)?;
    }
    // One that is left would keep the next server from the data.
    let dead = wait::poll(LIMIT, || {
        processes.iter().all(|process| dead(*process)).then_some(())
    });
    dead.ok_or_else(|| Error::timeout(format!("process {server} was not killed within {LIMIT:?}")))
}

/// Sends a signal; a process that has gone meanwhile is no error.
pub(crate) fn send(process: Pid, signal: Signal) -> Result<()> {
    match kill(process, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(
            Error::permanent(format!("send {signal} to process {process}"))
                .with_source(std::io::Error::from(error)),
        ),
    }
}

/// Returns a process and its children.
fn family(parent: Pid) -> Vec<Pid> {
    let children = proc_table().unwrap_or_else(ps_table);
    let children = children
        .into_iter()
        .filter(|(_, ppid)| *ppid == parent.as_raw());
    std::iter::once(parent)
        .chain(children.map(|(pid, _)| Pid::from_raw(pid)))
        .collect()
}

/// Returns all processes with their parents as Linux lists them.
fn proc_table() -> Option<Vec<(i32, i32)>> {
    let entries = fs::read_dir("/proc").ok()?;
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let table: Vec<_> = pids.filter_map(|pid| Some((pid, stat(pid)?.1))).collect();
    (!table.is_empty()).then_some(table)
}

fn ps_table() -> Vec<(i32, i32)> {
    let output = Command::new("ps")
        .args(["-A", "-o", "pid=", "-o", "ppid="])
        .output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let row = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(row)
        .collect()
}

/// Reads the state and the parent of a process.
fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, parentheses included.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn dead(process: Pid) -> bool {
    let zombie = stat(process.as_raw()).is_some_and(|(state, _)| matches!(state, 'Z' | 'X'));
    zombie || kill(process, None) == Err(Errno::ESRCH)
}

fn stopped(process: Pid) -> bool {
    // Where there is no such file, the signal sent is all that can be known.
    stat(process.as_raw()).is_none_or(|(state, _)| matches!(state, 'T' | 't' | 'Z' | 'X'))
}
