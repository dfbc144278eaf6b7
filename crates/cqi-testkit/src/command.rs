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

/// Says a line to the person who waits.
#[expect(
    clippy::print_stderr,
    reason = "who waits for a download must know, and nothing is hidden"
)]
pub(crate) fn say(line: &str) {
    eprintln!("cqi-testkit: {line}");
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Writes a shell script that can be run.
    pub(crate) fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
        let (text, path) = (folder.join("script"), folder.join(name));
        fs::write(&text, format!("#!/bin/sh\n{body}\n")).unwrap();
        // By another process: one that a thread starts meanwhile would inherit the open file, and
        // what is open for writing cannot be run.
        let mut install = Command::new("install");
        run(
            install.args(["-m", "755"]).args([&text, &path]),
            Duration::from_secs(60),
        )
        .unwrap();
        path
    }

    #[test]
    fn a_program_is_bounded_and_its_daemon_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let slow = script(folder.path(), "slow", "exec sleep 60");
        let error = run(&mut Command::new(slow), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("no end within 50ms"), "{error}");

        let daemon = script(folder.path(), "daemon", "sleep 3 & echo started");
        let deadline = wait::Deadline::after(Duration::from_secs(2));
        let output = run(&mut Command::new(daemon), Duration::from_secs(60)).unwrap();
        assert!(output == "started\n" && !deadline.passed(), "{output}");

        run(&mut Command::new("/there/is/none"), Duration::from_secs(60)).unwrap_err();
    }
}
