//! Joining and renewing: one question at the door of the gateway.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use safeconduct_config::GatewayAddress;
use safeconduct_model::ConnectorName;
use serde::Serialize;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::identity::{Identity, IdentityError, State};
use super::trust;
use crate::JoinToken;
use crate::bounds::{CONNECT, JOIN_BYTES, JOIN_TIME};
use crate::words::{Admitted, DOOR_NAME, JOIN_PATH, Join, NotAdmitted, RENEW_PATH, Renew};

/// Why a connector has no certificate, or no new one.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The gateway cannot be reached, or is not the one of the token.
    #[error("{0} cannot be reached, or is not the gateway of the token: {1}")]
    Gateway(GatewayAddress, String),
    /// The gateway says no.
    #[error("the gateway says no: {0}")]
    Refused(String),
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// Key or certificate cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A TLS connection to an address of the gateway.
pub(super) async fn connect(
    gateway: &GatewayAddress,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, std::io::Error> {
    let connecting = async {
        let stream = TcpStream::connect((gateway.host.as_str(), gateway.port)).await?;
        stream.set_nodelay(true)?;
        // What stands between the two may look at the name; who answers is known by the authority.
        let name = ServerName::try_from(gateway.host.clone()).map_err(std::io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    timeout(CONNECT, connecting).await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

/// Redeems the token at the first gateway that answers, and keeps what it gives.
pub(super) async fn join(
    state: &State,
    gateways: &[GatewayAddress],
    name: &ConnectorName,
    token: &JoinToken,
) -> Result<(), JoinError> {
    let wish = Join { token: token.secret().to_owned(), name: name.clone(), request: state.request()? };
    let mut last = None;
    for gateway in gateways {
        let (config, verifier) = trust::joining(*token.authority())?;
        match ask(gateway, config, JOIN_PATH, &wish).await {
            Ok(admitted) => {
                let authority = verifier.shown();
                return Ok(state.keep(&admitted.certificate, authority.as_ref())?);
            }
            Err(error @ JoinError::Gateway(..)) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| JoinError::Refused("no gateway is named".to_owned())))
}

/// Gets a new certificate for the same key, and keeps it.
pub(super) async fn renew(
    state: &State,
    gateways: &[GatewayAddress],
    identity: &Identity,
) -> Result<Identity, JoinError> {
    let wish = Renew { request: state.request()? };
    let mut last = None;
    for gateway in gateways {
        match ask(gateway, trust::renewing(identity)?, RENEW_PATH, &wish).await {
            Ok(admitted) => {
                state.keep(&admitted.certificate, None)?;
                let fresh = state.identity(&identity.name)?;
                return fresh.ok_or_else(|| JoinError::Refused("the new certificate was not kept".to_owned()));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| JoinError::Refused("no gateway is named".to_owned())))
}

async fn ask(
    gateway: &GatewayAddress,
    config: ClientConfig,
    path: &str,
    wish: &impl Serialize,
) -> Result<Admitted, JoinError> {
    let away = |e: &dyn std::fmt::Display| JoinError::Gateway(gateway.clone(), e.to_string());
    let asking = async {
        let stream = connect(gateway, config).await.map_err(|e| away(&e))?;
        let (mut sender, driver) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| away(&e))?;
        let body = serde_json::to_vec(wish).expect("a wish is plain data");
        let request = Request::post(path)
            .header(header::HOST, DOOR_NAME)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(body))
            .expect("fixed parts make a request");
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|e| away(&e))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), JOIN_BYTES).collect().await.map_err(|e| away(&e))?;
            Ok::<_, JoinError>((status, body.to_bytes()))
        };
        let mut driver = std::pin::pin!(driver);
        let mut exchange = std::pin::pin!(exchange);
        let (status, body) = tokio::select! {
            biased;
            answered = exchange.as_mut() => answered?,
            // The driver ends once everything is read: what it read is then in the exchange.
            _ = driver.as_mut() => exchange.as_mut().await?,
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| away(&e));
        }
        let told: Option<NotAdmitted> = serde_json::from_slice(&body).ok();
        Err(JoinError::Refused(told.map_or_else(|| status.to_string(), |t| t.words)))
    };
    match timeout(JOIN_TIME + CONNECT, asking).await {
        Ok(answered) => answered,
        Err(_) => Err(away(&"it takes too long")),
    }
}
