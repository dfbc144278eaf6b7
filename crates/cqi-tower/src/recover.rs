use tower_layer::Layer;

/// Catches panics; under construction.
#[derive(Clone, Debug, Default)]
pub struct RecoverLayer {}
/// The service of a [`RecoverLayer`].
#[derive(Clone, Debug)]
pub struct Recover<S> {
    inner: S,
}
impl RecoverLayer {
    /// Catches panics.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}
impl<S> Layer<S> for RecoverLayer {
    type Service = Recover<S>;
    fn layer(&self, inner: S) -> Recover<S> {
        Recover { inner }
    }
}
impl<S, R> tower_service::Service<R> for Recover<S>
where
    S: tower_service::Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;
    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }
    fn call(&mut self, r: R) -> S::Future {
        self.inner.call(r)
    }
}
