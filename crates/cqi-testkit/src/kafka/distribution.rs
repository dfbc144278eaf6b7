//! Kafka's programs.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};

use super::cache;
use super::java::Java;
use super::training::{self, Training};
use crate::command::{self, say};
use crate::discovery::find_tool;

/// The version that is started where none is asked for.
pub(super) const NEWEST: &str = "4.3.0";

/// The oldest version that is known to work.
pub(super) const OLDEST: &str = "3.0.2";

/// How long a download may take, each time that it is tried.
const DOWNLOAD: Duration = Duration::from_secs(600);

/// How often it is tried, and the pause in between: registries have bad minutes.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);

/// What copies an artifact and all that it needs into a folder.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// A version of Kafka, and the machine that runs it.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    pub(super) version: String,
    pub(super) java: Java,
    /// All jars of a folder; Java expands the star.
    pub(super) classpath: String,
    /// Where what is made from it is kept.
    folder: PathBuf,
}

impl Distribution {
    /// Finds a version, or downloads it; blocks.
    ///
    /// `KAFKA_HOME` is taken where no version is asked for, or its own.
    pub(super) fn find(version: Option<&str>) -> Result<Self> {
        let (version, libraries, folder) = match home(version)? {
            Some((version, libraries)) => {
                let folder = cache::folder()?.join(format!("kafka-home-{}", digest(&libraries)));
                (version, libraries, folder)
            }
            None => {
                let version = version.unwrap_or(NEWEST);
                numbers(version)?;
                let folder = cache::folder()?.join(format!("kafka-{version}"));
                let libraries = folder.join("libs");
                cache::once(&libraries, |new| {
                    let maven = find_tool("mvn", "maven")?;
                    download(&maven, PAUSE, version, new)
                })?;
                (version.to_owned(), libraries, folder)
            }
        };
        Ok(Self {
            java: Java::find(numbers(&version)?)?,
            classpath: format!("{}/*", libraries.display()),
            version,
            folder,
        })
    }

    /// Returns what the first start of this version has left for the others.
    pub(super) fn training(&self) -> Result<Training> {
        let name = format!("start-{}", digest(&(&self.classpath, &self.java.build)));
        let folder = self.folder.join(name);
        cache::once(&folder, |new| training::run(self, new))?;
        Ok(Training { folder })
    }

    /// Returns major and minor version.
    pub(super) fn numbers(&self) -> (u32, u32) {
        numbers(&self.version).unwrap_or_default()
    }
}

fn digest(of: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Reads major and minor version.
fn numbers(version: &str) -> Result<(u32, u32)> {
    let numbers: Vec<Option<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [Some(major), Some(minor), Some(_)] => Ok((major, minor)),
        _ => Err(Error::invalid_input(
            "version",
            format!("{version:?} is none of Kafka; one is {NEWEST}"),
        )),
    }
}

/// Returns version and libraries of the Kafka in `KAFKA_HOME`, where it is the one that is wanted.
fn home(wanted: Option<&str>) -> Result<Option<(String, PathBuf)>> {
    let Some(home) = std::env::var_os("KAFKA_HOME").filter(|home| !home.is_empty()) else {
        return Ok(None);
    };
    let libraries = Path::new(&home).join("libs");
    let version = version_of(&libraries).ok_or_else(|| {
        Error::permanent(format!(
            "KAFKA_HOME is {}, where there is no Kafka: no libs/kafka_*.jar",
            home.display()
        ))
    })?;
    let fits = wanted.is_none_or(|wanted| wanted == version);
    Ok(fits.then_some((version, libraries)))
}

/// Reads the version from the name of the jar `kafka_2.13-3.9.2.jar`.
fn version_of(libraries: &Path) -> Option<String> {
    let entries = fs::read_dir(libraries).ok()?;
    entries.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let (_, version) = name.strip_prefix("kafka_")?.split_once('-')?;
        let version = version.strip_suffix(".jar")?;
        numbers(version).ok().map(|_| version.to_owned())
    })
}

fn download(maven: &Path, pause: Duration, version: &str, new: &Path) -> Result<()> {
    say(&format!("downloading Kafka {version} with Maven"));
    let folder = tempfile::tempdir().context("make a folder for Maven")?;
    let project = folder.path().join("pom.xml");
    fs::write(&project, pom(version)).context("write pom.xml")?;
    let mut copy = Command::new(maven);
    copy.current_dir(folder.path())
        // Without `-C`, a checksum that does not fit is a warning.
        .args(["-q", "-B", "-C", "-f"])
        .arg(&project)
        .arg(PLUGIN)
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", new.display()));
    let mut failure = String::new();
    for try_number in 1..=TRIES {
        failure = match command::run(&mut copy, DOWNLOAD) {
            Ok(_) if version_of(new).as_deref() == Some(version) => return Ok(()),
            Ok(output) | Err(output) => output,
        };
        // There is no such version, and there will be none.
        if failure.contains("Could not find artifact") || try_number == TRIES {
            break;
        }
        say(&format!(
            "try {try_number} of {TRIES} has failed, trying again"
        ));
        thread::sleep(pause);
    }
    Err(Error::permanent(format!(
        "Kafka {version} cannot be downloaded with Maven; set KAFKA_HOME to the folder of an \
         unpacked Kafka, or CQI_TEST_KAFKA_BROKERS to brokers that may be used for tests"
    ))
    .with_source(Error::permanent(format!("mvn failed: {failure}"))))
}

/// Asks for the broker, and for something that writes its log: without, it fails in silence.
fn pom(version: &str) -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>cqi</groupId><artifactId>kafka</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", version),
        dependency("org.slf4j", "slf4j-simple", "1.7.36"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::script;

    #[test]
    fn a_download_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        fs::create_dir(&new).unwrap();
        let body = "cd $(dirname $0); echo >>calls; [ $(wc -l <calls) = 3 ] && touch new/kafka_2.13-3.9.2.jar";
        let maven = script(folder.path(), "mvn", body);
        download(&maven, Duration::ZERO, "3.9.2", &new).unwrap();
    }

    #[test]
    fn a_failed_download_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let calls = || {
            fs::read_to_string(folder.path().join("calls"))
                .unwrap()
                .len()
        };
        let failing = |words: &str| {
            let body = format!("cd $(dirname $0); printf x >>calls; echo {words}; exit 1");
            let maven = script(folder.path(), "mvn", &body);
            let failed = download(&maven, Duration::ZERO, "3.9.2", folder.path());
            format!("{:#}", failed.unwrap_err())
        };
        let message = failing("no network");
        for part in [
            "Kafka 3.9.2",
            "KAFKA_HOME",
            "CQI_TEST_KAFKA_BROKERS",
            "no network",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(calls(), 3);
        failing("Could not find artifact org.apache.kafka");
        assert_eq!(calls(), 4, "what is not there is not asked for again");
    }

    #[test]
    fn a_version_has_three_numbers() {
        assert_eq!(numbers("3.9.2").unwrap(), (3, 9));
        for wrong in ["", "3.9", "4.3.0-rc1", "../4.3.0", "3.9.2.1"] {
            numbers(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_kafka_is_known_by_its_jar() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(version_of(folder.path()), None);
        for jar in ["kafka-clients-3.9.1.jar", "kafka_2.13-3.9.2.jar"] {
            fs::write(folder.path().join(jar), "").unwrap();
        }
        assert_eq!(version_of(folder.path()).as_deref(), Some("3.9.2"));
    }
}
