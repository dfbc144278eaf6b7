use std::time::Duration;

use http::{HeaderMap, header};

/// Which protocol a request speaks; that decides where its status is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP: the status is in the head of the response.
    Http,
    /// gRPC: the status is in the trailers, or in the head of a response without a body.
    ///
    /// gRPC-Web counts as HTTP, since its status travels in the body.
    Grpc,
}

impl Protocol {
    /// Tells gRPC by its content type, as the
    /// [gRPC protocol](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) has it.
    ///
    /// ```
    /// use cqi_tower::Protocol;
    /// use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(Protocol::of(&headers), Protocol::Http);
    /// headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
    /// assert_eq!(Protocol::of(&headers), Protocol::Grpc);
    /// ```
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        const PREFIX: &[u8] = b"application/grpc";
        let rest = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.as_bytes().split_at_checked(PREFIX.len()))
            .filter(|(start, _)| start.eq_ignore_ascii_case(PREFIX));
        match rest {
            Some((_, [] | [b'+' | b';', ..])) => Self::Grpc,
            _ => Self::Http,
        }
    }
}

/// Reads how long the caller waits: at most eight digits and a unit.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn protocol(content_type: &'static str) -> Protocol {
        let value = HeaderValue::from_static(content_type);
        Protocol::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
    }

    fn timeout(value: &'static str) -> Option<Duration> {
        let name = header::HeaderName::from_static("grpc-timeout");
        grpc_timeout(&HeaderMap::from_iter([(
            name,
            HeaderValue::from_static(value),
        )]))
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC;v=1",
        ] {
            assert_eq!(protocol(grpc), Protocol::Grpc, "{grpc}");
        }
        for http in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/json",
            "",
        ] {
            assert_eq!(protocol(http), Protocol::Http, "{http}");
        }
    }

    #[test]
    fn a_timeout_is_read_with_its_unit() {
        assert_eq!(timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(
            timeout("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        assert_eq!(timeout("50m"), Some(Duration::from_millis(50)));
        for bad in ["", "S", "1", "-1S", "+1S", "1 S", "999999999S", "1s"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
