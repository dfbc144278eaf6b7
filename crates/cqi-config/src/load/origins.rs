use std::collections::BTreeMap;

use crate::Origin;

/// Which source set which path. Later sources replace earlier ones, as their values do.
#[derive(Default)]
pub(super) struct Table {
    settings: BTreeMap<String, Origin>,
    /// Where a section begins says nothing about the settings in it that are left to the defaults.
    sections: BTreeMap<String, Origin>,
}

impl Table {
    pub(super) fn set(&mut self, path: &str, origin: Origin) {
        self.settings.insert(path.to_owned(), origin);
    }

    pub(super) fn set_section(&mut self, path: &str, origin: Origin) {
        self.sections.insert(path.to_owned(), origin);
    }

    /// Forgets what is inside a path: a list replaces another as a whole.
    pub(super) fn clear_inside(&mut self, path: &str) {
        let outside = |other: &str| {
            !other
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        self.settings.retain(|other, _| outside(other));
        self.sections.retain(|other, _| outside(other));
    }

    /// Returns the source of a setting, or of the list or map it is in.
    pub(super) fn of(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            match (self.settings.get(path), path.rfind(['.', '['])) {
                (Some(origin), _) => return origin.clone(),
                (None, Some(end)) => path = path.get(..end).unwrap_or_default(),
                (None, None) => return Origin::Default,
            }
        }
    }

    /// Returns the source of the section that a setting is missing from.
    pub(super) fn of_missing(&self, path: &str) -> Origin {
        let section = path
            .rsplit_once('.')
            .and_then(|(section, _)| self.sections.get(section));
        section.cloned().unwrap_or_else(|| self.of(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_replaces_another_with_all_that_was_in_it() {
        let variable = |name: &str| Origin::Variable(name.to_owned());
        let mut table = Table::default();
        for path in ["keys", "keys[0].id", "keys[10]", "keyset", "keyset.id"] {
            table.set(path, variable(path));
        }
        table.clear_inside("keys");
        assert_eq!(table.of("keys[0].id"), variable("keys"));
        assert_eq!(table.of("keys[10]"), variable("keys"));
        assert_eq!(table.of("keyset.id"), variable("keyset.id"));
        assert_eq!(table.of("other.id"), Origin::Default);
    }
}
