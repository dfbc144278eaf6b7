//! Other programs, run to their end within a bound.

use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::wait;

/// Runs a program and returns what it wrote; `Err` holds that too, or why there is nothing.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<String, String> {
    match complete(command, limit) {
        Ok((true, output)) => Ok(output),
        Ok((false, output)) => Err(output),
        Err(error) => Err(error.to_string()),
    }
}

fn complete(command: &mut Command, limit: Duration) -> std::io::Result<(bool, String)> {
    // A file and no pipe: a daemon that the program leaves behind would keep a pipe open for ever.
    let mut output = tempfile::tempfile()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    let status = wait::poll(limit, || child.try_wait().transpose());
    let Some(status) = status else {
        child.kill()?;
        child.wait()?;
        return Err(std::io::Error::other(format!("no end within {limit:?}")));
    };
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok((
        status?.success(),
        String::from_utf8_lossy(&bytes).into_owned(),
    ))
}
