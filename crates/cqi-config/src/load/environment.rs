use std::collections::BTreeMap;
use std::ffi::OsString;

/// The environment variables as they were when loading began; none in place of a value that is
/// not UTF-8.
pub(super) struct Environment(BTreeMap<String, Option<String>>);

impl Environment {
    /// Keeps the given variables; one whose name is not UTF-8 can be nobody's.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()))
                })
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// Returns the variables whose names begin with a prefix, by name.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let from_prefix = self.0.range(prefix.to_owned()..);
        from_prefix
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}
