//! What to do where a program is missing.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cqi_errors::{Error, Result};
use nix::unistd::geteuid;

use crate::command::{self, say};
use crate::discovery::{POSTGRES, REDIS};

/// How long a package may take to come and to be installed.
const LIMIT: Duration = Duration::from_secs(300);

/// Installs a package where that needs nobody's consent: as root on a Debian-like machine.
pub(crate) fn install(package: &str) -> Result<()> {
    if geteuid().is_root() && is_debian() {
        install_with("apt-get".as_ref(), package)
    } else {
        Err(missing(package))
    }
}

fn install_with(apt: &OsStr, package: &str) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new(apt);
        // Another test may be installing it.
        apt.args(["-o", "DPkg::Lock::Timeout=240"]);
        command::run(
            apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"),
            LIMIT,
        )
    };
    let install = ["install", "--yes", "--no-install-recommends", package];
    say(&format!(
        "running `apt-get {}`, since {package} is missing",
        install.join(" ")
    ));
    if apt(&install).is_ok() {
        return Ok(());
    }
    say("running `apt-get update` first");
    apt(&["update"])
        .and_then(|_| apt(&install))
        .map(drop)
        .map_err(|output| {
            missing(package).with_source(Error::permanent(format!("apt-get failed: {output}")))
        })
}

/// The Java that runs all versions of Kafka.
#[cfg(feature = "kafka")]
pub(crate) const JAVA: &str = "openjdk-17-jre-headless";

/// Returns the error that says how to install a package.
pub(crate) fn missing(package: &str) -> Error {
    let mac = cfg!(target_os = "macos");
    let elsewhere = match package {
        "redis-server" => "redis",
        "openjdk-17-jre-headless" if mac => "openjdk@17",
        "openjdk-17-jre-headless" if is_alpine() => "openjdk17-jre-headless",
        "openjdk-17-jre-headless" => "java-17-openjdk-headless",
        other => other,
    };
    let line = if mac {
        format!("brew install {elsewhere}")
    } else if is_debian() {
        format!("sudo apt-get install -y {package}")
    } else if is_alpine() {
        format!("sudo apk add {elsewhere}")
    } else {
        format!(
            "sudo dnf install -y {}",
            elsewhere.replace("postgresql", "postgresql-server")
        )
    };
    let offer = match package {
        "postgresql" => Some(POSTGRES),
        "redis-server" => Some(REDIS),
        #[cfg(feature = "kafka")]
        JAVA | "maven" => Some(crate::discovery::KAFKA),
        _ => None,
    };
    let instead = offer.map(|offer| {
        let variable = offer.variable;
        let what = match variable.ends_with("_URL") {
            true => "the URL of a server",
            false => "brokers",
        };
        format!(", or set {variable} to {what} that may be used for tests")
    });
    let instead = instead.unwrap_or_default();
    Error::permanent(format!(
        "tests need {package}, and there is none: install it with `{line}`{instead}"
    ))
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

fn is_alpine() -> bool {
    Path::new("/etc/alpine-release").exists()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::command::tests::script;

    #[test]
    fn a_package_is_installed_after_an_update_where_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        let calls = || fs::read_to_string(folder.path().join("calls")).unwrap();
        let body = "cd $(dirname $0); echo $3 $6 >>calls; [ $3 = update ] && touch updated; [ -e updated ]";
        let apt = script(folder.path(), "apt-get", body);
        install_with(apt.as_os_str(), "postgresql").unwrap();
        assert_eq!(calls(), "install postgresql\nupdate\ninstall postgresql\n");
        install_with(apt.as_os_str(), "pgbouncer").unwrap();
        assert!(calls().ends_with("install pgbouncer\n"), "{}", calls());
    }

    #[test]
    fn a_package_that_cannot_be_had_is_told_with_the_line_that_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        let apt = script(folder.path(), "apt-get", "echo no network; exit 100");
        let packages = [
            ("postgresql", "CQI_TEST_POSTGRES_URL to the URL of a server"),
            ("redis-server", "CQI_TEST_REDIS_URL to the URL of a server"),
            #[cfg(feature = "kafka")]
            (JAVA, "CQI_TEST_KAFKA_BROKERS to brokers"),
            #[cfg(feature = "kafka")]
            ("maven", "CQI_TEST_KAFKA_BROKERS to brokers"),
        ];
        for (package, instead) in packages {
            let error = install_with(apt.as_os_str(), package).unwrap_err();
            let message = format!("{error:#}");
            for part in ["install it with `", package, instead, "no network"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }
}
