//! A client that shows what it sends and what comes back, and minds what it expected.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Longer than every bound of the service, so that a hang is seen as one. Seconds.
const TIMEOUT: u64 = 20;

/// Speaks to one service.
pub(super) struct Client {
    base: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    content_type: String,
    /// As sent, for people.
    text: String,
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        Self {
            base: format!("http://127.0.0.1:{port}"),
        }
    }

    /// Reads a path, without a word.
    pub(super) fn get(&self, path: &str) -> Result<Reply> {
        Reply::of(minreq::get(format!("{}{path}", self.base)))
    }

    /// Reads a path for all to see.
    pub(super) fn show_get(&self, path: &str) -> Result<Reply> {
        println!("\nGET {path}");
        self.get(path).inspect(Reply::show)
    }

    /// Reads a path under a request id of the caller's choice, for all to see.
    pub(super) fn show_get_as(&self, path: &str, id: &str) -> Result<Reply> {
        println!("\nGET {path}\n  x-request-id: {id}");
        let request = minreq::get(format!("{}{path}", self.base));
        Reply::of(request.with_header("x-request-id", id)).inspect(Reply::show)
    }

    /// Sends JSON for all to see.
    pub(super) fn show_post(&self, path: &str, body: &str) -> Result<Reply> {
        println!("\nPOST {path} {body}");
        let request = minreq::post(format!("{}{path}", self.base));
        let request = request
            .with_header("Content-Type", "application/json")
            .with_body(body);
        Reply::of(request).inspect(Reply::show)
    }
}

impl Reply {
    fn of(request: minreq::Request) -> Result<Self> {
        let response = request
            .with_timeout(TIMEOUT)
            .send()
            .context("the service gave no answer")?;
        let text = response
            .as_str()
            .context("the answer is no UTF-8")?
            .to_owned();
        Ok(Self {
            status: response.status_code,
            location: response.header("location").map(str::to_owned),
            content_type: response
                .header("content-type")
                .unwrap_or_default()
                .to_owned(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }

    fn show(&self) {
        println!("  {} {}", self.status, self.content_type);
        if let Some(location) = &self.location {
            println!("  location: {location}");
        }
        println!("  {}", self.text);
    }

    /// Fails unless the status is this one.
    pub(super) fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "expected {status}, got {}: {}",
            self.status,
            self.text
        );
        Ok(self)
    }

    /// Fails unless this is a problem of that status as RFC 9457 writes it.
    pub(super) fn expect_problem(self, status: u16) -> Result<Self> {
        let reply = self.expect(status)?;
        let content_type = &reply.content_type;
        ensure!(
            content_type.starts_with("application/problem+json"),
            "expected problem+json, got `{content_type}`"
        );
        ensure!(
            reply.body["status"] == status,
            "expected the status in the body too: {}",
            reply.body
        );
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, content_type: &str, text: &str) -> Reply {
        Reply {
            status,
            location: None,
            content_type: content_type.to_owned(),
            text: text.to_owned(),
            body: serde_json::from_str(text).unwrap_or_default(),
        }
    }

    #[test]
    fn a_problem_has_its_type_and_status() {
        let good = problem(404, "application/problem+json", r#"{"status":404}"#);
        assert!(good.expect_problem(404).is_ok());
        let other = problem(500, "application/problem+json", r#"{"status":500}"#);
        assert_eq!(
            other.expect_problem(404).unwrap_err().to_string(),
            r#"expected 404, got 500: {"status":500}"#
        );
        let plain = problem(404, "text/plain", "not found");
        assert!(
            plain
                .expect_problem(404)
                .unwrap_err()
                .to_string()
                .contains("got `text/plain`")
        );
    }
}
