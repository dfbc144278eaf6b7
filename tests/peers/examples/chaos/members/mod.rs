//! The members of a group, each a process of its own that does the same: it handles records, writes
//! a line for each, commits what it handled, and ends with its standard input.

mod librdkafka;
mod ours;

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cqi_testkit::Kafka;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::journal::now;

/// The argument that makes a process a member.
pub const MEMBER: &str = "--member";

/// Without a heartbeat for this long a member is dead: the shortest that brokers allow by default.
pub const SESSION: Duration = Duration::from_secs(6);
const HEARTBEAT: Duration = Duration::from_secs(1);
const MAX_POLL: Duration = Duration::from_secs(30);

/// Set when the standard input has ended.
static ENDS: AtomicBool = AtomicBool::new(false);

/// Whose client a member uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Ours,
    Librdkafka,
    Java,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Ours, Self::Librdkafka, Self::Java];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "cqi",
            Self::Librdkafka => "librdkafka",
            Self::Java => "java",
        })
    }
}

/// What a member is told.
#[derive(Clone, Debug)]
pub struct Place {
    pub bootstrap: String,
    pub topic: String,
    pub group: String,
    pub assignor: String,
}

/// Is a member until the standard input ends.
pub fn run(arguments: &[String]) {
    let [kind, bootstrap, topic, group, assignor] = arguments else {
        panic!("a member is told five things");
    };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ENDS.store(true, Ordering::Relaxed);
    });
    let place = Place {
        bootstrap: bootstrap.clone(),
        topic: topic.clone(),
        group: group.clone(),
        assignor: assignor.clone(),
    };
    match Kind::named(kind) {
        Some(Kind::Ours) => ours::run(&place),
        Some(Kind::Librdkafka) => librdkafka::run(&place),
        _ => panic!("no member of the kind {kind}"),
    }
}

/// How members are started.
#[derive(Debug)]
pub struct Starter {
    place: Place,
    folder: PathBuf,
    /// Java's command line.
    java: Vec<String>,
    count: usize,
}

impl Starter {
    /// Compiles Java's member; journals are written to the folder.
    pub fn new(kafka: &Kafka, place: Place, folder: &Path) -> Self {
        let (program, classpath) = java(kafka);
        let source = folder.join("Member.java");
        fs::write(&source, include_str!("Member.java")).expect("written");
        let mut compile = Command::new(&program);
        compile.args([
            "-m",
            "jdk.compiler/com.sun.tools.javac.Main",
            "-cp",
            &classpath,
        ]);
        let compiled = compile.arg("-d").arg(folder).arg(&source).status();
        assert!(compiled.expect("javac").success(), "Member.java compiles");
        let classpath = format!("{}:{classpath}", folder.display());
        let options = [
            &program,
            "-Xmx64m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &classpath,
            "Member",
        ];
        Self {
            java: options.map(str::to_owned).into(),
            place,
            folder: folder.to_owned(),
            count: 0,
        }
    }

    pub fn start(&mut self, kind: Kind) -> Member {
        self.count += 1;
        let journal = self
            .folder
            .join(format!("{:03}-{kind}.journal", self.count));
        let Place {
            bootstrap,
            topic,
            group,
            assignor,
        } = &self.place;
        let mut command = match kind {
            Kind::Java => {
                let mut command = Command::new(&self.java[0]);
                command.args(&self.java[1..]);
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe().expect("a path"));
                command.args([MEMBER, &kind.to_string()]);
                command
            }
        };
        let log = journal.with_extension("log");
        let child = command
            .args([bootstrap, topic, group, assignor])
            .stdin(Stdio::piped())
            .stdout(File::create(&journal).expect("a file"))
            .stderr(File::create(log).expect("a file"))
            .spawn();
        Member {
            name: format!("{kind} {}", self.count),
            kind,
            child: child.expect("started"),
            journal,
            blows: Vec::new(),
        }
    }
}

/// Reads program and jars off the command line of the broker; the compiler wants each jar by its name.
fn java(kafka: &Kafka) -> (String, String) {
    let process = kafka.brokers()[0].process_id().expect("a broker");
    let line = fs::read_to_string(format!("/proc/{process}/cmdline")).expect("its command line");
    let words: Vec<&str> = line.split('\0').collect();
    let at = words.iter().position(|word| *word == "-cp").expect("jars");
    let folder = words[at + 1].trim_end_matches('*');
    let jars = fs::read_dir(folder).expect("a folder of jars").map(|jar| {
        let path = jar.expect("a jar").path();
        path.display().to_string()
    });
    (words[0].to_owned(), jars.collect::<Vec<_>>().join(":"))
}

/// What happened to a member from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    Frozen,
    Thawed,
    /// Killed, or it has ended by itself.
    Gone,
}

/// The process of a member; killed when dropped.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub kind: Kind,
    child: Child,
    pub journal: PathBuf,
    pub blows: Vec<(Duration, Blow)>,
}

impl Member {
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        // What it does while the signal is on its way is its last deed.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), stopped).expect("a child");
        self.blows.push((now(), Blow::Frozen));
    }

    pub fn thaw(&mut self) {
        self.blows.push((now(), Blow::Thawed));
        self.signal(Signal::CONT);
    }

    pub fn kill(&mut self) {
        if self.child.try_wait().expect("a child").is_none() {
            self.child.kill().expect("a child");
            self.child.wait().expect("a child");
        }
        self.blows.push((now(), Blow::Gone));
    }

    /// Lets it leave the group; says whether it ended in time, and kills it otherwise.
    pub fn stop(&mut self, limit: Duration) -> bool {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + limit;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = !self.is_running();
        self.kill();
        ended
    }

    /// Returns what it wrote to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.journal.with_extension("log")).expect("a log")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
