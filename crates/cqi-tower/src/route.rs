use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The template of the route that serves a request, such as `/v1/assets/{id}`.
///
/// A router puts it into the extensions of the request, where it stands outside the layer, or of
/// the response, where it stands inside. With the feature `axum`, that router's `MatchedPath` is
/// found without it.
///
/// ```
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(cqi_tower::Route::from_static("/v1/assets/{id}"));
/// ```
#[derive(Clone)]
pub struct Route(Template);

#[derive(Clone)]
enum Template {
    Static(&'static str),
    Shared(Arc<str>),
    #[cfg(feature = "axum")]
    Axum(axum::extract::MatchedPath),
}

impl Route {
    /// Makes a route of a literal.
    #[must_use]
    pub const fn from_static(template: &'static str) -> Self {
        Self(Template::Static(template))
    }

    /// Returns the template.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Template::Static(template) => template,
            Template::Shared(template) => template,
            #[cfg(feature = "axum")]
            Template::Axum(path) => path.as_str(),
        }
    }

    pub(crate) fn find(extensions: &http::Extensions) -> Option<Self> {
        if let Some(route) = extensions.get::<Self>() {
            return Some(route.clone());
        }
        #[cfg(feature = "axum")]
        if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
            return Some(Self(Template::Axum(path.clone())));
        }
        None
    }
}

impl From<Arc<str>> for Route {
    fn from(template: Arc<str>) -> Self {
        Self(Template::Shared(template))
    }
}

impl From<Cow<'static, str>> for Route {
    fn from(template: Cow<'static, str>) -> Self {
        match template {
            Cow::Borrowed(template) => Self::from_static(template),
            Cow::Owned(template) => Self(Template::Shared(template.into())),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.as_str()).finish()
    }
}
