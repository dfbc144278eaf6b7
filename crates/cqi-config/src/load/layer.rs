use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

/// The settings of one source, as figment merges them.
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) values: Value,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let values = self.values.as_dict().cloned().unwrap_or_default();
        Ok(Map::from([(Profile::Default, values)]))
    }
}
