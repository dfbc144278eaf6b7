use http::{Request, Response};

use crate::{Outcome, RequestInfo};

/// Watches requests: told of the start of each, and once of its end.
///
/// It runs on the path of every request, inside the layer's own accounting: it must neither block
/// nor panic. Tuples of up to four observers are observers; so is `Option`, where `None` watches
/// nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not watch requests",
    note = "observers are `cqi_tower::Observer`s, tuples of up to four of them, and `Option`"
)]
pub trait Observer {
    /// What is kept of one request.
    type Observation: Observation;

    /// Learns what other observers need at their start, such as the request's id: it is called on
    /// all of them before [`on_request`](Self::on_request) on any. Does nothing unless overridden.
    fn prepare<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) {
        let _ = (request, info);
    }

    /// Starts to watch a request, before any service sees it. Headers may be changed.
    fn on_request<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) -> Self::Observation;
}

/// One watched request.
///
/// Its methods run with the request's [span](RequestInfo::span) entered. It may be sent between
/// threads with the request.
pub trait Observation {
    /// Sees the head of the response before the client does. Headers may be changed.
    fn on_response<B>(&mut self, response: &mut Response<B>, info: &RequestInfo) {
        let _ = (response, info);
    }

    /// Wraps each call into the service, its future and its body.
    fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        poll()
    }

    /// Learns how the request ended. It is called exactly once, maybe from a destructor or while the
    /// thread unwinds from a panic.
    fn on_end(self, outcome: &Outcome<'_>);
}

impl<O: Observer> Observer for Option<O> {
    type Observation = Option<O::Observation>;

    fn prepare<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) {
        if let Some(observer) = self {
            observer.prepare(request, info);
        }
    }

    fn on_request<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) -> Self::Observation {
        self.as_ref()
            .map(|observer| observer.on_request(request, info))
    }
}

impl<O: Observation> Observation for Option<O> {
    fn on_response<B>(&mut self, response: &mut Response<B>, info: &RequestInfo) {
        if let Some(observation) = self {
            observation.on_response(response, info);
        }
    }

    fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        match self {
            Some(observation) => observation.enter(poll),
            None => poll(),
        }
    }

    fn on_end(self, outcome: &Outcome<'_>) {
        if let Some(observation) = self {
            observation.on_end(outcome);
        }
    }
}

impl Observer for () {
    type Observation = ();

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) {}
}

impl Observation for () {
    fn on_end(self, _: &Outcome<'_>) {}
}

macro_rules! tuple {
    ($($name:ident)+, $($reversed:ident)+) => {
        impl<$($name: Observer),+> Observer for ($($name,)+) {
            type Observation = ($($name::Observation,)+);

            fn prepare<Body>(&self, request: &mut Request<Body>, info: &mut RequestInfo) {
                #[expect(non_snake_case, reason = "named as their types")]
                let ($($name,)+) = self;
                $($name.prepare(request, info);)+
            }

            fn on_request<Body>(&self, request: &mut Request<Body>, info: &mut RequestInfo) -> Self::Observation {
                #[expect(non_snake_case, reason = "named as their types")]
                let ($($name,)+) = self;
                ($($name.on_request(request, info),)+)
            }
        }

        #[expect(non_snake_case, reason = "named as their types")]
        impl<$($name: Observation),+> Observation for ($($name,)+) {
            fn on_response<Body>(&mut self, response: &mut Response<Body>, info: &RequestInfo) {
                let ($($name,)+) = self;
                $($name.on_response(response, info);)+
            }

            fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
                let ($($name,)+) = self;
                $(let poll = || $reversed.enter(poll);)+
                poll()
            }

            fn on_end(self, outcome: &Outcome<'_>) {
                let ($($name,)+) = self;
                $($name.on_end(outcome);)+
            }
        }
    };
}

tuple!(A, A);
tuple!(A B, B A);
tuple!(A B C, C B A);
tuple!(A B C D, D C B A);
