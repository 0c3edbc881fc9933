//! The decision point for other programs and gateways: who may ask, who answers, and the record of every answer.

mod built_in;
mod clients;
mod listener;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use http::{HeaderValue, Request, StatusCode, header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use safeconduct_api::{Answer, ApiError, Asker, Batch, Judged, Original, Proof};
use safeconduct_config::{BUILT_IN, Surface};
use safeconduct_gateway::{Elsewhere, Judgement, TlsSettings, server_config};
use safeconduct_model::{Question, Reason, Record, RequestId, Said};
use safeconduct_policy::engine::Sought;
use safeconduct_policy::store::{Decision, Evaluation, Page, Seek};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::certificates::HostCertificates;
use crate::house::{House, new_request_id};
pub(crate) use listener::serve;

/// The longest text of what a question stated that stands in its record; of a longer one, its digest does.
const MAX_STATED: usize = 2_048;

/// A listener that is bound.
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) at: SocketAddr,
}

impl Bound {
    pub(crate) fn of(listener: TcpListener) -> Result<Self> {
        let at = listener.local_addr().context("the listener has no address")?;
        Ok(Self { listener, at })
    }
}

/// Serves until it is stopped.
pub(crate) fn run(
    house: &Arc<House>,
    bound: Bound,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>> {
    let current = house.current();
    let settings = &current.config.settings;
    let point = settings.decision_point.as_ref().context("there is a decision point")?;
    let origin = match (&point.url, point.tls) {
        (Some(url), _) => url.clone(),
        (None, true) => crate::house::origin(settings.portal.as_str(), bound.at.port()),
        (None, false) => format!("http://{}", bound.at),
    };
    let tls = point.tls.then(|| {
        let authorities = point.client_ca.as_ref().map(|file| authorities(house, file)).transpose()?;
        let certificates = Arc::new(HostCertificates::of(house, None)?);
        anyhow::Ok(server_config(&TlsSettings { certificates, client_authorities: authorities.unwrap_or_default() })?)
    });
    let tls = tls.transpose()?;
    let router = safeconduct_api::decision_point(Arc::new(Desk { house: Arc::clone(house), origin }));
    Ok(serve(bound.listener, tls, router, stop))
}

fn authorities(house: &House, file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(house.dir.join(file));
    let read = read.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.with_context(|| format!("[decision_point] client_ca: cannot read {file}"))?;
    anyhow::ensure!(!found.is_empty(), "[decision_point] client_ca: {file} holds no certificate");
    Ok(found)
}

/// The house, as the decision point sees it.
struct Desk {
    house: Arc<House>,
    origin: String,
}

impl safeconduct_api::DecisionPoint for Desk {
    fn admit(&self, proof: &Proof, surface: Surface, store: Option<&str>) -> Result<Asker, ApiError> {
        let current = self.house.current();
        let point = current.config.settings.decision_point.as_ref().ok_or_else(ApiError::internal)?;
        clients::admit(point, proof, surface, store).inspect_err(|_| {
            let Some(ip) = proof.ip else { return };
            let detail = format!("decision_point_{}", surface.name());
            let refusal = safeconduct_model::Refusal {
                request: new_request_id(),
                ip,
                reason: Reason::Forbidden,
                detail,
                app: None,
            };
            if let Err(error) = self.house.record(Record::Refusal(refusal)) {
                tracing::warn!(%error, "the ledger took no record of a refused client");
            }
        })
    }

    fn origin_of(&self, store: Option<&str>) -> Option<String> {
        let current = self.house.current();
        let point = current.config.settings.decision_point.as_ref()?;
        let name = store.or(point.default_store.as_deref())?;
        point.stores.contains_key(name).then(|| self.origin.clone())
    }

    fn evaluate<'a>(&'a self, asker: &'a Asker, batch: Batch) -> Answer<'a, Vec<Decision>> {
        Box::pin(async move {
            let (mut decisions, mut receipts) = (Vec::new(), Vec::new());
            for item in batch.items {
                let request = new_request_id();
                let (ask, decision, revision) = match item {
                    Ok(ask) => {
                        let (decision, revision) = self.decide(&asker.store, &ask, &request)?;
                        (ask, decision, revision)
                    }
                    Err(words) => (Evaluation::default(), unreadable(words), String::new()),
                };
                let said = match decision.reason {
                    Some(reason) => Said::Deny { reason },
                    None => Said::Permit,
                };
                let question = question(asker, request, &ask, None, said, decision.rules.clone(), revision);
                receipts.push(self.record(question)?);
                let permitted = decision.permitted;
                decisions.push(decision);
                if batch.until.ends(permitted) {
                    break;
                }
            }
            for receipt in receipts {
                receipt.written().await.map_err(|e| unrecorded(&e))?;
            }
            Ok(decisions)
        })
    }

    fn search<'a>(&'a self, asker: &'a Asker, seek: Seek) -> Answer<'a, Page> {
        Box::pin(async move {
            let (current, house, name) = (self.house.current(), Arc::clone(&self.house), asker.store.clone());
            let wanted = seek.clone();
            let searched = tokio::task::spawn_blocking(move || {
                if name == BUILT_IN {
                    let page = built_in::search(&house, &wanted);
                    return Some((page, current.snapshot.revision().to_string()));
                }
                let store = current.stores.get(&name)?;
                Some((store.search(&wanted), store.revision().to_owned()))
            });
            let searched = searched.await.map_err(|error| {
                tracing::warn!(%error, "a search broke off");
                ApiError::internal()
            })?;
            let (page, revision) = searched.ok_or_else(ApiError::internal)?;
            let page = page.map_err(|e| ApiError::bad_request(format!("{e}.")))?;
            let said = Said::Found { results: page.rows.len() as u64 };
            let question = question(asker, new_request_id(), &seek.ask, Some(seek.sought), said, Vec::new(), revision);
            self.record(question)?.written().await.map_err(|e| unrecorded(&e))?;
            Ok(page)
        })
    }

    fn judge<'a>(&'a self, _: &'a Asker, original: Original) -> Answer<'a, Judged> {
        Box::pin(async move {
            let gateway = self.house.gateway().ok_or_else(ApiError::internal)?;
            let tls = match original.scheme.as_str() {
                "https" => true,
                "http" => false,
                _ => return Err(ApiError::bad_request("The scheme of the request must be https or http.")),
            };
            let odd = || ApiError::bad_request("Method, host or target of the request is malformed.");
            let request = Request::builder().method(original.method.as_str()).uri(original.target.as_str()).body(());
            let (mut head, ()) = request.map_err(|_| odd())?.into_parts();
            if !original.target.starts_with('/') {
                return Err(odd());
            }
            head.headers = original.headers;
            head.headers.insert(header::HOST, HeaderValue::from_str(&original.host).map_err(|_| odd())?);
            Ok(match gateway.judge(Elsewhere { head, client: original.client, tls }).await {
                Judgement::Allowed { headers } => {
                    let headers = headers.into_iter().map(|(n, v)| (http::HeaderName::from_static(n), v)).collect();
                    Judged::Allowed { headers }
                }
                Judgement::Denied { status, reason, sign_in, headers, body } => {
                    Judged::Denied { status, reason, sign_in, headers, body }
                }
            })
        })
    }
}

impl Desk {
    fn decide(&self, store: &str, ask: &Evaluation, request: &RequestId) -> Result<(Decision, String), ApiError> {
        let current = self.house.current();
        if store == BUILT_IN {
            let revision = current.snapshot.revision().to_string();
            return Ok((built_in::evaluate(&self.house, &current, ask, request), revision));
        }
        let store = current.stores.get(store).ok_or_else(ApiError::internal)?;
        Ok((store.evaluate(ask), store.revision().to_owned()))
    }

    fn record(&self, question: Question) -> Result<safeconduct_store::Receipt, ApiError> {
        self.house.record(Record::Question(Box::new(question))).map_err(|e| unrecorded(&e))
    }
}

fn unreadable(detail: String) -> Decision {
    Decision { permitted: false, reason: Some(Reason::BadRequest), for_user: None, detail, rules: Vec::new() }
}

/// No record, no answer.
fn unrecorded(error: &safeconduct_store::WriteError) -> ApiError {
    tracing::warn!(%error, "an answer could not be recorded, so it is not given");
    let reason = Reason::RecordUnavailable;
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        reason.code(),
        "The answer could not be recorded, so it is not given.",
    )
}

fn question(
    asker: &Asker,
    request: RequestId,
    ask: &Evaluation,
    sought: Option<Sought>,
    said: Said,
    rules: Vec<String>,
    revision: String,
) -> Question {
    let stated = json!({
        "subject": ask.subject.properties,
        "action": ask.action.properties,
        "resource": ask.resource.properties,
        "context": ask.context,
    });
    let nothing =
        stated.as_object().is_some_and(|s| s.values().all(|v| v.as_object().is_some_and(serde_json::Map::is_empty)));
    let mut stated = if nothing { String::new() } else { stated.to_string() };
    if stated.len() > MAX_STATED {
        let digest = Sha256::digest(&stated);
        stated = digest.iter().fold("sha256:".to_owned(), |text, b| format!("{text}{b:02x}"));
    }
    let named = |kind: &str, id: &str, side| {
        if sought == Some(side) { bounded(kind) } else { bounded(&format!("{kind}:{id}")) }
    };
    Question {
        request,
        client: asker.name.clone(),
        store: asker.store.clone(),
        subject: named(&ask.subject.kind, &ask.subject.id, Sought::Principal),
        action: bounded(&ask.action.name),
        resource: named(&ask.resource.kind, &ask.resource.id, Sought::Resource),
        said,
        rules,
        revision,
        stated,
    }
}

/// A name that a caller chose, not longer than a record bears.
fn bounded(name: &str) -> String {
    const MAX_NAME: usize = 512;
    name.chars().take(MAX_NAME).collect()
}
