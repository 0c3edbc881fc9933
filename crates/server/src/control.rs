//! What the gateway asks of the house.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use safeconduct_gateway::{
    Body, BoundToken, Control, Credentials, DenialPage, Identity, PortalRequest, Problem, Receipt, RecordRefused,
    TokenRefused, TokenShown,
};
use safeconduct_ledger::{Pattern, Varying};
use safeconduct_model::{AppId, Host, Record, RequestId, Timestamp};
use safeconduct_policy::Snapshot;
use safeconduct_store::WriteError;

use crate::house::{House, new_request_id};
use crate::portal::Portal;
use crate::sign_in::encode;

/// The house and its portal, as the gateway sees them.
pub(crate) struct Desk {
    pub(crate) house: Arc<House>,
    pub(crate) portal: Arc<Portal>,
    /// Where pages and sign-ins are worked on: never on a thread that serves applications.
    pub(crate) main: tokio::runtime::Handle,
}

impl Control for Desk {
    fn now(&self) -> Timestamp {
        self.house.now()
    }

    fn clock_ok(&self) -> bool {
        self.house.clock.is_reliable()
    }

    fn reading(&self) -> (Timestamp, bool) {
        self.house.clock.reading()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.house.current.load().snapshot)
    }

    fn is_portal(&self, host: &Host) -> bool {
        self.house.current.load().config.settings.portal == *host
    }

    fn identify(&self, credentials: &Credentials, app: &AppId, now: Timestamp) -> Identity {
        self.house.who_is(credentials, app, now)
    }

    fn prove_token(&self, shown: &TokenShown<'_>, now: Timestamp) -> Result<BoundToken, TokenRefused> {
        self.house.prove_token(shown, now)
    }

    fn record(&self, record: Record) -> Result<Box<dyn Receipt>, RecordRefused> {
        let receipt = self.house.record(record).map_err(|e| refused(&e))?;
        Ok(Box::new(Kept(receipt)))
    }

    fn record_like(&self, pattern: &Arc<Pattern>, varying: &Varying<'_>) -> Result<Box<dyn Receipt>, RecordRefused> {
        let receipt = self.house.record_like(pattern, varying).map_err(|e| refused(&e))?;
        Ok(Box::new(Kept(receipt)))
    }

    fn portal(&self, request: PortalRequest) -> BoxFuture<'static, http::Response<Body>> {
        let portal = Arc::clone(&self.portal);
        let answering = self.main.spawn(async move { portal.answer(request).await });
        Box::pin(async move {
            answering.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a page failed");
                let mut failed = http::Response::new(safeconduct_gateway::empty());
                *failed.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                failed
            })
        })
    }

    fn sign_in_url(&self, _app: &AppId, return_to: &str) -> String {
        format!("{}/sign-in?return={}", self.house.origin, encode(return_to))
    }

    fn denial_page(&self, page: &DenialPage) -> String {
        crate::portal::pages::denial(&self.house, page)
    }

    fn problem_page(&self, problem: &Problem) -> String {
        crate::portal::pages::problem(&self.house, problem)
    }

    fn new_request_id(&self) -> RequestId {
        new_request_id()
    }
}

/// The ledger's promise, as the gateway waits for it.
struct Kept(safeconduct_store::Receipt);

impl Receipt for Kept {
    fn is_written(&self) -> bool {
        self.0.is_written()
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordRefused>> {
        self.0.poll_written(cx).map(|written| written.map(|_| ()).map_err(|e| refused(&e)))
    }

    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordRefused>> {
        self.0.poll_durable(cx).map(|durable| durable.map(|_| ()).map_err(|e| refused(&e)))
    }
}

fn refused(error: &WriteError) -> RecordRefused {
    RecordRefused(error.to_string())
}
