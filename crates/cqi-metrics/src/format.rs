use http::HeaderMap;
use http::header::ACCEPT;

/// How metrics are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// OpenMetrics 1.0.0: has units and exemplars.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which every tool reads: has neither.
    #[default]
    Text,
}

impl Format {
    /// Chooses what a request asks for in its `Accept` headers, as RFC 9110 section 12.5.1 has it.
    ///
    /// [`OpenMetrics`](Self::OpenMetrics) is chosen where it is named, in version 1.0.0 or in none,
    /// and not liked less than the text format; [`Text`](Self::Text) in every other case, also where
    /// neither is asked for: an answer that can be read beats a refusal.
    ///
    /// ```
    /// use cqi_metrics::Format;
    /// use http::header::{ACCEPT, HeaderMap, HeaderValue};
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(Format::negotiate(&headers), Format::Text);
    /// headers.insert(ACCEPT, HeaderValue::from_static("application/openmetrics-text, */*;q=0.1"));
    /// assert_eq!(Format::negotiate(&headers), Format::OpenMetrics);
    /// ```
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let (mut open, mut text) = (Preference::default(), Preference::default());
        let values = headers.get_all(ACCEPT).iter();
        for range in values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| split(value, ','))
        {
            let Some(range) = Range::parse(range) else {
                continue;
            };
            open.consider(&range, "application", "openmetrics-text", "1.0.0");
            text.consider(&range, "text", "plain", "0.0.4");
        }
        let named = open.precision > Precision::Anything;
        if open.quality > text.quality
            || (named && open.quality > 0 && open.quality == text.quality)
        {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Returns the value of the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// How much a format is liked, by the most precise range that it is in.
#[derive(Default)]
struct Preference {
    precision: Precision,
    quality: u16,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    #[default]
    Nothing,
    /// `*/*`
    Anything,
    /// `text/*`
    Family,
    /// `text/plain`
    Type,
    /// `text/plain;version=0.0.4`
    Version,
}

impl Preference {
    fn consider(&mut self, range: &Range<'_>, family: &str, name: &str, version: &str) {
        let precision = match range.media_type {
            ("*", "*") => Precision::Anything,
            (given, "*") if given.eq_ignore_ascii_case(family) => Precision::Family,
            (given, rest)
                if given.eq_ignore_ascii_case(family) && rest.eq_ignore_ascii_case(name) =>
            {
                match range.version {
                    None => Precision::Type,
                    Some(given) if given == version => Precision::Version,
                    Some(_) => return,
                }
            }
            _ => return,
        };
        if (precision, range.quality) > (self.precision, self.quality) {
            *self = Self {
                precision,
                quality: range.quality,
            };
        }
    }
}

/// One element of an `Accept` header.
struct Range<'a> {
    media_type: (&'a str, &'a str),
    version: Option<&'a str>,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// Returns nothing for what is none; who sends that is served by what else it sends.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = split(text, ';');
        let mut range = Self {
            media_type: parts.next()?.trim().split_once('/')?,
            version: None,
            quality: 1000,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                range.quality = quality(value)?;
            } else if name.eq_ignore_ascii_case("version") {
                range.version = Some(value);
            }
        }
        Some(range)
    }
}

/// Reads a weight: 0 to 1 with at most three decimals, in thousandths.
fn quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{decimals:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// Splits at a separator, but not inside a quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let literal = escaped;
        escaped = quoted && !escaped && character == '\\';
        quoted ^= character == '"' && !literal;
        character == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn negotiate(values: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        Format::negotiate(&headers)
    }

    #[test]
    fn what_real_scrapers_send() {
        for accept in [
            // Prometheus 2.42
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            // Prometheus 3
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            // Prometheus 2.55 with native histograms
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ] {
            assert_eq!(negotiate(&[accept]), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            // curl
            "*/*",
            // Firefox
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            // Prometheus before 2.33, which knows no OpenMetrics 1.0.0
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            // vmagent
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
        ] {
            assert_eq!(negotiate(&[accept]), Format::Text, "{accept}");
        }
        assert_eq!(negotiate(&[]), Format::Text);
    }

    #[test]
    fn weights_wildcards_and_versions_decide() {
        let cases = [
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", true),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0.000, */*", false),
            (
                "application/openmetrics-text;q=0.5, text/plain;q=0.501",
                false,
            ),
            (
                "application/openmetrics-text;q=0.501, text/plain;q=0.5",
                true,
            ),
            ("text/plain, application/openmetrics-text", true),
            ("application/openmetrics-text;q=0.1, */*;q=0.2", false),
            ("application/openmetrics-text;q=0.3, */*;q=0.2", true),
            ("application/*, text/*;q=0.9", true),
            ("text/*, */*;q=0.9", false),
            ("text/plain;q=0, */*", true),
            // The precise range wins, wherever it stands.
            ("application/*;q=0, application/openmetrics-text", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0, application/openmetrics-text",
                false,
            ),
            // Other parameters say nothing about the format.
            (
                "application/openmetrics-text; charset=utf-8; escaping=underscores",
                true,
            ),
            ("application/json", false),
            // Separators inside of quotes, and what is no media range.
            ("text/x;a=\"\\\",application/openmetrics-text,\"", false),
            ("text/x;a=\"\\\\\",application/openmetrics-text", true),
            ("application/openmetrics-text;q=2, text/plain;q=0.1", false),
            ("application/openmetrics-text;q=0.5555", false),
            ("application/openmetrics-text;q=-1", false),
            (",;,/,application/openmetrics-text;;=,", true),
        ];
        for (accept, open) in cases {
            assert_eq!(
                negotiate(&[accept]) == Format::OpenMetrics,
                open,
                "{accept}"
            );
        }
        assert_eq!(
            negotiate(&["text/plain;q=0.5", "application/openmetrics-text"]),
            Format::OpenMetrics
        );
    }

    proptest! {
        #[test]
        fn any_header_gets_an_answer(values in prop::collection::vec("[ -~]{0,60}", 0..3)) {
            negotiate(&values.iter().map(String::as_str).collect::<Vec<_>>());
        }

        #[test]
        fn the_order_of_ranges_does_not_matter(
            ranges in Just(vec![
                "application/openmetrics-text;version=1.0.0;q=0.4", "application/openmetrics-text;q=0.3",
                "text/plain;q=0.2", "text/*", "*/*;q=0.9", "application/*;q=0.7",
            ]).prop_shuffle(),
            kept in 1..6_usize,
        ) {
            let mut sorted = ranges[..kept].to_vec();
            sorted.sort_unstable();
            prop_assert_eq!(negotiate(&[&ranges[..kept].join(",")]), negotiate(&[&sorted.join(", ")]));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_passed_over() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(Format::negotiate(&headers), Format::Text);
        headers.append(
            ACCEPT,
            HeaderValue::from_static("application/openmetrics-text"),
        );
        assert_eq!(Format::negotiate(&headers), Format::OpenMetrics);
    }
}
