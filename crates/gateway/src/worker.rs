//! A worker: what the connections of one runtime thread share with each other and with no other thread.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex};

use safeconduct_http::{Answer, Head};
use safeconduct_model::{Host, Timestamp};

use crate::gateway::Core;
use crate::live::lock;
use crate::ports::ClientCertificate;
use crate::standing::{Fits, Standing};
use crate::upstream::Pools;

/// How many clients may have standings that are kept for their next connection.
const CLIENTS: usize = 16_384;
/// How many standings are kept of one client.
const STANDINGS: usize = 16;
/// How many heads of either kind are kept for use again.
const HEADS: usize = 256;

/// What the connections of one runtime thread share. Its locks are never waited for: nobody else is there.
pub(crate) struct Worker {
    pub(crate) core: Arc<Core>,
    pub(crate) pools: Pools,
    standings: Mutex<HashMap<u64, Vec<Arc<Standing>>>>,
    hasher: RandomState,
    heads: Mutex<Vec<Head>>,
    answers: Mutex<Vec<Answer>>,
}

impl Worker {
    pub(crate) fn new(core: &Arc<Core>) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::clone(core),
            pools: Pools::new(core.limits.clone(), core.sites.clone(), core.upstream_tls.clone()),
            standings: Mutex::default(),
            hasher: RandomState::new(),
            heads: Mutex::default(),
            answers: Mutex::default(),
        })
    }

    /// The standing that answers a request, if there is one.
    pub(crate) fn standing(&self, asked: &Fits<'_>) -> Option<Arc<Standing>> {
        let key = self.key(asked.cookie, asked.certificate, asked.peer, asked.host);
        lock(&self.standings).get(&key)?.iter().find(|s| s.fits(asked)).cloned()
    }

    /// Keeps a standing for the next request of its client.
    pub(crate) fn keep(&self, standing: &Arc<Standing>, epoch: u64, now: Timestamp) {
        let of = &standing.credentials;
        let key =
            self.key(of.cookie.as_ref().map(crate::CookieToken::expose), of.certificate.as_ref(), of.peer, &of.host);
        let mut dropped = Vec::new();
        {
            let mut standings = lock(&self.standings);
            if standings.len() >= CLIENTS && !standings.contains_key(&key) {
                dropped.extend(standings.drain().flat_map(|(_, of)| of));
            }
            let kept = standings.entry(key).or_default();
            dropped.extend(kept.extract_if(.., |s| !s.is_fresh(epoch, now)));
            if kept.len() >= STANDINGS {
                dropped.push(kept.remove(0));
            }
            kept.push(Arc::clone(standing));
        }
        drop(dropped);
    }

    /// Forgets what can answer nobody any more.
    pub(crate) fn tidy(&self, epoch: u64, now: Timestamp) {
        let mut dropped = Vec::new();
        lock(&self.standings).retain(|_, of| {
            dropped.extend(of.extract_if(.., |s| !s.is_fresh(epoch, now)));
            !of.is_empty()
        });
        drop(dropped);
    }

    fn key(
        &self,
        cookie: Option<&str>,
        certificate: Option<&ClientCertificate>,
        peer: std::net::IpAddr,
        host: &Host,
    ) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (cookie, certificate.map(|c| c.sha256), peer, host.as_str()).hash(&mut hasher);
        std::hash::Hasher::finish(&hasher)
    }

    /// Memory for a head.
    pub(crate) fn head(&self) -> Head {
        lock(&self.heads).pop().unwrap_or_default()
    }

    /// Gives the memory of a head back.
    pub(crate) fn give_back(&self, head: Head) {
        let mut heads = lock(&self.heads);
        if heads.len() < HEADS {
            heads.push(head);
        }
    }

    /// Memory for the head of an answer.
    pub(crate) fn answer(&self) -> Answer {
        lock(&self.answers).pop().unwrap_or_default()
    }

    /// Gives the memory of the head of an answer back.
    pub(crate) fn give_back_answer(&self, answer: Answer) {
        let mut answers = lock(&self.answers);
        if answers.len() < HEADS {
            answers.push(answer);
        }
    }
}
