//! How far the ledger is, and who waits for it to be further.
//!
//! Nobody has a place of his own to be told at: a receipt compares its number with a mark. Only those whose record is not there
//! yet leave a waker. Waking a task of another thread costs a system call, so of those that wait on one thread the first is
//! woken, and it wakes the others when it looks: on its own thread that is cheap. Should it not look, the next round wakes them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::queue::Queue;
use super::{WriteError, lock};

/// How many groups of threads are told apart.
const GROUPS: usize = 16;

/// How far a record must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// With the kernel.
    Written,
    /// On the disk.
    Durable,
}

/// How far the ledger is.
#[derive(Default)]
pub(super) struct Progress {
    /// How many records are with the kernel,
    written: AtomicU64,
    /// on the disk,
    durable: AtomicU64,
    /// and covered by a checkpoint.
    signed: AtomicU64,
    /// How many records somebody wants to be on the disk.
    wanted: AtomicU64,
    /// Writing fails; records before this one that are not where they should be are refused.
    refused_to: AtomicU64,
    failing: AtomicBool,
    why: Mutex<Option<Arc<str>>>,
    /// The thread has ended.
    ended: AtomicBool,
    groups: [Mutex<Group>; GROUPS],
    /// In which groups somebody waits, one bit for each.
    waiting: AtomicU64,
}

/// Who waits on one thread.
#[derive(Default)]
struct Group {
    waiting: Vec<Waiter>,
    /// They need wait no more; the first of them was told.
    ready: Vec<Waker>,
}

struct Waiter {
    seq: u64,
    goal: Goal,
    waker: Waker,
}

/// What stands for a record that was handed in.
#[must_use = "a record is known to be written only when its receipt says so"]
pub struct Receipt {
    pub(super) seq: u64,
    pub(super) shared: Arc<super::Shared>,
    /// The group in which it waits.
    group: Option<usize>,
    /// Whether it was asked for the disk.
    wanted: bool,
}

impl Progress {
    pub(super) fn new(written: u64, signed: u64) -> Self {
        Self { written: written.into(), signed: signed.into(), ..Self::default() }
    }

    pub(super) fn mark(&self, goal: Goal) -> u64 {
        match goal {
            Goal::Written => self.written.load(Ordering::SeqCst),
            Goal::Durable => self.durable.load(Ordering::SeqCst),
        }
    }

    pub(super) fn signed(&self) -> u64 {
        self.signed.load(Ordering::Relaxed)
    }

    pub(super) fn set_signed(&self, records: u64) {
        self.signed.store(records, Ordering::Relaxed);
    }

    /// Whether anybody waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) != 0
    }

    /// How many records somebody wants to be on the disk.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Moves a mark. [`Self::wake`] tells of it.
    pub(super) fn reach(&self, goal: Goal, records: u64) {
        match goal {
            Goal::Written => self.written.store(records, Ordering::SeqCst),
            Goal::Durable => self.durable.store(records, Ordering::SeqCst),
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(super) fn failure(&self) -> Option<Arc<str>> {
        lock(&self.why).clone()
    }

    /// Writing fails; the records before `refused_to` are refused.
    pub(super) fn fail(&self, why: Arc<str>, refused_to: u64) {
        *lock(&self.why) = Some(why);
        self.refused_to.store(refused_to, Ordering::SeqCst);
        self.failing.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    /// Writing works again.
    pub(super) fn heal(&self) {
        self.refused_to.store(0, Ordering::SeqCst);
        self.failing.store(false, Ordering::SeqCst);
        *lock(&self.why) = None;
    }

    /// Nothing will be written any more.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    /// What is known about a record now.
    fn look(&self, seq: u64, goal: Goal) -> Poll<Result<u64, WriteError>> {
        let refused = self.refused_to.load(Ordering::SeqCst) > seq;
        let ended = self.has_ended();
        // The mark is read last: what was written meanwhile is written.
        if self.mark(goal) > seq {
            return Poll::Ready(Ok(seq));
        }
        if refused && let Some(why) = self.failure() {
            return Poll::Ready(Err(WriteError::Failing { why }));
        }
        if ended { Poll::Ready(Err(WriteError::Closed)) } else { Poll::Pending }
    }

    /// Tells those whose record is where they want it.
    pub(super) fn wake(&self) {
        let mut bits = self.waiting.swap(0, Ordering::SeqCst);
        while bits != 0 {
            let i = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let mut group = lock(&self.groups[i]);
            // Whoever was to be woken by another and was not is woken now.
            let mut now = std::mem::take(&mut group.ready);
            let done = |w: &mut Waiter| self.mark(w.goal) > w.seq;
            let Group { waiting, ready } = &mut *group;
            let mut told = waiting.extract_if(.., done).map(|w| w.waker);
            now.extend(told.next());
            ready.extend(told);
            if !waiting.is_empty() || !ready.is_empty() {
                self.waiting.fetch_or(1 << i, Ordering::SeqCst);
            }
            drop(group);
            now.into_iter().for_each(Waker::wake);
        }
    }

    /// Lets everyone look.
    fn wake_all(&self) {
        for group in &self.groups {
            let mut group = lock(group);
            let Group { waiting, ready } = std::mem::take(&mut *group);
            drop(group);
            waiting.into_iter().map(|w| w.waker).chain(ready).for_each(Waker::wake);
        }
    }
}

/// The group of the present thread.
fn group_of_thread() -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static MINE: usize = usize::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % GROUPS as u64).expect("small");
    }
    MINE.with(|mine| *mine)
}

impl Receipt {
    pub(super) fn new(seq: u64, shared: Arc<super::Shared>) -> Self {
        Self { seq, shared, group: None, wanted: false }
    }

    /// Whether the record is known to be written already. It never writes, and never waits.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.shared.progress.mark(Goal::Written) > self.seq
    }

    /// Whether the record was handed to the kernel: it survives the death of the process, not of the machine.
    ///
    /// # Errors
    /// If the record is not known to be written.
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, WriteError>> {
        self.poll(cx, Goal::Written)
    }

    /// Whether the record is on the disk. The first look lets the writer bring it there at once.
    ///
    /// # Errors
    /// If the record is not known to be on the disk.
    pub fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, WriteError>> {
        let found = self.poll(cx, Goal::Durable);
        if found.is_pending() && !self.wanted {
            self.wanted = true;
            self.shared.progress.wanted.fetch_max(self.seq + 1, Ordering::SeqCst);
            self.queue().hurry();
        }
        found
    }

    /// Resolves when the record was handed to the kernel: it survives the death of the process, not of the machine.
    ///
    /// # Errors
    /// If the record is not known to be written.
    pub async fn written(mut self) -> Result<u64, WriteError> {
        std::future::poll_fn(|cx| self.poll_written(cx)).await
    }

    /// Resolves when the record is on the disk.
    ///
    /// # Errors
    /// If the record is not known to be on the disk.
    pub async fn durable(mut self) -> Result<u64, WriteError> {
        std::future::poll_fn(|cx| self.poll_durable(cx)).await
    }

    fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    fn poll(&mut self, cx: &mut Context<'_>, goal: Goal) -> Poll<Result<u64, WriteError>> {
        let mut found = self.shared.progress.look(self.seq, goal);
        if found.is_pending() && goal == Goal::Written {
            self.shared.help();
            found = self.shared.progress.look(self.seq, goal);
        }
        if found.is_ready() {
            self.leave();
            return found;
        }
        let i = *self.group.get_or_insert_with(group_of_thread);
        let mut group = lock(&self.shared.progress.groups[i]);
        let waker = cx.waker();
        match group.waiting.iter_mut().rfind(|w| w.seq == self.seq && w.goal == goal) {
            Some(there) => there.waker.clone_from(waker),
            None => group.waiting.push(Waiter { seq: self.seq, goal, waker: waker.clone() }),
        }
        self.shared.progress.waiting.fetch_or(1 << i, Ordering::SeqCst);
        drop(group);
        if goal == Goal::Written {
            // Whoever writes now may have begun before this record came: either it sees the bit, or it is done and this helps.
            self.shared.help();
        }
        // Either this look sees the mark, or whoever moves it sees the bit.
        let found = self.shared.progress.look(self.seq, goal);
        if found.is_ready() {
            self.leave();
        }
        found
    }

    /// Wakes those who were to be woken by this one.
    fn leave(&mut self) {
        let Some(i) = self.group.take() else { return };
        let mut group = lock(&self.shared.progress.groups[i]);
        let seq = self.seq;
        group.waiting.retain(|w| w.seq != seq);
        let ready = std::mem::take(&mut group.ready);
        drop(group);
        ready.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.leave();
    }
}
