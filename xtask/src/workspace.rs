//! Where the workspace is and how its commands are started.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The folder of the root manifest.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// A `cargo` command in the root: the cargo that started this program, so that one toolchain does all.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started or does not succeed; the text holds the command line.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    expect_success(command, status)
}

/// Fails with the command line unless `status` is a success.
pub(crate) fn expect_success(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// What a command prints on standard output; its standard error is passed on.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    expect_success(command, output.status)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed other than UTF-8", line(command)))
}

/// The command as a person would type it in the root, settings first.
pub(crate) fn line(command: &Command) -> String {
    let quoted = |text: &str| match text {
        "" => "''".to_owned(),
        _ if text.contains(|c: char| c.is_whitespace() || "()'|&;*<>$".contains(c)) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => text.to_owned(),
    };
    let settings = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_str()?, quoted(value?.to_str()?)))
    });
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let args = command.get_args().map(|arg| quoted(&arg.to_string_lossy()));
    settings
        .chain([program.into_owned()])
        .chain(args)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `cargo metadata` of the whole graph with every feature on.
///
/// # Errors
/// Also when Cargo.lock is not up to date.
pub(crate) fn metadata() -> Result<Value> {
    let text = output(&mut cargo([
        "metadata",
        "--format-version=1",
        "--all-features",
        "--locked",
    ]))?;
    serde_json::from_str(&text).context("cannot read what `cargo metadata` printed")
}

/// Whether a program of that name is on PATH.
pub(crate) fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Runs a task in a build of xtask that has what the task needs.
#[cfg(not(all(feature = "codegen", feature = "servers")))]
pub(crate) fn again_with(feature: &str, args: &[&str]) -> Result<()> {
    let mut command = cargo(["run", "--package", "xtask", "--features", feature, "--"]);
    let status = command.args(args).status().context("cannot start cargo")?;
    std::process::exit(status.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let mut command = cargo(["nextest", "run", "-E", "not package(x)"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            line(&command),
            "RUSTDOCFLAGS='-D warnings' cargo nextest run -E 'not package(x)'"
        );
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = run(&mut Command::new("false")).unwrap_err();
        assert_eq!(error.to_string(), "`false` ended with exit status: 1");
    }
}
