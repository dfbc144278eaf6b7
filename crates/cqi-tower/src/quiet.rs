//! Requests that nobody wants to read about.

/// Paths, each with all that is below it.
#[derive(Clone, Debug)]
pub(crate) struct Quiet(Vec<String>);

impl Default for Quiet {
    fn default() -> Self {
        let probes = [
            "/health",
            "/healthz",
            "/livez",
            "/readyz",
            "/metrics",
            "/grpc.health.v1.Health",
        ];
        Self(probes.map(str::to_owned).to_vec())
    }
}

impl FromIterator<String> for Quiet {
    fn from_iter<I: IntoIterator<Item = String>>(paths: I) -> Self {
        // As requests have them, or one that is written otherwise would silently cover nothing.
        let path = |path: String| format!("/{}", path.trim_matches('/'));
        Self(paths.into_iter().map(path).collect())
    }
}

impl Quiet {
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.0.iter().any(|quiet| {
            // Nearly all differ in the first letter, which is cheaper to see than to compare.
            quiet.as_bytes().get(1) == path.as_bytes().get(1)
                && path
                    .strip_prefix(quiet.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_a_path_do_not_matter() {
        for path in ["ping", "/ping", "ping/", "/ping/"] {
            let quiet = Quiet::from_iter([path.to_owned()]);
            assert!(quiet.covers("/ping") && quiet.covers("/ping/x"), "{path}");
            assert!(!quiet.covers("/pings") && !quiet.covers("/"), "{path}");
        }
        let root = Quiet::from_iter(["/".to_owned()]);
        assert!(root.covers("/") && !root.covers("/x"));
    }

    #[test]
    fn a_path_covers_what_is_below_it_and_no_namesake() {
        let quiet = Quiet::default();
        for path in [
            "/health",
            "/health/ready",
            "/metrics",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(quiet.covers(path), "{path}");
        }
        for path in ["/", "/healthy", "/v1/health", "/metrics.json", "/healt"] {
            assert!(!quiet.covers(path), "{path}");
        }
    }
}
