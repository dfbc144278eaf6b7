use std::process::Command;
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};

use crate::command;
use crate::discovery::find_tool;
use crate::postgres::blocking;

/// How long promtool may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Lets `promtool check metrics` read an exposition in the text format 0.0.4, and complain about its
/// syntax, names and help texts.
///
/// promtool reads no OpenMetrics: for that, let [`Prometheus`](crate::Prometheus) scrape it.
///
/// # Errors
/// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput) with its complaints.
/// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): it is missing, with the line that installs it.
pub async fn check_metrics(exposition: &str) -> Result<()> {
    let exposition = exposition.to_owned();
    blocking(move || {
        let program = find_tool("promtool", "prometheus")?;
        let file = tempfile::NamedTempFile::new().context("make a file for promtool")?;
        std::fs::write(file.path(), &exposition).context("write a file for promtool")?;
        // It reads its standard input, which `run` closes.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec "$1" check metrics <"$2""#, "sh"]);
        shell.arg(program).arg(file.path());
        match command::run(&mut shell, LIMIT) {
            Ok(output) if output.is_empty() => Ok(()),
            Ok(output) | Err(output) => {
                Err(Error::invalid_input("exposition", output.trim().to_owned()))
            }
        }
    })
    .await
}
