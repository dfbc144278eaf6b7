use std::sync::Arc;

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};

use crate::Error;

/// Answers with the error's [`to_response`](Error::to_response), so that a handler can return
/// [`Result`](crate::Result).
///
/// The error itself goes into the response's extensions as `Arc<Error>`: a layer can log what the
/// client does not see.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.to_response::<Body>();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
