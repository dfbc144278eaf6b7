use http::StatusCode;

use crate::Kind;

impl Kind {
    /// Returns the HTTP status of the kind, as in the table of [`Kind`].
    ///
    /// ```
    /// assert_eq!(cqi_errors::Kind::NotFound.http_status(), 404);
    /// assert_eq!(cqi_errors::Kind::Cancelled.http_status(), 499);
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::InvalidInput => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Conflict => StatusCode::CONFLICT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            // nginx's "client closed request", which has no name in the registry.
            Self::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Temporary => StatusCode::SERVICE_UNAVAILABLE,
            Self::Permanent | Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns what a status means to the client that received it, or `None` where it is no error
    /// (below 400).
    ///
    /// | Status | Kind |
    /// |---|---|
    /// | 401, 407 | [`Unauthorized`](Kind::Unauthorized) |
    /// | 403, 451 | [`Forbidden`](Kind::Forbidden) |
    /// | 404, 410 | [`NotFound`](Kind::NotFound) |
    /// | 409, 412, 423 | [`Conflict`](Kind::Conflict) |
    /// | 408, 504 | [`Timeout`](Kind::Timeout) |
    /// | 429 | [`RateLimited`](Kind::RateLimited) |
    /// | 499 | [`Cancelled`](Kind::Cancelled) |
    /// | 421, 425, 502, 503 | [`Temporary`](Kind::Temporary) |
    /// | other 4xx | [`InvalidInput`](Kind::InvalidInput) |
    /// | other 5xx and above | [`Permanent`](Kind::Permanent) |
    ///
    /// What a dependency says of *its* client, this service, is seldom true of the service's own
    /// client: change the kind before such an error goes on to it.
    ///
    /// ```
    /// use cqi_errors::Kind;
    /// use http::StatusCode;
    ///
    /// assert_eq!(Kind::from_http_status(StatusCode::BAD_GATEWAY), Some(Kind::Temporary));
    /// assert_eq!(Kind::from_http_status(StatusCode::NO_CONTENT), None);
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn from_http_status(status: StatusCode) -> Option<Self> {
        Some(match status.as_u16() {
            ..400 => return None,
            401 | 407 => Self::Unauthorized,
            403 | 451 => Self::Forbidden,
            404 | 410 => Self::NotFound,
            409 | 412 | 423 => Self::Conflict,
            408 | 504 => Self::Timeout,
            429 => Self::RateLimited,
            499 => Self::Cancelled,
            421 | 425 | 502 | 503 => Self::Temporary,
            400..500 => Self::InvalidInput,
            500.. => Self::Permanent,
        })
    }
}
