//! The panic hook is of the whole process, so each case runs in one of its own.

use std::convert::Infallible;
use std::env;
use std::panic::catch_unwind;
use std::process::Command;

use cqi_tower::{RecoverLayer, init_panic_hook};
use futures_util::FutureExt as _;
use http::{Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::logged::Logged;
use crate::script::http;

const CASE: &str = "CQI_TOWER_TEST_CASE";

/// Runs a case in a process of its own, and returns what it printed.
fn run(case: &str, backtrace: &str) -> (String, String) {
    let (succeeded, stdout, stderr) = end(case, backtrace);
    assert!(succeeded, "{stdout}\n{stderr}");
    (stdout, stderr)
}

/// Runs a case, which may end its process.
fn end(case: &str, backtrace: &str) -> (bool, String, String) {
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "panic_hook::in_a_process_of_its_own",
            "--exact",
            "--nocapture",
        ])
        .env(CASE, case)
        .env("RUST_BACKTRACE", backtrace)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The other side of [`run`].
#[tokio::test]
async fn in_a_process_of_its_own() {
    match env::var(CASE).as_deref() {
        Ok("caught") => caught().await,
        Ok("elsewhere") => elsewhere().await,
        Ok("dropped") => dropped().await,
        Ok("unwinding") => unwinding(),
        Ok("aborting") => aborting(),
        _ => {}
    }
}

async fn serve(handler: fn()) {
    let layer = RecoverLayer::new().on_panic(|panic| {
        let backtrace = panic.backtrace().map(ToString::to_string);
        let names_handler = backtrace.map(|frames| frames.contains("panic_hook::"));
        println!("{panic} [{names_handler:?}]");
    });
    let service = layer.layer(service_fn(|_: Request<String>| async move {
        handler();
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    service.oneshot(http()).await.unwrap();
}

async fn caught() {
    let _panics = init_panic_hook();
    let (logged, _guard) = Logged::start();
    serve(|| panic!("caught")).await;
    let line = logged.only();
    println!("{}", line.field("location").unwrap());
    println!("stack: {}", line.field("exception.stacktrace").is_some());
    // The next one is not mistaken for it.
    serve(|| panic!("again")).await;
}

#[test]
fn a_caught_panic_has_location_and_backtrace_and_stays_off_stderr() {
    let (stdout, stderr) = run("caught", "1");
    assert!(stdout.contains("panicked in the future at crates/cqi-tower/tests/it/panic_hook.rs:"));
    assert!(stdout.contains(": caught [Some(true)]"), "{stdout}");
    assert!(
        stdout.contains("\ncrates/cqi-tower/tests/it/panic_hook.rs:"),
        "{stdout}"
    );
    assert!(stdout.contains("\nstack: true\n"), "{stdout}");
    assert!(stdout.contains(": again [Some(true)]"), "{stdout}");
    assert_eq!(stderr, "");
}

#[test]
fn the_environment_can_forbid_backtraces() {
    let (stdout, stderr) = run("caught", "0");
    assert!(stdout.contains(": caught [None]"), "{stdout}");
    assert!(stdout.contains("\nstack: false\n"), "{stdout}");
    assert_eq!(stderr, "");
}

async fn elsewhere() {
    let _panics = init_panic_hook();
    let (logged, _guard) = Logged::start();
    assert!(catch_unwind(|| panic!("outside")).is_err());
    assert!(std::thread::spawn(|| panic!("thread")).join().is_err());
    assert_eq!(logged.lines().len(), 0);
    serve(|| {
        assert!(catch_unwind(|| panic!("first inside")).is_err());
        assert!(catch_unwind(|| panic!("second inside")).is_err());
        assert!(
            std::thread::spawn(|| panic!("thread inside"))
                .join()
                .is_err()
        );
    })
    .await;
    let line = logged.only();
    println!("{} earlier", line.field("earlier").unwrap());
    println!("{}", line.field("message").unwrap());
    assert!(catch_unwind(|| panic!("afterwards")).is_err());
}

#[test]
fn other_panics_go_to_the_hook_before_and_none_vanishes() {
    let (stdout, stderr) = run("elsewhere", "0");
    let told = [
        "outside",
        "thread",
        "second inside",
        "thread inside",
        "afterwards",
    ];
    for message in told {
        let line = format!("\n{message}\n");
        assert_eq!(stderr.matches(&line).count(), 1, "{message}: {stderr}");
    }
    assert!(!stderr.contains("first inside"));
    assert!(
        stdout.contains("\n1 earlier\na panic was caught inside the handler\n"),
        "{stdout}"
    );
}

async fn dropped() {
    let panics = init_panic_hook();
    drop(panics);
    serve(|| panic!("caught")).await;
}

#[test]
fn without_its_guard_the_hook_steps_aside() {
    let (stdout, stderr) = run("dropped", "0");
    assert!(
        stdout.contains("panicked in the future: caught [None]"),
        "{stdout}"
    );
    assert!(stderr.contains("\ncaught\n"), "{stderr}");
}

/// A panic whose unwinding runs a destructor that another layer guards, which panics too.
fn unwinding() {
    struct Guarded;

    impl Drop for Guarded {
        fn drop(&mut self) {
            serve(|| panic!("inner")).now_or_never().unwrap();
        }
    }

    let _panics = init_panic_hook();
    let handler = || {
        let _guarded = Guarded;
        panic!("outer");
    };
    serve(handler).now_or_never().unwrap();
}

#[test]
fn panics_within_panics_keep_their_own_locations() {
    let (stdout, stderr) = run("unwinding", "0");
    let place = |message: &str| {
        let line = stdout.lines().find(|line| line.contains(message));
        let line = line.unwrap_or_else(|| panic!("{message}: {stdout}"));
        line.split(':').nth(1).unwrap().parse::<u32>().unwrap()
    };
    assert!(place(": inner") < place(": outer"), "{stdout}");
    assert_eq!(stderr, "");
}

/// A panic whose unwinding runs a destructor that panics too, which nothing can catch.
fn aborting() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("second");
        }
    }

    let _panics = init_panic_hook();
    let handler = || {
        let _panics = Panics;
        panic!("first");
    };
    serve(handler).now_or_never().unwrap();
}

#[test]
fn a_panic_that_ends_the_process_is_told() {
    let (succeeded, stdout, stderr) = end("aborting", "0");
    assert!(!succeeded, "{stdout}");
    assert!(stderr.contains("second"), "{stderr}");
}
