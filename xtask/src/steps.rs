//! A run of named, timed steps that stops at the first failure.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::workspace;

/// What has run so far, for the summary.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
    closing: Vec<String>,
}

impl Steps {
    /// Runs a command as one step.
    ///
    /// # Errors
    /// When it fails: the text ends with the line that runs this step alone.
    pub(crate) fn command(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        let line = workspace::line(&command);
        self.step(name, &line, || {
            workspace::run(&mut command).map(|()| Vec::new())
        })
    }

    /// Runs a test command as one step and keeps its closing lines for the summary.
    pub(crate) fn tests(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        let line = workspace::line(&command);
        self.step(name, &line, || tee(&mut command))
    }

    /// Runs a check of this program as one step; `again` is the line that runs it alone.
    pub(crate) fn check(
        &mut self,
        name: &'static str,
        again: &str,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.step(name, again, || check().map(|()| Vec::new()))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a task's wall time; there is no runtime whose clock could be paused"
    )]
    fn step(
        &mut self,
        name: &'static str,
        again: &str,
        run: impl FnOnce() -> Result<Vec<String>>,
    ) -> Result<()> {
        println!("\n==> {name}: {again}");
        let started = Instant::now();
        let result = run();
        let took = started.elapsed();
        self.done.push((name, took));
        match result {
            Ok(closing) => self.closing.extend(closing),
            Err(error) => {
                return Err(anyhow!(
                    "step `{name}`: {error:#}\nonce mended, run it alone with\n    {again}"
                ));
            }
        }
        println!("<== {name}: {:.1} s", took.as_secs_f64());
        Ok(())
    }

    /// Prints the times, then the test runners' own closing lines.
    pub(crate) fn summary(&self) {
        println!();
        for (name, took) in &self.done {
            println!("{:>8.1} s  {name}", took.as_secs_f64());
        }
        println!(
            "{:>8.1} s  in all",
            self.done
                .iter()
                .map(|(_, took)| took.as_secs_f64())
                .sum::<f64>()
        );
        println!();
        for line in &self.closing {
            println!("{line}");
        }
    }
}

/// Runs a command, passes its output on, and returns the lines that sum up its tests.
fn tee(command: &mut Command) -> Result<Vec<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", workspace::line(command)))?;
    let stderr = child
        .stderr
        .take()
        .map(|pipe| thread::spawn(move || pass_on(pipe, std::io::stderr())));
    let mut closing = child
        .stdout
        .take()
        .map(|pipe| pass_on(pipe, std::io::stdout()))
        .unwrap_or_default();
    if let Some(Ok(lines)) = stderr.map(thread::JoinHandle::join) {
        closing.extend(lines);
    }
    let status = child.wait()?;
    workspace::expect_success(command, status)?;
    Ok(closing)
}

fn pass_on(from: impl Read, mut to: impl Write) -> Vec<String> {
    let mut closing = Vec::new();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // Whoever reads our output may leave early; the child's pipe is emptied all the same.
        let _gone = to.write_all(&line);
        let text = String::from_utf8_lossy(&line);
        if is_closing(&text) {
            closing.push(text.trim_end().to_owned());
        }
        line.clear();
    }
    closing
}

/// Whether a line sums up a run of nextest or of libtest that ran something.
fn is_closing(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("Summary [")
        || (line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed; 0 ignored;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_kept_and_the_rest_is_passed_on() {
        let text = "running 2 tests\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
             test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
             \x20    Summary [   0.1s] 3 tests run: 3 passed, 0 skipped\n";
        let mut seen = Vec::new();
        let closing = pass_on(text.as_bytes(), &mut seen);
        assert_eq!(seen, text.as_bytes());
        assert_eq!(
            closing,
            [
                "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                "     Summary [   0.1s] 3 tests run: 3 passed, 0 skipped",
            ]
        );
    }

    #[test]
    fn a_failed_step_says_how_to_run_it_alone() {
        let mut steps = Steps::default();
        let error = steps
            .command("clippy", Command::new("false"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("step `clippy`: `false` ended with exit status: 1"),
            "{error}"
        );
        assert!(error.ends_with("\n    false"), "{error}");
    }
}
