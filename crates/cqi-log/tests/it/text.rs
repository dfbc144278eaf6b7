//! Lines for people.

use cqi_config::{LogConfig, LogFormat};
use expect_test::expect;
use tracing::{info, info_span, warn};

use crate::logs::{Logs, config, undated};

fn written(format: LogFormat) -> String {
    let config = LogConfig {
        format,
        ..config("info")
    };
    let logs = Logs::with(cqi_log::builder(), &config);
    logs.run(|| {
        info!("no more than a message");
        warn!(only = "fields");
        let span = info_span!(
            "request",
            method = "GET",
            trace_id = 1_u128,
            span_id = 2_u64
        );
        let _span = span.entered();
        info!(rows = 3, error = %"a\u{1b}[31m \"red\" text", name = "a b", "two\nlines");
    });
    undated(&logs.text())
}

#[test]
fn compact_is_one_line() {
    expect![[r#"
        <timestamp>  INFO it::text: no more than a message
        <timestamp>  WARN it::text: only="fields"
        <timestamp>  INFO it::text: two\nlines rows=3 error=a\u001b[31m "red" text name="a b" method="GET" trace_id=00000000000000000000000000000001 span_id=0000000000000002
    "#]]
    .assert_eq(&written(LogFormat::Compact));
}

#[test]
fn pretty_has_a_line_for_each_part() {
    expect![[r#"
        <timestamp>  INFO it::text: no more than a message
        <timestamp>  WARN it::text:
            only="fields"
        <timestamp>  INFO it::text: two\nlines
            rows=3 error=a\u001b[31m "red" text name="a b"
            in method="GET"
            trace_id=00000000000000000000000000000001 span_id=0000000000000002
    "#]]
    .assert_eq(&written(LogFormat::Pretty));
}
