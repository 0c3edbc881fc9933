//! What a collector of traces is told of one exchange, gathered on its way.

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use safeconduct_http::{Head, Version};
use safeconduct_model::{AppId, Application, Reason, RequestId, Timestamp};

use crate::body::Body;
use crate::gateway::Core;
use crate::trace::{Outcome, Span, Trace};

/// What an answer of our own says of itself. It travels with the answer and never leaves the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    outcome: Outcome,
    reason: Reason,
}

impl Told {
    /// Puts a word to an answer; the last one counts.
    pub(crate) fn put(mut response: Response<Body>, outcome: Outcome, reason: Reason) -> Response<Body> {
        response.extensions_mut().insert(Self { outcome, reason });
        response
    }

    /// What an answer says of itself.
    pub(crate) fn of(response: &Response<Body>) -> Option<Self> {
        response.extensions().get().copied()
    }
}

/// A span that has begun.
pub(crate) struct Tracing {
    trace: Trace,
    request: RequestId,
    from: Timestamp,
    began: Instant,
    method: String,
    scheme: &'static str,
    host: Option<String>,
    version: &'static str,
    app: Option<AppId>,
    route: Option<String>,
}

impl Tracing {
    /// Begins a span; nothing if nobody collects this trace.
    pub(crate) fn begin(
        core: &Core,
        trace: Option<&Trace>,
        head: &Head,
        request: &RequestId,
        scheme: &'static str,
    ) -> Option<Self> {
        let trace = trace.filter(|t| t.own.sampled && core.spans.is_some())?.clone();
        Some(Self {
            trace,
            request: request.clone(),
            from: core.control.now(),
            began: Instant::now(),
            method: head.method().to_owned(),
            scheme,
            host: None,
            version: match head.version() {
                Version::Http10 => "1.0",
                Version::Http11 => "1.1",
                Version::Http2 => "2",
            },
            app: None,
            route: None,
        })
    }

    /// The host is known, and what is published there.
    pub(crate) fn routed(&mut self, host: &str, app: Option<&Arc<Application>>, head: &Head) {
        self.host = Some(host.to_owned());
        let Some(app) = app else { return };
        self.app = Some(app.id.clone());
        self.route = app.route(head.method(), head.path()).map(|r| r.path.clone());
    }

    /// Ends it with the head of the answer: what our own answer says of itself, else what came of a permit.
    pub(crate) fn end(self, core: &Core, status: u16, told: Option<Told>) {
        let Some(spans) = &core.spans else { return };
        let took_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let outcome = match told {
            Some(told) => told.outcome,
            None if self.app.is_some() => Outcome::Permitted,
            None => Outcome::Own,
        };
        let span = Span {
            own: self.trace.own,
            parent: self.trace.parent,
            request: self.request,
            from: self.from,
            took_us,
            method: self.method,
            status,
            scheme: self.scheme,
            version: self.version,
            host: self.host,
            app: self.app,
            route: self.route,
            outcome,
            reason: told.map(|t| t.reason),
        };
        core.metrics.span(spans.take(span));
    }
}
