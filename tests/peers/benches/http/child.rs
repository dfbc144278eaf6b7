//! One chain in a process of its own, since a process has one subscriber; it does as it is told on
//! its standard input, and ends with it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use axum::serve::ListenerExt as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::runtime;

use crate::service::Client;
use crate::stacks::{App, Mode};

/// The argument that makes a process a child.
pub const CHILD: &str = "--chain";

/// A process that holds one chain.
pub struct Chain {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Chain {
    pub fn start(chain: &str, mode: Mode) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a path"))
            .args([CHILD, chain, &mode.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the benchmark runs itself");
        Self {
            commands: process.stdin.take().expect("piped"),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            process,
        }
    }

    /// Returns the nanoseconds of processor time per request, over so many requests on each of so many
    /// threads.
    pub fn requests(&mut self, requests: u32, threads: u32) -> f64 {
        let total = self.ask(&format!("requests {requests} {threads}"));
        total as f64 / f64::from(requests * threads)
    }

    /// Starts a server and returns its port.
    pub fn serve(&mut self) -> u16 {
        self.ask("serve") as u16
    }

    /// Returns the nanoseconds of processor time that the process has used, in user and system mode.
    pub fn cpu_time(&mut self) -> u64 {
        self.ask("cpu-time")
    }

    fn ask(&mut self, command: &str) -> u64 {
        writeln!(self.commands, "{command}").expect("the child reads");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the child answers");
        answer.trim().parse().expect("the child lives")
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does what the parent says until it says no more.
pub fn run(chain: &str, mode: Mode) {
    let server = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let app = {
        let _runtime = server.enter();
        App::new(chain, mode)
    };
    for command in io::stdin().lines() {
        let command = command.expect("text");
        let words: Vec<_> = command.split(' ').collect();
        let number = |index: usize| -> u32 { words[index].parse().expect("a number") };
        let answer = match words[0] {
            "requests" => requests(&app, number(1), number(2)),
            "serve" => server.block_on(serve(&app)),
            "cpu-time" => nanoseconds(ClockId::ProcessCPUTime),
            _ => panic!("`{command}` is no command"),
        };
        println!("{answer}");
    }
}

/// Returns the nanoseconds of processor time that all threads took together.
fn requests(app: &App, requests: u32, threads: u32) -> u64 {
    let one = || {
        let runtime = runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let client = Client::new();
        let router = app.router.clone();
        runtime.block_on(async {
            let start = nanoseconds(ClockId::ThreadCPUTime);
            for _ in 0..requests {
                client.send(&router).await;
            }
            nanoseconds(ClockId::ThreadCPUTime) - start
        })
    };
    if threads == 1 {
        return one();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    })
}

async fn serve(app: &App) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("TCP"));
    let router = app.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port.into()
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
